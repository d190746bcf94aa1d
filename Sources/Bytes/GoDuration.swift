// Lengths of time as Go writes and reads them (`1m30s`, `100ms`, `1.5s`): configuration files, monitoring and JSON use them.

public enum GoDuration {
  private static let nanosecond: UInt64 = 1
  private static let microsecond: UInt64 = 1_000
  private static let millisecond: UInt64 = 1_000_000
  private static let second: UInt64 = 1_000_000_000
  private static let minute: UInt64 = 60_000_000_000
  private static let hour: UInt64 = 3_600_000_000_000

  /// Appends `duration_ns` as Go's Duration.String does.
  public static func append(_ duration_ns: Int64, to output: inout [UInt8]) {
    let length = duration_ns.magnitude
    if duration_ns < 0 { output.append(ASCII.minus) }
    switch length {
    case 0: output.append(literal: "0s")
    case ..<microsecond:
      output.append(decimal: length)
      output.append(literal: "ns")
    case ..<millisecond:
      append(length, unit: microsecond, to: &output)
      output.append(literal: "µs")
    case ..<second:
      append(length, unit: millisecond, to: &output)
      output.append(literal: "ms")
    default:
      if length >= hour {
        output.append(decimal: length / hour)
        output.append(0x68)
      }
      if length >= minute {
        output.append(decimal: length % hour / minute)
        output.append(0x6D)
      }
      append(length % minute, unit: second, to: &output)
      output.append(0x73)
    }
  }

  /// The text of `duration_ns`, as in `append`.
  public static func format(_ duration_ns: Int64) -> ByteString {
    var output: [UInt8] = []
    append(duration_ns, to: &output)
    return ByteString(output)
  }

  /// `length` in `unit` with the fraction digits it needs.
  private static func append(_ length: UInt64, unit: UInt64, to output: inout [UInt8]) {
    output.append(decimal: length / unit)
    var rest = length % unit
    guard rest != 0 else { return }
    output.append(ASCII.dot)
    var scale = unit / 10
    while rest != 0 {
      output.append(ASCII.zero + UInt8(rest / scale))
      rest %= scale
      scale /= 10
    }
  }

  /// Nanoseconds of a text like `-1h2m3.5s` or `0`; nil when it is malformed, lacks a unit or does not fit.
  public static func parse(_ text: ByteView) -> Int64? {
    var rest = text
    var negative = false
    if let first = rest.isEmpty ? nil : rest[0], first == ASCII.minus || first == ASCII.plus {
      negative = first == ASCII.minus
      rest = rest.dropFirst(1)
    }
    if rest.equals("0") { return 0 }
    guard !rest.isEmpty else { return nil }
    var total: UInt64 = 0
    while !rest.isEmpty {
      guard let part = component(&rest) else { return nil }
      let (sum, overflowed) = total.addingReportingOverflow(part)
      // One more than Int64.max is legal below zero.
      guard !overflowed, sum <= UInt64(Int64.max) + 1 else { return nil }
      total = sum
    }
    if negative { return total == UInt64(Int64.max) + 1 ? Int64.min : -Int64(total) }
    return Int64(exactly: total)
  }

  /// One number with its unit, taken from the front.
  private static func component(_ rest: inout ByteView) -> UInt64? {
    var index = 0
    var whole: UInt64 = 0
    while index < rest.count, ASCII.isDigit(rest[index]) {
      let (tens, overflowed) = whole.multipliedReportingOverflow(by: 10)
      let (sum, carried) = tens.addingReportingOverflow(UInt64(rest[index] - ASCII.zero))
      guard !overflowed, !carried else { return nil }
      whole = sum
      index += 1
    }
    var digits = index
    var numerator: UInt64 = 0
    var scale = 1.0
    if index < rest.count, rest[index] == ASCII.dot {
      index += 1
      while index < rest.count, ASCII.isDigit(rest[index]) {
        // Go stops here too, so that both round alike; what follows is less than a nanosecond.
        if numerator <= UInt64(Int64.max) / 10 {
          numerator = numerator * 10 + UInt64(rest[index] - ASCII.zero)
          scale *= 10
        }
        digits += 1
        index += 1
      }
    }
    guard digits > 0 else { return nil }
    let start = index
    while index < rest.count, rest[index] != ASCII.dot, !ASCII.isDigit(rest[index]) { index += 1 }
    guard let unit = unit(rest.slice(start, index)) else { return nil }
    rest = rest.dropFirst(index)
    let (product, overflowed) = whole.multipliedReportingOverflow(by: unit)
    let (sum, carried) = product.addingReportingOverflow(UInt64(Double(numerator) * (Double(unit) / scale)))
    return overflowed || carried ? nil : sum
  }

  private static func unit(_ name: ByteView) -> UInt64? {
    if name.equals("ns") { return nanosecond }
    // The micro sign and the Greek letter mu.
    if name.equals("us") || name.equals("\u{B5}s") || name.equals("\u{3BC}s") { return microsecond }
    if name.equals("ms") { return millisecond }
    if name.equals("s") { return second }
    if name.equals("m") { return minute }
    if name.equals("h") { return hour }
    return nil
  }
}
