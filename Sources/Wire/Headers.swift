// The header block of a message: `NATS/1.0[ code[ text]] CRLF (Key: Value CRLF)* CRLF`. Read in place; written by HeaderBuilder.
import Bytes

/// A header block, read in place (client-protocol.md section 2.3). A block that is not well-formed simply has no such header.
public struct Headers {
  public let block: ByteView

  @inline(__always) public init(_ block: ByteView) { self.block = block }

  @inline(__always) public var isEmpty: Bool { block.isEmpty }

  /// The value of the first header whose name is exactly `name`, without the blanks in front of it; nil when there is none.
  public func value(_ name: StaticString) -> ByteView? { value(ByteView(name)) }

  public func value(_ name: ByteView) -> ByteView? {
    var found: ByteView?
    forEach { key, value in
      guard key == name else { return true }
      found = value
      return false
    }
    return found
  }

  /// Calls `body` for each header in order until it returns false.
  public func forEach(_ body: (_ name: ByteView, _ value: ByteView) -> Bool) {
    guard var start = block.firstIndex(of: ASCII.lineFeed).map({ $0 + 1 }) else { return }
    while start < block.count, let end = block.firstIndex(of: ASCII.lineFeed, from: start) {
      let line = block.slice(start, end > start && block[end - 1] == ASCII.carriageReturn ? end - 1 : end)
      start = end + 1
      guard let colon = line.firstIndex(of: ASCII.colon) else { continue }
      var valueStart = colon + 1
      while valueStart < line.count, line[valueStart] == ASCII.space { valueStart += 1 }
      if !body(line.prefix(colon), line.dropFirst(valueStart)) { return }
    }
  }

  /// The status code of the first line (`NATS/1.0 503`), or nil.
  public var status: Int? {
    guard block.hasPrefix("NATS/1.0 ") else { return nil }
    let rest = block.dropFirst(9)
    var end = 0
    while end < rest.count, ASCII.isDigit(rest[end]) { end += 1 }
    return end == 3 ? rest.prefix(end).decimalInt() : nil
  }

  /// The text behind the status code (`Idle Heartbeat`), or nothing.
  public var statusText: ByteView {
    guard status != nil, let end = block.firstIndex(of: ASCII.lineFeed) else { return ByteView() }
    return block.slice(12, end).trimmed
  }
}

/// Writes a header block.
public struct HeaderBuilder {
  public private(set) var bytes: [UInt8]

  /// Begins a block; `status` is what follows `NATS/1.0 ` in its first line.
  public init(status: StaticString = "") {
    bytes = []
    bytes.append(literal: "NATS/1.0")
    if status.utf8CodeUnitCount > 0 {
      bytes.append(ASCII.space)
      bytes.append(literal: status)
    }
    bytes.append(literal: "\r\n")
  }

  /// Begins a block with a status whose text is made at run time.
  public init(status: ByteView) {
    self.init()
    bytes.removeLast(2)
    bytes.append(ASCII.space)
    bytes.append(status)
    bytes.append(literal: "\r\n")
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  /// Begins with what `block` holds, byte for byte, as nats-server does: blanks and names are its writer's. Of one that does not end
  /// as it should only the headers are taken.
  public init(continuing block: ByteView) {
    if block.hasPrefix("NATS/1.0"), block.hasSuffix(ByteView("\r\n\r\n")) {
      self.init(bytes: block.prefix(block.count - 2).bytes)
      return
    }
    self.init()
    Headers(block).forEach { name, value in
      self.add(name, value)
      return true
    }
  }

  public mutating func add(_ name: ByteView, _ value: ByteView) {
    bytes.append(name)
    bytes.append(literal: ": ")
    bytes.append(value)
    bytes.append(literal: "\r\n")
  }

  public mutating func add(_ name: StaticString, _ value: ByteView) { add(ByteView(name), value) }
  public mutating func add(_ name: StaticString, _ value: ByteString) { value.withView { add(ByteView(name), $0) } }
  public mutating func add<Number: FixedWidthInteger>(_ name: StaticString, decimal value: Number) {
    Decimal.withDigits(of: value) { add(ByteView(name), $0) }
  }

  /// The whole block with its closing empty line.
  public var block: [UInt8] {
    var whole = bytes
    whole.append(literal: "\r\n")
    return whole
  }
}
