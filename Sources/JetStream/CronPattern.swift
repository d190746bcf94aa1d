// When a schedule comes up next (section 9.3): `@at`, `@every` and patterns of six fields (second, minute, hour, day of month, month, day
// of week). Pure. Time zones are in TimeZoneRules.
import Bytes
import Platform

/// What a `Nats-Schedule` header says.
enum SchedulePattern {
  case at(Int64)
  case every(Int64)
  case cron(CronPattern)

  init?(_ text: ByteView, hasZone: Bool) {
    if text.hasPrefix("@at ") {
      guard !hasZone, let time_ns = try? RFC3339.parse(text.dropFirst(4)) else { return nil }
      self = .at(time_ns)
    } else if text.hasPrefix("@every ") {
      guard !hasZone, let interval_ns = GoDuration.parse(text.dropFirst(7)), interval_ns >= second_ns else { return nil }
      self = .every(interval_ns)
    } else {
      guard let pattern = CronPattern(text) else { return nil }
      self = .cron(pattern)
    }
  }

  var repeats: Bool {
    if case .at = self { return false }
    return true
  }

  /// The time after `time_ns`; what was missed before `now_ns` is passed over. Nil when there is none within five years.
  func next(after time_ns: Int64, now_ns: Int64, zone: TimeZoneRules?) -> Int64? {
    switch self {
    case .at(let time_ns): return time_ns
    case .every(let interval_ns):
      let next_ns = WaitingPull.later(SchedulePattern.rounded(time_ns), interval_ns)
      return next_ns < now_ns ? WaitingPull.later(SchedulePattern.rounded(now_ns), interval_ns) : next_ns
    case .cron(let pattern):
      guard let next_ns = pattern.next(after: time_ns, zone: zone) else { return nil }
      return next_ns < now_ns ? pattern.next(after: SchedulePattern.rounded(now_ns), zone: zone) : next_ns
    }
  }

  /// To the nearest second.
  private static func rounded(_ time_ns: Int64) -> Int64 {
    let shifted = WaitingPull.later(time_ns, second_ns / 2)
    return shifted - ((shifted % second_ns) + second_ns) % second_ns
  }
}

struct CronPattern {
  /// Bits of the values that match, per field.
  private var seconds: UInt64 = 0
  private var minutes: UInt64 = 0
  private var hours: UInt64 = 0
  private var days: UInt64 = 0
  private var months: UInt64 = 0
  private var weekdays: UInt64 = 0
  private var anyDay = false
  private var anyWeekday = false

  /// Further ahead nothing is looked for.
  private static let daysMax = 5 * 366

