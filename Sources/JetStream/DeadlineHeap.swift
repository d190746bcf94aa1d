// Deadlines in their order. Entries are not taken out when they become meaningless: whoever asks knows which ones still count. Pure.

/// A heap of deadlines, the nearest first.
struct DeadlineHeap {
  struct Entry {
    let deadline_ns: Int64
    let sequence: UInt64
  }

  private var entries: [Entry] = []

  var count: Int { entries.count }
  var first: Entry? { entries.first }

  mutating func removeAll() { entries.removeAll(keepingCapacity: entries.capacity <= 1024) }

  /// Cheapest when deadlines come in their order, as they mostly do.
  mutating func insert(_ deadline_ns: Int64, _ sequence: UInt64) {
    let entry = Entry(deadline_ns: deadline_ns, sequence: sequence)
    entries.append(entry)
    var index = entries.count - 1
    while index > 0 {
      let parent = (index - 1) / 2
      guard deadline_ns < entries[parent].deadline_ns else { break }
      entries[index] = entries[parent]
      index = parent
    }
    entries[index] = entry
  }

  mutating func removeFirst() {
    guard let last = entries.popLast(), !entries.isEmpty else { return }
    var index = 0
    while true {
      var least = 2 * index + 1
      guard least < entries.count else { break }
      if least + 1 < entries.count, entries[least + 1].deadline_ns < entries[least].deadline_ns { least += 1 }
      guard entries[least].deadline_ns < last.deadline_ns else { break }
      entries[index] = entries[least]
      index = least
    }
    entries[index] = last
  }
}
