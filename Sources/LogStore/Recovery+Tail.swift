// The end of the log when a store is opened: files that were begun in vain, what a batch that was never durable has left, and making sure
// of what is taken for durable.
import Bytes
import Platform

extension Recovery {
  /// Removes files at the end whose first batch never became durable: the log goes on in the one before, whatever their headers say.
  func dropTorn(behind first: Int) throws(StoreError) {
    while files.count > first, let last = files.last {
      try load(last)
      if isBegun(last) { return }
      let segment = last.segment
      files.removeLast()
      store.segments.removeAll { $0 === segment }
      report.tornBytes += Int64(segment.size)
      store.closeFile(segment)
      do {
        try store.host.disk.remove(segment.path)
        // Were it there again after a power cut, what is appended to the segment before would count as leftovers.
        try store.host.disk.syncDirectory(store.directory)
      } catch {
        // The next segment is begun behind it, and says that it was given up.
        segment.isSealed = true
        segment.durableSize = 0
        givenUp.insert(segment, at: 0)
      }
    }
  }

  /// Whether a file that no other follows, which is in memory, has anything durable in it.
  private func isBegun(_ file: File) -> Bool {
    let segment = file.segment
    let base = UnsafeRawPointer(memory.baseAddress!)
    var offset = SegmentHeader.recordsOffset
    while offset < segment.size,
      let record = Record.checked(
        base + offset, available: segment.size - offset, salt: store.salt, position: segment.base + UInt64(offset))
    {
      if record.kind == RecordKind.commit { return true }
      offset += record.paddedLength
    }
    // Torn or damaged: only a look at all of it tells.
    var probe = SegmentScan(
      self, segment, header: file.header, from: SegmentHeader.recordsOffset, end: segment.size, isLast: true, isProbe: true)
    let (batch, chain, damage) = (store.nextBatch, store.chain, self.damage)
    let end = probe.run().end
    (store.nextBatch, store.chain, self.damage) = (batch, chain, damage)
    return end > SegmentHeader.recordsOffset
  }

  /// Cuts what does not count off the last segment, and sees to it that the rest is on the medium: a process that was killed may have
  /// written the last batch without a sync, or after a sync that failed. The kernel takes its pages for clean then, and a sync alone would
  /// do nothing: it is written once more. When the disk refuses, the segment is left as it is and the store goes on in another one.
  func makeSure(_ segment: Segment, _ tail: SegmentScan.Outcome) {
    do throws(DiskError) {
      let file: FileHandle
      do throws(StoreError) { file = try store.file(of: segment) } catch {
        throw DiskError(.inputOutput, operation: "open", path: segment.path)
      }
      if tail.end < segment.size {
        report.tornBytes += Int64(segment.size - tail.end)
        try store.host.disk.truncate(file, to: tail.end)
        segment.size = tail.end
      }
      if let last = tail.lastBatch, tail.damage.last?.end ?? 0 <= last {
        let first = last == SegmentHeader.recordsOffset ? 0 : last
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[first..<tail.end])
        try store.host.disk.write(file, at: first, ByteView(bytes))
      }
      if let frame = tail.frame {
        try withUnsafeTemporaryAllocation(byteCount: Record.commitBytes, alignment: 8) { bytes throws(DiskError) in
          frame.write(bytes.baseAddress!, kind: RecordKind.commit, salt: store.salt, position: segment.base + UInt64(tail.end))
          try store.host.disk.write(file, at: tail.end, ByteView(UnsafeRawBufferPointer(bytes)))
        }
        segment.size += Record.commitBytes
        segment.durableSize = segment.size
      }
      try store.host.disk.sync(file)
      // A process that was killed may have left a new file without a durable name.
      if !store.areNamesSure { try store.host.disk.syncDirectory(store.directory) }
    } catch { writeAgain(segment, tail, error) }
  }

  /// What was read last may not be on the medium, and the disk does not say. It is treated like a batch that could not be written.
  private func writeAgain(_ segment: Segment, _ tail: SegmentScan.Outcome, _ error: DiskError) {
    let batch = Batch(segment: segment, start: tail.start, chain: tail.firstChain)
    batch.end = tail.end
    var offset = tail.start
    for region in tail.damage + [SegmentScan.Region(start: tail.end, end: tail.end)] {
      let size = region.start - offset
      if size > 0 {
        let base = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        base.copyMemory(from: memory.baseAddress! + offset, byteCount: size)
        batch.chunks.append(Chunk(base: base, capacity: size, offset: offset, used: size))
      }
      offset = region.end
    }
    segment.isSealed = true
    segment.durableSize = tail.start
    store.nextBatch = tail.firstBatch
    store.stalled = [batch]
    store.pendingBytes = tail.end - tail.start
    unsure = error
  }
}
