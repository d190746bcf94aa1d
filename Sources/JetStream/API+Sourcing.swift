// Serving mirrors and sources of other servers: what their requests for a consumer mean here (leafnode-protocol.md section 14.4.2).
import Bytes
import Platform
import Wire

extension Stream {
  /// Tells this stream from an earlier or later one of the same name (section 11.6).
  var identity: ByteString { RFC3339.format(created_ns).shortHash }
}

extension ConsumerEngine {
  /// Makes a request what it is here, when it is one for a consumer of a mirror or source: the asking server uses the same name every
  /// time, so it gets a suffix; where messages leave the stream with their acks, the consumer becomes a durable one that acknowledges by
  /// flow control. Returns the headers of the answer.
  func adaptSourcing(
    _ config: inout ConsumerConfig, _ name: inout ByteString?, _ stream: Stream, _ request: APIRequest
  ) throws(APIError) -> [UInt8] {
    guard config.direct || config.sourcing else { return [] }
    if let expected = request.headers.value("Nats-Stream-Identity"), !expected.isEmpty, !(stream.identity == expected) {
      throw APIError(400, 10225, text: "consumer's stream identity does not match: " + stream.identity.string)
    }
    let wanted = name ?? config.name
    if config.direct, !config.sourcing, config.flowControl, config.ackPolicy == .none, stream.config.retention != .limits {
      try adaptPlain(&config, wanted, stream)
    }
    if config.direct, config.sourcing, !wanted.isEmpty {
      if stream.config.retention == .limits {
        repeat {
          config.name = wanted + ByteString("-") + ByteString(host.entropy.name(8))
        } while ConsumerEngine.key(stream: stream.name, name: config.name).withView { consumer($0) != nil }
        name = config.name
      } else {
        config.direct = false
        config.durable = wanted
        config.name = wanted
        name = wanted
        config.ackPolicy = .flowControl
        config.ackWait_ns = 0
        config.maxDeliver = 0
        config.inactiveThreshold_ns = 0
        keepStart(&config, ConsumerEngine.key(stream: stream.name, name: wanted))
      }
    }
    var headers = HeaderBuilder()
    headers.add("Nats-Stream-Identity", stream.identity)
    return headers.block
  }

  /// Servers up to 2.12 ask for a consumer without acks. From a stream whose messages leave with their acks that would lose what is in
  /// a link when it is cut: the answers to flow control are taken for acks, as of later servers.
  private func adaptPlain(_ config: inout ConsumerConfig, _ name: ByteString, _ stream: Stream) throws(APIError) {
    for consumer in consumers(of: stream)
    where consumer.config.sourcing && name.withView({ $0.hasPrefix(ByteView("JS_")) })
      && name.bytes.starts(with: consumer.name.bytes + [UInt8(ascii: "_")])
    {
      // A later server in its oldest form: its durable consumer is here, and it asks for that again when this fails.
      throw .systemUnavailable
    }
    config.ackPolicy = .flowControl
    config.ackWait_ns = 0
    config.maxDeliver = 0
    config.inactiveThreshold_ns = ConsumerEngine.plainThreshold_ns
  }

  /// How long a plain sourcing consumer keeps what was not acknowledged, for the next one of the same server.
  private static let plainThreshold_ns = 30 * 24 * 3600 * second_ns

  /// The next consumer of a server that asks plainly says with its start what that server has: the one before it is done with that.
  func succeeds(_ consumer: Consumer) {
    guard consumer.config.isPlainSourcing else { return }
    for former in consumers(of: consumer.stream, includingDirect: true)
    where former !== consumer && former.config.isPlainSourcing && former.config.filters == consumer.config.filters && !former.isBound {
      let floor = former.state.floor.stream
      delete(former)
      consumer.stream.consumerIsDone(after: floor, through: consumer.state.delivered.stream)
    }
  }

  /// A durable one that is there already goes on from its acks, wherever the request wants to begin.
  private func keepStart(_ config: inout ConsumerConfig, _ key: ByteString) {
    guard let existing = key.withView({ consumer($0) }) else { return }
    config.deliverPolicy = existing.config.deliverPolicy
    config.startSequence = existing.config.startSequence
    config.startTime_ns = existing.config.startTime_ns
  }
}

extension ConsumerConfig {
  /// Asked for by a server up to 2.12, from a stream whose messages leave with their acks.
  var isPlainSourcing: Bool { direct && !sourcing && ackPolicy == .flowControl }
}
