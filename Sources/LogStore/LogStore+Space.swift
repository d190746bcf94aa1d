// Giving space back: removing segments in which nothing lives, and copying forward what still lives in mostly dead ones.
import Bytes
import Platform

/// A segment whose live records are being copied to the head of the log, a piece per loop turn.
final class Compaction {
  let segment: Segment
  /// Streams whose messages were not looked at yet.
  var streams: [UInt32]
  /// Continue behind this sequence in the first of them.
  var after: UInt64 = 0
  /// Then the removals that the segment holds, from this offset on.
  var removalsFrom = SegmentHeader.recordsOffset

  init(_ segment: Segment, streams: [UInt32]) {
    self.segment = segment
    self.streams = streams
  }
}

extension LogStore {
  // MARK: Removals in the log

  /// Logs that an interior message was removed; `target` is a position in its segment.
  func logRemoval(_ stream: StreamLog, _ sequence: UInt64, target: UInt64) {
    do throws(StoreError) {
      try appendRemoval(stream: stream.id, sequence, target: target)
      appendedPosition += 1
    } catch {
      appendedPosition += 1
      owedRemovals.append((stream.id, sequence, target))
      checkpointIsOwed()
    }
    commitLazily()
  }

  /// Appends a copy of a removal.
  func appendRemoval(_ record: Record) throws(StoreError) {
    try appendRemoval(stream: record.stream, record.sequence, target: UInt64(bitPattern: record.timestamp_ns))
  }

  func appendRemoval(stream: UInt32, _ sequence: UInt64, target: UInt64) throws(StoreError) {
    let position = try appendPlain(kind: RecordKind.remove, stream: stream, sequence: sequence, timestamp_ns: Int64(bitPattern: target))
    noteRemoval(at: position, target: target)
  }

  private func noteRemoval(at position: UInt64, target: UInt64) {
    let here = segment(at: position)
    guard let base = existing(target) else { return }
    if base != here.base { here.addRemoval(target: base) }
  }

  /// The base of the segment that holds `position`, when its file is there or may come back after a power cut.
  private func existing(_ position: UInt64) -> UInt64? {
    var best: UInt64?
    for base in unsyncedRemovals where base <= position { best = max(best ?? 0, base) }
    if let first = segments.first, first.base <= position {
      let segment = segment(at: position)
      if position - segment.base < UInt64(segment.size) { best = max(best ?? 0, segment.base) }
    }
    return best
  }

  /// Something could not be logged now: the next segment's checkpoint has it, and nothing counts as durable until then.
  func checkpointIsOwed() {
    if owedFrom == nil { owedFrom = appendedPosition }
    if !isFailed { failed(DiskError(.noSpace, operation: "write", path: directory)) }
  }

  /// A new segment's checkpoint was written: what was owed is in it.
  func settleOwed() throws(StoreError) {
    let removals = owedRemovals
    owedRemovals = []
    for (id, sequence, target) in removals where streams[id] != nil && target >= drops[id] ?? 0 {
      try appendRemoval(stream: id, sequence, target: target)
    }
    owedFrom = nil
  }

  // MARK: Removing dead segments

  /// Looks for dead segments at the end of this turn, so that none disappears under a read.
  func queueRelease() {
    guard isOpen, !releaseQueued else { return }
    releaseQueued = true
    host.turn.defer { [self] in
      releaseQueued = false
      releaseSegments()
    }
  }

  private func releaseLater() {
    guard !releaseTimer.isScheduled else { return }
    host.after(0, releaseTimer) { [self] in releaseSegments() }
  }

  /// Removes the files of segments in which nothing lives, once a newer segment with its checkpoint is durable.
  func releaseSegments() {
    guard isOpen, !isFailed, let active, active.durableSize > 0, inFlight?.segment.base ?? .max >= active.base else { return }
    var held: Int64 = 0
    let end_ns = host.clock.monotonic_ns + Limits.turn_ns
    for segment in segments where segment !== active && segment.isEmpty {
      guard segment.base < active.base, min(segment.releasePosition, appendedPosition) <= durablePosition,
        compaction?.segment !== segment
      else { continue }
      if isHeld(segment) {
        held += Int64(segment.size)
      } else if host.clock.monotonic_ns < end_ns {
        release(segment)
      } else {
        // Giving back a file takes the file system a while.
        releaseLater()
        break
      }
    }
    holdReleases(held)
    // Removals of messages in these files keep other segments until the names are surely gone: worth a wait only for space.
    if !unsyncedRemovals.isEmpty, isSpaceNear { wantNames() }
  }

