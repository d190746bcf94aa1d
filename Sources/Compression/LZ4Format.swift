// The numbers of the LZ4 stream between two agents that encoder and decoder share, and what can be wrong with one (docs/leaf-lz4.md).

enum LZ4Format {
  /// The bytes that a chunk holds at most. Small, so that they reach the other end soon.
  static let chunkBytesMax = 4 << 10
  /// Each end keeps what it sent and received lately, because chunks refer to it.
  static let historyBytes = 32 << 10
  /// When the next chunk might not fit behind the history, so much of it is kept.
  static let historyKept = 16 << 10
  static let checksumBytes = 4
  /// A chunk's size takes two bytes at most: it is below 2^14.
  static let sizeBytesMax = 2
  /// The checksum, and a block that did not shrink (LZ4_compressBound).
  static let bodyBytesMax = checksumBytes + chunkBytesMax + chunkBytesMax / 255 + 16
}

/// Received bytes that are not such a stream.
public struct LZ4Error: Error, Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// A chunk that cannot hold a checksum and a block, or is longer than any.
    case sizeWrong
    /// What is in a chunk is no LZ4 block of the size that is allowed.
    case blockWrong
    case checksumWrong
  }

  public let kind: Kind
  /// Bytes of the stream before the chunk at fault.
  public let offset: UInt64

  public init(_ kind: Kind, offset: UInt64) {
    self.kind = kind
    self.offset = offset
  }

  public var text: String {
    switch kind {
    case .sizeWrong: "LZ4: wrong chunk size at byte \(offset)"
    case .blockWrong: "LZ4: damaged block in the chunk at byte \(offset)"
    case .checksumWrong: "LZ4: checksum mismatch in the chunk at byte \(offset)"
    }
  }
}
