// Records on their way into a batch: finding room, beginning segments, writing bytes. Not here: when batches are written (Commit).
import Bytes
import Platform

extension LogStore {
  /// Whether a message of `size` bytes on disk may be added.
  @inline(__always) func admit(_ size: Int) throws(StoreError) {
    if isGrouping { return }
    guard isOpen, !isClosing, !isFailed else { throw .failed }
    guard pendingBytes + size <= options.pendingBytesMax else { throw .busy }
    let used = bytesOnDisk + Int64(size)
    if used > messageBytesMax, used - releasableBytes > messageBytesMax {
      wantSpace()
      throw .full
    }
    if isSpaceLow { try checkSpace(size) }
  }

  /// Asks the file system again whether there is room beyond the reserve.
  func checkSpace(_ size: Int) throws(StoreError) {
    let free = (try? host.disk.freeSpace(directory)) ?? .max
    isSpaceLow = free < Int64(options.reserveBytes) + Int64(pendingBytes) + Int64(size)
    if isSpaceLow {
      wantSpace()
      throw .full
    }
  }

  /// Room for one record of `size` bytes in the collecting batch; begins a batch or a segment where necessary.
  @inline(__always) func room(_ size: Int) throws(StoreError) -> (target: UnsafeMutableRawPointer, position: UInt64) {
    let padded = Record.padded(size)
    if let batch = collecting, let last = batch.chunks.last, last.used + padded <= last.capacity,
      holdTogether || (batch.end - batch.start < options.batchBytesMax && batch.end + padded <= segmentLimit(batch.segment))
    {
      return place(batch, padded)
    }
    return place(try prepare(padded), padded)
  }

  @inline(__always) private func segmentLimit(_ segment: Segment) -> Int {
    let limit = options.segmentBytes - Record.commitBytes
    return max(limit, min(segment.checkpointEnd, Limits.segmentFileBytesMax / 4) * 4)
  }

  @inline(__always) private func place(_ batch: Batch, _ padded: Int) -> (target: UnsafeMutableRawPointer, position: UInt64) {
    let last = batch.chunks.count - 1
    let target = batch.chunks[last].base + batch.chunks[last].used
    batch.chunks[last].used += padded
    let position = batch.segment.base + UInt64(batch.end)
    batch.end += padded
    batch.segment.size += padded
    bytesOnDisk += Int64(padded)
    pendingBytes += padded
    appendedBytes += Int64(padded)
    (target + padded - 8).storeBytes(of: 0, as: UInt64.self)  // the padding is zero
    return (target, position)
  }

  /// A batch whose last chunk has room for `padded` bytes.
  private func prepare(_ padded: Int) throws(StoreError) -> Batch {
    guard !isFailed || isResuming else { throw .failed }
    if active == nil {
      try beginSegment()
    } else if holdTogether {
      // One batch, one segment, however large.
    } else if let active, active.size + padded > segmentLimit(active), active.size > active.checkpointEnd {
      do throws(StoreError) { try beginSegment() } catch {
        // The file system has no room for another file: go on in this one while that works.
        guard error == .full, active.size < 2 * segmentLimit(active) else { throw error }
      }
    } else if let batch = collecting, batch.end - batch.start >= options.batchBytesMax {
      closeBatch()
      commitSoon()
    }
    let segment = active!
    if collecting == nil { collecting = Batch(segment: segment, start: segment.size, chain: chain) }
    let batch = collecting!
    if let last = batch.chunks.last, last.used + padded <= last.capacity { return batch }
    batch.chunks.append(pool.take(padded, offset: batch.end))
    return batch
  }

  /// Makes sure that `size` bytes fit the segment that is written to.
  func makeRoom(_ size: Int) throws(StoreError) {
    guard let active, !isFailed else { return }
    if active.size + size > segmentLimit(active), active.size > active.checkpointEnd { try beginSegment() }
  }

  /// Completes a record: checksum and chain. The record must be the one that `room` gave last.
  @inline(__always) func seal(_ target: UnsafeMutableRawPointer, length: Int, position: UInt64) {
    let crc = Record.checksum(target, length: length, salt: salt, position: position)
    target.storeBytes(of: crc.littleEndian, as: UInt32.self)
    let batch = collecting.unsafelyUnwrapped
    batch.chain = Record.chain(batch.chain, crc)
    batch.count += 1
  }

  /// Appends a record without subject; `body` is at most a few bytes.
  func appendPlain(kind: UInt8, stream: UInt32, sequence: UInt64, timestamp_ns: Int64, body: UInt64? = nil) throws(StoreError) -> UInt64 {
    let length = Record.headerBytes + (body == nil ? 0 : 8)
    let (target, position) = try room(length)
    Record.writeHeader(
      target, length: length, tag: kind, subjectLength: 0, stream: stream, sequence: sequence, timestamp_ns: timestamp_ns)
    if let body { target.storeBytes(of: body.littleEndian, toByteOffset: Record.headerBytes, as: UInt64.self) }
    seal(target, length: length, position: position)
    return position
  }

  /// Appends a record with a key and a value.
  func appendKeyed(kind: UInt8, key: ByteView, value: ByteView) throws(StoreError) {
    precondition(key.count <= 0xFFFF && value.count < Limits.recordBytesMax / 2, "a metadata key or value is too long")
    let length = Record.headerBytes + key.count + value.count
    let (target, position) = try room(length)
    Record.writeHeader(target, length: length, tag: kind, subjectLength: key.count, stream: 0, sequence: 0, timestamp_ns: 0)
    if key.count > 0 { (target + Record.headerBytes).copyMemory(from: key.base, byteCount: key.count) }
    if value.count > 0 { (target + Record.headerBytes + key.count).copyMemory(from: value.base, byteCount: value.count) }
    seal(target, length: length, position: position)
  }

