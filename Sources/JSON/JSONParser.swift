// Reads a JSON document (RFC 8259) from untrusted bytes: bounded in depth and number of values, never traps.
import Bytes

public enum JSON {
  /// Deeper documents than any API or monitoring request has; bounds the stack (one frame a level).
  public static let depthMax = 64
  /// Values in one document; bounds memory to some 5 MB for the worst document. A stream of 10,000 subjects fits.
  public static let nodesMax = 65_536

  /// The value of a whole document. Blanks around it are allowed, anything else after it is an error. Invalid UTF-8 in strings
  /// becomes U+FFFD, byte by byte, as in Go.
  public static func parse(
    _ bytes: ByteView, depthMax: Int = JSON.depthMax, nodesMax: Int = JSON.nodesMax
  ) throws(JSONError) -> JSONValue {
    var parser = JSONParser(input: bytes, depthMax: depthMax, nodesLeft: nodesMax)
    let value = try parser.value(depth: 0)
    parser.skipBlanks()
    guard parser.next == bytes.count else { throw parser.unexpected(.afterTopLevel) }
    return value
  }

  public static func parse(
    _ bytes: ByteString, depthMax: Int = JSON.depthMax, nodesMax: Int = JSON.nodesMax
  ) throws(JSONError) -> JSONValue {
    try bytes.withView { view throws(JSONError) in try parse(view, depthMax: depthMax, nodesMax: nodesMax) }
  }
}

/// The reading position in one document.
struct JSONParser {
  let input: ByteView
  let depthMax: Int
  var nodesLeft: Int
  var next = 0

  init(input: ByteView, depthMax: Int, nodesLeft: Int) {
    self.input = input
    self.depthMax = depthMax
    self.nodesLeft = nodesLeft
  }

  /// The error of the byte at `next`, or of there being none.
  func unexpected(_ place: JSONError.Place) -> JSONError {
    guard next < input.count else { return JSONError(.unexpectedEnd, offset: input.count) }
    return JSONError(.invalidCharacter(input[next], place), offset: next + 1)
  }

  @inline(__always) private var byte: UInt8? { next < input.count ? input[next] : nil }

  mutating func skipBlanks() {
    while next < input.count, ASCII.isBlank(input[next]) { next += 1 }
  }

  mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    skipBlanks()
    guard nodesLeft > 0 else { throw JSONError(.tooManyNodes, offset: next) }
    nodesLeft -= 1
    switch byte {
    case 0x7B: return .object(try members(depth: depth))
    case 0x5B: return .array(try elements(depth: depth))
    case ASCII.quote: return .string(ByteString(try string()))
    case .some(ASCII.minus), .some(0x30...0x39): return .number(try number())
    case 0x74: return try word("true", .true, .bool(true))
    case 0x66: return try word("false", .false, .bool(false))
    case 0x6E: return try word("null", .null, .null)
    default: throw unexpected(.value)
    }
  }

  private mutating func members(depth: Int) throws(JSONError) -> [JSONMember] {
    guard depth < depthMax else { throw JSONError(.tooDeep, offset: next + 1) }
    next += 1
    var members: [JSONMember] = []
    skipBlanks()
    if byte == 0x7D {
      next += 1
      return members
    }
    while true {
      skipBlanks()
      guard byte == ASCII.quote else { throw unexpected(.objectKey) }
      let name = ByteString(try string())
      skipBlanks()
      guard byte == ASCII.colon else { throw unexpected(.afterObjectKey) }
      next += 1
      members.append(JSONMember(name: name, value: try value(depth: depth + 1)))
      skipBlanks()
      switch byte {
      case 0x2C: next += 1
      case 0x7D:
        next += 1
        return members
      default: throw unexpected(.afterMember)
      }
    }
  }

  private mutating func elements(depth: Int) throws(JSONError) -> [JSONValue] {
    guard depth < depthMax else { throw JSONError(.tooDeep, offset: next + 1) }
    next += 1
    var elements: [JSONValue] = []
    skipBlanks()
    if byte == 0x5D {
      next += 1
      return elements
    }
    while true {
      elements.append(try value(depth: depth + 1))
      skipBlanks()
      switch byte {
      case 0x2C: next += 1
      case 0x5D:
        next += 1
        return elements
      default: throw unexpected(.afterElement)
      }
    }
  }

  private mutating func word(
    _ text: StaticString, _ name: JSONError.Word, _ value: JSONValue
  ) throws(JSONError) -> JSONValue {
    let due = ByteView(text)
    for index in 0..<due.count {
      guard byte == due[index] else { throw unexpected(.literal(name, expecting: due[index])) }
      next += 1
    }
    return value
  }

  private mutating func digits(_ place: JSONError.Place) throws(JSONError) {
    guard let first = byte, ASCII.isDigit(first) else { throw unexpected(place) }
    while let digit = byte, ASCII.isDigit(digit) { next += 1 }
  }

  private mutating func number() throws(JSONError) -> JSONNumber {
    let start = next
    if byte == ASCII.minus { next += 1 }
    if byte == ASCII.zero { next += 1 } else { try digits(.number) }
    if byte == ASCII.dot {
      next += 1
      try digits(.fraction)
    }
    if byte == 0x65 || byte == 0x45 {
      next += 1
      if byte == ASCII.plus || byte == ASCII.minus { next += 1 }
      try digits(.exponent)
    }
    return JSONNumber(text: ByteString(input.slice(start, next)))
  }

  /// The unescaped bytes of the string that starts at the quote.
  private mutating func string() throws(JSONError) -> [UInt8] {
    next += 1
    var output: [UInt8] = []
    var run = next
    while let current = byte {
      switch current {
      case ASCII.quote:
        output.append(input.slice(run, next))
        next += 1
        return output
      case ASCII.backslash:
        output.append(input.slice(run, next))
        next += 1
        try escape(into: &output)
        run = next
      case 0..<0x20:
        throw unexpected(.string)
      case 0x20..<0x80:
        next += 1
      default:
        let length = UTF8Sequence.length(in: input, at: next)
        if length == 0 {
          output.append(input.slice(run, next))
          UTF8Sequence.appendReplacement(to: &output)
          next += 1
          run = next
        } else {
          next += length
        }
      }
    }
    throw unexpected(.string)
  }

  private mutating func escape(into output: inout [UInt8]) throws(JSONError) {
    switch byte {
    case ASCII.quote: output.append(ASCII.quote)
    case ASCII.backslash: output.append(ASCII.backslash)
    case ASCII.slash: output.append(ASCII.slash)
    case 0x62: output.append(0x08)
    case 0x66: output.append(ASCII.formFeed)
    case 0x6E: output.append(ASCII.lineFeed)
    case 0x72: output.append(ASCII.carriageReturn)
    case 0x74: output.append(ASCII.tab)
    case 0x75:
      next += 1
      let unit = try hexUnit()
      UTF8Sequence.append(try surrogatePair(high: unit) ?? unit, to: &output)
      return
    default: throw unexpected(.escape)
    }
    next += 1
  }

  private mutating func hexUnit() throws(JSONError) -> UInt32 {
    var unit: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = byte, let value = HexDigits.value(digit) else { throw unexpected(.unicodeEscape) }
      unit = unit << 4 | value
      next += 1
    }
    return unit
  }

  /// The code point of a high surrogate and the low one escaped right after it; nil, and nothing is read, when there is no pair.
  private mutating func surrogatePair(high: UInt32) throws(JSONError) -> UInt32? {
    guard high >= 0xD800, high < 0xDC00 else { return nil }
    guard next + 1 < input.count, input[next] == ASCII.backslash, input[next + 1] == 0x75 else { return nil }
    let start = next
    next += 2
    let low = try hexUnit()
    guard low >= 0xDC00, low < 0xE000 else {
      next = start
      return nil
    }
    return 0x1_0000 + (high - 0xD800) << 10 + (low - 0xDC00)
  }
}
