// What one end of a leaf link is to the other.

/// Two independent properties of a link (leafnode-protocol.md section 1): who dialled, and who is upstream.
public struct LeafRole: Equatable, Sendable {
  /// This side dialled: it sends CONNECT and waits for INFO.
  public var isSolicitor: Bool
  /// The other end is upstream: it gets only what is local here, and its permissions are heeded here. Otherwise this side is the hub:
  /// it tells everything that it knows and polices the other end.
  public var isSpoke: Bool

  public init(isSolicitor: Bool, isSpoke: Bool) {
    self.isSolicitor = isSolicitor
    self.isSpoke = isSpoke
  }

  /// Dialled, with a hub at the other end.
  public static let dialled = LeafRole(isSolicitor: true, isSpoke: true)
  /// Accepted, with a spoke at the other end; CONNECT may yet say otherwise.
  public static let accepted = LeafRole(isSolicitor: false, isSpoke: false)
}
