// Sorting where it is rare: a heap sort of a few hundred bytes of code for each element type, where the standard library's stable sort takes
// several thousand.

extension Array {
  /// Sorts in place by `before`, which must be a strict order. Elements that are equal by it may change places.
  public mutating func order(_ before: (Element, Element) -> Bool) {
    guard count > 1 else { return }
    for root in stride(from: count / 2 - 1, through: 0, by: -1) { sink(root, count, before) }
    for end in stride(from: count - 1, to: 0, by: -1) {
      swapAt(0, end)
      sink(0, end, before)
    }
  }

  @inline(never) private mutating func sink(_ start: Int, _ end: Int, _ before: (Element, Element) -> Bool) {
    var root = start
    while true {
      var last = root
      for child in [2 * root + 1, 2 * root + 2] where child < end && before(self[last], self[child]) { last = child }
      if last == root { return }
      swapAt(root, last)
      root = last
    }
  }

  /// A sorted copy.
  public func ordered(_ before: (Element, Element) -> Bool) -> [Element] {
    var copy = self
    copy.order(before)
    return copy
  }
}

extension Sequence where Element: Comparable {
  /// The elements in ascending order.
  public func ordered() -> [Element] {
    var all = Array(self)
    all.order { $0 < $1 }
    return all
  }
}
