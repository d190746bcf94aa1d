// Advisories and metrics (section 21): what happened to streams and consumers, and who asked the API for what, for whoever listens.
import Broker
import Bytes
import Interest
import JSON
import Platform

extension JetStream {
  /// Publishes what happened to a stream, or to one of its consumers, if somebody listens: at the end of the turn, so that whoever
  /// reports is not changed by what a listener does. `event` is what follows `$JS.EVENT.`, `type` what follows `io.nats.jetstream.`.
  func advise(
    _ event: StaticString, _ type: StaticString, stream: ByteString, consumer: ByteString = ByteString(), namesAccount: Bool = false,
    _ fields: (inout JSONWriter) -> Void = { _ in }
  ) {
    var subject = ByteString("$JS.EVENT.").bytes
    subject.append(literal: event)
    for name in [stream, consumer] where !name.isEmpty {
      subject.append(ASCII.dot)
      subject.append(name)
    }
    guard subject.withView({ account.interest.hasInterest(in: $0) }) else { return }
    var json = beginAdvisory(type)
    if namesAccount { json.field("account", account.name) }
    if !stream.isEmpty { json.field("stream", stream) }
    json.fieldUnlessEmpty("consumer", consumer)
    fields(&json)
    publish(advisory: json, to: ByteString(subject))
  }

  private func beginAdvisory(_ type: StaticString) -> JSONWriter {
    var json = JSONWriter()
    json.beginObject()
    var name = ByteString("io.nats.jetstream.").bytes
    name.append(literal: type)
    name.withView { json.field("type", $0) }
    host.entropy.name(22).withView { json.field("id", $0) }
    json.field("timestamp", time: host.clock.wall_ns)
    return json
  }

  private func publish(advisory: consuming JSONWriter, to subject: ByteString) {
    advisory.fieldUnlessEmpty("domain", options.domain)
    advisory.endObject()
    let body = advisory.finish()
    let account = account
    host.turn.defer { account.publish(to: subject, body) }
  }

  // MARK: Streams

  enum StreamAction { case create, delete, modify }

  func advise(_ action: StreamAction, _ stream: ByteString) {
    let event: StaticString
    let name: StaticString
    switch action {
    case .create: (event, name) = ("ADVISORY.STREAM.CREATED", "create")
    case .delete: (event, name) = ("ADVISORY.STREAM.DELETED", "delete")
    case .modify: (event, name) = ("ADVISORY.STREAM.UPDATED", "modify")
    }
    advise(event, "advisory.v1.stream_action", stream: stream) { $0.field("action", literal: name) }
  }

  // MARK: The API

  private static let auditSubject: ByteString = "$JS.EVENT.ADVISORY.API"

  /// Tells whoever listens what was asked of the API and what was answered.
  func audit(_ request: APIRequest, _ response: [UInt8]) {
    audit(request.message.subject, request.body, from: request.source, response)
  }

  func audit(_ request: KeptRequest, _ response: [UInt8]) {
    request.subject.withView { subject in
      request.body.withView { audit(subject, $0, from: request.source, response) }
    }
  }

  private func audit(_ subject: ByteView, _ body: ByteView, from source: Endpoint, _ response: [UInt8]) {
    guard JetStream.auditSubject.withView({ account.interest.hasInterest(in: $0) }) else { return }
    var json = beginAdvisory("advisory.v1.api_audit")
    json.field("server", options.serverName)
    json.beginObject("client")
    writeClient(source, to: &json)
    json.endObject()
    json.field("subject", subject)
    json.fieldUnlessEmpty("request", body)
    response.withView { json.field("response", $0) }
    publish(advisory: json, to: JetStream.auditSubject)
  }

  /// The members that say who a client is, in an object that is open.
  func writeClient(_ source: Endpoint, to json: inout JSONWriter) {
    let client = source as? ClientConnection
    if let client {
      json.field("start", time: client.started_ns)
      json.field("host", client.stream.remote.hostText)
    }
    json.fieldUnlessZero("id", source.id)
    json.field("acc", account.name)
    if let client {
      json.fieldUnlessEmpty("name", client.name)
      json.fieldUnlessEmpty("lang", client.lang)
      json.fieldUnlessEmpty("ver", client.version)
      if let rtt_ns = client.rtt_ns { json.field("rtt", rtt_ns) }
    }
    json.field("server", options.serverName)
    switch source.kind {
    case .client:
      json.field("kind", literal: "Client")
      json.field("client_type", literal: "nats")
    case .leaf: json.field("kind", literal: "Leafnode")
    case .internal: json.field("kind", literal: "JetStream")
    }
  }
}

// MARK: Consumers

extension Consumer {
  func advise(_ event: StaticString, _ type: StaticString, _ fields: (inout JSONWriter) -> Void = { _ in }) {
    engine.jetStream.advise(event, type, stream: stream.name, consumer: name, fields)
  }

  func adviseCreated() {
    advise("ADVISORY.CONSUMER.CREATED", "advisory.v1.consumer_action") { $0.field("action", literal: "create") }
  }

  func adviseDeleted() {
    advise("ADVISORY.CONSUMER.DELETED", "advisory.v1.consumer_action") { $0.field("action", literal: "delete") }
  }

  /// A pause began, was changed or ended.
  func advisePause() {
    advise("ADVISORY.CONSUMER.PAUSE", "advisory.v1.consumer_pause") { json in
      json.field("paused", isPaused)
      json.field("pause_until", time: config.pauseUntil_ns)
    }
  }

  func adviseMaxDeliveries(_ sequence: UInt64, _ deliveries: Int) {
    advise("ADVISORY.CONSUMER.MAX_DELIVERIES", "advisory.v1.max_deliver") { json in
      json.field("stream_seq", sequence)
      json.field("deliveries", deliveries)
    }
  }

  func adviseRefused(_ subject: AckSubject) {
    advise("ADVISORY.CONSUMER.MSG_NAKED", "advisory.v1.nak") { subject.write(to: &$0) }
  }

  func adviseTerminated(_ subject: AckSubject, reason: ByteView) {
    advise("ADVISORY.CONSUMER.MSG_TERMINATED", "advisory.v1.terminated") { json in
      subject.write(to: &json)
      json.fieldUnlessEmpty("reason", reason)
    }
  }

  /// Messages that waited for their ack are gone from the stream.
  func adviseGone(_ gone: [PendingDelivery]) {
    for delivery in gone {
      adviseTerminated(
        AckSubject(deliveries: UInt64(delivery.deliveries), sequence: delivery.sequence, delivery: delivery.first),
        reason: ByteView("Unacknowledged message was deleted"))
    }
  }

  // MARK: Samples

  /// Publishes how long an ack took, as often as the configuration says.
  func sample(_ subject: AckSubject, _ pending: PendingDelivery, _ now_ns: Int64) {
    guard samplePercent > 0, samplePercent >= 100 || host.entropy.below(100) < samplePercent else { return }
    let delivered_ns = pending.deadline_ns - config.ackWait(deliveries: Int(pending.deliveries))
    advise("METRIC.CONSUMER.ACK", "metric.v1.consumer_ack") { json in
      json.field("consumer_seq", subject.delivery)
      json.field("stream_seq", subject.sequence)
      json.field("ack_time", max(now_ns - delivered_ns, 0))
      json.field("deliveries", subject.deliveries)
    }
  }
}

extension AckSubject {
  fileprivate func write(to json: inout JSONWriter) {
    json.field("consumer_seq", delivery)
    json.field("stream_seq", sequence)
    json.field("deliveries", deliveries)
  }
}
