// Purging (section 5) and expiry by steps: work that grows with the stream goes on in later turns of the loop, so that nobody waits for
// it. What a single removal does is in Stream+Removal.
import Bytes
import Interest
import LogStore
import Platform

/// A purge under way. What is stored after it began stays.
final class Purge {
  let stream: Stream
  /// Empty when everything in the stream is meant.
  let filter: ByteString
  /// The last message that may go, and how many may.
  private var last: UInt64
  private let limit: Int
  /// How many of the newest up to `last` have to stay: those are found first.
  private var keep: Int
  private var next: UInt64
  private(set) var purged = 0
  /// It is through, or its stream is gone.
  private(set) var isDone = false
  private let done: (Int) -> Void
  private let timer = Timer()

  /// `done` gets the number of messages that went.
  init(
    _ stream: Stream, filter: ByteString, from first: UInt64, through last: UInt64, keep: Int = 0, limit: Int = .max,
    done: @escaping (Int) -> Void
  ) {
    self.stream = stream
    self.keep = keep
    self.filter = filter
    self.last = last
    self.limit = limit
    next = first
    self.done = done
  }

  /// How long removing waits after the disk could not be read.
  private static let retry_ns = second_ns

  /// Removes for a while, and goes on later when that was not all.
  func run() {
    let host = stream.engine.host
    let end_ns = host.clock.monotonic_ns + Stream.stepMax_ns
    var isReadable = true
    var isThrough = false
    // One piece at least, however long everything takes.
    while !stream.isDeleted {
      if keep > 0 {
        isThrough = findNewest(&isReadable)
      } else {
        isThrough = filter.isEmpty ? removeFirst() : removeMatching(&isReadable)
      }
      if isThrough || !isReadable || host.clock.monotonic_ns >= end_ns { break }
    }
    guard isThrough || stream.isDeleted else {
      host.after(isReadable ? 0 : Purge.retry_ns, timer) { [self] in run() }
      return
    }
    isDone = true
    done(purged)
  }

  /// Looks for the newest messages, which stay, in a piece before `last`, and moves that before them. From the end on: whatever others
  /// remove meanwhile, none of those that have to stay goes in its place. Returns whether nothing is left to go.
  private func findNewest(_ isReadable: inout Bool) -> Bool {
    guard let end = stream.log.previousSequence(atOrBefore: last), end >= next else { return true }
    let start = end - next < UInt64(Stream.stepSequences) ? next : end - UInt64(Stream.stepSequences) + 1
    var found: [UInt64] = []
    isReadable = stream.log.scan(from: start) { message in
      guard message.sequence <= end else { return false }
      if Subject.matches(message.subject, self.filter) { found.append(message.sequence) }
      return true
    }
    guard isReadable else { return false }
    last = (found.count >= keep ? found[found.count - keep] : start) - 1
    keep = max(keep - found.count, 0)
    return last < next
  }

  /// Takes a piece off the stream's front. Returns whether that was the last.
  private func removeFirst() -> Bool {
    let log = stream.log
    guard log.count > 0, log.firstSequence <= last, purged < limit else { return true }
    var through = min(last, log.firstSequence + UInt64(min(Stream.stepSequences, limit - purged)) - 1)
    // In gaps there is nothing to count.
    if let present = log.nextSequence(atOrAfter: through + 1), purged + 1 < limit { through = min(last, max(through, present - 1)) }
    purged += stream.removeThrough(through)
    return log.count == 0 || log.firstSequence > last || purged >= limit
  }

  private func removeMatching(_ isReadable: inout Bool) -> Bool {
    var doomed: [(sequence: UInt64, subject: ByteString)] = []
    var looked = 0
    var isThrough = true
    isReadable = stream.log.scan(from: next) { message in
      guard message.sequence <= self.last, self.purged + doomed.count < self.limit else { return false }
      guard looked < Stream.stepSequences else {
        isThrough = false
        return false
      }
      looked += 1
      self.next = message.sequence + 1
      if Subject.matches(message.subject, self.filter) { doomed.append((message.sequence, ByteString(message.subject))) }
      return true
    }
    for (sequence, subject) in doomed where stream.removeOne(sequence, subject: subject) { purged += 1 }
    return isThrough && isReadable
  }
}

extension Stream {
  /// Sequences that are looked at between two looks at the clock, and how long one turn may take.
  static let stepSequences = 256
  static let stepMax_ns = 2 * millisecond_ns

  /// Purges everything, or what matches `filter`, below `sequence`, or all but the newest `keep`. `done` gets the number of messages
  /// that went: at once when it is little work, in a later turn otherwise.
  func purge(filter: ByteView, below sequence: UInt64, keep: Int, done: @escaping (Int) -> Void) {
    // Below 1 there is nothing.
    if sequence == 1 { return done(0) }
    let matchesAll = isCovered(by: filter)
    if matchesAll, log.count > SourceScan.share, sourceScan.next != nil {
      // All at once would have to be looked at at once for the sources' places.
      let filter = ByteString(filter)
      engine.host.after(Stream.expiryStepPause_ns) { [self] in
        if isDeleted { return done(0) }
        filter.withView { purge(filter: $0, below: sequence, keep: keep, done: done) }
      }
      return
    }
    if matchesAll, keep == 0, sequence == 0 || sequence > log.lastSequence {
      let purged = removeThrough(log.lastSequence)
      if sequence > log.lastSequence + 1 { goOn(at: sequence) }
      forEachConsumer { $0.streamPurged() }
      return done(purged)
    }
    var first = log.firstSequence
    var last = sequence > 0 ? sequence - 1 : log.lastSequence
    if matchesAll {
      if keep > 0 {
        // What is stored from now on does not count, and what others remove meanwhile does not either.
        guard keep < log.count, let kept = log.sequence(behind: log.count - keep) else { return done(0) }
        last = kept - 1
      }
    } else {
      // Only where the subjects are.
      var total = 0
      var lowest = UInt64.max
      var highest: UInt64 = 0
      subjects.forEach(matching: filter) { _, state in
        total += state.count
        lowest = min(lowest, state.first)
        highest = max(highest, state.last)
      }
      guard total > keep else { return done(0) }
      first = max(first, min(lowest, last))
      last = min(last, highest)
    }
    Purge(
      self, filter: matchesAll ? ByteString() : ByteString(filter), from: first, through: last, keep: matchesAll ? 0 : keep
    ) { purged in
      self.forEachConsumer { $0.streamPurged() }
      done(purged)
    }.run()
  }

  /// An empty stream goes on at `sequence`, and everybody knows that nothing is before it.
  private func goOn(at sequence: UInt64) {
    log.begin(at: sequence)
    lastDeliverable = sequence - 1
    forEachConsumer { $0.messagesRemoved(through: sequence - 1) }
  }
}
