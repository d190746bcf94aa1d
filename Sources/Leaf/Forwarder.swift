// A forward at work: carries out what ForwardMachine decides, between an edge stream and a leaf link.
import Broker
import Bytes
import Identity
import Interest
import JSON
import JetStream
import LogStore
import Platform
import Wire

/// Publishes one stream to the hub's JetStream, in order, each message exactly once (docs/forwarding.md).
public final class Forwarder: StreamConsumer {
  /// Progress is written down at most this often; what it says too little only costs a look at the hub.
  private static let saveInterval_ns = second_ns
  /// The link holds at most about so many bytes of a forward at a time; the rest waits in the stream, where it is safe.
  private static let linkPendingMax = 64 * 1024
  private static let readAgain_ns = 10 * millisecond_ns
  /// Messages handed to the link in one loop turn.
  private static let burstMax = 256

  let host: Host
  public let account: Account
  let stream: Stream
  public let options: ForwardOptions
  private let transform: SubjectTransform?
  /// Subjects at the hub, as patterns.
  var hubPatterns: [ByteString] {
    if let transform { return [transform.destinationPattern] }
    return takenSubjects
  }
  /// The subjects that are forwarded have changed.
  public var onSubjectsChanged: (() -> Void)?
  var origin: ForwardOrigin
  var machine: ForwardMachine
  /// The link in use: none while the forward is paused.
  var link: LeafLink?
  /// The link that there is.
  private var offered: LeafLink?
  let inbox: String
  private var inboxSubscription: Subscription?
  var request = 0
  private var scanName = ""
  /// The comparison begins behind this message of the hub's stream.
  private(set) var scanAfter: UInt64 = 0
  /// The next message of the hub's stream to be asked for by itself, where no consumer can look.
  var lookNext: UInt64?
  var scanLeft = 0
  private let timer = Timer()
  private let fillTimer = Timer()
  private let saveTimer = Timer()
  private let unacknowledged: Backlog
  private var savedProgress: ForwardProgress
  private var filling = false
  /// The link says when it can take more.
  private var isAwaitingLink = false
  private var headerBytes: [UInt8] = []
  /// Batches are named by this and their number.
  let batchName: ByteString
  /// Where the last message of the batch went: its end must go to the same stream.
  private var batchSubject: [UInt8] = []
  /// Messages that the edge stream dropped (by its limits) before they were forwarded.
  public private(set) var droppedBefore: UInt64 = 0
  private var isEnded = false
  /// Whether an operator stopped it; survives restarts.
  public private(set) var isPaused: Bool
  /// Whether a forward that goes first has something to send.
  public var mustWait: () -> Bool = { false }
  /// Those that wait for this one may go on.
  public var onIdle: (() -> Void)?
  private var wasBusy = false

  public let name: ByteString
  /// Where progress stands on disk.
  private let key: ByteString
  /// Where it stood before keys said the account, until it is written down anew.
  private var oldKey: ByteString?
  public var isDirect: Bool { true }

  /// `identity` names this server at the hub: its JetStream domain, or its server name without one.
  public init(host: Host, account: Account, stream: Stream, options: ForwardOptions, identity: ByteString) throws(SubjectTransformError) {
    self.host = host
    self.account = account
    self.stream = stream
    self.options = options
    unacknowledged = Backlog(of: stream)
    name = ByteString("forward \(stream.name.string) \(options.filter?.string ?? ">") \(options.to?.string ?? "")")
    if let to = options.to {
      transform = try SubjectTransform(filter: options.filter ?? ">", to: to)
    } else {
      transform = nil
    }
    inbox = "_INBOX." + ByteString(host.entropy.name(22)).string
    batchName = ByteString(host.entropy.name(8))
    let isDefault = account.name == AccessRules.globalAccount
    key = ByteString([UInt8]("forward/".utf8) + (isDefault ? [] : account.name.bytes + [UInt8(ascii: "/")]) + name.bytes)
    let plainKey = ByteString([UInt8]("forward/".utf8) + name.bytes)
    var stored = Self.load(stream, key)
    if stored == nil, !isDefault {
      stored = Self.load(stream, plainKey)
      if stored != nil { oldKey = plainKey }
    }
    let incarnation = stored?.incarnation ?? ByteString(host.entropy.name(8))
    // The name under which the first message went stays, whatever this server is called after a restart.
    origin = ForwardOrigin(domain: stored?.identity ?? identity, stream: stream.name, incarnation: incarnation)
    let progress = stored?.progress ?? ForwardProgress()
    savedProgress = progress
    machine = ForwardMachine(
      progress: progress, last: stream.lastSequence, window: options.window, isOrdered: options.ordered,
      setsAside: options.deadLetter != nil)
    isPaused = stored?.isPaused ?? false
    inboxSubscription = account.subscribe(ByteString(inbox + ".>"), origin: .service) { [unowned(unsafe) self] message, _ in  // safe: removed in `end`
      self.answered(message)
    }
    stream.add(self)
  }

