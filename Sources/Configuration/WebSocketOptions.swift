// The `websocket` block: where clients connect over WebSocket. How it is read: WebSocket+Table.
import Bytes

/// The `websocket` block.
public struct WebSocketOptions: Equatable, Sendable {
  public static let handshakeTimeoutDefault_ns: Int64 = 5_000_000_000

  public var host: ByteString = "0.0.0.0"
  /// 0: nowhere; -1: any free port.
  public var port = 0
  /// What clients are told instead of the address.
  public var advertise: HostPort?
  public var hasNoTLS = false
  /// nil: in the clear.
  public var tls: TLSOptions?
  public var handshakeTimeout_ns = WebSocketOptions.handshakeTimeoutDefault_ns
  public var sameOrigin = false
  /// Where a browser's page may come from, as in `Origin`.
  public var allowedOrigins: [ByteString] = []
  /// Lines of HTTP: `name: value`, each with its end.
  public var headerLines = ByteString()
  /// nil: as for other clients.
  public var pingInterval_ns: Int64?

  public init() {}

  public var isListening: Bool { port != 0 }

  /// Whether a listener with `other` differs in more than the files and rules of its TLS, which may change while it runs.
  public func isSameListener(as other: WebSocketOptions) -> Bool {
    guard (tls == nil) == (other.tls == nil) else { return false }
    var other = other
    other.tls = tls
    return self == other
  }
}
