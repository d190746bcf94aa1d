// Taking over a checkpoint file at the start. Everything in it is checked against the files that are there; when something does not fit,
// the log is read as if there were no checkpoint.
import Bytes
import Interest
import Platform

extension Recovery {
  /// Takes over the newest checkpoint that fits. Returns the file in which reading goes on, and the offset in it.
  func takeCheckpoint() -> (file: Int, offset: Int)? {
    var found: [(slot: Int, header: CheckpointHeader, size: Int)] = []
    for slot in 0..<2 {
      guard let (header, size) = readHeader(slot) else { continue }
      store.checkpointFileBytes[slot] = size
      store.areCheckpointsNamed[slot] = store.areNamesSure
      guard let header, header.salt == store.salt, store.salt != 0 else { continue }
      store.checkpointGeneration = max(store.checkpointGeneration, header.generation)
      found.append((slot, header, size))
    }
    guard store.options.hasCheckpoints else { return nil }
    found.order { $0.header.generation > $1.header.generation }
    for (slot, header, size) in found {
      let loader = CheckpointLoader(self, header)
      if let start = loader.load(slot, size: size) {
        store.newestCheckpoint = slot
        store.checkpointSize = Int(header.size) + CheckpointHeader.framesOffset
        store.nextBatch = header.nextBatch
        store.chain = header.chain
        checkpointIsTaken(header.position)
        report.hasCheckpoint = true
        return start
      }
      store.host.log.warning("Store \(store.directory): a checkpoint does not fit the log and is not used")
      forgetState()
    }
    return nil
  }

  private func readHeader(_ slot: Int) -> (header: CheckpointHeader?, size: Int)? {
    let disk = store.host.disk
    guard let file = try? disk.open(store.path(LogStore.checkpointName(slot)), create: false) else { return nil }
    defer { disk.close(file) }
    guard let size = try? disk.size(file) else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: CheckpointHeader.bytes, alignment: 8) { block in
      guard (try? disk.read(file, at: 0, into: block)) == CheckpointHeader.bytes else { return (nil, size) }
      return (CheckpointHeader(UnsafeRawBufferPointer(block)), size)
    }
  }

  /// As it was before anything was read, apart from the files.
  func forgetState() {
    files.removeAll { file in !store.segments.contains { $0 === file.segment } }
    store.segments = files.map { $0.segment }
    for segment in store.segments { segment.reset() }
    store.streams = [:]
    store.drops = [:]
    store.metadata.removeAll()
    store.movedFirst = []
    store.nextBatch = 1
    store.chain = 0
    store.newestCheckpoint = nil
    store.checkpointSize = 0
    report.forgetContents()
    forgetReading()
  }

  /// Forgets the segments that the checkpoint knew and whose files are gone since. False when something of them was needed: messages
  /// that are still there, or the subjects of messages that were removed since.
  func settleMissing() -> Bool {
    let missing = store.segments.filter { $0.isMissing }
    if store.wasMissing { return false }
    for segment in missing where segment.liveMessages > 0 { return false }
    store.segments.removeAll { $0.isMissing }
    // Nor does anything keep what belongs to files that were gone, not yet for good, when the checkpoint was written. They are now:
    // the directory was synced before it was read.
    let present = Set(store.segments.map { $0.base })
    for segment in store.segments {
      for base in segment.removals.keys where !present.contains(base) { segment.forget(target: base) }
      for base in segment.copiedFrom where !present.contains(base) { segment.forget(target: base) }
    }
    return true
  }
}

/// One attempt to load a checkpoint.
private final class CheckpointLoader {
  private let recovery: Recovery
  private let store: LogStore
  private let header: CheckpointHeader
  private var listed: [Segment] = []
  private var gone: Set<UInt64> = []
  private var areSegmentsTaken = false
  private var stream: StreamLog?
  private var lastSequence: UInt64 = 0
  private var lastPosition: UInt64 = 0

  init(_ recovery: Recovery, _ header: CheckpointHeader) {
    self.recovery = recovery
    store = recovery.store
    self.header = header
  }

  func load(_ slot: Int, size: Int) -> (file: Int, offset: Int)? {
    guard header.position > 0, header.position < UInt64(1) << 62, header.size <= UInt64(max(0, size - CheckpointHeader.framesOffset)),
      let file = try? store.host.disk.open(store.path(LogStore.checkpointName(slot)), create: false)
    else { return nil }
    defer { store.host.disk.close(file) }
    guard readFrames(file), takeSegments(), finishStream() else { return nil }
    guard let last = listed.last, let at = recovery.files.firstIndex(where: { $0.segment === last }) else { return nil }
    for segment in listed { segment.isInCheckpoint = true }
    return (at, Int(header.position - last.base))
  }

