// Reading the segments of a directory when the store is opened. docs/store-design.md has the rules; this is all of them.
import Bytes
import Interest
import Platform

/// One run over all segments. Fills the store's segments, streams and metadata, and the report.
final class Recovery {
  let store: LogStore
  var report = RecoveryReport()
  /// Why it is not certain that what was found is on the medium: it waits to be written again.
  var unsure: DiskError?

  struct File {
    let segment: Segment
    let header: SegmentHeader?
    let bytes: Int
  }
  var files: [File] = []
  var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  var sealed: [UInt64: UInt64] = [:]
  /// Where the checkpoint ends that the streams' state was taken from, and the one that metadata was: what is older is out of date.
  var checkpointPosition: UInt64 = 0
  private var metadataPosition: UInt64 = 0
  /// The last position up to which its subjects count: the log must reach as far.
  var countedThrough: UInt64 = 0
  /// Something was lost that a checkpoint's subjects may count.
  var isUncertain = false
  /// First and last sequences as of that checkpoint.
  var lastKnown: [UInt32: UInt64] = [:]
  /// Counts damaged regions, to tell gaps that damage made from those that removals made.
  var damage = 0
  var damageSeen: [UInt32: Int] = [:]
  /// Within the checkpoint at the beginning of a segment, whose first and last record may be damaged.
  private var isInCheckpoint = false
  /// The stream that the last record belonged to.
  private var recent: StreamLog?
  /// What was found in the last segment that counts, and those behind it that do not and could not be removed.
  private var tail: SegmentScan.Outcome?
  var givenUp: [Segment] = []
  /// Blocks that the disk did not give, since somebody set it to 0.
  var unreadBlocks = 0

  init(_ store: LogStore) { self.store = store }

  deinit { memory.deallocate() }

  func run() throws(StoreError) {
    try findFiles()
    let start = takeCheckpoint()
    try read(from: start)
    let end = store.segments.last.map { $0.base + UInt64($0.durableSize) } ?? 0
    if end < countedThrough || !settleMissing() {
      // Only the log can say what is left.
      forgetState()
      try read(from: nil)
    }
    if let tail, let last = store.segments.last { makeSure(last, tail) }
    store.segments += givenUp
    if let last = store.segments.last, !last.isSealed, last.size % 8 == 0,
      files.contains(where: { $0.segment === last && $0.header != nil })
    {
      store.active = last
    }
    store.bytesOnDisk =
      store.segments.reduce(store.unreadableBytes) { $0 + Int64($1.size) } + Int64(store.checkpointFileBytes[0])
      + Int64(store.checkpointFileBytes[1])
    if store.salt == 0 { store.salt = UInt32(truncatingIfNeeded: store.host.entropy.next()) | 1 }
    store.replayPosition = .max
    store.durableEnd = store.active.map { $0.base + UInt64($0.size) } ?? 0
    for stream in store.streams.values { finish(stream) }
    if isUncertain { for stream in store.streams.values { stream.beginRecount() } }
    store.movedFirst = []
    store.isDirty = false
    store.checkpointedAt = -report.bytesRead
    store.spareReadBuffer = nil  // it may hold bytes of a tail that was cut, in whose place others will be written
  }

  /// Reads the segments, those behind a checkpoint or all.
  private func read(from start: (file: Int, offset: Int)?) throws(StoreError) {
    let first = start?.file ?? 0
    try dropTorn(behind: start == nil ? 0 : first + 1)
    for at in files.indices.reversed() where start == nil || at > first {
      try load(files[at])
      // With a checkpoint file streams go on from there: its subjects count what happened since, one thing after the other.
      if readCheckpoint(files[at].segment, isLast: at == files.count - 1, withStreams: start == nil) { break }
    }
    for at in files.indices where at >= first {
      let segment = files[at].segment
      let offset = at == first ? start?.offset ?? SegmentHeader.recordsOffset : SegmentHeader.recordsOffset
      let isLast = at == files.count - 1
      let end = isLast ? segment.size : end(of: at)
      segment.durableSize = segment.size  // what is read of it to apply a removal
      try load(files[at], from: offset)
      report.bytesRead += Int64(max(0, files[at].bytes - offset))
      isInCheckpoint = offset == SegmentHeader.recordsOffset
      var scan = SegmentScan(self, segment, header: files[at].header, from: offset, end: end, isLast: isLast)
      let result = scan.run()
      segment.durableSize = result.end
      segment.isSealed = !isLast && end < segment.size
      if isLast { tail = result }
    }
  }

