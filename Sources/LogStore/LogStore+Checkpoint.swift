// Checkpoint files: now and then the store's whole state is written beside the log, so that a start reads little more than what came
// after. What they look like is in CheckpointCoding, how they are read in Recovery+Checkpoint.
//
// A checkpoint is a shortcut, never the truth: the log alone says everything, and a checkpoint that does not fit it is passed over.
import Bytes
import Interest
import Platform

/// A checkpoint that is being written: the state at one moment, which its copies of values keep as it was while the store goes on.
///
/// Subjects are too many to be copied. They are written as they are when their turn comes, a page at a time, each with the position in the
/// log up to which it counts; a start leaves them alone before.
final class Checkpoint {
  struct Stream {
    let log: StreamLog
    let first: UInt64
    let last: UInt64
    let lastTimestamp_ns: Int64
    /// Its subjects were just being counted anew.
    let isUncertain: Bool
    let index: AnchorIndex
    let removed: SequenceSet
    let subjectsSeed: UInt64
  }

  var header: CheckpointHeader
  /// Which of the two files.
  let slot: Int
  let file: FileHandle
  /// The log must be durable up to here before the checkpoint counts: it must not say more than the log does.
  var reach: UInt64
  /// Something happened that what is written does not fit any more.
  var isSpoiled = false
  /// Segments with live messages or removals.
  let alive: [UInt64]
  var frame: CheckpointFrame
  /// File offset behind the last frame.
  var offset = CheckpointHeader.framesOffset
  /// Its last frame is written.
  var isComplete = false
  /// The header's sector, while that is being written.
  var block: [UInt8] = []

  private var metadata: ByteMap<[UInt8]>
  private var metadataAt = 0
  private var streams: [Stream]
  private var areLaterPut = false
  private static var flag: UInt64 { 1 << 63 }
  private enum Part { case head, removed, anchors, subjects }
  private var part = Part.head
  /// What comes next in the current part: a sequence or a hash.
  private var next: UInt64 = 0
  private var nextAnchor: AnchorIndex.Place?
  private var lastSequence: UInt64 = 0
  private var lastPosition: UInt64 = 0

  init(
    header: CheckpointHeader, slot: Int, file: FileHandle, alive: [UInt64], metadata: ByteMap<[UInt8]>, streams: [Stream],
    frameBytes: Int
  ) {
    self.header = header
    self.slot = slot
    self.file = file
    reach = header.position
    self.alive = alive
    frame = CheckpointFrame(bytesMin: frameBytes)
    self.metadata = metadata
    self.streams = streams
  }

  /// Goes on filling the frame. False when nothing is left.
  func fill(_ store: LogStore) -> Bool {
    putMetadata()
    while !frame.isFull, !isSpoiled {
      guard let stream = streams.last else {
        if !areLaterPut { putLater(store) }
        return !frame.isEmpty
      }
      if part == .head { putHead(stream) }
      if part == .removed { putRemoved(stream) }
      if part == .anchors { putAnchors(stream) }
      if part == .subjects, putSubjects(stream, store) {
        streams.removeLast()
        part = .head
      }
    }
    return true
  }

  private func putMetadata() {
    while !frame.isFull {
      guard let (key, value) = metadata.next(from: &metadataAt) else { return metadata.removeAll() }
      frame.put(CheckpointEntry.metadata)
      key.withView { frame.put($0) }
      value.withView { frame.put($0) }
    }
  }

  /// The segments that were begun meanwhile, as far as the subjects count what is in them.
  private func putLater(_ store: LogStore) {
    areLaterPut = true
    for segment in store.segments where segment.base >= header.position && segment.base < reach {
      frame.put(CheckpointEntry.later)
      frame.put(segment.base)
    }
  }

  private func putHead(_ stream: Stream) {
    frame.put(CheckpointEntry.stream)
    frame.put(UInt64(stream.log.id))
    frame.put(stream.first)
    frame.put(stream.last)
    frame.put(UInt64(bitPattern: stream.lastTimestamp_ns))
    frame.put(stream.isUncertain ? 1 : 0 as UInt64)
    frame.put(stream.subjectsSeed)
    part = .removed
    next = 0
    lastSequence = 0
    lastPosition = 0
  }

