// Who is interested in one literal subject: the result of a match.
// Not here: how it is found (InterestTree) and kept (MatchCache).
import Bytes

/// The subscribers of one literal subject. Its contents never change once the tree has returned it; a change of the tree that could
/// change the answer makes it not current.
///
/// A holder may use it again for the same subject as long as `isCurrent` is true, and lets go of it otherwise: a match that is no
/// longer current keeps its subscribers alive until then. A match that the tree did not keep is not current from the beginning.
/// The subscribers may have been removed since (even while a caller walks the arrays), so a subscriber has to know that itself.
public final class InterestMatch<Subscriber: AnyObject> {
  public struct Member {
    public let subscriber: Subscriber
    /// How many members stand behind this one (a leaf link announces its queue groups with a count); at least 1.
    public let weight: Int
  }

  /// One queue group: exactly one of its members gets the message.
  public struct QueueMatch {
    public let name: ByteString
    public internal(set) var members: [Member]
    /// The sum of the members' weights.
    public internal(set) var weight: Int
  }

  /// The literal that was looked up.
  public internal(set) var subject: ByteString
  /// Each of these gets the message.
  public internal(set) var plain: [Subscriber] = []
  public internal(set) var queues: [QueueMatch] = []
  /// Whether this is still the tree's answer for `subject`.
  public internal(set) var isCurrent = false

  let hash: UInt64
  /// Looked up since the cache last thought of replacing it.
  var wasUsed = false

  init(subject: ByteString, hash: UInt64) {
    self.subject = subject
    self.hash = hash
  }

  @inline(__always) public var isEmpty: Bool { plain.isEmpty && queues.isEmpty }

  /// Whether this is still the answer for `subject`: the check of the hot path.
  @inline(__always) public func isCurrent(for subject: ByteView) -> Bool { isCurrent && self.subject == subject }

  /// The deliveries that a message would cause: one for each plain subscriber and each queue group.
  public var fanout: Int { plain.count + queues.count }

  func add(_ subscriber: Subscriber, queue: ByteString?, weight: Int, index: inout ByteMap<Int>?) {
    guard let queue else {
      plain.append(subscriber)
      return
    }
    let member = Member(subscriber: subscriber, weight: weight)
    if let found = position(of: queue, index: &index) {
      queues[found].members.append(member)
      queues[found].weight += min(weight, .max - queues[found].weight)
    } else {
      queues.append(QueueMatch(name: queue, members: [member], weight: weight))
      index?.set(queue, queues.count - 1)
    }
  }

  /// Groups looked through one by one before a table is worth making.
  private static var scannedQueuesMax: Int { 16 }

  private func position(of queue: ByteString, index: inout ByteMap<Int>?) -> Int? {
    if let index { return index[queue] }
    for (found, group) in queues.enumerated() where group.name == queue { return found }
    if queues.count >= Self.scannedQueuesMax {
      var table = ByteMap<Int>()
      for (found, group) in queues.enumerated() { table.set(group.name, found) }
      index = table
    }
    return nil
  }
}