  func forgetReading() {
    sealed = [:]
    checkpointPosition = 0
    metadataPosition = 0
    countedThrough = 0
    isUncertain = false
    isInCheckpoint = false
    lastKnown = [:]
    damage = 0
    damageSeen = [:]
    recent = nil
    tail = nil
    report.bytesRead = 0
  }

  func checkpointIsTaken(_ position: UInt64) {
    checkpointPosition = position - 1
    metadataPosition = position - 1
  }

  func knew(_ stream: UInt32, last: UInt64) { lastKnown[stream] = last }

  // MARK: Files

  /// Where a segment that is not the last one ends, as offset.
  private func end(of at: Int) -> Int {
    let segment = files[at].segment
    var after = at + 1
    while after + 1 < files.count, let end = files[after + 1].header?.previousEnd, end <= files[after].segment.base { after += 1 }
    if let end = sealed[segment.base], end >= segment.base, end - segment.base <= UInt64(segment.size) { return Int(end - segment.base) }
    if let next = files[after].header?.previousEnd {
      // It was given up before the next one was begun: what it holds was written again.
      if next <= segment.base { return 0 }
      if next - segment.base <= UInt64(segment.size) { return Int(next - segment.base) }
    }
    return segment.size
  }

  /// Reads a segment into memory, at least from an offset on.
  func load(_ file: File, from start: Int = 0) throws(StoreError) {
    if memory.count < file.bytes {
      memory.deallocate()
      memory = .allocate(byteCount: max(file.bytes, store.options.segmentBytes + (64 << 10)), alignment: 16)
    }
    let handle = try store.file(of: file.segment)
    var done = start & ~4095
    while done < file.bytes {
      // In pieces: one bad block must not hide the rest.
      let piece = UnsafeMutableRawBufferPointer(rebasing: memory[done..<min(done + (1 << 20), file.bytes)])
      do {
        let count = try store.host.disk.read(handle, at: done, into: piece)
        if count < piece.count { memset(piece.baseAddress! + count, piece.count - count) }
      } catch { readInBlocks(handle, done, piece) }
      done += piece.count
    }
  }

  private func memset(_ target: UnsafeMutableRawPointer, _ count: Int) {
    target.initializeMemory(as: UInt8.self, repeating: 0, count: count)
  }

  /// Reads what can be read around a bad block; the rest is taken as damaged.
  func readInBlocks(_ handle: FileHandle, _ offset: Int, _ piece: UnsafeMutableRawBufferPointer, blockBytes: Int = 4096) {
    var done = 0
    while done < piece.count {
      let block = UnsafeMutableRawBufferPointer(rebasing: piece[done..<min(done + blockBytes, piece.count)])
      let got = try? store.host.disk.read(handle, at: offset + done, into: block)
      if got == nil { unreadBlocks += 1 }
      let count = got ?? 0
      if count < block.count {
        block.baseAddress!.advanced(by: count).initializeMemory(as: UInt8.self, repeating: 0xFF, count: block.count - count)
      }
      done += block.count
    }
  }

  // MARK: Checkpoint

  /// Takes over the checkpoint at the beginning of a segment, when it is complete and its batch is durable.
  private func readCheckpoint(_ segment: Segment, isLast: Bool, withStreams: Bool) -> Bool {
    let base = UnsafeRawPointer(memory.baseAddress!)
    func record(_ offset: Int) -> Record? {
      guard offset < segment.size else { return nil }
      return Record.checked(
        base + offset, available: segment.size - offset, salt: store.salt, position: segment.base + UInt64(offset))
    }
    /// Where the next record begins. Not far, and not large: a hostile file must not make the search slow.
    func next(after offset: Int) -> Int? {
      for next in stride(from: offset + 8, to: min(offset + (256 << 10), segment.size), by: 8) {
        guard let rough = Record.plausible(base + next, available: segment.size - next), rough.length <= 64 << 10 else { continue }
        if record(next) != nil { return next }
      }
      return nil
    }
    var offset = SegmentHeader.recordsOffset
    var offsets: [Int] = []
    var gaps = 0
    var end: Record?
    while end == nil {
      guard let next = record(offset) else {
        // One bad place that is no more than half of all has only one copy of anything.
        gaps += 1
        guard gaps == 1, let next = next(after: offset) else { return false }
        offset = next
        continue
      }
      switch next.kind {
      case RecordKind.checkpointEnd: end = next
      case RecordKind.checkpointBegin:
        guard offsets.isEmpty else { return false }
        offset += next.paddedLength
      case RecordKind.drop, RecordKind.sealed, RecordKind.streamState, RecordKind.metadata:
        offsets.append(offset)
        offset += next.paddedLength
      default: return false
      }
    }
    let found = UInt64(offsets.count)
    guard let end, end.sequence == found || gaps == 1 && end.sequence > found && end.sequence - found <= end.sequence / 2 else {
      return false
    }
    segment.checkpointEnd = offset + end.paddedLength
    if isLast {
      var next = offset
      while let other = record(next), other.kind != RecordKind.commit { next += other.paddedLength }
      guard record(next) != nil else { return false }
    }
    metadataPosition = segment.base + UInt64(offset)
    if withStreams { checkpointPosition = metadataPosition }
    store.metadata.removeAll()
    for at in offsets {
      if let next = record(at), withStreams || next.kind != RecordKind.streamState { applyState(next) }
    }
    return true
  }

