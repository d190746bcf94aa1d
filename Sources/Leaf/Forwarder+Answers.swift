// What a forward hears: the hub's acknowledgements and refusals, and its answers to requests.
import Broker
import Bytes
import Interest
import JSON
import JetStream
import Platform
import Wire

extension Forwarder {
  func answered(_ message: Message) {
    let tail = message.subject.dropFirst(min(inbox.utf8.count + 1, message.subject.count))
    guard let dot = tail.firstIndex(of: ASCII.dot) else { return }
    let kind = tail.prefix(dot)
    let number = tail.dropFirst(dot + 1)
    if kind.equals("d") {
      if let sequence = number.decimal() { storedAside(sequence, message) }
    } else if link == nil {
      return
    } else if kind.equals("p") {
      if let sequence = number.decimal() { published(sequence, message) }
    } else if kind.equals("b") {
      batchAnswered(number, message)
    } else if number.decimalInt() == request {
      // An answer to an earlier request, over an earlier link perhaps, says nothing about now.
      if kind.equals("scan") {
        scanned(message)
      } else if kind.equals("list") {
        listed(message.payload)
      } else if kind.equals("create") {
        scanCreated(message.payload)
      } else if kind.equals("look") {
        lookedAt(message.payload)
      }
    }
  }

  private func published(_ sequence: UInt64, _ message: Message) {
    if Headers(message.headers).status == 503 { return perform(machine.refused(sequence, "no stream at the hub takes it", now_ms: now_ms)) }
    switch PublishAck(message.payload) {
    case .stored(let hubSequence, let duplicate, let hubStream, let domain):
      guard isHub(hubStream, domain) else { return }
      perform(machine.acknowledged(sequence, hubSequence: hubSequence, duplicate: duplicate, now_ms: now_ms))
      saveSoon()
    case .refused(let text, let kind):
      host.log.warning("Forward \(stream.name.string): the hub refused message \(sequence): \(text)")
      perform(machine.refused(sequence, "the hub refused message \(sequence): \(text)", kind, now_ms: now_ms))
    case .unreadable: break
    }
  }

  /// An answer to a batch: `place` is what follows the inbox in the reply subject of one of its messages.
  private func batchAnswered(_ place: ByteView, _ message: Message) {
    guard let dot = place.firstIndex(of: ASCII.dot), batchName.withView({ place.hasPrefix($0) }),
      let number = place.slice(batchName.count, dot).decimal()
    else { return }
    if Headers(message.headers).status == 503 { return perform(machine.batchRefused(number, isForGood: false, now_ms: now_ms)) }
    switch BatchAnswer(message.payload) {
    case .goesOn: machine.batchGoesOn(number, now_ms: now_ms)
    case .stored(let count, let hubSequence, let hubStream, let domain):
      guard isHub(hubStream, domain) else { return }
      perform(machine.batchStored(number, count: count, hubSequence: hubSequence, now_ms: now_ms))
      saveSoon()
    case .refused(let text, let isForGood):
      host.log.info("Forward \(stream.name.string): the hub refused a batch, its messages go one by one: \(text)")
      perform(machine.batchRefused(number, isForGood: isForGood, now_ms: now_ms))
    case .unreadable: break
    }
  }

  /// Another JetStream on the way that takes the same subject says nothing about the hub's stream.
  private func isHub(_ hubStream: ByteString, _ domain: ByteString) -> Bool {
    let hubDomain = link?.peer.domain ?? ByteString()
    return hubStream == machine.progress.hubStream && (domain.isEmpty || hubDomain.isEmpty || domain == hubDomain)
  }

  private func listed(_ payload: ByteView) {
    guard let json = try? JSON.parse(payload) else { return }
    if let error = failure(json) { return perform(machine.requestFailed(error, now_ms: now_ms)) }
    var found: [(name: ByteString, last: UInt64, takesBatches: Bool)] = []
    for entry in json["streams"]?.array ?? [] {
      guard let config = entry["config"], let name = config["name"]?.string else { continue }
      let subjects = (config["subjects"]?.array ?? []).compactMap { $0.string }
      for pattern in hubPatterns where !subjects.contains(where: { Subject.isSubset(pattern, of: $0) }) {
        return perform(
          machine.requestFailed("the hub's stream \(name.string) does not take all of \(pattern.string)", now_ms: now_ms))
      }
      // Servers that do not know batches do not know this field.
      let takesBatches = config["allow_batched"]?.bool ?? false
      found.append((name, min(entry["state"]?["last_seq"]?.uint64 ?? 0, PublishAck.sequenceMax), takesBatches))
    }
    perform(machine.foundStreams(found, now_ms: now_ms))
  }

  private func scanCreated(_ payload: ByteView) {
    guard let json = try? JSON.parse(payload) else { return }
    if let code = json["error"]?["err_code"]?.int, Self.takesNoScan(code) {
      host.log.info(
        "Forward \(stream.name.string): the hub's stream takes no consumer that could look (\(code)); it is read message by message")
      lookNext = scanAfter + 1
      return perform(machine.scanCreated(pending: 1, now_ms: now_ms))
    }
    if let error = failure(json) { return perform(machine.requestFailed(error, now_ms: now_ms)) }
    guard let pending = json["num_pending"]?.uint64 else {
      return perform(machine.requestFailed("the hub's JetStream does not say how much there is to compare", now_ms: now_ms))
    }
    perform(machine.scanCreated(pending: pending, now_ms: now_ms))
  }

  /// Work queues have only consumers that acknowledge, and none beside another for the same messages; some streams and accounts have as
  /// many as they may.
  private static func takesNoScan(_ code: Int) -> Bool { code == 10084 || (10098...10101).contains(code) || code == 10026 }

  /// One message of the hub's stream that was asked for by its place; or there are no more.
  private func lookedAt(_ payload: ByteView) {
    guard let wanted = lookNext, let json = try? JSON.parse(payload) else { return }
    if json["error"]?["err_code"]?.int == Self.noMessageFound {
      return perform(machine.scanned(nil, pending: 0, endOfBatch: true, now_ms: now_ms))
    }
    if let error = failure(json) { return perform(machine.requestFailed(error, now_ms: now_ms)) }
    guard let message = json["message"], let position = message["seq"]?.uint64, position >= wanted, position < PublishAck.sequenceMax else {
      return perform(machine.requestFailed("the hub's JetStream does not say which message it shows", now_ms: now_ms))
    }
    lookNext = position + 1
    let headers = message["hdrs"]?.string.flatMap { text in text.withView { Base64.decode($0) } } ?? []
    let sequence = headers.withView { view in Headers(view).value("Nats-Msg-Id").flatMap { origin.sequence(of: $0) } }
    perform(machine.scanned(sequence, at: position, pending: 1, endOfBatch: true, now_ms: now_ms))
  }

  private static let noMessageFound = 10037

  private func failure(_ json: JSONValue) -> String? {
    json["error"].map { "the hub's JetStream: \(HubWords.of($0))" }
  }

  /// One message of the hub's stream. How many follow stands at the end of its ack subject (jetstream-api.md section 12).
  private func scanned(_ message: Message) {
    let headers = Headers(message.headers)
    if let status = headers.status {
      switch status {
      case 100: return  // a heartbeat
      case 404: perform(machine.scanned(nil, pending: 0, endOfBatch: true, now_ms: now_ms))
      case 408: perform(machine.scanned(nil, pending: 1, endOfBatch: true, now_ms: now_ms))
      default: perform(machine.requestFailed("the hub's JetStream: \(HubWords.short(ByteString(headers.statusText)))", now_ms: now_ms))
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
}
