// The bytes of a checkpoint file: header, frames, entries. docs/store-format.md is the reference. When one is written is in
// LogStore+Checkpoint, what is done with it at the start in Recovery+Checkpoint.
import Bytes

/// Kinds of entries in a checkpoint's frames.
enum CheckpointEntry {
  static let segment: UInt8 = 1
  /// A segment whose file was removed; a power cut may bring the name back.
  static let gone: UInt8 = 2
  static let drop: UInt8 = 3
  static let metadata: UInt8 = 4
  /// A stream; the entries of the next three kinds belong to it.
  static let stream: UInt8 = 5
  static let removed: UInt8 = 6
  static let anchors: UInt8 = 7
  /// Subjects whose hashes begin alike.
  static let subjects: UInt8 = 9
  /// A segment that was begun while the checkpoint was written.
  static let later: UInt8 = 10
}

/// The beginning of a checkpoint file. Written last: without it the file means nothing.
struct CheckpointHeader {
  static let version: UInt32 = 2
  static let bytes = 64
  static let magic: StaticString = "petiolec"
  /// Where the frames begin.
  static let framesOffset = 512

  var salt: UInt32
  /// Grows with every checkpoint of the store.
  var generation: UInt64
  /// The state is that behind this log position.
  var position: UInt64
  var nextBatch: UInt64
  var chain: UInt32
  var frameCount: UInt32
  /// Bytes of the frames.
  var size: UInt64

  init(salt: UInt32, generation: UInt64, position: UInt64, nextBatch: UInt64, chain: UInt32) {
    self.salt = salt
    self.generation = generation
    self.position = position
    self.nextBatch = nextBatch
    self.chain = chain
    frameCount = 0
    size = 0
  }

  func write(_ target: UnsafeMutableRawPointer) {
    target.copyMemory(from: UnsafeRawPointer(Self.magic.utf8Start), byteCount: 8)
    target.storeBytes(of: Self.version.littleEndian, toByteOffset: 8, as: UInt32.self)
    target.storeBytes(of: salt.littleEndian, toByteOffset: 12, as: UInt32.self)
    target.storeBytes(of: generation.littleEndian, toByteOffset: 16, as: UInt64.self)
    target.storeBytes(of: position.littleEndian, toByteOffset: 24, as: UInt64.self)
    target.storeBytes(of: nextBatch.littleEndian, toByteOffset: 32, as: UInt64.self)
    target.storeBytes(of: chain.littleEndian, toByteOffset: 40, as: UInt32.self)
    target.storeBytes(of: frameCount.littleEndian, toByteOffset: 44, as: UInt32.self)
    target.storeBytes(of: size.littleEndian, toByteOffset: 48, as: UInt64.self)
    target.storeBytes(of: UInt32(0), toByteOffset: 56, as: UInt32.self)
    let crc = CRC32C.checksum(ByteView(UnsafeRawBufferPointer(start: target, count: 60)))
    target.storeBytes(of: crc.littleEndian, toByteOffset: 60, as: UInt32.self)
  }

  /// The header in `block`, or nil when it is none that this version can read.
  init?(_ block: UnsafeRawBufferPointer) {
    guard block.count >= Self.bytes, let base = block.baseAddress else { return nil }
    let view = ByteView(UnsafeRawBufferPointer(start: base, count: Self.bytes))
    guard view.hasPrefix(Self.magic), UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt32.self)) == Self.version,
      UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 60, as: UInt32.self)) == CRC32C.checksum(view.prefix(60))
    else { return nil }
    salt = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    generation = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    position = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
    nextBatch = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 32, as: UInt64.self))
    chain = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 40, as: UInt32.self))
    frameCount = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 44, as: UInt32.self))
    size = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 48, as: UInt64.self))
  }

  /// The checksum of a frame: tied to the store, to this checkpoint and to its place in it, so that frames of two checkpoints never mix.
  func checksum(_ frame: UInt32, _ content: ByteView) -> UInt32 {
    CRC32C.checksum(content, continuing: salt ^ UInt32(truncatingIfNeeded: generation &* 0x9E37_79B1) ^ (frame &* 0x85EB_CA6B))
  }
}

/// Puts entries together in one frame after the other. A frame is u32 checksum, u32 length, content.
struct CheckpointFrame {
  static let headBytes = 8
  /// A frame is closed when it has so much: encoding it holds the loop for well under a millisecond, and the commits of messages wait
  /// for one frame at most.
  static let bytesMin = 128 << 10

  private(set) var bytes: [UInt8] = []
  private let bytesMin: Int

  init(bytesMin: Int) { self.bytesMin = bytesMin }

  mutating func begin() {
    bytes.removeAll(keepingCapacity: true)
    bytes.reserveCapacity(bytesMin + (4 << 10))
    for _ in 0..<Self.headBytes { bytes.append(0) }
  }

  var isFull: Bool { bytes.count >= bytesMin }
  var isEmpty: Bool { bytes.count <= Self.headBytes }

  @inline(__always) mutating func put(_ byte: UInt8) { bytes.append(byte) }

  /// A number: 7 bits per byte, the lowest first.
  @inline(never) mutating func put(_ number: UInt64) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  /// A number that may be a little above or below zero.
  @inline(__always) mutating func put(difference: UInt64) {
    let signed = Int64(bitPattern: difference)
    put(UInt64(bitPattern: signed << 1 ^ signed >> 63))
  }

  mutating func put(_ view: ByteView) {
    put(UInt64(view.count))
    bytes.append(view)
  }

  /// Fills in checksum and length.
  mutating func seal(_ header: CheckpointHeader, frame: UInt32) {
    let length = UInt32(bytes.count - Self.headBytes)
    let crc = bytes.withView { header.checksum(frame, $0.dropFirst(Self.headBytes)) }
    for index in 0..<4 {
      bytes[index] = UInt8(truncatingIfNeeded: crc >> UInt32(8 * index))
      bytes[4 + index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index))
    }
  }
}

/// Takes the entries of a frame apart. After a mistake everything reads as zero and `isValid` is false.
struct CheckpointReader {
  private let view: ByteView
  private var at = 0
  private(set) var isValid = true

  init(_ view: ByteView) { self.view = view }

  var isAtEnd: Bool { at >= view.count || !isValid }
  var left: Int { view.count - at }

  mutating func byte() -> UInt8 {
    guard at < view.count, isValid else {
      isValid = false
      return 0
    }
    at += 1
    return view.base[at - 1]
  }

  @inline(never) mutating func number() -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let next = byte()
      value |= UInt64(next & 0x7F) << shift
      if next & 0x80 == 0 { return isValid ? value : 0 }
      shift += 7
      if shift > 63 {
        isValid = false
        return 0
      }
    }
  }

  @inline(__always) mutating func difference() -> UInt64 {
    let number = number()
    return number >> 1 ^ (0 &- (number & 1))
  }

  mutating func text() -> ByteView {
    let length = number()
    guard isValid, length <= UInt64(view.count - at) else {
      isValid = false
      return ByteView()
    }
    at += Int(length)
    return view.slice(at - Int(length), at)
  }

  mutating func fail() { isValid = false }
}
