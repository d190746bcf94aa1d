// A user's permissions, ready to be asked. What one connection keeps beside them is in ClientPermissions.
import Bytes
import Identity
import Interest

/// Permissions of one user, shared by all connections of that user.
public final class PermissionSet {
  /// A list entry: a pattern, and the queue group that it is for.
  private struct Entry {
    let pattern: ByteString
    let queue: ByteString?

    /// "subject" or "subject queue".
    init(_ text: ByteString) {
      guard let blank = text.bytes.firstIndex(of: ASCII.space) else {
        pattern = text
        queue = nil
        return
      }
      pattern = ByteString(Array(text.bytes[..<blank]))
      queue = text.withView { ByteString($0.dropFirst(blank).trimmed) }
    }

    /// Whether the entry is for this queue group: by its name, or as a pattern.
    func isFor(queue name: ByteView) -> Bool {
      guard let queue else { return false }
      return queue == name || Subject.matches(name, queue)
    }
  }

  /// Answers that are kept: publishers repeat themselves.
  private static let answersMax = 512
  /// Longer subjects are looked at each time: what is kept is bounded in bytes too.
  private static let keptSubjectMax = 256

  /// As enforced.
  public let permissions: Permissions
  private let subscribeAllow: [Entry]?
  private let subscribeDeny: [Entry]
  private var publishAnswers = ByteMap<Bool>()

  public init(_ configured: Permissions) {
    permissions = configured.completed
    subscribeAllow = permissions.subscribe.allow.map { $0.map { Entry($0) } }
    subscribeDeny = permissions.subscribe.deny.map { Entry($0) }
  }

  var restrictsPublishing: Bool { !permissions.publish.isEmpty }
  var responses: Permissions.Responses? { permissions.responses }

  /// Whether the lists let `subject` be published; what is allowed as an answer to a request is not among them.
  func allowsPublish(_ subject: ByteView) -> Bool {
    if let known = publishAnswers[subject] { return known }
    let allowed =
      (permissions.publish.allow?.contains { Subject.matches(subject, $0) } ?? true)
      && !deniesPublish(subject)
    guard subject.count <= Self.keptSubjectMax else { return allowed }
    if publishAnswers.count >= Self.answersMax { publishAnswers.removeAll() }
    publishAnswers.set(ByteString(subject), allowed)
    return allowed
  }

  /// Whether a deny entry is about `subject`, whatever is allowed.
  func deniesPublish(_ subject: ByteView) -> Bool { permissions.publish.deny.contains { Subject.matches(subject, $0) } }

  /// Whether `pattern` may be subscribed to, in the queue group `queue` unless it is empty.
  func allowsSubscribe(_ pattern: ByteView, queue: ByteView) -> Bool {
    if let subscribeAllow {
      let covering = subscribeAllow.filter { entry in entry.pattern.withView { Subject.isSubset(pattern, of: $0) } }
      guard Self.allows(covering, queue) else { return false }
    }
    let denying = subscribeDeny.filter { entry in entry.pattern.withView { Subject.isSubset(pattern, of: $0) } }
    if denying.contains(where: { $0.queue == nil }) { return false }
    return queue.isEmpty || !denying.contains { $0.isFor(queue: queue) }
  }

  /// Among allow entries that cover a pattern, those of queue groups decide over queue subscriptions where there are any.
  private static func allows(_ entries: [Entry], _ queue: ByteView) -> Bool {
    let hasPlain = entries.contains { $0.queue == nil }
    guard !queue.isEmpty, entries.contains(where: { $0.queue != nil }) else { return hasPlain }
    return entries.contains { $0.isFor(queue: queue) }
  }

  /// Whether messages of a subscription may have to be held back because what it may receive is less than what it asked for.
  func filtersDeliveries(to pattern: ByteView) -> Bool {
    subscribeDeny.contains { entry in entry.pattern.withView { Subject.overlap(pattern, $0) } }
  }

  /// Whether a message on `subject` must be held back from a subscription in `queue`.
  func deniesDelivery(_ subject: ByteView, queue: ByteString?) -> Bool {
    subscribeDeny.contains { entry in
      guard Subject.matches(subject, entry.pattern) else { return false }
      if entry.queue == nil { return true }
      return queue.map { $0.withView { entry.isFor(queue: $0) } } ?? false
    }
  }
}
