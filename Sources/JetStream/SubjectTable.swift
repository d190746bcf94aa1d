// What a stream knows of each of its subjects: how many messages, the first and the last. The log keeps it; this is the stream's view.
import Bytes
import Interest

/// One subject of a stream.
typealias SubjectState = SubjectIndex.State

/// Subjects of the messages in a stream.
struct SubjectTable {
  let log: any MessageLog

  var count: Int { log.subjectCount }

  subscript(subject: ByteView) -> SubjectState? { log.subject(subject) }

  /// Somebody searched: these are the real first and last message of `subject`.
  func settle(_ subject: ByteView, first: UInt64? = nil, last: UInt64? = nil) { log.settle(subject, first: first, last: last) }

  /// Calls `body` with each subject that `filter` matches.
  func forEach(matching filter: ByteView, _ body: (ByteView, SubjectState) -> Void) { log.forEachSubject(matching: filter, body) }
}
