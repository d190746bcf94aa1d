// The interest of one account: which subscribers want which subjects. Insertion, removal and matching.
// Not here: walking it backwards from a pattern (InterestTree+Walk), the cache of matches (MatchCache).
//
// One node for each distinct sequence of pattern tokens. Nodes are small structs in one array and find their literal children
// through one hash table for the whole tree, keyed by (parent, token); `*` and `>` children hang off the parent directly. A node is 40 bytes
// and its token, and no node owns a table of its own, so an idle inbox subscription costs about 250 bytes in all. Nothing recurses: the
// depth of a subject is bounded only by the control line.
import Bytes

/// Names one subscription in a tree, so that it can be removed without looking for it. Stays valid until it is removed.
public struct InterestHandle: Equatable, Sendable {
  let entry: UInt32
  let stamp: UInt32
}

/// The subscriptions of one account by subject and queue group. Keeps its subscribers alive.
public final class InterestTree<Subscriber: AnyObject> {
  public typealias Match = InterestMatch<Subscriber>

  /// One position in the patterns. Links are indices into `nodes`; 0, which is the root, means none.
  struct Node {
    var token: ByteString
    var parent: UInt32 = 0
    var hash: UInt32 = 0
    /// Literal children, in a list through `next` and `previous`.
    var firstChild: UInt32 = 0
    var next: UInt32 = 0
    var previous: UInt32 = 0
    var star: UInt32 = 0
    var tail: UInt32 = 0
    var firstEntry: UInt32 = 0
  }

  /// One subscription. Those of a node form a ring in the order of their insertion; index 0 is never used.
  struct Entry {
    var subscriber: Subscriber?
    var queue: ByteString?
    var weight: Int32 = 1
    var node: UInt32 = 0
    var next: UInt32 = 0
    var previous: UInt32 = 0
    var stamp: UInt32 = 0
  }

  var nodes: [Node] = [Node(token: ByteString())]
  var entries: [Entry] = []
  private var freeNode: UInt32 = 0
  private var freeEntry: UInt32 = 0
  /// Open addressing over the indices of literal nodes; 0 is an empty slot.
  private var table: [UInt32] = []
  private var literalNodes = 0
  private let seed: UInt64
  private var cache: MatchCache<Subscriber>
  private var pending: [(node: UInt32, start: Int)] = []

  /// The number of subscriptions.
  public private(set) var count = 0
  /// Grows with every change of the tree.
  public private(set) var generation: UInt64 = 0
  public private(set) var inserts: UInt64 = 0
  public private(set) var removes: UInt64 = 0
  /// Look-ups, answered by the cache or not.
  public private(set) var matches: UInt64 = 0
  public private(set) var cacheHits: UInt64 = 0

  /// As many matches as nats-server keeps for an account; a wildcard subscription looks at each of them.
  public static var cacheLimitDefault: Int { 1024 }

  /// An empty tree that keeps up to `cacheLimit` matches; `seed` keys its hashes (tests pass a fixed one to be repeatable).
  public init(cacheLimit: Int = InterestTree.cacheLimitDefault, seed: UInt64 = ByteHash.seed) {
    self.seed = seed
    cache = MatchCache(limit: cacheLimit)
  }

  public var isEmpty: Bool { count == 0 }
  /// The number of matches that the cache holds.
  public var cacheCount: Int { cache.count }

  // MARK: Changes

  /// Adds a subscription of `subject`, in the queue group `queue` if there is one. `weight` is for members that stand for several (leaf
  /// links), at least 1. The same subscriber may be inserted more than once and is then matched as often. `subject` must be valid.
  @discardableResult
  public func insert(subject: ByteView, queue: ByteString? = nil, weight: Int = 1, _ subscriber: Subscriber) -> InterestHandle {
    precondition(Subject.isValid(subject), "only a valid subject can be subscribed to")
    let node = makeNodes(for: subject)
    let index = makeEntry(Entry(subscriber: subscriber, queue: queue, weight: Self.clamped(weight), node: node))
    append(index, to: node)
    count += 1
    inserts += 1
    changed(subject)
    return InterestHandle(entry: index, stamp: entries[Int(index)].stamp)
  }

  @discardableResult
  public func insert(subject: ByteString, queue: ByteString? = nil, weight: Int = 1, _ subscriber: Subscriber) -> InterestHandle {
    subject.withView { insert(subject: $0, queue: queue, weight: weight, subscriber) }
  }

