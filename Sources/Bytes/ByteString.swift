// Owned, immutable bytes: subjects, names, queue groups, header values. Compared and hashed byte by byte (never by Unicode
// equivalence, which String would do).
import CLinux

/// An immutable string of bytes with value semantics.
public struct ByteString: Hashable, Sendable, Comparable, ExpressibleByStringLiteral {
  public let bytes: [UInt8]

  public init() { bytes = [] }
  public init(_ bytes: [UInt8]) { self.bytes = bytes }
  public init(_ view: ByteView) { bytes = view.bytes }
  public init(_ text: String) { bytes = [UInt8](text.utf8) }
  public init(stringLiteral literal: StaticString) { bytes = ByteView(literal).bytes }

  @inline(__always) public var count: Int { bytes.count }
  @inline(__always) public var isEmpty: Bool { bytes.isEmpty }

  /// A copy for people: invalid UTF-8 shows as U+FFFD.
  public var string: String { String(decoding: bytes, as: UTF8.self) }

  /// Calls `body` with a view that is valid during the call.
  @inline(__always) public func withView<Result, Failure: Error>(
    _ body: (ByteView) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try bytes.withView(body)
  }

  public static func == (left: ByteString, right: ByteString) -> Bool { left.bytes == right.bytes }

  @inline(__always) public static func == (left: ByteString, right: ByteView) -> Bool { left.withView { $0 == right } }

  public static func < (left: ByteString, right: ByteString) -> Bool {
    left.withView { one in right.withView { other in one < other } }
  }

  public func hasPrefix(_ literal: StaticString) -> Bool { withView { $0.hasPrefix(literal) } }
  public func equals(_ literal: StaticString) -> Bool { withView { $0.equals(literal) } }

  /// `switch name { case "literal": … }`, compared in place.
  public static func ~= (literal: StaticString, string: ByteString) -> Bool { string.equals(literal) }

  public func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }

  public static func + (left: ByteString, right: ByteString) -> ByteString { ByteString(left.bytes + right.bytes) }
}

extension Array where Element == UInt8 {
  /// Calls `body` with a view of the array that is valid during the call.
  @inline(__always) public func withView<Result, Failure: Error>(
    _ body: (ByteView) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withUnsafeBufferPointer { buffer throws(Failure) in try body(ByteView(UnsafeRawBufferPointer(buffer))) }
  }

  @inline(never) public mutating func append(_ view: ByteView) {
    append(contentsOf: UnsafeBufferPointer(start: view.base, count: view.count))
  }
  @inline(never) public mutating func append(_ string: ByteString) { append(contentsOf: string.bytes) }
  @inline(never) public mutating func append(literal: StaticString) { append(ByteView(literal)) }
  /// Appends `number` in decimal.
  @inline(never) public mutating func append<Number: FixedWidthInteger>(decimal number: Number) {
    Decimal.withDigits(of: number) { append($0) }
  }
}
