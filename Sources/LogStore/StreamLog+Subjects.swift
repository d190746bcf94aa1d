// A stream's subjects: counting messages that leave, and counting anew when one left that could not be read. What is known of a
// subject is in Interest's SubjectIndex.
import Bytes
import Interest
import Platform

/// The subjects as counted anew, up to a sequence.
struct Recount {
  var subjects = SubjectIndex()
  var through: UInt64
}

extension StreamLog {
  /// Messages that are counted in one loop turn: about 2 MB of the log.
  private static let recountMessagesPerTurn = 4096
  /// After a failed read the count goes on after this long.
  private static let recountRetry_ns = 60 * second_ns

  /// Somebody searched for the first or last message of `subject`: this is it.
  public func settle(_ subject: ByteView, first: UInt64? = nil, last: UInt64? = nil) { subjects.settle(subject, first: first, last: last) }

  /// A message has left.
  func uncount(_ subject: ByteView, _ sequence: UInt64) {
    subjects.remove(subject, sequence)
    if recount != nil, sequence <= recount.unsafelyUnwrapped.through { recount?.subjects.remove(subject, sequence) }
  }

  func forgetSubjects() {
    subjects.removeAll()
    recount = nil
  }

  /// A message has left whose subject could not be read, so one subject has too many: they are counted anew, a piece per loop turn.
  func subjectsAreUncertain() {
    recount = Recount(through: 0)
    if store.isOpen { store.recountSoon(self, after: 0) }
  }

  /// Counts a piece. Returns whether the count is at its end.
  func continueRecount() -> Bool {
    guard var piece = recount, !isDropped else { return true }
    recount = nil  // so that the index is not copied when it changes
    var left = StreamLog.recountMessagesPerTurn
    var isComplete = true
    do throws(StoreError) {
      try scan(from: piece.through + 1) { message in
        guard left > 0 else {
          isComplete = false
          return false
        }
        left -= 1
        piece.subjects.add(message.subject, message.sequence)
        piece.through = message.sequence
        return true
      }
    } catch {
      recount = piece
      store.recountSoon(self, after: StreamLog.recountRetry_ns)
      return false
    }
    if isComplete { subjects = piece.subjects } else { recount = piece }
    return isComplete
  }
}

extension LogStore {
  func recountSoon(_ stream: StreamLog, after delay_ns: Int64) {
    if !recounting.contains(where: { $0 === stream }) { recounting.append(stream) }
    if !recountTimer.isScheduled { host.after(delay_ns, recountTimer) { [self] in recountPiece() } }
  }

  private func recountPiece() {
    guard isOpen, !isClosing, let stream = recounting.first else { return }
    if stream.continueRecount() { recounting.removeFirst() }
    if let next = recounting.first { recountSoon(next, after: 0) }
  }

  /// Finishes all counts at once, when the store is opened.
  func finishRecounts() {
    for stream in streams.values {
      // When the disk cannot be read it goes on later.
      while stream.recount != nil, !recounting.contains(where: { $0 === stream }), !stream.continueRecount() {}
    }
  }
}