  private func putRemoved(_ stream: Stream) {
    while let span = stream.removed.span(endingAtOrAfter: next) {
      guard !frame.isFull else { return }
      frame.put(CheckpointEntry.removed)
      frame.put(span.first - lastSequence)
      frame.put(span.last - span.first)
      lastSequence = span.last
      next = span.last + 1
    }
    part = .anchors
    nextAnchor = stream.index.first
    lastSequence = 0
  }

  private func putAnchors(_ stream: Stream) {
    while let place = nextAnchor {
      guard !frame.isFull else { return }
      let anchor = stream.index[place]
      nextAnchor = stream.index.place(after: place)
      frame.put(CheckpointEntry.anchors)
      frame.put(anchor.sequence - lastSequence)
      frame.put(difference: anchor.position &- lastPosition)
      frame.put(UInt64(anchor.bytes))
      frame.put(UInt64(anchor.count) << 1 | (anchor.mayHaveHeaders ? 1 : 0))
      lastSequence = anchor.sequence
      lastPosition = anchor.position
    }
    part = .subjects
    next = 0
  }

  /// Returns whether all subjects of the stream are through.
  private func putSubjects(_ stream: Stream, _ store: LogStore) -> Bool {
    let log = stream.log
    while !frame.isFull {
      guard !log.isDropped, log.subjects.seed == stream.subjectsSeed, log.subjects.hasPage(at: next), let position = store.settledEnd
      else {
        isSpoiled = true
        return false
      }
      reach = position
      let base = stream.first
      let following = log.subjects.writePage(at: next) { depth, subjects, textBytes in
        frame.put(CheckpointEntry.subjects)
        frame.put(UInt64(depth))
        frame.put(UInt64(subjects))
        frame.put(UInt64(textBytes))
        frame.put(position)
      } _: { subject, count, first, last in
        frame.put(subject)
        // The top bit of either number says that it is a bound; it goes to the bottom of the count, where it costs nothing.
        frame.put(UInt64(count) << 2 | (first >> 63) << 1 | last >> 63)
        let sequence = first & ~Checkpoint.flag
        frame.put(difference: sequence &- base)
        frame.put(difference: (last & ~Checkpoint.flag) &- sequence)
      }
      guard let following else { return true }
      next = following
    }
    return false
  }
}

extension LogStore {
  static func checkpointName(_ slot: Int) -> String { slot == 0 ? "checkpoint-0" : "checkpoint-1" }

  /// A dead segment's file waits for a checkpoint at most this long.
  private static let releaseDelay_ns = 10 * second_ns

  /// About what a checkpoint would take now.
  private var checkpointEstimate: Int64 {
    var size = Int64(CheckpointHeader.framesOffset + segments.count * 16 + metadataBytes)
    for stream in streams.values {
      size += Int64(40 + stream.index.count * 9 + stream.removed.spanCount * 4) + Int64(stream.subjects.subjectCount) * 30
    }
    return size
  }

  /// A checkpoint of so many bytes is due when the log has grown by this.
  private func due(_ size: Int64) -> Int64 { size * Int64(options.checkpointRatio) }

  /// Begins a checkpoint when one is due.
  func considerCheckpoint() {
    guard checkpoint == nil, isOpen, !isClosing, !isFailed, owedFrom == nil, options.hasCheckpoints, active != nil, !isSpaceLow
    else { return }
    let grown = appendedBytes - checkpointedAt
    guard grown >= Int64(options.segmentBytes) || heldBytes > 0 else { return }
    if !isCheckpointForced, grown + heldBytes < due(checkpointEstimate) { return }
    beginCheckpoint()
  }

