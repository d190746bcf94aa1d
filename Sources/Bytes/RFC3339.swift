// Points in time as text (RFC 3339), the way Go's time.RFC3339Nano and its JSON encoding do it. Where the time comes from is
// Platform's business.

public enum RFC3339Error: Error, Equatable, Sendable {
  case malformed
  /// A correct time that nanoseconds in 64 bits cannot hold (before 1677 or after 2262).
  case outOfRange
}

public enum RFC3339 {
  static let nanosecondsPerSecond: Int64 = 1_000_000_000
  static let secondsPerDay: Int64 = 86_400

  /// Appends `time_ns` (since 1970, UTC) with as many fraction digits as needed; nil is Go's zero time, the first instant of year 1.
  public static func append(_ time_ns: Int64?, to output: inout [UInt8]) {
    guard let time_ns else {
      output.append(literal: "0001-01-01T00:00:00Z")
      return
    }
    let seconds = time_ns.floorDivided(by: nanosecondsPerSecond)
    let days = seconds.floorDivided(by: secondsPerDay)
    let second = Int(seconds - days * secondsPerDay)
    let date = civil(days: Int(days))
    append(date.year, width: 4, to: &output)
    output.append(ASCII.minus)
    append(date.month, width: 2, to: &output)
    output.append(ASCII.minus)
    append(date.day, width: 2, to: &output)
    output.append(0x54)
    append(second / 3600, width: 2, to: &output)
    output.append(ASCII.colon)
    append(second / 60 % 60, width: 2, to: &output)
    output.append(ASCII.colon)
    append(second % 60, width: 2, to: &output)
    // Wraps for the first second of the range; the difference is exact again.
    var fraction = Int(time_ns &- seconds &* nanosecondsPerSecond)
    if fraction != 0 {
      var width = 9
      while fraction % 10 == 0 {
        fraction /= 10
        width -= 1
      }
      output.append(ASCII.dot)
      append(fraction, width: width, to: &output)
    }
    output.append(0x5A)
  }

  /// The text of `time_ns`, as in `append`.
  public static func format(_ time_ns: Int64?) -> ByteString {
    var output: [UInt8] = []
    output.reserveCapacity(30)
    append(time_ns, to: &output)
    return ByteString(output)
  }

  /// Nanoseconds since 1970 of `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)`; nil for Go's zero time. Digits beyond nanoseconds are dropped.
  public static func parse(_ text: ByteView) throws(RFC3339Error) -> Int64? {
    guard text.count >= 20, text[4] == ASCII.minus, text[7] == ASCII.minus, text[10] == 0x54, text[13] == ASCII.colon,
      text[16] == ASCII.colon,
      let year = text.slice(0, 4).decimalInt(), let month = text.slice(5, 7).decimalInt(), let day = text.slice(8, 10).decimalInt(),
      let hour = text.slice(11, 13).decimalInt(), let minute = text.slice(14, 16).decimalInt(),
      let second = text.slice(17, 19).decimalInt(),
      month >= 1, month <= 12, day >= 1, day <= daysInMonth(month, year: year), hour < 24, minute < 60, second < 60
    else { throw .malformed }
    var index = 19
    let fraction_ns = try fraction(text, &index)
    let offset_s = try offset(text, &index)
    guard index == text.count else { throw .malformed }
    let seconds =
      Int64(days(year: year, month: month, day: day)) * secondsPerDay + Int64(hour * 3600 + minute * 60 + second) - Int64(offset_s)
    let zero = Int64(days(year: 1, month: 1, day: 1)) * secondsPerDay
    if seconds == zero, fraction_ns == 0 { return nil }
    if seconds < 0, fraction_ns > 0 {
      // The product alone may be below the range although the sum is within it.
      let (product, overflowed) = (seconds + 1).multipliedReportingOverflow(by: nanosecondsPerSecond)
      let (sum, carried) = product.addingReportingOverflow(fraction_ns - nanosecondsPerSecond)
      if overflowed || carried { throw .outOfRange }
      return sum
    }
    let (product, overflowed) = seconds.multipliedReportingOverflow(by: nanosecondsPerSecond)
    let (sum, carried) = product.addingReportingOverflow(fraction_ns)
    if overflowed || carried { throw .outOfRange }
    return sum
  }

  private static func fraction(_ text: ByteView, _ index: inout Int) throws(RFC3339Error) -> Int64 {
    guard text[index] == ASCII.dot else { return 0 }
    index += 1
    let start = index
    var value: Int64 = 0
    var unit = nanosecondsPerSecond
    while index < text.count, ASCII.isDigit(text[index]) {
      unit /= 10
      value += Int64(text[index] - ASCII.zero) * unit
      index += 1
    }
    guard index > start else { throw .malformed }
    return value
  }

  /// Seconds east of UTC.
  private static func offset(_ text: ByteView, _ index: inout Int) throws(RFC3339Error) -> Int {
    guard index < text.count else { throw .malformed }
    let sign = text[index]
    index += 1
    if sign == 0x5A { return 0 }
    guard sign == ASCII.plus || sign == ASCII.minus, text.count - index >= 5, text[index + 2] == ASCII.colon,
      let hours = text.slice(index, index + 2).decimalInt(), let minutes = text.slice(index + 3, index + 5).decimalInt(),
      hours < 24, minutes < 60
    else { throw .malformed }
    index += 5
    let seconds = hours * 3600 + minutes * 60
    return sign == ASCII.minus ? -seconds : seconds
  }

  private static func append(_ number: Int, width: Int, to output: inout [UInt8]) {
    var scale = 1
    for _ in 1..<width { scale *= 10 }
    while scale > 0 {
      output.append(ASCII.zero + UInt8(number / scale % 10))
      scale /= 10
    }
  }

  private static func daysInMonth(_ month: Int, year: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  // Both directions count years from March, so that the leap day is the last of its year, in eras of 400 years (146,097 days);
  // 719,468 days lie between 0000-03-01 and 1970-01-01 in the proleptic Gregorian calendar.

  /// Days since 1970-01-01 of a date from year 0 on.
  public static func days(year: Int, month: Int, day: Int) -> Int {
    let marchYear = month <= 2 ? year - 1 : year
    let era = marchYear >= 0 ? marchYear / 400 : -1
    let yearOfEra = marchYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  /// The date of a day since 1970-01-01, from year 1 on.
  public static func civil(days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
  }
}
