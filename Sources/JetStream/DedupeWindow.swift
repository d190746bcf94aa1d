// Which message ids a stream saw lately (section 6.2). Bounded: ids are kept as 128-bit keyed hashes, the oldest go first.
//
// A window is a row of pieces, each filled once and dropped as a whole when all in it is too old: memory comes back in pieces, and none is
// ever larger than what is moved in about a millisecond when it grows.
import Bytes

/// What the windows of a server's streams may hold together.
final class DedupeBudget {
  /// Ids of all streams, about 50 bytes each. Beyond that, whoever wants to remember one more forgets its own oldest.
  static let entriesMax = 1 << 20

  private(set) var entries = 0

  fileprivate func change(by count: Int) { entries += count }
  var isFull: Bool { entries >= Self.entriesMax }
}

/// Ids with the sequence that they got, in the order of their arrival.
struct DedupeWindow {
  /// So many are remembered by every stream, whatever others do.
  static let entriesMin = 1024
  /// Pieces do not grow beyond this.
  static let pieceMax = 1 << 15

  private struct Entry {
    var low: UInt64
    var high: UInt64
    var sequence: UInt64
    var time_ns: Int64
  }

  private final class Piece {
    private let budget: DedupeBudget?
    private(set) var capacity = 0
    var entries: [Entry] = []
    /// Open addressing: the number of an entry plus one, or 0.
    private var table: [UInt32] = []
    var newest_ns = Int64.min

    init(_ budget: DedupeBudget?) { self.budget = budget }

    deinit { budget?.change(by: -capacity) }

    private func slot(_ low: UInt64, _ high: UInt64) -> Int {
      var slot = Int(truncatingIfNeeded: low) & (table.count - 1)
      while table[slot] != 0 {
        let entry = entries[Int(table[slot]) - 1]
        if entry.low == low, entry.high == high { break }
        slot = (slot + 1) & (table.count - 1)
      }
      return slot
    }

    func entry(_ low: UInt64, _ high: UInt64) -> Entry? {
      guard !table.isEmpty else { return nil }
      let number = table[slot(low, high)]
      return number == 0 ? nil : entries[Int(number) - 1]
    }

    /// Adds an entry; there must be room.
    func add(_ entry: Entry) {
      newest_ns = max(newest_ns, entry.time_ns)
      let place = slot(entry.low, entry.high)
      if table[place] != 0 {
        // One that was too old to count.
        entries[Int(table[place]) - 1] = entry
        return
      }
      entries.append(entry)
      table[place] = UInt32(entries.count)
    }

    /// Gives up what came before `time_ns` where that is half of it. Returns whether it was.
    func clear(before time_ns: Int64) -> Bool {
      guard entries[entries.count / 2].time_ns < time_ns else { return false }
      entries.removeAll { $0.time_ns < time_ns }
      grow(to: capacity)
      return true
    }

    func grow(to size: Int) {
      budget?.change(by: size - capacity)
      capacity = size
      entries.reserveCapacity(size)
      table = [UInt32](repeating: 0, count: size * 2)
      for number in entries.indices { table[slot(entries[number].low, entries[number].high)] = UInt32(number + 1) }
    }
  }

  /// By age.
  private var pieces: [Piece] = []
  private let budget: DedupeBudget?
  private let seed: UInt64
  /// What came before does not count.
  private var since_ns = Int64.min

  init(budget: DedupeBudget? = nil, seed: UInt64 = ByteHash.seed) {
    self.budget = budget
    self.seed = seed
  }

  /// Ids that are held, some of them too old to count.
  var count: Int { pieces.reduce(0) { $0 + $1.entries.count } }

  @inline(__always) private func key(_ id: ByteView) -> (low: UInt64, high: UInt64) {
    (ByteHash.hash(id, seed: seed), ByteHash.hash(id, seed: ~seed &* 0x9E37_79B9_7F4A_7C15))
  }

  /// The sequence of an id that is in the window.
  func sequence(of id: ByteView) -> UInt64? {
    guard !pieces.isEmpty else { return nil }
    let (low, high) = key(id)
    var index = pieces.count - 1
    while index >= 0 {
      if let entry = pieces[index].entry(low, high) { return entry.time_ns >= since_ns ? entry.sequence : nil }
      index -= 1
    }
    return nil
  }

  /// Remembers an id, which must not be in the window.
  mutating func add(_ id: ByteView, sequence: UInt64, time_ns: Int64) {
    makeRoom()
    let (low, high) = key(id)
    pieces[pieces.count - 1].add(Entry(low: low, high: high, sequence: sequence, time_ns: time_ns))
  }

  /// Sees to it that the last piece can take one more.
  private mutating func makeRoom() {
    if let last = pieces.last {
      if last.entries.count < last.capacity || last.clear(before: since_ns) { return }
      if last.capacity < Self.entriesMin || (last.capacity < Self.pieceMax && !isFull) { return last.grow(to: last.capacity * 2) }
      // The oldest give way, but the newest of them stay.
      while isFull, pieces.count > 1 { pieces.removeFirst() }
    }
    let piece = Piece(budget)
    piece.grow(to: pieces.isEmpty ? 16 : isFull ? Self.entriesMin : Self.pieceMax)
    pieces.append(piece)
  }

  private var isFull: Bool { budget?.isFull ?? false }

  /// Forgets ids that came before `time_ns`.
  mutating func expire(before time_ns: Int64) {
    since_ns = max(since_ns, time_ns)
    while let first = pieces.first, first.newest_ns < since_ns { pieces.removeFirst() }
  }

  mutating func removeAll() { pieces = [] }
}
