// How many messages a consumer has yet to deliver for the first time: exact whenever it is told, and counted over several turns of the loop
// where that takes reading. Nothing is delivered meanwhile, because every delivery says how many are left.
import Bytes
import Platform

extension Consumer {
  /// Messages that are read in one turn to be counted: about a millisecond's worth.
  static let countMax = 4096
  /// Where more new messages than these have to be read one by one, counting begins anew: the subject index may know all.
  private static let countByReadingMax: UInt64 = 65_536
  /// Answers that wait for one count.
  private static let awaitingMax = 1024

  /// Brings `undelivered` up to date for all that is in the stream, reading `left` messages at most, which is counted down.
  func count(left: inout Int) -> Progress {
    if isCounted, stream.lastSequence <= countedThrough { return .complete }
    let share = engine.jetStream.readShare(left)
    var rest = share
    let progress = count(&rest)
    engine.jetStream.hasRead(share - rest)
    left -= share - rest
    return progress
  }

  private func count(_ left: inout Int) -> Progress {
    if isCounted { return countNew(&left) }
    let selecting = goOnSelecting(left: &left)
    guard selecting == .complete else { return selecting }
    var counting = counting
    if counting == nil {
      let from = selected.isEmpty ? state.next : max(state.next, resumeAfter + 1)
      counting = PendingCount(stream.log, matching: filters, from: from)
    }
    guard var counting else { return .complete }
    let progress = counting.goOn(stream.log, left: &left)
    self.counting = counting
    guard progress == .complete else { return progress }
    undelivered = max(counting.count, 0) + (selected.count - selectedNext)
    countedThrough = counting.through
    isCounted = true
    self.counting = nil
    answerCounted()
    // Whoever got an answer may have made the stream take more.
    return isCounted ? countNew(&left) : .unfinished
  }

  /// Counts what arrived since.
  private func countNew(_ left: inout Int) -> Progress {
    let last = stream.lastSequence
    let from = max(countedThrough + 1, state.next)
    guard from <= last else {
      countedThrough = max(countedThrough, last)
      return .complete
    }
    if filters.isEmpty {
      undelivered += stream.log.count(from: from)
      countedThrough = last
      return .complete
    }
    guard last - from < Consumer.countByReadingMax else {
      isCounted = false
      return .unfinished
    }
    var reached = from - 1
    var found = 0
    var rest = left
    var isThrough = true
    let isRead = stream.scan(from: from) { message in
      guard rest > 0 else {
        isThrough = false
        return false
      }
      rest -= 1
      reached = message.sequence
      if Stream.matches(message.subject, filters) { found += 1 }
      return true
    }
    left = rest
    undelivered += found
    countedThrough = isRead && isThrough ? last : reached
    return countedThrough >= last ? .complete : isRead ? .unfinished : .failed
  }

  /// Calls `action` when the count is exact, before anything is delivered: at once when that is little work. Whoever waits for a disk that
  /// cannot be read, or is one too many, is told what is known.
  func whenCounted(_ action: @escaping () -> Void) {
    var left = Consumer.countMax
    guard !isEnded, count(left: &left) == .unfinished, awaitingCount.count < Consumer.awaitingMax else { return action() }
    awaitingCount.append(action)
    countSoon()
  }

  /// Goes on counting when others had their turn.
  func countSoon() {
    guard !isEnded, !countTimer.isScheduled else { return }
    host.after(0, countTimer) { [unowned(unsafe) self] in
      var left = Consumer.countMax
      switch count(left: &left) {
      case .complete: deliver()
      case .unfinished: countSoon()
      case .failed: answerCounted()
      }
    }
  }

  func answerCounted() {
    guard !awaitingCount.isEmpty else { return }
    let actions = awaitingCount
    awaitingCount = []
    for action in actions { action() }
  }

  // MARK: What leaves the stream

  /// One message is gone.
  func uncount(_ sequence: UInt64, _ subject: ByteView) {
    counting?.removed(sequence, subject)
    guard sequence >= state.next else { return }
    if !selected.isEmpty, sequence <= resumeAfter {
      let index = firstSelected(from: sequence)
      guard index < selected.count, selected[index] == sequence else { return }
      selected.remove(at: index)
      if index < selectedNext { selectedNext -= 1 } else if isCounted { undelivered = max(0, undelivered - 1) }
    } else if isCounted, sequence <= countedThrough, Stream.matches(subject, filters) {
      undelivered = max(0, undelivered - 1)
    }
  }

  /// Where in the selection the first one at or after a sequence stands.
  private func firstSelected(from sequence: UInt64) -> Int {
    var low = 0
    var high = selected.count
    while low < high {
      let middle = (low + high) / 2
      if selected[middle] < sequence { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
