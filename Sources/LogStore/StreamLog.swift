// One stream in the log: its extent, its index, appending. Reading and removing are in the extensions beside.
import Bytes
import Interest
import Platform

/// The messages of one stream. Belongs to its `LogStore` and must not be used after it is gone.
public final class StreamLog {
  /// Above this no sequence is accepted, so that sums and gaps of sequences never overflow.
  public static let sequenceMax: UInt64 = 1 << 62

  public let id: UInt32
  unowned(unsafe) let store: LogStore  // safe: the store owns its streams, and users are told not to keep one longer

  /// The first live message; `lastSequence + 1` when there is none, 1 in a new stream.
  public internal(set) var firstSequence: UInt64 = 1
  /// The highest sequence ever appended; 0 in a new stream.
  public internal(set) var lastSequence: UInt64 = 0
  /// The timestamp of the message with `lastSequence`, also when it was removed.
  public internal(set) var lastTimestamp_ns: Int64 = 0
  /// Live messages.
  public internal(set) var count = 0
  /// Their sizes as nats-server accounts them: 30 bytes, subject and payload, and 4 bytes and headers where there are headers.
  public internal(set) var bytes: Int64 = 0

  /// Sequences between first and last that are not there: removed, lost or never used.
  var removed = SequenceSet()
  var index = AnchorIndex()
  /// The subjects of its messages.
  public internal(set) var subjects: SubjectIndex
  /// Nobody waits for the disk after appending: messages may take their time (`Options.promptDelay_ns`).
  public var isPrompt = false
  /// How many messages the subject of the last appended one had then.
  public private(set) var appendedSubjectCount = 0
  /// The subjects are being counted anew.
  var recount: Recount?
  /// Where each subject's messages are, when somebody wants to know; complete when all messages are in it.
  var history: SubjectHistory?
  var isHistoryComplete = true
  /// The first sequence moved and that is not yet in the log.
  var firstIsDirty = false
  var isDropped = false

  /// The anchor that the last moved or recovered out-of-order record joined, and that record.
  var movedAnchor: UInt64 = 0
  var movedLast: UInt64 = 0

  init(id: UInt32, store: LogStore) {
    self.id = id
    self.store = store
    subjects = SubjectIndex(seed: store.subjectsSeed, pageSubjectsMax: store.options.subjectsPerPage)
  }

  /// Appends a message. Its sequence must be above `lastSequence`; a gap counts as removed. Timestamps should not go back.
  ///
  /// Returns the position that `durablePosition` has to reach for the message to be safe.
  public func append(
    sequence: UInt64, timestamp_ns: Int64, subject: ByteView, headers: ByteView, payload: ByteView
  ) throws(StoreError) -> UInt64 {
    precondition(!isDropped, "a dropped stream was used")
    guard sequence > lastSequence, sequence <= Self.sequenceMax else { throw .outOfOrder(sequence: sequence, last: lastSequence) }
    let headerBytes = headers.isEmpty ? 0 : headers.count + 4
    let length = Record.headerBytes + subject.count + headerBytes + payload.count
    guard subject.count <= 0xFFFF, length <= LogStore.Limits.recordBytesMax else { throw .tooLarge }
    try store.admit(length + Record.commitBytes)
    let (target, position) = try store.room(length)
    Record.writeHeader(
      target, length: length, tag: headers.isEmpty ? RecordKind.message : RecordKind.message | RecordFlag.headers,
      subjectLength: subject.count, stream: id, sequence: sequence, timestamp_ns: timestamp_ns)
    var next = target + Record.headerBytes
    if subject.count > 0 { next.copyMemory(from: subject.base, byteCount: subject.count) }
    next += subject.count
    if headers.count > 0 {
      next.storeBytes(of: UInt32(truncatingIfNeeded: headers.count).littleEndian, as: UInt32.self)
      (next + 4).copyMemory(from: headers.base, byteCount: headers.count)
      next += headerBytes
    }
    if payload.count > 0 { next.copyMemory(from: payload.base, byteCount: payload.count) }
    store.seal(target, length: length, position: position)
    let segment = store.collecting.unsafelyUnwrapped.segment
    indexNewest(sequence, position, bytes: length - Record.headerBytes + 30, segment, hasHeaders: !headers.isEmpty)
    appendedSubjectCount = subjects.add(subject, sequence)
    if isHistoryComplete { history?.add(subject, sequence) }
    lastTimestamp_ns = timestamp_ns
    store.appendedPosition += 1
    if isPrompt { store.commitWithin(store.options.promptDelay_ns) } else { store.commitSoon() }
    return store.appendedPosition
  }

