// Writes the elements of an S2 block (leaf protocol specification, section 16.2): literals, copies, repeats. What to write is
// the search's business (S2BlockEncoder).
//
// Uses bare pointers for speed. Invariant: there is room behind `base` for `limit` bytes and one copy with its repeats
// (S2BlockEncoder.encodedBytesMax); literals are checked against `limit` before they are written, and the search compares `count`
// with it after each copy.
import Bytes
import CLinux

/// The elements written so far. Lengths and offsets are the caller's to get right: 4 or more, 1 to 65,535.
struct S2Elements {
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

  /// What leads to a match, and the match: the literal from `pending` to `place`, then `end - place` bytes as at `candidate`. False when
  /// the limit was reached.
  @inline(__always) mutating func append(
    _ source: UnsafePointer<UInt8>, pending: Int, place: Int, end: Int, candidate: Int, offset: inout Int
  ) -> Bool {
    guard appendLiteral(source + pending, place - pending) else { return false }
    if place - candidate == offset {
      appendRepeat(end - place, offset: offset)
    } else {
      offset = place - candidate
      appendCopy(end - place, offset: offset)
    }
    return count <= limit
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
