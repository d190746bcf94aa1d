// The sparse index of a stream: where in the log to begin looking for a sequence.

/// Stands for the messages from `sequence` up to the next anchor's. Their records are all in one segment and begin less than
/// `indexSpacingBytes` after `position`, in ascending order.
struct Anchor {
  var sequence: UInt64
  /// Log position.
  var position: UInt64
  private var size: UInt32
  private var bits: UInt32

  private static var headersFlag: UInt32 { 1 << 31 }
  static var countMax: UInt32 { headersFlag - 1 }

  @inline(__always) init(sequence: UInt64, position: UInt64, bytes: Int, count: UInt32, mayHaveHeaders: Bool = true) {
    self.sequence = sequence
    self.position = position
    size = UInt32(clamping: bytes)
    bits = count | (mayHaveHeaders ? Self.headersFlag : 0)
  }

  /// Bytes of its live messages, as the stream accounts them: never more than one message beyond `indexSpacingBytes`.
  @inline(__always) var bytes: Int {
    get { Int(size) }
    set { size = UInt32(clamping: newValue) }
  }

  /// Its live messages.
  @inline(__always) var count: UInt32 {
    get { bits & ~Self.headersFlag }
    set { bits = bits & Self.headersFlag | newValue }
  }

  /// Whether one of them may have headers.
  @inline(__always) var mayHaveHeaders: Bool {
    get { bits & Self.headersFlag != 0 }
    set { if newValue { bits |= Self.headersFlag } }
  }
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
