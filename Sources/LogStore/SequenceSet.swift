// A set of sequences as sorted ranges: the removed messages between a stream's first and last, and what consumers are done with.

/// Sorted, disjoint ranges in pieces of bounded size, so that a change in the middle of many moves only little.
public struct SequenceSet {
  public struct Span: Equatable {
    public var first: UInt64
    public var last: UInt64
  }

  /// Spans in a piece; it is split at twice as many.
  static let pieceSpans = 128

  private var pieces: [[Span]] = []
  /// Sequences in the set: with one large gap more than memory has room for.
  public private(set) var count: UInt64 = 0

  public init() {}

  public var isEmpty: Bool { count == 0 }
  /// About how many spans it has, and never fewer.
  var spanCount: Int { pieces.count <= 1 ? pieces.first?.count ?? 0 : pieces.count * 2 * Self.pieceSpans }

  /// The place of the first span whose last sequence is at or after `sequence`.
  private func place(_ sequence: UInt64) -> (piece: Int, span: Int)? {
    var low = 0
    var high = pieces.count
    while low < high {
      let middle = (low + high) / 2
      if pieces[middle][pieces[middle].count - 1].last < sequence { low = middle + 1 } else { high = middle }
    }
    guard low < pieces.count else { return nil }
    let piece = low
    low = 0
    high = pieces[piece].count
    while low < high {
      let middle = (low + high) / 2
      if pieces[piece][middle].last < sequence { low = middle + 1 } else { high = middle }
    }
    return (piece, low)
  }

  /// The first span that ends at or after `sequence`.
  public func span(endingAtOrAfter sequence: UInt64) -> Span? {
    place(sequence).map { pieces[$0.piece][$0.span] }
  }

  func contains(_ sequence: UInt64) -> Bool {
    guard let span = span(endingAtOrAfter: sequence) else { return false }
    return span.first <= sequence
  }

  /// The first sequence at or after `sequence` that is not in the set; nil when there is none up to the largest number.
  func nextAbsent(_ sequence: UInt64) -> UInt64? {
    guard let span = span(endingAtOrAfter: sequence), span.first <= sequence else { return sequence }
    return span.last == .max ? nil : span.last + 1
  }

  /// The last sequence at or before `sequence` that is not in the set; nil when there is none.
  func previousAbsent(_ sequence: UInt64) -> UInt64? {
    var sequence = sequence
    // Spans may touch.
    while let span = span(endingAtOrAfter: sequence), span.first <= sequence {
      guard span.first > 0 else { return nil }
      sequence = span.first - 1
    }
    return sequence
  }

  private mutating func removeSpan(_ place: (piece: Int, span: Int)) {
    let span = pieces[place.piece].remove(at: place.span)
    count -= span.last - span.first + 1
    if pieces[place.piece].isEmpty { pieces.remove(at: place.piece) }
  }

  private mutating func insertSpan(_ span: Span) {
    count += span.last - span.first + 1
    guard let place = place(span.first) else {
      if pieces.isEmpty || pieces[pieces.count - 1].count >= Self.pieceSpans {
        pieces.append([span])
      } else {
        pieces[pieces.count - 1].append(span)
      }
      return
    }
    pieces[place.piece].insert(span, at: place.span)
    if pieces[place.piece].count >= 2 * Self.pieceSpans {
      let upper = Array(pieces[place.piece][Self.pieceSpans...])
      pieces[place.piece].removeLast(upper.count)
      pieces.insert(upper, at: place.piece + 1)
    }
  }

  /// Adds `first...last`.
  public mutating func insert(_ first: UInt64, _ last: UInt64) {
    precondition(first <= last && last - first < UInt64(1) << 63, "a range of sequences is empty or endless")
    if goesOn(at: first, through: last) { return }
    var span = Span(first: first, last: last)
    while let place = place(first == 0 ? 0 : first - 1) {
      let other = pieces[place.piece][place.span]
      if last != .max, other.first > last + 1 { break }
      span.first = min(span.first, other.first)
      span.last = max(span.last, other.last)
      removeSpan(place)
    }
    insertSpan(span)
  }

  /// Lengthens the last span when a range follows right behind it, as most do.
  private mutating func goesOn(at first: UInt64, through last: UInt64) -> Bool {
    let piece = pieces.count - 1
    guard piece >= 0, first > 0, pieces[piece][pieces[piece].count - 1].last == first - 1 else { return false }
    pieces[piece][pieces[piece].count - 1].last = last
    count += last - first + 1
    return true
  }

  /// Takes one sequence out; returns whether it was there.
  @discardableResult
  mutating func remove(_ sequence: UInt64) -> Bool {
    guard let place = place(sequence) else { return false }
    let span = pieces[place.piece][place.span]
    guard span.first <= sequence else { return false }
    removeSpan(place)
    if span.first < sequence { insertSpan(Span(first: span.first, last: sequence - 1)) }
    if sequence < span.last { insertSpan(Span(first: sequence + 1, last: span.last)) }
    return true
  }

  /// Takes everything below `sequence` out.
  public mutating func removeBelow(_ sequence: UInt64) {
    while let piece = pieces.first, piece[piece.count - 1].last < sequence {
      for span in piece { count -= span.last - span.first + 1 }
      pieces.removeFirst()
    }
    while let span = pieces.first?.first, span.first < sequence {
      removeSpan((0, 0))
      if span.last >= sequence { insertSpan(Span(first: sequence, last: span.last)) }
    }
  }

  public mutating func removeAll() {
    pieces = []
    count = 0
  }

  /// How many of `first...last` are in the set.
  func count(_ first: UInt64, _ last: UInt64) -> UInt64 {
    guard first <= last, var place = place(first) else { return 0 }
    var found: UInt64 = 0
    while place.piece < pieces.count {
      let span = pieces[place.piece][place.span]
      if span.first > last { break }
      found += min(span.last, last) - max(span.first, first) + 1
      place.span += 1
      if place.span == pieces[place.piece].count { place = (place.piece + 1, 0) }
    }
    return found
  }

  /// The spans in order, until `body` returns false.
  func forEach(_ body: (Span) -> Bool) {
    for piece in pieces {
      for span in piece where !body(span) { return }
    }
  }
}
