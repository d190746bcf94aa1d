// Which message ids a stream saw lately (section 6.2). Bounded: ids are kept as 128-bit keyed hashes, the oldest go first.
import Bytes

/// Ids with the sequence that they got, in the order of their arrival.
struct DedupeWindow {
  /// More ids than this are not remembered (about 50 bytes each), however long the window is.
  static let entriesMax = 1 << 20

  private struct Entry {
    var low: UInt64
    var high: UInt64
    var sequence: UInt64
    var time_ns: Int64
  }

  /// A ring: entry number n is at `n & (ring.count - 1)`.
  private var ring: [Entry] = []
  private var first: UInt64 = 0
  private var next: UInt64 = 0
  /// Open addressing: entry number + 1, or 0.
  private var table: [UInt64] = []
  private let seed: UInt64

  init(seed: UInt64 = ByteHash.seed) { self.seed = seed }

  var count: Int { Int(next - first) }

  @inline(__always) private func key(_ id: ByteView) -> (low: UInt64, high: UInt64) {
    (ByteHash.hash(id, seed: seed), ByteHash.hash(id, seed: ~seed &* 0x9E37_79B9_7F4A_7C15))
  }

  @inline(__always) private func entry(_ number: UInt64) -> Entry { ring[Int(truncatingIfNeeded: number) & (ring.count - 1)] }

  private func slot(_ low: UInt64, _ high: UInt64) -> (slot: Int, found: Bool) {
    var slot = Int(truncatingIfNeeded: low) & (table.count - 1)
    while table[slot] != 0 {
      let entry = entry(table[slot] - 1)
      if entry.low == low, entry.high == high { return (slot, true) }
      slot = (slot + 1) & (table.count - 1)
    }
    return (slot, false)
  }

  /// The sequence of an id that is in the window.
  func sequence(of id: ByteView) -> UInt64? {
    guard !table.isEmpty else { return nil }
    let (low, high) = key(id)
    let (slot, found) = slot(low, high)
    return found ? entry(table[slot] - 1).sequence : nil
  }

  /// Remembers an id, which must not be in the window.
  mutating func add(_ id: ByteView, sequence: UInt64, time_ns: Int64) {
    if count == Self.entriesMax { removeFirst() }
    if count == ring.count { grow() }
    let (low, high) = key(id)
    let (slot, found) = slot(low, high)
    guard !found else { return }
    ring[Int(truncatingIfNeeded: next) & (ring.count - 1)] = Entry(low: low, high: high, sequence: sequence, time_ns: time_ns)
    next += 1
    table[slot] = next
  }

  /// Forgets ids that came before `time_ns`.
  mutating func expire(before time_ns: Int64) {
    while first < next, entry(first).time_ns < time_ns { removeFirst() }
    if first == next, !ring.isEmpty { removeAll() }
  }

  mutating func removeAll() {
    ring = []
    table = []
    first = 0
    next = 0
  }

  private mutating func removeFirst() {
    let oldest = entry(first)
    let (found, isThere) = slot(oldest.low, oldest.high)
    first += 1
    guard isThere else { return }
    table[found] = 0
    // Close the gap: later entries of the run may have been pushed past their home by this one.
    var hole = found
    var index = (found + 1) & (table.count - 1)
    while table[index] != 0 {
      let home = Int(truncatingIfNeeded: entry(table[index] - 1).low) & (table.count - 1)
      if (index - home) & (table.count - 1) >= (index - hole) & (table.count - 1) {
        table[hole] = table[index]
        table[index] = 0
        hole = index
      }
      index = (index + 1) & (table.count - 1)
    }
  }

  private mutating func grow() {
    let old = ring
    let size = max(16, old.count * 2)
    var larger = [Entry](repeating: Entry(low: 0, high: 0, sequence: 0, time_ns: 0), count: size)
    for number in first..<next {
      larger[Int(truncatingIfNeeded: number) & (size - 1)] = old[Int(truncatingIfNeeded: number) & (old.count - 1)]
    }
    ring = larger
    table = [UInt64](repeating: 0, count: size * 2)
    for number in first..<next {
      let entry = entry(number)
      let (slot, _) = slot(entry.low, entry.high)
      table[slot] = number + 1
    }
  }
}
