// Time zones, for schedules and for hours of access: the offset from UTC at a time, as the system's zone files say (TZif, RFC 9636). Files
// are read from /usr/share/zoneinfo; where there are none, only UTC is known.
import Bytes

/// A time zone.
public struct TimeZoneRules {
  static let directory = "/usr/share/zoneinfo/"
  /// The zone of this machine.
  static let localFile = "/etc/localtime"
  /// The largest file there is has 3.5 kB.
  static let fileBytesMax = 64 << 10
  static let nameBytesMax = 64

  private var transitions: [Int64] = []
  /// The offset from each transition on.
  private var offsets: [Int64] = []
  private var first_s: Int64 = 0
  /// What holds behind the last transition.
  private var rule: PosixZone?

  /// UTC.
  public init() {}

  /// The zone called `name`, or nil.
  public init?(_ name: ByteView, disk: any Disk) {
    if name.equals("UTC") { return }
    guard TimeZoneRules.isName(name), read(TimeZoneRules.directory + name.string, disk) else { return nil }
  }

  /// The zone of this machine: UTC when it does not say.
  public init(localOf disk: any Disk) {
    if !read(TimeZoneRules.localFile, disk) { self = TimeZoneRules() }
  }

  private mutating func read(_ path: String, _ disk: any Disk) -> Bool {
    guard let file = try? disk.readFile(path, sizeMax: TimeZoneRules.fileBytesMax) else { return false }
    return file.withView { parse($0) }
  }