  /// Removes a subscription and returns its subscriber, or nil when it has been removed before.
  @discardableResult
  public func remove(_ handle: InterestHandle) -> Subscriber? {
    guard let index = live(handle) else { return nil }
    let node = entries[index].node
    // The cache is told before the nodes that spell the subject may go.
    changed(subject(of: node))
    return remove(index, from: node)
  }

  /// Removes the first subscription of `subscriber` to `subject` in `queue`. Looks at every subscription of the same subject;
  /// `remove(_: InterestHandle)` does not. Returns whether there was one.
  @discardableResult
  public func remove(subject: ByteView, queue: ByteString? = nil, _ subscriber: Subscriber) -> Bool {
    guard let node = findNode(subject) else { return false }
    let first = nodes[Int(node)].firstEntry
    var index = first
    while index != 0 {
      if entries[Int(index)].subscriber === subscriber, entries[Int(index)].queue == queue {
        changed(subject)
        remove(Int(index), from: node)
        return true
      }
      index = entries[Int(index)].next
      if index == first { break }
    }
    return false
  }

  @discardableResult
  public func remove(subject: ByteString, queue: ByteString? = nil, _ subscriber: Subscriber) -> Bool {
    subject.withView { remove(subject: $0, queue: queue, subscriber) }
  }

  /// Changes the weight of a queue group's member. Returns whether `handle` still names one.
  @discardableResult
  public func setWeight(_ weight: Int, of handle: InterestHandle) -> Bool {
    guard let index = live(handle) else { return false }
    guard entries[index].weight != Self.clamped(weight) else { return true }
    entries[index].weight = Self.clamped(weight)
    changed(subject(of: entries[index].node))
    return true
  }

  /// Removes everything.
  public func removeAll() {
    removes += UInt64(count)
    nodes = [Node(token: ByteString())]
    // Stamps go on, so that an old handle does not name a new subscription.
    for index in 0..<entries.count where entries[index].subscriber != nil { releaseEntry(at: UInt32(index)) }
    (table, freeNode, literalNodes, count) = ([], 0, 0, 0)
    cache.removeAll()
    generation += 1
  }

  private static func clamped(_ weight: Int) -> Int32 { Int32(clamping: max(1, weight)) }

  private func live(_ handle: InterestHandle) -> Int? {
    let index = Int(handle.entry)
    guard index < entries.count, entries[index].subscriber != nil, entries[index].stamp == handle.stamp else { return nil }
    return index
  }

  @discardableResult
  private func remove(_ index: Int, from node: UInt32) -> Subscriber? {
    let subscriber = entries[index].subscriber
    unlink(UInt32(index), from: node)
    releaseEntry(at: UInt32(index))
    prune(node)
    count -= 1
    removes += 1
    return subscriber
  }

  private func changed(_ subject: ByteView) {
    generation += 1
    guard cache.count > 0 else { return }
    let literal = Subject.isLiteral(subject)
    cache.invalidate(subject, isLiteral: literal, hash: literal ? ByteHash.hash(subject, seed: seed) : 0)
  }

  private func changed(_ subject: ByteString) { subject.withView { changed($0) } }

  // MARK: Matching

  /// Who is interested in messages published to `subject`. Its tokens are taken literally; nobody is interested in one with an empty token.
  public func match(_ subject: ByteView) -> Match {
    matches += 1
    let hash = ByteHash.hash(subject, seed: seed)
    if let match = cache.lookup(subject, hash: hash) {
      cacheHits += 1
      return match
    }
    let match = Match(subject: ByteString(subject), hash: hash)
    var queueIndex: ByteMap<Int>?
    search(subject) { node in
      forEachEntry(of: node) { match.add($0.subscriber.unsafelyUnwrapped, queue: $0.queue, weight: Int($0.weight), index: &queueIndex) }
      return true
    }
    if cache.admits(hash) { cache.insert(match) }
    return match
  }

  public func match(_ subject: ByteString) -> Match { subject.withView { match($0) } }

  /// Whether anybody is interested in messages published to `subject`.
  public func hasInterest(in subject: ByteView) -> Bool {
    if let match = cache.lookup(subject, hash: ByteHash.hash(subject, seed: seed)) { return !match.isEmpty }
    var found = false
    search(subject) { _ in
      found = true
      return false
    }
    return found
  }

