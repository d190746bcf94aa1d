// Interest and workqueue retention: whether anybody still needs a message, and removing those that nobody does. What a single
// consumer needs is its own business; limits, deletes and purges are in Stream+Removal.
import Bytes
import LogStore
import Platform

/// Sequences that consumers are done with, until the stream has looked at them, the lowest first: acks in any order become few ranges,
/// and each message is looked at once.
struct ReleaseQueue {
  private var sequences = SequenceSet()
  /// Whether a look is due at the end of the turn, or later.
  var isScheduled = false
  let timer = Timer()

  var first: ClosedRange<UInt64>? { sequences.span(endingAtOrAfter: 0).map { $0.first...$0.last } }

  mutating func add(_ range: ClosedRange<UInt64>) { sequences.insert(range.lowerBound, range.upperBound) }

  /// Everything before `next` was looked at.
  mutating func advance(to next: UInt64) { sequences.removeBelow(next) }

  mutating func removeAll() { sequences.removeAll() }
}

extension Stream {
  /// Messages that are looked at in one turn: as many as take about a millisecond.
  private static let releaseBurstMax = 512
  /// How long releasing waits after the disk could not be read.
  private static let releaseRetry_ns = second_ns

  /// Whether a consumer would get a message of this subject.
  func hasInterest(in subject: ByteView) -> Bool {
    var found = false
    consumers.forEach { _, consumer in
      if !found, consumer.isInterested(in: subject) { found = true }
    }
    return found
  }

  /// Whether a consumer is not done with a message.
  private func isNeeded(_ sequence: UInt64, _ subject: ByteView) -> Bool {
    // In a work queue, what no consumer gets waits for one that does.
    var isNeeded = config.retention == .workqueue && !hasInterest(in: subject)
    consumers.forEach { _, consumer in if !isNeeded { isNeeded = consumer.needs(sequence, subject: subject) } }
    return isNeeded
  }

  /// A consumer is done with a message: it was acknowledged or terminated, or delivered where no ack is waited for. Without limits
  /// retention the message goes at the end of the turn when nobody else needs it.
  func consumerIsDone(with sequence: UInt64) { settled(sequence...sequence) }

  /// Likewise of all messages behind `floor` up to `sequence`.
  public func consumerIsDone(after floor: UInt64, through sequence: UInt64) {
    if sequence > floor { settled(floor + 1...sequence) }
  }

  /// Looks whether anybody still needs these messages, at the end of the turn.
  private func settled(_ range: ClosedRange<UInt64>) {
    // A consumer that begins in the future is done with what is yet to come, too.
    let last = min(range.upperBound, log.lastSequence)
    guard config.retention != .limits, !isDeleted, range.lowerBound <= last else { return }
    releases.add(range.lowerBound...last)
    guard !releases.isScheduled else { return }
    releases.isScheduled = true
    engine.host.turn.defer { [self] in release() }
  }

  /// A consumer ended, or wants less than before: what only it needed from `sequence` on goes.
  func interestLost(from sequence: UInt64) {
    guard config.retention == .interest, !isDeleted, log.count > 0 else { return }
    if consumers.isEmpty {
      removeThrough(log.lastSequence)
    } else if sequence <= log.lastSequence {
      settled(max(sequence, log.firstSequence)...log.lastSequence)
    }
  }

  /// After a start: what waited to be looked at when the process ended was forgotten with it.
  func settleRecovered() {
    // What is not there may only be unreadable: a consumer, or what it has yet to do.
    guard config.retention != .limits, !consumers.isEmpty, log.count > 0, !engine.store.foundDamage, !hasUnreadableConsumer else { return }
    var through: UInt64 = 0
    var end = log.lastSequence
    consumers.forEach { _, consumer in
      through = max(through, consumer.doneThrough)
      if consumer.wantsEverything { end = min(end, consumer.doneThrough) }
    }
    if config.retention == .interest, end == log.lastSequence {
      // Beyond, only messages that no consumer gets can have lost their interest.
      subjects.forEach(matching: ByteView(">")) { subject, _ in if !hasInterest(in: subject) { through = end } }
    }
    through = min(through, end)
    if through >= log.firstSequence { settled(log.firstSequence...through) }
  }

  func release() {
    releases.isScheduled = false
    guard !isDeleted, config.retention != .limits else { return releases.removeAll() }
    var budget = Stream.releaseBurstMax
    var wait_ns: Int64 = 0
    while budget > 0, let range = releases.first {
      var next: UInt64?
      if release(range, &budget, next: &next) {
        releases.advance(to: next ?? range.upperBound + 1)
      } else {
        wait_ns = Stream.releaseRetry_ns
        break
      }
    }
    guard releases.first != nil, !releases.isScheduled else { return }
    releases.isScheduled = true
    engine.host.after(wait_ns, releases.timer) { [self] in release() }
  }

  /// Removes what nobody needs of a range, as far as the budget goes; `next` is where it goes on. False when the disk could not be read.
  private func release(_ range: ClosedRange<UInt64>, _ budget: inout Int, next: inout UInt64?) -> Bool {
    var doomed: [(sequence: UInt64, subject: ByteString)] = []
    var left = budget
    var resume: UInt64?
    let first = max(range.lowerBound, log.firstSequence)
    guard first <= range.upperBound else { return true }
    let body: (LogMessage) -> Bool = { message in
      guard message.sequence <= range.upperBound else { return false }
      guard left > 0 else {
        resume = message.sequence
        return false
      }
      left -= 1
      if !self.isNeeded(message.sequence, message.subject) { doomed.append((message.sequence, ByteString(message.subject))) }
      return true
    }
    if first == range.upperBound {
      guard log.read(first, { _ = body($0) }) != .failed else { return false }
    } else {
      guard log.scan(from: first, body) else { return false }
    }
    budget = min(left, budget - 1)
    next = resume
    remove(doomed)
    return true
  }

  /// Removes messages, those in front of the stream together.
  private func remove(_ doomed: [(sequence: UInt64, subject: ByteString)]) {
    var index = 0
    if doomed.count > 1, doomed[0].sequence == log.firstSequence {
      while index + 1 < doomed.count, log.nextSequence(atOrAfter: doomed[index].sequence + 1) == doomed[index + 1].sequence { index += 1 }
      removeThrough(doomed[index].sequence)
      index += 1
    }
    for message in doomed[index...] { _ = removeOne(message.sequence, subject: message.subject) }
  }

  /// Gives the next sequence to a message that nobody is interested in: it is acknowledged, and not stored. Returns the position to wait
  /// for.
  func skip(time_ns: Int64) throws(StoreError) -> UInt64 {
    let sequence = origin?.ownSequence ?? log.lastSequence + 1
    let nothing = ByteView()
    let wasTogether = isFile && engine.store.beginTogether()
    defer { if isFile { engine.store.endTogether(wasTogether) } }
    let position = try log.append(sequence: sequence, timestamp_ns: time_ns, subject: nothing, headers: nothing, payload: nothing)
    _ = log.remove(sequence)
    return position
  }
}
