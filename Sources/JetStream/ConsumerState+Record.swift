// How a consumer's state is written down: a version byte, then numbers of 7 bits per byte.
//
// version, delivered.consumer, delivered.stream, floor.consumer, floor.stream, next, number of pending messages, and for each of them:
// sequence and first delivery less those of the one before, deliveries. Then the number of runs of given up messages, and for each of
// them: its first sequence less the end of the one before, its length.
import Bytes

extension ConsumerState {
  private static let version: UInt8 = 2
  /// Each of the two lists in a record stays below this; what does not fit is delivered again after a restart.
  static let recordBytesMax = 256 << 10
  /// Most bytes of one number.
  private static let numberBytesMax = 10

  var record: [UInt8] {
    var cut: SequencePair?
    let (givenUpRuns, runCount) = encodedGivenUp(&cut)
    var body: [UInt8] = []
    body.reserveCapacity(pendingCount * 4)
    var count: UInt64 = 0
    var last = SequencePair()
    forEachPending { entry in
      if let cut, entry.sequence > cut.stream { return }
      guard body.count < ConsumerState.recordBytesMax else {
        cut = SequencePair(consumer: entry.first - 1, stream: entry.sequence - 1)
        return
      }
      body.append(number: entry.sequence - last.stream)
      body.append(number: entry.first &- last.consumer)
      body.append(number: UInt64(entry.deliveries))
      last = SequencePair(consumer: entry.first, stream: entry.sequence)
      count += 1
    }
    // What did not fit counts as not delivered yet.
    let delivered = cut ?? self.delivered
    var record: [UInt8] = [ConsumerState.version]
    record.append(number: delivered.consumer)
    record.append(number: delivered.stream)
    record.append(number: min(floor.consumer, delivered.consumer))
    record.append(number: min(floor.stream, delivered.stream))
    record.append(number: cut.map { $0.stream + 1 } ?? next)
    record.append(number: count)
    record += body
    record.append(number: runCount)
    return record + givenUpRuns
  }

  /// The given up sequences as runs: how far each begins behind the end of the one before, and how long it is. `cut` becomes where the
  /// list had to end, if it did.
  private func encodedGivenUp(_ cut: inout SequencePair?) -> (bytes: [UInt8], runs: UInt64) {
    var bytes: [UInt8] = []
    var runs: UInt64 = 0
    var end: UInt64 = 0
    var index = 0
    while index < givenUp.count {
      let begin = givenUp[index]
      guard bytes.count < ConsumerState.recordBytesMax else {
        cut = SequencePair(consumer: delivered.consumer, stream: begin - 1)
        break
      }
      var length = 1
      while index + length < givenUp.count, givenUp[index + length] == begin + UInt64(length) { length += 1 }
      bytes.append(number: begin - end)
      bytes.append(number: UInt64(length))
      end = begin + UInt64(length)
      index += length
      runs += 1
    }
    return (bytes, runs)
  }

  /// Reads a record. Pending messages go out again at `deadline_ns`. Nil when it is not one, or makes no sense.
  init?(record: ByteView, deadline_ns: Int64) {
    var reader = Reader(rest: record)
    guard reader.byte() == ConsumerState.version, let deliveredConsumer = reader.number(), let deliveredStream = reader.number(),
      let floorConsumer = reader.number(), let floorStream = reader.number(), let next = reader.number(),
      let count = reader.number(), count <= UInt64(record.count), floorConsumer <= deliveredConsumer,
      floorStream <= deliveredStream, next > 0
    else { return nil }
    var pending: [PendingDelivery] = []
    pending.reserveCapacity(Int(count))
    var last = SequencePair()
    for _ in 0..<count {
      guard let sequenceStep = reader.number(), let firstStep = reader.number(), let deliveries = reader.number(), sequenceStep > 0,
        deliveries > 0, let narrow = Int32(exactly: deliveries)
      else { return nil }
      let (sequence, isTooFar) = last.stream.addingReportingOverflow(sequenceStep)
      let (first, isTooMuch) = last.consumer.addingReportingOverflow(firstStep)
      guard !isTooFar, !isTooMuch, sequence <= deliveredStream, first <= deliveredConsumer, first > 0 else { return nil }
      last = SequencePair(consumer: first, stream: sequence)
      pending.append(
        PendingDelivery(
          sequence: sequence, first: first, deadline_ns: deadline_ns, deliveries: narrow, isQueued: false, isGone: false))
    }
    guard let givenUp = reader.runs(through: deliveredStream), reader.rest.isEmpty else { return nil }
    self.init(
      delivered: SequencePair(consumer: deliveredConsumer, stream: deliveredStream),
      floor: SequencePair(consumer: floorConsumer, stream: floorStream), next: next, pending: pending, givenUp: givenUp)
  }

  /// So many given up messages are read back; a record that claims more is damaged.
  private static let givenUpMax: UInt64 = 1 << 24

  private struct Reader {
    var rest: ByteView

    mutating func byte() -> UInt8? {
      guard !rest.isEmpty else { return nil }
      let byte = rest[0]
      rest = rest.dropFirst(1)
      return byte
    }

    mutating func number() -> UInt64? {
      var value: UInt64 = 0
      for index in 0..<ConsumerState.numberBytesMax {
        guard let byte = byte() else { return nil }
        let part = UInt64(byte & 0x7F)
        // The tenth byte holds one bit.
        guard index < ConsumerState.numberBytesMax - 1 || part <= 1 else { return nil }
        value |= part << UInt64(7 * index)
        if byte & 0x80 == 0 { return value }
      }
      return nil
    }

    /// The sequences of all runs, none behind `last`.
    mutating func runs(through last: UInt64) -> [UInt64]? {
      guard let runs = number(), runs <= UInt64(rest.count) else { return nil }
      var sequences: [UInt64] = []
      var end: UInt64 = 0
      for _ in 0..<runs {
        guard let step = number(), let length = number(), length > 0, step <= last, end <= last - step else { return nil }
        let begin = end + step
        guard begin > 0, length <= last - begin + 1, UInt64(sequences.count) + length <= ConsumerState.givenUpMax else { return nil }
        for sequence in begin..<begin + length { sequences.append(sequence) }
        end = begin + length
      }
      return sequences
    }
  }
}

extension [UInt8] {
  fileprivate mutating func append(number: UInt64) {
    var rest = number
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(truncatingIfNeeded: rest))
  }
}
