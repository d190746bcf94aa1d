// Compression of a leaf link's two directions: S2 with everybody, LZ4 between agents that both know it.
import Bytes
import Compression

/// What compresses a link.
enum LeafCodec { case s2, lz4 }

/// Compresses what a link sends: pieces, then the end of the flush.
final class LeafEncoder {
  private var s2: S2StreamEncoder?
  private let lz4: LZ4StreamEncoder?

  init(_ codec: LeafCodec, level: CompressionLevel) {
    s2 = codec == .s2 ? S2StreamEncoder(level: level) : nil
    lz4 = codec == .lz4 ? LZ4StreamEncoder() : nil
  }

  /// How hard it tries; LZ4 has one way only.
  var level: CompressionLevel {
    get { s2?.level ?? .fast }
    set { s2?.level = newValue }
  }

  func add(_ piece: ByteView, scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    if let lz4 { lz4.add(piece, scratch: scratch, emit) } else { s2?.add(piece, scratch: scratch, emit) }
  }

  func finish(scratch: S2Scratch, _ emit: (ByteView) -> Void) {
    if let lz4 { lz4.finish(scratch: scratch, emit) } else { s2?.finish(scratch: scratch, emit) }
  }
}

/// Decompresses what a link receives, chunk by chunk.
final class LeafDecoder {
  struct Failure: Error { let text: String }

  private let s2: S2StreamDecoder?
  private let lz4: LZ4StreamDecoder?

  init(_ codec: LeafCodec) {
    s2 = codec == .s2 ? S2StreamDecoder() : nil
    lz4 = codec == .lz4 ? LZ4StreamDecoder() : nil
  }

  /// What a chunk may decompress to, where that is less than the format allows. Chunks of LZ4 are always small.
  var chunkMax: Int? {
    get { s2?.chunkMax }
    set { s2?.chunkMax = newValue }
  }

  /// The bytes of the next chunk, taken from the front of `input`, or nil when `input` is used up. Valid until the next call.
  func next(_ input: inout ByteView, scratch: S2Scratch) throws(Failure) -> ByteView? {
    if let lz4 {
      do throws(LZ4Error) { return try lz4.next(&input) } catch { throw Failure(text: error.text) }
    }
    do throws(S2Error) { return try s2?.next(&input, scratch: scratch) } catch { throw Failure(text: error.text) }
  }
}
