// Walking the tree: all subscriptions, those that a pattern overlaps, and the numbers for monitoring.
// Not here: matching of literals (InterestTree).
import Bytes

extension InterestTree {
  /// Calls `body` with every subscription, in no particular order. `body` must not change the tree.
  public func forEach(_ body: (_ subject: ByteString, _ queue: ByteString?, _ subscriber: Subscriber, _ weight: Int) -> Void) {
    forEachNode(below: 0) { report($0, body) }
  }

  /// Calls `body` with every subscription whose pattern has a literal in common with `pattern`: those that a message of a subscription
  /// to `pattern` could also go to. What a link needs that is told of interest in `pattern`. `body` must not change the tree.
  public func forEachOverlapping(
    _ pattern: ByteView,
    _ body: (_ subject: ByteString, _ queue: ByteString?, _ subscriber: Subscriber, _ weight: Int) -> Void
  ) {
    overlapping(pattern) { node in
      report(node, body)
      return true
    }
  }

  /// Whether any subscription's pattern has a literal in common with `pattern`.
  public func hasInterest(overlapping pattern: ByteView) -> Bool {
    var found = false
    overlapping(pattern) { _ in
      found = true
      return false
    }
    return found
  }

  /// Calls `body` with the subscriptions of exactly `pattern`, oldest first. `body` must not change the tree.
  public func forEach(of pattern: ByteView, _ body: (_ queue: ByteString?, _ subscriber: Subscriber, _ weight: Int) -> Void) {
    guard let node = findNode(pattern) else { return }
    forEachEntry(of: node) { body($0.queue, $0.subscriber.unsafelyUnwrapped, Int($0.weight)) }
  }

  /// The deliveries per message over the matches that the cache holds: the most, and the mean.
  public var fanout: (max: Int, average: Double) {
    guard cacheCount > 0 else { return (0, 0) }
    var most = 0
    var sum = 0
    forEachCached { match in
      most = max(most, match.fanout)
      sum += match.fanout
    }
    return (most, Double(sum) / Double(cacheCount))
  }

  private func report(_ node: UInt32, _ body: (ByteString, ByteString?, Subscriber, Int) -> Void) {
    guard nodes[Int(node)].firstEntry != 0 else { return }
    let subject = subject(of: node)
    forEachEntry(of: node) { body(subject, $0.queue, $0.subscriber.unsafelyUnwrapped, Int($0.weight)) }
  }

  private func forEachNode(below root: UInt32, _ body: (UInt32) -> Void) {
    var pending = [root]
    while let node = pending.popLast() {
      if node != root { body(node) }
      pushChildren(of: node, &pending)
    }
  }

  private func pushChildren(of node: UInt32, _ pending: inout [UInt32]) {
    let here = nodes[Int(node)]
    if here.tail != 0 { pending.append(here.tail) }
    if here.star != 0 { pending.append(here.star) }
    var child = here.firstChild
    while child != 0 {
      pending.append(child)
      child = nodes[Int(child)].next
    }
  }

  /// Calls `body` with each node that has subscriptions and whose pattern overlaps `pattern`, until it returns false.
  private func overlapping(_ pattern: ByteView, _ body: (UInt32) -> Bool) {
    precondition(Subject.isValid(pattern), "only a valid pattern can be looked up")
    // A start below zero means that the pattern's `>` has taken everything below the node.
    var pending: [(node: UInt32, start: Int)] = [(0, 0)]
    var children: [UInt32] = []
    func visit(_ node: UInt32) -> Bool { nodes[Int(node)].firstEntry == 0 || body(node) }
    while let (node, start) = pending.popLast() {
      if start > pattern.count {
        if !visit(node) { return }
        continue
      }
      if start < 0 {
        if !visit(node) { return }
        children.removeAll(keepingCapacity: true)
        pushChildren(of: node, &children)
        for child in children { pending.append((child, -1)) }
        continue
      }
      var end = start
      while end < pattern.count, pattern.base[end] != ASCII.dot { end += 1 }
      let token = pattern.slice(start, end)
      if !token.isStar, !token.isTail {
        let (star, tail) = (nodes[Int(node)].star, nodes[Int(node)].tail)
        if tail != 0, !visit(tail) { return }
        if star != 0 { pending.append((star, end + 1)) }
        let child = findChild(of: node, token)
        if child != 0 { pending.append((child, end + 1)) }
        continue
      }
      let tail = nodes[Int(node)].tail
      children.removeAll(keepingCapacity: true)
      pushChildren(of: node, &children)
      for child in children {
        // A subscription's `>` has no children and takes whatever is left of the pattern.
        if child == tail {
          if !visit(tail) { return }
        } else {
          pending.append((child, token.isTail ? -1 : end + 1))
        }
      }
    }
  }
}
