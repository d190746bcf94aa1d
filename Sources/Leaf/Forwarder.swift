// A forward at work: carries out what ForwardMachine decides, between an edge stream and a leaf link.
import Broker
import Bytes
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
  private static let linkPendingMax = 256 * 1024
  private static let linkFull_ns = 10 * millisecond_ns
  /// Messages handed to the link in one loop turn.
  private static let burstMax = 256

  private let host: Host
  private let account: Account
  private let stream: Stream
  public let options: ForwardOptions
  private let transform: SubjectTransform?
  /// Subjects at the hub, as patterns.
  private var hubPatterns: [ByteString] {
    if let transform { return [transform.destinationPattern] }
    return takenSubjects
  }
  /// The subjects that are forwarded have changed.
  public var onSubjectsChanged: (() -> Void)?
  private var origin: ForwardOrigin
  private var machine: ForwardMachine
  private var link: LeafLink?
  private let inbox: String
  private var inboxSubscription: Subscription?
  private var request = 0
  private var scanName = ""
  private var scanLeft = 0
  private let timer = Timer()
  private let fillTimer = Timer()
  private let saveTimer = Timer()
  private var savedProgress: ForwardProgress
  private var filling = false
  private var headerBytes: [UInt8] = []
  /// Messages that the edge stream dropped (by its limits) before they were forwarded.
  public private(set) var droppedBefore: UInt64 = 0
  private var isEnded = false

  public let name: ByteString
  public var isDirect: Bool { true }

  /// `identity` names this server at the hub: its JetStream domain, or its server name without one.
  public init(host: Host, account: Account, stream: Stream, options: ForwardOptions, identity: ByteString) throws(SubjectTransformError) {
    self.host = host
    self.account = account
    self.stream = stream
    self.options = options
    name = ByteString("forward \(stream.name.string) \(options.filter?.string ?? ">") \(options.to?.string ?? "")")
    if let to = options.to {
      transform = try SubjectTransform(filter: options.filter ?? ">", to: to)
    } else {
      transform = nil
    }
    inbox = "_INBOX." + ByteString(host.entropy.name(22)).string
    let stored = Self.load(stream, name)
    let incarnation = stored?.incarnation ?? ByteString(host.entropy.name(8))
    // The name under which the first message went stays, whatever this server is called after a restart.
    origin = ForwardOrigin(domain: stored?.identity ?? identity, stream: stream.name, incarnation: incarnation)
    let progress = stored?.progress ?? ForwardProgress()
    savedProgress = progress
    machine = ForwardMachine(progress: progress, last: stream.lastSequence, window: options.window, isOrdered: options.ordered)
    inboxSubscription = account.subscribe(ByteString(inbox + ".>")) { [unowned(unsafe) self] message, _ in  // safe: removed in `end`
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
  public var refusals: UInt64 { machine.refusals }
  public var resent: UInt64 { machine.resent }
  /// Messages of the stream that the hub has not acknowledged.
  public var backlog: Int {
    // A filter that the whole stream passes needs no counting.
    let filters = options.filter.map { filter in filter.withView { stream.isCovered(by: $0) } ? [] : [filter] } ?? []
    return stream.pending(matching: filters, from: machine.progress.acknowledged + 1)
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

  private var now_ms: Int64 { host.clock.monotonic_ns / millisecond_ns }

  // MARK: Progress on disk

  private static func key(_ name: ByteString) -> ByteString { ByteString([UInt8]("forward/".utf8) + name.bytes) }

  private struct Stored {
    var progress: ForwardProgress
    /// nil: what was forwarded is no part of the stream any more, and its sequences will be given again.
    var incarnation: ByteString?
    var identity: ByteString?
  }

  private static func load(_ stream: Stream, _ name: ByteString) -> Stored? {
    guard let bytes = stream.engine.store.metadata[key(name)], let json = bytes.withView({ try? JSON.parse($0) }),
      // A stream that was deleted and made anew counts from the beginning.
      json["created"]?.int64 == stream.created_ns, let incarnation = json["incarnation"]?.string,
      let acknowledged = json["acknowledged"]?.uint64
    else { return nil }
    var progress = ForwardProgress()
    progress.acknowledged = min(acknowledged, stream.lastSequence)
    progress.hubStream = json["hub_stream"]?.string ?? ByteString()
    progress.hubSequence = min(json["hub_seq"]?.uint64 ?? 0, PublishAck.sequenceMax)
    return Stored(
      progress: progress, incarnation: acknowledged <= stream.lastSequence ? incarnation : nil, identity: json["identity"]?.string)
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
    json.endObject()
    return stream.engine.store.setMetadata(Self.key(name), json.finish())
  }

  private func saveSoon() {
    guard !saveTimer.isScheduled, machine.progress != savedProgress else { return }
    host.after(Self.saveInterval_ns, saveTimer) { [unowned(unsafe) self] in self.save() }  // safe: cancelled in `end`
  }

  // MARK: The link

  public func linkUp(_ link: LeafLink) {
    guard !isEnded else { return }
    self.link = link
    perform(machine.linkUp(now_ms: now_ms))
  }

  public func linkDown() {
    link = nil
    host.timers.cancel(timer)
    host.timers.cancel(fillTimer)
    machine.linkDown()
  }

  /// The forward ends (stop or reload); what it knows is written down.
  public func end() {
    guard !isEnded else { return }
    isEnded = true
    linkDown()
    host.timers.cancel(saveTimer)
    if let inboxSubscription { account.remove(inboxSubscription) }
    if !stream.isDeleted {
      stream.remove(self)
      if machine.progress != savedProgress { save() }
    }
  }

  // MARK: What the machine wants

  private func perform(_ actions: [ForwardMachine.Action]) {
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
      case .wakeUp(let at_ms):
        host.timers.schedule(timer, at: at_ms * millisecond_ns) { [unowned(unsafe) self] in  // safe: cancelled in `linkDown`
          self.perform(self.machine.wake(now_ms: self.now_ms))
        }
      }
    }
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
    let filter = hubPatterns.count == 1 && hubPatterns[0] != ">" ? hubPatterns[0] : nil
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

  private func fetchScan() {
    scanLeft = ForwardMachine.scanBatch
    ask(
      "CONSUMER.MSG.NEXT.\(machine.progress.hubStream.string).\(scanName)", kind: "scan",
      [UInt8]("{\"batch\":\(scanLeft),\"no_wait\":true}".utf8))
  }

  private func deleteScan() {
    ask("CONSUMER.DELETE.\(machine.progress.hubStream.string).\(scanName)", kind: "none", [])
  }

  // MARK: Sending

  private func fill() {
    guard let link, !filling else { return }
    filling = true
    defer { filling = false }
    let until = stream.lastDeliverable
    var burst = 0
    var refused = false
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
        guard link.pending < Self.linkPendingMax else {
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
        let size = send(message, link)
        guard size > 0 else {
          refused = true
          return false
        }
        burst += 1
        perform(machine.sent(message.sequence, subject: subject, size: size, now_ms: now_ms))
        return true
      }
    }
    if refused {
      perform(
        machine.notTaken(
          "the hub does not take message \(machine.next): it is too large there, not permitted, or the hub takes no headers", now_ms: now_ms
        ))
    } else if isLinkFull || !isRead {
      // A disk that cannot be read now is tried again; nothing is passed over.
      // Acknowledgements bring us back here; without any in flight, time does.
      host.after(Self.linkFull_ns, fillTimer) { [unowned(unsafe) self] in self.fill() }  // safe: cancelled in `linkDown`
    } else if burst == Self.burstMax {
      host.turn.defer { [self] in fill() }
    } else if machine.next > until {
      machine.exhausted()
    }
    saveSoon()
  }

  private func forwards(_ subject: ByteView) -> Bool { options.filter.map { Subject.matches(subject, $0) } ?? true }

  /// Hands one message to the link; 0 when it does not take it.
  private func send(_ message: LogMessage, _ link: LeafLink) -> Int {
    headerBytes.removeAll(keepingCapacity: true)
    origin.appendHeaders(message.sequence, message.timestamp_ns, headers: message.headers, to: &headerBytes)
    var reply = [UInt8]()
    reply.reserveCapacity(inbox.utf8.count + 24)
    reply.append(contentsOf: inbox.utf8)
    reply.append(literal: ".p.")
    reply.append(decimal: message.sequence)
    let mapped = transform.flatMap { $0.apply(message.subject) }
    let sent = headerBytes.withView { headers in
      reply.withView { reply in
        if let mapped {
          return mapped.withView { link.send(Message(subject: $0, reply: reply, headers: headers, payload: message.payload)) }
        }
        return link.send(Message(subject: message.subject, reply: reply, headers: headers, payload: message.payload))
      }
    }
    return sent ? headerBytes.count + message.payload.count + message.subject.count : 0
  }

  // MARK: Answers

  private func answered(_ message: Message) {
    guard link != nil else { return }
    let tail = message.subject.dropFirst(min(inbox.utf8.count + 1, message.subject.count))
    guard let dot = tail.firstIndex(of: ASCII.dot) else { return }
    let kind = tail.prefix(dot)
    let number = tail.dropFirst(dot + 1)
    if kind.equals("p") {
      guard let sequence = number.decimal() else { return }
      published(sequence, message)
    } else if number.decimalInt() == request {
      // An answer to an earlier request, over an earlier link perhaps, says nothing about now.
      if kind.equals("scan") {
        scanned(message)
      } else if kind.equals("list") {
        listed(message.payload)
      } else if kind.equals("create") {
        scanCreated(message.payload)
      }
    }
  }

  private func published(_ sequence: UInt64, _ message: Message) {
    if Headers(message.headers).status == 503 { return perform(machine.refused(sequence, "no stream at the hub takes it", now_ms: now_ms)) }
    switch PublishAck(message.payload) {
    case .stored(let hubSequence, let duplicate, let hubStream, let domain):
      // Another JetStream on the way that takes the same subject says nothing about the hub's stream.
      let hubDomain = link?.peer.domain ?? ByteString()
      guard hubStream == machine.progress.hubStream, domain.isEmpty || hubDomain.isEmpty || domain == hubDomain else { return }
      perform(machine.acknowledged(sequence, hubSequence: hubSequence, duplicate: duplicate, now_ms: now_ms))
      saveSoon()
    case .refused(let text):
      host.log.warning("Forward \(stream.name.string): the hub refused message \(sequence): \(text)")
      perform(machine.refused(sequence, "the hub refused message \(sequence): \(text)", now_ms: now_ms))
    case .unreadable: break
    }
  }

  private func listed(_ payload: ByteView) {
    guard let json = try? JSON.parse(payload) else { return }
    if let error = failure(json) { return perform(machine.requestFailed(error, now_ms: now_ms)) }
    var found: [(name: ByteString, last: UInt64)] = []
    for entry in json["streams"]?.array ?? [] {
      guard let config = entry["config"], let name = config["name"]?.string else { continue }
      let subjects = (config["subjects"]?.array ?? []).compactMap { $0.string }
      for pattern in hubPatterns where !subjects.contains(where: { Subject.isSubset(pattern, of: $0) }) {
        return perform(
          machine.requestFailed("the hub's stream \(name.string) does not take all of \(pattern.string)", now_ms: now_ms))
      }
      found.append((name, min(entry["state"]?["last_seq"]?.uint64 ?? 0, PublishAck.sequenceMax)))
    }
    perform(machine.foundStreams(found, now_ms: now_ms))
  }

  private func scanCreated(_ payload: ByteView) {
    guard let json = try? JSON.parse(payload) else { return }
    if let error = failure(json) { return perform(machine.requestFailed(error, now_ms: now_ms)) }
    guard let pending = json["num_pending"]?.uint64 else {
      return perform(machine.requestFailed("the hub's JetStream does not say how much there is to compare", now_ms: now_ms))
    }
    perform(machine.scanCreated(pending: pending, now_ms: now_ms))
  }

  private func failure(_ json: JSONValue) -> String? {
    json["error"].map { "the hub's JetStream: \($0["description"]?.string?.string ?? "error")" }
  }

  /// One message of the hub's stream. How many follow stands at the end of its ack subject (jetstream-api.md section 12).
  private func scanned(_ message: Message) {
    let headers = Headers(message.headers)
    if let status = headers.status {
      switch status {
      case 100: return  // a heartbeat
      case 404: perform(machine.scanned(nil, pending: 0, endOfBatch: true, now_ms: now_ms))
      case 408: perform(machine.scanned(nil, pending: 1, endOfBatch: true, now_ms: now_ms))
      default: perform(machine.requestFailed("the hub's JetStream: \(headers.statusText.string)", now_ms: now_ms))
      }
      return
    }
    guard let (position, pending) = Self.place(message.reply) else { return }
    scanLeft -= 1
    let sequence = headers.value("Nats-Msg-Id").flatMap { origin.sequence(of: $0) }
    perform(machine.scanned(sequence, at: position, pending: pending, endOfBatch: scanLeft == 0, now_ms: now_ms))
  }

  /// From an ack subject: the message's sequence in its stream, and how many follow (its fourth last and its last token).
  private static func place(_ reply: ByteView) -> (position: UInt64, pending: UInt64)? {
    var ends: [Int] = []
    var index = reply.count - 1
    while index >= 0, ends.count < 4 {
      if reply[index] == ASCII.dot { ends.append(index) }
      index -= 1
    }
    guard ends.count == 4, let pending = reply.dropFirst(ends[0] + 1).decimal(),
      let position = reply.slice(ends[3] + 1, ends[2]).decimal()
    else { return nil }
    return (position, pending)
  }

  // MARK: StreamConsumer

  public func messagesArrived() { if machine.maySend { fill() } }
  public func messageRemoved(_ sequence: UInt64, subject: ByteView) {}
  public func messagesRemoved(through sequence: UInt64) {}
  public func streamPurged() { if machine.maySend { fill() } }
  public func streamUpdated() { onSubjectsChanged?() }

  public func streamDeleted() {
    host.log.error("Forward \(stream.name.string): the stream was deleted; make it again and restart to forward it")
    stream.engine.store.removeMetadata(Self.key(name))
    end()
    onSubjectsChanged?()
  }
}
