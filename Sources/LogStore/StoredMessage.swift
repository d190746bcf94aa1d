// A message as it is handed out by reads and scans.
import Bytes

/// A stored message. Its views are valid during the call that received it.
public struct StoredMessage {
  public let sequence: UInt64
  public let timestamp_ns: Int64
  public let subject: ByteView
  /// The whole header block ("NATS/1.0\r\n…\r\n\r\n"), empty when there is none.
  public let headers: ByteView
  public let payload: ByteView

  @inline(__always) init(_ record: Record) {
    sequence = record.sequence
    timestamp_ns = record.timestamp_ns
    subject = record.subject
    headers = record.headers
    payload = record.body
  }

  /// Its size as nats-server accounts it.
  public var bytes: Int { 30 + subject.count + payload.count + (headers.isEmpty ? 0 : 4 + headers.count) }
}
