// What SHA-1 and SHA-256 share (FIPS 180-4 section 5): blocks of 64 bytes, words with the highest byte first, the padding.

enum HashBlocks {
  /// `text`, a one bit, zeros, and the length in bits: whole blocks.
  static func padded(_ text: ByteView) -> [UInt8] {
    var padded = text.bytes
    padded.append(0x80)
    while padded.count % 64 != 56 { padded.append(0) }
    let bits = UInt64(text.count) * 8
    for shift in stride(from: UInt64(56), through: 0, by: -8) { padded.append(UInt8(truncatingIfNeeded: bits >> shift)) }
    return padded
  }

  /// The 16 words of the block at `start`.
  static func load(_ bytes: [UInt8], _ start: Int, _ words: inout [UInt32]) {
    for index in 0..<16 {
      let at = start + index * 4
      words[index] = UInt32(bytes[at]) << 24 | UInt32(bytes[at + 1]) << 16 | UInt32(bytes[at + 2]) << 8 | UInt32(bytes[at + 3])
    }
  }

  static func bytes(_ words: [UInt32]) -> [UInt8] {
    var bytes: [UInt8] = []
    for word in words {
      for shift in stride(from: UInt32(24), through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    return bytes
  }
}
