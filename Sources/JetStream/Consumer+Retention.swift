// What a consumer means for its stream's retention, beside `needs`.
import Bytes

extension Consumer {
  public func isInterested(in subject: ByteView) -> Bool { Stream.matches(subject, filters) }
}
