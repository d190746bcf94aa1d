// When batches are closed, written and reported durable: group commit.
import Bytes
import Platform

extension LogStore {
  /// Something was appended that somebody waits for: it goes with this turn, or as soon as the running commit is through.
  @inline(__always) func commitSoon() {
    isUrgent = true
    if !commitQueued, inFlight == nil { queueCommit() }
  }

  private func queueCommit() {
    commitQueued = true
    host.turn.defer { [self] in
      commitQueued = false
      startCommit()
      if isClosing { closeIfDone() }
    }
  }

  /// Something was removed: it goes with the next batch, or alone after a while.
  func commitLazily() {
    isDirty = true
    if options.syncsLazily, !aheadTimer.isScheduled { writeAheadSoon() }
    commitLater(options.lazyDelay_ns)
  }

  /// A message was appended that nobody waits for: it goes with the next batch, or alone after a while.
  @inline(__always) func commitWithin(_ delay_ns: Int64) {
    isDirty = true
    if !aheadTimer.isScheduled { writeAheadSoon() }
    if !commitQueued, inFlight == nil { commitLater(delay_ns) }
  }

  /// What waits now is written after `delay_ns` at the latest. A deadline that was set for others with more patience comes forward; with
  /// the same patience or less theirs is sooner anyhow.
  @inline(__always) private func commitLater(_ delay_ns: Int64) {
    if !lazyTimer.isScheduled || delay_ns < lazyTimerDelay_ns { scheduleCommit(delay_ns) }
  }

  @inline(never) private func scheduleCommit(_ delay_ns: Int64) {
    guard isOpen else { return }
    let isLate = !lazyTimer.isScheduled || lazyTimer.deadline_ns - host.clock.monotonic_ns > delay_ns
    lazyTimerDelay_ns = delay_ns
    guard isLate else { return }
    host.after(delay_ns, lazyTimer) { [self] in
      if isDirty { startCommit() }
      considerSpace()
    }
  }

  /// Calls `action` in a loop turn when everything up to `position` is durable; hurries what waits lazily.
  public func whenDurable(_ position: UInt64, _ action: @escaping () -> Void) {
    precondition(position <= appendedPosition, "a position was never given out")
    if position <= durablePosition {
      host.turn.defer(action)
      return
    }
    var index = waiters.count
    while index > 0, waiters[index - 1].position > position { index -= 1 }
    waiters.insert((position, action), at: index)
    commitSoon()
  }

  /// Logs first sequences that moved since the last batch: into the collecting one, if there is one, because what its end stands for must
  /// be in it. One after the other: a batch that is closed to make room for one of them counts them all in, and logs what is left itself.
  func logMovedFirst() {
    while let stream = movedFirst.last {
      if stream.firstIsDirty {
        let held = holdTogether
        holdTogether = held || collecting != nil
        defer { holdTogether = held }
        do throws(StoreError) {
          _ = try appendPlain(
            kind: RecordKind.first, stream: stream.id, sequence: stream.firstSequence, timestamp_ns: Int64(bitPattern: stream.lastSequence))
          stream.firstIsDirty = false
        } catch { return }
      }
      if movedFirst.last === stream { movedFirst.removeLast() }
    }
  }

  /// Closes the collecting batch with a commit frame.
  func closeBatch() {
    guard let batch = collecting else { return }
    logMovedFirst()
    let size = batch.end - batch.start
    if batch.chunks[batch.chunks.count - 1].used + Record.commitBytes > batch.chunks[batch.chunks.count - 1].capacity {
      batch.chunks.append(pool.take(Record.commitBytes, offset: batch.end))
    }
    let last = batch.chunks.count - 1
    let target = batch.chunks[last].base + batch.chunks[last].used
    let position = batch.segment.base + UInt64(batch.end)
    let frame = CommitFrame(batch: nextBatch, count: batch.count, chain: batch.chain, bytes: size)
    frame.write(target, kind: RecordKind.commit, salt: salt, position: position)
    batch.chunks[last].used += Record.commitBytes
    batch.end += Record.commitBytes
    batch.segment.size += Record.commitBytes
    bytesOnDisk += Int64(Record.commitBytes)
    pendingBytes += Record.commitBytes
    batch.positionEnd = min(appendedPosition, (owedFrom ?? .max) - 1)
    batch.isClosed = true
    chain = batch.chain
    nextBatch += 1
    collecting = nil
    waiting.append(batch)
  }

  /// Something is on its way to the disk, which does one thing at a time.
  var isDiskBusy: Bool { inFlight != nil || isCheckpointBeingWritten || isErasing || isWritingAhead || isSyncingNames }

