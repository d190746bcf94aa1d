// Numbers as ASCII decimal digits, both ways.

public enum Decimal {
  /// Calls `body` with the decimal digits of `number`, with a minus sign where it is negative.
  @inline(__always) public static func withDigits<Number: FixedWidthInteger, Result>(
    of number: Number, _ body: (ByteView) -> Result
  ) -> Result {
    withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { scratch in
      let digits = scratch.bindMemory(to: UInt8.self).baseAddress!
      let start = write(UInt64(number.magnitude), negative: number < 0, digits)
      return body(ByteView(base: UnsafePointer(digits) + start, count: 20 - start))
    }
  }

  /// Writes digits to the end of 20 bytes; returns where they begin.
  @inline(never) private static func write(_ magnitude: UInt64, negative: Bool, _ digits: UnsafeMutablePointer<UInt8>) -> Int {
    var index = 20
    var rest = magnitude
    repeat {
      index -= 1
      digits[index] = ASCII.zero + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    } while rest > 0
    if negative {
      index -= 1
      digits[index] = ASCII.minus
    }
    return index
  }
}

extension ByteView {
  /// The value of 1 to 19 decimal digits and nothing else, or nil.
  public func decimal() -> UInt64? {
    guard count > 0, count <= 19 else { return nil }
    var value: UInt64 = 0
    for index in 0..<count {
      let digit = base[index] &- ASCII.zero
      guard digit <= 9 else { return nil }
      value = value &* 10 &+ UInt64(digit)
    }
    return value
  }

  /// The value of decimal digits that fits an Int, or nil.
  @inline(__always) public func decimalInt() -> Int? { decimal().flatMap { Int(exactly: $0) } }
}
