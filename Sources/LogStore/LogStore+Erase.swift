// Secure deletion: the bytes of a message that was removed are overwritten where they lie. docs/store-format.md says what is left.
// Copies that compaction made earlier went with their files, which are not overwritten.
import Bytes
import Platform

/// A record whose content is to be overwritten, once nothing else is being written.
struct Erasure {
  let stream: UInt32
  let sequence: UInt64
  let position: UInt64
  let done: (Bool) -> Void
}

extension StreamLog {
  /// Removes a message and overwrites its headers and payload on the medium. `done` is told in a later turn, when that is durable,
  /// whether it could be written. False when there is no such message.
  public func erase(_ sequence: UInt64, done: @escaping (Bool) -> Void) -> Bool {
    guard contains(sequence), let at = index.floor(sequence) else { return false }
    let buffer = store.takeReadBuffer()
    var cursor = Cursor(index[at], store)
    var position: UInt64?
    while let record = (try? cursor.next(id, store, buffer, window: ReadBuffer.pointBytes)) ?? nil {
      guard record.sequence == sequence else { continue }
      position = cursor.position - UInt64(record.paddedLength)
      break
    }
    store.giveReadBuffer(buffer)
    remove(sequence)
    let found = position  // none: the record is damaged, and nobody knows where it is
    store.whenDurable(store.appendedPosition) { [store, id] in
      guard let found else { return done(false) }
      store.erasures.append(Erasure(stream: id, sequence: sequence, position: found, done: done))
      store.commitSoon()
    }
    return true
  }
}

extension LogStore {
  /// Overwrites the next record that waits for it. Returns whether a write is under way.
  func startErasure() -> Bool {
    while let erasure = erasures.first {
      erasures.removeFirst()
      guard let (file, offset, bytes) = prepare(erasure) else {
        erasure.done(false)
        continue
      }
      isErasing = true
      host.disk.commit(file, at: offset, [ByteView(UnsafeRawBufferPointer(bytes))]) { [self] result in
        isErasing = false
        bytes.deallocate()
        host.disk.close(file)
        if case .durable = result {
          erasure.done(true)
        } else {
          host.log.error("Store \(directory): message \(erasure.sequence) of stream \(erasure.stream) could not be overwritten")
          erasure.done(false)
        }
        startCommit()
        if inFlight == nil { continueCheckpoint() }
        if isClosing { closeIfDone() }
      }
      return true
    }
    return false
  }

  /// The file, the place and the bytes to write there, or nil when the record is not there any more.
  private func prepare(_ erasure: Erasure) -> (file: FileHandle, offset: Int, bytes: UnsafeMutableRawBufferPointer)? {
    guard let segment = segments.last(where: { $0.base <= erasure.position }), erasure.position - segment.base < UInt64(segment.durableSize)
    else { return nil }
    let offset = Int(erasure.position - segment.base)
    let buffer = takeReadBuffer()
    defer { giveReadBuffer(buffer) }
    guard let record = (try? record(segment, offset, buffer, window: ReadBuffer.pointBytes)) ?? nil,
      record.kind == RecordKind.message, record.stream == erasure.stream, record.sequence == erasure.sequence,
      let file = try? host.disk.open(segment.path, create: false)
    else { return nil }
    let content = Record.headerBytes + record.subjectLength + (record.hasHeaders ? 4 : 0)
    // With next to nothing to overwrite, the lower half of the timestamp gives the room that keeping the checksum takes.
    let start = ErasedBytes.isNarrow(offset + content, record.length - content, from: offset + 24) ? 24 : content
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: record.length - start, alignment: 8)
    if bytes.count > 0 { bytes.copyMemory(from: UnsafeRawBufferPointer(start: record.base + start, count: bytes.count)) }
    let seed = Record.seed(salt: salt, position: erasure.position)
    let before = CRC32C.checksum(
      ByteView(base: record.base.assumingMemoryBound(to: UInt8.self) + 4, count: start - 4), continuing: seed)
    ErasedBytes.fill(bytes, at: offset + start, kept: content - start, checksum: before)
    return (file, offset + start, bytes)
  }
}

/// Content that says nothing and has the checksum of what it replaces. So the record stays whole, and with it the chain of its batch; and
/// as every sector by itself keeps the checksum, it stays whole when only some of them reach the medium before the power goes.
enum ErasedBytes {
  private static let sectorBytes = 512
  private static let filler: UInt8 = 0x78
  /// CRC-32C's polynomial, reflected.
  private static let polynomial: UInt32 = 0x82F6_3B78

  /// Whether the first sector of `count` bytes at `offset` has too few of them, and reaches back to `earlier`.
  static func isNarrow(_ offset: Int, _ count: Int, from earlier: Int) -> Bool {
    min(count, sectorBytes - offset % sectorBytes) < 4 && count > 0 && offset / sectorBytes == earlier / sectorBytes
  }

  /// Replaces `bytes`, which lie at `offset` in their file and follow a checksum of `checksum`, but for the first `kept`; of those the
  /// first four keep the checksum. Less than four bytes in a sector of their own cannot be replaced.
  static func fill(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int, kept: Int, checksum: UInt32) {
    var checksum = checksum
    var start = 0
    var kept = kept
    while start < bytes.count {
      let end = min(bytes.count, (offset + start) / sectorBytes * sectorBytes + sectorBytes - offset)
      let wanted = CRC32C.checksum(view(bytes, start, end), continuing: checksum)
      if end - start >= 4 {
        // Four bytes bring any state of the checksum to any other.
        let bridge = kept > 0 ? 0 : end - 4
        for at in max(start, kept)..<(kept > 0 ? end : bridge) { bytes[at] = filler }
        let reached = CRC32C.checksum(view(bytes, start, bridge), continuing: checksum)
        var state = ~wanted
        for at in stride(from: end - 1, through: bridge + 4, by: -1) { state = back(state, bits: 8) ^ UInt32(bytes[at]) }
        let value = back(state, bits: 32) ^ ~reached
        for index in 0..<4 { bytes[bridge + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(index))) }
      }
      kept = 0
      checksum = wanted
      start = end
    }
  }

  /// The state of the checksum before so many zero bits.
  private static func back(_ state: UInt32, bits: Int) -> UInt32 {
    var state = state
    for _ in 0..<bits { state = state >> 31 == 1 ? (state ^ polynomial) << 1 | 1 : state << 1 }
    return state
  }

  private static func view(_ bytes: UnsafeMutableRawBufferPointer, _ start: Int, _ end: Int) -> ByteView {
    ByteView(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
  }
}
