// Numbers with 7 bits per byte, the lowest first, as Go's encoding/binary has them.
import Bytes

enum Varint {
  static func append(_ number: UInt64, to output: inout [UInt8]) {
    var rest = number
    while rest >= 0x80 {
      output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    output.append(UInt8(truncatingIfNeeded: rest))
  }

  /// Takes a number from the front of `rest`; nil when it is not there as a whole.
  static func read(_ rest: inout ByteView) throws(BackupError) -> UInt64? {
    var value: UInt64 = 0
    for index in 0..<10 {
      guard index < rest.count else { return nil }
      let part = UInt64(rest[index] & 0x7F)
      // The tenth byte holds one bit.
      guard index < 9 || part <= 1 else { break }
      value |= part << UInt64(7 * index)
      if rest[index] & 0x80 == 0 {
        rest = rest.dropFirst(index + 1)
        return value
      }
    }
    throw BackupError("a number has more than 64 bits")
  }

  /// A signed number as a small unsigned one, and back.
  static func zigzag(_ number: Int64) -> UInt64 { UInt64(bitPattern: number << 1 ^ number >> 63) }
  static func signed(_ number: UInt64) -> Int64 { Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1) }
}

extension ByteView {
  /// The number at an offset, lowest byte first.
  func little64(_ offset: Int) -> UInt64 {
    var number: UInt64 = 0
    for index in 0..<8 { number |= UInt64(self[offset + index]) << UInt64(8 * index) }
    return number
  }

  func little32(_ offset: Int) -> UInt32 {
    var number: UInt32 = 0
    for index in 0..<4 { number |= UInt32(self[offset + index]) << UInt32(8 * index) }
    return number
  }
}
