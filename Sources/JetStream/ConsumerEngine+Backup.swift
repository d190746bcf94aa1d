// Consumers in a stream's backup: `{"config":{…},"state":{"delivered":…,"ack_floor":…,"pending":{…},"redelivered":{…}}}`.
import Bytes
import JSON
import Platform

extension ConsumerEngine {
  public func snapshot(of stream: Stream) throws(APIError) -> [(name: ByteString, record: [UInt8])] {
    let all = consumers(of: stream)
    for consumer in all where max(consumer.state.pendingCount, consumer.state.redeliveredCount) > ConsumerBackup.entriesMax {
      throw APIError(500, 10064, text: "snapshot failed: too many messages wait for an ack from consumer '" + consumer.name.string + "'")
    }
    return all.map { consumer in
      var json = JSONWriter()
      json.beginObject()
      json.beginObject("config")
      consumer.config.write(to: &json)
      json.endObject()
      json.beginObject("state")
      consumer.state.write(to: &json, now_ns: host.clock.wall_ns, maxDeliver: consumer.config.maxDeliver)
      json.endObject()
      json.endObject()
      return (consumer.name, json.finish())
    }
  }

  public func restore(_ saved: ConsumerBackup, of stream: Stream) throws(APIError) {
    let name = saved.name
    var config = ConsumerConfig()
    try ObjectDecoder.decode(saved.config, path: "ConsumerConfig", strict: false) { field throws(APIError) in try config.read(field) }
    let limits = try jetStream.applicableLimits()
    try config.setDefaults(stream: stream.config, account: limits, pedantic: false)
    try config.check(name: name, stream: stream.config, account: limits)
    config.stampMetadata()
    guard !name.isEmpty, !name.bytes.contains(ASCII.slash), !name.bytes.contains(ASCII.dot),
      ConsumerEngine.key(stream: stream.name, name: name).withView({ consumer($0) }) == nil
    else { throw APIError(500, 10062, "consumer has an invalid name") }
    let deadline_ns = WaitingPull.later(host.clock.monotonic_ns, config.ackWait_ns)
    guard let state = ConsumerState(saved, last: stream.lastSequence, deadline_ns: deadline_ns) else {
      throw APIError(500, 10062, "consumer has an unreadable state")
    }
    let restored = Consumer(
      engine: self, stream: stream, name: name, config: config, created_ns: max(host.clock.wall_ns, stream.created_ns), state: state)
    restored.writeNew()
    add(restored)
  }
}

extension ConsumerState {
  func write(to json: inout JSONWriter, now_ns: Int64, maxDeliver: Int) {
    ConsumerState.write(delivered, "delivered", to: &json)
    ConsumerState.write(floor, "ack_floor", to: &json)
    if pendingCount > 0 {
      var text = json
      text.beginObject("pending")
      forEachPending { entry in
        Decimal.withDigits(of: entry.sequence) { text.key($0) }
        text.beginObject()
        text.field("Sequence", entry.first)
        text.field("Timestamp", now_ns)
        text.endObject()
      }
      text.endObject()
      json = text
    }
    guard redeliveredCount > 0 else { return }
    var text = json
    text.beginObject("redelivered")
    forEachPending { entry in
      guard entry.deliveries > 1 else { return }
      Decimal.withDigits(of: entry.sequence) { text.key($0) }
      text.number(entry.deliveries - 1)
    }
    for sequence in givenUp {
      Decimal.withDigits(of: sequence) { text.key($0) }
      text.number(max(maxDeliver - 1, 1))
    }
    text.endObject()
    json = text
  }

  private static func write(_ pair: SequencePair, _ name: StaticString, to json: inout JSONWriter) {
    json.beginObject(name)
    json.field("consumer_seq", pair.consumer)
    json.field("stream_seq", pair.stream)
    json.endObject()
  }

  /// What a backup says; `last` is the stream's last sequence. Nil when it makes no sense.
  init?(_ saved: ConsumerBackup, last: UInt64, deadline_ns: Int64) {
    var delivered = saved.delivered
    delivered.stream = min(delivered.stream, last)
    var floor = saved.floor
    floor.stream = min(floor.stream, delivered.stream)
    guard floor.consumer <= delivered.consumer, delivered.consumer < UInt64(Int64.max) else { return nil }
    var pending: [PendingDelivery] = []
    for entry in saved.pending {
      guard entry.first > 0, entry.first <= delivered.consumer, entry.sequence > 0 else { return nil }
      guard entry.sequence <= delivered.stream else { continue }
      pending.append(
        PendingDelivery(
          sequence: entry.sequence, first: entry.first, deadline_ns: deadline_ns, deliveries: 1, isQueued: false, isGone: false))
    }
    pending.order { $0.sequence < $1.sequence }
    for index in pending.indices.dropFirst() where pending[index].sequence == pending[index - 1].sequence { return nil }
    var givenUp: [UInt64] = []
    for entry in saved.redelivered where entry.sequence > 0 && entry.sequence <= delivered.stream {
      if let index = ConsumerState.index(of: entry.sequence, in: pending) {
        pending[index].deliveries = Int32(clamping: entry.count) &+ (entry.count < UInt64(Int32.max) ? 1 : 0)
      } else {
        givenUp.append(entry.sequence)
      }
    }
    givenUp.order { $0 < $1 }
    var kept: [UInt64] = []
    for sequence in givenUp where kept.last != sequence { kept.append(sequence) }
    self.init(delivered: delivered, floor: floor, next: delivered.stream + 1, pending: pending, givenUp: kept)
  }

  private static func index(of sequence: UInt64, in pending: [PendingDelivery]) -> Int? {
    var low = 0
    var high = pending.count
    while low < high {
      let middle = (low + high) / 2
      if pending[middle].sequence < sequence { low = middle + 1 } else { high = middle }
    }
    return low < pending.count && pending[low].sequence == sequence ? low : nil
  }
}

extension ConsumerBackup {
  /// Reads an archive's entry; nil when it is none.
  init?(name: ByteString, record: JSONValue) {
    guard let members = record["config"]?.object, let saved = record["state"] else { return nil }
    self.init(name: name, config: members)
    delivered = ConsumerBackup.pair(saved["delivered"])
    floor = ConsumerBackup.pair(saved["ack_floor"])
    for member in saved["pending"]?.object ?? [] {
      guard let sequence = member.name.withView({ $0.decimal() }), let first = member.value["Sequence"]?.uint64 else { return nil }
      pending.append(Pending(sequence: sequence, first: first))
    }
    for member in saved["redelivered"]?.object ?? [] {
      guard let sequence = member.name.withView({ $0.decimal() }), let count = member.value.int64 else { return nil }
      redelivered.append(Redelivery(sequence: sequence, count: UInt64(max(count, 0))))
    }
  }

  private static func pair(_ value: JSONValue?) -> SequencePair {
    SequencePair(consumer: value?["consumer_seq"]?.uint64 ?? 0, stream: value?["stream_seq"]?.uint64 ?? 0)
  }
}
