// Opening a store: directory, lock, which files are segments, what is cut, where writing goes on. Reading the segments' contents is
// Recovery's business.
import Bytes
import Platform

extension LogStore {
  /// Locks the directory, reads everything and repairs the tail. Nothing that could not be read is ever deleted.
  ///
  /// Throws `.locked`, `.readOnly`, `.incompatible` or `.disk`; the store is then closed and may be opened again.
  public func open() throws(StoreError) -> RecoveryReport {
    precondition(!isOpen && !isClosing, "the store was opened before")
    let started_ns = host.clock.monotonic_ns
    do throws(StoreError) {
      do throws(DiskError) {
        try host.disk.makeDirectory(directory)
        lockFile = try host.disk.lock(path("lock"))
      } catch {
        switch error.kind {
        case .locked: throw StoreError.locked(path: directory)
        case .readOnly, .permission: throw StoreError.readOnly(path: directory)
        default: throw StoreError.disk(error)
        }
      }
      // Names that were removed before a crash must not come back after the next one.
      areNamesSure = (try? host.disk.syncDirectory(directory)) != nil
      let recovery = Recovery(self)
      try recovery.run()
      var report = recovery.report
      report.segments = segments.count
      report.streams = streams.count
      metadataBytes = 0
      metadata.forEach { key, value in metadataBytes += key.count + value.count }
      report.messages = streams.values.reduce(0) { $0 + $1.count }
      report.duration_ns = host.clock.monotonic_ns - started_ns
      isOpen = true
      finishRecounts()
      foundDamage = report.damagedRegions > 0 || !report.unreadableFiles.isEmpty
      if recovery.unsure != nil { appendedPosition += 1 } else { durablePosition = appendedPosition }
      tell(report)
      if let error = recovery.unsure { failed(error) }
      if (try? checkSpace(0)) == nil {
        host.log.warning("Store \(directory): the file system is nearly full, messages are refused")
      }
      queueRelease()
      return report
    } catch {
      abandonOpen()
      throw error
    }
  }

  private func abandonOpen() {
    for segment in openSegments {
      if let file = segment.file { host.disk.close(file) }
    }
    openSegments = []
    segments = []
    streams = [:]
    drops = [:]
    metadata.removeAll()
    active = nil
    for batch in stalled { pool.give(batch.chunks) }
    stalled = []
    pendingBytes = 0
    newestCheckpoint = nil
    if let lockFile { host.disk.close(lockFile) }
    lockFile = nil
  }

  private func tell(_ report: RecoveryReport) {
    if report.tornBytes > 0 {
      host.log.info("Store \(directory): cut \(report.tornBytes) bytes of a batch that was never acknowledged")
    }
    for name in report.unreadableFiles { host.log.error("Store \(directory): \(name) cannot be read and is left as it is") }
    guard report.damagedRegions > 0 else { return }
    host.log.error("Store \(directory): skipped \(report.damagedBytes) damaged bytes in \(report.damagedRegions) places")
    for lost in report.lost {
      host.log.error("Store \(directory): stream \(lost.stream) may have lost sequences \(lost.first) to \(lost.last)")
    }
    setState(.degraded("\(report.damagedRegions) damaged places were skipped"))
  }
}
