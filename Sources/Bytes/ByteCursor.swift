// Writing into memory that somebody reserved.
import CLinux

/// A position in reserved memory. Whoever reserved it checks that what is put fits (`OutputBuffer.reserve` does).
public struct ByteCursor {
  public var next: UnsafeMutablePointer<UInt8>
  @inline(__always) public init(_ start: UnsafeMutablePointer<UInt8>) { next = start }

  @inline(__always) public mutating func put(_ view: ByteView) {
    memcpy(next, view.base, view.count)
    next += view.count
  }
  @inline(__always) public mutating func put(_ bytes: [UInt8]) { bytes.withView { put($0) } }
  @inline(__always) public mutating func put(_ string: ByteString) { put(string.bytes) }
  @inline(__always) public mutating func put(literal: StaticString) { put(ByteView(literal)) }
  @inline(__always) public mutating func put(_ byte: UInt8) {
    next[0] = byte
    next += 1
  }
  /// At most 20 bytes.
  @inline(__always) public mutating func put(decimal number: Int) {
    if number >= 0, number < 10 {
      put(ASCII.zero + UInt8(truncatingIfNeeded: number))
    } else {
      Decimal.withDigits(of: number) { put($0) }
    }
  }
  @inline(__always) public mutating func lineEnd() {
    next[0] = ASCII.carriageReturn
    next[1] = ASCII.lineFeed
    next += 2
  }
}
