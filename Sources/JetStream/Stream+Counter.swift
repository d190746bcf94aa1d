// Counters (allow_msg_counter, section 9.4, ADR-49): a message says by how much its subject's number changes, what is stored is the new
// number. Numbers are decimal and as long as they need to be.
import Bytes
import JSON
import LogStore
import Wire

extension Stream {
  /// Checks `Nats-Incr` and what must not stand beside it.
  func checkIncrement(_ payload: ByteView, _ headers: PublishHeaders) -> APIError? {
    guard let increment = headers.increment else { return nil }
    let isWrong =
      headers.rollup != nil || headers.expectedStream != nil || headers.expectedLastMessageID != nil || headers.expectedLastSubject != nil
      || headers.expectedLastSequence != nil || headers.expectedLastSubjectSequence != nil
    if BigDecimal(increment) == nil { return .counterIncrement }
    if !config.allowMessageCounter { return APIError(400, 10168, "message counters is disabled") }
    if !payload.isEmpty { return APIError(400, 10170, "message counter has payload") }
    return isWrong ? .counterIncrement : nil
  }

  /// Counts: the plan gets the new number as payload.
  func count(_ subject: ByteView, _ block: ByteView, _ headers: PublishHeaders, _ plan: inout PublishPlan, _ stage: BatchStage?)
    -> APIError?
  {
    guard let increment = headers.increment, let change = BigDecimal(increment) else {
      return APIError(400, 10169, "message counter increment is missing")
    }
    var total = BigDecimal()
    var sources = ByteString()
    if let staged = stage?.subjects[subject]?.value {
      total = staged.withView { BigDecimal($0) } ?? total
    } else if let last = lastSequence(of: subject) {
      var isBroken = false
      let outcome = log.read(last) { message in
        guard let value = try? JSON.parse(message.payload), value.object != nil, let text = value["val"].map({ $0.string }) ?? ByteString()
        else {
          isBroken = true
          return
        }
        total = text.withView { BigDecimal($0) } ?? total
        if !message.headers.isEmpty, let held = Headers(message.headers).value("Nats-Counter-Sources") { sources = ByteString(held) }
      }
      if isBroken || outcome != .found { return APIError(400, 10172, "message counter is broken") }
    }
    total.add(change)
    let value = total.text
    plan.value = value
    plan.payload = Stream.quoted("{\"val\":\"", value, "\"}")
    plan.ackEnd = Stream.quoted(",\"val\":\"", value, "\"")
    if !sources.isEmpty {
      plan.headers = sources.withView { Stream.adding("Nats-Counter-Sources", $0, to: block) }
    }
    return nil
  }

  private static func quoted(_ before: StaticString, _ value: [UInt8], _ after: StaticString) -> [UInt8] {
    var text: [UInt8] = []
    text.append(literal: before)
    text.append(contentsOf: value)
    text.append(literal: after)
    return text
  }
}

extension APIError {
  fileprivate static var counterIncrement: APIError { APIError(400, 10171, "message counter increment is invalid") }
}

/// A whole number of any length in decimal digits.
struct BigDecimal: Equatable {
  private(set) var isNegative = false
  /// The least significant first, values 0 to 9, no zeros at the end.
  private var digits: [UInt8] = []

  init() {}

  /// Reads digits with an optional sign.
  init?(_ text: ByteView) {
    var rest = text
    if !rest.isEmpty, rest[0] == ASCII.minus || rest[0] == ASCII.plus {
      isNegative = rest[0] == ASCII.minus
      rest = rest.dropFirst(1)
    }
    guard !rest.isEmpty else { return nil }
    digits.reserveCapacity(rest.count)
    var index = rest.count - 1
    while index >= 0 {
      guard ASCII.isDigit(rest[index]) else { return nil }
      digits.append(rest[index] - ASCII.zero)
      index -= 1
    }
    trim()
  }

  private mutating func trim() {
    while digits.last == 0 { digits.removeLast() }
    if digits.isEmpty { isNegative = false }
  }

  var text: [UInt8] {
    if digits.isEmpty { return [ASCII.zero] }
    var text: [UInt8] = isNegative ? [ASCII.minus] : []
    for digit in digits.reversed() { text.append(ASCII.zero + digit) }
    return text
  }

  mutating func add(_ other: BigDecimal) {
    if isNegative == other.isNegative {
      digits = BigDecimal.sum(digits, other.digits)
    } else if BigDecimal.isLess(digits, other.digits) {
      digits = BigDecimal.difference(other.digits, digits)
      isNegative = other.isNegative
    } else {
      digits = BigDecimal.difference(digits, other.digits)
    }
    trim()
  }

  private static func sum(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
    var sum: [UInt8] = []
    sum.reserveCapacity(max(left.count, right.count) + 1)
    var carry: UInt8 = 0
    for index in 0..<max(left.count, right.count) {
      carry += (index < left.count ? left[index] : 0) + (index < right.count ? right[index] : 0)
      sum.append(carry % 10)
      carry /= 10
    }
    if carry > 0 { sum.append(carry) }
    return sum
  }

  /// `left` is not less than `right`.
  private static func difference(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
    var difference = left
    var borrow: UInt8 = 0
    for index in left.indices {
      let taken = (index < right.count ? right[index] : 0) + borrow
      borrow = difference[index] < taken ? 1 : 0
      difference[index] = difference[index] + 10 * borrow - taken
    }
    return difference
  }

  private static func isLess(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    if left.count != right.count { return left.count < right.count }
    var index = left.count - 1
    while index >= 0 {
      if left[index] != right[index] { return left[index] < right[index] }
      index -= 1
    }
    return false
  }
}
