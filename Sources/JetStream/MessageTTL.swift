// The value of a `Nats-TTL` header (section 9.1).
import Bytes

enum MessageTTL: Equatable {
  /// No header, or 0.
  case none
  /// Nanoseconds; nil is `never`.
  case valid(Int64?)
  case invalid

  private static let second_ns: Int64 = 1_000_000_000

  static func parse(_ text: ByteView) -> MessageTTL {
    if text.equalsIgnoringCase("never") { return .valid(nil) }
    if text.isEmpty { return .none }
    if let seconds = text.decimal() {
      guard seconds <= UInt64(Int64.max / second_ns) else { return .invalid }
      return seconds == 0 ? .none : .valid(Int64(seconds) * second_ns)
    }
    guard let duration = GoDuration.parse(text) else { return .invalid }
    if duration == 0 { return .none }
    return duration < second_ns ? .invalid : .valid(duration)
  }
}
