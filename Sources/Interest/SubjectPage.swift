// A part of a SubjectIndex: the subjects whose hashes begin alike, with all that is known of them, in memory of its own. Whatever an index
// has to move or copy at once is never more than one page.
import Bytes

/// Up to some thousand subjects of one stream.
///
/// Numbers of entry `n` are `width` words from `n * width` on: where its text begins, how many messages, the first sequence (low and
/// high word), and the last. In a narrow page the last is one word, its distance from the first; in a wide one two. The top bit of the
/// first's and the last's highest word says that it is a bound.
final class SubjectPage {
  /// A page is split beyond so many subjects (as its index says), or bytes of their texts.
  static let subjectsMax = 4096
  static let textBytesMax = 256 << 10
  /// What a slot can number.
  static let subjectsEnd = Int(UInt16.max) - 1
  private static let narrow = 5
  private static let wide = 6
  /// The largest distance in a narrow page.
  private static let distanceMax: UInt64 = (1 << 31) - 1
  private static let flag: UInt32 = 1 << 31
  /// Texts from this length on have four bytes more before them.
  private static let longLength = 255
  /// Bytes of removed texts that are not worth copying the rest.
  private static let garbageBytesMin = 1024

  struct Entry {
    var first: Bound
    var last: Bound
    var count: UInt32
  }

  /// How many of a hash's top bits all its subjects share.
  let depth: Int
  /// When the index was restored: the log position up to which messages are counted in it.
  var countedThrough: UInt64 = 0
  private(set) var count = 0
  private var numbers: [UInt32] = []
  private var width = SubjectPage.narrow
  /// Length and bytes of one text after the other.
  private var texts: [UInt8] = []
  private var garbage = 0
  /// Open addressing: entry numbers plus one in the lower half, sixteen bits of the hash in the upper, by which they are placed and few
  /// texts compared in vain. 0 is an empty slot.
  private(set) var slots: [UInt32] = []

  init(depth: Int) { self.depth = depth }

  /// With room for what is to come.
  convenience init(depth: Int, subjects: Int, textBytes: Int) {
    self.init(depth: depth)
    numbers.reserveCapacity(subjects * width)
    texts.reserveCapacity(textBytes)
    makeSlots(for: subjects)
  }

  func isFull(_ subjectsMax: Int) -> Bool { count >= subjectsMax || (texts.count > Self.textBytesMax && count > 1) }

  /// The bytes in use, without what arrays have at their beginning.
  var bytes: Int { numbers.capacity * 4 + texts.capacity + slots.capacity * 4 }
  /// The bytes of its texts with their lengths.
  var textBytes: Int { texts.count - garbage }

  // MARK: Entries

  @inline(__always) func entry(_ index: Int) -> Entry {
    let at = index * width
    let high = numbers[at + 3]
    let first = Bound(bits: UInt64(high) << 32 | UInt64(numbers[at + 2]))
    let low = numbers[at + 4]
    if width == Self.wide {
      return Entry(first: first, last: Bound(bits: UInt64(numbers[at + 5]) << 32 | UInt64(low)), count: numbers[at + 1])
    }
    let distance = UInt64(low & ~Self.flag)
    let last = first.sequence + distance
    return Entry(first: first, last: low & Self.flag == 0 ? Bound(exactly: last) : Bound(bound: last), count: numbers[at + 1])
  }

  @inline(__always) func set(_ index: Int, _ entry: Entry) {
    let distance = entry.last.sequence &- entry.first.sequence
    if width == Self.narrow, distance > Self.distanceMax { widen() }
    let at = index * width
    numbers[at + 1] = entry.count
    numbers[at + 2] = UInt32(truncatingIfNeeded: entry.first.bits)
    numbers[at + 3] = UInt32(truncatingIfNeeded: entry.first.bits >> 32)
    if width == Self.wide {
      numbers[at + 4] = UInt32(truncatingIfNeeded: entry.last.bits)
      numbers[at + 5] = UInt32(truncatingIfNeeded: entry.last.bits >> 32)
    } else {
      numbers[at + 4] = UInt32(truncatingIfNeeded: distance) | (entry.last.isExact ? 0 : Self.flag)
    }
  }

  /// Makes room for distances of any size.
  private func widen() {
    var entries: [Entry] = []
    entries.reserveCapacity(count)
    for index in 0..<count { entries.append(entry(index)) }
    var wider: [UInt32] = []
    wider.reserveCapacity(count * Self.wide)
    for index in 0..<count {
      wider.append(numbers[index * width])
      for _ in 1..<Self.wide { wider.append(0) }
    }
    numbers = wider
    width = Self.wide
    for index in 0..<count { set(index, entries[index]) }
  }

  /// The text of an entry, valid until the page changes.
  @inline(__always) func text(_ index: Int) -> ByteView {
    let start = Int(numbers[index * width])
    // Safe beyond the closure: an array's elements stay where they are until it is changed or released, and the view's contract ends
    // there too.
    return texts.withView { texts in
      let length = Int(texts[start])
      if length < Self.longLength { return texts.slice(start + 1, start + 1 + length) }
      var long = 0
      for offset in 0..<4 { long |= Int(texts[start + 1 + offset]) << (8 * offset) }
      return texts.slice(start + 5, start + 5 + long)
    }
  }

  private static func size(_ length: Int) -> Int { length < longLength ? length + 1 : length + 5 }

  // MARK: Finding