  /// Calls `body` with each node that has subscriptions and matches `subject`, until it returns false.
  private func search(_ subject: ByteView, _ body: (UInt32) -> Bool) {
    guard count > 0, !Subject.hasEmptyToken(subject) else { return }
    // Each node is reached by one way only, so the work is bounded by the tree and nothing is reported twice.
    var pending = self.pending
    self.pending = []
    defer {
      pending.removeAll(keepingCapacity: true)
      self.pending = pending
    }
    pending.append((0, 0))
    while let (node, start) = pending.popLast() {
      if start > subject.count {
        if nodes[Int(node)].firstEntry != 0, !body(node) { return }
        continue
      }
      let tail = nodes[Int(node)].tail
      if tail != 0, !body(tail) { return }
      let star = nodes[Int(node)].star
      if star == 0, nodes[Int(node)].firstChild == 0 { continue }
      var end = start
      while end < subject.count, subject.base[end] != ASCII.dot { end += 1 }
      if star != 0 { pending.append((star, end + 1)) }
      if nodes[Int(node)].firstChild != 0 {
        let child = findChild(of: node, subject.slice(start, end))
        if child != 0 { pending.append((child, end + 1)) }
      }
    }
  }

  @inline(__always) func forEachEntry(of node: UInt32, _ body: (Entry) -> Void) {
    let first = nodes[Int(node)].firstEntry
    var index = first
    while index != 0 {
      body(entries[Int(index)])
      index = entries[Int(index)].next
      if index == first { break }
    }
  }

  /// Calls `body` with each match that the cache holds.
  func forEachCached(_ body: (Match) -> Void) { cache.forEach(body) }

  // MARK: Nodes

  private func makeNodes(for subject: ByteView) -> UInt32 {
    var node: UInt32 = 0
    var tokens = Subject.Tokens(subject)
    while let token = tokens.next() {
      if token.isStar {
        if nodes[Int(node)].star == 0 { nodes[Int(node)].star = makeNode(Node(token: ByteString(token), parent: node)) }
        node = nodes[Int(node)].star
      } else if token.isTail {
        if nodes[Int(node)].tail == 0 { nodes[Int(node)].tail = makeNode(Node(token: ByteString(token), parent: node)) }
        node = nodes[Int(node)].tail
      } else {
        let child = findChild(of: node, token)
        node = child != 0 ? child : makeChild(of: node, token)
      }
    }
    return node
  }

  /// The node of a pattern, or nil.
  func findNode(_ pattern: ByteView) -> UInt32? {
    var node: UInt32 = 0
    var tokens = Subject.Tokens(pattern)
    while let token = tokens.next() {
      node = token.isStar ? nodes[Int(node)].star : token.isTail ? nodes[Int(node)].tail : findChild(of: node, token)
      if node == 0 { return nil }
    }
    return node
  }

