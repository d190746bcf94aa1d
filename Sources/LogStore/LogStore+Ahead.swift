// Writing ahead: messages that nobody waits for are in the system's cache some milliseconds after they came, so that only a power cut takes
// them, and on the medium when their batch is committed. A mark behind them says what a commit frame would say.
import Bytes
import Platform

extension LogStore {
  func writeAheadSoon() {
    guard isOpen, !isClosing else { return }
    host.after(options.aheadDelay_ns, aheadTimer) { [self] in writeAhead() }
  }

  /// Writes what the collecting batch has, up to a mark.
  func writeAhead() {
    guard isOpen, !isFailed, let batch = collecting else { return }
    // What is on its way will be through soon; what waits for it to be committed goes then.
    guard !isDiskBusy, waiting.isEmpty, !isUrgent else { return writeAheadSoon() }
    // A mark stands for everything that happened before, as a commit frame does.
    logMovedFirst()
    guard let marked = collecting, marked === batch, batch.end > batch.aheadEnd else { return writeAheadSoon() }
    let frame = CommitFrame(batch: nextBatch, count: batch.count, chain: batch.chain, bytes: batch.end - batch.start)
    let position: UInt64
    do throws(StoreError) {
      let target: UnsafeMutableRawPointer
      let held = holdTogether
      holdTogether = true
      defer { holdTogether = held }
      (target, position) = try room(Record.commitBytes)
      frame.write(target, kind: RecordKind.mark, salt: salt, position: position)
      seal(target, length: Record.commitBytes, position: position)
    } catch { return }
    let file: FileHandle
    do throws(StoreError) { file = try self.file(of: batch.segment) } catch {
      return aheadFailed(batch, DiskError(.inputOutput, operation: "open", path: batch.segment.path))
    }
    let end = batch.end
    isWritingAhead = true
    host.disk.writeBehind(file, at: batch.aheadEnd, batch.unwritten) { [self] result in
      isWritingAhead = false
      if case .failed(let error) = result {
        aheadFailed(batch, error)
      } else {
        batch.aheadEnd = end
        // The time of what may wait can have run out meanwhile.
        if isCommitDue { startCommit() }
        if !isDiskBusy { continueCheckpoint() }
      }
      if isClosing { closeIfDone() }
    }
  }

  private func aheadFailed(_ batch: Batch, _ error: DiskError) {
    if collecting === batch { collecting = nil }
    waiting.removeAll { $0 === batch }
    commitFailed(batch, error)
  }
}
