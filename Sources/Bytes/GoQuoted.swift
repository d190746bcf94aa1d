// Text between double quotes as Go's %q puts it, for messages that clients compare.

public enum GoQuoted {
  private static let hexDigits: StaticString = "0123456789abcdef"

  /// Appends `text` in quotes; what would end them, or shows badly, is escaped. Bytes of other characters than ASCII's stay as they are.
  public static func append(_ text: ByteView, to output: inout [UInt8]) {
    output.append(ASCII.quote)
    for index in 0..<text.count {
      let byte = text[index]
      switch byte {
      case ASCII.quote, ASCII.backslash:
        output.append(ASCII.backslash)
        output.append(byte)
      case 0x07...0x0D:
        output.append(ASCII.backslash)
        output.append(ByteView("abtnvfr")[Int(byte) - 7])
      case 0..<0x20, 0x7F: appendCode(byte, to: &output)
      default: output.append(byte)
      }
    }
    output.append(ASCII.quote)
  }

  /// `text` with every control character as its code, so that it is one line and does nothing to a terminal.
  public static func oneLine(_ text: ByteString) -> ByteString {
    guard text.bytes.contains(where: { isControl($0) }) else { return text }
    var output: [UInt8] = []
    output.reserveCapacity(text.count + 16)
    for byte in text.bytes {
      if isControl(byte) { appendCode(byte, to: &output) } else { output.append(byte) }
    }
    return ByteString(output)
  }

  private static func isControl(_ byte: UInt8) -> Bool { byte < ASCII.space || byte == 0x7F }

  private static func appendCode(_ byte: UInt8, to output: inout [UInt8]) {
    output.append(literal: "\\x")
    output.append(hexDigits.utf8Start[Int(byte >> 4)])
    output.append(hexDigits.utf8Start[Int(byte & 15)])
  }
}
