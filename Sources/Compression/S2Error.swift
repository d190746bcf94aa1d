// What can be wrong with received S2 data. Every case is fatal for its connection: there is no way to find the next chunk.

/// Received bytes that are not S2 as the leaf protocol uses it.
public struct S2Error: Error, Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// The stream does not begin with an identifier.
    case identifierMissing
    /// An identifier chunk with another length or body.
    case identifierWrong
    /// A chunk of a type (0x02 to 0x7f) that must not be skipped.
    case chunkReserved(UInt8)
    /// A data chunk that cannot hold its checksum.
    case chunkTooShort
    /// A data chunk, or what it decodes to, that is longer than allowed.
    case chunkTooLong
    case checksumWrong
    /// The block's length is missing, longer than five bytes or beyond 32 bits.
    case blockLengthWrong
    /// The block ends inside an element.
    case blockTruncated
    /// The block decodes to more, or to less, than it declared.
    case blockLengthMismatch
    /// A copy from before the beginning of the block, of offset zero, or a repeat of no copy.
    case offsetWrong
  }

  public let kind: Kind
  /// Bytes of the stream (or block) before the chunk (or element) at fault.
  public let offset: UInt64

  public init(_ kind: Kind, offset: UInt64) {
    self.kind = kind
    self.offset = offset
  }

  public var text: String {
    switch kind {
    case .identifierMissing: "S2: no stream identifier at byte \(offset)"
    case .identifierWrong: "S2: wrong stream identifier at byte \(offset)"
    case .chunkReserved(let type): "S2: reserved chunk type \(type) at byte \(offset)"
    case .chunkTooShort: "S2: chunk too short at byte \(offset)"
    case .chunkTooLong: "S2: chunk too long at byte \(offset)"
    case .checksumWrong: "S2: checksum mismatch in the chunk at byte \(offset)"
    case .blockLengthWrong: "S2: wrong block length at byte \(offset)"
    case .blockTruncated: "S2: truncated block at byte \(offset)"
    case .blockLengthMismatch: "S2: block does not have its declared length at byte \(offset)"
    case .offsetWrong: "S2: copy from outside the block at byte \(offset)"
    }
  }
}
