// The bytes of a record and of a segment header: writing, reading, checking. docs/store-format.md is the reference.
// Not here: what records mean to the store.
import Bytes

/// Kinds of records (low four bits of the tag).
enum RecordKind {
  static let message: UInt8 = 1
  static let commit: UInt8 = 2
  /// One sequence was removed; the timestamp field holds the log position of the removed record.
  static let remove: UInt8 = 3
  /// Everything below the sequence was removed; the timestamp field holds the stream's last sequence.
  static let first: UInt8 = 4
  static let metadata: UInt8 = 5
  static let metadataRemoved: UInt8 = 6
  /// The stream was dropped: its records before the position in the sequence field are dead.
  static let drop: UInt8 = 7
  static let checkpointBegin: UInt8 = 8
  /// The sequence field counts the records since the checkpoint's begin.
  static let checkpointEnd: UInt8 = 9
  /// In a checkpoint: a stream with its first sequence and last timestamp; the body is its last sequence.
  static let streamState: UInt8 = 10
  /// In a checkpoint: the segment at the position in the sequence field ends at the one in the timestamp field, whatever its file holds.
  static let sealed: UInt8 = 11
  /// Within a batch: what a commit frame here would say. What comes before was written, though perhaps not synced.
  static let mark: UInt8 = 12
}

/// Flags of a record (high four bits of the tag).
enum RecordFlag {
  static let headers: UInt8 = 0x10
  static let relocated: UInt8 = 0x20
}

/// A record in memory that somebody else owns, at least `Record.headerBytes` long and inside its buffer.
struct Record {
  static let headerBytes = 32
  static let magic: UInt8 = 0xB5
  static let commitBytes = 32

  let base: UnsafeRawPointer
  /// Without padding.
  let length: Int

