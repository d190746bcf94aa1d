// Base32 (RFC 4648 section 6) without padding: the text of keys.

public enum Base32 {
  private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

  /// The encoding of `view`.
  public static func encode(_ view: ByteView) -> [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity((view.count * 8 + 4) / 5)
    var bits: UInt32 = 0
    var bitCount: UInt32 = 0
    for index in 0..<view.count {
      bits = bits << 8 | UInt32(view[index])
      bitCount += 8
      while bitCount >= 5 {
        bitCount -= 5
        text.append(alphabet.utf8Start[Int(bits >> bitCount & 31)])
      }
    }
    if bitCount > 0 { text.append(alphabet.utf8Start[Int(bits << (5 - bitCount) & 31)]) }
    return text
  }

  /// The bytes of an encoding, or nil when `text` is not one. Each has one encoding only: bits left over are zero.
  public static func decode(_ text: ByteView) -> [UInt8]? {
    var output: [UInt8] = []
    output.reserveCapacity(text.count * 5 / 8)
    var bits: UInt32 = 0
    var bitCount: UInt32 = 0
    for index in 0..<text.count {
      let digit: UInt32
      switch text[index] {
      case 0x41...0x5A: digit = UInt32(text[index] - 0x41)
      case 0x32...0x37: digit = UInt32(text[index] - 0x32 + 26)
      default: return nil
      }
      bits = bits << 5 | digit
      bitCount += 5
      if bitCount >= 8 {
        bitCount -= 8
        output.append(UInt8(truncatingIfNeeded: bits >> bitCount))
      }
    }
    guard bitCount < 5, bits & (1 << bitCount - 1) == 0 else { return nil }
    return output
  }
}