  public var state: ForwardMachine.State { machine.state }
  public var streamName: ByteString { stream.name }
  public var progress: ForwardProgress { machine.progress }
  public var inFlight: Int { machine.inFlightCount }
  public var delivered: UInt64 { machine.delivered }
  public var duplicates: UInt64 { machine.duplicates }
  public var refusals: ForwardRefusals { machine.refusals }
  public var setAside: UInt64 { machine.setAside }
  public var resent: UInt64 { machine.resent }
  /// Messages of the stream that the hub has not acknowledged.
  public var backlog: Int {
    // A filter that the whole stream passes needs no counting.
    let filters = options.filter.map { filter in filter.withView { stream.isCovered(by: $0) } ? [] : [filter] } ?? []
    return unacknowledged.count(matching: filters, from: machine.progress.acknowledged + 1)
  }
  /// Subjects that do not also go live.
  public var heldSubjects: [ByteString] { isEnded || options.live ? [] : takenSubjects }
  /// Subjects that the hub must not send back: forwarded to it unchanged, they would come round for ever.
  public var heldInboundSubjects: [ByteString] {
    isEnded ? [] : takenSubjects.filter { taken in hubPatterns.contains { Subject.overlap(taken, $0) } }
  }
  private var takenSubjects: [ByteString] { options.filter.map { [$0] } ?? stream.config.subjects }

  public func isInterested(in subject: ByteView) -> Bool { options.filter.map { Subject.matches(subject, $0) } ?? true }

  public func needs(_ sequence: UInt64, subject: ByteView) -> Bool {
    sequence > machine.progress.acknowledged && isInterested(in: subject)
  }

  var now_ms: Int64 { host.clock.monotonic_ns / millisecond_ns }

  // MARK: Progress on disk

  private struct Stored {
    var progress: ForwardProgress
    /// nil: what was forwarded is no part of the stream any more, and its sequences will be given again.
    var incarnation: ByteString?
    var identity: ByteString?
    var isPaused: Bool
  }

  private static func load(_ stream: Stream, _ key: ByteString) -> Stored? {
    guard let bytes = stream.engine.store.metadata[key], let json = bytes.withView({ try? JSON.parse($0) }),
      // A stream that was deleted and made anew counts from the beginning.
      json["created"]?.int64 == stream.created_ns, let incarnation = json["incarnation"]?.string,
      let acknowledged = json["acknowledged"]?.uint64
    else { return nil }
    var progress = ForwardProgress()
    progress.acknowledged = min(acknowledged, stream.lastSequence)
    progress.hubStream = json["hub_stream"]?.string ?? ByteString()
    progress.hubSequence = min(json["hub_seq"]?.uint64 ?? 0, PublishAck.sequenceMax)
    return Stored(
      progress: progress, incarnation: acknowledged <= stream.lastSequence ? incarnation : nil, identity: json["identity"]?.string,
      isPaused: json["paused"]?.bool ?? false)
  }

  @discardableResult private func save() -> UInt64 {
    stream.consumerIsDone(after: savedProgress.acknowledged, through: machine.progress.acknowledged)
    savedProgress = machine.progress
    var json = JSONWriter()
    json.beginObject()
    json.field("created", stream.created_ns)
    json.field("incarnation", origin.incarnation)
    json.field("identity", origin.domain)
    json.field("acknowledged", machine.progress.acknowledged)
    json.field("hub_stream", machine.progress.hubStream)
    json.field("hub_seq", machine.progress.hubSequence)
    json.fieldUnlessFalse("paused", isPaused)
    json.endObject()
    let position = stream.engine.store.setMetadata(key, json.finish())
    removeOld()
    return position
  }

  /// By now it may be another forward's place.
  private func removeOld() {
    guard let oldKey else { return }
    if Self.load(stream, oldKey) != nil { stream.engine.store.removeMetadata(oldKey) }
    self.oldKey = nil
  }

  func saveSoon() {
    guard !saveTimer.isScheduled, machine.progress != savedProgress else { return }
    host.after(Self.saveInterval_ns, saveTimer) { [unowned(unsafe) self] in self.save() }  // safe: cancelled in `end`
  }

