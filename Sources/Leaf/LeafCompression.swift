// Which compression a leaf link uses: the configured mode, what both ends agree on, and the level that follows from it.
import Bytes
import Compression
import Platform

/// The mode of one end (leafnode-protocol.md section 15.1).
public enum LeafCompressionMode: Equatable, Sendable {
  /// Says nothing of compression.
  case notSupported
  case off
  /// Does what the peer wants.
  case accept
  /// Frames without compressing. Nobody configures it, but a peer may ask for it.
  case s2Uncompressed
  case s2Fast
  case s2Better
  case s2Best
  /// The longer the round trip, the harder it tries.
  case s2Auto
  /// LZ4 with another agent that knows it; with others as `s2Auto`.
  case lz4

  /// The name on the wire.
  public var name: StaticString {
    switch self {
    case .notSupported: "not supported"
    case .off: "off"
    case .accept: "accept"
    case .s2Uncompressed: "s2_uncompressed"
    case .s2Fast: "s2_fast"
    case .s2Better: "s2_better"
    case .s2Best: "s2_best"
    case .s2Auto: "s2_auto"
    case .lz4: "lz4"
    }
  }

  /// The name for those who know S2 only.
  public var nameForServers: StaticString { self == .lz4 ? LeafCompressionMode.s2Auto.name : name }

  /// nil for a name that no peer should say.
  public init?(named name: ByteString) {
    switch name {
    case "not supported", "": self = .notSupported
    case "off": self = .off
    case "accept": self = .accept
    case "s2_uncompressed": self = .s2Uncompressed
    case "s2_fast": self = .s2Fast
    case "s2_better": self = .s2Better
    case "s2_best": self = .s2Best
    case "s2_auto": self = .s2Auto
    case "lz4": self = .lz4
    default: return nil
    }
  }

  init(_ level: CompressionLevel) {
    switch level {
    case .uncompressed: self = .s2Uncompressed
    case .fast: self = .s2Fast
    case .better: self = .s2Better
    case .best: self = .s2Best
    }
  }
}

/// What both ends agreed on.
public enum LeafCompressionChoice: Equatable, Sendable {
  /// No compression: because an end does not know it, or because one does not want it. CONNECT tells which.
  case notSupported
  case off
  /// How this end sends; the other has a level of its own.
  case s2(LeafCompressionMode)
  /// Both directions.
  case lz4

  /// The table of section 15.2, the same for both ends; nil when the peer's mode has a name that is not known.
  ///
  /// `extended` is what another agent says besides, in a field that a nats-server does not know (docs/leaf-lz4.md).
  public static func choose(own: LeafCompressionMode, peer name: ByteString?, extended: ByteString? = nil) -> LeafCompressionChoice? {
    if let extended, let peer = LeafCompressionMode(named: extended) {
      switch (own, peer) {
      case (.lz4, .accept), (.lz4, .s2Auto), (.lz4, .s2Fast), (.lz4, .s2Better), (.lz4, .s2Best), (.lz4, .lz4), (.accept, .lz4): return .lz4
      default: break
      }
    }
    guard let name else { return .notSupported }
    // LZ4 is said in the other field only.
    guard let peer = LeafCompressionMode(named: name), peer != .lz4 else { return nil }
    return s2(own: own == .lz4 ? .s2Auto : own, peer: peer)
  }

  /// What an acceptor that announced `own` makes of the solicitor's request for `name`; nil when it asks for what was not announced.
  public static func answer(own: LeafCompressionMode, requested name: ByteString?) -> LeafCompressionChoice? {
    guard let name else { return .notSupported }
    guard let requested = LeafCompressionMode(named: name) else { return nil }
    guard requested == .lz4 else { return s2(own: own == .lz4 ? .s2Auto : own, peer: requested) }
    return own == .off || own == .notSupported ? nil : .lz4
  }

  private static func s2(own: LeafCompressionMode, peer: LeafCompressionMode) -> LeafCompressionChoice {
    switch (own, peer) {
    case (.notSupported, _), (_, .notSupported): return .notSupported
    case (.off, _), (_, .off), (.accept, .accept): return .off
    case (.accept, .s2Auto): return .s2(.s2Fast)
    case (.accept, _): return .s2(peer)
    case (_, _): return .s2(own)
    }
  }
}

/// How `s2_auto` chooses its level (section 15.3).
public struct LeafCompressionThresholds: Equatable, Sendable {
  private static let levels: [CompressionLevel] = [.uncompressed, .fast, .better, .best]

  /// Up to which round trip each level is used, the cheapest first; 0 leaves a level out.
  private let limits_ns: [Int64]

  /// Of three limits or more the level behind the third takes what is longer; of fewer the last that is named.
  public init(_ limits_ns: [Int64] = []) {
    precondition(limits_ns.count <= Self.levels.count, "there are more thresholds than levels")
    self.limits_ns = limits_ns.isEmpty ? [10 * millisecond_ns, 50 * millisecond_ns, 100 * millisecond_ns] : limits_ns
  }

  public func level(rtt_ns: Int64) -> CompressionLevel {
    if let index = limits_ns.firstIndex(where: { rtt_ns <= $0 }) { return Self.levels[index] }
    return Self.levels[limits_ns.count >= 3 ? 3 : limits_ns.count - 1]
  }
}
