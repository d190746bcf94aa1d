// Counters (allow_msg_counter, section 9.4, ADR-49): a message says by how much its subject's number changes, what is stored is the new
// number. Numbers are decimal and as long as they need to be.
import Broker
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
    guard let increment = headers.increment, let change = BigDecimal(increment) else { return .counterMissing }
    var place = CounterPlace()
    if let staged = stage?.subjects[subject]?.value {
      place.total = staged.withView { BigDecimal($0) } ?? place.total
    } else {
      do throws(APIError) { guard try readCounter(subject, &place) else { return .counterBroken } } catch { return error }
    }
    place.total.add(change)
    let value = place.total.text
    plan.value = value
    plan.payload = Stream.quoted("{\"val\":\"", value, "\"}")
    plan.ackEnd = Stream.quoted(",\"val\":\"", value, "\"")
    if !place.sources.isEmpty {
      plan.headers = place.sources.withView { Stream.adding("Nats-Counter-Sources", $0, to: block) }
    }
    return nil
  }

  /// Where a counter stands. False when its last message is none of a counter.
  private func readCounter(_ subject: ByteView, _ place: inout CounterPlace) throws(APIError) -> Bool {
    let last: UInt64
    switch lastForCheck(of: subject) {
    case .none: return true
    case .found(let sequence): last = sequence
    case .unfinished, .failed: throw .systemUnavailable
    }
    var isWhole = false
    log.read(last) { message in
      guard let total = counterValue(message.payload) else { return }
      isWhole = true
      place.total = total
      if !message.headers.isEmpty, let held = Headers(message.headers).value("Nats-Counter-Sources") { place.sources = ByteString(held) }
    }
    return isWhole
  }

  /// The number in `{"val":"42"}`; nil when it is no such object.
  private func counterValue(_ payload: ByteView) -> BigDecimal? {
    guard let value = try? JSON.parse(payload), value.object != nil else { return nil }
    guard let number = value["val"] else { return BigDecimal() }
    return number.string.map { text in text.withView { BigDecimal($0) } ?? BigDecimal() }
  }

  /// A counter's message from a source (ADR-49): what counts is how much its number differs from the last one of that source, which the
  /// header `Nats-Counter-Sources` remembers as `{"<stream>":{"<subject>":"<number>"}}`.
  func countSourced(_ message: Message, _ headers: PublishHeaders, _ plan: inout PublishPlan) -> APIError? {
    guard headers.increment != nil, let origin = headers.streamSource else { return .counterMissing }
    guard let value = counterValue(message.payload) else { return .counterBroken }
    var place = CounterPlace()
    do throws(APIError) { guard try readCounter(message.subject, &place) else { return .counterBroken } } catch { return error }
    var fields: [ByteView] = []
    var rest = origin
    while !rest.isEmpty {
      let end = rest.firstIndex(of: ASCII.space) ?? rest.count
      if end > 0 { fields.append(rest.prefix(end)) }
      rest = rest.dropFirst(min(end + 1, rest.count))
    }
    guard let stream = fields.first else { return .counterBroken }
    let subject = fields.count >= 5 ? fields[4] : message.subject
    var change = value
    let sources = Stream.sources(place.sources, stream, subject, value, &change)
    place.total.add(change)
    plan.value = place.total.text
    plan.payload = Stream.quoted("{\"val\":\"", place.total.text, "\"}")
    let counted = change.text.withView { Stream.adding("Nats-Incr", $0, to: message.headers) }
    plan.headers = counted.withView { block in sources.withView { Stream.adding("Nats-Counter-Sources", $0, to: block) } }
    return plan.headers?.count ?? 0 > Stream.headerBytesMax ? APIError(400, 10097, "header size exceeds maximum allowed of 64k") : nil
  }

  /// The sources with a new value for one of them; `change` becomes the difference to the old one.
  private static func sources(
    _ text: ByteString, _ stream: ByteView, _ subject: ByteView, _ value: BigDecimal, _ change: inout BigDecimal
  ) -> [UInt8] {
    var streams = (try? JSON.parse(text))?.object ?? []
    let at = streams.firstIndex { $0.name == stream }
    var subjects = at.flatMap { streams[$0].value.object } ?? []
    if let index = subjects.firstIndex(where: { $0.name == subject }) {
      if var previous = subjects[index].value.string?.withView({ BigDecimal($0) }) {
        previous.negate()
        change.add(previous)
      }
      subjects.remove(at: index)
    }
    subjects.append(JSONMember(name: ByteString(subject), value: .string(ByteString(value.text))))
    subjects.order { $0.name < $1.name }
    if let at { streams.remove(at: at) }
    streams.append(JSONMember(name: ByteString(stream), value: .object(subjects)))
    streams.order { $0.name < $1.name }
    var json = JSONWriter()
    json.value(.object(streams))
    return json.finish()
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
  fileprivate static var counterMissing: APIError { APIError(400, 10169, "message counter increment is missing") }
  fileprivate static var counterBroken: APIError { APIError(400, 10172, "message counter is broken") }
  fileprivate static var counterIncrement: APIError { APIError(400, 10171, "message counter increment is invalid") }
}

/// A counter as its last message has it.
private struct CounterPlace {
  var total = BigDecimal()
  var sources = ByteString()
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

  mutating func negate() { isNegative = !digits.isEmpty && !isNegative }

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