  private func readFrames(_ file: FileHandle) -> Bool {
    var offset = CheckpointHeader.framesOffset
    let end = offset + Int(header.size)
    var memory: [UInt8] = []
    for frame in 0..<header.frameCount {
      guard offset + CheckpointFrame.headBytes <= end else { return false }
      let head = read(file, offset, CheckpointFrame.headBytes, &memory).map { $0.base }
      guard let head else { return false }
      let crc = UInt32(littleEndian: UnsafeRawPointer(head).loadUnaligned(as: UInt32.self))
      let stated = UInt32(littleEndian: UnsafeRawPointer(head).loadUnaligned(fromByteOffset: 4, as: UInt32.self))
      offset += CheckpointFrame.headBytes
      guard stated <= UInt32(clamping: end - offset), case let length = Int(stated), let content = read(file, offset, length, &memory)
      else { return false }
      guard header.checksum(frame, content) == crc, take(content) else { return false }
      offset += length
    }
    return offset == end
  }

  /// Reads into `memory`; the view is valid until the next read.
  private func read(_ file: FileHandle, _ offset: Int, _ count: Int, _ memory: inout [UInt8]) -> ByteView? {
    if memory.count < count { memory = [UInt8](repeating: 0, count: max(count, CheckpointFrame.bytesMin + (16 << 10))) }
    let disk = store.host.disk
    let got = memory.withUnsafeMutableBytes { buffer in
      (try? disk.read(file, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))) ?? 0
    }
    guard got == count else { return nil }
    return memory.withView { $0.prefix(count) }
  }

  private func take(_ content: ByteView) -> Bool {
    var reader = CheckpointReader(content)
    while !reader.isAtEnd {
      switch reader.byte() {
      case CheckpointEntry.segment: takeSegment(&reader)
      case CheckpointEntry.gone: gone.insert(reader.number())
      case CheckpointEntry.later:
        // Messages that were added and removed while the checkpoint was written can only be told from these files.
        let base = reader.number()
        if !store.segments.contains(where: { $0.base == base }) { reader.fail() }
      case CheckpointEntry.drop: store.drops[UInt32(truncatingIfNeeded: reader.number())] = reader.number()
      case CheckpointEntry.metadata:
        let key = ByteString(reader.text())
        store.metadata.set(key, reader.text().bytes)
      case CheckpointEntry.stream: takeStream(&reader)
      case CheckpointEntry.removed: takeRemoved(&reader)
      case CheckpointEntry.anchors: takeAnchor(&reader)
      case CheckpointEntry.subjects: takeSubjects(&reader)
      default: reader.fail()
      }
    }
    return reader.isValid
  }

  private func takeSegment(_ reader: inout CheckpointReader) {
    let base = reader.number()
    let end = reader.number()
    let checkpointEnd = reader.number()
    let isSealed = reader.number() == 1
    guard reader.isValid, !areSegmentsTaken, base > listed.last?.base ?? 0 || listed.isEmpty, base < UInt64(1) << 62,
      end <= UInt64(LogStore.Limits.segmentFileBytesMax), checkpointEnd <= end
    else { return reader.fail() }
    let segment: Segment
    if let present = store.segments.first(where: { $0.base == base }) {
      segment = present
      guard Int(end) <= segment.size else { return reader.fail() }
    } else {
      segment = Segment(base: base, path: store.path(Segment.name(base)), size: Int(end))
      segment.isMissing = true
    }
    segment.durableSize = Int(end)
    segment.checkpointEnd = Int(checkpointEnd)
    segment.isSealed = isSealed
    listed.append(segment)
    // The counts may say anything: it is the frame's end that ends these.
    var removals = reader.number()
    while removals > 0, reader.isValid {
      let target = reader.number()
      segment.addRemovals(target: target, min(Int(clamping: reader.number()), LogStore.Limits.segmentFileBytesMax - segment.liveRemovals))
      removals -= 1
    }
    var copies = reader.number()
    while copies > 0, reader.isValid {
      segment.copiedFrom.insert(reader.number())
      copies -= 1
    }
  }

  /// Takes over the list of segments. False when the files that are there cannot have become of those.
  private func takeSegments() -> Bool {
    if areSegmentsTaken { return true }
    areSegmentsTaken = true
    guard let last = listed.last, !last.isMissing, last.base + UInt64(last.durableSize) == header.position, isFramed(last)
    else { return false }
    for segment in store.segments where !listed.contains(where: { $0 === segment }) {
      guard segment.base > last.base || gone.contains(segment.base) else { return false }
      listed.append(segment)
    }
    let newer = listed
    listed.removeAll { $0.base > last.base || gone.contains($0.base) }
    store.segments = newer.ordered { $0.base < $1.base }
    return true
  }

  /// Whether the log has at this place the frame of the batch that the checkpoint came after: it chains everything before.
  private func isFramed(_ segment: Segment) -> Bool {
    let offset = segment.durableSize - Record.commitBytes
    guard offset >= SegmentHeader.recordsOffset, let file = try? store.file(of: segment) else { return false }
    return withUnsafeTemporaryAllocation(byteCount: Record.commitBytes, alignment: 8) { block in
      guard (try? store.host.disk.read(file, at: offset, into: block)) == Record.commitBytes,
        let frame = Record.checked(
          block.baseAddress!, available: Record.commitBytes, salt: store.salt, position: segment.base + UInt64(offset))
      else { return false }
      return frame.kind == RecordKind.commit && frame.sequence &+ 1 == header.nextBatch
        && UInt32(truncatingIfNeeded: UInt64(bitPattern: frame.timestamp_ns)) == header.chain
    }
  }

  private func takeStream(_ reader: inout CheckpointReader) {
    guard takeSegments(), finishStream() else { return reader.fail() }
    let id = reader.number()
    let first = reader.number()
    let last = reader.number()
    let stamp_ns = Int64(bitPattern: reader.number())
    let isUncertain = reader.number() == 1
    let seed = reader.number()
    guard reader.isValid, id <= UInt64(UInt32.max), store.streams[UInt32(id)] == nil, last <= StreamLog.sequenceMax, first > 0,
      first <= last + 1
    else { return reader.fail() }
    let new = store.stream(UInt32(id))
    new.firstSequence = first
    new.lastSequence = last
    new.lastTimestamp_ns = stamp_ns
    new.subjects = SubjectIndex(seed: seed, pageSubjectsMax: store.options.subjectsPerPage)
    if isUncertain { new.beginRecount() }
    recovery.knew(UInt32(id), last: last)
    stream = new
    lastSequence = 0
    lastPosition = 0
  }

  private func takeRemoved(_ reader: inout CheckpointReader) {
    let (first, overflow) = lastSequence.addingReportingOverflow(reader.number())
    let (last, tooLong) = first.addingReportingOverflow(reader.number())
    guard reader.isValid, !overflow, !tooLong, let stream, stream.index.isEmpty, first > stream.firstSequence, first > lastSequence,
      last <= stream.lastSequence
    else { return reader.fail() }
    stream.removed.insert(first, last)
    lastSequence = last
  }

  private func takeAnchor(_ reader: inout CheckpointReader) {
    guard let stream else { return reader.fail() }
    if stream.index.isEmpty { lastSequence = 0 }
    let (sequence, overflow) = lastSequence.addingReportingOverflow(reader.number())
    let position = lastPosition &+ reader.difference()
    let bytes = reader.number()
    let bits = reader.number()
    guard reader.isValid, !overflow, sequence > lastSequence || stream.index.isEmpty, sequence <= stream.lastSequence,
      bits >> 1 > 0, bits >> 1 <= UInt64(Anchor.countMax), bytes <= UInt64(LogStore.Limits.segmentFileBytesMax),
      position >= store.segments[0].base,
      position < header.position
    else { return reader.fail() }
    let segment = store.segment(at: position)
    guard position - segment.base < UInt64(segment.durableSize), Int64(bytes) <= Int64.max - stream.bytes,
      Int(bytes) <= Int.max - segment.liveBytes, bits >> 1 <= UInt64(Int.max - max(stream.count, segment.liveMessages))
    else { return reader.fail() }
    stream.index.append(
      Anchor(
        sequence: sequence, position: position, bytes: Int(bytes), count: UInt32(bits >> 1), mayHaveHeaders: bits & 1 == 1))
    stream.count += Int(bits >> 1)
    stream.bytes += Int64(bytes)
    segment.liveMessages += Int(bits >> 1)
    segment.liveBytes += Int(bytes)
    lastSequence = sequence
    lastPosition = position
  }

  private func takeSubjects(_ reader: inout CheckpointReader) {
    let depth = reader.number()
    let subjects = reader.number()
    let textBytes = reader.number()
    let position = reader.number()
    // Neither number can be more than the bytes that follow.
    guard reader.isValid, let stream, depth < 64, subjects <= UInt64(reader.left), textBytes <= UInt64(reader.left) + 8,
      position >= header.position,
      stream.subjects.restorePage(
        depth: Int(depth), subjects: Int(subjects), textBytes: Int(textBytes), countedThrough: position)
    else { return reader.fail() }
    recovery.countedThrough = max(recovery.countedThrough, position)
    let base = stream.firstSequence
    for _ in 0..<subjects {
      let subject = reader.text()
      let bits = reader.number()
      let first = base &+ reader.difference()
      let last = first &+ reader.difference()
      let flag: UInt64 = 1 << 63
      guard reader.isValid, bits >> 2 <= UInt64(UInt32.max), (first | last) & flag == 0,
        stream.subjects.restore(
          subject, count: UInt32(bits >> 2), first: first | (bits & 2 == 0 ? 0 : flag), last: last | (bits & 1 == 0 ? 0 : flag))
      else { return reader.fail() }
    }
  }

  /// The stream that was read last is complete: do its numbers agree?
  private func finishStream() -> Bool {
    guard let stream else { return true }
    self.stream = nil
    guard stream.subjects.isRestored else { return false }
    let (first, last) = (stream.firstSequence, stream.lastSequence)
    if stream.count == 0 { return first == last + 1 && stream.removed.isEmpty }
    return first <= last && stream.index.floor(first) != nil && last - first + 1 == UInt64(stream.count) + stream.removed.count
  }
}