  /// Something waits for the disk to be free.
  var isCommitDue: Bool {
    isUrgent || !waiting.isEmpty || !waiters.isEmpty || areNamesWanted || (isDirty && !lazyTimer.isScheduled)
  }

  /// Writes the next batch, if none is on its way.
  func startCommit() {
    guard isOpen, !isFailed, !isDiskBusy else { return }
    if !erasures.isEmpty, startErasure() { return }
    if areNamesWanted, startNames() { return }
    if waiting.isEmpty {
      isDirty = false
      if collecting == nil { logMovedFirst() }
      if collecting == nil {
        // Everything up to here was a change that needs no record any more.
        if durablePosition < appendedPosition, movedFirst.isEmpty, owedFrom == nil { madeDurable(appendedPosition) }
        if !movedFirst.isEmpty {
          // There is no room for a record: perhaps later.
          commitWithin(options.lazyDelay_ns)
        }
        return
      }
      isUrgent = false
      closeBatch()
    }
    let batch = waiting.removeFirst()
    inFlight = batch
    let file: FileHandle
    do throws(StoreError) { file = try self.file(of: batch.segment) } catch {
      commitFailed(batch, DiskError(.inputOutput, operation: "open", path: batch.segment.path))
      return
    }
    if !batch.segment.isNamed { removalsInSync = unsyncedRemovals.count }
    let naming = batch.segment.isNamed ? nil : directory
    host.disk.commit(file, at: batch.aheadEnd, batch.unwritten, naming: naming) { [self] result in ended(batch, result) }
  }

  /// Makes names that were removed durable, when the next batch does not do so anyhow. Returns whether that is under way.
  private func startNames() -> Bool {
    areNamesWanted = false
    guard !unsyncedRemovals.isEmpty, (waiting.first ?? collecting)?.segment.isNamed ?? true else { return false }
    isSyncingNames = true
    removalsInSync = unsyncedRemovals.count
    host.disk.syncDirectory(directory) { [self] result in
      isSyncingNames = false
      if case .durable = result { directorySynced() }
      if isCommitDue { startCommit() }
      if !isDiskBusy { continueCheckpoint() }
      if isClosing { closeIfDone() }
    }
    return true
  }

  /// Whatever is under way or comes next, the names that were removed so far are to be durable soon.
  func wantNames() {
    areNamesWanted = true
    if !commitQueued, !isDiskBusy { queueCommit() }
  }

  private func ended(_ batch: Batch, _ result: CommitResult) {
    precondition(inFlight === batch, "a commit ended that was not under way")
    switch result {
    case .failed(let error): commitFailed(batch, error)
    case .written: preconditionFailure("a commit that is not durable is none")
    case .durable:
      inFlight = nil
      syncs += 1
      batches += 1
      let size = batch.end - batch.start
      bytesWritten += Int64(size)
      pendingBytes -= size
      if !batch.segment.isNamed {
        batch.segment.isNamed = true
        directorySynced()
      }
      batch.segment.durableSize = batch.end
      durableEnd = batch.segment.base + UInt64(batch.end)
      pool.give(batch.chunks)
      batch.chunks = []
      retryDelay_ns = Limits.retryDelay_ns
      isOnProbation = false
      if isUrgent || !waiting.isEmpty || areNamesWanted { commitSoon() } else if pendingBytes > 0 { commitWithin(options.promptDelay_ns) }
      checkFreeSpace(size)
      madeDurable(batch.positionEnd)
      releaseSegments()
      considerCheckpoint()
      continueCheckpoint()
      // A new segment was refused meanwhile, and waited for this.
      if isFailed { resume() }
    }
    if isClosing { closeIfDone() }
  }

  /// Tells everybody who waits for a position up to `position`.
  func madeDurable(_ position: UInt64) {
    guard position > durablePosition else { return }
    durablePosition = position
    var ready = 0
    while ready < waiters.count, waiters[ready].position <= position { ready += 1 }
    if ready > 0 {
      let actions = waiters[..<ready]
      waiters.removeFirst(ready)
      for waiter in actions { waiter.action() }
    }
    onDurable?()
    if !waiters.isEmpty { commitSoon() }
  }

  /// Looks at the file system's free space every now and then, so that the reserve is kept before it is needed.
  private func checkFreeSpace(_ written: Int) {
    sinceSpaceCheck += written
    guard sinceSpaceCheck >= min(options.reserveBytes / 4, 256 << 10) else { return }
    sinceSpaceCheck = 0
    guard let free = try? host.disk.freeSpace(directory) else { return }
    let low = free < Int64(options.reserveBytes) + Int64(pendingBytes)
    if low, !isSpaceLow {
      host.log.warning("Store \(directory): only \(free) bytes are free on the file system, messages are refused")
    }
    isSpaceLow = low
  }
}
