// The sending side of an LZ4 stream between two agents: chunks that refer to what was sent before, so that even a small message shrinks.
import Bytes
import CLZ4
import CLinux

/// Encodes what one connection sends. Holds its history for as long as it lives: 48 KB with the hash table.
///
/// A flush is `add(piece)` for each piece and then `finish()`; all encoders of a scratch take turns at the end of a chunk.
public final class LZ4StreamEncoder {
  private let encoder: OpaquePointer
  private let history = UnsafeMutablePointer<UInt8>.allocate(capacity: LZ4Format.historyBytes)
  /// Bytes of the history that were sent; behind them lie those that wait for their chunk to fill up.
  private var place = 0
  private var gathered = 0

  /// Bytes taken and bytes made since the start.
  public private(set) var bytesIn: UInt64 = 0
  public private(set) var bytesOut: UInt64 = 0

  public init() {
    guard let encoder = clz4_encoder_make() else { fatalError("out of memory for a compressor") }
    self.encoder = encoder
  }

  deinit {
    clz4_encoder_free(encoder)
    history.deallocate()
  }

  /// Adds to the open flush, or opens one. `emit` is called with the pieces of the result in order, each valid during the call.
  public func add(_ piece: ByteView, scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    var rest = piece
    while !rest.isEmpty {
      let size = min(rest.count, LZ4Format.chunkBytesMax - gathered)
      memcpy(history + place + gathered, rest.base, size)
      gathered += size
      rest = rest.dropFirst(size)
      if gathered == LZ4Format.chunkBytesMax { emitChunk(scratch, emit) }
    }
  }

  /// Ends the flush: everything added has been emitted when this returns. Does nothing when nothing was added.
  public func finish(scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    if gathered > 0 { emitChunk(scratch, emit) }
  }

  private func emitChunk(_ scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    let plain = ByteView(base: UnsafePointer(history + place), count: gathered)
    let chunk = scratch.encodedMemory()
    let head = LZ4Format.sizeBytesMax + LZ4Format.checksumBytes
    let room = LZ4Format.bodyBytesMax - LZ4Format.checksumBytes
    let block = Int(clz4_encode(encoder, plain.base, Int32(plain.count), chunk + head, Int32(room)))
    precondition(block > 0, "LZ4 has room for what does not shrink")
    let size = LZ4Format.checksumBytes + block
    // The size stands right before the checksum, in one byte or two.
    var start = LZ4Format.sizeBytesMax - 1
    if size < 0x80 {
      chunk[start] = UInt8(truncatingIfNeeded: size)
    } else {
      start -= 1
      chunk[start] = UInt8(truncatingIfNeeded: size & 0x7F | 0x80)
      chunk[start + 1] = UInt8(truncatingIfNeeded: size >> 7)
    }
    UnsafeMutableRawPointer(chunk + LZ4Format.sizeBytesMax)
      .storeBytes(of: CRC32C.checksum(plain).littleEndian, as: UInt32.self)
    let whole = ByteView(base: UnsafePointer(chunk + start), count: head - start + block)
    bytesIn += UInt64(plain.count)
    bytesOut += UInt64(whole.count)
    place += gathered
    gathered = 0
    if place > LZ4Format.historyBytes - LZ4Format.chunkBytesMax {
      clz4_encoder_move(encoder, history, Int32(LZ4Format.historyKept))
      place = LZ4Format.historyKept
    }
    emit(whole)
  }
}
