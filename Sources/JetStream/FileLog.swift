// File storage: the stream's part of the process-wide LogStore in the shape that streams share.
import Bytes
import Interest
import LogStore

final class FileLog: MessageLog {
  let log: StreamLog

  init(_ log: StreamLog) { self.log = log }

  var firstSequence: UInt64 { log.firstSequence }
  var lastSequence: UInt64 { log.lastSequence }
  var count: Int { log.count }
  var bytes: Int64 { log.bytes }
  var lastTimestamp_ns: Int64 { log.lastTimestamp_ns }
  var deletedCount: UInt64 { log.deletedCount }
  var isDurable: Bool {
    get { !log.isPrompt }
    set { log.isPrompt = !newValue }
  }
  var subjectCount: Int { log.subjects.subjectCount }
  var appendedSubjectCount: Int { log.appendedSubjectCount }

  func subject(_ subject: ByteView) -> SubjectIndex.State? { log.subjects[subject] }
  func forEachSubject(matching filter: ByteView, _ body: (ByteView, SubjectIndex.State) -> Void) {
    log.subjects.forEach(matching: filter, body)
  }
  func subjectPage(at start: UInt64, _ body: (ByteView, Int) -> Void) -> UInt64? {
    log.subjects.writePage(at: start, head: { _, _, _ in }) { subject, count, _, _ in body(subject, Int(count)) }
  }
  var keepsHistory: Bool {
    get { log.keepsHistory }
    set { log.keepsHistory = newValue }
  }
  func next(_ subject: ByteView, atOrAfter sequence: UInt64, left: inout Int) -> UInt64? {
    (try? log.next(subject, atOrAfter: sequence, left: &left)) ?? nil
  }
  func settle(_ subject: ByteView, first: UInt64?, last: UInt64?) { log.settle(subject, first: first, last: last) }

  func bound(_ subject: ByteView, lastAtMost sequence: UInt64) { log.subjects.bound(subject, lastAtMost: sequence) }

  func append(
    sequence: UInt64, timestamp_ns: Int64, subject: ByteView, headers: ByteView, payload: ByteView
  ) throws(StoreError) -> UInt64 {
    let position = try log.append(
      sequence: sequence, timestamp_ns: timestamp_ns, subject: subject, headers: headers, payload: payload)
    return isDurable ? position : 0
  }

  func remove(_ sequence: UInt64) -> Bool { log.remove(sequence) }
  func erase(_ sequence: UInt64, done: @escaping (Bool) -> Void) -> Bool { log.erase(sequence, done: done) }
  func removeThrough(_ sequence: UInt64) { log.removeThrough(sequence) }
  func begin(at sequence: UInt64) { if sequence > 1 { log.reset(next: sequence) } }
  func skip(before sequence: UInt64) {}  // the next append says it
  func contains(_ sequence: UInt64) -> Bool { log.contains(sequence) }
  func nextSequence(atOrAfter sequence: UInt64) -> UInt64? { log.nextSequence(atOrAfter: sequence) }
  func previousSequence(atOrBefore sequence: UInt64) -> UInt64? { log.previousSequence(atOrBefore: sequence) }
  func sequence(behind before: Int) -> UInt64? { log.sequence(behind: before) }
  func count(from sequence: UInt64) -> Int { log.count(from: sequence) }

  func read(_ sequence: UInt64, _ body: (LogMessage) -> Void) -> ReadOutcome {
    do throws(StoreError) {
      return try log.read(sequence) { message in body(FileLog.view(message)) } != nil ? .found : .none
    } catch {
      if case .damaged(let sequence) = error { return .damaged(sequence) }
      return .failed
    }
  }

  func scan(from sequence: UInt64, _ body: (LogMessage) -> Bool) -> Bool { scan(sequence, withHeaders: false, body) }
  func scanHeaders(from sequence: UInt64, _ body: (LogMessage) -> Bool) -> Bool { scan(sequence, withHeaders: true, body) }

  private func scan(_ sequence: UInt64, withHeaders: Bool, _ body: (LogMessage) -> Bool) -> Bool {
    do throws(StoreError) {
      try log.scan(from: sequence, withHeaders: withHeaders) { message in body(FileLog.view(message)) }
      return true
    } catch { return false }
  }

  func sequence(atOrAfter time_ns: Int64) throws(StoreError) -> UInt64? { try log.sequence(atOrAfter: time_ns) }
  func deletedSequences(limit: Int) -> [UInt64] { log.deletedSequences(limit: limit) }
  var oldestPartLastSequence: UInt64? { log.oldestSegmentLastSequence }

  @inline(__always) private static func view(_ message: StoredMessage) -> LogMessage {
    LogMessage(
      sequence: message.sequence, timestamp_ns: message.timestamp_ns, subject: message.subject, headers: message.headers,
      payload: message.payload)
  }
}