  // MARK: The link

  public func linkUp(_ link: LeafLink) {
    guard !isEnded else { return }
    offered = link
    start()
  }

  public func linkDown() {
    offered = nil
    halt()
  }

  private func start() {
    guard let offered, !isPaused else { return }
    link = offered
    perform(machine.linkUp(now_ms: now_ms))
  }

  private func halt() {
    link = nil
    isAwaitingLink = false
    host.timers.cancel(timer)
    host.timers.cancel(fillTimer)
    machine.linkDown()
    tellIdle()
  }

  /// Stops sending, or goes on. `done` is called when that outlives a restart.
  public func pause(_ paused: Bool, _ done: @escaping () -> Void) {
    guard !isEnded else { return done() }
    if paused != isPaused {
      isPaused = paused
      host.log.info("Forward \(stream.name.string): \(paused ? "paused" : "resumed")")
      if paused { halt() } else { start() }
    }
    stream.engine.store.whenDurable(save(), done)
  }

  // MARK: Priority

  /// Whether it has something under way or to send, and can.
  public var isBusy: Bool {
    guard !isEnded, link != nil else { return false }
    switch machine.state {
    case .forwarding: return machine.inFlightCount > 0 || machine.next <= stream.lastDeliverable
    case .locating, .comparing, .offline, .upToDate, .refused: return false
    }
  }

  /// Those behind it are told once, when it has become idle.
  private func tellIdle() {
    let isBusy = isBusy
    if wasBusy, !isBusy { onIdle?() }
    wasBusy = isBusy
  }

  /// Nobody goes first any more.
  public func goOn() { if machine.maySend { fill() } }

  /// The forward ends with the server; what it knows is written down. The stream keeps it: what has yet to be forwarded is needed, also
  /// when another consumer of the stream ends later, or a message comes meanwhile.
  public func end() {
    guard !isEnded else { return }
    isEnded = true
    linkDown()
    host.timers.cancel(saveTimer)
    if let inboxSubscription { account.remove(inboxSubscription) }
    if !stream.isDeleted, machine.progress != savedProgress { save() }
  }

  // MARK: What the machine wants

  func perform(_ actions: [ForwardMachine.Action]) {
    for action in actions {
      switch action {
      case .findStream: findStream()
      case .saveProgress:
        let position = save()
        let asked = link
        stream.engine.store.whenDurable(position) { [self] in
          // Another link since then has to be asked itself.
          if link === asked { perform(machine.progressSaved(now_ms: now_ms)) }
        }
      case .createScan(let hubStream, let after): createScan(hubStream, after)
      case .fetchScan: fetchScan()
      case .deleteScan: deleteScan()
      case .send: fill()
      case .closeBatch(let number, let sequence): closeBatch(number, sequence)
      case .setAside(let sequence, let text): setAside(sequence, text)
      case .wakeUp(let at_ms):
        host.timers.schedule(timer, at: at_ms * millisecond_ns) { [unowned(unsafe) self] in  // safe: cancelled in `linkDown`
          // What the link has yet to send cannot have been acknowledged; whether the link lives is its own business.
          if self.link?.isSendingBacklog == true { self.machine.wait(now_ms: self.now_ms) }
          self.perform(self.machine.wake(now_ms: self.now_ms))
        }
      }
    }
    tellIdle()
  }

  /// Sends a request to the hub's API.
  private func ask(_ path: String, kind: String, _ body: [UInt8]) {
    guard let link else { return }
    request += 1
    let subject = [UInt8]((link.hubAPIPrefix + path).utf8)
    let reply = [UInt8]("\(inbox).\(kind).\(request)".utf8)
    let sent = subject.withView { subject in
      reply.withView { reply in
        body.withView { body in link.send(Message(subject: subject, reply: reply, payload: body)) }
      }
    }
    if !sent { perform(machine.requestFailed("the hub forbids requests to its JetStream (\(link.hubAPIPrefix)>)", now_ms: now_ms)) }
  }

  private func findStream() {
    var json = JSONWriter()
    json.beginObject()
    if let pattern = hubPatterns.first { json.field("subject", pattern) }
    json.endObject()
    ask("STREAM.LIST", kind: "list", json.finish())
  }

