// Following one origin: asking it for a consumer, taking what that delivers, and asking again when it falls silent or something is
// missing (leafnode-protocol.md section 14.4). What is asked is in SourceFeed+Request, where a message is stored in Stream+Origin, and
// how the place in the origin outlives a restart in Stream+Sources.
import Broker
import Bytes
import Interest
import LogStore
import Platform
import Wire

/// One source of a stream, or what its mirror mirrors.
final class SourceFeed {
  /// Times as in nats-server, so that neither side is asked more often than it expects.
  enum Limits {
    /// Between two requests.
    static let request_ns = 2 * second_ns
    /// For an answer; of a reset, which has less to do.
    static let answer_ns = 30 * second_ns
    static let resetAnswer_ns = 5 * second_ns
    /// Silence after which the consumer is given up.
    static let silence_ns = 10 * second_ns
    /// For a sign of a consumer after the way to it was gone: two heartbeats.
    static let sign_ns = 2 * second_ns
    /// What each failure in a row adds to the wait, and the longest.
    static let backoff_ns = 10 * second_ns
    static let backoffMax_ns = 120 * second_ns
    static let jitter_ns = 100 * millisecond_ns
  }

  /// What an origin understands: the newest form is tried first.
  enum Form: Int {
    /// Without the names and the mark of a sourcing consumer: servers up to 2.12.
    case plain
    /// API level 4 (2.14): durable where the origin's retention needs it.
    case sourcing
    /// API level 5 (2.15): likewise, and the origin says who it is.
    case identity
  }

  private enum Phase { case waiting, asking, following }

  /// Safe: a stream ends its feeds before it goes.
  unowned(unsafe) let stream: Stream
  let source: StreamSource
  let isMirror: Bool
  let indexName: ByteString
  private let transforms: [SubjectTransform]

  var cursor = OriginCursor()
  /// Which stream the origin was when it was last heard of; empty when it did not say.
  var identity = ByteString()
  /// Up to here everything that the origin has for this stream is stored or needs not be.
  private(set) var settled: UInt64 = 0
  /// The last message here that tells `settled`; 0 when that is written down or not known.
  var carrier: UInt64 = 0
  /// The last message here that told a place, written down or not; 0 for none.
  var noted: UInt64 = 0
  /// What StreamInfo shows.
  private(set) var error: APIError?
  /// When something was last heard (monotonic); nil for never.
  private(set) var lastHeard_ns: Int64?

  var form: Form
  /// The origin turned out to be another stream of the same name: it is taken from its beginning.
  private(set) var isRecreated = false
  private var phase = Phase.waiting
  private var failures = 0
  private var lastRequest_ns: Int64?
  private var consumerName = ByteString()
  /// The answer to the present request is expected here.
  private var answers: Subscription?
  private var deliveries: Subscription?
  private let timer = Timer()
  private var isStarted = false
  private var isEnded = false

  init(stream: Stream, source: StreamSource, isMirror: Bool) {
    self.stream = stream
    self.source = source
    self.isMirror = isMirror
    indexName = source.indexName
    form = isMirror ? .sourcing : .identity
    let entropy = stream.engine.host.entropy
    transforms = source.transforms.compactMap { transform in
      try? SubjectTransform(source: transform.source, destination: transform.destination) { UInt32(entropy.below(Int($0))) }
    }
  }

  var engine: JetStream { stream.engine }
  private var host: Host { engine.host }
  private var account: Account { engine.account }

  // MARK: Life

  func start() {
    isStarted = true
    wait(0)
  }

  func startOnce() { if !isStarted { start() } }

  /// Takes over the place of a feed that follows the same origin otherwise.
  func `continue`(_ former: SourceFeed) {
    place(former.settled, identity: former.identity, carrier: former.carrier)
    noted = former.noted
  }

  /// Everything up to `sequence` is here already.
  func place(_ sequence: UInt64, identity: ByteString, carrier: UInt64) {
    cursor.sequence = sequence
    settled = sequence
    self.identity = identity
    self.carrier = carrier
    noted = max(noted, carrier)
  }

  var isFollowing: Bool { phase == .following }

  /// `isDropped` when the origin's consumer will not be asked for again.
  func end(isDropped: Bool) {
    guard !isEnded else { return }
    if isDropped, phase == .following { forgetConsumer(consumerName) }
    isEnded = true
    hangUp()
    host.turn.defer { [self] in _ = self }  // one of the subscriptions' handlers may be on the stack
  }

  /// Lets go of the present consumer and request.
  private func hangUp() {
    host.timers.cancel(timer)
    if let answers { account.remove(answers) }
    if let deliveries { account.remove(deliveries) }
    answers = nil
    deliveries = nil
    consumerName = ByteString()
    phase = .waiting
  }

