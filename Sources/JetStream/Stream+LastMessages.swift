// The last messages of subjects: what the subject index says at once, the rest by reading backwards, some in each turn of the loop.
import Bytes
import Interest
import Platform

extension Stream {
  /// What is known of the last message of a subject.
  enum LastMessage: Equatable {
    case none
    case found(UInt64)
    /// It takes more reading than was allowed.
    case unfinished
    /// The disk could not be read.
    case failed
  }

  /// Messages that are read at once on the way back.
  private static let backwardPiece: UInt64 = 512
  /// Messages that a publisher's check may read: about a millisecond's worth.
  private static let checkMax = 4096
  /// Subjects that are looked after in later turns.
  private static let unsettledMax = 1024
  private static let settleRetry_ns = second_ns

  /// The last message of a literal subject, reading `left` messages at most, which is counted down. Where that was not enough, the next call
  /// goes on.
  func last(of subject: ByteView, left: inout Int) -> LastMessage {
    guard let state = subjects[subject] else { return .none }
    if !state.lastIsOld { return .found(state.last) }
    var end = state.last
    while let present = log.previousSequence(atOrBefore: end), present >= state.first {
      guard left > 0 else {
        log.bound(subject, lastAtMost: present)
        return .unfinished
      }
      let start = present - state.first < Stream.backwardPiece ? state.first : present - Stream.backwardPiece + 1
      var found: UInt64 = 0
      var read = 0
      let isRead = log.scan(from: start) { message in
        guard message.sequence <= present else { return false }
        read += 1
        if message.subject == subject { found = message.sequence }
        return true
      }
      left -= min(left, max(read, 1))
      // What the disk could not give now is not known to be gone.
      guard isRead else { return .failed }
      if found > 0 {
        subjects.settle(subject, last: found)
        return .found(found)
      }
      guard start > state.first else { break }
      end = start - 1
    }
    return .none
  }

  /// The same for whoever publishes and cannot wait: where it takes long it is looked for in later turns, and known then.
  func lastForCheck(of subject: ByteView) -> LastMessage {
    var left = Stream.checkMax
    let last = last(of: subject, left: &left)
    if last == .unfinished, extras.unsettled.count < Stream.unsettledMax {
      extras.unsettled.set(ByteString(subject), true)
      settleSoon(0)
    }
    return last
  }

  /// The last message whose subject matches `filter`, likewise.
  func lastForCheck(matching filter: ByteView) -> LastMessage {
    if filter.isEmpty || filter.equals(">") { return log.previousSequence(atOrBefore: log.lastSequence).map { .found($0) } ?? .none }
    if Subject.isLiteral(filter) { return lastForCheck(of: filter) }
    var candidates = LastCandidates(self, matching: filter)
    while let subject = candidates.next {
      let last = subject.withView { lastForCheck(of: $0) }
      if last == .unfinished || last == .failed { return last }
      candidates.take(last)
    }
    return candidates.last
  }

  private func settleSoon(_ wait_ns: Int64) {
    guard !extras.unsettledTimer.isScheduled, !isDeleted else { return }
    engine.host.after(wait_ns, extras.unsettledTimer) { [unowned(unsafe) self] in
      var place = 0
      guard let (subject, _) = extras.unsettled.next(from: &place) else { return }
      var left = engine.readShare(Stream.checkMax)
      let before = left
      let outcome = subject.withView { last(of: $0, left: &left) }
      engine.hasRead(before - left)
      if outcome != .unfinished { extras.unsettled.remove(subject) }
      if !extras.unsettled.isEmpty { settleSoon(outcome == .failed ? Stream.settleRetry_ns : 0) }
    }
  }

  /// Whether a message at or behind `sequence` may match one of `filters` (none: all), by what is known without reading.
  func mayHave(_ filters: [ByteString], from sequence: UInt64) -> Bool {
    if filters.isEmpty { return log.nextSequence(atOrAfter: sequence) != nil }
    var found = false
    for filter in filters where !found {
      filter.withView { filter in subjects.forEach(matching: filter) { _, state in found = found || state.last >= sequence } }
    }
    return found
  }
}

