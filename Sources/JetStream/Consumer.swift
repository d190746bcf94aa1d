// A consumer: one reader's place in a stream. Its bookkeeping is ConsumerState, its waiting requests PullQueue. Delivering is in
// Consumer+Delivery, acks in Consumer+Acks, requests in Consumer+Pull, push in Consumer+Push, what is written down in
// Consumer+Record, what others see in Consumer+Info.
import Broker
import Bytes
import Interest
import Platform

/// One consumer of a stream.
public final class Consumer: StreamConsumer {
  /// Safe: the engine outlives its consumers.
  unowned(unsafe) let engine: ConsumerEngine
  public let stream: Stream
  public let name: ByteString
  public internal(set) var config: ConsumerConfig
  public let created_ns: Int64

  var state: ConsumerState
  var waiting = PullQueue()
  /// With deliver policy last_per_subject: the sequences that go out before `resumeAfter` is reached, and how they are looked for.
  var selected: [UInt64] = []
  var selection: LastMessages?
  var selectedNext = 0
  /// The stream's last sequence when a consumer with last_per_subject began; 0 for others.
  var resumeAfter: UInt64 = 0
  /// What is delivered; empty when that is everything.
  var filters: [ByteString] = []

  // What has not been delivered yet, counted up to a sequence.
  var undelivered = 0
  var countedThrough: UInt64 = 0
  var isCounted = false {
    didSet { if !isCounted { counting = nil } }
  }
  /// The count that is under way while `isCounted` is false, and who waits for it.
  var counting: PendingCount?
  var awaitingCount: [() -> Void] = []
  let countTimer = Timer()

  /// Wall times of the last delivery and the last ack; 0 for never.
  var lastDelivery_ns: Int64 = 0
  var lastAck_ns: Int64 = 0
  /// The last sign of a reader (monotonic).
  var lastActivity_ns: Int64
  /// Random part of the inactivity threshold.
  let inactivityJitter_ns: Int64

  /// One timer for everything: ack waits, requests, heartbeats, pauses, inactivity.
  let timer = Timer()
  /// Goes on with a delivery that used up its share of a turn.
  let burstTimer = Timer()
  /// What was delivered without waiting for an ack in a stream that wants to know; told when nothing is being read.
  var doneUnread: [UInt64] = []
  var pin = PinState()
  var pace = DeliveryPace()
  /// How many of a hundred acks are reported.
  var samplePercent = 0
  /// Whether the end of a pause is to be told.
  var tellsPauseEnd = false
  /// Messages that may still be searched through at this stretch.
  var searchLeft = 0
  /// When a full queue of requests is searched for room again (monotonic).
  var nextSweep_ns: Int64 = 0
  /// A lower bound of the next ack deadline.
  var ackDue_ns = Int64.max
  var isDelivering = false
  /// Requests that a delivery ended, with what they are told when it is booked.
  var ended: [(status: StaticString, pull: WaitingPull)] = []
  var shallDeliverAgain = false
  /// Gone: nothing may be delivered or written down.
  var isEnded = false
  /// Whether the engine has it on its list of states to be written.
  var isDirty = false
  /// The state's count of changes when it was last written down.
  var writtenChanges = UInt64.max

  /// For acks and answers to flow control, in both forms of the subjects.
  var subscriptions: [Subscription] = []
  /// `$JS.ACK.<stream>.<consumer>.`, or the longer form with domain and account.
  let ackPrefix: [UInt8]
  /// Where ack subjects are put together.
  var ackSubject: [UInt8] = []
  var push = PushState()

  init(
    engine: ConsumerEngine, stream: Stream, name: ByteString, config: ConsumerConfig, created_ns: Int64, state: ConsumerState
  ) {
    self.engine = engine
    self.stream = stream
    self.name = name
    self.config = config
    self.created_ns = created_ns
    self.state = state
    lastActivity_ns = engine.host.clock.monotonic_ns
    inactivityJitter_ns = Int64(100 + engine.host.entropy.below(900)) * millisecond_ns
    ackPrefix = engine.controlPrefix("$JS.ACK.", stream.name, name, isLong: engine.jetStream.options.usesLongAckSubjects)
    ackSubject.reserveCapacity(ackPrefix.count + 90)
    chooseFilters()
  }

