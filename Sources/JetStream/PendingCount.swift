// Counting the messages that a filter has yet to see: what the subject index says at once, the rest by reading, some in each turn of the
// loop. Who counts, and when, is in Consumer+Counting and API+DirectGet.
import Bytes
import Interest

/// What became of work that goes on over several turns.
enum Progress {
  case complete
  /// It goes on in a later turn.
  case unfinished
  /// The disk could not be read.
  case failed
}

/// How many messages of a stream match one of several filters and are at or behind a sequence. What is appended meanwhile is not counted;
/// what is removed has to be told.
struct PendingCount {
  private let filters: [ByteString]
  private let from: UInt64
  /// The last sequence that counts.
  let through: UInt64
  /// What was found so far; with `isBefore`, all that match up to `through` without those that were found before `from`.
  private(set) var count = 0
  /// The messages before `from` are the fewer to read.
  private var isBefore = false
  /// Where reading goes on; nil when nothing is left to read.
  private var next: UInt64?
  /// No more than these, whatever reading brings.
  private(set) var atMost = 0

  /// `filters` do not overlap; none is all.
  init(_ log: any MessageLog, matching filters: [ByteString], from sequence: UInt64) {
    self.filters = filters
    from = sequence
    through = log.lastSequence
    if filters.isEmpty {
      count = log.count(from: sequence)
      atMost = count
      return
    }
    guard log.count > 0, sequence <= through else { return }
    let first = log.firstSequence
    var whole = 0
    var total = 0
    var isMixed = false
    for filter in filters {
      filter.withView { filter in
        log.forEachSubject(matching: filter) { _, state in
          total += state.count
          if sequence <= first || state.first >= sequence {
            whole += state.count
          } else if state.last >= sequence, state.count > 1 || state.firstIsOld {
            isMixed = true
          }
        }
      }
    }
    atMost = total
    guard isMixed else {
      count = whole
      return
    }
    isBefore = sequence - first < through - sequence
    count = isBefore ? total : 0
    next = isBefore ? first : sequence
  }

  /// Whether nothing has to be read any more.
  var isComplete: Bool { next == nil }

  private var end: UInt64 { isBefore ? from - 1 : through }

  /// Reads on, `left` messages at most, which is counted down.
  mutating func goOn(_ log: any MessageLog, left: inout Int) -> Progress {
    guard let start = next else { return .complete }
    let end = end
    let filters = filters
    var reached = start
    var found = 0
    var rest = left
    var isThrough = true
    let isRead = log.scan(from: start) { message in
      guard message.sequence <= end else { return false }
      guard rest > 0 else {
        isThrough = false
        return false
      }
      rest -= 1
      reached = message.sequence + 1
      if Stream.matches(message.subject, filters) { found += 1 }
      return true
    }
    left = rest
    count += isBefore ? -found : found
    next = isRead && isThrough ? nil : reached
    return next == nil ? .complete : isRead ? .unfinished : .failed
  }

  /// One message was removed.
  mutating func removed(_ sequence: UInt64, _ subject: ByteView) {
    guard sequence <= through, Stream.matches(subject, filters) else { return }
    // What was read counts no more; of what was not, only the sum of all knows yet.
    if sequence >= from {
      if isBefore || sequence < next ?? .max { count -= 1 }
    } else if isBefore, let next, sequence >= next {
      count -= 1
    }
  }

  /// All messages up to `sequence`, which is before `from`, were removed. False when the count has to begin anew.
  func survives(removalThrough sequence: UInt64) -> Bool {
    guard isBefore, let next else { return true }
    return sequence < next
  }
}
