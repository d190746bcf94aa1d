// Decodes one S2 block from untrusted bytes (leaf protocol specification, section 16.2). Chunks and checksums are in
// S2StreamDecoder.
//
// Uses bare pointers for speed. Invariant: before every read `end - next` is compared with what is read, before every write
// `limit - place` with what is written, and before every copy its offset with `place`; nothing else moves the three of them.
import Bytes
import CLinux

public enum S2BlockDecoder {
  /// The declared decoded length of a block and the number of bytes it takes up.
  static func header(_ block: ByteView) throws(S2Error) -> (length: Int, size: Int) {
    var value: UInt64 = 0
    for index in 0..<min(block.count, 5) {
      value |= UInt64(block[index] & 0x7F) << UInt64(index * 7)
      if block[index] < 0x80 {
        guard value <= UInt64(UInt32.max), let length = Int(exactly: value) else { throw S2Error(.blockLengthWrong, offset: 0) }
        return (length, index + 1)
      }
    }
    throw S2Error(.blockLengthWrong, offset: 0)
  }

  /// Appends the decoded block to `output`; on error `output` is as it was.
  public static func decode(
    _ block: ByteView, into output: inout [UInt8], decodedBytesMax: Int = 4 << 20
  ) throws(S2Error) {
    let (length, size) = try header(block)
    guard length <= decodedBytesMax else { throw S2Error(.chunkTooLong, offset: 0) }
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(length, 1))
    defer { memory.deallocate() }
    try decode(block, from: size, to: memory, length: length)
    output.append(ByteView(base: UnsafePointer(memory), count: length))
  }

  /// Decodes the elements that start at `start` into exactly `length` bytes at `target`.
  static func decode(
    _ block: ByteView, from start: Int, to target: UnsafeMutablePointer<UInt8>, length limit: Int
  ) throws(S2Error) {
    let source = block.base
    let end = block.count
    var next = start
    var place = 0
    var offset = 0
    while next < end {
      let element = UInt64(next)
      let tag = source[next]
      next += 1
      var length: Int
      switch tag & 3 {
      case 0:
        length = Int(tag >> 2)
        if length >= 60 {
          let extra = length - 59
          guard end - next >= extra else { throw S2Error(.blockTruncated, offset: element) }
          // Up to 32 bits, which Int may not hold on a 32-bit machine; no literal is longer than the block.
          let value = littleEndian(source + next, extra)
          guard value < UInt32(truncatingIfNeeded: Int32.max) else { throw S2Error(.blockTruncated, offset: element) }
          length = Int(value)
          next += extra
        }
        length += 1
        guard length <= end - next else { throw S2Error(.blockTruncated, offset: element) }
        guard length <= limit - place else { throw S2Error(.blockLengthMismatch, offset: element) }
        if length <= 16, end - next >= 16, limit - place >= 16 {
          copy8(source + next, target + place)
          copy8(source + next + 8, target + place + 8)
        } else {
          memcpy(target + place, source + next, length)
        }
        next += length
        place += length
        continue
      case 1:
        guard next < end else { throw S2Error(.blockTruncated, offset: element) }
        let distance = Int(tag & 0xE0) << 3 | Int(source[next])
        next += 1
        length = Int(tag >> 2 & 7)
        if distance != 0 {
          offset = distance
          length += 4
        } else if length <= 4 {
          length += 4
        } else {
          let extra = length - 4
          guard end - next >= extra else { throw S2Error(.blockTruncated, offset: element) }
          length = Int(littleEndian(source + next, extra)) + (extra == 1 ? 8 : extra == 2 ? 260 : 65540)
          next += extra
        }
      case 2:
        guard end - next >= 2 else { throw S2Error(.blockTruncated, offset: element) }
        offset = Int(littleEndian(source + next, 2))
        next += 2
        length = Int(tag >> 2) + 1
      default:
        guard end - next >= 4 else { throw S2Error(.blockTruncated, offset: element) }
        // Beyond Int32 it is beyond any block; zero is refused below.
        offset = Int(truncatingIfNeeded: Int32(exactly: littleEndian(source + next, 4)) ?? 0)
        next += 4
        length = Int(tag >> 2) + 1
      }
      guard offset > 0, offset <= place else { throw S2Error(.offsetWrong, offset: element) }
      guard length <= limit - place else { throw S2Error(.blockLengthMismatch, offset: element) }
      repeatBytes(target + place, offset: offset, length: length, room: limit - place)
      place += length
    }
    guard place == limit else { throw S2Error(.blockLengthMismatch, offset: UInt64(end)) }
  }

  /// `count` bytes (1 to 4), the lowest first.
  @inline(__always) private static func littleEndian(_ source: UnsafePointer<UInt8>, _ count: Int) -> UInt32 {
    var value = UInt32(source[0])
    if count > 1 { value |= UInt32(source[1]) << 8 }
    if count > 2 { value |= UInt32(source[2]) << 16 }
    if count > 3 { value |= UInt32(source[3]) << 24 }
    return value
  }

  @inline(__always) private static func copy8(_ source: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>) {
    let word = UnsafeRawPointer(source).loadUnaligned(as: UInt64.self)
    UnsafeMutableRawPointer(target).storeBytes(of: word, as: UInt64.self)
  }

  /// Copies `length` bytes from `offset` before `target`, byte after byte, so that a copy may read what it wrote. Up to `room`
  /// bytes may be overwritten.
  @inline(__always) private static func repeatBytes(
    _ target: UnsafeMutablePointer<UInt8>, offset: Int, length: Int, room: Int
  ) {
    let source = target - offset
    if offset >= 8, room - length >= 8 {
      var done = 0
      repeat {
        copy8(source + done, target + done)
        done += 8
      } while done < length
    } else if offset >= length {
      memcpy(target, source, length)
    } else if offset == 1 {
      memset(target, Int32(source[0]), length)
    } else {
      for index in 0..<length { target[index] = source[index] }
    }
  }
}
