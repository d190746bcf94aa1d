// The better level: two hash tables, one of seven bytes that finds long matches and one of four that finds any. The longer of their
// matches is taken, unless a long one or a repeat that begins a byte later reaches further.
import Bytes
import CLinux

extension S2BlockEncoder {
  private static let longBitsMax = 15
  private static let shortBitsMax = 14

  /// The table index of the first seven bytes of `word`.
  @inline(__always) private static func longHash(_ word: UInt64, _ shift: UInt64) -> Int {
    // 2^64 times the golden ratio's fraction.
    Int(truncatingIfNeeded: ((word << 8) &* 0x9E37_79B9_7F4A_7C15) >> shift)
  }

  /// The table index of its first four.
  @inline(__always) private static func shortHash(_ word: UInt64, _ shift: UInt64) -> Int {
    Int(truncatingIfNeeded: ((word << 32) &* 0x9E37_79B9_7F4A_7C15) >> shift)
  }

  /// Appends the block's elements; false when the output has reached its limit.
  static func searchBetter(_ block: ByteView, _ scratch: S2Scratch, _ output: inout S2Elements) -> Bool {
    let source = block.base
    let count = block.count
    let searchEnd = count - tailBytes
    let longBits = tableBits(count, max: longBitsMax)
    let shortBits = tableBits(count, max: shortBitsMax)
    let (longShift, shortShift) = (UInt64(64 - longBits), UInt64(64 - shortBits))
    let longs = scratch.tableMemory(entries: 1 << longBits + 1 << shortBits)
    let shorts = longs + 1 << longBits
    memset(longs, 0, 2 << longBits)
    memset(shorts, 0, 2 << shortBits)
    /// The first byte that is in no element yet.
    var pending = 0
    var next = 1
    var offset = 0
    while next < searchEnd {
      let word = load8(source, next)
      let four = UInt32(truncatingIfNeeded: word)
      let longSlot = longHash(word, longShift)
      let shortSlot = shortHash(word, shortShift)
      var place = next
      var candidate = Int(longs[longSlot])
      let other = Int(shorts[shortSlot])
      longs[longSlot] = UInt16(truncatingIfNeeded: next)
      shorts[shortSlot] = UInt16(truncatingIfNeeded: next)
      /// Where the best match so far ends; 0 without one.
      var end = 0
      if four == load4(source, candidate) { end = matchEnd(source, next + 4, candidate + 4, count) }
      if four == load4(source, other) {
        let otherEnd = matchEnd(source, next + 4, other + 4, count)
        if otherEnd > end {
          end = otherEnd
          candidate = other
        }
      }
      if end != 0 {
        let following = load8(source, next + 1)
        let slot = longHash(following, longShift)
        let later = Int(longs[slot])
        longs[slot] = UInt16(truncatingIfNeeded: next + 1)
        if UInt32(truncatingIfNeeded: following) == load4(source, later) {
          let laterEnd = matchEnd(source, next + 5, later + 4, count)
          if laterEnd > end + 1 {
            place = next + 1
            candidate = later
            end = laterEnd
          }
        }
      }
      if offset != 0, UInt32(truncatingIfNeeded: word >> 8) == load4(source, next + 1 - offset) {
        let repeatEnd = matchEnd(source, next + 5, next + 5 - offset, count)
        if repeatEnd > end {
          place = next + 1
          candidate = place - offset
          end = repeatEnd
        }
      }
      if end == 0 {
        next += 1 + (next - pending) >> 7
        continue
      }
      while place > pending, candidate > 0, source[place - 1] == source[candidate - 1] {
        place -= 1
        candidate -= 1
      }
      guard output.append(source, pending: pending, place: place, end: end, candidate: candidate, offset: &offset) else { return false }
      pending = end
      // The places inside the match are remembered too: what follows is often alike.
      var inside = next + 1
      next = end
      let last = min(end, searchEnd)
      while inside + 1 < last {
        longs[longHash(load8(source, inside), longShift)] = UInt16(truncatingIfNeeded: inside)
        inside += 1
        shorts[shortHash(load8(source, inside), shortShift)] = UInt16(truncatingIfNeeded: inside)
      }
    }
    return output.appendLiteral(source + pending, count - pending) && output.count <= output.limit
  }
}
