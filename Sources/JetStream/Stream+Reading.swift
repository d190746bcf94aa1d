// Reading a stream: by sequence, subject and time, and counting what a filter has yet to see.
import Bytes
import Interest
import LogStore

extension Stream {
  /// Calls `body` with the message of a sequence.
  @discardableResult
  public func read(_ sequence: UInt64, _ body: (LogMessage) -> Void) -> ReadOutcome { log.read(sequence, body) }

  public func contains(_ sequence: UInt64) -> Bool { log.contains(sequence) }

  /// The first message at or after `sequence`.
  public func nextSequence(atOrAfter sequence: UInt64) -> UInt64? { log.nextSequence(atOrAfter: sequence) }

  /// The first message that came at or after a time.
  public func sequence(atOrAfter time_ns: Int64) throws(StoreError) -> UInt64? { try log.sequence(atOrAfter: time_ns) }

  /// Calls `body` with the messages from `sequence` on until it returns false.
  @discardableResult
  public func scan(from sequence: UInt64, _ body: (LogMessage) -> Bool) -> Bool { log.scan(from: sequence, body) }

  /// Calls `body` with the first message at or after `sequence` that matches one of `filters` (none: all) and is at or before
  /// `through`, reading `left` messages at most and counting it down. With the outcome `none`, nothing up to `reached` matches: below
  /// `through` when the search has to go on. Without filters a damaged message is reported, with filters it is passed over. `filters` must
  /// not cover all of the stream when that can be known (`isCovered`).
  func next(
    from sequence: UInt64, through: UInt64, matching filters: [ByteString], left: inout Int, reached: inout UInt64,
    _ body: (LogMessage) -> Void
  ) -> ReadOutcome {
    reached = through
    guard sequence <= through else { return .none }
    if filters.isEmpty {
      guard let next = log.nextSequence(atOrAfter: sequence), next <= through else { return .none }
      return log.read(next, body)
    }
    guard let start = searchStart(sequence, filters), start <= through else { return .none }
    var found = false
    var last = start - 1
    let isComplete = log.scan(from: start) { message in
      guard message.sequence <= through, left > 0 else { return false }
      left -= 1
      last = message.sequence
      guard Stream.matches(message.subject, filters) else { return true }
      found = true
      body(message)
      return false
    }
    if found { return .found }
    guard isComplete else { return .failed }
    if left == 0 { reached = min(last, through) }
    return .none
  }

  /// Where the first match at or after `sequence` can be, by what is known of literal filters' subjects; nil when there is none.
  private func searchStart(_ sequence: UInt64, _ filters: [ByteString]) -> UInt64? {
    var start: UInt64?
    for filter in filters {
      guard Subject.isLiteral(filter) else { return sequence }
      guard let state = filter.withView({ subjects[$0] }), state.last >= sequence || state.lastIsOld else { continue }
      if state.count == 1, !state.firstIsOld, state.first < sequence { continue }
      start = min(start ?? .max, max(state.first, sequence))
    }
    return start
  }

  static func matches(_ subject: ByteView, _ filters: [ByteString]) -> Bool {
    for filter in filters where Subject.matches(subject, filter) { return true }
    return filters.isEmpty
  }

  /// The first message of a literal subject, looking at `left` messages at most when it is not known where they are.
  func firstSequence(of subject: ByteView, left: inout Int) -> UInt64? {
    guard let state = subjects[subject] else { return nil }
    if !state.firstIsOld { return state.first }
    guard let first = log.next(subject, atOrAfter: state.first, left: &left) else { return nil }
    subjects.settle(subject, first: first)
    return first
  }
}
