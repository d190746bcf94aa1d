// Which messages of a stream are due when: bounded memory for any number of them. Pure; what is done with a due message is in
// Stream+Expiry.
import Bytes

/// Messages by the time at which something is to be done with them.
///
/// The soonest are known one by one, in a heap. When there are too many, the later half is known only by blocks of sequences, each with
/// the time at which its first message is due at the latest; a block is read again when that time comes. Nothing is ever taken out early: who takes
/// a message looks whether it is still there.
struct DueIndex {
  struct Entry: Equatable {
    var due_ns: Int64
    /// Of a message, or the number of a block.
    var sequence: UInt64
  }

  /// Messages that are known one by one: 128 kB.
  static let entriesMax = 8192
  /// Sequences in a block; one is read in one go.
  static let blockLength: UInt64 = 512

  private var heap: [Entry] = []
  /// By number, which is in `sequence`.
  private var blocks: [Entry] = []
  /// The least of `blocks`' times.
  private var blocksDue_ns = Int64.max

  var isEmpty: Bool { heap.isEmpty && blocks.isEmpty }
  /// When the next message is due; `Int64.max` when there is none.
  var next_ns: Int64 { min(heap.first?.due_ns ?? .max, blocksDue_ns) }
  /// For tests: entries and blocks in memory.
  var size: Int { heap.count + blocks.count }

  mutating func removeAll() { self = DueIndex() }

  mutating func add(_ sequence: UInt64, due_ns: Int64) {
    if heap.count >= Self.entriesMax { spill() }
    heap.append(Entry(due_ns: due_ns, sequence: sequence))
    var at = heap.count - 1
    while at > 0, heap[at].due_ns < heap[(at - 1) / 2].due_ns {
      heap.swapAt(at, (at - 1) / 2)
      at = (at - 1) / 2
    }
  }

  /// The message that is due first, at or before `now_ns`; it is taken out.
  mutating func take(now_ns: Int64) -> UInt64? {
    guard let first = heap.first, first.due_ns <= now_ns else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      sink()
    }
    return first.sequence
  }

  private mutating func sink() {
    var at = 0
    while 2 * at + 1 < heap.count {
      var child = 2 * at + 1
      if child + 1 < heap.count, heap[child + 1].due_ns < heap[child].due_ns { child += 1 }
      guard heap[child].due_ns < heap[at].due_ns else { return }
      heap.swapAt(at, child)
      at = child
    }
  }

  /// The sequences of a block that is due at or before `now_ns`; it is taken out, and what is in it must be added again.
  mutating func takeBlock(now_ns: Int64) -> ClosedRange<UInt64>? {
    guard blocksDue_ns <= now_ns, let at = blocks.firstIndex(where: { $0.due_ns == blocksDue_ns }) else { return nil }
    let first = blocks.remove(at: at).sequence * Self.blockLength
    blocksDue_ns = .max
    for block in blocks { blocksDue_ns = min(blocksDue_ns, block.due_ns) }
    return first...(first + Self.blockLength - 1)
  }

  /// Moves the later half of the heap into blocks.
  private mutating func spill() {
    heap.order { $0.due_ns < $1.due_ns }  // sorted, it is a heap, too
    for entry in heap[(Self.entriesMax / 2)...] { note(entry.sequence / Self.blockLength, entry.due_ns) }
    heap.removeLast(heap.count - Self.entriesMax / 2)
  }

  private mutating func note(_ number: UInt64, _ due_ns: Int64) {
    blocksDue_ns = min(blocksDue_ns, due_ns)
    var low = 0
    var high = blocks.count
    if let last = blocks.last, last.sequence < number { low = high }
    while low < high {
      let middle = (low + high) / 2
      if blocks[middle].sequence < number { low = middle + 1 } else { high = middle }
    }
    if low < blocks.count, blocks[low].sequence == number {
      blocks[low].due_ns = min(blocks[low].due_ns, due_ns)
    } else {
      blocks.insert(Entry(due_ns: due_ns, sequence: number), at: low)
    }
  }
}
