// A parsed JSON document and the ways to look into it. How it is read is in JSONParser, how one is written in JSONWriter.
import Bytes
import CLinux

/// A number exactly as it was written; converted only when asked, so that 64-bit sequences lose nothing.
public struct JSONNumber: Hashable, Sendable {
  public let text: ByteString

  public init(text: ByteString) { self.text = text }

  /// The value of an integer literal that fits (`1e3` and `1.0` do not count, as in Go), or nil.
  public var int64: Int64? {
    text.withView { view in
      let negative = !view.isEmpty && view[0] == ASCII.minus
      let digits = negative ? view.dropFirst(1) : view
      guard let magnitude = digits.decimal() else { return nil }
      if negative { return magnitude == UInt64(Int64.max) + 1 ? Int64.min : Int64(exactly: magnitude).map { -$0 } }
      return Int64(exactly: magnitude)
    }
  }

  public var uint64: UInt64? {
    text.withView { view in
      guard view.count == 20 else { return view.decimal() }
      guard let head = view.prefix(19).decimal(), ASCII.isDigit(view[19]) else { return nil }
      let (tens, overflowed) = head.multipliedReportingOverflow(by: 10)
      let (sum, carried) = tens.addingReportingOverflow(UInt64(view[19] - ASCII.zero))
      return overflowed || carried ? nil : sum
    }
  }

  public var int: Int? { int64.flatMap { Int(exactly: $0) } }

  /// The nearest double; infinite when the number is beyond its range.
  public var double: Double {
    var terminated = text.bytes
    terminated.append(0)
    return terminated.withUnsafeBufferPointer { buffer in
      buffer.withMemoryRebound(to: CChar.self) { strtod($0.baseAddress!, nil) }
    }
  }
}

/// One member of an object.
public struct JSONMember: Hashable, Sendable {
  public let name: ByteString
  public let value: JSONValue

  public init(name: ByteString, value: JSONValue) {
    self.name = name
    self.value = value
  }
}

/// A JSON value (RFC 8259). Objects keep the order of their members, and duplicates.
public enum JSONValue: Hashable, Sendable {
  case null
  case bool(Bool)
  case number(JSONNumber)
  case string(ByteString)
  case array([JSONValue])
  case object([JSONMember])

  public var isNull: Bool {
    if case .null = self { return true }
    return false
  }

  /// The value when it is a boolean, else nil; likewise below.
  public var bool: Bool? {
    if case .bool(let value) = self { return value }
    return nil
  }

  public var number: JSONNumber? {
    if case .number(let value) = self { return value }
    return nil
  }

  public var int: Int? { number?.int }
  public var int64: Int64? { number?.int64 }
  public var uint64: UInt64? { number?.uint64 }
  public var double: Double? { number?.double }

  public var string: ByteString? {
    if case .string(let value) = self { return value }
    return nil
  }

  public var array: [JSONValue]? {
    if case .array(let value) = self { return value }
    return nil
  }

  public var object: [JSONMember]? {
    if case .object(let value) = self { return value }
    return nil
  }

  /// The member of exactly this name (the last of several), or nil; nil too when this is no object.
  public subscript(literal name: StaticString) -> JSONValue? { self[ByteView(name)] }

  public subscript(name: StaticString) -> JSONValue? { self[ByteView(name)] }

  public subscript(name: ByteView) -> JSONValue? {
    guard let members = object else { return nil }
    for member in members.reversed() where member.name == name { return member.value }
    return nil
  }

  /// The member of this name as Go's decoder picks it: the exact name before one that differs in case, the last of several.
  public func member(ignoringCase name: StaticString) -> JSONValue? {
    if let exact = self[ByteView(name)] { return exact }
    guard let members = object else { return nil }
    for member in members.reversed() where member.name.withView({ $0.equalsIgnoringCase(name) }) { return member.value }
    return nil
  }
}
