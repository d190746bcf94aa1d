// Frames what a connection sends as an S2 stream (leaf protocol specification, sections 15.4 and 16.1): identifier, then chunks
// with checksums. What is compressed how is in S2BlockEncoder.
import Bytes
import CLinux

/// The sending side of one connection. Holds no memory between flushes.
///
/// A flush is either `encode(view)`, or `add(piece)` for each piece and then `finish()`. Only one encoder of a scratch may have a
/// flush open at a time.
public struct S2StreamEncoder {
  public enum Identifier: Equatable, Sendable {
    /// Once, before the first flush: what receivers need, ten bytes less a flush.
    case once
    /// Before every flush, as nats-server sends it.
    case everyFlush
  }

  /// May change between flushes; receivers do not notice.
  public var level: CompressionLevel
  private let identifier: Identifier
  private var identified = false
  /// Bytes of the open flush that wait in the scratch for their chunk to fill up.
  private var gathered = 0
  private var flushing = false

  /// Bytes taken and bytes made since the start, for the ratio that monitoring shows.
  public private(set) var bytesIn: UInt64 = 0
  public private(set) var bytesOut: UInt64 = 0

  public init(level: CompressionLevel, identifier: Identifier = .once) {
    self.level = level
    self.identifier = identifier
  }

  /// Encodes one whole flush; `emit` is called with the pieces of the result in order, each valid during the call.
  public mutating func encode(_ view: ByteView, scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    add(view, scratch: scratch, last: true, emit)
    finish(scratch: scratch, emit)
  }

  /// Encodes one whole flush and appends it to `output`.
  public mutating func encode(_ view: ByteView, scratch: S2Scratch, into output: inout [UInt8]) {
    encode(view, scratch: scratch) { output.append($0) }
  }

  /// Adds one piece to the open flush, or opens one. Whole chunks are emitted at once, the rest waits for more.
  public mutating func add(_ piece: ByteView, scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    add(piece, scratch: scratch, last: false, emit)
  }

  /// `last`: nothing will be added, so a rest need not be copied aside.
  private mutating func add(_ piece: ByteView, scratch: S2Scratch, last: Bool, _ emit: (ByteView) -> Void) {
    guard !piece.isEmpty else { return }
    begin(emit)
    var rest = piece
    while !rest.isEmpty {
      if gathered == 0, last || rest.count >= S2BlockEncoder.blockBytesMax {
        let size = min(rest.count, S2BlockEncoder.blockBytesMax)
        chunk(rest.prefix(size), scratch: scratch, emit)
        rest = rest.dropFirst(size)
        continue
      }
      let size = min(rest.count, S2BlockEncoder.blockBytesMax - gathered)
      memcpy(scratch.gatheredMemory() + gathered, rest.base, size)
      gathered += size
      rest = rest.dropFirst(size)
      if gathered == S2BlockEncoder.blockBytesMax { emitGathered(scratch, emit) }
    }
  }

  /// Ends the flush: everything added has been emitted when this returns. Does nothing when nothing was added.
  public mutating func finish(scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    if gathered > 0 { emitGathered(scratch, emit) }
    flushing = false
  }

  private mutating func begin(_ emit: (ByteView) -> Void) {
    if flushing { return }
    flushing = true
    if identified, identifier == .once { return }
    identified = true
    withUnsafeTemporaryAllocation(byteCount: 10, alignment: 1) { buffer in
      buffer[0] = S2Format.chunkIdentifier
      buffer[1] = UInt8(S2Format.identifierBodyBytes)
      buffer[2] = 0
      buffer[3] = 0
      memcpy(buffer.baseAddress! + 4, S2Format.identifierBody.utf8Start, S2Format.identifierBodyBytes)
      emit(ByteView(UnsafeRawBufferPointer(buffer)))
    }
    bytesOut += 10
  }

  private mutating func emitGathered(_ scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    let size = gathered
    gathered = 0
    chunk(ByteView(base: UnsafePointer(scratch.gatheredMemory()), count: size), scratch: scratch, emit)
  }

  private mutating func chunk(_ view: ByteView, scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    let encoded = S2BlockEncoder.encode(view, level: level, scratch: scratch)
    let body = encoded ?? view
    let size = body.count + S2Format.checksumBytes
    let checksum = S2Format.maskedChecksum(view)
    withUnsafeTemporaryAllocation(byteCount: 8, alignment: 1) { buffer in
      buffer[0] = encoded == nil ? S2Format.chunkUncompressed : S2Format.chunkCompressed
      buffer[1] = UInt8(truncatingIfNeeded: size)
      buffer[2] = UInt8(truncatingIfNeeded: size >> 8)
      buffer[3] = UInt8(truncatingIfNeeded: size >> 16)
      buffer.storeBytes(of: checksum.littleEndian, toByteOffset: 4, as: UInt32.self)
      emit(ByteView(UnsafeRawBufferPointer(buffer)))
    }
    emit(body)
    bytesIn += UInt64(view.count)
    bytesOut += UInt64(size + S2Format.chunkHeaderBytes)
  }
}
