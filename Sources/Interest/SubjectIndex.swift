// What a stream knows of each of its subjects: how many messages, the first and the last sequence.
// Not here: where the messages are (LogStore), and the search for a neighbour when an end of a subject was removed (the stream does it).
//
// Built for a million subjects on a small board: 24 bytes of numbers, one byte and the text, and at most 13 bytes of hash table for each; that
// is 54 to 62 bytes for a subject of 22 bytes. Everything grows in chunks, so that no growth copies the whole but that of the table.
import Bytes

/// The subjects of one stream. A sequence is positive and below 2^63.
///
/// Removal does not search: when the first or last message of a subject goes, the bound stays as a bound until somebody who searched says
/// what it really is (`settle`).
public struct SubjectIndex {
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

  /// A sequence that may be only a bound: the top bit says so.
  fileprivate struct Bound {
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

  fileprivate struct Entry {
    var first: Bound
    var last: Bound
    /// Messages; 0 marks an entry that is free.
    var count: UInt32
    /// Where the text is; of a free entry, the number of the next free one plus one.
    var text: UInt32
  }

  fileprivate static var entriesPerChunk: Int { 4096 }

  private var chunks: [[Entry]] = []
  private var entryCount = 0
  private var firstFree: UInt32 = 0
  private var texts = TextArena()
  /// Open addressing over entry numbers plus one; 0 is an empty slot.
  private var table: [UInt32] = []
  /// One more byte of the hash for each slot, so that few texts are compared in vain.
  private var tags: [UInt8] = []
  private let seed: UInt64

  public private(set) var subjectCount = 0

  /// An empty index; `seed` keys its hashes (tests pass a fixed one to be repeatable).
  public init(seed: UInt64 = ByteHash.seed) { self.seed = seed }

  public var isEmpty: Bool { subjectCount == 0 }

  /// The bytes in use, as a stream's memory is accounted.
  public var bytes: Int {
    chunks.reduce(0) { $0 + $1.capacity * MemoryLayout<Entry>.stride } + texts.capacity + table.capacity * 4 + tags.capacity
  }

  // MARK: Changes

  /// A message of `subject` is in the stream as `sequence`. Messages may be added in any order, each once. Returns how many of the
  /// subject there are now.
  @discardableResult
  public mutating func add(_ subject: ByteView, _ sequence: UInt64) -> Int {
    precondition(sequence > 0, "sequences begin at 1")
    let hash = ByteHash.hash(subject, seed: seed)
    if let index = find(subject, hash) {
      var count = 0
      update(index) { entry in
        entry.count += 1
        count = Int(entry.count)
        if sequence <= entry.first.sequence { entry.first = Bound(exactly: sequence) }
        if sequence >= entry.last.sequence { entry.last = Bound(exactly: sequence) }
      }
      return count
    }
    let entry = Entry(first: Bound(exactly: sequence), last: Bound(exactly: sequence), count: 1, text: texts.append(subject))
    subjectCount += 1
    if subjectCount * 4 > table.count * 3 { growTable() }
    place(makeEntry(entry), hash)
    return 1
  }

  /// The message `sequence` of `subject` has left the stream. Returns how many of the subject remain, or nil when it was not known.
  @discardableResult
  public mutating func remove(_ subject: ByteView, _ sequence: UInt64) -> Int? {
    let hash = ByteHash.hash(subject, seed: seed)
    guard let index = find(subject, hash) else { return nil }
    let remaining = Int(entry(index).count) - 1
    guard remaining > 0 else {
      drop(index, hash)
      return 0
    }
    update(index) { entry in
      entry.count -= 1
      if sequence == entry.first.sequence { entry.first = Bound(bound: sequence + 1) }
      if sequence == entry.last.sequence { entry.last = Bound(bound: sequence - 1) }
      // The only one left is both ends.
      if entry.count == 1, entry.first.isExact { entry.last = entry.first }
      if entry.count == 1, entry.last.isExact { entry.first = entry.last }
    }
    return remaining
  }

  /// Somebody searched: these are the real first and last message of `subject`.
  public mutating func settle(_ subject: ByteView, first: UInt64? = nil, last: UInt64? = nil) {
    guard let index = find(subject) else { return }
    update(index) { entry in
      if let first { entry.first = Bound(exactly: first) }
      if let last { entry.last = Bound(exactly: last) }
    }
  }

  public mutating func removeAll() { self = SubjectIndex(seed: seed) }

  // MARK: Questions

  public subscript(subject: ByteView) -> State? { find(subject).map { state(of: entry($0)) } }

  /// Calls `body` with each subject that `pattern` matches, in no particular order. A literal is one look-up; a wildcard looks at every
  /// subject.
  public func forEach(matching pattern: ByteView, _ body: (_ subject: ByteView, _ state: State) -> Void) {
    guard subjectCount > 0 else { return }
    if Subject.isLiteral(pattern) {
      if let index = find(pattern) { body(pattern, state(of: entry(index))) }
      return
    }
    let prefix = pattern.prefix(Subject.literalPrefixLength(pattern))
    let all = pattern.isTail
    for entries in chunks {
      for entry in entries where entry.count > 0 {
        let subject = texts.text(at: entry.text)
        if all || (subject.hasPrefix(prefix) && Subject.matches(subject, pattern)) { body(subject, state(of: entry)) }
      }
    }
  }

  @inline(__always) private func state(of entry: Entry) -> State {
    State(
      count: Int(entry.count), first: entry.first.sequence, firstIsOld: !entry.first.isExact, last: entry.last.sequence,
      lastIsOld: !entry.last.isExact)
  }

  // MARK: Keeping

  /// The entries as they were at a moment, for somebody who writes them down by and by. Holds on to memory that changes since would
  /// have given back, at most as much as the index has.
  public struct Snapshot {
    fileprivate let chunks: [[Entry]]
    fileprivate let texts: TextArena
    /// Places of entries; some are free.
    public let placeCount: Int

    /// Calls `body` with the entry at a place: its numbers are for `restore`. Not called when the place is free.
    public func entry(at place: Int, _ body: (_ subject: ByteView, _ count: UInt32, _ first: UInt64, _ last: UInt64) -> Void) {
      let entry = chunks[place / SubjectIndex.entriesPerChunk][place % SubjectIndex.entriesPerChunk]
      if entry.count > 0 { body(texts.text(at: entry.text), entry.count, entry.first.bits, entry.last.bits) }
    }
  }

  public var snapshot: Snapshot { Snapshot(chunks: chunks, texts: texts, placeCount: entryCount) }

  /// Adds a subject with the numbers that a snapshot gave; it must not be there yet. False when that cannot be right.
  public mutating func restore(_ subject: ByteView, count: UInt32, first: UInt64, last: UInt64) -> Bool {
    let hash = ByteHash.hash(subject, seed: seed)
    guard count > 0, find(subject, hash) == nil else { return false }
    subjectCount += 1
    if subjectCount * 4 > table.count * 3 { growTable() }
    let entry = Entry(first: Bound(bits: first), last: Bound(bits: last), count: count, text: texts.append(subject))
    place(makeEntry(entry), hash)
    return true
  }

  // MARK: Entries

  @inline(__always) private func entry(_ index: Int) -> Entry {
    chunks[index / Self.entriesPerChunk][index % Self.entriesPerChunk]
  }

  @inline(__always) private mutating func update(_ index: Int, _ body: (inout Entry) -> Void) {
    body(&chunks[index / Self.entriesPerChunk][index % Self.entriesPerChunk])
  }

  private mutating func makeEntry(_ entry: Entry) -> UInt32 {
    if firstFree != 0 {
      let index = firstFree - 1
      firstFree = self.entry(Int(index)).text
      update(Int(index)) { $0 = entry }
      return index
    }
    precondition(entryCount < Int(UInt32.max) - 1, "a stream has fewer than 2^32 subjects")
    if entryCount % Self.entriesPerChunk == 0 {
      chunks.append([])
      // The first chunk grows as needed, because most streams have few subjects.
      if entryCount > 0 { chunks[chunks.count - 1].reserveCapacity(Self.entriesPerChunk) }
    }
    chunks[chunks.count - 1].append(entry)
    entryCount += 1
    return UInt32(entryCount - 1)
  }

  private mutating func drop(_ index: Int, _ hash: UInt64) {
    unplace(UInt32(index), hash)
    texts.release(entry(index).text)
    let free = Entry(first: Bound(exactly: 0), last: Bound(exactly: 0), count: 0, text: firstFree)
    update(index) { $0 = free }
    firstFree = UInt32(index) + 1
    subjectCount -= 1
    if subjectCount == 0 {
      removeAll()
    } else if texts.isWorthCompacting {
      compact()
    }
  }

  /// Copies the texts that are in use, so that those of removed subjects do not add up.
  private mutating func compact() {
    var copy = TextArena()
    for index in 0..<entryCount where entry(index).count > 0 {
      let moved = copy.append(texts.text(at: entry(index).text))
      update(index) { $0.text = moved }
    }
    texts = copy
  }

  // MARK: The table

  @inline(__always) private func tag(_ hash: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: hash >> 56) }

