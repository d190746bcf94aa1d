// What one connection keeps of its permissions: which deliveries to look at, and the answers that it may give.
import Bytes
import Identity
import Platform

/// The permissions of one restricted client.
final class ClientPermissions {
  private struct Answer {
    var count = 0
    let since_ns: Int64
  }

  /// Requests that wait for an answer are looked through for old ones when there are so many more than last time.
  private static let pruneStep = 4096
  /// When there is no room, they are looked through so often at most.
  private static let pruneInterval_ns = second_ns
  /// More is never kept: bounds what others can make the server keep for one connection.
  private static let answersMax_bytes = 4 << 20
  /// What one takes besides its subject.
  private static let answerOverhead_bytes = 96

  let set: PermissionSet
  /// Whether a subscription of this connection is wider than what it may receive.
  private(set) var filtersDeliveries = false
  private var answers = ByteMap<Answer>()
  private var answers_bytes = 0
  private var answersPruned = 0
  private var pruned_ns = Int64.min / 2

  init(_ set: PermissionSet) { self.set = set }

  /// A subscription was accepted.
  func subscribed(_ pattern: ByteView) {
    if !filtersDeliveries, set.filtersDeliveries(to: pattern) { filtersDeliveries = true }
  }

  /// Whether `subject` may be published only because a request asked for it; takes one of the answers that it allows.
  func takeAnswer(_ subject: ByteView, now_ns: Int64) -> Bool {
    guard let limits = set.responses, !answers.isEmpty else { return false }
    var allowed = false
    var isSpent = false
    answers.update(subject) { answer in
      answer.count += 1
      allowed =
        (limits.max <= 0 || answer.count <= limits.max) && (limits.expires_ns <= 0 || now_ns - answer.since_ns <= limits.expires_ns)
      isSpent = !allowed
    }
    if isSpent { forget(subject) }
    return allowed
  }

  /// A message with a reply subject is delivered: it may be answered.
  func delivered(reply: ByteView, now_ns: Int64) {
    guard set.responses != nil, !set.allowsPublish(reply) else { return }
    let size = reply.count + Self.answerOverhead_bytes
    let isFull = answers_bytes + size > Self.answersMax_bytes
    if answers.count >= answersPruned + Self.pruneStep || (isFull && now_ns - pruned_ns >= Self.pruneInterval_ns) { prune(now_ns) }
    if answers[reply] == nil {
      guard answers_bytes + size <= Self.answersMax_bytes else { return }
      answers_bytes += size
    }
    answers.set(ByteString(reply), Answer(since_ns: now_ns))
  }

  private func forget(_ subject: ByteView) {
    if answers.remove(subject) != nil { answers_bytes -= subject.count + Self.answerOverhead_bytes }
  }

  private func prune(_ now_ns: Int64) {
    guard let limits = set.responses else { return }
    var spent: [ByteString] = []
    answers.forEach { subject, answer in
      if (limits.max > 0 && answer.count >= limits.max) || (limits.expires_ns > 0 && now_ns - answer.since_ns > limits.expires_ns) {
        spent.append(subject)
      }
    }
    for subject in spent { subject.withView { forget($0) } }
    pruned_ns = now_ns
    answersPruned = answers.count
  }
}