  private func createScan(_ hubStream: ByteString, _ after: UInt64) {
    scanName = "petiole-" + ByteString(host.entropy.name(12)).string
    scanAfter = after
    lookNext = nil
    let filter = scanFilter
    var json = JSONWriter()
    json.beginObject()
    json.field("stream_name", hubStream)
    json.beginObject("config")
    json.field("name", scanName)
    json.field("deliver_policy", literal: "by_start_sequence")
    json.field("opt_start_seq", after + 1)
    json.field("ack_policy", literal: "none")
    json.field("replay_policy", literal: "instant")
    if let filter { json.field("filter_subject", filter) }
    json.field("inactive_threshold", 30 * second_ns)
    json.field("headers_only", true)
    json.field("mem_storage", true)
    json.field("num_replicas", 1)
    json.endObject()
    json.endObject()
    let tail = filter.map { "." + $0.string } ?? ""
    ask("CONSUMER.CREATE.\(hubStream.string).\(scanName)\(tail)", kind: "create", json.finish())
  }

  /// The forward's subjects at the hub, unless they are several or all.
  private var scanFilter: ByteString? { hubPatterns.count == 1 && hubPatterns[0] != ">" ? hubPatterns[0] : nil }

  private func fetchScan() {
    if let lookNext {
      var json = JSONWriter()
      json.beginObject()
      json.field("seq", lookNext)
      json.field("next_by_subj", scanFilter ?? ">")
      json.endObject()
      return ask("STREAM.MSG.GET.\(machine.progress.hubStream.string)", kind: "look", json.finish())
    }
    scanLeft = ForwardMachine.scanBatch
    ask(
      "CONSUMER.MSG.NEXT.\(machine.progress.hubStream.string).\(scanName)", kind: "scan",
      [UInt8]("{\"batch\":\(scanLeft),\"no_wait\":true}".utf8))
  }

  private func deleteScan() {
    guard lookNext == nil else {
      lookNext = nil
      return
    }
    ask("CONSUMER.DELETE.\(machine.progress.hubStream.string).\(scanName)", kind: "none", [])
  }

  // MARK: Sending

  func fill() {
    guard let link, !filling else { return }
    if mustWait() { return perform(machine.closeBatch(now_ms: now_ms)) }
    filling = true
    defer {
      filling = false
      tellIdle()
    }
    let until = stream.lastDeliverable
    var burst = 0
    var refusal: (text: String, kind: ForwardRefusal)?
    var refusedSubject: UInt64 = 0
    var isLinkFull = false
    var isRead = true
    if machine.next < stream.firstSequence {
      let lost = stream.firstSequence - machine.next
      droppedBefore += lost
      host.log.warning(
        "Forward \(stream.name.string): \(lost) messages left the stream, by its limits or a purge, before they were forwarded")
      machine.passed(stream.firstSequence - 1)
    }
    if machine.maySend, machine.next <= until {
      isRead = stream.scan(from: machine.next) { message in
        guard message.sequence <= until, machine.maySend, burst < Self.burstMax else { return false }
        guard link.backlogPending < Self.linkPendingMax else {
          isLinkFull = true
          return false
        }
        if message.sequence > machine.next { machine.passed(message.sequence - 1) }
        guard forwards(message.subject), machine.wants(message.sequence) else {
          machine.passed(message.sequence)
          return true
        }
        let subject = ByteHash.hash(message.subject, seed: ByteHash.seed)
        guard machine.maySend(subject: subject) else { return false }
        let placement = machine.placement(size: message.headers.count + message.payload.count, waiting: until - message.sequence)
        guard placement != .later else { return false }
        let (size, why) = send(message, placement, link)
        guard size > 0 else {
          refusal = Self.words(why ?? .other, machine.next)
          refusedSubject = subject
          return false
        }
        burst += 1
        perform(machine.sent(message.sequence, subject: subject, size: size, placement, now_ms: now_ms))
        return true
      }
    }
    if let refusal {
      let wasNext = machine.next
      perform(machine.notTaken(wasNext, subject: refusedSubject, refusal.text, refusal.kind, now_ms: now_ms))
      // One that was set aside is out of the way.
      if machine.next > wasNext { host.turn.defer { [self] in fill() } }
    } else if isLinkFull {
      guard !isAwaitingLink else { return saveSoon() }
      isAwaitingLink = true
      link.whenBacklogIsLow { [self] in
        guard self.link === link else { return }
        isAwaitingLink = false
        fill()
      }
    } else if !isRead {
      // A disk that cannot be read now is tried again; nothing is passed over.
      host.after(Self.readAgain_ns, fillTimer) { [unowned(unsafe) self] in self.fill() }  // safe: cancelled in `linkDown`
    } else if burst == Self.burstMax {
      host.turn.defer { [self] in fill() }
    } else if machine.next > until {
      perform(machine.exhausted(now_ms: now_ms))
    }
    saveSoon()
  }