  public var isDirect: Bool { config.direct }
  var account: Account { engine.account }
  var host: Host { engine.host }

  /// Whether its configuration and state are kept on disk.
  ///
  /// One that serves a mirror or source is not: whoever asked for it asks again, from where it is.
  var isPersistent: Bool { stream.isFile && !config.memoryStorage && (!config.direct || config.isPlainSourcing) }

  var isPaused: Bool {
    guard let until_ns = config.pauseUntil_ns else { return false }
    return until_ns > host.clock.wall_ns
  }

  /// Begins to serve.
  func start() {
    if config.ackPolicy == .explicit || config.ackPolicy == .all {
      listen(to: "$JS.ACK.", "*.*.*.*.*", long: "*.*.*.*.>") { [unowned(unsafe) self] message, source, prefix in
        acknowledged(message, from: source, prefix)
      }
    }
    settingsChanged()
    if config.replayPolicy == .original { pace.replay(through: stream.lastSequence) }
    tellsPauseEnd = isPaused
    startPush()
    if state.pendingCount > 0 { ackDue_ns = host.clock.monotonic_ns }
    schedule(at: nextDue_ns)
    deliverSoon()
  }

  /// Stops serving and tells every waiting request `status`.
  func end(_ status: StaticString) {
    guard !isEnded else { return }
    isEnded = true
    host.timers.cancel(timer)
    host.timers.cancel(burstTimer)
    host.timers.cancel(countTimer)
    host.turn.defer { [self] in answerCounted() }
    for subscription in subscriptions { account.remove(subscription) }
    subscriptions = []
    stopPush()
    for pull in waiting.removeAll() { sendStatus(status, to: pull.reply) }
    // The subscription's handler may be on the stack now.
    host.turn.defer { [self] in _ = self }
  }

  /// Subscribes to both forms of a subject that receivers answer to. `handle` also gets the length of the form's prefix.
  func listen(
    to space: StaticString, _ tail: ByteString, long: ByteString, _ handle: @escaping (Message, Endpoint, Int) -> Void
  ) {
    let jetStream = engine.jetStream
    for isLong in [false, true] {
      let prefix = engine.controlPrefix(space, stream.name, name, isLong: isLong)
      let length = prefix.count
      let subscription = account.subscribe(ByteString(prefix) + (isLong ? long : tail), origin: .service) { message, source in
        jetStream.outsideOfPublishing(message, source) { message, source in handle(message, source, length) }
      }
      subscriptions.append(subscription)
    }
  }

  /// Takes over what the configuration says and is kept elsewhere.
  func settingsChanged() {
    setPace()
    let text = config.sampleFrequency
    samplePercent = text.withView { text in
      (!text.isEmpty && text[text.count - 1] == UInt8(ascii: "%") ? text.prefix(text.count - 1) : text).decimalInt() ?? 0
    }
  }

  func chooseFilters() {
    filters = config.filters
    for filter in filters where filter.withView({ stream.isCovered(by: $0) }) {
      filters = []
      break
    }
  }

  // MARK: The stream

  public func messagesArrived() { deliver() }

  public func needs(_ sequence: UInt64, subject: ByteView) -> Bool {
    guard Stream.matches(subject, filters) else { return false }
    return sequence >= state.next || state.isPending(sequence) || state.isGivenUp(sequence)
  }

  public func messageRemoved(_ sequence: UInt64, subject: ByteView) {
    if let pending = state.pending(sequence) { adviseGone([pending]) }
    if state.acknowledge(sequence) { changedByAck() }
    uncount(sequence, subject)
  }

  public func messagesRemoved(through sequence: UInt64) {
    let before = (next: state.next, pending: state.pendingCount)
    var gone: [PendingDelivery] = []
    state.removed(through: sequence) { if gone.count < Consumer.advisedMax { gone.append($0) } }
    adviseGone(gone)
    if state.next != before.next {
      isCounted = false
      while selectedNext < selected.count, selected[selectedNext] <= sequence { selectedNext += 1 }
    } else if let counting, !counting.survives(removalThrough: sequence) {
      isCounted = false
    }
    if state.pendingCount != before.pending { stateChanged(freed: true) }
  }