/// The last message of the subjects that a filter with wildcards matches: the best that the index knows, and subjects that may have a later
/// one.
struct LastCandidates {
  private(set) var last = Stream.LastMessage.none
  private var best: UInt64 = 0
  private var open: [(subject: ByteString, bound: UInt64)] = []

  init(_ stream: Stream, matching filter: ByteView) {
    var best: UInt64 = 0
    var open: [(subject: ByteString, bound: UInt64)] = []
    stream.subjects.forEach(matching: filter) { subject, state in
      if state.lastIsOld { open.append((ByteString(subject), state.last)) } else { best = max(best, state.last) }
    }
    self.best = best
    self.open = open
    if best > 0 { last = .found(best) }
  }

  /// The subject to look at; nil when the last message is known.
  var next: ByteString? {
    mutating get {
      while let candidate = open.last, candidate.bound <= best { open.removeLast() }
      return open.last?.subject
    }
  }

  /// What was found of the subject that `next` said.
  mutating func take(_ found: Stream.LastMessage) {
    if case .found(let sequence) = found, sequence > best {
      best = sequence
      last = found
    }
    open.removeLast()
  }
}

/// The last message, at or before a sequence, of each subject that one of several filters matches.
struct LastMessages {
  let upTo: UInt64
  /// What was found, ascending when it is complete.
  private(set) var found: [UInt64] = []
  /// Subjects whose last message has to be looked for.
  private var open: [ByteString] = []
  /// Subjects that have later ones too, with the last one so far; where reading goes on for them.
  private var passed = ByteMap<UInt64>()
  private var next: UInt64?

  /// Nil when there are more than `limit` subjects.
  init?(_ stream: Stream, matching filters: [ByteString], upTo: UInt64, limit: Int = .max) {
    self.upTo = upTo
    let isEnd = upTo >= stream.lastSequence
    var count = 0
    var known = ByteMap<Bool>()
    var found: [UInt64] = []
    var open: [ByteString] = []
    var passed = ByteMap<UInt64>()
    var next = UInt64.max
    for filter in filters {
      filter.withView { filter in
        stream.subjects.forEach(matching: filter) { subject, state in
          guard count <= limit, state.first <= upTo else { return }
          if filters.count > 1 {
            guard known[subject] == nil else { return }
            known.set(ByteString(subject), true)
          }
          count += 1
          if !state.lastIsOld, state.last <= upTo {
            found.append(state.last)
          } else if isEnd || state.last <= upTo {
            open.append(ByteString(subject))
          } else {
            passed.set(ByteString(subject), 0)
            next = min(next, state.first)
          }
        }
      }
      if count > limit { return nil }
    }
    self.found = found
    self.open = open
    self.passed = passed
    if next <= upTo { self.next = max(next, stream.firstSequence) }
  }

  /// Reads on, `left` messages at most, which is counted down.
  mutating func goOn(_ stream: Stream, left: inout Int) -> Progress {
    while let subject = open.last {
      switch subject.withView({ stream.last(of: $0, left: &left) }) {
      case .unfinished: return .unfinished
      case .failed: return .failed
      case .found(let sequence):
        if sequence <= upTo {
          found.append(sequence)
        } else if let state = subject.withView({ stream.subjects[$0] }), state.first <= upTo {
          // A later one came meanwhile.
          passed.set(subject, 0)
          next = min(next ?? .max, max(state.first, stream.firstSequence))
        }
      case .none: break
      }
      open.removeLast()
    }
    if let start = next {
      let end = upTo
      var wanted = passed
      passed = ByteMap<UInt64>()  // so that it is not copied when it changes
      var rest = left
      var reached = start
      var isThrough = true
      let isRead = stream.scan(from: start) { message in
        guard message.sequence <= end else { return false }
        guard rest > 0 else {
          isThrough = false
          return false
        }
        rest -= 1
        reached = message.sequence + 1
        wanted.update(message.subject) { $0 = message.sequence }
        return true
      }
      left = rest
      passed = wanted
      next = isRead && isThrough ? nil : reached
      guard next == nil else { return isRead ? .unfinished : .failed }
      passed = ByteMap<UInt64>()
      var all = found
      wanted.forEach { _, sequence in if sequence > 0 { all.append(sequence) } }
      found = all
    }
    found.order { $0 < $1 }
    return .complete
  }
}