  /// Asks again `delay_ns` from now, but not sooner than the origin may be asked.
  private func wait(_ delay_ns: Int64) {
    phase = .waiting
    var delay_ns = delay_ns
    if let last_ns = lastRequest_ns { delay_ns += max(0, last_ns + Limits.request_ns - host.clock.monotonic_ns) }
    delay_ns += Limits.jitter_ns + Int64(host.entropy.below(Int(Limits.jitter_ns)))
    host.after(delay_ns, timer) { [unowned(unsafe) self] in ask() }
  }

  /// Asks for a new consumer behind what is here.
  func reopen() {
    guard !isEnded else { return }
    hangUp()
    wait(0)
  }

  private func fail(_ error: APIError?) {
    if let error { self.error = error }
    failures += 1
    hangUp()
    wait(min(Int64(failures) * Limits.backoff_ns, Limits.backoffMax_ns))
  }

  /// The way to the origin is there (again): what waits for its turn, or for an answer that was lost with the old way, tries now.
  func wayOpened() {
    guard !isEnded, isStarted else { return }
    failures = 0
    switch phase {
    case .waiting, .asking: reopen()
    case .following:
      // The consumer may still be there. Then it goes on now, or says within a heartbeat that it is.
      let opened_ns = host.clock.monotonic_ns
      host.after(Limits.sign_ns, timer) { [unowned(unsafe) self] in
        if (lastHeard_ns ?? 0) < opened_ns { reopen() } else { listen() }
      }
    }
  }

  private var isSilent: Bool { (lastHeard_ns ?? 0) + Limits.silence_ns <= host.clock.monotonic_ns }

  // MARK: Asking

  private func ask() {
    hangUp()
    phase = .asking
    lastRequest_ns = host.clock.monotonic_ns
    error = nil
    let inbox = ByteString("$JSC.R.") + ByteString(host.entropy.name(8))
    answers = account.subscribe(inbox, origin: .service) { [unowned(unsafe) self] message, _ in answered(message) }
    send(reply: inbox)
    host.after(source.consumer == nil ? Limits.answer_ns : Limits.resetAnswer_ns, timer) { [unowned(unsafe) self] in
      fail(nil)
      watch()
    }
  }

  /// A consumer that is there already may be heard before it can be asked: a sign of it ends the wait.
  private func watch() {
    guard let consumer = source.consumer else { return }
    deliveries = account.subscribe(consumer.deliverSubject) { [unowned(unsafe) self] _, _ in
      guard phase == .waiting, failures > 0 else { return }
      failures = 0
      reopen()
    }
  }

  private func answered(_ message: Message) {
    guard phase == .asking else { return }
    switch OriginAnswer(message) {
    case .failure(let error):
      if error.errorCode == 10225 {
        // Another stream has the name now: all of it is new.
        cursor = OriginCursor()
        identity = ByteString()
        isRecreated = true
        return reopen()
      }
      if error.errorCode == 10185 || error.errorCode == 10025, form != .plain, source.consumer == nil {
        form = Form(rawValue: form.rawValue - 1) ?? .plain
        return ask()
      }
      fail(error)
    case .success(let opened):
      if source.consumer != nil, !opened.acksByFlowControl {
        return fail(
          isMirror
            ? APIError(400, 10214, "stream mirror consumer requires flow control ack policy")
            : APIError(400, 10217, "stream source consumer requires flow control ack policy"))
      }
      follow(opened)
    }
  }

  private func follow(_ opened: OpenedOrigin) {
    hangUp()
    failures = 0
    error = nil
    phase = .following
    consumerName = opened.consumer
    let subject = source.consumer?.deliverSubject ?? opened.deliverSubject
    guard Subject.isValidToPublish(subject), opened.position < StreamLog.sequenceMax else {
      return fail(APIError(400, 10112, "invalid push consumer deliver subject"))
    }
    // A server that knows no sourcing consumers took the stable name as it is: it would be in the way of the next one.
    if form != .plain, !opened.isSourcing, source.consumer == nil { form = .plain }
    cursor.number = 0
    if isMirror {
      stream.mirrorBegins(behind: opened.position)
      cursor.sequence = max(opened.position, stream.lastSequence)
    } else {
      if isRecreated || (!opened.identity.isEmpty && !identity.isEmpty && opened.identity != identity) { cursor.sequence = 0 }
      isRecreated = false
      identity = opened.identity
      cursor.sequence = max(cursor.sequence, opened.position)
    }
    lastHeard_ns = host.clock.monotonic_ns
    deliveries = account.subscribe(subject) { [unowned(unsafe) self] message, _ in received(message) }
    listen()
  }