  /// Letters, digits, `_`, `-`, `+` and `/` inside: nothing that leaves the directory.
  private static func isName(_ name: ByteView) -> Bool {
    guard name.count > 0, name.count <= nameBytesMax, name[0] != ASCII.slash, name[name.count - 1] != ASCII.slash else { return false }
    for byte in name.bytes {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"), ASCII.minus, ASCII.plus, ASCII.slash:
        continue
      default: return false
      }
    }
    return true
  }

  /// Seconds east of UTC at a time in seconds since 1970.
  public func offset_s(at time_s: Int64) -> Int64 {
    guard let last = transitions.last else { return rule?.offset_s(at: time_s) ?? first_s }
    if time_s >= last, let rule { return rule.offset_s(at: time_s) }
    var low = 0
    var high = transitions.count
    while low < high {
      let middle = (low + high) / 2
      if transitions[middle] <= time_s { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? first_s : offsets[low - 1]
  }

  // MARK: TZif

  private mutating func parse(_ file: ByteView) -> Bool {
    guard let old = Header(file), old.version >= UInt8(ascii: "2") else { return false }
    // The part with times of 32 bits is passed over.
    let rest = file.dropFirst(min(Header.bytes + old.bodyBytes(timeBytes: 4), file.count))
    guard let header = Header(rest) else { return false }
    let body = rest.dropFirst(Header.bytes)
    guard header.types > 0, body.count >= header.bodyBytes(timeBytes: 8) else { return false }
    let kinds = header.times * 8
    let types = kinds + header.times
    func offset(_ type: Int) -> Int64? {
      guard type < header.types else { return nil }
      return Int64(Int32(truncatingIfNeeded: TimeZoneRules.number(body, types + type * 6, 4)))
    }
    for index in 0..<header.times {
      guard let offset = offset(Int(body[kinds + index])) else { return false }
      transitions.append(TimeZoneRules.number(body, index * 8, 8))
      offsets.append(offset)
    }
    first_s = offset(0) ?? 0
    let footer = body.dropFirst(header.bodyBytes(timeBytes: 8)).trimmed
    if !footer.isEmpty { rule = PosixZone(footer) }
    return true
  }

  private struct Header {
    static let bytes = 44
    let version: UInt8
    let isUT: Int
    let isStandard: Int
    let leaps: Int
    let times: Int
    let types: Int
    let letters: Int

    init?(_ view: ByteView) {
      guard view.count >= Header.bytes, view.hasPrefix("TZif") else { return nil }
      version = view[4]
      func count(_ index: Int) -> Int { Int(truncatingIfNeeded: TimeZoneRules.number(view, 20 + index * 4, 4) & 0xFFFF) }
      isUT = count(0)
      isStandard = count(1)
      leaps = count(2)
      times = count(3)
      types = count(4)
      letters = count(5)
    }

    func bodyBytes(timeBytes: Int) -> Int {
      times * (timeBytes + 1) + types * 6 + letters + leaps * (timeBytes + 4) + isStandard + isUT
    }
  }

  /// A big-endian number.
  private static func number(_ view: ByteView, _ at: Int, _ size: Int) -> Int64 {
    var value: UInt64 = 0
    for index in 0..<size { value = value << 8 | UInt64(view[at + index]) }
    return Int64(bitPattern: value)
  }
}

/// The rule in a zone file's last line: `CET-1CEST,M3.5.0,M10.5.0/3` (POSIX 1003.1, TZ), with days given by month, week and weekday.
private struct PosixZone {
  private struct Change {
    var month = 0
    var week = 0
    var weekday = 0
    var second: Int64 = 7200
  }

  private var standard_s: Int64 = 0
  private var summer_s: Int64 = 0
  private var changes: [Change] = []

  init?(_ text: ByteView) {
    var rest = text
    guard PosixZone.skipName(&rest), let west = PosixZone.time(&rest) else { return nil }
    standard_s = -west
    summer_s = standard_s + 3600
    guard !rest.isEmpty else { return }
    guard PosixZone.skipName(&rest) else { return nil }
    if !rest.isEmpty, rest[0] != UInt8(ascii: ",") {
      guard let west = PosixZone.time(&rest) else { return nil }
      summer_s = -west
    }
    for _ in 0..<2 {
      guard rest.count > 2, rest[0] == UInt8(ascii: ","), rest[1] == UInt8(ascii: "M") else { return nil }
      rest = rest.dropFirst(2)
      var change = Change()
      guard let month = PosixZone.number(&rest), PosixZone.skip(&rest, ASCII.dot), let week = PosixZone.number(&rest),
        PosixZone.skip(&rest, ASCII.dot), let weekday = PosixZone.number(&rest), (1...12).contains(month), (1...5).contains(week),
        (0...6).contains(weekday)
      else { return nil }
      change.month = month
      change.week = week
      change.weekday = weekday
      if PosixZone.skip(&rest, ASCII.slash) {
        guard let time = PosixZone.time(&rest) else { return nil }
        change.second = time
      }
      changes.append(change)
    }
  }

  func offset_s(at time_s: Int64) -> Int64 {
    guard changes.count == 2 else { return standard_s }
    let year = RFC3339.civil(days: Int((time_s + standard_s).floorDivided(by: 86_400))).year
    let begin = moment(changes[0], year) - standard_s
    let end = moment(changes[1], year) - summer_s
    let isSummer = begin < end ? time_s >= begin && time_s < end : !(time_s >= end && time_s < begin)
    return isSummer ? summer_s : standard_s
  }

  /// Local seconds since 1970 of a change.
  private func moment(_ change: Change, _ year: Int) -> Int64 {
    let first = RFC3339.days(year: year, month: change.month, day: 1)
    let weekday = Int((Int64(first) + 4).floorModulo(7))
    var day = first + (change.weekday - weekday + 7) % 7 + (change.week - 1) * 7
    // Week 5 is the last.
    let next =
      change.month == 12 ? RFC3339.days(year: year + 1, month: 1, day: 1) : RFC3339.days(year: year, month: change.month + 1, day: 1)
    while day >= next { day -= 7 }
    return Int64(day) * 86_400 + change.second
  }

  private static func skip(_ rest: inout ByteView, _ byte: UInt8) -> Bool {
    guard !rest.isEmpty, rest[0] == byte else { return false }
    rest = rest.dropFirst(1)
    return true
  }

  private static func skipName(_ rest: inout ByteView) -> Bool {
    if !rest.isEmpty, rest[0] == UInt8(ascii: "<") {
      guard let end = rest.firstIndex(of: UInt8(ascii: ">")) else { return false }
      rest = rest.dropFirst(end + 1)
      return true
    }
    var end = 0
    while end < rest.count, rest[end] | 0x20 >= UInt8(ascii: "a"), rest[end] | 0x20 <= UInt8(ascii: "z") { end += 1 }
    rest = rest.dropFirst(end)
    return end >= 3
  }

  private static func number(_ rest: inout ByteView) -> Int? {
    var end = 0
    while end < rest.count, end < 4, ASCII.isDigit(rest[end]) { end += 1 }
    let value = rest.prefix(end).decimalInt()
    rest = rest.dropFirst(end)
    return value
  }

  /// `[+-]hh[:mm[:ss]]` in seconds.
  private static func time(_ rest: inout ByteView) -> Int64? {
    let isNegative = skip(&rest, ASCII.minus)
    if !isNegative { _ = skip(&rest, ASCII.plus) }
    guard let hours = number(&rest) else { return nil }
    var total = Int64(hours) * 3600
    if skip(&rest, ASCII.colon) {
      guard let minutes = number(&rest) else { return nil }
      total += Int64(minutes) * 60
      if skip(&rest, ASCII.colon) {
        guard let seconds = number(&rest) else { return nil }
        total += Int64(seconds)
      }
    }
    return isNegative ? -total : total
  }
}