  init?(_ text: ByteView) {
    var pattern = text
    if text.equals("@yearly") || text.equals("@annually") {
      pattern = ByteView("0 0 0 1 1 *")
    } else if text.equals("@monthly") {
      pattern = ByteView("0 0 0 1 * *")
    } else if text.equals("@weekly") {
      pattern = ByteView("0 0 0 * * 0")
    } else if text.equals("@daily") || text.equals("@midnight") {
      pattern = ByteView("0 0 0 * * *")
    } else if text.equals("@hourly") {
      pattern = ByteView("0 0 * * * *")
    }
    var any = false
    guard let seconds = CronPattern.field(&pattern, 0, 59, "", &any), let minutes = CronPattern.field(&pattern, 0, 59, "", &any),
      let hours = CronPattern.field(&pattern, 0, 23, "", &any), let days = CronPattern.field(&pattern, 1, 31, "", &anyDay),
      let months = CronPattern.field(&pattern, 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", &any),
      let weekdays = CronPattern.field(&pattern, 0, 6, "sunmontuewedthufrisat", &anyWeekday), pattern.trimmed.isEmpty
    else { return nil }
    self.seconds = seconds
    self.minutes = minutes
    self.hours = hours
    self.days = days
    self.months = months
    self.weekdays = weekdays
  }

  /// The next field of a pattern, whose values lie between `low` and `high`; `names` are three letters for each value. `any` becomes
  /// whether every value matches because the field says so.
  private static func field(_ rest: inout ByteView, _ low: Int, _ high: Int, _ names: StaticString, _ any: inout Bool) -> UInt64? {
    any = false
    rest = rest.trimmed
    guard !rest.isEmpty else { return nil }
    var end = 0
    while end < rest.count, rest[end] != ASCII.space, rest[end] != ASCII.tab { end += 1 }
    var field = rest.prefix(end)
    rest = rest.dropFirst(end)
    var bits: UInt64 = 0
    while !field.isEmpty {
      let comma = field.firstIndex(of: UInt8(ascii: ",")) ?? field.count
      let part = field.prefix(comma)
      field = field.dropFirst(min(comma + 1, field.count))
      guard !part.isEmpty else { continue }
      guard let range = range(part, low, high, names, &any) else { return nil }
      bits |= range
    }
    // One of nothing but commas is never matched.
    return bits == 0 ? nil : bits
  }

  /// `number | number [ "-" number ] [ "/" number ]`, where a number may be a name or a star.
  private static func range(_ part: ByteView, _ low: Int, _ high: Int, _ names: StaticString, _ any: inout Bool) -> UInt64? {
    let slash = part.firstIndex(of: ASCII.slash)
    let span = part.prefix(slash ?? part.count)
    let dash = span.firstIndex(of: ASCII.minus)
    let beginning = span.prefix(dash ?? span.count)
    var first = low
    var last = high
    let isStar = beginning.equals("*") || beginning.equals("?")
    if !isStar {
      guard let value = value(beginning, low, names) else { return nil }
      first = value
      last = value
      if let dash {
        guard let value = self.value(span.dropFirst(dash + 1), low, names) else { return nil }
        last = value
      }
    }
    var step = 1
    if let slash {
      guard let value = part.dropFirst(slash + 1).decimalInt(), value > 0 else { return nil }
      step = value
      if dash == nil { last = high }
    }
    guard first >= low, last <= high, first <= last else { return nil }
    if isStar, step == 1 { any = true }
    var bits: UInt64 = 0
    var at = first
    while at <= last {
      bits |= 1 << UInt64(at)
      guard step <= last else { break }
      at += step
    }
    return bits
  }

  private static func value(_ text: ByteView, _ low: Int, _ names: StaticString) -> Int? {
    let all = ByteView(names)
    if text.count == 3 {
      var at = 0
      while at + 3 <= all.count {
        if text.equalsIgnoringCase(all.slice(at, at + 3)) { return low + at / 3 }
        at += 3
      }
    }
    guard let value = text.decimalInt(), value <= 1000 else { return nil }
    return value
  }

  /// The first matching second after a time.
  func next(after time_ns: Int64, zone: TimeZoneRules?) -> Int64? {
    var time_s = time_ns.floorDivided(by: second_ns) + 1
    let end_s = time_s + Int64(CronPattern.daysMax) * 86_400
    while time_s < end_s {
      let offset_s = zone?.offset_s(at: time_s) ?? 0
      let local_s = time_s + offset_s
      let day = local_s.floorDivided(by: 86_400)
      let second = Int(local_s - day * 86_400)
      if let days = daysToPass(Int(day)) {
        // Not past a change of the clock: the offset is looked up again there.
        time_s = nextBoundary(time_s, days * 86_400 - Int64(second), zone, offset_s)
      } else if hours & 1 << UInt64(second / 3600) == 0 {
        time_s = nextBoundary(time_s, 3600 - Int64(second % 3600), zone, offset_s)
      } else if minutes & 1 << UInt64(second / 60 % 60) == 0 {
        time_s = nextBoundary(time_s, 60 - Int64(second % 60), zone, offset_s)
      } else if seconds & 1 << UInt64(second % 60) == 0 {
        // The next bit that is set, or the minute's end.
        time_s += Int64(min((seconds >> UInt64(second % 60)).trailingZeroBitCount, 60 - second % 60))
      } else {
        let (time_ns, isTooFar) = time_s.multipliedReportingOverflow(by: second_ns)
        return isTooFar ? nil : time_ns
      }
    }
    return nil
  }

  /// `step` seconds on; when the clock changes on the way, the day's end, or in the day of the change the hour's.
  private func nextBoundary(_ time_s: Int64, _ step: Int64, _ zone: TimeZoneRules?, _ offset_s: Int64) -> Int64 {
    guard let zone, step > 3600, zone.offset_s(at: time_s + step) != offset_s else { return time_s + step }
    let day_s = 86_400 - (time_s + offset_s).floorModulo(86_400)
    if step > day_s, zone.offset_s(at: time_s + day_s) == offset_s { return time_s + day_s }
    return time_s + 3600 - (time_s + offset_s).floorModulo(3600)
  }

  /// How many days, with this one, do not match for sure: to the month's end at most; nil when this one matches.
  private func daysToPass(_ day: Int) -> Int64? {
    let date = RFC3339.civil(days: day)
    guard months & 1 << UInt64(date.month) != 0 else {
      let isLast = date.month == 12
      let next = RFC3339.days(year: isLast ? date.year + 1 : date.year, month: isLast ? 1 : date.month + 1, day: 1)
      return Int64(next - day)
    }
    return matchesDay(day, date.day) ? nil : 1
  }

  private func matchesDay(_ day: Int, _ dayOfMonth: Int) -> Bool {
    let isDay = days & 1 << UInt64(dayOfMonth) != 0
    // The first of January 1970 was a Thursday.
    let isWeekday = weekdays & 1 << UInt64((Int64(day) + 4).floorModulo(7)) != 0
    return anyDay || anyWeekday ? isDay && isWeekday : isDay || isWeekday
  }
}
