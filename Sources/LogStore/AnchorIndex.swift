// The sparse index of a stream: where in the log to begin looking for a sequence.

/// Stands for the messages from `sequence` up to the next anchor's. Their records are all in one segment and begin less than
/// `indexSpacingBytes` after `position`, in ascending order.
struct Anchor {
  var sequence: UInt64
  /// Log position.
  var position: UInt64
  /// Bytes of its live messages, as the stream accounts them.
  var bytes: Int
  /// Its live messages.
  var count: UInt32
}

/// Anchors sorted by sequence. Taking from the front is cheap.
struct AnchorIndex {
  private var anchors: [Anchor] = []
  private var head = 0

  var count: Int { anchors.count - head }
  var isEmpty: Bool { count == 0 }

  @inline(__always) subscript(index: Int) -> Anchor {
    get { anchors[head + index] }
    _modify { yield &anchors[head + index] }
  }

  /// The last anchor at or before `sequence`.
  func floor(_ sequence: UInt64) -> Int? {
    var low = head
    var high = anchors.count
    while low < high {
      let middle = (low + high) / 2
      if anchors[middle].sequence <= sequence { low = middle + 1 } else { high = middle }
    }
    return low == head ? nil : low - 1 - head
  }

  @inline(__always) mutating func append(_ anchor: Anchor) { anchors.append(anchor) }

  mutating func insert(_ anchor: Anchor, at index: Int) { anchors.insert(anchor, at: head + index) }

  mutating func remove(at index: Int) {
    if index == 0 { removeFirst(1) } else { anchors.remove(at: head + index) }
  }

  mutating func removeFirst(_ size: Int) {
    head += size
    if head == anchors.count {
      anchors.removeAll()
      head = 0
    } else if head > 1024, head > anchors.count / 2 {
      anchors.removeFirst(head)
      head = 0
    }
  }

  mutating func removeAll() {
    anchors = []
    head = 0
  }
}
