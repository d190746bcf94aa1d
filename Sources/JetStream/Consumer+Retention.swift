// What a consumer means for its stream's retention and limits, beside `needs`.
import Bytes

extension Consumer {
  public var doneThrough: UInt64 { state.next - 1 }
  public var wantsEverything: Bool { filters.isEmpty }
  public func isInterested(in subject: ByteView) -> Bool { Stream.matches(subject, filters) }
  public func violates(_ limits: StreamConfig.ConsumerLimits) -> Bool { config.exceeds(limits) }
}
