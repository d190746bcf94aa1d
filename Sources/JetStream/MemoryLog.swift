// Memory storage: messages in one deque, gone when the process ends. Sequences without a message take no room: removed messages are
// cleared away when they are more than the others.
import Bytes
import Interest
import LogStore

/// The bytes of all messages that an account, or all accounts of a server, keep in memory: every memory log adds what it holds.
final class MemoryUse {
  private(set) var bytes = 0
  private let whole: MemoryUse?

  /// A part of `whole`.
  init(within whole: MemoryUse? = nil) { self.whole = whole }

  fileprivate func change(by difference: Int) {
    bytes += difference
    whole?.change(by: difference)
  }
}

final class MemoryLog: MessageLog {
  private struct Entry {
    let sequence: UInt64
    /// Subject, headers and payload, one after the other; empty when the message was removed.
    var bytes: [UInt8]
    var timestamp_ns: Int64
    var subjectLength: UInt32
    var headersLength: UInt32
    var isThere: Bool

    /// As nats-server accounts a message in memory (section 4.3).
    var size: Int { 16 + bytes.count }
  }

  /// From `head` on, by sequence; the first is there.
  private var entries: [Entry] = []
  private var head = 0
  private(set) var count = 0
  var bytes: Int64 { Int64(held) }
  private var held = 0 {
    didSet { use.change(by: held - oldValue) }
  }
  private let use: MemoryUse
  private(set) var lastTimestamp_ns: Int64 = 0
  private var subjects = SubjectIndex()
  private(set) var appendedSubjectCount = 0
  private var history: SubjectHistory?

  init(use: MemoryUse = MemoryUse()) { self.use = use }

  var firstSequence: UInt64 { head < entries.count ? entries[head].sequence : lastSequence + 1 }
  private(set) var lastSequence: UInt64 = 0
  var deletedCount: UInt64 { lastSequence + 1 - firstSequence - UInt64(count) }
  var isDurable: Bool {
    get { false }
    set {}
  }
  var oldestPartLastSequence: UInt64? { nil }
  var subjectCount: Int { subjects.subjectCount }

  func subject(_ subject: ByteView) -> SubjectIndex.State? { subjects[subject] }
  func forEachSubject(matching filter: ByteView, _ body: (ByteView, SubjectIndex.State) -> Void) {
    subjects.forEach(matching: filter, body)
  }
  func subjectPage(at start: UInt64, _ body: (ByteView, Int) -> Void) -> UInt64? {
    subjects.writePage(at: start, head: { _, _, _ in }) { subject, count, _, _ in body(subject, Int(count)) }
  }
  var keepsHistory: Bool {
    get { history != nil }
    set {
      guard newValue != keepsHistory else { return }
      history = newValue ? SubjectHistory() : nil
      guard newValue else { return }
      for entry in entries[head...] where entry.isThere {
        entry.bytes.withView { history?.add($0.prefix(Int(entry.subjectLength)), entry.sequence) }
      }
    }
  }

  func next(_ subject: ByteView, atOrAfter sequence: UInt64, left: inout Int) -> UInt64? {
    if let history { return history.next(subject, atOrAfter: sequence) { isMessage($0, of: subject) } }
    var found: UInt64?
    var rest = left
    _ = scan(from: sequence) { message in
      guard rest > 0 else { return false }
      rest -= 1
      if message.subject == subject { found = message.sequence }
      return found == nil
    }
    left = rest
    return found
  }

  private func isMessage(_ sequence: UInt64, of subject: ByteView) -> Bool {
    guard let index = index(sequence) else { return false }
    return entries[index].bytes.withView { $0.prefix(Int(entries[index].subjectLength)) == subject }
  }

  func settle(_ subject: ByteView, first: UInt64?, last: UInt64?) { subjects.settle(subject, first: first, last: last) }

  func bound(_ subject: ByteView, lastAtMost sequence: UInt64) { subjects.bound(subject, lastAtMost: sequence) }

