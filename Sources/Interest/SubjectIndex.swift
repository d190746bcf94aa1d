// What a stream knows of each of its subjects: how many messages, the first and the last. Kept with few bytes for each, because a stream may
// have a million of them. Matching is in Subject, the bytes of a part of the index in SubjectPage.
import Bytes

/// The subjects of one stream. A sequence is positive and below 2^63.
///
/// Removal does not search: when the first or last message of a subject goes, the bound stays as a bound until somebody who searched says
/// what it really is (`settle`).
///
/// Subjects are in pages by the top bits of their hashes (extendible hashing): nothing ever moves or grows but one page at a time.
public final class SubjectIndex {
  /// One subject.
  public struct State: Equatable, Sendable {
    /// Messages.
    public var count: Int
    /// The first message; with `firstIsOld` that one is gone, and none is before this.
    public var first: UInt64
    public var firstIsOld: Bool
    /// The last message; with `lastIsOld` that one is gone, and none is behind this.
    public var last: UInt64
    public var lastIsOld: Bool
  }

  /// The directory never has more than 2^this entries; beyond that pages grow instead.
  static let depthMax = 20

  private var pages: [SubjectPage] = []
  /// The page of all hashes that begin with the bits of an entry's number; empty while there is one page at most.
  private var directory: [UInt32] = []
  /// How many bits these are.
  private var depth = 0
  /// Keys the hashes.
  public let seed: UInt64
  private let pageSubjectsMax: Int
  /// While the index is being restored: where the next page begins.
  private var restored: UInt64?
  /// It was restored, and pages are as of different positions in the log.
  private var isPartial = false

  public private(set) var subjectCount = 0

  /// An empty index; `seed` keys its hashes (tests pass a fixed one to be repeatable), and a page is divided at so many subjects.
  public init(seed: UInt64 = ByteHash.seed, pageSubjectsMax: Int? = nil) {
    self.seed = seed
    self.pageSubjectsMax = pageSubjectsMax ?? SubjectPage.subjectsMax
  }

  public var isEmpty: Bool { subjectCount == 0 }

  /// The bytes in use, as a stream's memory is accounted.
  public var bytes: Int { pages.reduce(directory.capacity * 4) { $0 + $1.bytes } }

  @inline(__always) private func number(_ hash: UInt64) -> Int { depth == 0 ? 0 : Int(directory[Int(hash >> UInt64(64 - depth))]) }

  // MARK: Changes

  /// A message of `subject` is in the stream as `sequence`. Messages may be added in any order, each once. Returns how many of the
  /// subject there are now. In an index that was restored, what lies before `position` in the log may be counted already; 0 is returned then.
  @discardableResult
  public func add(_ subject: ByteView, _ sequence: UInt64, at position: UInt64 = .max) -> Int {
    precondition(sequence > 0, "sequences begin at 1")
    let hash = ByteHash.hash(subject, seed: seed)
    if pages.isEmpty { pages.append(SubjectPage(depth: 0)) }
    let page = pages[number(hash)]
    if position < page.countedThrough { return 0 }
    if let index = page.find(subject, hash) {
      var entry = page.entry(index)
      entry.count += 1
      if sequence <= entry.first.sequence { entry.first = Bound(exactly: sequence) }
      if sequence >= entry.last.sequence { entry.last = Bound(exactly: sequence) }
      page.set(index, entry)
      return Int(entry.count)
    }
    subjectCount += 1
    page.insert(
      subject, hash, SubjectPage.Entry(first: Bound(exactly: sequence), last: Bound(exactly: sequence), count: 1))
    if page.isFull(pageSubjectsMax) { split(number(hash), hash) }
    return 1
  }

