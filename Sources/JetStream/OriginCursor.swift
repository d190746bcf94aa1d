// Where a mirror or source stands in its origin, and what it makes of each delivery. Pure: no I/O, no time.
import Bytes
import Interest
import LogStore

/// What the ack subject of a delivery says (section 12, both forms).
struct OriginDelivery {
  /// The origin's consumer.
  let consumer: ByteView
  let deliveries: UInt64
  /// Its sequence in the origin.
  let sequence: UInt64
  /// Its number in the consumer's counting.
  let number: UInt64
  let timestamp_ns: Int64
  let pending: UInt64

  init?(_ subject: ByteView) {
    let count = Subject.tokenCount(subject)
    guard subject.hasPrefix("$JS.ACK."), count == 9 || count >= 11 else { return nil }
    var tokens = Subject.Tokens(subject)
    for _ in 0..<(count == 9 ? 3 : 5) { _ = tokens.next() }
    guard let consumer = tokens.next(), let deliveries = tokens.next()?.decimal(), let sequence = tokens.next()?.decimal(),
      let number = tokens.next()?.decimal(), let time = tokens.next()?.decimal(), let pending = tokens.next()?.decimal(),
      // No server gives larger ones.
      sequence < StreamLog.sequenceMax, number < StreamLog.sequenceMax
    else { return nil }
    self.consumer = consumer
    self.deliveries = deliveries
    self.sequence = sequence
    self.number = number
    timestamp_ns = Int64(clamping: time)
    self.pending = pending
  }
}

/// The place of one mirror or source.
struct OriginCursor: Equatable {
  enum Decision: Equatable {
    case store
    /// It is here already, or of another time.
    case ignore
    /// Something is missing: ask for a new consumer behind `sequence`.
    case reopen
  }

  /// The last of the origin's sequences that was taken or passed over.
  var sequence: UInt64 = 0
  /// The last delivery of the present consumer.
  var number: UInt64 = 0
  /// Messages of the origin that are yet to come.
  private(set) var lag: UInt64 = 0

  /// A delivery came. A mirror also takes what follows in the origin when the consumer's counting does not tell.
  mutating func take(_ delivery: OriginDelivery, isMirror: Bool) -> Decision {
    guard delivery.deliveries == 1 else { return .ignore }
    guard delivery.sequence > sequence else {
      if delivery.number == number + 1 { number += 1 }
      return .ignore
    }
    if delivery.number == number + 1 || (isMirror && delivery.sequence == sequence + 1) {
      number = delivery.number
      sequence = delivery.sequence
      lag = delivery.pending > 0 ? delivery.pending - 1 : 0
      return .store
    }
    return delivery.number > number || isMirror ? .reopen : .ignore
  }
}
