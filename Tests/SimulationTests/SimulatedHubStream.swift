// The hub's stream as the simulation models it: what is stored under which sequence, what counts as a duplicate, and the consumers
// that a forward makes to look into it. A model of its own on purpose: it shares nothing with the agent's JetStream but the
// subject matching. When a request is made and where an answer goes is in SimulatedBackbone.
import Bytes
import Interest
import JSON
import Platform
import Wire

/// One message of the hub's stream.
struct HubMessage {
  let sequence: UInt64
  let subject: ByteString
  let headers: [UInt8]
  let payload: [UInt8]
}

/// What the stream says to somebody: where to, and with which subject a delivery is presented.
struct HubAnswer {
  var subject: ByteString
  /// The ack subject of a delivery.
  var reply = ByteString()
  var presented = ByteString()
  var headers: [UInt8] = []
  var payload: [UInt8] = []
}

final class SimulatedHubStream {
  /// nats-server's default `duplicate_window`.
  static let duplicateWindow_ns = 120 * second_ns

  private struct HubConsumer {
    let filter: ByteString
    let headersOnly: Bool
    let inactiveThreshold_ns: Int64
    var nextSequence: UInt64
    var delivered: UInt64 = 0
    var lastActive_ns: Int64
  }

  let name: ByteString
  let subjects: [ByteString]
  /// The JetStream domain, as a PubAck says it.
  private let domainField: String
  /// Why publishes are refused, or nil.
  var refusal: StaticString?
  private(set) var messages: [HubMessage] = []
  private(set) var duplicates = 0
  private var recent: [ByteString: (sequence: UInt64, at_ns: Int64)] = [:]
  private var consumers: [ByteString: HubConsumer] = [:]
  /// Consumers made so far.
  private(set) var scans = 0
  /// Called for each message that is stored.
  var stored: (HubMessage) -> Void = { _ in }

  init(name: ByteString, subjects: [ByteString], domain: ByteString?) {
    self.name = name
    domainField = domain.map { "\"domain\":\"\($0.string)\"," } ?? ""
    self.subjects = subjects
  }

  func takes(_ subject: ByteString) -> Bool { subjects.contains { Subject.matches(subject, $0) } }

  // MARK: Publishing

  /// Stores a message, unless it is a duplicate, and returns the PubAck.
  func publish(_ subject: ByteString, headers: [UInt8], payload: [UInt8], now_ns: Int64) -> [UInt8] {
    if let refusal {
      return [UInt8](
        "{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"\(refusal)\"},\"stream\":\"\(name.string)\",\"seq\":0}".utf8)
    }
    let id = headers.withView { Headers($0).value("Nats-Msg-Id").map { ByteString($0) } }
    if let id, let known = recent[id], now_ns - known.at_ns < Self.duplicateWindow_ns {
      duplicates += 1
      return [UInt8]("{\"stream\":\"\(name.string)\",\(domainField)\"seq\":\(known.sequence),\"duplicate\": true}".utf8)
    }
    let message = HubMessage(sequence: UInt64(messages.count) + 1, subject: subject, headers: headers, payload: payload)
    messages.append(message)
    if let id { recent[id] = (message.sequence, now_ns) }
    stored(message)
    return [UInt8]("{\"stream\":\"\(name.string)\",\(domainField)\"seq\":\(message.sequence)}".utf8)
  }

  // MARK: The API

  /// Answers a request to `$JS.API.` + `path`; what is unknown gets no answer, as from a server without a subscription for it.
  func request(_ path: ByteString, _ payload: [UInt8], reply: ByteString, now_ns: Int64) -> [HubAnswer] {
    expireConsumers(now_ns)
    let tokens = path.string.split(separator: ".", omittingEmptySubsequences: false)
    if path.equals("STREAM.LIST") { return [HubAnswer(subject: reply, payload: list(payload))] }
    guard tokens.count >= 4, tokens[0] == "CONSUMER" else { return [] }
    switch tokens[1] {
    case "CREATE":
      let filter = tokens.count > 4 ? ByteString(tokens[4...].joined(separator: ".")) : ByteString()
      return [
        HubAnswer(subject: reply, payload: create(ByteString(String(tokens[2])), ByteString(String(tokens[3])), filter, payload, now_ns))
      ]
    case "DELETE":
      let known = consumers.removeValue(forKey: ByteString(String(tokens[3]))) != nil
      return [HubAnswer(subject: reply, payload: known ? [UInt8]("{\"success\":true}".utf8) : error(404, 10014, "consumer not found"))]
    case "MSG":
      guard tokens.count == 5, tokens[2] == "NEXT" else { return [] }
      return next(ByteString(String(tokens[4])), payload, reply: reply, now_ns: now_ns)
    default: return []
    }
  }