  /// The message `sequence` of `subject` has left the stream. Returns how many of the subject remain, or nil when it was not known.
  /// `position`: as with `add`, of what says so in the log.
  @discardableResult
  public func remove(_ subject: ByteView, _ sequence: UInt64, at position: UInt64 = .max) -> Int? {
    guard !pages.isEmpty else { return nil }
    let hash = ByteHash.hash(subject, seed: seed)
    let page = pages[number(hash)]
    guard position >= page.countedThrough, let index = page.find(subject, hash) else { return nil }
    var entry = page.entry(index)
    guard entry.count > 1 else {
      page.remove(index, hash: hash, seed: seed)
      subjectCount -= 1
      if subjectCount == 0, !isPartial { removeAll() }
      return 0
    }
    entry.count -= 1
    if sequence == entry.first.sequence { entry.first = Bound(bound: sequence + 1) }
    if sequence == entry.last.sequence { entry.last = Bound(bound: sequence - 1) }
    // The only one left is both ends.
    if entry.count == 1, entry.first.isExact { entry.last = entry.first }
    if entry.count == 1, entry.last.isExact { entry.first = entry.last }
    page.set(index, entry)
    return Int(entry.count)
  }

  /// Somebody searched: these are the real first and last message of `subject`.
  public func settle(_ subject: ByteView, first: UInt64? = nil, last: UInt64? = nil) {
    guard let (page, index) = find(subject) else { return }
    var entry = page.entry(index)
    if let first { entry.first = Bound(exactly: first) }
    if let last { entry.last = Bound(exactly: last) }
    page.set(index, entry)
  }

  /// Somebody searched: the last message of `subject`, which is not known, is at or before `sequence`.
  public func bound(_ subject: ByteView, lastAtMost sequence: UInt64) {
    guard let (page, index) = find(subject) else { return }
    var entry = page.entry(index)
    guard !entry.last.isExact, sequence < entry.last.sequence, sequence >= entry.first.sequence else { return }
    entry.last = Bound(bound: sequence)
    page.set(index, entry)
  }

  public func removeAll() {
    pages = []
    directory = []
    depth = 0
    restored = nil
    isPartial = false
    subjectCount = 0
  }

  // MARK: Questions

  private func find(_ subject: ByteView) -> (page: SubjectPage, index: Int)? {
    guard !pages.isEmpty else { return nil }
    let hash = ByteHash.hash(subject, seed: seed)
    let page = pages[number(hash)]
    guard let index = page.find(subject, hash) else { return nil }
    return (page, index)
  }

  public subscript(subject: ByteView) -> State? { find(subject).map { State($0.page.entry($0.index)) } }

  /// Calls `body` with each subject that `pattern` matches, in no particular order. A literal is one look-up; a wildcard looks at every
  /// subject.
  public func forEach(matching pattern: ByteView, _ body: (_ subject: ByteView, _ state: State) -> Void) {
    guard subjectCount > 0 else { return }
    if Subject.isLiteral(pattern) {
      if let state = self[pattern] { body(pattern, state) }
      return
    }
    let prefix = pattern.prefix(Subject.literalPrefixLength(pattern))
    let all = pattern.isTail
    for page in pages {
      for index in 0..<page.count {
        let subject = page.text(index)
        if all || (subject.hasPrefix(prefix) && Subject.matches(subject, pattern)) { body(subject, State(page.entry(index))) }
      }
    }
  }

  // MARK: Pages

  /// Divides a page that is full. `hash`: of one of its subjects.
  private func split(_ page: Int, _ hash: UInt64) {
    let old = pages[page].depth
    guard old < Self.depthMax else { return }
    if old == depth { deepen() }
    let (low, high) = pages[page].split(seed: seed)
    pages[page] = low
    pages.append(high)
    let span = 1 << (depth - old)
    let start = (old == 0 ? 0 : Int(hash >> UInt64(64 - old))) * span
    for at in start + span / 2..<start + span { directory[at] = UInt32(pages.count - 1) }
  }

  /// Tells pages apart by one more bit.
  private func deepen() {
    var deeper: [UInt32] = []
    deeper.reserveCapacity(2 << depth)
    if depth == 0 { deeper = [0, 0] } else { for page in directory { deeper += [page, page] } }
    directory = deeper
    depth += 1
  }

  // MARK: Keeping

  /// Whether a page begins at the hash `start`.
  public func hasPage(at start: UInt64) -> Bool {
    guard !pages.isEmpty else { return start == 0 }
    return start & Self.rest(pages[number(start)].depth) == 0
  }

  /// The bits of a hash that are not of its page.
  private static func rest(_ depth: Int) -> UInt64 { depth == 0 ? .max : (1 << UInt64(64 - depth)) - 1 }

