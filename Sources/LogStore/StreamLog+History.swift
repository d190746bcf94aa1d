// Where the messages of each subject are, for limits per subject: without it the next message of a subject is found by reading all those
// between. Kept from the first message on; a stream that had messages before reads them once, a piece per loop turn, when that pays.
import Bytes
import Interest
import Platform

extension StreamLog {
  /// Messages that are read in one loop turn.
  private static let historyMessagesPerTurn = 4096
  /// Whoever read so many to find one message begins a history.
  private static let searchWorthHistory = 64
  private static let historyRetry_ns = 60 * second_ns

  /// Whether it is remembered where the messages of each subject are: about five bytes of memory for each message.
  public var keepsHistory: Bool {
    get { history != nil }
    set {
      guard newValue != keepsHistory else { return }
      history = newValue ? SubjectHistory() : nil
      isHistoryComplete = count == 0
    }
  }

  /// The first message of a literal subject at or after `sequence`. What is not in the history is read, `left` messages at most, which is
  /// counted down: with nil and nothing left there may be one further on.
  public func next(_ subject: ByteView, atOrAfter sequence: UInt64, left: inout Int) throws(StoreError) -> UInt64? {
    var start = sequence
    if let known = history {
      var failure: StoreError?
      let found = known.next(subject, atOrAfter: sequence) { candidate in
        guard contains(candidate) else { return false }
        do throws(StoreError) { return try read(candidate) { $0.subject == subject } ?? false } catch {
          // A damaged message is passed over, as in a scan.
          if case .damaged = error { return false }
          failure = error
          return true
        }
      }
      if let failure { throw failure }
      if let found { return found }
      start = max(start, known.last + 1)
      if isHistoryComplete { return nil }
    }
    var found: UInt64?
    var rest = left
    try scan(from: start) { message in
      guard rest > 0 else { return false }
      rest -= 1
      if message.subject == subject { found = message.sequence }
      return found == nil
    }
    if left - rest > Self.searchWorthHistory, history != nil { store.readAgainSoon(self, after: 0) }
    left = rest
    return found
  }

  /// Reads a piece for the history. Returns whether that was the last.
  func continueHistory() -> Bool {
    guard var known = history, !isHistoryComplete, !isDropped else { return true }
    history = nil  // so that it is not copied when it changes
    defer { history = known }
    var left = Self.historyMessagesPerTurn
    isHistoryComplete = true
    do throws(StoreError) {
      try scan(from: known.last + 1) { message in
        guard left > 0 else {
          isHistoryComplete = false
          return false
        }
        left -= 1
        known.add(message.subject, message.sequence)
        return true
      }
    } catch {
      isHistoryComplete = false
      store.readAgainSoon(self, after: Self.historyRetry_ns)
      return false
    }
    return isHistoryComplete
  }
}