  private func error(_ code: Int, _ number: Int, _ text: StaticString) -> [UInt8] {
    [UInt8]("{\"error\":{\"code\":\(code),\"err_code\":\(number),\"description\":\"\(text)\"}}".utf8)
  }

  private func list(_ payload: [UInt8]) -> [UInt8] {
    let wanted = payload.withView { try? JSON.parse($0) }?["subject"]?.string
    let found = wanted.map { wanted in subjects.contains { Subject.overlap($0, wanted) } } ?? true
    var json = JSONWriter()
    json.beginObject()
    json.field("type", literal: "io.nats.jetstream.api.v1.stream_list_response")
    json.field("total", found ? 1 : 0)
    json.field("offset", 0)
    json.field("limit", 256)
    json.beginArray("streams")
    if found {
      json.beginObject()
      json.beginObject("config")
      json.field("name", name)
      json.field("subjects", subjects)
      json.endObject()
      json.beginObject("state")
      json.field("messages", messages.count)
      json.field("first_seq", messages.isEmpty ? 0 : 1)
      json.field("last_seq", messages.count)
      json.endObject()
      json.endObject()
    }
    json.endArray()
    json.endObject()
    return json.finish()
  }

  private func create(
    _ stream: ByteString, _ consumer: ByteString, _ filter: ByteString, _ payload: [UInt8], _ now_ns: Int64
  ) -> [UInt8] {
    guard stream == name else { return error(404, 10059, "stream not found") }
    guard let request = payload.withView({ try? JSON.parse($0) }), let config = request["config"] else {
      return error(400, 10025, "invalid JSON")
    }
    guard request["stream_name"]?.string == stream else { return error(400, 10058, "stream name in subject does not match request") }
    guard (config["filter_subject"]?.string ?? ByteString()) == filter else {
      return error(400, 10131, "consumer create request filtered subject mismatch")
    }
    guard config["deliver_policy"]?.string == "by_start_sequence", let start = config["opt_start_seq"]?.uint64, start > 0 else {
      return error(400, 10094, "consumer delivery policy is deliver by start sequence, but optional start sequence is not set")
    }
    guard config["ack_policy"]?.string == "none" else { return error(400, 10000, "this model has only consumers without acks") }
    scans += 1
    let made = HubConsumer(
      filter: filter, headersOnly: config["headers_only"]?.bool ?? false,
      inactiveThreshold_ns: config["inactive_threshold"]?.int64 ?? 5 * second_ns, nextSequence: start, lastActive_ns: now_ns)
    consumers[consumer] = made
    var json = JSONWriter()
    json.beginObject()
    json.field("type", literal: "io.nats.jetstream.api.v1.consumer_create_response")
    json.field("stream_name", stream)
    json.field("name", consumer)
    json.field("num_pending", pending(made))
    json.endObject()
    return json.finish()
  }

  private func matches(_ message: HubMessage, _ consumer: HubConsumer) -> Bool {
    consumer.filter.isEmpty || Subject.matches(message.subject, consumer.filter)
  }

  private func pending(_ consumer: HubConsumer) -> Int {
    guard consumer.nextSequence <= UInt64(messages.count) else { return 0 }
    return messages[Int(consumer.nextSequence - 1)...].reduce(0) { $0 + (matches($1, consumer) ? 1 : 0) }
  }

  private func expireConsumers(_ now_ns: Int64) {
    consumers = consumers.filter { now_ns - $0.value.lastActive_ns < $0.value.inactiveThreshold_ns }
  }

  private func next(_ name: ByteString, _ payload: [UInt8], reply: ByteString, now_ns: Int64) -> [HubAnswer] {
    guard var consumer = consumers[name] else { return [] }
    let request = payload.withView { try? JSON.parse($0) }
    var left = request?["batch"]?.int ?? 1
    var answers: [HubAnswer] = []
    var pending = pending(consumer)
    while left > 0, pending > 0 {
      let message = messages[Int(consumer.nextSequence - 1)]
      consumer.nextSequence += 1
      guard matches(message, consumer) else { continue }
      consumer.delivered += 1
      pending -= 1
      left -= 1
      var headers = message.headers.withView { HeaderBuilder(continuing: $0) }
      if consumer.headersOnly { headers.add("Nats-Msg-Size", decimal: message.payload.count) }
      let ack = "$JS.ACK.\(self.name.string).\(name.string).1.\(message.sequence).\(consumer.delivered).\(now_ns).\(pending)"
      answers.append(
        HubAnswer(
          subject: reply, reply: ByteString(ack), presented: message.subject, headers: headers.block,
          payload: consumer.headersOnly ? [] : message.payload))
    }
    if left > 0 { answers.append(HubAnswer(subject: reply, headers: HeaderBuilder(status: "404 No Messages").block)) }
    consumer.lastActive_ns = now_ns
    consumers[name] = consumer
    return answers
  }
}
