// What reader and writer share about characters: UTF-8 sequences and hexadecimal digits.
import Bytes

enum HexDigits {
  @inline(__always) static func lower(_ nibble: UInt8) -> UInt8 { nibble < 10 ? ASCII.zero + nibble : 0x61 + nibble - 10 }

  @inline(__always) static func value(_ digit: UInt8) -> UInt32? {
    switch digit {
    case 0x30...0x39: UInt32(digit - 0x30)
    case 0x41...0x46: UInt32(digit - 0x41 + 10)
    case 0x61...0x66: UInt32(digit - 0x61 + 10)
    default: nil
    }
  }
}

enum UTF8Sequence {
  /// The length of the valid UTF-8 sequence of several bytes that starts at `index`, or 0 when the byte there begins none (RFC 3629:
  /// no overlong forms, no surrogates, nothing above U+10FFFF).
  static func length(in view: ByteView, at index: Int) -> Int {
    let first = view[index]
    let left = view.count - index
    func continues(_ offset: Int) -> Bool { view[index + offset] & 0xC0 == 0x80 }
    switch first {
    case 0xC2...0xDF:
      return left >= 2 && continues(1) ? 2 : 0
    case 0xE0...0xEF:
      guard left >= 3, continues(1), continues(2) else { return 0 }
      let second = view[index + 1]
      if first == 0xE0 && second < 0xA0 || first == 0xED && second > 0x9F { return 0 }
      return 3
    case 0xF0...0xF4:
      guard left >= 4, continues(1), continues(2), continues(3) else { return 0 }
      let second = view[index + 1]
      if first == 0xF0 && second < 0x90 || first == 0xF4 && second > 0x8F { return 0 }
      return 4
    default: return 0
    }
  }

  /// Appends the UTF-8 of a code point; what is none (a lone surrogate) becomes U+FFFD.
  static func append(_ codePoint: UInt32, to output: inout [UInt8]) {
    func tail(_ shift: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: codePoint >> shift & 0x3F | 0x80) }
    switch codePoint {
    case 0..<0x80:
      output.append(UInt8(codePoint))
    case 0x80..<0x800:
      output.append(UInt8(codePoint >> 6 | 0xC0))
      output.append(tail(0))
    case 0xD800..<0xE000, 0x11_0000...:
      appendReplacement(to: &output)
    case 0x800..<0x1_0000:
      output.append(UInt8(codePoint >> 12 | 0xE0))
      output.append(tail(6))
      output.append(tail(0))
    default:
      output.append(UInt8(codePoint >> 18 | 0xF0))
      output.append(tail(12))
      output.append(tail(6))
      output.append(tail(0))
    }
  }

  static func appendReplacement(to output: inout [UInt8]) {
    output.append(0xEF)
    output.append(0xBF)
    output.append(0xBD)
  }
}