  /// A record of a checkpoint.
  func applyState(_ record: Record) {
    switch record.kind {
    case RecordKind.metadata, RecordKind.metadataRemoved: applyMetadata(record)
    case RecordKind.drop: applyDrop(record)
    case RecordKind.sealed: sealed[record.sequence] = UInt64(bitPattern: record.timestamp_ns)
    case RecordKind.streamState:
      guard record.body.count == 8 else { return }
      let last = UInt64(littleEndian: record.base.loadUnaligned(fromByteOffset: Record.headerBytes, as: UInt64.self))
      guard last <= StreamLog.sequenceMax, record.sequence <= last + 1, record.sequence > 0 else { return }
      let stream = store.stream(record.stream)
      lastKnown[stream.id] = max(lastKnown[stream.id] ?? 0, last)
      stream.lastTimestamp_ns = max(stream.lastTimestamp_ns, record.timestamp_ns)
      raiseFirst(stream, record.sequence)
    default: break
    }
  }

  private func applyMetadata(_ record: Record) {
    let key = ByteString(record.subject)
    if record.kind == RecordKind.metadata { store.metadata.set(key, record.body.bytes) } else { store.metadata.remove(key) }
  }

  // MARK: Records

  func apply(_ record: Record, _ segment: Segment, _ position: UInt64) {
    store.replayPosition = position
    switch record.kind {
    case RecordKind.message:
      isInCheckpoint = false
      applyMessage(record, segment, position)
    case RecordKind.remove:
      isInCheckpoint = false
      applyRemoval(record, segment, position)
    case RecordKind.first:
      isInCheckpoint = false
      guard position > checkpointPosition, !isDropped(record.stream, position), record.sequence <= StreamLog.sequenceMax + 1,
        record.sequence > 0
      else { return }
      let stream = store.stream(record.stream)
      raiseFirst(stream, record.sequence)
      let last = UInt64(bitPattern: record.timestamp_ns)
      if last <= StreamLog.sequenceMax { lastKnown[stream.id] = max(lastKnown[stream.id] ?? 0, last) }
    case RecordKind.metadata, RecordKind.metadataRemoved: if position > metadataPosition { applyMetadata(record) }
    case RecordKind.drop:
      if isInCheckpoint {
        if position > metadataPosition { applyDrop(record) }
      } else if position > checkpointPosition {
        // What came before in the log is of the dropped one, also a segment's checkpoint that was written for this very record.
        store.drops[record.stream] = max(store.drops[record.stream] ?? 0, record.sequence)
        forget(record.stream)
      }
    case RecordKind.sealed: if position > metadataPosition { applyState(record) }
    case RecordKind.streamState: if position > checkpointPosition, !isDropped(record.stream, position) { applyState(record) }
    case RecordKind.checkpointEnd:
      isInCheckpoint = false
      segment.checkpointEnd = Int(position - segment.base) + record.paddedLength
    default: break  // commit frames, checkpoint brackets, and kinds that only a newer minor version knows
    }
  }

  /// Whether what is said of a stream at a position is of one that was dropped since.
  private func isDropped(_ stream: UInt32, _ position: UInt64) -> Bool {
    guard !store.drops.isEmpty, let drop = store.drops[stream] else { return false }
    return position < drop
  }

