// Which compression a leaf link uses: the configured mode, what both ends agree on, and the level that follows from it.
import Bytes
import Platform

/// The configured mode of one end (leafnode-protocol.md section 15.1).
public enum LeafCompressionMode: Equatable, Sendable {
  case off
  /// Does what the peer wants.
  case accept
  case s2Fast
  /// Compresses when the round trip is long.
  case s2Auto

  /// The name on the wire.
  public var name: StaticString {
    switch self {
    case .off: "off"
    case .accept: "accept"
    case .s2Fast: "s2_fast"
    case .s2Auto: "s2_auto"
    }
  }
}

/// What both ends agreed on.
public enum LeafCompressionChoice: Equatable, Sendable {
  /// `said` is what CONNECT tells the hub for its monitoring: "off" or "not supported".
  case uncompressed(said: String)
  case s2(LeafCompressionMode)

  /// The table of section 15.2, from the solicitor's side.
  public static func choose(own: LeafCompressionMode, peer: ByteString?) -> LeafCompressionChoice? {
    guard let peer else { return .uncompressed(said: "not supported") }
    switch peer {
    case "not supported": return .uncompressed(said: "not supported")
    case "off": return .uncompressed(said: "off")
    case "accept": return own == .off || own == .accept ? .uncompressed(said: "off") : .s2(own)
    case "s2_fast", "s2_better", "s2_best", "s2_uncompressed":
      switch own {
      case .off: return .uncompressed(said: "off")
      // Better and best are the sender's own choice; this end sends at its own level.
      case .accept: return .s2(.s2Fast)
      case .s2Fast, .s2Auto: return .s2(own)
      }
    case "s2_auto":
      switch own {
      case .off: return .uncompressed(said: "off")
      case .accept: return .s2(.s2Fast)
      case .s2Fast, .s2Auto: return .s2(own)
      }
    default: return nil
    }
  }
}

/// When `s2_auto` begins to compress (section 15.3): up to this round trip chunks are stored.
public let s2AutoThreshold_ns = 10 * millisecond_ns
