// When the disk fails. The kernel may have dropped the pages of a failed write, and a second sync would lie about it: the file is
// never written again, and what was not acknowledged is written once more, into a new segment.
import Bytes
import Platform

extension LogStore {
  /// A commit failed. Nothing of its batch was acknowledged.
  func commitFailed(_ batch: Batch, _ error: DiskError) {
    inFlight = nil
    batch.segment.isSealed = true
    if batch.segment.durableSize == 0 { batch.segment.isAbandoned = true }
    stalled.append(batch)
    stalled.append(contentsOf: waiting)
    waiting = []
    if let collecting { stalled.append(collecting) }
    collecting = nil
    active = nil
    for segment in segments where segment.base > batch.segment.base { segment.isAbandoned = true }
    failed(error)
  }

  /// Says that nothing can be made durable, and tries to go on in a new segment.
  func failed(_ error: DiskError) {
    checkpoint?.isSpoiled = true
    let text = "\(error.operation) of \(error.path) failed (\(LogStore.describe(error.kind)))"
    // An attempt to go on failed: it waits longer before the next one.
    if isResuming { return }
    let isFirst = !isFailed && !isOnProbation
    host.log.error("Store \(directory): \(text); nothing is acknowledged until a new segment could be written")
    setState(.failed(text))
    if isFirst {
      host.turn.defer { [self] in resume() }
    } else {
      retryLater()
    }
  }

  static func describe(_ kind: DiskError.Kind) -> String {
    switch kind {
    case .notFound: "not found"
    case .exists: "exists already"
    case .permission: "permission denied"
    case .noSpace: "no space left"
    case .readOnly: "read-only file system"
    case .locked: "locked"
    case .notADirectory: "not a directory"
    case .inputOutput: "input/output error"
    case .tooLarge: "too large"
    case .other(let number): "errno \(number)"
    }
  }

  private static var wentOn: StoreState { .degraded("the disk failed; the store went on in a new segment") }

  private func retryLater() {
    guard isOpen, !retryTimer.isScheduled else { return }
    host.after(retryDelay_ns, retryTimer) { [self] in resume() }
    retryDelay_ns = min(retryDelay_ns * 2, Limits.retryDelayMax_ns)
  }

  /// Begins a new segment and writes into it what has not become durable.
  func resume() {
    guard isOpen, isFailed else { return }
    if inFlight != nil || isErasing || isWritingAhead { return retryLater() }
    let old = stalled
    let failedFrom: UInt64
    if let first = old.first {
      failedFrom = first.segment.base + UInt64(first.start)
      chain = first.firstChain
      // Frames of closed batches took numbers that are given out again.
      nextBatch -= UInt64(old.count { $0.isClosed })
    } else {
      failedFrom = .max
    }
    for batch in old { batch.isClosed = false }
    isResuming = true
    defer { isResuming = false }
    removeAbandonedFiles()
    do throws(StoreError) {
      active = nil
      try beginSegment()
    } catch {
      active = nil
      collecting = nil
      retryLater()
      return
    }
    isOnProbation = true
    setState(Self.wentOn)
    holdTogether = true
    defer { holdTogether = false }
    var moved = 0
    for batch in old {
      moved += batch.end - batch.start
      copy(batch, from: failedFrom)
      pendingBytes -= batch.end - batch.start
    }
    stalled = []
    for batch in old { pool.give(batch.chunks) }
    forgetAbandoned()
    host.log.error("Store \(directory): goes on in a new segment with \(moved) bytes that were not acknowledged; check the disk")
    commitSoon()
  }

  /// Appends the live messages and the removals of a batch again.
  private func copy(_ batch: Batch, from failedFrom: UInt64) {
    for chunk in batch.chunks {
      var at = 0
      if chunk.offset == 0 { at = SegmentHeader.recordsOffset }
      while at < chunk.used, let record = Record.plausible(chunk.base + at, available: chunk.used - at) {
        let position = batch.segment.base + UInt64(chunk.offset + at)
        at += record.paddedLength
        do throws(StoreError) {
          switch record.kind {
          case RecordKind.message:
            guard let stream = streams[record.stream], let old = stream.position(of: record.sequence, about: position) else { continue }
            let new = try appendCopy(record)
            if record.isRelocated { segment(at: new).copiedFrom.formUnion(batch.segment.copiedFrom) }
            relocate(stream, record.sequence, bytes: record.messageBytes, from: old, to: new)
          case RecordKind.remove:
            if UInt64(bitPattern: record.timestamp_ns) >= failedFrom {
              try removeOriginals(record)
            } else if streams[record.stream] != nil {
              try appendRemoval(record)
            }
          // Metadata, first sequences and drops are in the new segment's checkpoint, which came after them: a drop that followed its
          // stream's successor there would take that one's state away.
          default: break
          }
        } catch {
          preconditionFailure("copying to memory needs no disk unless a segment is begun, which is put off while copying")
        }
      }
    }
  }

  /// A message that is not written again needs no removal, unless it was a copy: what it was copied from may still be in a file, or come
  /// back with one whose name is not gone for good.
  private func removeOriginals(_ record: Record) throws(StoreError) {
    let target = UInt64(bitPattern: record.timestamp_ns)
    let drop = drops[record.stream] ?? 0
    guard streams[record.stream] != nil, target >= drop else { return }
    for base in segment(at: target).copiedFrom {
      // Behind the drop of a stream that had the same number, as the original was.
      try appendRemoval(stream: record.stream, record.sequence, target: max(base, drop))
    }
  }

  /// Gives a live message its new place.
  func relocate(_ stream: StreamLog, _ sequence: UInt64, bytes size: Int, from old: UInt64, to new: UInt64) {
    let source = segment(at: old)
    let target = segment(at: new)
    source.liveMessages -= 1
    source.liveBytes -= size
    target.liveMessages += 1
    target.liveBytes += size
    stream.place(sequence, new, bytes: size, isIndexed: true)
  }

  /// The files of segments of which nothing became durable: what may be in them is in memory, too. They go before a new segment is begun,
  /// whose first commit syncs the directory: leftovers of a failed write must not come back beside what was written again. Until then
  /// the new one's header says that they were given up.
  private func removeAbandonedFiles() {
    for segment in segments where segment.isAbandoned {
      closeFile(segment)
      try? host.disk.remove(segment.path)
    }
  }

  /// What was in segments that never became durable has its new place: they go.
  private func forgetAbandoned() {
    for segment in segments where segment.isAbandoned {
      precondition(segment.liveMessages == 0, "a live message is in a segment that was never written")
      bytesOnDisk -= Int64(segment.size)
      segments.removeAll { $0 === segment }
    }
  }
}
