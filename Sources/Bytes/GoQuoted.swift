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
      case 0..<0x20, 0x7F:
        output.append(literal: "\\x")
        output.append(hexDigits.utf8Start[Int(byte >> 4)])
        output.append(hexDigits.utf8Start[Int(byte & 15)])
      default: output.append(byte)
      }
    }
    output.append(ASCII.quote)
  }
}
