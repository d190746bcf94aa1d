// Scalars of the configuration language: quoted, raw, block and bare strings, and what a bare token may mean instead.
import Bytes

extension ConfigurationParser {
  /// A `"…"` string with escapes or a raw `'…'` string. Both may span lines.
  mutating func parseQuoted() throws(ConfigurationProblem) -> ByteString {
    let start = here
    let quote = bytes[position]
    advance()
    var output: [UInt8] = []
    while let byte = peek {
      if byte == quote {
        advance()
        return ByteString(output)
      }
      if byte == ASCII.backslash, quote == ASCII.quote {
        output.append(try parseEscape())
      } else {
        output.append(byte)
        advance()
      }
    }
    throw problem(at: start, "Unexpected EOF. The string that begins here has no end.")
  }

  /// `\xHH \t \n \r \" \\`
  private mutating func parseEscape() throws(ConfigurationProblem) -> UInt8 {
    let start = here
    advance()
    guard let byte = peek else { throw problem(at: start, "Unexpected EOF after a backslash.") }
    switch byte {
    case 0x74, 0x6E, 0x72, 0x22, 0x5C:
      advance()
      switch byte {
      case 0x74: return ASCII.tab
      case 0x6E: return ASCII.lineFeed
      case 0x72: return ASCII.carriageReturn
      default: return byte
      }
    case 0x78:
      advance()
      let digits = position
      guard let high = peek.flatMap(ASCII.hexadecimalValue), let low = peek(1).flatMap(ASCII.hexadecimalValue) else {
        while position < min(digits + 2, bytes.count) { advance() }
        throw problem(at: start, "Expected two hexadecimal digits after '\\x', but got '\(text(from: digits))'")
      }
      advance()
      advance()
      return high << 4 | low
    default:
      throw problem(
        at: start,
        "Invalid escape character '\(character(byte))'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\."
      )
    }
  }

  /// `( … )`: everything up to a line that holds only `)`, raw.
  mutating func parseBlock() throws(ConfigurationProblem) -> ByteString {
    let start = here
    advance()
    let content = position
    var lineBegin = position
    while position < bytes.count {
      if bytes[position] == ASCII.lineFeed {
        advance()
        lineBegin = position
        continue
      }
      if bytes[position] == 0x29, lineBegin > content, onlyBlanks(from: lineBegin, to: position), onlyBlanksToLineEnd(after: position) {
        let block = ByteString([UInt8](bytes[content..<lineBegin]))
        advance()
        return block
      }
      advance()
    }
    throw problem(at: start, "Unexpected EOF processing block. It ends with a ')' alone on its line.")
  }

  private func onlyBlanks(from start: Int, to end: Int) -> Bool {
    for index in start..<end where bytes[index] != ASCII.space && bytes[index] != ASCII.tab { return false }
    return true
  }

  private func onlyBlanksToLineEnd(after position: Int) -> Bool {
    var index = position + 1
    while index < bytes.count, bytes[index] != ASCII.lineFeed {
      guard ASCII.isBlank(bytes[index]) else { return false }
      index += 1
    }
    return true
  }

  /// A token without quotes: a variable, a number, a boolean, a date, or else a string.
  mutating func parseBare(at start: Location) throws(ConfigurationProblem) -> ConfigurationValue {
    var token: [UInt8] = []
    while let byte = peek, !ASCII.isBlank(byte) {
      switch byte {
      case 0x2C, 0x3B, 0x5D, 0x7D:
        if token.isEmpty { throw problem("Expected a value, but got '\(character(byte))' instead.") }
        return try scalar(token, at: start)
      case ASCII.backslash:
        token.append(try parseEscape())
      case 0..<0x20, 0x7F:
        throw problem("Unexpected control character '\(character(byte))' in a value")
      default:
        token.append(byte)
        advance()
      }
    }
    return try scalar(token, at: start)
  }

  private mutating func scalar(_ token: [UInt8], at start: Location) throws(ConfigurationProblem) -> ConfigurationValue {
    if token.first == 0x24 {
      // A bcrypt hash is the one thing with a dollar that is not a variable.
      if token.withView({ $0.hasPrefix("$2a$") }) { return try counted(.string(ByteString(token)), at: start) }
      return try resolve(ByteString([UInt8](token.dropFirst())), at: start)
    }
    var value = try counted(try token.withView { view throws(ConfigurationProblem) in try content(view, at: start) }, at: start)
    if case .integer = value.content, let last = token.last { value.hasUnit = !ASCII.isDigit(last) }
    return value
  }

  private func content(_ token: ByteView, at start: Location) throws(ConfigurationProblem) -> ConfigurationValue.Content {
    if let boolean = BareToken.boolean(token) { return .boolean(boolean) }
    switch UnitNumber.parse(token) {
    case .value(let value): return .integer(value)
    case .outOfRange: throw problem(at: start, "integer '\(token)' is out of the range")
    case .notInteger: break
    }
    if let float = BareToken.float(token) { return .float(float) }
    if let date = BareToken.date(token) { return .date(date) }
    return .string(ByteString(token))
  }
}

/// What a token without quotes means when it is not a string.
enum BareToken {
  static func boolean(_ token: ByteView) -> Bool? {
    for word: StaticString in ["true", "yes", "on"] where token.equalsIgnoringCase(word) { return true }
    for word: StaticString in ["false", "no", "off"] where token.equalsIgnoringCase(word) { return false }
    return nil
  }

  /// `1.5`, `-0.25`: digits on both sides of the dot.
  static func float(_ token: ByteView) -> Double? {
    var index = token.count > 0 && token[0] == ASCII.minus ? 1 : 0
    let whole = index
    while index < token.count, ASCII.isDigit(token[index]) { index += 1 }
    guard index > whole, index < token.count, token[index] == ASCII.dot else { return nil }
    index += 1
    let fraction = index
    while index < token.count, ASCII.isDigit(token[index]) { index += 1 }
    guard index > fraction, index == token.count, token.count <= 400 else { return nil }
    // Exact for up to 15 digits, which is more than an option needs, and near for more; strtod would bring 7 kB for the rest.
    var digits: Double = 0
    var scale: Double = 1
    for (position, byte) in token.bytes.prefix(fraction + 18).enumerated() where ASCII.isDigit(byte) {
      digits = digits * 10 + Double(byte - ASCII.zero)
      if position >= fraction { scale *= 10 }
    }
    return whole == 1 ? -digits / scale : digits / scale
  }

  /// `2006-01-02T15:04:05Z`, as nanoseconds since 1970.
  static func date(_ token: ByteView) -> Int64? {
    guard token.count == 20 else { return nil }
    let form: StaticString = "0000-00-00T00:00:00Z"
    for index in 0..<20 {
      let expected = form.utf8Start[index]
      guard expected == ASCII.zero ? ASCII.isDigit(token[index]) : token[index] == expected else { return nil }
    }
    func number(_ start: Int, _ count: Int) -> Int64 { Int64(token.slice(start, start + count).decimalInt() ?? 0) }
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2))
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2))
    guard (1...12).contains(month), hour < 24, minute < 60, second < 60 else { return nil }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard (1...lengths[Int(month - 1)]).contains(day) else { return nil }
    // Days since 1970 in the proleptic Gregorian calendar, with the year beginning in March.
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second
    let (nanoseconds, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? nil : nanoseconds
  }
}