  private func release(_ segment: Segment) {
    if isInCheckpoint(segment) { checkpoint?.isSpoiled = true }
    closeFile(segment)
    do {
      // What could not be read is not deleted.
      if segment.isDamaged, isRepairing {
        try host.disk.rename(segment.path, to: segment.path + ".damaged")
      } else {
        try host.disk.remove(segment.path)
      }
    } catch {
      if error.kind != .notFound {
        host.log.error("Store \(directory): cannot remove \(segment.path) (\(LogStore.describe(error.kind)))")
        return
      }
    }
    bytesOnDisk -= Int64(segment.size)
    segments.removeAll { $0 === segment }
    unsyncedRemovals.append(segment.base)
    if segment.isSealed { removedSeals[segment.base] = segment.base + UInt64(segment.durableSize) }
    if isSpaceLow { isSpaceLow = ((try? host.disk.freeSpace(directory)) ?? .max) < Int64(options.reserveBytes) + Int64(pendingBytes) }
  }

  /// The names of the segments that were removed before a sync of the directory began are gone for good: removals of their messages are of
  /// no use any more.
  func directorySynced() {
    let count = removalsInSync
    removalsInSync = 0
    guard count > 0 else { return }
    for base in unsyncedRemovals[..<count] {
      removedSeals[base] = nil
      for segment in segments { segment.forget(target: base) }
    }
    unsyncedRemovals.removeFirst(count)
    queueRelease()
  }

  /// Bytes of dead segments whose files go as soon as the removals that killed them are durable.
  var releasableBytes: Int64 {
    segments.reduce(0) { $0 + ($1.isEmpty && $1 !== active ? Int64($1.size) : 0) }
  }

  // MARK: Compaction

  /// A new segment began, or something was removed: looks for a segment that is mostly dead.
  func considerSpace() { wantSpace() }

  /// Two segments, or an eighth of the store, are left before messages are refused.
  private var isSpaceNear: Bool {
    let limit = messageBytesMax
    return isSpaceLow || bytesOnDisk + max(2 * Int64(options.segmentBytes), limit / 8) > limit
  }

  /// Space is needed: starts to copy the deadest segment forward.
  func wantSpace() {
    if isDirty, isSpaceNear { commitSoon() }
    guard compaction == nil, isOpen, !isFailed, !isClosing, host.clock.monotonic_ns >= compactionPause_ns else { return }
    guard let segment = compactionCandidate() else { return }
    compaction = Compaction(segment, streams: streamIDs)
    continueCompaction()
  }

  /// The segment with the least to copy. Below a quarter always; while messages are refused for lack of space, anything that gives
  /// back half of itself.
  private func compactionCandidate() -> Segment? {
    let isFull = bytesOnDisk + Int64(options.segmentBytes / 4) > messageBytesMax || isSpaceLow
    var best: Segment?
    var bestPercent: Int64 = 100
    for segment in segments where segment !== active && segment.durableSize > 0 && !segment.isStuck {
      // Not by bytes: beside records that could not be read they are not exact.
      guard segment.liveMessages > 0 || segment.liveRemovals > 0 else { continue }
      guard segment.base < active?.base ?? 0, segment.durableSize == segment.size || segment.isSealed else { continue }
      if isRepairing, segment.isDamaged { return segment }
      // In what it holds beside its checkpoint, which every segment has.
      let percent = segment.keptBytes * 100 / Int64(max(1, segment.size - segment.checkpointEnd))
      guard percent < (isFull ? 50 : 25), percent < bestPercent else { continue }
      best = segment
      bestPercent = percent
    }
    return best
  }

  private func continueCompaction() {
    host.after(0, compactionTimer) { [self] in compactPiece() }
  }

  private func compactPiece() {
    guard let compaction, isOpen, !isFailed, !isClosing else {
      self.compaction = nil
      return
    }
    // The copies wait for the disk like everything else: no more than a piece at a time.
    guard pendingBytes < 2 * Limits.compactionBytesPerTurn else {
      host.after(millisecond_ns, compactionTimer) { [self] in compactPiece() }
      return
    }
    let before = appendedBytes
    let end_ns = host.clock.monotonic_ns + Limits.turn_ns
    do throws(StoreError) {
      while appendedBytes - before < Limits.compactionBytesPerTurn, host.clock.monotonic_ns < end_ns, let id = compaction.streams.last {
        if let stream = streams[id], try compactAnchor(stream, compaction) { continue }
        compaction.streams.removeLast()
        compaction.after = 0
      }
      if compaction.streams.isEmpty { try compactRemovals(compaction, before, end_ns) }
    } catch {
      self.compaction = nil
      compactionPause_ns = host.clock.monotonic_ns + options.lazyDelay_ns
    }
    bytesCompacted += appendedBytes - before
    if appendedBytes > before { commitSoon() }
    guard self.compaction != nil else { return }
    guard compaction.streams.isEmpty, compaction.removalsFrom >= compaction.segment.durableSize else {
      continueCompaction()
      return
    }
    // The last piece may have had nothing to copy, and the commit of what was copied before may be under way.
    appendedPosition += 1
    commitSoon()
    compaction.segment.releasePosition = appendedPosition
    self.compaction = nil
    queueRelease()
    host.turn.defer { [self] in considerSpace() }
  }