  /// Takes a message with the highest sequence so far into the index.
  @inline(__always) func indexNewest(
    _ sequence: UInt64, _ position: UInt64, bytes size: Int, _ segment: Segment, hasHeaders: Bool
  ) {
    if sequence > lastSequence + 1, count > 0 { removed.insert(lastSequence + 1, sequence - 1) }
    if count == 0 { firstSequence = sequence }
    lastSequence = sequence
    if let last = index.last, index[last].position >= segment.base, position > index[last].position,
      position - index[last].position < UInt64(store.options.indexSpacingBytes), index[last].count < Anchor.countMax
    {
      index[last].count += 1
      index[last].bytes += size
      if hasHeaders { index[last].mayHaveHeaders = true }
    } else {
      index.append(Anchor(sequence: sequence, position: position, bytes: size, count: 1, mayHaveHeaders: hasHeaders))
    }
    count += 1
    bytes += Int64(size)
    segment.liveMessages += 1
    segment.liveBytes += size
  }

  /// Whether `sequence` is a live message.
  public func contains(_ sequence: UInt64) -> Bool {
    count > 0 && sequence >= firstSequence && sequence <= lastSequence && !removed.contains(sequence)
  }

  /// The first live message at or after `sequence`.
  public func nextSequence(atOrAfter sequence: UInt64) -> UInt64? {
    guard count > 0, let next = removed.nextAbsent(max(sequence, firstSequence)), next <= lastSequence else { return nil }
    return next
  }

  /// The last live message at or before `sequence`.
  public func previousSequence(atOrBefore sequence: UInt64) -> UInt64? {
    guard count > 0, let previous = removed.previousAbsent(min(sequence, lastSequence)), previous >= firstSequence else { return nil }
    return previous
  }

  /// The live message that has `before` others before it; nil when there are not so many.
  public func sequence(behind before: Int) -> UInt64? {
    guard before >= 0, before < count else { return nil }
    var left = UInt64(before)
    var next = firstSequence
    removed.forEach { span in
      guard span.first >= next else { return true }
      guard span.first - next <= left else { return false }
      left -= span.first - next
      next = span.last + 1
      return true
    }
    return next + left
  }

  /// Live messages at or after `sequence`.
  public func count(from sequence: UInt64) -> Int {
    guard count > 0, sequence <= lastSequence else { return 0 }
    if sequence <= firstSequence { return count }
    // The way that looks at less.
    if sequence - firstSequence < lastSequence - sequence { return count - liveCount(firstSequence, sequence - 1) }
    return liveCount(sequence, lastSequence)
  }

  /// Sequences between first and last that are not there.
  public var deletedCount: UInt64 { removed.count }

  /// The first `limit` of them, ascending.
  public func deletedSequences(limit: Int) -> [UInt64] {
    var sequences: [UInt64] = []
    removed.forEach { span in
      var sequence = span.first
      while sequence <= span.last, sequences.count < limit {
        sequences.append(sequence)
        sequence += 1
      }
      return sequences.count < limit
    }
    return sequences
  }

  /// The ranges of sequences between first and last that are not there, ascending, until `body` returns false.
  public func forEachDeletedRange(_ body: (ClosedRange<UInt64>) -> Bool) {
    removed.forEach { body($0.first...$0.last) }
  }

  /// The last live sequence in the oldest segment that holds messages of this stream: removing everything through it is the least that
  /// can free a segment.
  public var oldestSegmentLastSequence: UInt64? {
    guard let first = index.first else { return nil }
    let segment = store.segment(at: index[first].position)
    var next = index.place(after: first)
    while let place = next, segment.holds(index[place].position) { next = index.place(after: place) }
    return next.map { index[$0].sequence - 1 } ?? lastSequence
  }