  @inline(__always) var crc: UInt32 { UInt32(littleEndian: base.loadUnaligned(as: UInt32.self)) }
  @inline(__always) var tag: UInt8 { base.load(fromByteOffset: 9, as: UInt8.self) }
  @inline(__always) var kind: UInt8 { tag & 0x0F }
  @inline(__always) var hasHeaders: Bool { tag & RecordFlag.headers != 0 }
  @inline(__always) var isRelocated: Bool { tag & RecordFlag.relocated != 0 }
  @inline(__always) var subjectLength: Int { Int(UInt16(littleEndian: base.loadUnaligned(fromByteOffset: 10, as: UInt16.self))) }
  @inline(__always) var stream: UInt32 { UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 12, as: UInt32.self)) }
  @inline(__always) var sequence: UInt64 { UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt64.self)) }
  @inline(__always) var timestamp_ns: Int64 { Int64(littleEndian: base.loadUnaligned(fromByteOffset: 24, as: Int64.self)) }
  @inline(__always) var paddedLength: Int { Record.padded(length) }

  @inline(__always) static func padded(_ length: Int) -> Int { (length + 7) & ~7 }

  @inline(__always) private var bytes: UnsafePointer<UInt8> { base.assumingMemoryBound(to: UInt8.self) }

  @inline(__always) var subject: ByteView { ByteView(base: bytes + Record.headerBytes, count: subjectLength) }

  /// Bytes of headers, from their length field; of a length that no record can have, one more than any has.
  @inline(__always) private var headersLength: Int {
    guard hasHeaders else { return 0 }
    let stated = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: Record.headerBytes + subjectLength, as: UInt32.self))
    return Int(min(stated, UInt32(LogStore.Limits.recordBytesMax) + 1))
  }

  @inline(__always) var headers: ByteView {
    guard hasHeaders else { return ByteView() }
    return ByteView(base: bytes + Record.headerBytes + subjectLength + 4, count: headersLength)
  }

  /// What follows subject and headers.
  @inline(__always) var body: ByteView {
    let start = Record.headerBytes + subjectLength + (hasHeaders ? 4 + headersLength : 0)
    return ByteView(base: bytes + start, count: length - start)
  }

  /// The size of a message as nats-server accounts it: 22 bytes of its record header, 8 of its checksum, 4 when there are headers.
  @inline(__always) var messageBytes: Int { length - Record.headerBytes + 30 }

  /// Whether the lengths inside fit the record. Everything that is read afterwards lies inside.
  @inline(__always) var isWellFormed: Bool {
    var used = Record.headerBytes + subjectLength
    if hasHeaders {
      guard used + 4 <= length else { return false }
      used += 4 + headersLength
    }
    return used <= length
  }

  /// The checksum's start value: ties a record to its store and its place, so that bytes of one inside a payload, in a recycled block
  /// or in another store's file are never taken for a record.
  @inline(__always) static func seed(salt: UInt32, position: UInt64) -> UInt32 {
    salt ^ (UInt32(truncatingIfNeeded: position >> 3) &* 0x9E37_79B1)
  }

  @inline(__always) static func checksum(_ base: UnsafeRawPointer, length: Int, salt: UInt32, position: UInt64) -> UInt32 {
    CRC32C.checksum(
      ByteView(base: base.assumingMemoryBound(to: UInt8.self) + 4, count: length - 4), continuing: seed(salt: salt, position: position))
  }

  /// The record at `base` when its header is plausible and it ends within `available`; says nothing about its checksum.
  @inline(__always) static func plausible(_ base: UnsafeRawPointer, available: Int) -> Record? {
    guard available >= headerBytes, base.load(fromByteOffset: 8, as: UInt8.self) == magic else { return nil }
    // Nobody has checked it yet, and not every number of 32 bits is an Int everywhere.
    let stated = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    guard stated >= UInt32(headerBytes), stated <= UInt32(LogStore.Limits.recordBytesMax) else { return nil }
    let length = Int(stated)
    guard padded(length) <= available else { return nil }
    return Record(base: base, length: length)
  }

  /// The record at `base`, checked.
  @inline(__always) static func checked(_ base: UnsafeRawPointer, available: Int, salt: UInt32, position: UInt64) -> Record? {
    guard let record = plausible(base, available: available),
      record.crc == checksum(base, length: record.length, salt: salt, position: position), record.isWellFormed
    else { return nil }
    return record
  }

  /// Continues the chain of a batch's checksums.
  @inline(__always) static func chain(_ chain: UInt32, _ crc: UInt32) -> UInt32 { (chain &* 0x85EB_CA6B &+ 1) ^ crc }

  /// Writes a record's fixed part, except its checksum.
  @inline(__always) static func writeHeader(
    _ target: UnsafeMutableRawPointer, length: Int, tag: UInt8, subjectLength: Int, stream: UInt32, sequence: UInt64, timestamp_ns: Int64
  ) {
    target.storeBytes(of: UInt32(truncatingIfNeeded: length).littleEndian, toByteOffset: 4, as: UInt32.self)
    target.storeBytes(of: magic, toByteOffset: 8, as: UInt8.self)
    target.storeBytes(of: tag, toByteOffset: 9, as: UInt8.self)
    target.storeBytes(of: UInt16(truncatingIfNeeded: subjectLength).littleEndian, toByteOffset: 10, as: UInt16.self)
    target.storeBytes(of: stream.littleEndian, toByteOffset: 12, as: UInt32.self)
    target.storeBytes(of: sequence.littleEndian, toByteOffset: 16, as: UInt64.self)
    target.storeBytes(of: timestamp_ns.littleEndian, toByteOffset: 24, as: Int64.self)
  }
}

/// What the frame at the end of a batch says of it.
struct CommitFrame: Equatable {
  let batch: UInt64
  let count: UInt32
  let chain: UInt32
  let bytes: Int

  init(batch: UInt64, count: UInt32, chain: UInt32, bytes: Int) {
    self.batch = batch
    self.count = count
    self.chain = chain
    self.bytes = bytes
  }