  /// Looks after the consumer when it was silent for too long.
  private func listen() {
    host.timers.schedule(timer, at: (lastHeard_ns ?? 0) + Limits.silence_ns) { [unowned(unsafe) self] in
      if isSilent { reopen() } else { listen() }
    }
  }

  // MARK: Taking

  private func received(_ message: Message) {
    guard phase == .following else { return }
    lastHeard_ns = host.clock.monotonic_ns
    if message.payload.isEmpty, message.headers.hasPrefix("NATS/1.0 100 ") { return control(message) }
    guard let delivery = OriginDelivery(message.reply), consumerName == delivery.consumer else { return }
    let before = cursor
    switch cursor.take(delivery, isMirror: isMirror) {
    case .ignore: break
    case .reopen: reopen()
    case .store:
      if !store(message, delivery) {
        cursor = before
        reopen()
      }
    }
  }

  private func control(_ message: Message) {
    if !message.reply.isEmpty { return confirm(ByteString(message.reply)) }
    let headers = Headers(message.headers)
    if let number = headers.value("Nats-Last-Consumer")?.decimal(), number > 0, number != cursor.number { return reopen() }
    if let stalled = headers.value("Nats-Consumer-Stalled"), Subject.isValidToPublish(stalled) { confirm(ByteString(stalled)) }
  }

  /// Answers a flow control request when all that came before it is on the medium: the origin may drop it then.
  private func confirm(_ target: ByteString) {
    guard target.hasPrefix("$JS.FC.") else { return }
    var headers = HeaderBuilder()
    headers.add("Nats-Last-Consumer", decimal: cursor.number)
    headers.add("Nats-Last-Stream", decimal: cursor.sequence)
    let block = headers.block
    let account = account
    guard stream.isFile, engine.store.durablePosition < engine.store.appendedPosition else {
      account.publish(to: target, [], headers: block)
      return
    }
    engine.store.whenDurable(engine.store.appendedPosition) { account.publish(to: target, [], headers: block) }
  }

  /// Stores a delivery; false when that has to be tried again.
  private func store(_ message: Message, _ delivery: OriginDelivery) -> Bool {
    var subject = message.shownSubject.isEmpty ? ByteString() : ByteString(message.shownSubject)
    for transform in transforms {
      guard let changed = transform.apply(subject) else { continue }
      subject = changed
      break
    }
    // A transform of a strange subject can have empty tokens, which no subject has: passed over, not tried for ever.
    guard Subject.isValidToPublish(subject) else { return true }
    let headers = header(of: message, delivery)
    let origin = OriginMessage(
      sequence: isMirror ? delivery.sequence : 0, timestamp_ns: isMirror ? delivery.timestamp_ns : 0)
    let outcome = subject.withView { subject in
      (headers ?? []).withView { made in
        stream.take(
          Message(subject: subject, headers: headers == nil ? message.headers : made, payload: message.payload), from: origin)
      }
    }
    switch outcome {
    case .stored(let sequence):
      settled = delivery.sequence
      carrier = sequence
      noted = sequence
      stream.sourceMoved()
    case .passed:
      settled = delivery.sequence
      stream.sourceMoved()
    case .refused(let error):
      if self.error?.errorCode != error.errorCode {
        host.log.warning(
          "JetStream stream '\(stream.name.string)' cannot store what comes from '\(source.name.string)': \(error.text.string)")
      }
      self.error = error
      return false
    }
    return true
  }

  /// The header block as it is stored; nil when that is the block as it came.
  private func header(of message: Message, _ delivery: OriginDelivery) -> [UInt8]? {
    if isMirror, message.headers.isEmpty { return nil }
    var builder = HeaderBuilder()
    var isChanged = !isMirror
    Headers(message.headers).forEach { name, value in
      if name.hasPrefix("Nats-Expected-") || name.hasPrefix("Nats-Batch-") || (!isMirror && name.equals("Nats-Stream-Source")) {
        isChanged = true
      } else {
        builder.add(name, value)
      }
      return true
    }
    guard isChanged else { return nil }
    if !isMirror { builder.add("Nats-Stream-Source", mark(message.shownSubject, delivery)) }
    return builder.bytes.count == 10 ? [] : builder.block
  }

  /// `<stream> <sequence> <filter> <destination> <subject>[ <identity>]`
  private func mark(_ subject: ByteView, _ delivery: OriginDelivery) -> ByteString {
    let name = indexName.bytes
    let blank = name.firstIndex(of: ASCII.space) ?? name.count
    var mark = Array(name[..<blank])
    mark.append(ASCII.space)
    mark.append(decimal: delivery.sequence)
    mark.append(contentsOf: name[blank...])
    mark.append(ASCII.space)
    mark.append(subject)
    if !identity.isEmpty {
      mark.append(ASCII.space)
      mark.append(identity)
    }
    return ByteString(mark)
  }
}