  private func beginCheckpoint() {
    host.timers.cancel(checkpointTimer)
    isCheckpointForced = false
    checkpointedAt = appendedBytes
    if collecting == nil { logMovedFirst() }
    closeBatch()
    guard let active, owedFrom == nil, !isFailed else { return }
    let slot = newestCheckpoint.map { 1 - $0 } ?? 0
    let file: FileHandle
    do throws(DiskError) { file = try openCheckpoint(slot) } catch {
      host.log.warning("Store \(directory): no checkpoint can be begun (\(LogStore.describe(error.kind)))")
      return
    }
    checkpointGeneration += 1
    let header = CheckpointHeader(
      salt: salt, generation: checkpointGeneration, position: active.base + UInt64(active.size), nextBatch: nextBatch, chain: chain)
    var alive: [UInt64] = []
    for segment in segments where !segment.isEmpty { alive.append(segment.base) }
    var captured: [Checkpoint.Stream] = []
    for stream in streams.values where stream.lastSequence > 0 {
      captured.append(
        Checkpoint.Stream(
          log: stream, first: stream.firstSequence, last: stream.lastSequence, lastTimestamp_ns: stream.lastTimestamp_ns,
          isUncertain: stream.recount != nil, index: stream.index, removed: stream.removed, subjectsSeed: stream.subjects.seed))
    }
    let new = Checkpoint(
      header: header, slot: slot, file: file, alive: alive, metadata: metadata, streams: captured,
      frameBytes: options.checkpointFrameBytes)
    new.frame.begin()
    putStore(&new.frame)
    checkpoint = new
    if !waiting.isEmpty { commitSoon() }
    continueCheckpoint()
  }

  private func openCheckpoint(_ slot: Int) throws(DiskError) -> FileHandle {
    let path = path(Self.checkpointName(slot))
    do throws(DiskError) { return try host.disk.open(path, create: false) } catch {
      guard error.kind == .notFound else { throw error }
    }
    areCheckpointsNamed[slot] = false
    return try host.disk.open(path, create: true)
  }

  /// Everything but metadata and streams.
  private func putStore(_ frame: inout CheckpointFrame) {
    for segment in segments {
      frame.put(CheckpointEntry.segment)
      frame.put(segment.base)
      frame.put(UInt64(segment === active || !segment.isSealed ? segment.size : segment.durableSize))
      frame.put(UInt64(segment.checkpointEnd))
      frame.put(segment.isSealed ? 1 : 0 as UInt64)
      frame.put(UInt64(segment.removals.count))
      for (target, count) in segment.removals {
        frame.put(target)
        frame.put(UInt64(count))
      }
      frame.put(UInt64(segment.copiedFrom.count))
      for base in segment.copiedFrom { frame.put(base) }
    }
    for base in unsyncedRemovals {
      frame.put(CheckpointEntry.gone)
      frame.put(base)
    }
    for (id, position) in drops {
      frame.put(CheckpointEntry.drop)
      frame.put(UInt64(id))
      frame.put(position)
    }
  }

  /// Writes the next frame, or the header at the end, when the disk is free.
  func continueCheckpoint() {
    guard let checkpoint, !isDiskBusy else { return }
    guard !isFailed, !isClosing, !checkpoint.isSpoiled else { return endCheckpoint(valid: false) }
    var offset = checkpoint.offset
    let isFrame = !checkpoint.isComplete && checkpoint.fill(self)
    if checkpoint.isSpoiled { return endCheckpoint(valid: false) }
    if isFrame {
      checkpoint.frame.seal(checkpoint.header, frame: checkpoint.header.frameCount)
      checkpoint.header.frameCount += 1
      checkpoint.offset += checkpoint.frame.bytes.count
    } else {
      checkpoint.isComplete = true
      guard durableEnd >= checkpoint.reach else { return commitSoon() }
      checkpoint.header.size = UInt64(checkpoint.offset - CheckpointHeader.framesOffset)
      checkpoint.frame.begin()
      var block = [UInt8](repeating: 0, count: CheckpointHeader.framesOffset)
      block.withUnsafeMutableBytes { checkpoint.header.write($0.baseAddress!) }
      checkpoint.block = block
      offset = 0
    }
    isCheckpointBeingWritten = true
    let isHeader = offset == 0
    // Safe beyond the closure: nobody changes or releases the array before the commit ends.
    let view = (isHeader ? checkpoint.block : checkpoint.frame.bytes).withView { $0 }
    // A new file's name comes with the header, which makes it count.
    let isNaming = isHeader && !areCheckpointsNamed[checkpoint.slot]
    if isNaming { removalsInSync = unsyncedRemovals.count }
    host.disk.commit(checkpoint.file, at: offset, [view], naming: isNaming ? directory : nil) { [self] result in
      isCheckpointBeingWritten = false
      bytesWritten += Int64(view.count)
      syncs += 1
      if case .failed(let error) = result {
        host.log.warning("Store \(directory): a checkpoint could not be written (\(LogStore.describe(error.kind)))")
        if error.kind != .noSpace, state == .healthy { setState(.degraded("a checkpoint could not be written")) }
        endCheckpoint(valid: false)
        try? host.disk.remove(path(Self.checkpointName(checkpoint.slot)))
        noteCheckpointSize(checkpoint.slot, 0)
      } else if isHeader {
        if isNaming {
          areCheckpointsNamed[checkpoint.slot] = true
          directorySynced()
        }
        endCheckpoint(valid: true)
      } else {
        checkpoint.frame.begin()
      }
      // The messages' commits and the frames take turns.
      if isCommitDue { startCommit() }
      if inFlight == nil { continueCheckpoint() }
      if isClosing { closeIfDone() }
    }
  }

