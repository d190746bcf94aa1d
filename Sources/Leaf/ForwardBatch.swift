// Fast-ingest batches of a forward (ADR-50; jetstream-api.md section 8): the hub keeps the order of what is in one, and answers all of it with
// one PubAck.
import Bytes

/// A batch on its way to the hub. The hub stores its messages as they come, and stops at the first that is missing or that it does not take.
struct ForwardBatch: Equatable {
  /// Fewer messages than this that wait to be sent go one by one: the last of them would wait for a batch of its own to end.
  static let messagesMin: UInt64 = 16
  /// What may be in doubt after a break has to be looked up.
  static let messagesMax: UInt64 = 1024
  /// The hub says how far it is at least after so many messages: signs of life on a slow link.
  static let flow = 64

  /// Counts the batches of a forward.
  let number: UInt64
  /// Messages that were sent.
  var count: UInt64 = 0
  /// The last message was sent; the hub's PubAck is awaited.
  var isClosed = false
}

/// How the next message of a forward goes.
public enum ForwardPlacement: Equatable {
  /// By itself, and the hub answers it.
  case alone
  /// In a batch, as its message `sequence`.
  case batched(number: UInt64, sequence: UInt64, isLast: Bool)
  /// Not now: what is in flight must be answered first.
  case later
}
