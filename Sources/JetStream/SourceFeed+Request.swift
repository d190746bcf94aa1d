// What an origin is asked for a consumer, and what it answers (leafnode-protocol.md sections 14.4.1 and 14.4.2).
import Broker
import Bytes
import JSON
import Platform
import Wire

/// An origin's consumer, as its answer describes it.
struct OpenedOrigin {
  let consumer: ByteString
  let deliverSubject: ByteString
  /// The sequence before the first that it considers.
  let position: UInt64
  /// Whether it is a sourcing consumer: the server knows what that is.
  let isSourcing: Bool
  let acksByFlowControl: Bool
  let identity: ByteString
}

/// The answer to a request for a consumer, or for its reset.
enum OriginAnswer {
  case success(OpenedOrigin)
  case failure(APIError)

  init(_ message: Message) {
    guard message.payload.isEmpty == false, let value = try? JSON.parse(ByteString(message.payload)) else {
      self = .failure(Headers(message.headers).status == 503 ? .systemUnavailable : .badRequest)
      return
    }
    if let error = value["error"] {
      self = .failure(
        APIError(error["code"]?.int ?? 500, error["err_code"]?.int ?? 0, text: (error["description"]?.string ?? ByteString()).string))
      return
    }
    guard let name = value["name"]?.string, let config = value["config"], let position = value["delivered"]?["stream_seq"]?.uint64 else {
      self = .failure(.badRequest)
      return
    }
    let identity = Headers(message.headers).value("Nats-Stream-Identity").map { ByteString($0) } ?? ByteString()
    self = .success(
      OpenedOrigin(
        consumer: name, deliverSubject: config["deliver_subject"]?.string ?? ByteString(), position: position,
        isSourcing: config["sourcing"]?.bool ?? false, acksByFlowControl: config["ack_policy"]?.string?.equals("flow_control") ?? false,
        identity: identity.bytes.contains(ASCII.space) ? ByteString() : identity))
  }
}

extension APIError {
  static var systemUnavailable: APIError { APIError(503, 10008, "JetStream system temporarily unavailable") }
}

extension SourceFeed {
  private var kind: StaticString { isMirror ? "JS_MIRROR_" : "JS_SRC_" }

  /// The name under which an origin of 2.14 and later knows this stream: the same after every restart.
  private var stableName: ByteString {
    var id = stream.name + ByteString(" ") + engine.account.name
    if !engine.options.domain.isEmpty { id = id + ByteString(" ") + engine.options.domain }
    var hash = id.shortHash
    if !isMirror {
      // The same origin twice: what tells the sources apart goes into the hash.
      let isTwice = stream.config.sources.filter { $0.name == source.name }.count > 1
      hash = (isTwice ? hash + ByteString(" ") + indexName : hash).shortHash
    }
    return ByteString(ByteView(kind).bytes + hash.bytes)
  }

  /// What the origin's API is asked by, without names that vary.
  var requestSubject: ByteString { source.apiPrefix + ByteString("CONSUMER.CREATE.") + source.name }

  /// Deletes a consumer that the origin would otherwise keep for ever.
  func forgetConsumer(_ name: ByteString) {
    guard source.consumer == nil, name == stableName else { return }
    publish(source.apiPrefix + ByteString("CONSUMER.DELETE.") + source.name + ByteString(".") + name, ByteString(), headers: [], [])
  }

  /// Publishes the request.
  func send(reply: ByteString) {
    let entropy = engine.host.entropy
    if let consumer = source.consumer {
      let subject = source.apiPrefix + ByteString("CONSUMER.RESET.") + source.name + ByteString(".") + consumer.name
      return publish(subject, reply, headers: levelHeaders, [])
    }
    var name = stableName
    if form == .plain { name = name + ByteString("_") + ByteString(entropy.name(8)) }
    let filters = source.transforms.isEmpty ? (source.filter.isEmpty ? [] : [source.filter]) : source.transforms.map { $0.pattern }
    var subject = requestSubject
    if filters.count == 1 { subject = subject + ByteString(".") + name + ByteString(".") + filters[0] }
    publish(subject, reply, headers: levelHeaders, request(name, filters))
  }

  private var levelHeaders: [UInt8] {
    guard form != .plain else { return [] }
    var headers = HeaderBuilder()
    headers.add("Nats-Required-Api-Level", decimal: form == .identity ? 5 : 4)
    if form == .identity, !identity.isEmpty { headers.add("Nats-Stream-Identity", identity) }
    return headers.block
  }

  private func publish(_ subject: ByteString, _ reply: ByteString, headers: [UInt8], _ body: [UInt8]) {
    subject.withView { subject in
      reply.withView { reply in
        headers.withView { headers in
          body.withView { body in
            _ = engine.account.publish(Message(subject: subject, reply: reply, headers: headers, payload: body))
          }
        }
      }
    }
  }

  private func request(_ name: ByteString, _ filters: [ByteString]) -> [UInt8] {
    var config = ConsumerConfig()
    config.name = name
    config.ackWait_ns = 22 * 3600 * second_ns
    config.maxDeliver = 1
    config.flowControl = true
    config.heartbeat_ns = second_ns
    config.inactiveThreshold_ns = Limits.silence_ns
    config.direct = true
    config.sourcing = form != .plain
    config.deliverSubject = deliverSubject
    if filters.count == 1 { config.filter = filters[0] } else { config.filterList = filters }
    setStart(&config)
    if form != .plain {
      let prefix = isMirror ? ByteString("_nats.mirror.") : ByteString("_nats.src.")
      config.metadata.set(prefix + ByteString("acc"), engine.account.name)
      if !engine.options.domain.isEmpty { config.metadata.set(prefix + ByteString("domain"), engine.options.domain) }
      config.metadata.set(prefix + ByteString("stream"), stream.name)
    }
    var json = JSONWriter()
    json.beginObject()
    json.field("stream_name", source.name)
    json.beginObject("config")
    config.write(to: &json)
    json.endObject()
    json.field("action", literal: "")
    json.endObject()
    return json.finish()
  }

  private var deliverSubject: ByteString {
    let random = ByteString(engine.host.entropy.name(8))
    let kind: ByteString = isMirror ? "M." : "S."
    guard let prefix = source.external?.deliver, !prefix.isEmpty else { return ByteString("$JS.") + kind + random }
    return prefix + (prefix.bytes.last == ASCII.dot ? kind : ByteString(".") + kind) + random
  }

  /// Goes on behind what is here; the configured start counts only for a copy that never had anything.
  private func setStart(_ config: inout ConsumerConfig) {
    let last = isMirror ? stream.lastSequence : cursor.sequence
    if last > 0 {
      config.deliverPolicy = .byStartSequence
      config.startSequence = last + 1
    } else if source.startSequence > 0, !isRecreated {
      config.deliverPolicy = .byStartSequence
      config.startSequence = source.startSequence
    } else if let time_ns = source.startTime_ns {
      config.deliverPolicy = .byStartTime
      config.startTime_ns = time_ns
    }
  }
}
