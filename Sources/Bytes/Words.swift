// Text for people: problems, log lines. Written like string interpolation, but collected as bytes by calls that are never inlined:
// hundreds of messages through String's own interpolation are a quarter of a megabyte of code.

/// A text for a person that is made of literals, bytes and numbers.
public struct Words: ExpressibleByStringInterpolation, Sendable {
  public struct StringInterpolation: StringInterpolationProtocol {
    var bytes: [UInt8] = []

    @inline(never) public init(literalCapacity: Int, interpolationCount: Int) {
      bytes.reserveCapacity(literalCapacity + interpolationCount * 16)
    }

    @inline(never) public mutating func appendLiteral(_ literal: StaticString) { bytes.append(literal: literal) }
    @inline(never) public mutating func appendInterpolation(_ text: ByteString) { bytes.append(text) }
    @inline(never) public mutating func appendInterpolation(_ text: StaticString) { bytes.append(literal: text) }
    @inline(never) public mutating func appendInterpolation(_ text: ByteView) { bytes.append(text) }
    @inline(never) public mutating func appendInterpolation(_ text: String) { bytes.append(contentsOf: text.utf8) }
    @inline(never) public mutating func appendInterpolation(_ words: Words) { bytes.append(words.text) }
    @inline(never) public mutating func appendInterpolation(_ number: Int64) { bytes.append(decimal: number) }
    @inline(never) public mutating func appendInterpolation(_ number: UInt64) { bytes.append(decimal: number) }
    @inline(__always) public mutating func appendInterpolation(_ number: Int) { appendInterpolation(Int64(number)) }
    @inline(__always) public mutating func appendInterpolation(_ number: Int32) { appendInterpolation(Int64(number)) }
    @inline(__always) public mutating func appendInterpolation(_ number: UInt32) { appendInterpolation(UInt64(number)) }
    @inline(__always) public mutating func appendInterpolation(_ number: UInt16) { appendInterpolation(UInt64(number)) }
    @inline(__always) public mutating func appendInterpolation<Value: CustomStringConvertible>(_ value: Value) {
      appendInterpolation(value.description)
    }
  }

  public let text: ByteString

  @inline(never) public init(stringLiteral literal: StaticString) { text = ByteString(ByteView(literal)) }
  @inline(never) public init(stringInterpolation: StringInterpolation) { text = ByteString(stringInterpolation.bytes) }
  public init(_ text: ByteString) { self.text = text }
  public init(_ text: String) { self.text = ByteString(text) }

  public var string: String { text.string }
}
