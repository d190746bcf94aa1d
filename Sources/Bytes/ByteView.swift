// A view of bytes that somebody else owns: what parsers hand out and what is compared, hashed and copied from.
// Not here: anything that owns memory (ByteString, ByteQueue).
import CLinux

/// A read-only view of `count` bytes owned by somebody else.
///
/// Invariant: a view is valid only until its owner is changed or released; by convention that is the end of the call that
/// received it. Whoever keeps bytes copies them (`ByteString(view)`). Every access is bounds-checked, in release builds too.
public struct ByteView {
  public let base: UnsafePointer<UInt8>
  public let count: Int

  @inline(__always) public init(base: UnsafePointer<UInt8>, count: Int) {
    precondition(count >= 0, "a view cannot have a negative length")
    self.base = base
    self.count = count
  }

  /// The view of nothing.
  @inline(__always) public init() {
    base = UnsafePointer(bitPattern: 1)!
    count = 0
  }

  @inline(__always) public init(_ buffer: UnsafeRawBufferPointer) {
    guard let start = buffer.baseAddress, buffer.count > 0 else {
      self.init()
      return
    }
    self.init(base: start.assumingMemoryBound(to: UInt8.self), count: buffer.count)
  }

  /// The bytes of a literal, which live as long as the program.
  @inline(__always) public init(_ literal: StaticString) {
    self.init(base: literal.utf8Start, count: literal.utf8CodeUnitCount)
  }

  @inline(__always) public var isEmpty: Bool { count == 0 }

  @inline(__always) public subscript(index: Int) -> UInt8 {
    precondition(index >= 0 && index < count, "byte index out of range")
    return base[index]
  }

  /// The bytes from `start` up to but not including `end`.
  @inline(__always) public func slice(_ start: Int, _ end: Int) -> ByteView {
    precondition(start >= 0 && start <= end && end <= count, "byte range out of range")
    return ByteView(base: base + start, count: end - start)
  }

  @inline(__always) public func prefix(_ length: Int) -> ByteView { slice(0, length) }
  @inline(__always) public func dropFirst(_ length: Int) -> ByteView { slice(length, count) }

  @inline(__always) public var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// The index of the first `byte` at or after `start`, or nil.
  public func firstIndex(of byte: UInt8, from start: Int = 0) -> Int? {
    precondition(start >= 0 && start <= count, "byte index out of range")
    guard start < count, let found = memchr(base + start, Int32(byte), count - start) else { return nil }
    return found.assumingMemoryBound(to: UInt8.self) - UnsafeMutablePointer(mutating: base)
  }

  @inline(__always) public static func == (left: ByteView, right: ByteView) -> Bool {
    left.count == right.count && (left.count == 0 || memcmp(left.base, right.base, left.count) == 0)
  }

  @inline(__always) public static func != (left: ByteView, right: ByteView) -> Bool { !(left == right) }

  /// Byte order, as in memcmp.
  public static func < (left: ByteView, right: ByteView) -> Bool {
    let common = min(left.count, right.count)
    let order = common == 0 ? 0 : memcmp(left.base, right.base, common)
    return order == 0 ? left.count < right.count : order < 0
  }

  @inline(__always) public func equals(_ literal: StaticString) -> Bool { self == ByteView(literal) }

  @inline(__always) public func hasPrefix(_ literal: StaticString) -> Bool { hasPrefix(ByteView(literal)) }

  @inline(__always) public func hasPrefix(_ other: ByteView) -> Bool {
    count >= other.count && (other.count == 0 || memcmp(base, other.base, other.count) == 0)
  }

  @inline(__always) public func hasSuffix(_ other: ByteView) -> Bool {
    count >= other.count && (other.count == 0 || memcmp(base + (count - other.count), other.base, other.count) == 0)
  }

  /// Whether `literal` stands anywhere in the view.
  public func contains(_ literal: StaticString) -> Bool { contains(ByteView(literal)) }

  /// Whether `wanted` stands anywhere in the view.
  public func contains(_ wanted: ByteView) -> Bool {
    guard wanted.count <= count else { return false }
    for start in 0...(count - wanted.count) where slice(start, start + wanted.count) == wanted { return true }
    return false
  }

  /// Equal apart from the case of ASCII letters.
  public func equalsIgnoringCase(_ other: ByteView) -> Bool {
    guard count == other.count else { return false }
    for index in 0..<count where ASCII.lowercased(base[index]) != ASCII.lowercased(other.base[index]) { return false }
    return true
  }

  public func equalsIgnoringCase(_ literal: StaticString) -> Bool { equalsIgnoringCase(ByteView(literal)) }

  /// The view without ASCII blanks (space, tab, CR, LF) at either end.
  public var trimmed: ByteView {
    var start = 0
    var end = count
    while start < end, ASCII.isBlank(base[start]) { start += 1 }
    while end > start, ASCII.isBlank(base[end - 1]) { end -= 1 }
    return slice(start, end)
  }

  /// A copy for people: invalid UTF-8 shows as U+FFFD.
  public var string: String { String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self) }

  /// A copy of the bytes.
  public var bytes: [UInt8] { [UInt8](UnsafeBufferPointer(start: base, count: count)) }
}