  /// The page of the subjects whose hashes begin at `start`, for somebody who writes the index down by and by: `head` is called with how many
  /// leading bits they share, their number and the bytes of their texts, then `body` with each, and numbers for `restore`. Returns
  /// where the next page begins; nil after the last. The pages of an index that changes meanwhile are still those of all hashes.
  public func writePage(
    at start: UInt64, head: (_ depth: Int, _ subjects: Int, _ textBytes: Int) -> Void,
    _ body: (_ subject: ByteView, _ count: UInt32, _ first: UInt64, _ last: UInt64) -> Void
  ) -> UInt64? {
    guard !pages.isEmpty else {
      head(0, 0, 0)
      return nil
    }
    let page = pages[number(start)]
    head(page.depth, page.count, page.textBytes)
    for index in 0..<page.count {
      let entry = page.entry(index)
      body(page.text(index), entry.count, entry.first.bits, entry.last.bits)
    }
    return end(of: start, page.depth)
  }

  private func end(of start: UInt64, _ depth: Int) -> UInt64? {
    guard depth > 0 else { return nil }
    let (end, isLast) = start.addingReportingOverflow(1 << UInt64(64 - depth))
    return isLast ? nil : end
  }

  /// Goes on with a page that `writePage` gave, in their order, with room for its subjects. They are as of a position in the log. False
  /// when that cannot be right.
  public func restorePage(depth: Int, subjects: Int, textBytes: Int, countedThrough position: UInt64) -> Bool {
    guard depth >= 0, depth <= Self.depthMax, subjects >= 0, subjects <= SubjectPage.subjectsEnd, textBytes >= 0 else { return false }
    let start: UInt64
    if pages.isEmpty { start = 0 } else if let next = restored { start = next } else { return false }
    guard start & Self.rest(depth) == 0 else { return false }
    while self.depth < depth { deepen() }
    let page = SubjectPage(depth: depth, subjects: subjects, textBytes: textBytes)
    page.countedThrough = position
    pages.append(page)
    isPartial = true
    if self.depth > 0 {
      let from = Int(start >> UInt64(64 - self.depth))
      for at in from..<from + 1 << (self.depth - depth) { directory[at] = UInt32(pages.count - 1) }
    }
    restored = end(of: start, depth)
    return true
  }

  /// Adds a subject with the numbers that `writePage` gave to the page that was begun last. False when that cannot be right.
  public func restore(_ subject: ByteView, count: UInt32, first: UInt64, last: UInt64) -> Bool {
    let hash = ByteHash.hash(subject, seed: seed)
    guard count > 0, let page = pages.last, number(hash) == pages.count - 1, page.count < SubjectPage.subjectsEnd,
      page.find(subject, hash) == nil
    else { return false }
    subjectCount += 1
    page.insert(subject, hash, SubjectPage.Entry(first: Bound(bits: first), last: Bound(bits: last), count: count))
    return true
  }

  /// All pages were restored, or that cannot be right.
  public var isRestored: Bool { restored == nil }

  /// From now on everything counts, wherever in the log it is.
  public func countEverything() {
    isPartial = false
    for page in pages { page.countedThrough = 0 }
    if subjectCount == 0 { removeAll() }
  }
}

/// A sequence that may be only a bound: the top bit says so.
struct Bound {
  let bits: UInt64
  private static var flag: UInt64 { 1 << 63 }

  @inline(__always) init(bits: UInt64) { self.bits = bits }
  @inline(__always) init(exactly sequence: UInt64) {
    precondition(sequence < Self.flag, "a sequence is below 2^63")
    bits = sequence
  }
  @inline(__always) init(bound sequence: UInt64) { bits = sequence | Self.flag }
  @inline(__always) var sequence: UInt64 { bits & ~Self.flag }
  @inline(__always) var isExact: Bool { bits & Self.flag == 0 }
}

extension SubjectIndex.State {
  @inline(__always) init(_ entry: SubjectPage.Entry) {
    self.init(
      count: Int(entry.count), first: entry.first.sequence, firstIsOld: !entry.first.isExact, last: entry.last.sequence,
      lastIsOld: !entry.last.isExact)
  }
}