  /// Appends a copy of a record, for its new place.
  func appendCopy(_ record: Record, flags: UInt8 = 0) throws(StoreError) -> UInt64 {
    let (target, position) = try room(record.length)
    target.copyMemory(from: record.base, byteCount: record.length)
    target.storeBytes(of: record.tag | flags, toByteOffset: 9, as: UInt8.self)
    seal(target, length: record.length, position: position)
    return position
  }

  /// Begins a new segment; its first batch starts with header and checkpoint.
  func beginSegment() throws(StoreError) {
    var base = baseMin
    var previousEnd: UInt64 = 0
    if collecting != nil {
      closeBatch()
      commitSoon()
    }
    if let last = segments.last { base = max(base, last.base + UInt64(last.size)) }
    if let last = segments.last(where: { !$0.isAbandoned }) {
      previousEnd = last.base + UInt64(last.isSealed ? last.durableSize : last.size)
    }
    base = (base + 7) & ~7
    let path = path(Segment.name(base))
    let file: FileHandle
    do { file = try createFile(path) } catch { throw segmentRefused(error) }
    let segment = Segment(base: base, path: path, size: 0)
    segment.isNamed = false
    segments.append(segment)
    active = segment
    opened(segment, file)
    let batch = Batch(segment: segment, start: 0, chain: chain)
    collecting = batch
    batch.chunks.append(pool.take(ChunkPool.chunkBytes, offset: 0))
    let (target, _) = place(batch, SegmentHeader.recordsOffset)
    target.initializeMemory(as: UInt8.self, repeating: 0, count: SegmentHeader.recordsOffset)
    let header = SegmentHeader(
      salt: salt, base: base, previousEnd: previousEnd, batch: nextBatch, chain: chain, created_ns: host.clock.wall_ns)
    header.write(target)
    header.write(target + SegmentHeader.copyOffset)
    let held = holdTogether
    holdTogether = true
    defer { holdTogether = held }
    try writeCheckpoint()
    segment.checkpointEnd = segment.size
    try settleOwed()
    considerSpace()
  }

  /// An empty file. Its name becomes durable with its first commit, and nothing of it is acknowledged before.
  private func createFile(_ path: String) throws(DiskError) -> FileHandle {
    do {
      return try host.disk.open(path, create: true)
    } catch { guard error.kind == .exists else { throw error } }
    // Left over from an attempt that failed before anything was written to it.
    let file = try host.disk.open(path, create: false)
    do { try host.disk.truncate(file, to: 0) } catch {
      host.disk.close(file)
      throw error
    }
    return file
  }

  /// A new segment could not be created.
  private func segmentRefused(_ error: DiskError) -> StoreError {
    if error.kind == .noSpace {
      isSpaceLow = true
      wantSpace()
      return .full
    }
    failed(error)
    return .failed
  }

  /// The store's whole state apart from messages and interior removals, so that no older segment is needed for it.
  private func writeCheckpoint() throws(StoreError) {
    var count: UInt64 = 0
    _ = try appendPlain(kind: RecordKind.checkpointBegin, stream: 0, sequence: 0, timestamp_ns: 0)
    let oldest = oldestPosition
    for (id, position) in drops where position <= oldest { drops[id] = nil }
    // All of it twice, one after the other: the segments that it stands for may be gone, and no single bad place may lose what streams
    // and consumers hang on.
    for _ in 0..<2 {
      for (id, position) in drops {
        _ = try appendPlain(kind: RecordKind.drop, stream: id, sequence: position, timestamp_ns: 0)
        count += 1
      }
      for segment in segments where segment.isSealed {
        _ = try appendPlain(
          kind: RecordKind.sealed, stream: 0, sequence: segment.base,
          timestamp_ns: Int64(bitPattern: segment.base + UInt64(segment.durableSize)))
        count += 1
      }
      for (base, end) in removedSeals {
        _ = try appendPlain(kind: RecordKind.sealed, stream: 0, sequence: base, timestamp_ns: Int64(bitPattern: end))
        count += 1
      }
      for stream in streams.values where stream.lastSequence > 0 {
        _ = try appendPlain(
          kind: RecordKind.streamState, stream: stream.id, sequence: stream.firstSequence, timestamp_ns: stream.lastTimestamp_ns,
          body: stream.lastSequence)
        stream.firstIsDirty = false
        count += 1
      }
      try metadata.forEach { key, value throws(StoreError) in
        try key.withView { key throws(StoreError) in
          try value.withView { value throws(StoreError) in try appendKeyed(kind: RecordKind.metadata, key: key, value: value) }
        }
        count += 1
      }
    }
    movedFirst.removeAll(keepingCapacity: true)
    for _ in 0..<2 { _ = try appendPlain(kind: RecordKind.checkpointEnd, stream: 0, sequence: count, timestamp_ns: 0) }
  }

  /// Where the oldest record may be, in a file that is there or may come back.
  var oldestPosition: UInt64 {
    var oldest = segments.first?.base ?? 0
    for base in unsyncedRemovals { oldest = min(oldest, base) }
    return oldest
  }
}
