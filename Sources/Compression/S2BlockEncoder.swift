// Encodes one S2 block at the fast level (leaf protocol specification, sections 16.2 and 16.3): greedy matching with one hash
// table, and repeats where the offset stays the same, as in text of equal records.
//
// Uses bare pointers for speed. Invariants: `next` and every candidate are positions in the block with at least `tailBytes` behind
// them when eight bytes are read there; the output never runs past `encodedBytesMax`, because after every element it is compared
// with a limit below the block's own length and no element other than a checked literal is longer than `copyBytesMax`.
import Bytes
import CLinux

public enum S2BlockEncoder {
  /// The longest block. Positions then fit 16 bits, which halves the hash table; the receiver gets its bytes sooner.
  public static let blockBytesMax = 64 << 10
  /// Shorter blocks do not shrink enough to be worth the search.
  public static let blockBytesMin = 32
  static let tableBitsMax = 14
  static let tableBitsMin = 8
  static let tableEntriesMax = 1 << tableBitsMax
  /// Room for a block that is given up just after an element: the block, its length, and the longest copy with its repeats.
  static let encodedBytesMax = blockBytesMax + 64
  /// The search ends this far before the block's end, so that eight bytes can be read at any position it looks at.
  private static let tailBytes = 10

  /// Appends the encoded block to `output`; false, and nothing is appended, when it would not be worth it.
  public static func encode(_ block: ByteView, scratch: S2Scratch, into output: inout [UInt8]) -> Bool {
    guard let encoded = encode(block, scratch: scratch) else { return false }
    output.append(encoded)
    return true
  }

  /// The encoded block, valid until the next encoding with `scratch`; nil when it would not save at least a 32nd.
  static func encode(_ block: ByteView, scratch: S2Scratch) -> ByteView? {
    precondition(block.count <= blockBytesMax, "a block longer than the encoder's table can address")
    guard block.count >= blockBytesMin else { return nil }
    var bits = tableBitsMin
    while bits < tableBitsMax, 1 << bits < block.count { bits += 1 }
    let table = scratch.tableMemory()
    memset(table, 0, 2 << bits)
    var output = Output(base: scratch.encodedMemory(), limit: block.count - block.count / 32 - 5)
    output.appendLength(block.count)
    guard search(block, table, shift: UInt64(64 - bits), &output) else { return nil }
    return ByteView(base: UnsafePointer(output.base), count: output.count)
  }

  @inline(__always) private static func load8(_ source: UnsafePointer<UInt8>, _ place: Int) -> UInt64 {
    UInt64(littleEndian: UnsafeRawPointer(source + place).loadUnaligned(as: UInt64.self))
  }

  @inline(__always) private static func load4(_ source: UnsafePointer<UInt8>, _ place: Int) -> UInt32 {
    UInt32(littleEndian: UnsafeRawPointer(source + place).loadUnaligned(as: UInt32.self))
  }

  /// The table index of the first six bytes of `word`: shorter matches are seldom worth an element.
  @inline(__always) private static func hash(_ word: UInt64, _ shift: UInt64) -> Int {
    // 2^48 times the golden ratio's fraction, made odd.
    Int(truncatingIfNeeded: ((word << 16) &* 0x9E37_79B9_7F4B) >> shift)
  }

  /// Where the match of `place` with `candidate` ends.
  @inline(__always) private static func matchEnd(
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
  private static func search(
    _ block: ByteView, _ table: UnsafeMutablePointer<UInt16>, shift: UInt64, _ output: inout Output
  ) -> Bool {
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
        guard output.appendLiteral(source + pending, place - pending) else { return false }
        if place - candidate == offset {
          output.appendRepeat(end - place, offset: offset)
        } else {
          offset = place - candidate
          output.appendCopy(end - place, offset: offset)
        }
        guard output.count <= output.limit else { return false }
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

  /// The elements written so far. Lengths and offsets are the caller's to get right: 4 or more, 1 to 65,535.
  struct Output {
    let base: UnsafeMutablePointer<UInt8>
    /// More is not worth sending compressed.
    let limit: Int
    var count = 0

    @inline(__always) private mutating func put(_ byte: Int) {
      base[count] = UInt8(truncatingIfNeeded: byte)
      count += 1
    }

    mutating func appendLength(_ length: Int) {
      var rest = length
      while rest >= 0x80 {
        put(rest & 0x7F | 0x80)
        rest >>= 7
      }
      put(rest)
    }

    /// False, and nothing is written, when the limit would be passed.
    @inline(__always) mutating func appendLiteral(_ source: UnsafePointer<UInt8>, _ length: Int) -> Bool {
      guard length > 0 else { return true }
      guard count + length + 3 <= limit else { return false }
      let last = length - 1
      switch last {
      case ..<60: put(last << 2)
      case ..<0x100:
        put(60 << 2)
        put(last)
      default:
        put(61 << 2)
        put(last)
        put(last >> 8)
      }
      memcpy(base + count, source, length)
      count += length
      return true
    }

    /// A copy of any length, as a copy element and, beyond its 64 bytes, a repeat.
    mutating func appendCopy(_ length: Int, offset: Int) {
      if length > 64 {
        if offset < 2048 {
          appendCopy1(8, offset: offset)
          appendRepeat(length - 8, offset: offset)
        } else {
          appendCopy2(60, offset: offset)
          appendRepeat(length - 60, offset: offset)
        }
      } else if length >= 12 || offset >= 2048 {
        appendCopy2(length, offset: offset)
      } else {
        appendCopy1(length, offset: offset)
      }
    }

    @inline(__always) private mutating func appendCopy1(_ length: Int, offset: Int) {
      put((offset >> 8) << 5 | (length - 4) << 2 | 1)
      put(offset)
    }

    @inline(__always) private mutating func appendCopy2(_ length: Int, offset: Int) {
      put((length - 1) << 2 | 2)
      put(offset)
      put(offset >> 8)
    }

    /// A copy with the offset of the one before, of 4 bytes or more; a block's length fits the longest form.
    mutating func appendRepeat(_ length: Int, offset: Int) {
      switch length {
      case ...8:
        put((length - 4) << 2 | 1)
        put(0)
      case ...11 where offset < 2048:
        // As long as a repeat, and no slower to decode.
        appendCopy1(length, offset: offset)
      case ..<264:
        put(5 << 2 | 1)
        put(0)
        put(length - 8)
      case ..<65796:
        put(6 << 2 | 1)
        put(0)
        put(length - 260)
        put((length - 260) >> 8)
      default:
        put(7 << 2 | 1)
        put(0)
        put(length - 65540)
        put((length - 65540) >> 8)
        put((length - 65540) >> 16)
      }
    }
  }
}
