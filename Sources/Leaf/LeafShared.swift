// What all leaf links of a server share.
import Bytes
import Compression
import Platform

/// The marks (`$LDS.…`) of this server's live links. One that comes back to any of them means that the hub is reachable by two ways
/// (leafnode-protocol.md section 9.5). Each link has a mark of its own, so that one which a hub has not forgotten yet is no loop.
public final class LoopMarks {
  private var marks: [ByteString] = []

  func new(_ entropy: any Entropy) -> ByteString {
    let mark = ByteString([UInt8]("$LDS.".utf8) + entropy.name(22))
    marks.append(mark)
    return mark
  }

  func remove(_ mark: ByteString) { marks.removeAll { $0 == mark } }

  func contains(_ subject: ByteView) -> Bool { marks.contains { $0 == subject } }
}

/// One per server.
public final class LeafShared {
  public let loopMarks = LoopMarks()
  /// Tables of the compressor: too large to have one for each link.
  public let scratch = S2Scratch()
  /// Subjects that forwarders carry and that therefore do not also go live to the hub.
  public var heldSubjects: [ByteString] = []
  /// Subjects that the hub must not send back, because they would be forwarded to it again.
  public var heldInboundSubjects: [ByteString] = []
  public init() {}
}
