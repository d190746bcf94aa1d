// The value of a `Nats-TTL` header (section 9.1).
import Bytes
import Platform
import Wire

enum MessageTTL: Equatable {
  /// No header, or an empty one.
  case none
  /// Nanoseconds, whole seconds; nil is `never`.
  case valid(Int64?)
  case invalid

  static func parse(_ text: ByteView) -> MessageTTL {
    if text.equalsIgnoringCase("never") { return .valid(nil) }
    if text.isEmpty { return .none }
    if text.bytes.allSatisfy({ ASCII.isDigit($0) }) {
      // More seconds than a clock can count are as good as never, but for max_age.
      guard let seconds = text.decimal(), seconds <= UInt64(Int64.max / second_ns) else { return .valid(Int64.max) }
      return seconds == 0 ? .invalid : .valid(Int64(seconds) * second_ns)
    }
    guard let duration = GoDuration.parse(text), duration >= second_ns else { return .invalid }
    return .valid(duration - duration % second_ns)
  }

  /// The TTL of a stored message.
  static func of(_ headers: ByteView) -> MessageTTL {
    guard !headers.isEmpty, let text = Headers(headers).value("Nats-TTL") else { return .none }
    return parse(text)
  }
}