  /// The pattern that leads to `node`.
  func subject(of node: UInt32) -> ByteString {
    var path: [UInt32] = []
    var length = 0
    var index = node
    while index != 0 {
      path.append(index)
      length += nodes[Int(index)].token.count + 1
      index = nodes[Int(index)].parent
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(length)
    for index in path.reversed() {
      if !bytes.isEmpty { bytes.append(ASCII.dot) }
      bytes.append(nodes[Int(index)].token)
    }
    return ByteString(bytes)
  }

  private func makeNode(_ node: Node) -> UInt32 {
    if freeNode != 0 {
      let index = freeNode
      freeNode = nodes[Int(index)].next
      nodes[Int(index)] = node
      return index
    }
    precondition(UInt(nodes.count) < UInt(UInt32.max), "an account has fewer than 2^32 distinct subjects")
    nodes.append(node)
    return UInt32(nodes.count - 1)
  }

  private func makeChild(of parent: UInt32, _ token: ByteView) -> UInt32 {
    let next = nodes[Int(parent)].firstChild
    let child = makeNode(Node(token: ByteString(token), parent: parent, hash: hash(parent, token), next: next))
    if next != 0 { nodes[Int(next)].previous = child }
    nodes[Int(parent)].firstChild = child
    literalNodes += 1
    if literalNodes * 4 > table.count * 3 { growTable() }
    place(child)
    return child
  }

  /// Removes `node` and then its ancestors, as far as they have neither subscriptions nor children.
  private func prune(_ node: UInt32) {
    var index = node
    while index != 0 {
      let dead = nodes[Int(index)]
      guard dead.firstEntry == 0, dead.firstChild == 0, dead.star == 0, dead.tail == 0 else { return }
      if nodes[Int(dead.parent)].star == index {
        nodes[Int(dead.parent)].star = 0
      } else if nodes[Int(dead.parent)].tail == index {
        nodes[Int(dead.parent)].tail = 0
      } else {
        unplace(index)
        literalNodes -= 1
        if dead.previous != 0 { nodes[Int(dead.previous)].next = dead.next } else { nodes[Int(dead.parent)].firstChild = dead.next }
        if dead.next != 0 { nodes[Int(dead.next)].previous = dead.previous }
      }
      nodes[Int(index)] = Node(token: ByteString(), next: freeNode)
      freeNode = index
      index = dead.parent
    }
  }

  // MARK: The table of literal children

  @inline(__always) private func hash(_ parent: UInt32, _ token: ByteView) -> UInt32 {
    UInt32(truncatingIfNeeded: ByteHash.hash(token, seed: seed &+ UInt64(parent) &* 0x9E37_79B9_7F4A_7C15))
  }

  @inline(__always) func findChild(of parent: UInt32, _ token: ByteView) -> UInt32 {
    guard !table.isEmpty else { return 0 }
    let wanted = hash(parent, token)
    let mask = table.count - 1
    var slot = Int(truncatingIfNeeded: wanted) & mask
    while true {
      let index = table[slot]
      if index == 0 { return 0 }
      if nodes[Int(index)].hash == wanted, nodes[Int(index)].parent == parent, nodes[Int(index)].token == token { return index }
      slot = (slot + 1) & mask
    }
  }

  private func place(_ node: UInt32) {
    let mask = table.count - 1
    var slot = Int(truncatingIfNeeded: nodes[Int(node)].hash) & mask
    while table[slot] != 0 { slot = (slot + 1) & mask }
    table[slot] = node
  }

  private func growTable() {
    let old = table
    table = [UInt32](repeating: 0, count: max(8, old.count * 2))
    for index in old where index != 0 { place(index) }
  }

  private func unplace(_ node: UInt32) {
    let mask = table.count - 1
    var hole = Int(truncatingIfNeeded: nodes[Int(node)].hash) & mask
    while table[hole] != node { hole = (hole + 1) & mask }
    // Close the gap: whatever follows in the same run may have been pushed past its home by the removed node.
    var slot = (hole + 1) & mask
    while table[slot] != 0 {
      let distance = (slot &- Int(truncatingIfNeeded: nodes[Int(table[slot])].hash)) & mask
      if distance >= (slot - hole) & mask {
        table[hole] = table[slot]
        hole = slot
      }
      slot = (slot + 1) & mask
    }
    table[hole] = 0
  }

  // MARK: Entries

  private func makeEntry(_ entry: Entry) -> UInt32 {
    if entries.isEmpty { entries.append(Entry()) }
    if freeEntry != 0 {
      let index = freeEntry
      let stamp = entries[Int(index)].stamp
      freeEntry = entries[Int(index)].next
      entries[Int(index)] = entry
      entries[Int(index)].stamp = stamp
      return index
    }
    precondition(UInt(entries.count) < UInt(UInt32.max), "an account has fewer than 2^32 subscriptions")
    entries.append(entry)
    return UInt32(entries.count - 1)
  }

  private func releaseEntry(at index: UInt32) {
    let stamp = entries[Int(index)].stamp &+ 1
    entries[Int(index)] = Entry(next: freeEntry, stamp: stamp)
    freeEntry = index
  }

  private func append(_ index: UInt32, to node: UInt32) {
    let first = nodes[Int(node)].firstEntry
    guard first != 0 else {
      entries[Int(index)].next = index
      entries[Int(index)].previous = index
      nodes[Int(node)].firstEntry = index
      return
    }
    let last = entries[Int(first)].previous
    entries[Int(index)].next = first
    entries[Int(index)].previous = last
    entries[Int(last)].next = index
    entries[Int(first)].previous = index
  }

  private func unlink(_ index: UInt32, from node: UInt32) {
    let next = entries[Int(index)].next
    let previous = entries[Int(index)].previous
    entries[Int(previous)].next = next
    entries[Int(next)].previous = previous
    if nodes[Int(node)].firstEntry == index { nodes[Int(node)].firstEntry = next == index ? 0 : next }
  }
}