  private func find(_ subject: ByteView) -> Int? { find(subject, ByteHash.hash(subject, seed: seed)) }

  private func find(_ subject: ByteView, _ hash: UInt64) -> Int? {
    guard !table.isEmpty else { return nil }
    let mask = table.count - 1
    let wanted = tag(hash)
    var slot = Int(truncatingIfNeeded: hash) & mask
    while table[slot] != 0 {
      if tags[slot] == wanted {
        let index = Int(table[slot]) - 1
        if texts.text(at: entry(index).text) == subject { return index }
      }
      slot = (slot + 1) & mask
    }
    return nil
  }

  private mutating func place(_ index: UInt32, _ hash: UInt64) {
    let mask = table.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while table[slot] != 0 { slot = (slot + 1) & mask }
    table[slot] = index + 1
    tags[slot] = tag(hash)
  }

  private mutating func growTable() {
    let size = max(8, table.count * 2)
    table = []
    tags = []
    table = [UInt32](repeating: 0, count: size)
    tags = [UInt8](repeating: 0, count: size)
    for index in 0..<entryCount where entry(index).count > 0 {
      place(UInt32(index), ByteHash.hash(texts.text(at: entry(index).text), seed: seed))
    }
  }

  private mutating func unplace(_ index: UInt32, _ hash: UInt64) {
    let mask = table.count - 1
    var hole = Int(truncatingIfNeeded: hash) & mask
    while table[hole] != index + 1 { hole = (hole + 1) & mask }
    // Close the gap: whatever follows in the same run may have been pushed past its home by the removed one.
    var slot = (hole + 1) & mask
    while table[slot] != 0 {
      let home = ByteHash.hash(texts.text(at: entry(Int(table[slot]) - 1).text), seed: seed)
      let distance = (slot - Int(truncatingIfNeeded: home)) & mask
      if distance >= (slot - hole) & mask {
        table[hole] = table[slot]
        tags[hole] = tags[slot]
        hole = slot
      }
      slot = (slot + 1) & mask
    }
    table[hole] = 0
  }
}
