// Base64 (RFC 4648): section 4 with padding for message bodies and headers in JetStream's JSON, section 5 without for tokens and signatures.

public enum Base64 {
  private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

  /// Appends the padded encoding of `view` to `output`.
  public static func encode(_ view: ByteView, into output: inout [UInt8]) {
    let digits = alphabet.utf8Start
    output.reserveCapacity(output.count + (view.count + 2) / 3 * 4)
    var index = 0
    while index + 2 < view.count {
      let word = UInt32(view.base[index]) << 16 | UInt32(view.base[index + 1]) << 8 | UInt32(view.base[index + 2])
      output.append(digits[Int(word >> 18)])
      output.append(digits[Int(word >> 12 & 63)])
      output.append(digits[Int(word >> 6 & 63)])
      output.append(digits[Int(word & 63)])
      index += 3
    }
    switch view.count - index {
    case 1:
      let word = UInt32(view[index]) << 16
      output.append(digits[Int(word >> 18)])
      output.append(digits[Int(word >> 12 & 63)])
      output.append(literal: "==")
    case 2:
      let word = UInt32(view[index]) << 16 | UInt32(view[index + 1]) << 8
      output.append(digits[Int(word >> 18)])
      output.append(digits[Int(word >> 12 & 63)])
      output.append(digits[Int(word >> 6 & 63)])
      output.append(literal: "=")
    default: break
    }
  }

  private static let urlAlphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

  /// The encoding for URLs of `view`, without padding.
  public static func encodeURL(_ view: ByteView) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity((view.count * 8 + 5) / 6)
    var bits: UInt32 = 0
    var bitCount: UInt32 = 0
    for index in 0..<view.count {
      bits = bits << 8 | UInt32(view[index])
      bitCount += 8
      while bitCount >= 6 {
        bitCount -= 6
        output.append(urlAlphabet.utf8Start[Int(bits >> bitCount & 63)])
      }
    }
    if bitCount > 0 { output.append(urlAlphabet.utf8Start[Int(bits << (6 - bitCount) & 63)]) }
    return output
  }

  /// The bytes of an encoding for URLs without padding, or nil when `text` is not one.
  public static func decodeURL(_ text: ByteView) -> [UInt8]? {
    var output: [UInt8] = []
    output.reserveCapacity(text.count * 6 / 8)
    var bits: UInt32 = 0
    var bitCount: UInt32 = 0
    for index in 0..<text.count {
      let digit = text[index]
      let known = digit == 0x2D ? 62 : digit == 0x5F ? 63 : digit == 0x2B || digit == 0x2F ? nil : value(digit)
      guard let known else { return nil }
      bits = bits << 6 | known
      bitCount += 6
      if bitCount >= 8 {
        bitCount -= 8
        output.append(UInt8(truncatingIfNeeded: bits >> bitCount))
      }
    }
    return bitCount == 6 ? nil : output
  }

  private static func value(_ digit: UInt8) -> UInt32? {
    switch digit {
    case 0x41...0x5A: UInt32(digit - 0x41)
    case 0x61...0x7A: UInt32(digit - 0x61 + 26)
    case 0x30...0x39: UInt32(digit - 0x30 + 52)
    case 0x2B: 62
    case 0x2F: 63
    default: nil
    }
  }

  /// The bytes of a padded encoding, or nil when `text` is not one.
  public static func decode(_ text: ByteView) -> [UInt8]? {
    guard text.count % 4 == 0 else { return nil }
    var output: [UInt8] = []
    output.reserveCapacity(text.count / 4 * 3)
    var index = 0
    while index < text.count {
      let last = index + 4 == text.count
      let padding = last ? (text[index + 3] == 0x3D ? (text[index + 2] == 0x3D ? 2 : 1) : 0) : 0
      var word: UInt32 = 0
      for offset in 0..<4 {
        guard let digit = offset >= 4 - padding ? 0 : value(text[index + offset]) else { return nil }
        word = word << 6 | digit
      }
      output.append(UInt8(truncatingIfNeeded: word >> 16))
      if padding < 2 { output.append(UInt8(truncatingIfNeeded: word >> 8)) }
      if padding < 1 { output.append(UInt8(truncatingIfNeeded: word)) }
      index += 4
    }
    return output
  }
}
