// The best level: for each position the earlier ones with the same four bytes, the latest first, and of their matches the one that saves
// most; a match is given up for one that begins a little later and saves more.
import Bytes
import CLinux

extension S2BlockEncoder {
  private static let headBitsMax = 15
  /// Candidates looked at for one position.
  private static let candidatesMax = 16
  /// A match is compared with those that begin up to so many bytes later.
  private static let laterMax = 2

  /// A match as the search compares them.
  private struct Match {
    var start = 0
    var end = 0
    var candidate = 0
    /// Bytes that it saves; 0 when there is none.
    var gain = 0
  }

  /// The positions of a block, those with equal beginnings chained from the latest to the first.
  private struct Chains {
    let source: UnsafePointer<UInt8>
    /// Positions at which four bytes can be read.
    let end: Int
    let heads: UnsafeMutablePointer<UInt16>
    let previous: UnsafeMutablePointer<UInt16>
    let shift: UInt32
    /// The first position that is in no chain yet.
    private var next = 1

    init(_ block: ByteView, _ scratch: S2Scratch) {
      source = block.base
      end = block.count - tailBytes
      let bits = tableBits(block.count, max: headBitsMax)
      shift = UInt32(32 - bits)
      heads = scratch.tableMemory(entries: 1 << bits + 1 << tableBits(block.count, max: 16))
      previous = heads + 1 << bits
      // An empty chain leads to position 0, which is a candidate like any other, and the last.
      memset(heads, 0, 2 << bits)
    }

    @inline(__always) func slot(_ four: UInt32) -> Int { Int(truncatingIfNeeded: (four &* 0x9E37_79B1) >> shift) }

    /// Takes in all positions before `place`.
    @inline(__always) mutating func extend(to place: Int) {
      while next < place, next < end {
        let slot = slot(load4(source, next))
        previous[next] = heads[slot]
        heads[slot] = UInt16(truncatingIfNeeded: next)
        next += 1
      }
    }
  }

  /// Appends the block's elements; false when the output has reached its limit.
  static func searchBest(_ block: ByteView, _ scratch: S2Scratch, _ output: inout S2Elements) -> Bool {
    let source = block.base
    let count = block.count
    let searchEnd = count - tailBytes
    var chains = Chains(block, scratch)
    /// The first byte that is in no element yet.
    var pending = 0
    var next = 1
    var offset = 0
    while next < searchEnd {
      chains.extend(to: next)
      var match = best(at: next, chains, offset: offset, pending: pending, count: count)
      guard match.gain > 0 else {
        next += 1 + (next - pending) >> 8
        continue
      }
      let last = min(next + laterMax, match.end - 1, searchEnd - 1)
      while next < last {
        next += 1
        chains.extend(to: next)
        let later = best(at: next, chains, offset: offset, pending: pending, count: count)
        // The bytes that come before it would have to be sent.
        if later.gain > 0, later.gain - (later.start - match.start) > match.gain { match = later }
      }
      guard output.append(source, pending: pending, place: match.start, end: match.end, candidate: match.candidate, offset: &offset) else {
        return false
      }
      pending = match.end
      next = match.end
    }
    return output.appendLiteral(source + pending, count - pending) && output.count <= output.limit
  }

  /// Of the matches with the bytes at `place` the one that saves most.
  private static func best(at place: Int, _ chains: Chains, offset: Int, pending: Int, count: Int) -> Match {
    let source = chains.source
    let four = load4(source, place)
    var best = Match()
    if offset != 0, four == load4(source, place - offset) {
      best = match(source, place, place - offset, pending, count, repeats: true)
    }
    var candidate = Int(chains.heads[chains.slot(four)])
    for _ in 0..<candidatesMax {
      if four == load4(source, candidate), place - candidate != offset {
        let match = match(source, place, candidate, pending, count, repeats: false)
        if match.gain > best.gain { best = match }
      }
      if candidate == 0 { break }
      candidate = Int(chains.previous[candidate])
    }
    return best
  }

  /// The whole match around `place` and `candidate`, which have four bytes in common.
  @inline(__always) private static func match(
    _ source: UnsafePointer<UInt8>, _ place: Int, _ candidate: Int, _ pending: Int, _ count: Int, repeats: Bool
  ) -> Match {
    let end = matchEnd(source, place + 4, candidate + 4, count)
    var start = place
    var from = candidate
    while start > pending, from > 0, source[start - 1] == source[from - 1] {
      start -= 1
      from -= 1
    }
    let length = end - start
    // The bytes of its elements (S2Elements).
    let cost: Int
    if repeats {
      cost = length <= 8 ? 2 : length < 264 ? 3 : 4
    } else if start - from < 2048 {
      cost = length < 12 ? 2 : length <= 64 ? 3 : length <= 72 ? 4 : 5
    } else {
      cost = length <= 64 ? 3 : length <= 68 ? 5 : 6
    }
    return Match(start: start, end: end, candidate: from, gain: length - cost)
  }
}
