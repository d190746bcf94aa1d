// A window onto a segment's file.
import Bytes
import Platform

/// Holds a piece of one segment for reading. Contents below a segment's durable size never change, so a window stays true.
final class ReadBuffer {
  /// Enough for the records behind one anchor.
  static let pointBytes = 8 << 10
  /// Scans read ahead this much.
  static let scanBytes = 64 << 10

  private var memory: UnsafeMutableRawPointer?
  private var capacity = 0
  private var segmentBase: UInt64 = .max
  private var start = 0
  private var count = 0

  deinit { memory?.deallocate() }

  func forget() {
    segmentBase = .max
    count = 0
  }

  /// The bytes of `segment` from `offset` on: at least `minimum`, or fewer when its durable part ends before.
  func bytes(
    _ store: LogStore, _ segment: Segment, _ offset: Int, minimum: Int, window: Int
  ) throws(StoreError) -> UnsafeRawBufferPointer {
    let end = segment.durableSize
    let wanted = min(minimum, end - offset)
    guard wanted > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    if segmentBase != segment.base || offset < start || offset + wanted > start + count {
      // Whoever goes on where the window ended reads in a row.
      let isNext = segmentBase == segment.base && offset <= start + count && offset + wanted > start + count && offset > start
      try fill(store, segment, offset, size: min(max(wanted, isNext ? Self.scanBytes : window), end - offset))
    }
    guard offset < start + count else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(start: memory! + (offset - start), count: start + count - offset)
  }

  private func fill(_ store: LogStore, _ segment: Segment, _ offset: Int, size: Int) throws(StoreError) {
    if capacity < size || capacity > 4 * Self.scanBytes {
      memory?.deallocate()
      capacity = max(size, Self.pointBytes)
      memory = .allocate(byteCount: capacity, alignment: 16)
    }
    forget()
    let file = try store.file(of: segment)
    do {
      count = try store.host.disk.read(file, at: offset, into: UnsafeMutableRawBufferPointer(start: memory, count: size))
    } catch { throw .disk(error) }
    segmentBase = segment.base
    start = offset
  }
}

extension LogStore {
  /// Lends a read buffer; a read within a read gets another one.
  func takeReadBuffer() -> ReadBuffer {
    let buffer = spareReadBuffer ?? ReadBuffer()
    spareReadBuffer = nil
    return buffer
  }

  func giveReadBuffer(_ buffer: ReadBuffer) { spareReadBuffer = buffer }

  /// The record at `offset`, checked when it comes from the disk; nil when there is none or it is damaged. It is valid until the
  /// buffer is used again and the loop turn ends.
  func record(_ segment: Segment, _ offset: Int, _ buffer: ReadBuffer, window: Int) throws(StoreError) -> Record? {
    if offset >= segment.durableSize { return recordInMemory(segment, offset) }
    var bytes = try buffer.bytes(self, segment, offset, minimum: Record.headerBytes, window: window)
    guard bytes.count >= Record.headerBytes else { return nil }
    guard let rough = Record.plausible(bytes.baseAddress!, available: segment.durableSize - offset) else { return nil }
    if rough.paddedLength > bytes.count {
      bytes = try buffer.bytes(self, segment, offset, minimum: rough.paddedLength, window: window)
    }
    guard bytes.count > 0 else { return nil }
    return Record.checked(bytes.baseAddress!, available: bytes.count, salt: salt, position: segment.base + UInt64(offset))
  }

  private func recordInMemory(_ segment: Segment, _ offset: Int) -> Record? {
    if let batch = collecting, batch.segment === segment, let bytes = batch.memory(offset) {
      return Record.plausible(bytes.baseAddress!, available: bytes.count)
    }
    if let batch = inFlight, batch.segment === segment, let bytes = batch.memory(offset) {
      return Record.plausible(bytes.baseAddress!, available: bytes.count)
    }
    for batch in waiting where batch.segment === segment {
      if let bytes = batch.memory(offset) { return Record.plausible(bytes.baseAddress!, available: bytes.count) }
    }
    for batch in stalled where batch.segment === segment {
      if let bytes = batch.memory(offset) { return Record.plausible(bytes.baseAddress!, available: bytes.count) }
    }
    return nil
  }

  /// The next offset after a damaged place where a record begins, or `end`.
  func resync(_ segment: Segment, after offset: Int, end: Int, _ buffer: ReadBuffer, window: Int) throws(StoreError) -> Int {
    var next = offset + 8
    while next < end {
      if try record(segment, next, buffer, window: window) != nil { return next }
      next += 8
    }
    return end
  }
}
