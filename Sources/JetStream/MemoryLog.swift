// Memory storage: messages in one deque, gone when the process ends.
import Bytes
import Interest
import LogStore

/// The bytes of all messages that an account keeps in memory: every memory log adds what it holds.
final class MemoryUse {
  fileprivate(set) var bytes = 0
}

final class MemoryLog: MessageLog {
  private struct Entry {
    /// Subject, headers and payload, one after the other; empty when the message was removed.
    var bytes: [UInt8]
    var timestamp_ns: Int64
    var subjectLength: UInt32
    var headersLength: UInt32
    var isThere: Bool

    /// As nats-server accounts a message in memory (section 4.3).
    var size: Int { 16 + bytes.count }
  }

  /// Entry of sequence `base` + i at `head` + i.
  private var entries: [Entry] = []
  private var head = 0
  private var base: UInt64 = 1
  private(set) var count = 0
  private(set) var bytes = 0 {
    didSet { use.bytes += bytes - oldValue }
  }
  private let use: MemoryUse
  private(set) var lastTimestamp_ns: Int64 = 0
  private var subjects = SubjectIndex()
  private(set) var appendedSubjectCount = 0

  init(use: MemoryUse = MemoryUse()) { self.use = use }

  var firstSequence: UInt64 { base }
  var lastSequence: UInt64 { base + UInt64(entries.count - head) - 1 }
  var deletedCount: Int { entries.count - head - count }
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
  func settle(_ subject: ByteView, first: UInt64?, last: UInt64?) { subjects.settle(subject, first: first, last: last) }

  private func index(_ sequence: UInt64) -> Int? {
    guard sequence >= base, sequence - base < UInt64(entries.count - head) else { return nil }
    return head + Int(sequence - base)
  }

  func begin(at sequence: UInt64) {
    precondition(entries.isEmpty, "only an empty log can begin somewhere else")
    base = max(sequence, 1)
  }

  func skip(before sequence: UInt64) {
    let gap = Entry(bytes: [], timestamp_ns: lastTimestamp_ns, subjectLength: 0, headersLength: 0, isThere: false)
    while lastSequence + 1 < sequence { entries.append(gap) }
  }

  func append(
    sequence: UInt64, timestamp_ns: Int64, subject: ByteView, headers: ByteView, payload: ByteView
  ) throws(StoreError) -> UInt64 {
    guard sequence == lastSequence + 1 else { throw .outOfOrder(sequence: sequence, last: lastSequence) }
    var content: [UInt8] = []
    content.reserveCapacity(subject.count + headers.count + payload.count)
    content.append(subject)
    content.append(headers)
    content.append(payload)
    let entry = Entry(
      bytes: content, timestamp_ns: timestamp_ns, subjectLength: UInt32(subject.count), headersLength: UInt32(headers.count),
      isThere: true)
    entries.append(entry)
    appendedSubjectCount = subjects.add(subject, sequence)
    count += 1
    bytes += entry.size
    lastTimestamp_ns = timestamp_ns
    return 0
  }

  func remove(_ sequence: UInt64) -> Bool {
    guard let index = index(sequence), entries[index].isThere else { return false }
    takeOut(index, sequence)
    dropFront()
    return true
  }

  private func takeOut(_ index: Int, _ sequence: UInt64) {
    count -= 1
    bytes -= entries[index].size
    entries[index].bytes.withView { _ = subjects.remove($0.prefix(Int(entries[index].subjectLength)), sequence) }
    entries[index].isThere = false
    entries[index].bytes = []
  }

  func erase(_ sequence: UInt64, done: @escaping (Bool) -> Void) -> Bool {
    guard let index = index(sequence), entries[index].isThere else { return false }
    for at in entries[index].bytes.indices.dropFirst(Int(entries[index].subjectLength)) { entries[index].bytes[at] = 0 }
    guard remove(sequence) else { return false }
    done(true)
    return true
  }

  func removeThrough(_ sequence: UInt64) {
    while head < entries.count, base <= sequence {
      if entries[head].isThere { takeOut(head, base) }
      head += 1
      base += 1
    }
    dropFront()
  }

  /// The first entry is always a message that is there.
  private func dropFront() {
    while head < entries.count, !entries[head].isThere {
      head += 1
      base += 1
    }
    if head == entries.count {
      entries.removeAll()
      head = 0
    } else if head > 1024, head > entries.count / 2 {
      entries.removeFirst(head)
      head = 0
    }
  }

  func contains(_ sequence: UInt64) -> Bool {
    guard let index = index(sequence) else { return false }
    return entries[index].isThere
  }

  func nextSequence(atOrAfter sequence: UInt64) -> UInt64? {
    guard count > 0 else { return nil }
    var next = max(sequence, base)
    while let index = index(next) {
      if entries[index].isThere { return next }
      next += 1
    }
    return nil
  }

  func read(_ sequence: UInt64, _ body: (LogMessage) -> Void) -> ReadOutcome {
    guard let index = index(sequence), entries[index].isThere else { return .none }
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
    return low < entries.count ? nextSequence(atOrAfter: base + UInt64(low - head)) : nil
  }

  func deletedSequences(limit: Int) -> [UInt64] {
    var deleted: [UInt64] = []
    for index in head..<entries.count where !entries[index].isThere {
      if deleted.count == limit { break }
      deleted.append(base + UInt64(index - head))
    }
    return deleted
  }
}
