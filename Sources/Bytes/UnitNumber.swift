// Whole numbers with a unit, as configurations write sizes and counts.

/// What a text is as a whole number with an optional unit.
public enum UnitNumber: Equatable, Sendable {
  case value(Int64)
  case outOfRange, notInteger

  /// Bytes of a text in quotes, where every unit is binary: nats-server reads `max_file_store: "1G"` as 1 GiB although a bare `1G`
  /// is 10^9.
  public static func size(_ text: ByteString) -> Int64? {
    var binary = text.bytes
    if let last = binary.last, ASCII.isLetter(last), binary.count > 1, ASCII.isDigit(binary[binary.count - 2]) { binary.append(0x69) }
    if case .value(let number) = binary.withView({ parse($0) }) { return number }
    return nil
  }

  /// Digits with an optional minus sign and an optional unit: `k` is 1000, `kb`, `ki` and `kib` are 1024, and so on to `e`.
  public static func parse(_ token: ByteView) -> UnitNumber {
    let isNegative = token.count > 0 && token[0] == ASCII.minus
    let start = isNegative ? 1 : 0
    var end = start
    while end < token.count, ASCII.isDigit(token[end]) { end += 1 }
    guard end > start, let factor = unit(token.dropFirst(end)) else { return .notInteger }
    var value: Int64 = 0
    for index in start..<end {
      // Counted downwards, so that the smallest Int64 fits too.
      let (times, overflow) = value.multipliedReportingOverflow(by: 10)
      let (next, underflow) = times.subtractingReportingOverflow(Int64(token[index] - ASCII.zero))
      if overflow || underflow { return .outOfRange }
      value = next
    }
    let (scaled, overflow) = value.multipliedReportingOverflow(by: factor)
    if overflow { return .outOfRange }
    if isNegative { return .value(scaled) }
    return scaled == .min ? .outOfRange : .value(-scaled)
  }

  /// The factor of a unit suffix; 1 when there is none.
  private static func unit(_ suffix: ByteView) -> Int64? {
    guard suffix.count > 0 else { return 1 }
    guard suffix.count <= 3 else { return nil }
    let power: Int
    switch ASCII.lowercased(suffix[0]) {
    case 0x6B: power = 1
    case 0x6D: power = 2
    case 0x67: power = 3
    case 0x74: power = 4
    case 0x70: power = 5
    case 0x65: power = 6
    default: return nil
    }
    let base: Int64
    let rest = suffix.dropFirst(1)
    if rest.isEmpty {
      base = 1000
    } else if rest.equalsIgnoringCase("b") || rest.equalsIgnoringCase("i") || rest.equalsIgnoringCase("ib") {
      base = 1024
    } else {
      return nil
    }
    var factor: Int64 = 1
    for _ in 0..<power { factor *= base }
    return factor
  }
}