  private func forwards(_ subject: ByteView) -> Bool { options.filter.map { Subject.matches(subject, $0) } ?? true }

  private static func words(_ kind: ForwardRefusal, _ sequence: UInt64) -> (text: String, kind: ForwardRefusal) {
    switch kind {
    case .tooLarge: ("message \(sequence) is larger than the hub takes", kind)
    case .notPermitted: ("the hub does not permit the subject of message \(sequence)", kind)
    case .streamFull, .other: ("the hub does not take message \(sequence): the link is down or takes no headers", kind)
    }
  }

  /// Hands one message to the link; its size, or 0 and why when the hub does not take it.
  private func send(_ message: LogMessage, _ placement: ForwardPlacement, _ link: LeafLink) -> (size: Int, why: ForwardRefusal?) {
    headerBytes.removeAll(keepingCapacity: true)
    origin.appendHeaders(message.sequence, message.timestamp_ns, headers: message.headers, to: &headerBytes)
    let reply: [UInt8]
    if case .batched(let number, let sequence, let isLast) = placement {
      reply = batchReply(number, sequence, isLast ? .commit : sequence == 1 ? .start : .append)
    } else {
      reply = replySubject("p", message.sequence)
    }
    let mapped = transform.flatMap { $0.apply(message.subject) }
    func hand(_ subject: ByteView) -> (size: Int, why: ForwardRefusal?) {
      headerBytes.withView { headers in
        reply.withView { reply in
          let forwarded = Message(subject: subject, reply: reply, headers: headers, payload: message.payload)
          if link.send(forwarded) {
            if placement != .alone { batchSubject = subject.bytes }
            return (forwarded.size + message.subject.count, nil)
          }
          return (0, link.refusal(of: forwarded))
        }
      }
    }
    if let mapped { return mapped.withView { hand($0) } }
    return hand(message.subject)
  }

  private enum BatchOperation: UInt8 {
    case start = 0
    case append, commit, end
  }

  /// Says what a message is in a batch: `<inbox>.b.<batch>.<flow>.fail.<sequence>.<operation>.$FI`. A gap ends the batch.
  private func batchReply(_ number: UInt64, _ sequence: UInt64, _ operation: BatchOperation) -> [UInt8] {
    var reply: [UInt8] = []
    reply.reserveCapacity(inbox.utf8.count + 56)
    reply.append(contentsOf: inbox.utf8)
    reply.append(literal: ".b.")
    reply.append(batchName)
    reply.append(decimal: number)
    reply.append(ASCII.dot)
    reply.append(decimal: ForwardBatch.flow)
    reply.append(literal: ".fail.")
    reply.append(decimal: sequence)
    reply.append(ASCII.dot)
    reply.append(decimal: operation.rawValue)
    reply.append(literal: ".$FI")
    return reply
  }

  /// Ends a batch that has its last message already.
  private func closeBatch(_ number: UInt64, _ sequence: UInt64) {
    guard let link else { return }
    batchSubject.withView { subject in
      batchReply(number, sequence, .end).withView { reply in _ = link.send(Message(subject: subject, reply: reply)) }
    }
  }

  /// Where the answer to the message `sequence` comes.
  func replySubject(_ kind: StaticString, _ sequence: UInt64) -> [UInt8] {
    var reply: [UInt8] = []
    reply.reserveCapacity(inbox.utf8.count + 24)
    reply.append(contentsOf: inbox.utf8)
    reply.append(ASCII.dot)
    reply.append(literal: kind)
    reply.append(ASCII.dot)
    reply.append(decimal: sequence)
    return reply
  }

  // MARK: StreamConsumer

  public var doneThrough: UInt64 { machine.progress.acknowledged }
  public var wantsEverything: Bool { options.filter == nil }
  public func messagesArrived() { if machine.maySend { fill() } }
  public func messageRemoved(_ sequence: UInt64, subject: ByteView) {}
  public func messagesRemoved(through sequence: UInt64) {}
  public func streamPurged() { if machine.maySend { fill() } }
  public func streamUpdated() { onSubjectsChanged?() }

  public func streamDeleted() {
    host.log.error("Forward \(stream.name.string): the stream was deleted; make it again and restart to forward it")
    stream.engine.store.removeMetadata(key)
    removeOld()
    end()
    onSubjectsChanged?()
  }
}