  /// Copies the live messages behind the next anchor of `stream` that lies in the segment; false when there is none.
  private func compactAnchor(_ stream: StreamLog, _ compaction: Compaction) throws(StoreError) -> Bool {
    let segment = compaction.segment
    var found = compaction.after == 0 ? stream.index.first : stream.index.floor(compaction.after) ?? stream.index.first
    while let place = found, !segment.holds(stream.index[place].position) { found = stream.index.place(after: place) }
    guard let at = found else { return false }
    let anchor = stream.index[at]
    let next = stream.index.end(of: at)
    let buffer = takeReadBuffer()
    defer { giveReadBuffer(buffer) }
    var cursor = StreamLog.Cursor(anchor, self)
    var copies: [(sequence: UInt64, position: UInt64, bytes: Int)] = []
    var failure: StoreError?
    try makeRoom(options.indexSpacingBytes)
    holdTogether = true
    defer { holdTogether = false }
    do throws(StoreError) {
      while copies.count < Int(anchor.count), let record = try cursor.next(stream.id, self, buffer, window: ReadBuffer.scanBytes) {
        guard record.sequence >= anchor.sequence, record.sequence < next, stream.contains(record.sequence) else { continue }
        let position = try appendCopy(record, flags: RecordFlag.relocated)
        copies.append((record.sequence, position, record.messageBytes))
      }
    } catch { failure = error }
    if let failure, copies.isEmpty { throw failure }
    compaction.after = next == .max ? stream.lastSequence : next - 1
    appendedPosition += 1
    segment.releasePosition = appendedPosition
    guard let first = copies.first else {
      segment.isStuck = true
      return next != .max
    }
    let target = self.segment(at: first.position)
    target.copiedFrom.insert(segment.base)
    guard copies.count == Int(anchor.count) else {
      // What was copied is in the log: its removals are aimed at the copies from now on.
      for copy in copies { relocate(stream, copy.sequence, bytes: copy.bytes, from: anchor.position, to: copy.position) }
      if let failure { throw failure }
      // Damaged messages cannot be copied: they stay where they are, and so does the segment.
      segment.isStuck = true
      return next != .max
    }
    segment.liveMessages -= copies.count
    segment.liveBytes -= anchor.bytes
    target.liveMessages += copies.count
    target.liveBytes += anchor.bytes
    stream.index[at].position = first.position
    return true
  }

  /// Copies the removals in the segment whose messages are still in a file.
  private func compactRemovals(_ compaction: Compaction, _ before: Int64, _ end_ns: Int64) throws(StoreError) {
    let segment = compaction.segment
    guard segment.liveRemovals > 0 else {
      compaction.removalsFrom = segment.durableSize
      return
    }
    let buffer = takeReadBuffer()
    defer { giveReadBuffer(buffer) }
    var walked = 0
    while compaction.removalsFrom < segment.durableSize, appendedBytes - before < Limits.compactionBytesPerTurn {
      // The clock is looked at every 64 KB.
      if walked >= ReadBuffer.scanBytes {
        walked = 0
        if host.clock.monotonic_ns >= end_ns { break }
      }
      guard let record = try record(segment, compaction.removalsFrom, buffer, window: ReadBuffer.scanBytes) else {
        let next = try resync(segment, after: compaction.removalsFrom, end: segment.durableSize, buffer, window: ReadBuffer.scanBytes)
        compaction.removalsFrom = next
        continue
      }
      compaction.removalsFrom += record.paddedLength
      walked += record.paddedLength
      guard record.kind == RecordKind.remove, let base = existing(UInt64(bitPattern: record.timestamp_ns)), base != segment.base,
        let stream = streams[record.stream], record.sequence >= stream.firstSequence,
        UInt64(bitPattern: record.timestamp_ns) >= drops[record.stream] ?? 0  // not of a dropped stream that had the same number
      else { continue }
      try appendRemoval(record)
    }
    if compaction.removalsFrom >= segment.durableSize {
      segment.removals = [:]
      segment.liveRemovals = 0
    }
  }
}