  // MARK: Placing records out of order (compaction, after a disk failure, recovery)

  /// Sets the place of the message `sequence` to `position`. `isIndexed`: it has a place already and leaves it.
  func place(_ sequence: UInt64, _ position: UInt64, bytes size: Int, isIndexed: Bool) {
    guard let at = index.floor(sequence) else {
      precondition(!isIndexed, "an indexed message has no anchor")
      index.insertFirst(Anchor(sequence: sequence, position: position, bytes: size, count: 1))
      (movedAnchor, movedLast) = (sequence, sequence)
      return
    }
    if isIndexed {
      index[at].count -= 1
      index[at].bytes -= size
    }
    let old = index[at]
    let end = index.end(of: at)
    let liveAfter = nextSequence(atOrAfter: sequence + 1).map { $0 < end } ?? false
    let nextLive = nextSequence(atOrAfter: old.sequence)
    let liveBefore = nextLive.map { $0 < sequence } ?? false

    func joins(_ candidate: AnchorIndex.Place) -> Bool {
      let anchor = index[candidate]
      return anchor.sequence == movedAnchor && movedLast < sequence && position > anchor.position
        && position - anchor.position < UInt64(store.options.indexSpacingBytes)
        && store.segment(at: anchor.position) === store.segment(at: position)
    }
    // Records behind an anchor ascend: this one is behind those of any later messages that the anchor has.
    if !isIndexed, !liveAfter, joins(at) {
      index[at].count += 1
      index[at].bytes += size
      index[at].mayHaveHeaders = true
    } else if isIndexed, !liveBefore, let before = index.place(before: at), joins(before) {
      index[before].count += 1
      index[before].bytes += size
      index[before].mayHaveHeaders = true
      if liveAfter { index[at].sequence = sequence + 1 } else { index.remove(at: at) }
    } else {
      let new = Anchor(sequence: sequence, position: position, bytes: size, count: 1)
      movedAnchor = sequence
      var right: Anchor?
      if liveAfter {
        let countAfter = liveCount(sequence + 1, end == .max ? lastSequence : end - 1)
        let share = bytes(of: old, after: sequence, before: end, count: countAfter)
        right = Anchor(sequence: sequence + 1, position: old.position, bytes: share, count: UInt32(countAfter))
        index[at].count -= min(index[at].count, UInt32(countAfter))
        index[at].bytes -= share
      }
      var next = at
      if liveBefore {
        next = index.insert(new, after: at)
      } else {
        index[at] = new
      }
      if let right { index.insert(right, after: next) }
    }
    movedLast = sequence
  }

  /// The bytes of the live messages behind `anchor` between two sequences; of damaged ones the average.
  private func bytes(of anchor: Anchor, after: UInt64, before: UInt64, count: Int) -> Int {
    let buffer = store.takeReadBuffer()
    defer { store.giveReadBuffer(buffer) }
    var size = 0
    var seen = 0
    var cursor = Cursor(anchor, store)
    while seen < count, let record = try? cursor.next(id, store, buffer, window: ReadBuffer.pointBytes) {
      guard record.sequence > after, record.sequence < before, contains(record.sequence) else { continue }
      size += record.messageBytes
      seen += 1
    }
    if seen < count, anchor.count > 0 { size += anchor.bytes / Int(anchor.count) * (count - seen) }
    return min(size, anchor.bytes)
  }

  /// Where the anchor of a live message points, when the record at `position` can be that message's.
  func position(of sequence: UInt64, about position: UInt64) -> UInt64? {
    guard contains(sequence), let at = index.floor(sequence), index[at].position <= position,
      position - index[at].position < UInt64(store.options.indexSpacingBytes),
      store.segment(at: index[at].position) === store.segment(at: position)
    else { return nil }
    return position
  }

  /// Live messages from `first` through `last`, both between the stream's first and last.
  func liveCount(_ first: UInt64, _ last: UInt64) -> Int {
    guard first <= last else { return 0 }
    return Int(clamping: last - first + 1 - removed.count(first, last))
  }
}
