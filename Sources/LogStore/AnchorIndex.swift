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

/// Anchors sorted by sequence, in pieces of bounded size: a change anywhere moves or copies one piece.
struct AnchorIndex {
  /// Where an anchor is, until one is inserted or removed.
  struct Place: Equatable {
    fileprivate var piece: Int
    fileprivate var at: Int
  }

  /// With what an array has at its beginning, as much as nine times fit a span of our heap.
  static let pieceAnchors = 297

  /// None is empty.
  private var pieces: [[Anchor]] = []
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  @inline(__always) var first: Place? { count == 0 ? nil : Place(piece: 0, at: 0) }
  @inline(__always) var last: Place? { count == 0 ? nil : Place(piece: pieces.count - 1, at: pieces[pieces.count - 1].count - 1) }

  @inline(__always) subscript(place: Place) -> Anchor {
    get { pieces[place.piece][place.at] }
    _modify { yield &pieces[place.piece][place.at] }
  }

  func place(after place: Place) -> Place? {
    if place.at + 1 < pieces[place.piece].count { return Place(piece: place.piece, at: place.at + 1) }
    return place.piece + 1 < pieces.count ? Place(piece: place.piece + 1, at: 0) : nil
  }

  func place(before place: Place) -> Place? {
    if place.at > 0 { return Place(piece: place.piece, at: place.at - 1) }
    return place.piece > 0 ? Place(piece: place.piece - 1, at: pieces[place.piece - 1].count - 1) : nil
  }

  /// Where the messages of the anchor at a place end: the next anchor's sequence.
  func end(of place: Place) -> UInt64 { self.place(after: place).map { self[$0].sequence } ?? .max }

  /// The last anchor of which `isBefore` says so; it must say so of all before that one.
  func lastPlace<Failure: Error>(where isBefore: (Place) throws(Failure) -> Bool) throws(Failure) -> Place? {
    var low = 0
    var high = pieces.count
    while low < high {
      let middle = (low + high) / 2
      if try isBefore(Place(piece: middle, at: 0)) { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return nil }
    let piece = low - 1
    low = 1
    high = pieces[piece].count
    while low < high {
      let middle = (low + high) / 2
      if try isBefore(Place(piece: piece, at: middle)) { low = middle + 1 } else { high = middle }
    }
    return Place(piece: piece, at: low - 1)
  }

  /// The last anchor at or before `sequence`.
  func floor(_ sequence: UInt64) -> Place? { lastPlace { self[$0].sequence <= sequence } }

  @inline(__always) mutating func append(_ anchor: Anchor) {
    if pieces.isEmpty || pieces[pieces.count - 1].count >= Self.pieceAnchors {
      pieces.append([])
      // The first piece grows as needed, because most streams are small.
      if pieces.count > 1 { pieces[pieces.count - 1].reserveCapacity(Self.pieceAnchors) }
    }
    pieces[pieces.count - 1].append(anchor)
    count += 1
  }

  mutating func insertFirst(_ anchor: Anchor) {
    if pieces.isEmpty { return append(anchor) }
    _ = insert(anchor, Place(piece: 0, at: 0))
  }

  /// Returns where it is now.
  @discardableResult
  mutating func insert(_ anchor: Anchor, after place: Place) -> Place { insert(anchor, Place(piece: place.piece, at: place.at + 1)) }

  private mutating func insert(_ anchor: Anchor, _ place: Place) -> Place {
    pieces[place.piece].insert(anchor, at: place.at)
    count += 1
    guard pieces[place.piece].count >= 2 * Self.pieceAnchors else { return place }
    let upper = Array(pieces[place.piece][Self.pieceAnchors...])
    pieces[place.piece].removeLast(upper.count)
    pieces.insert(upper, at: place.piece + 1)
    return place.at < Self.pieceAnchors ? place : Place(piece: place.piece + 1, at: place.at - Self.pieceAnchors)
  }

  mutating func remove(at place: Place) {
    pieces[place.piece].remove(at: place.at)
    if pieces[place.piece].isEmpty { pieces.remove(at: place.piece) }
    count -= 1
  }

  mutating func removeFirst() { remove(at: Place(piece: 0, at: 0)) }

  mutating func removeAll() {
    pieces = []
    count = 0
  }

  func forEach(_ body: (Anchor) -> Void) {
    for piece in pieces { for anchor in piece { body(anchor) } }
  }
}