  init(_ record: Record) {
    let stated = UInt64(bitPattern: record.timestamp_ns)
    self.init(
      batch: record.sequence, count: record.stream, chain: UInt32(truncatingIfNeeded: stated), bytes: Int(truncatingIfNeeded: stated >> 32))
  }

  /// Writes it with its checksum, as a commit or as a mark.
  func write(_ target: UnsafeMutableRawPointer, kind: UInt8, salt: UInt32, position: UInt64) {
    Record.writeHeader(
      target, length: Record.commitBytes, tag: kind, subjectLength: 0, stream: count, sequence: batch,
      timestamp_ns: Int64(bitPattern: UInt64(truncatingIfNeeded: bytes) << 32 | UInt64(chain)))
    let crc = Record.checksum(target, length: Record.commitBytes, salt: salt, position: position)
    target.storeBytes(of: crc.littleEndian, as: UInt32.self)
  }
}

/// The beginning of a segment file. Written twice, in two sectors.
struct SegmentHeader: Equatable {
  static let version: UInt32 = 1
  static let bytes = 64
  /// Where the second copy is: in the next sector of 512 bytes.
  static let copyOffset = 512
  /// Where the records begin.
  static let recordsOffset = 1024
  static let magic: StaticString = "petiole\n"

  var version = SegmentHeader.version
  /// The same in all segments of a store.
  var salt: UInt32
  /// Log position of the file's first byte.
  var base: UInt64
  /// Log position at which the segment before this one ends; what its file holds beyond is not part of the log.
  var previousEnd: UInt64
  var batch: UInt64
  var chain: UInt32
  var created_ns: Int64

  func write(_ target: UnsafeMutableRawPointer) {
    target.copyMemory(from: UnsafeRawPointer(Self.magic.utf8Start), byteCount: 8)
    target.storeBytes(of: version.littleEndian, toByteOffset: 8, as: UInt32.self)
    target.storeBytes(of: salt.littleEndian, toByteOffset: 12, as: UInt32.self)
    target.storeBytes(of: base.littleEndian, toByteOffset: 16, as: UInt64.self)
    target.storeBytes(of: previousEnd.littleEndian, toByteOffset: 24, as: UInt64.self)
    target.storeBytes(of: batch.littleEndian, toByteOffset: 32, as: UInt64.self)
    target.storeBytes(of: chain.littleEndian, toByteOffset: 40, as: UInt32.self)
    target.storeBytes(of: UInt32(0), toByteOffset: 44, as: UInt32.self)
    target.storeBytes(of: created_ns.littleEndian, toByteOffset: 48, as: Int64.self)
    target.storeBytes(of: UInt32(0), toByteOffset: 56, as: UInt32.self)
    let crc = CRC32C.checksum(ByteView(UnsafeRawBufferPointer(start: target, count: 60)))
    target.storeBytes(of: crc.littleEndian, toByteOffset: 60, as: UInt32.self)
  }

  /// The header in `block`, from either copy, or nil.
  init?(_ block: UnsafeRawBufferPointer) {
    for offset in [0, Self.copyOffset] where block.count >= offset + Self.bytes {
      let base = block.baseAddress! + offset
      let view = ByteView(UnsafeRawBufferPointer(start: base, count: Self.bytes))
      guard view.hasPrefix(Self.magic),
        UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 60, as: UInt32.self)) == CRC32C.checksum(view.prefix(60))
      else { continue }
      version = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
      salt = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
      self.base = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
      previousEnd = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
      batch = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 32, as: UInt64.self))
      chain = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 40, as: UInt32.self))
      created_ns = Int64(littleEndian: base.loadUnaligned(fromByteOffset: 48, as: Int64.self))
      return
    }
    return nil
  }

  init(salt: UInt32, base: UInt64, previousEnd: UInt64, batch: UInt64, chain: UInt32, created_ns: Int64) {
    self.salt = salt
    self.base = base
    self.previousEnd = previousEnd
    self.batch = batch
    self.chain = chain
    self.created_ns = created_ns
  }
}
