// The texts of many subjects in few pieces of memory, for SubjectIndex.
import Bytes

/// Texts named by 32-bit references. Nothing moves and nothing is reused: whoever releases much copies the rest to a new arena.
struct TextArena {
  /// A reference is the number of a chunk and where in it the text begins, 16 bits each.
  private static var chunkBytes: Int { 65536 }
  /// Lengths from here on take four bytes more.
  private static var longLength: Int { 255 }
  /// Garbage that is not worth copying.
  private static var garbageBytesMin: Int { 65536 }

  private var chunks: [[UInt8]] = []
  private var used = 0
  private var garbage = 0

  /// The bytes of memory that the texts take.
  var capacity: Int { chunks.reduce(0) { $0 + $1.capacity } }

  var isWorthCompacting: Bool { garbage > Self.garbageBytesMin && garbage * 2 > used }

  private static func size(_ length: Int) -> Int { length < longLength ? length + 1 : length + 5 }

  /// Copies `text` into the arena.
  mutating func append(_ text: ByteView) -> UInt32 {
    precondition(text.count <= Int(UInt32.max), "a text is shorter than 4 GB")
    let size = Self.size(text.count)
    if chunks.isEmpty || (!chunks[chunks.count - 1].isEmpty && chunks[chunks.count - 1].count + size > Self.chunkBytes) {
      precondition(chunks.count < 65536, "the texts of one stream's subjects stay below 4 GB")
      chunks.append([])
      if chunks.count > 1 { chunks[chunks.count - 1].reserveCapacity(Self.chunkBytes) }
    }
    let chunk = chunks.count - 1
    let start = chunks[chunk].count
    if text.count < Self.longLength {
      chunks[chunk].append(UInt8(text.count))
    } else {
      chunks[chunk].append(UInt8(Self.longLength))
      for shift in 0..<4 { chunks[chunk].append(UInt8(truncatingIfNeeded: text.count >> (8 * shift))) }
    }
    chunks[chunk].append(text)
    used += size
    return UInt32(chunk) << 16 | UInt32(start)
  }

  /// The text of `reference`, valid until the arena changes.
  @inline(__always) func text(at reference: UInt32) -> ByteView {
    // Safe beyond the closure: an array's elements stay where they are until it is changed or released, and the view's contract ends
    // there too.
    chunks[Int(reference >> 16)].withView { chunk in
      let start = Int(reference & 0xFFFF)
      let length = Int(chunk[start])
      if length < Self.longLength { return chunk.slice(start + 1, start + 1 + length) }
      var long = 0
      for offset in 0..<4 { long |= Int(chunk[start + 1 + offset]) << (8 * offset) }
      return chunk.slice(start + 5, start + 5 + long)
    }
  }

  /// The text of `reference` is not needed any more.
  mutating func release(_ reference: UInt32) { garbage += Self.size(text(at: reference).count) }
}
