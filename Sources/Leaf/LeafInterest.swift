// What the other end of a leaf link has been told of our interest: counts per subject, weights per queue group. Pure.
import Bytes

/// Interest as advertised on one leaf link: plain subjects once, queue groups with their number of members
/// (leafnode-protocol.md section 11.1).
struct LeafInterest {
  /// What to say after a change.
  enum Change: Equatable {
    case none
    /// `LS+`; weight 0 for a plain subject.
    case add(weight: Int)
    /// `LS-`
    case remove
  }

  private var counts = ByteMap<Int>()

  /// Number of entries the other end knows.
  var count: Int { counts.count }

  /// "subject" or "subject queue", as they stand on the wire.
  static func key(_ subject: ByteString, _ queue: ByteString?) -> ByteString {
    guard let queue else { return subject }
    var key = subject.bytes
    key.append(ASCII.space)
    key.append(queue)
    return ByteString(key)
  }

  /// Calls `body` with every entry and its count. `body` must not change the interest.
  func forEach(_ body: (_ subject: ByteString, _ queue: ByteString?, _ count: Int) -> Void) {
    counts.forEach { key, count in
      // Neither subjects nor queue names have blanks.
      guard let blank = key.bytes.firstIndex(of: ASCII.space) else { return body(key, nil, count) }
      body(ByteString(Array(key.bytes[..<blank])), ByteString(Array(key.bytes[(blank + 1)...])), count)
    }
  }

  mutating func add(_ subject: ByteString, _ queue: ByteString?, weight: Int = 1) -> Change {
    // A queue subscription of a leaf that stands for nobody.
    guard weight > 0 else { return .none }
    let key = Self.key(subject, queue)
    let before = counts[key] ?? 0
    let count = before + min(weight, .max - before)
    counts.set(key, count)
    if queue != nil { return .add(weight: count) }
    return before == 0 ? .add(weight: 0) : .none
  }

  mutating func remove(_ subject: ByteString, _ queue: ByteString?, weight: Int = 1) -> Change {
    let key = Self.key(subject, queue)
    guard weight > 0, let count = counts[key] else { return .none }
    guard count > weight else {
      counts.remove(key)
      return .remove
    }
    counts.set(key, count - weight)
    return queue == nil ? .none : .add(weight: count - weight)
  }
}
