// SHA-1 (FIPS 180-4) of short texts, for the one thing that still asks for it: the answer to a WebSocket's key (RFC 6455 section 4.2.2),
// which proves that a WebSocket server answers, and protects nothing.

public enum SHA1 {
  /// The 20 bytes of the hash.
  public static func hash(_ text: ByteView) -> [UInt8] {
    var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
    let padded = HashBlocks.padded(text)
    var words = [UInt32](repeating: 0, count: 80)
    for start in stride(from: 0, to: padded.count, by: 64) {
      HashBlocks.load(padded, start, &words)
      for index in 16..<80 { words[index] = turned(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1) }
      mix(words, &state)
    }
    return HashBlocks.bytes(state)
  }

  private static func mix(_ words: [UInt32], _ state: inout [UInt32]) {
    var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
    for index in 0..<80 {
      let (choice, constant): (UInt32, UInt32)
      switch index {
      case 0..<20: (choice, constant) = ((b & c) | (~b & d), 0x5a82_7999)
      case 20..<40: (choice, constant) = (b ^ c ^ d, 0x6ed9_eba1)
      case 40..<60: (choice, constant) = ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc)
      default: (choice, constant) = (b ^ c ^ d, 0xca62_c1d6)
      }
      let next = turned(a, 5) &+ choice &+ e &+ constant &+ words[index]
      (a, b, c, d, e) = (next, a, turned(b, 30), c, d)
    }
    for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
  }

  private static func turned(_ word: UInt32, _ bits: UInt32) -> UInt32 { word << bits | word >> (32 - bits) }
}
