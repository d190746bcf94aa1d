// A stream's subjects: counting messages that leave, and counting anew when one left that could not be read. What is known of a
// subject is in Interest's SubjectIndex.
import Bytes
import Interest
import Platform

/// The subjects as counted anew, up to a sequence.
struct Recount {
  var subjects: SubjectIndex
  var through: UInt64 = 0
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
    subjects.remove(subject, sequence, at: store.replayPosition)
    history?.remove(subject) { contains($0) }
    if recount != nil, sequence <= recount.unsafelyUnwrapped.through { recount?.subjects.remove(subject, sequence) }
  }

  func forgetSubjects() {
    subjects.removeAll()
    recount = nil
    history?.removeAll()
    isHistoryComplete = true
  }

  /// A message has left whose subject could not be read, so one subject has too many: they are counted anew, a piece per loop turn.
  func subjectsAreUncertain() {
    beginRecount()
    store.checkpoint?.isSpoiled = true
    if store.isOpen { store.readAgainSoon(self, after: 0) }
  }

  func beginRecount() {
    recount = Recount(subjects: SubjectIndex(seed: subjects.seed, pageSubjectsMax: store.options.subjectsPerPage))
  }

  /// Does a piece of what its messages are read again for. Returns whether that was the last.
  func continueReading() -> Bool { recount == nil ? continueHistory() : continueRecount() && isHistoryComplete }

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
      store.readAgainSoon(self, after: StreamLog.recountRetry_ns)
      return false
    }
    if isComplete { subjects = piece.subjects } else { recount = piece }
    return isComplete
  }
}

extension LogStore {
  /// Reads the messages of a stream again, to count its subjects anew or for their history.
  func readAgainSoon(_ stream: StreamLog, after delay_ns: Int64) {
    if !rereading.contains(where: { $0 === stream }) { rereading.append(stream) }
    if !rereadTimer.isScheduled { host.after(delay_ns, rereadTimer) { [self] in readAgain() } }
  }

  private func readAgain() {
    guard isOpen, !isClosing, let stream = rereading.first else { return }
    if stream.continueReading() { rereading.removeFirst() }
    if let next = rereading.first { readAgainSoon(next, after: 0) }
  }

  /// Finishes all counts at once, when the store is opened.
  func finishRecounts() {
    for stream in streams.values {
      // When the disk cannot be read it goes on later.
      while stream.recount != nil, !rereading.contains(where: { $0 === stream }), !stream.continueRecount() {}
    }
  }
}