  private func applyDrop(_ record: Record) {
    // The mark of a later checkpoint says nothing new, unless the drop itself was damaged.
    guard record.sequence > store.drops[record.stream] ?? 0 || store.drops[record.stream] == nil else { return }
    store.drops[record.stream] = record.sequence
    forget(record.stream)
  }

  private func forget(_ id: UInt32) {
    lastKnown[id] = nil
    damageSeen[id] = nil
    if let stream = store.streams[id] {
      stream.forgetEverything()
      store.streams[id] = nil
    }
    recent = nil
  }

  private func applyMessage(_ record: Record, _ segment: Segment, _ position: UInt64) {
    let id = record.stream
    let sequence = record.sequence
    guard sequence > 0, sequence <= StreamLog.sequenceMax else { return }
    if isDropped(id, position) { return }
    let stream: StreamLog
    if let recent, recent.id == id { stream = recent } else { stream = store.stream(id) }
    recent = stream
    guard sequence >= stream.firstSequence else { return }
    let size = record.messageBytes
    if sequence > stream.lastSequence {
      let first = max(stream.lastSequence + 1, stream.firstSequence)
      if sequence > first {
        stream.removed.insert(first, sequence - 1)
        if damage > damageSeen[id] ?? 0 { report.lost.append(LostSequences(stream: id, first: first, last: sequence - 1)) }
      }
      if damage > 0 { damageSeen[id] = damage }
      let mark = stream.firstSequence
      let count = stream.count
      stream.lastSequence = sequence - 1
      stream.indexNewest(sequence, position, bytes: size, segment, hasHeaders: record.hasHeaders)
      if count == 0 { stream.firstSequence = mark }
      stream.subjects.add(record.subject, sequence, at: position)
      stream.lastTimestamp_ns = max(stream.lastTimestamp_ns, record.timestamp_ns)
    } else if record.isRelocated, stream.contains(sequence) {
      // Copied forward, and the original's file is still there, or there again.
      guard let at = stream.index.floor(sequence) else { return }
      let old = stream.index[at].position
      let source = store.segment(at: old)
      guard source !== segment else { return }
      segment.copiedFrom.insert(source.base)
      store.relocate(stream, sequence, bytes: size, from: old, to: position)
    } else if record.isRelocated, stream.removed.remove(sequence) {
      stream.place(sequence, position, bytes: size, isIndexed: false)
      stream.subjects.add(record.subject, sequence, at: position)
      stream.count += 1
      stream.bytes += Int64(size)
      segment.liveMessages += 1
      segment.liveBytes += size
    }
  }

  private func applyRemoval(_ record: Record, _ segment: Segment, _ position: UInt64) {
    if isDropped(record.stream, position) { return }
    guard let stream = store.streams[record.stream], record.sequence >= stream.firstSequence else { return }
    let target = UInt64(bitPattern: record.timestamp_ns)
    guard target >= store.drops[record.stream] ?? 0 else { return }
    if target >= store.segments[0].base {
      let other = store.segment(at: target)
      if other !== segment, target - other.base < UInt64(other.size) { segment.addRemoval(target: other.base) }
    }
    guard stream.contains(record.sequence) else { return }
    stream.takeOutRecovered(record.sequence)
  }

  /// Everything below `first` is removed.
  private func raiseFirst(_ stream: StreamLog, _ first: UInt64) {
    guard first > stream.firstSequence else { return }
    stream.removeThrough(first - 1)
    // Until the end of the run the mark stays, and what is missing above it counts as removed: copies of it may still come.
    let lowest = stream.count > 0 ? stream.firstSequence : stream.lastSequence + 1
    if lowest > first { stream.removed.insert(first, lowest - 1) }
    stream.firstSequence = first
    stream.lastSequence = max(stream.lastSequence, first - 1)
  }

  private func finish(_ stream: StreamLog) {
    if let last = lastKnown[stream.id], last > stream.lastSequence {
      let first = stream.lastSequence + 1
      if damage > damageSeen[stream.id] ?? 0 { report.lost.append(LostSequences(stream: stream.id, first: first, last: last)) }
      if stream.count > 0 { stream.removed.insert(first, last) }
      stream.lastSequence = last
    }
    if stream.count == 0 {
      stream.firstSequence = stream.lastSequence + 1
      stream.removed.removeAll()
      stream.index.removeAll()
    } else {
      stream.firstSequence = stream.nextSequence(atOrAfter: stream.firstSequence)!
      stream.removed.removeBelow(stream.firstSequence)
    }
    stream.firstIsDirty = false
    stream.subjects.countEverything()
  }
}