  /// Where the log ends, with everything logged that happened; nil when that cannot be.
  var settledEnd: UInt64? {
    logMovedFirst()
    guard movedFirst.isEmpty, owedFrom == nil, !isFailed, let active else { return nil }
    return active.base + UInt64(active.size)
  }

  /// The checkpoint counts, or is given up.
  private func endCheckpoint(valid: Bool) {
    guard let ended = checkpoint else { return }
    checkpoint = nil
    if ended.isSpoiled {
      checkpointedAt = min(checkpointedAt, appendedBytes - max(due(checkpointEstimate), Int64(options.segmentBytes)))
    }
    host.disk.close(ended.file)
    noteCheckpointSize(ended.slot, max(ended.offset, checkpointFileBytes[ended.slot]))
    guard valid else { return }
    newestCheckpoint = ended.slot
    checkpointSize = ended.offset
    checkpoints += 1
    for segment in segments { segment.isInCheckpoint = false }
    // Some of them may have gone while it was written.
    for base in ended.alive where base >= segments.first?.base ?? .max {
      let segment = segment(at: base)
      if segment.base == base { segment.isInCheckpoint = true }
    }
    for segment in segments where segment.base >= ended.header.position && segment.base < ended.reach { segment.isInCheckpoint = true }
    queueRelease()
  }

  func noteCheckpointSize(_ slot: Int, _ size: Int) {
    bytesOnDisk += Int64(size) - Int64(checkpointFileBytes[slot])
    checkpointFileBytes[slot] = size
  }

  /// Whether a dead segment's file waits for the next checkpoint: with the last one, a start could not count down its messages. Not
  /// when space is short, nor when a checkpoint is dear.
  func isHeld(_ segment: Segment) -> Bool {
    guard segment.isInCheckpoint || isInCheckpoint(segment), options.hasCheckpoints, !isSpaceLow else { return false }
    guard bytesOnDisk + max(6 * Int64(options.segmentBytes), messageBytesMax / 8) <= messageBytesMax else { return false }
    return due(checkpointEstimate) <= max(Int64(options.segmentBytes), bytesOnDisk / 16)
  }

  /// Whether a segment was begun while the checkpoint is being written.
  func isInCheckpoint(_ segment: Segment) -> Bool { checkpoint.map { segment.base >= $0.header.position } ?? false }

  /// Dead segments wait for a checkpoint: sees to it that one comes.
  func holdReleases(_ size: Int64) {
    heldBytes = size
    guard size > 0 else { return }
    considerCheckpoint()
    guard checkpoint == nil, !checkpointTimer.isScheduled, isOpen, !isClosing else { return }
    host.after(Self.releaseDelay_ns, checkpointTimer) { [self] in
      isCheckpointForced = true
      considerCheckpoint()
    }
  }
}
