// Why a hub does not take a forwarded message.
import Bytes

/// Kinds of refusal, as far as it matters what can be done about them.
public enum ForwardRefusal: UInt8, CaseIterable, Sendable {
  /// Larger than the hub's stream or its servers take.
  case tooLarge
  /// The hub's permissions of this leaf do not let the subject through.
  case notPermitted
  /// The hub's stream or store has no room.
  case streamFull
  /// Anything else: no stream, no leader, a wrong expectation.
  case other

  /// Whether trying again cannot help, so that the message may be set aside. A full stream empties, a leader is elected.
  public var isForGood: Bool { self == .tooLarge || self == .notPermitted }

  /// From the error code of a PubAck (jetstream-api.md section 6).
  init(errorCode: Int) {
    switch errorCode {
    case 10054: self = .tooLarge  // message size exceeds maximum allowed
    case 10077, 10023, 10002, 10047, 10028: self = .streamFull  // the stream's limits, the server's, the account's
    default: self = .other
    }
  }
}

/// How often a forward was refused, by kind.
public struct ForwardRefusals: Equatable, Sendable {
  public private(set) var tooLarge: UInt64 = 0
  public private(set) var notPermitted: UInt64 = 0
  public private(set) var streamFull: UInt64 = 0
  public private(set) var total: UInt64 = 0

  public init() {}

  mutating func count(_ kind: ForwardRefusal) {
    total += 1
    switch kind {
    case .tooLarge: tooLarge += 1
    case .notPermitted: notPermitted += 1
    case .streamFull: streamFull += 1
    case .other: break
    }
  }
}