  @inline(__always) private static func tag(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash >> 16) & 0xFFFF }

  @inline(__always) private static func home(_ tag: UInt32, _ count: Int) -> Int {
    Int(truncatingIfNeeded: (UInt64(tag) &* UInt64(count)) >> 16)
  }

  @inline(__always) private static func next(_ slot: Int, _ count: Int) -> Int { slot + 1 == count ? 0 : slot + 1 }

  func find(_ subject: ByteView, _ hash: UInt64) -> Int? {
    let slots = slots
    guard !slots.isEmpty else { return nil }
    let tag = Self.tag(hash)
    var slot = Self.home(tag, slots.count)
    while slots[slot] != 0 {
      if slots[slot] >> 16 == tag {
        let index = Int(slots[slot] & 0xFFFF) - 1
        if text(index) == subject { return index }
      }
      slot = Self.next(slot, slots.count)
    }
    return nil
  }

  // MARK: Changes

  /// Adds a subject that is not there.
  func insert(_ subject: ByteView, _ hash: UInt64, _ entry: Entry) {
    precondition(subject.count <= Int(Int32.max) && count < Self.subjectsEnd, "a stream has too many subjects, or too long ones")
    // By a quarter, not by doubling: what is never used is memory, too.
    if numbers.count + width > numbers.capacity { numbers.reserveCapacity((count + max(count / 4, 2)) * width) }
    let size = Self.size(subject.count)
    if texts.count + size > texts.capacity { texts.reserveCapacity(texts.count + max(texts.count / 4, size + 16)) }
    let start = UInt32(texts.count)
    if subject.count < Self.longLength {
      texts.append(UInt8(subject.count))
    } else {
      texts.append(UInt8(Self.longLength))
      for shift in 0..<4 { texts.append(UInt8(truncatingIfNeeded: subject.count >> (8 * shift))) }
    }
    texts.append(subject)
    numbers.append(start)
    for _ in 1..<width { numbers.append(0) }
    count += 1
    set(count - 1, entry)
    // At most five of six are taken.
    if count * 6 > slots.count * 5 {
      let old = slots
      makeSlots(for: count * 6 / 5)
      for slot in old where slot != 0 { place(slot) }
    }
    place(Self.tag(hash) << 16 | UInt32(count))
  }

  /// Takes an entry out; the last one gets its number.
  func remove(_ index: Int, hash: UInt64, seed: UInt64) {
    unplace(slot(of: index, Self.tag(hash)))
    garbage += Self.size(text(index).count)
    let last = count - 1
    if index != last {
      let tag = Self.tag(ByteHash.hash(text(last), seed: seed))
      slots[slot(of: last, tag)] = tag << 16 | UInt32(index + 1)
      for word in 0..<width { numbers[index * width + word] = numbers[last * width + word] }
    }
    numbers.removeLast(width)
    count = last
    if garbage > Self.garbageBytesMin, garbage * 2 > texts.count { compact(seed: seed) }
  }

  /// Copies what is in use, so that what removed subjects took does not add up.
  private func compact(seed: UInt64) {
    let copy = SubjectPage(depth: depth, subjects: count, textBytes: textBytes)
    for index in 0..<count {
      let subject = text(index)
      copy.insert(subject, ByteHash.hash(subject, seed: seed), entry(index))
    }
    numbers = copy.numbers
    width = copy.width
    texts = copy.texts
    garbage = 0
    slots = copy.slots
  }

  /// Its subjects by the next bit of their hashes.
  func split(seed: UInt64) -> (low: SubjectPage, high: SubjectPage) {
    // A little more than half, because they seldom divide evenly.
    let low = SubjectPage(depth: depth + 1, subjects: count / 2 + count / 16, textBytes: textBytes / 2 + textBytes / 16)
    let high = SubjectPage(depth: depth + 1, subjects: count / 2 + count / 16, textBytes: textBytes / 2 + textBytes / 16)
    for index in 0..<count {
      let subject = text(index)
      let hash = ByteHash.hash(subject, seed: seed)
      if (hash << UInt64(depth)) >> 63 == 0 {
        low.insert(subject, hash, entry(index))
      } else {
        high.insert(subject, hash, entry(index))
      }
    }
    low.countedThrough = countedThrough
    high.countedThrough = countedThrough
    return (low, high)
  }

  // MARK: Slots

  private func makeSlots(for subjects: Int) { slots = [UInt32](repeating: 0, count: max(4, subjects * 3 / 2)) }

  private func place(_ value: UInt32) {
    let count = slots.count
    var slot = Self.home(value >> 16, count)
    while slots[slot] != 0 { slot = Self.next(slot, count) }
    slots[slot] = value
  }

  private func slot(of index: Int, _ tag: UInt32) -> Int {
    let slots = slots
    var slot = Self.home(tag, slots.count)
    while slots[slot] & 0xFFFF != UInt32(index + 1) {
      precondition(slots[slot] != 0, "a subject has no slot")
      slot = Self.next(slot, slots.count)
    }
    return slot
  }

  private func unplace(_ empty: Int) {
    var slots = slots
    self.slots = []  // so that it is not copied when it changes
    let count = slots.count
    var hole = empty
    // Close the gap: whatever follows in the same run may have been pushed past its home by the removed one.
    var slot = Self.next(hole, count)
    while slots[slot] != 0 {
      let home = Self.home(slots[slot] >> 16, count)
      let distance = slot >= home ? slot - home : slot - home + count
      let gap = slot >= hole ? slot - hole : slot - hole + count
      if distance >= gap {
        slots[hole] = slots[slot]
        hole = slot
      }
      slot = Self.next(slot, count)
    }
    slots[hole] = 0
    self.slots = slots
  }
}