  /// Most removed messages that are reported one by one when many go at once.
  private static let advisedMax = 256

  public func streamPurged() {
    isCounted = false
    // Who has nothing left stands at the end.
    let isThrough = state.pendingCount == 0 && !stream.mayHave(filters, from: state.next)
    state.purged(through: isThrough ? stream.lastSequence : stream.firstSequence - 1)
    engine.markDirty(self)
  }

  public func streamUpdated() {
    chooseFilters()
    isCounted = false
  }

  public func streamDeleted() {
    adviseDeleted()
    engine.forget(self)
    end("409 Consumer Deleted")
  }

  public func clockJumped() { if config.pauseUntil_ns != nil { schedule(at: host.clock.monotonic_ns) } }

  /// The bookkeeping changed; `freed` when a message stopped waiting for its ack.
  func stateChanged(freed: Bool) {
    engine.markDirty(self)
    if freed, !waiting.isEmpty || config.isPush { deliverSoon() }
  }

  // MARK: Time

  /// When something has to be done next.
  var nextDue_ns: Int64 {
    var due_ns = min(ackDue_ns, waiting.nextDue_ns ?? Int64.max)
    if let until_ns = config.pauseUntil_ns {
      let wall_ns = host.clock.wall_ns
      var rest_ns = until_ns > wall_ns ? until_ns - wall_ns : 0
      if !host.clock.isWallTrusted { rest_ns = min(rest_ns, JetStream.untrustedWait_ns) }
      if rest_ns > 0 { due_ns = min(due_ns, WaitingPull.later(host.clock.monotonic_ns, rest_ns)) }
    }
    if config.inactiveThreshold_ns > 0 { due_ns = min(due_ns, inactiveAt_ns) }
    return min(due_ns, min(push.nextHeartbeat_ns, pin.ends_ns))
  }

  /// Sees to it that the timer fires at `due_ns` at the latest.
  func schedule(at due_ns: Int64) {
    guard !isEnded, due_ns < Int64.max, !timer.isScheduled || timer.deadline_ns > due_ns else { return }
    host.timers.schedule(timer, at: due_ns) { [unowned(unsafe) self] in tick() }
  }

  private func tick() {
    guard !isEnded else { return }
    let now_ns = host.clock.monotonic_ns
    if now_ns >= ackDue_ns { expireAcks(now_ns) }
    endRequests(now_ns)
    heartbeat(now_ns)
    endPin(now_ns)
    if tellsPauseEnd, !isPaused {
      tellsPauseEnd = false
      advisePause()
    }
    if config.inactiveThreshold_ns > 0, now_ns >= inactiveAt_ns {
      if hasReader {
        lastActivity_ns = now_ns
      } else {
        // Whoever has messages may still be at work on them: the time counts from when they would go out again.
        let worksUntil_ns = config.isPush ? 0 : state.lastDeadline_ns
        guard worksUntil_ns > lastActivity_ns, worksUntil_ns < Int64.max else { return engine.delete(self) }
        lastActivity_ns = worksUntil_ns
      }
    }
    deliver()
    // Many requests are not looked at more often than is cheap.
    schedule(at: max(nextDue_ns, WaitingPull.later(now_ns, Int64(waiting.count) * Consumer.requestCost_ns)))
  }

  /// What looking at one waiting request may cost.
  private static let requestCost_ns: Int64 = 1000

  private var inactiveAt_ns: Int64 {
    WaitingPull.later(lastActivity_ns, WaitingPull.later(config.inactiveThreshold_ns, config.isPush ? 0 : inactivityJitter_ns))
  }

  /// Whether somebody listens.
  private var hasReader: Bool {
    if config.isPush { return isBound }
    var found = false
    waiting.forEach { pull in if !found, isWanted(pull) { found = true } }
    return found
  }
}
