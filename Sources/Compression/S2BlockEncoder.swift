// Encodes one S2 block (leaf protocol specification, sections 16.2 and 16.3). Here is what the levels share, and the fast one: greedy
// matching with one hash table, and repeats where the offset stays the same, as in text of equal records. The others are in +Better
// and +Best; the elements are written by S2Elements.
//
// Uses bare pointers for speed. Invariants: `next` and every candidate are positions in the block with at least `tailBytes` behind
// them when eight bytes are read there; the output never runs past `encodedBytesMax`, because after every copy it is compared with a
// limit below the block's own length.
import Bytes
import CLinux

public enum S2BlockEncoder {
  /// The longest block. Positions then fit 16 bits, which halves the hash table; the receiver gets its bytes sooner.
  public static let blockBytesMax = 64 << 10
  /// Shorter blocks do not shrink enough to be worth the search.
  public static let blockBytesMin = 32
  private static let tableBitsMax = 14
  private static let tableBitsMin = 8
  /// Room for a block that is given up just after an element: the block, its length, and the longest copy with its repeats.
  static let encodedBytesMax = blockBytesMax + 64
  /// The search ends this far before the block's end, so that eight bytes can be read at any position it looks at.
  static let tailBytes = 10

  /// Appends the encoded block to `output`; false, and nothing is appended, when it would not be worth it.
  public static func encode(_ block: ByteView, level: CompressionLevel, scratch: S2Scratch, into output: inout [UInt8]) -> Bool {
    guard let encoded = encode(block, level: level, scratch: scratch) else { return false }
    output.append(encoded)
    return true
  }

  /// The encoded block, valid until the next encoding with `scratch`; nil when it would not save at least a 32nd.
  static func encode(_ block: ByteView, level: CompressionLevel, scratch: S2Scratch) -> ByteView? {
    precondition(block.count <= blockBytesMax, "a block longer than the encoder's tables can address")
    guard level != .uncompressed, block.count >= blockBytesMin else { return nil }
    var output = S2Elements(base: scratch.encodedMemory(), limit: block.count - block.count / 32 - 5)
    output.appendLength(block.count)
    let isWorthIt =
      switch level {
      case .uncompressed, .fast: searchFast(block, scratch, &output)
      case .better: searchBetter(block, scratch, &output)
      case .best: searchBest(block, scratch, &output)
      }
    return isWorthIt ? ByteView(base: UnsafePointer(output.base), count: output.count) : nil
  }

  /// The size of a table for a block: as many entries as the block has positions, within limits.
  static func tableBits(_ count: Int, max bitsMax: Int) -> Int {
    var bits = tableBitsMin
    while bits < bitsMax, 1 << bits < count { bits += 1 }
    return bits
  }

  @inline(__always) static func load8(_ source: UnsafePointer<UInt8>, _ place: Int) -> UInt64 {
    UInt64(littleEndian: UnsafeRawPointer(source + place).loadUnaligned(as: UInt64.self))
  }

  @inline(__always) static func load4(_ source: UnsafePointer<UInt8>, _ place: Int) -> UInt32 {
    UInt32(littleEndian: UnsafeRawPointer(source + place).loadUnaligned(as: UInt32.self))
  }

  /// The table index of the first six bytes of `word`: shorter matches are seldom worth an element.
  @inline(__always) private static func hash(_ word: UInt64, _ shift: UInt64) -> Int {
    // 2^48 times the golden ratio's fraction, made odd.
    Int(truncatingIfNeeded: ((word << 16) &* 0x9E37_79B9_7F4B) >> shift)
  }

  /// Where the match of `start` with `candidateStart` ends.
  @inline(__always) static func matchEnd(
    _ source: UnsafePointer<UInt8>, _ start: Int, _ candidateStart: Int, _ count: Int
  ) -> Int {
    var place = start
    var candidate = candidateStart
    while place <= count - 8 {
      let difference = load8(source, place) ^ load8(source, candidate)
      if difference != 0 { return place + difference.trailingZeroBitCount >> 3 }
      place += 8
      candidate += 8
    }
    while place < count, source[place] == source[candidate] {
      place += 1
      candidate += 1
    }
    return place
  }

  /// Appends the block's elements; false when the output has reached its limit.
  private static func searchFast(_ block: ByteView, _ scratch: S2Scratch, _ output: inout S2Elements) -> Bool {
    let bits = tableBits(block.count, max: tableBitsMax)
    let shift = UInt64(64 - bits)
    let table = scratch.tableMemory(entries: 1 << bits)
    memset(table, 0, 2 << bits)
    let source = block.base
    let count = block.count
    let searchEnd = count - tailBytes
    /// The first byte that is in no element yet.
    var pending = 0
    // An empty slot names position 0, which is a candidate like any other.
    var next = 1
    var offset = 0
    while next < searchEnd {
      let word = load8(source, next)
      let slot = hash(word, shift)
      var place = next
      var candidate = Int(table[slot])
      table[slot] = UInt16(truncatingIfNeeded: next)
      if offset != 0, UInt32(truncatingIfNeeded: word >> 8) == load4(source, next + 1 - offset) {
        place = next + 1
        candidate = place - offset
      } else if UInt32(truncatingIfNeeded: word) != load4(source, candidate) {
        // The longer nothing was found, the larger the steps: data that does not compress passes quickly.
        next += 1 + (next - pending) >> 5
        continue
      }
      var end = matchEnd(source, place + 4, candidate + 4, count)
      while place > pending, candidate > 0, source[place - 1] == source[candidate - 1] {
        place -= 1
        candidate -= 1
      }
      // Follow the text from match to match for as long as the next one begins where this one ends.
      while true {
        guard output.append(source, pending: pending, place: place, end: end, candidate: candidate, offset: &offset) else { return false }
        pending = end
        next = end
        guard next < searchEnd else { break }
        let before = load8(source, next - 2)
        table[hash(before, shift)] = UInt16(truncatingIfNeeded: next - 2)
        let here = load8(source, next)
        let slot = hash(here, shift)
        candidate = Int(table[slot])
        table[slot] = UInt16(truncatingIfNeeded: next)
        guard UInt32(truncatingIfNeeded: here) == load4(source, candidate) else {
          next += 1
          break
        }
        place = next
        end = matchEnd(source, place + 4, candidate + 4, count)
      }
    }
    return output.appendLiteral(source + pending, count - pending) && output.count <= output.limit
  }
}
