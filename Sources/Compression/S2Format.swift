// The numbers of the S2 format that encoder and decoder share (leaf protocol specification, section 16).
import Bytes

enum S2Format {
  static let chunkCompressed: UInt8 = 0x00
  static let chunkUncompressed: UInt8 = 0x01
  static let chunkReservedLast: UInt8 = 0x7F
  static let chunkIdentifier: UInt8 = 0xFF

  static let chunkHeaderBytes = 4
  static let checksumBytes = 4
  static let identifierBodyBytes = 6
  static let identifierBody: StaticString = "S2sTwO"
  static let snappyIdentifierBody: StaticString = "sNaPpY"

  /// What a chunk may decode to: the limit of Go's reader, and ours.
  static let decodedBytesMax = 4 << 20
  /// A data chunk's body: checksum, the block's length and a block that did not shrink.
  static let chunkBodyBytesMax = chunkBodyBytes(decodedBytesMax: decodedBytesMax)
  /// The same for chunks that may decode to less.
  static func chunkBodyBytes(decodedBytesMax: Int) -> Int { decodedBytesMax + 12 }
  /// What a chunk may decode to after a Snappy identifier.
  static let snappyDecodedBytesMax = 64 << 10

  /// The checksum as chunks carry it.
  @inline(__always) static func maskedChecksum(_ view: ByteView) -> UInt32 {
    let crc = CRC32C.checksum(view)
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }
}
