// Writes JSON text straight into bytes, byte for byte as Go's encoding/json does (HTML escaping included). Which fields a
// message has, and their order, is the caller's business.
import Bytes

/// A JSON text in the making. Commas and indentation are its business; matching begins and ends are the caller's, and checked.
public struct JSONWriter {
  private enum Position {
    /// Before the first element or member of a container, or of the document.
    case first
    /// After an element or member.
    case later
    /// After a member's name.
    case afterName
  }

  public var bytes: [UInt8] = []
  private let indent: Bool
  private var position = Position.first
  private var depth = 0

  /// `indent` puts every member and element on its own line, two blanks per level (Go's MarshalIndent with two blanks).
  public init(indent: Bool = false) { self.indent = indent }

  /// Appends to `bytes`, which are kept as they are.
  public init(appendingTo bytes: consuming [UInt8], indent: Bool = false) {
    self.bytes = bytes
    self.indent = indent
  }

  /// The text so far; every container must have been ended.
  public consuming func finish() -> [UInt8] {
    precondition(depth == 0, "a JSON container was not ended")
    return bytes
  }

  private mutating func newLine() {
    bytes.append(ASCII.lineFeed)
    for _ in 0..<depth { bytes.append(literal: "  ") }
  }

  /// The comma, and in indented texts the line break, that comes before a member or element.
  @inline(__always) private mutating func separate() {
    if position == .later { bytes.append(0x2C) }
    if indent, depth > 0 { newLine() }
  }

  @inline(__always) private mutating func beginValue() {
    if position != .afterName { separate() }
    position = .later
  }

  private mutating func begin(_ bracket: UInt8) {
    beginValue()
    bytes.append(bracket)
    depth += 1
    position = .first
  }

  private mutating func end(_ bracket: UInt8) {
    precondition(depth > 0 && position != .afterName, "a JSON container ends where none can")
    depth -= 1
    if indent, position == .later { newLine() }
    bytes.append(bracket)
    position = .later
  }

  public mutating func beginObject() { begin(0x7B) }
  public mutating func endObject() { end(0x7D) }
  public mutating func beginArray() { begin(0x5B) }
  public mutating func endArray() { end(0x5D) }

  public mutating func key(_ name: ByteView) {
    precondition(position != .afterName && depth > 0, "a JSON name where a value is due")
    separate()
    quote(name)
    bytes.append(ASCII.colon)
    if indent { bytes.append(ASCII.space) }
    position = .afterName
  }

  public mutating func key(_ name: ByteString) { name.withView { key($0) } }
  public mutating func key(literal name: StaticString) { key(ByteView(name)) }

  public mutating func string(_ view: ByteView) {
    beginValue()
    quote(view)
  }

  public mutating func string(_ value: ByteString) { value.withView { string($0) } }
  public mutating func string(literal value: StaticString) { string(ByteView(value)) }
  public mutating func string(_ value: String) { [UInt8](value.utf8).withView { string($0) } }

  public mutating func number<Number: FixedWidthInteger>(_ number: Number) {
    beginValue()
    bytes.append(decimal: number)
  }

  /// A double in Go's notation; what JSON cannot say (NaN, infinity) is written as null.
  public mutating func number(_ number: Double) {
    beginValue()
    GoDouble.append(number, to: &bytes)
  }

  public mutating func number(_ number: JSONNumber) {
    beginValue()
    bytes.append(number.text)
  }

  public mutating func bool(_ value: Bool) {
    beginValue()
    bytes.append(literal: value ? "true" : "false")
  }

  public mutating func null() {
    beginValue()
    bytes.append(literal: "null")
  }

  /// A value that is JSON already; copied as it is.
  public mutating func raw(_ json: ByteView) {
    beginValue()
    bytes.append(json)
  }

  public mutating func raw(_ json: ByteString) { json.withView { raw($0) } }

  /// A parsed value, written again.
  public mutating func value(_ value: JSONValue) {
    switch value {
    case .null: null()
    case .bool(let flag): bool(flag)
    case .number(let number): self.number(number)
    case .string(let text): string(text)
    case .array(let elements):
      beginArray()
      for element in elements { self.value(element) }
      endArray()
    case .object(let members):
      beginObject()
      for member in members {
        key(member.name)
        self.value(member.value)
      }
      endObject()
    }
  }

  /// Base64 of `view` (how Go writes a []byte).
  public mutating func base64(_ view: ByteView) {
    beginValue()
    bytes.append(ASCII.quote)
    Base64.encode(view, into: &bytes)
    bytes.append(ASCII.quote)
  }

  /// A time in nanoseconds since 1970, or Go's zero time for nil.
  public mutating func time(_ time_ns: Int64?) {
    beginValue()
    bytes.append(ASCII.quote)
    RFC3339.append(time_ns, to: &bytes)
    bytes.append(ASCII.quote)
  }

  private mutating func quote(_ view: ByteView) {
    bytes.append(ASCII.quote)
    var run = 0
    var index = 0
    while index < view.count {
      let byte = view.base[index]
      if byte < 0x80 {
        if JSONWriter.isPlain(byte) {
          index += 1
          continue
        }
        bytes.append(view.slice(run, index))
        escape(byte)
        index += 1
        run = index
        continue
      }
      let length = UTF8Sequence.length(in: view, at: index)
      if length == 0 {
        bytes.append(view.slice(run, index))
        bytes.append(literal: "\\ufffd")
        index += 1
        run = index
      } else if length == 3, byte == 0xE2, view[index + 1] == 0x80, view[index + 2] & 0xFE == 0xA8 {
        // U+2028 and U+2029 are line ends in JavaScript.
        bytes.append(view.slice(run, index))
        bytes.append(literal: view[index + 2] == 0xA8 ? "\\u2028" : "\\u2029")
        index += 3
        run = index
      } else {
        index += length
      }
    }
    bytes.append(view.slice(run, index))
    bytes.append(ASCII.quote)
  }

  /// An ASCII byte that stands for itself: not a control, a quote, a backslash, nor one of HTML's `<`, `>`, `&`.
  @inline(__always) private static func isPlain(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte != ASCII.quote && byte != ASCII.backslash && byte != 0x3C && byte != 0x3E && byte != 0x26
  }

  private mutating func escape(_ byte: UInt8) {
    bytes.append(ASCII.backslash)
    switch byte {
    case ASCII.quote, ASCII.backslash: bytes.append(byte)
    case 0x08: bytes.append(0x62)
    case ASCII.formFeed: bytes.append(0x66)
    case ASCII.lineFeed: bytes.append(0x6E)
    case ASCII.carriageReturn: bytes.append(0x72)
    case ASCII.tab: bytes.append(0x74)
    default:
      bytes.append(literal: "u00")
      bytes.append(HexDigits.lower(byte >> 4))
      bytes.append(HexDigits.lower(byte & 15))
    }
  }
}
