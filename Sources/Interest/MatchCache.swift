// The bounded memory of recent matches, so that a busy subject is looked up in the tree once.
// Not here: finding matches (InterestTree).
import Bytes

/// Literal subject to match: a table of 4-way sets that grows to a limit and then replaces what was not used lately.
///
/// A subject is kept when it is seen for the second time: reply inboxes are published to once, and keeping them would push out
/// what is worth keeping. Every match in the table is current, and every match that leaves it is made not current, because from then on
/// no change of the tree would reach it.
struct MatchCache<Subscriber: AnyObject> {
  typealias Match = InterestMatch<Subscriber>

  private static var ways: Int { 4 }
  private static var slotsMin: Int { 16 }

  private var slots: [Match?] = []
  /// Fingerprints of subjects seen once, by the low bits of their hash.
  private var seen: [UInt16] = []
  /// Decides whether a subject takes the place of another in `seen`: half of the time, or else two that come in turn would push each other
  /// out before their second time for ever.
  private var coin: UInt64 = 1
  private(set) var count = 0
  /// Changes of patterns since the cache was empty. Each is compared with all matches that are kept; when there were many, keeping them costs
  /// more than finding them again.
  private var comparisons = 0
  private static var comparisonsMax: Int { 64 }
  private let slotsMax: Int

  /// `limit` is the number of matches kept at most, rounded up to a power of two of at least 16; 0 keeps none.
  init(limit: Int) {
    var size = Self.slotsMin
    while size < limit { size *= 2 }
    slotsMax = limit <= 0 ? 0 : size
  }

  @inline(__always) private func set(of hash: UInt64) -> Int {
    Int(truncatingIfNeeded: hash) & (slots.count - 1) & ~(Self.ways - 1)
  }

  private func find(_ subject: ByteView, _ hash: UInt64) -> Int? {
    guard !slots.isEmpty else { return nil }
    let first = set(of: hash)
    for index in first..<first + Self.ways {
      if let match = slots[index], match.hash == hash, match.subject == subject { return index }
    }
    return nil
  }

  func lookup(_ subject: ByteView, hash: UInt64) -> Match? {
    guard let index = find(subject, hash), let match = slots[index] else { return nil }
    match.wasUsed = true
    return match
  }

  /// Whether a match for a subject of this hash is worth keeping now; remembers that it was seen.
  mutating func admits(_ hash: UInt64) -> Bool {
    guard slotsMax > 0 else { return false }
    if seen.isEmpty { seen = [UInt16](repeating: 0, count: slotsMax) }
    let fingerprint = UInt16(truncatingIfNeeded: hash >> 48) | 1
    let index = Int(truncatingIfNeeded: hash) & (seen.count - 1)
    if seen[index] == fingerprint { return true }
    coin = coin &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    if seen[index] == 0 || coin >> 63 == 0 { seen[index] = fingerprint }
    return false
  }

  mutating func insert(_ match: Match) {
    if slots.isEmpty { slots = [Match?](repeating: nil, count: Self.slotsMin) }
    match.isCurrent = true
    while true {
      let first = set(of: match.hash)
      for index in first..<first + Self.ways where slots[index] == nil {
        slots[index] = match
        count += 1
        return
      }
      if slots.count < slotsMax { grow() } else { break }
    }
    replace(with: match)
  }

  /// Puts `match` in the place of one of its set that has not been used since this was last asked.
  private mutating func replace(with match: Match) {
    let first = set(of: match.hash)
    var victim = first + Int(truncatingIfNeeded: match.hash >> 40) & (Self.ways - 1)
    for _ in 0..<Self.ways {
      guard let held = slots[victim], held.wasUsed else { break }
      held.wasUsed = false
      victim = first + ((victim - first + 1) & (Self.ways - 1))
    }
    slots[victim]?.isCurrent = false
    slots[victim] = match
  }

  private mutating func grow() {
    let old = slots
    slots = [Match?](repeating: nil, count: old.count * 2)
    // A set is split over two, so nothing can overflow.
    for case let match? in old {
      var index = set(of: match.hash)
      while slots[index] != nil { index += 1 }
      slots[index] = match
    }
  }

  /// Drops the matches that a change of `pattern` may change.
  mutating func invalidate(_ pattern: ByteView, isLiteral: Bool, hash: UInt64) {
    guard count > 0 else { return }
    if isLiteral {
      if let index = find(pattern, hash) { drop(index) }
      return
    }
    comparisons += 1
    guard comparisons <= Self.comparisonsMax else { return dropAll() }
    let prefix = pattern.prefix(Subject.literalPrefixLength(pattern))
    for index in 0..<slots.count {
      guard let match = slots[index] else { continue }
      if match.subject.withView({ $0.hasPrefix(prefix) && Subject.matches($0, pattern) }) { drop(index) }
    }
  }

  private mutating func drop(_ index: Int) {
    slots[index]?.isCurrent = false
    slots[index] = nil
    count -= 1
  }

  /// Subjects that were seen are kept at their next look again.
  private mutating func dropAll() {
    for case let match? in slots { match.isCurrent = false }
    slots = []
    count = 0
    comparisons = 0
  }

  mutating func removeAll() {
    dropAll()
    seen = []
  }

  func forEach(_ body: (Match) -> Void) {
    for case let match? in slots { body(match) }
  }
}
