// A hash table keyed by byte strings that is looked up by a view, without making a key first.

/// Open addressing with linear probing; keys are stored as ByteStrings beside their hash. Iteration order is not stable.
public struct ByteMap<Value> {
  @usableFromInline struct Slot {
    @usableFromInline var hash: UInt64
    @usableFromInline var key: ByteString
    @usableFromInline var value: Value
  }

  @usableFromInline var slots: [Slot?] = []
  public private(set) var count = 0
  private let seed: UInt64

  /// An empty map; `seed` keys the hash (tests pass a fixed one to be repeatable).
  public init(seed: UInt64 = ByteHash.seed) { self.seed = seed }

  public var isEmpty: Bool { count == 0 }

  @inline(__always) private func home(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (slots.count - 1) }

  private func find(_ key: ByteView, _ hash: UInt64) -> Int? {
    guard !slots.isEmpty else { return nil }
    var index = home(hash)
    while true {
      guard let slot = slots[index] else { return nil }
      if slot.hash == hash, slot.key == key { return index }
      index = (index + 1) & (slots.count - 1)
    }
  }

  public subscript(key: ByteView) -> Value? {
    guard let index = find(key, ByteHash.hash(key, seed: seed)) else { return nil }
    return slots[index].unsafelyUnwrapped.value
  }

  public subscript(key: ByteString) -> Value? {
    get { key.withView { self[$0] } }
    set {
      if let newValue { set(key, newValue) } else { remove(key) }
    }
  }

  public mutating func set(_ key: ByteString, _ value: Value) {
    let hash = key.withView { ByteHash.hash($0, seed: seed) }
    if let index = key.withView({ find($0, hash) }) {
      slots[index] = Slot(hash: hash, key: key, value: value)
      return
    }
    if (count + 1) * 4 > slots.count * 3 { grow() }
    insert(Slot(hash: hash, key: key, value: value))
    count += 1
  }

  /// Changes the value of `key` in place; `body` is not called when there is none. Returns whether there was one.
  @discardableResult
  public mutating func update(_ key: ByteView, _ body: (inout Value) -> Void) -> Bool {
    guard let index = find(key, ByteHash.hash(key, seed: seed)) else { return false }
    body(&slots[index]!.value)
    return true
  }

  @discardableResult
  public mutating func remove(_ key: ByteString) -> Value? { key.withView { remove($0) } }

  @discardableResult
  public mutating func remove(_ key: ByteView) -> Value? {
    guard let found = find(key, ByteHash.hash(key, seed: seed)) else { return nil }
    let value = slots[found].unsafelyUnwrapped.value
    slots[found] = nil
    count -= 1
    // Close the gap: whatever follows in the same run may have been pushed past its home by the removed slot.
    var hole = found
    var index = (found + 1) & (slots.count - 1)
    while let slot = slots[index] {
      let distance = (index - home(slot.hash)) & (slots.count - 1)
      if distance >= (index - hole) & (slots.count - 1) {
        slots[hole] = slot
        slots[index] = nil
        hole = index
      }
      index = (index + 1) & (slots.count - 1)
    }
    return value
  }

  public mutating func removeAll() {
    slots = []
    count = 0
  }

  /// The next key and value from place `at` on, which moves behind it; nil at the end. For going through an unchanged map in pieces.
  public func next(from at: inout Int) -> (key: ByteString, value: Value)? {
    while at < slots.count {
      at += 1
      if let slot = slots[at - 1] { return (slot.key, slot.value) }
    }
    return nil
  }

  public func forEach<Failure: Error>(_ body: (ByteString, Value) throws(Failure) -> Void) throws(Failure) {
    for slot in slots {
      if let slot { try body(slot.key, slot.value) }
    }
  }

  /// The keys, in no particular order.
  public var keys: [ByteString] {
    var all: [ByteString] = []
    all.reserveCapacity(count)
    forEach { key, _ in all.append(key) }
    return all
  }

  private mutating func insert(_ slot: Slot) {
    var index = home(slot.hash)
    while slots[index] != nil { index = (index + 1) & (slots.count - 1) }
    slots[index] = slot
  }

  private mutating func grow() {
    let old = slots
    slots = [Slot?](repeating: nil, count: max(8, old.count * 2))
    for slot in old {
      if let slot { insert(slot) }
    }
  }
}
