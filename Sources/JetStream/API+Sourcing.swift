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
    if config.direct, config.sourcing, !wanted.isEmpty {
      if stream.config.retention == .limits {
        config.name = wanted + ByteString("-") + ByteString(host.entropy.name(8))
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

  /// A durable one that is there already goes on from its acks, wherever the request wants to begin.
  private func keepStart(_ config: inout ConsumerConfig, _ key: ByteString) {
    guard let existing = key.withView({ consumer($0) }) else { return }
    config.deliverPolicy = existing.config.deliverPolicy
    config.startSequence = existing.config.startSequence
    config.startTime_ns = existing.config.startTime_ns
  }
}