  /// The first entry at or after `sequence`; the end when there is none.
  private func lowerBound(_ sequence: UInt64) -> Int {
    guard head < entries.count, sequence > entries[head].sequence else { return head }
    // Without gaps it is just there, with gaps before.
    let guess = UInt64(head) + (sequence - entries[head].sequence)
    if guess < UInt64(entries.count), entries[Int(guess)].sequence == sequence { return Int(guess) }
    var low = head
    var high = Int(min(guess, UInt64(entries.count)))
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].sequence < sequence { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Where a message that is there stands.
  private func index(_ sequence: UInt64) -> Int? {
    let at = lowerBound(sequence)
    return at < entries.count && entries[at].sequence == sequence && entries[at].isThere ? at : nil
  }

  func begin(at sequence: UInt64) {
    precondition(entries.isEmpty, "only an empty log can begin somewhere else")
    lastSequence = max(sequence, 1) - 1
  }

  func skip(before sequence: UInt64) {
    // As in a file, where the append that is refused says it.
    guard sequence <= StreamLog.sequenceMax else { return }
    lastSequence = max(lastSequence, max(sequence, 1) - 1)
  }

  func append(
    sequence: UInt64, timestamp_ns: Int64, subject: ByteView, headers: ByteView, payload: ByteView
  ) throws(StoreError) -> UInt64 {
    guard sequence == lastSequence + 1, sequence <= StreamLog.sequenceMax else { throw .outOfOrder(sequence: sequence, last: lastSequence) }
    var content: [UInt8] = []
    content.reserveCapacity(subject.count + headers.count + payload.count)
    content.append(subject)
    content.append(headers)
    content.append(payload)
    let entry = Entry(
      sequence: sequence, bytes: content, timestamp_ns: timestamp_ns, subjectLength: UInt32(subject.count),
      headersLength: UInt32(headers.count), isThere: true)
    entries.append(entry)
    lastSequence = sequence
    appendedSubjectCount = subjects.add(subject, sequence)
    history?.add(subject, sequence)
    count += 1
    held += entry.size
    lastTimestamp_ns = timestamp_ns
    return 0
  }

  func remove(_ sequence: UInt64) -> Bool {
    guard let index = index(sequence) else { return false }
    takeOut(index, sequence)
    clearAway()
    return true
  }

  private func takeOut(_ index: Int, _ sequence: UInt64) {
    count -= 1
    held -= entries[index].size
    entries[index].bytes.withView { bytes in
      let subject = bytes.prefix(Int(entries[index].subjectLength))
      subjects.remove(subject, sequence)
      history?.remove(subject) { contains($0) }
    }
    entries[index].isThere = false
    entries[index].bytes = []
  }

  func erase(_ sequence: UInt64, done: @escaping (Bool) -> Void) -> Bool {
    guard let index = index(sequence) else { return false }
    for at in entries[index].bytes.indices.dropFirst(Int(entries[index].subjectLength)) { entries[index].bytes[at] = 0 }
    guard remove(sequence) else { return false }
    done(true)
    return true
  }

  func removeThrough(_ sequence: UInt64) {
    while head < entries.count, entries[head].sequence <= sequence {
      if entries[head].isThere { takeOut(head, entries[head].sequence) }
      head += 1
    }
    clearAway()
  }

  /// Messages that take room, removed ones too.
  var heldEntries: Int { entries.count }

  /// So many removed messages may always stay.
  private static let removedMax = 1024

  /// Gives the room of removed messages back: at the front, and elsewhere when they are more than the others.
  private func clearAway() {
    while head < entries.count, !entries[head].isThere { head += 1 }
    if head == entries.count {
      entries.removeAll()
      head = 0
      return
    }
    let removed = entries.count - count
    guard removed > Self.removedMax, removed > count else { return }
    var kept = 0
    for at in head..<entries.count where entries[at].isThere {
      if kept < at { entries.swapAt(kept, at) }
      kept += 1
    }
    entries.removeLast(entries.count - kept)
    head = 0
  }

  func contains(_ sequence: UInt64) -> Bool { index(sequence) != nil }

  func nextSequence(atOrAfter sequence: UInt64) -> UInt64? {
    var at = lowerBound(sequence)
    while at < entries.count, !entries[at].isThere { at += 1 }
    return at < entries.count ? entries[at].sequence : nil
  }

  func previousSequence(atOrBefore sequence: UInt64) -> UInt64? {
    var at = lowerBound(sequence)
    if at == entries.count || entries[at].sequence > sequence || !entries[at].isThere {
      repeat { at -= 1 } while at >= head && !entries[at].isThere
    }
    return at >= head ? entries[at].sequence : nil
  }

  func sequence(behind before: Int) -> UInt64? {
    guard before >= 0, before < count else { return nil }
    if entries.count - head == count { return entries[head + before].sequence }
    var left = before
    for at in head..<entries.count where entries[at].isThere {
      if left == 0 { return entries[at].sequence }
      left -= 1
    }
    return nil
  }

  func count(from sequence: UInt64) -> Int {
    let start = lowerBound(sequence)
    if entries.count - head == count { return entries.count - start }
    var found = 0
    for at in start..<entries.count where entries[at].isThere { found += 1 }
    return found
  }

  func read(_ sequence: UInt64, _ body: (LogMessage) -> Void) -> ReadOutcome {
    guard let index = index(sequence) else { return .none }
    let entry = entries[index]
    entry.bytes.withView { view in
      let headersStart = Int(entry.subjectLength)
      let payloadStart = headersStart + Int(entry.headersLength)
      body(
        LogMessage(
          sequence: sequence, timestamp_ns: entry.timestamp_ns, subject: view.prefix(headersStart),
          headers: view.slice(headersStart, payloadStart), payload: view.dropFirst(payloadStart)))
    }
    return .found
  }

  func scan(from sequence: UInt64, _ body: (LogMessage) -> Bool) -> Bool {
    var next = sequence
    while let found = nextSequence(atOrAfter: next) {
      var goesOn = true
      _ = read(found) { goesOn = body($0) }
      if !goesOn { return true }
      next = found + 1
    }
    return true
  }

  func scanHeaders(from sequence: UInt64, _ body: (LogMessage) -> Bool) -> Bool { scan(from: sequence, body) }

  func sequence(atOrAfter time_ns: Int64) throws(StoreError) -> UInt64? {
    var low = head
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].timestamp_ns < time_ns { low = middle + 1 } else { high = middle }
    }
    return low < entries.count ? nextSequence(atOrAfter: entries[low].sequence) : nil
  }

  func deletedSequences(limit: Int) -> [UInt64] {
    var deleted: [UInt64] = []
    var next = firstSequence
    for at in head..<entries.count where entries[at].isThere {
      while next < entries[at].sequence, deleted.count < limit {
        deleted.append(next)
        next += 1
      }
      if deleted.count == limit { return deleted }
      next = entries[at].sequence + 1
    }
    while next <= lastSequence, deleted.count < limit {
      deleted.append(next)
      next += 1
    }
    return deleted
  }
}
