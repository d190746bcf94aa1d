// What a client may ask of the server. Every length, count and queue has a limit.
import Platform

/// Limits and timers of client connections (config.md section 2), with nats-server's defaults.
public struct BrokerLimits {
  /// Longest arguments of a control line, in bytes.
  public var controlLineMax = 4096
  /// Largest headers and payload together, in bytes.
  public var payloadMax = 1024 * 1024
  /// Most bytes waiting to be written to a client before it is a slow consumer.
  public var pendingMax = 64 * 1024 * 1024
  /// Most client connections at a time.
  public var connectionsMax = 65_536
  /// Most subscriptions of one client; 0 for no limit.
  public var subscriptionsMax = 0
  /// A PING is sent after so long without any from the client.
  public var pingInterval_ns = 120 * second_ns
  /// More unanswered PINGs than this close the connection.
  public var pingsMax = 2
  /// A client that takes no byte for so long is a slow consumer.
  public var writeDeadline_ns = 10 * second_ns
  /// Whether messages may have headers.
  public var headers = true
  /// After the lame-duck notice clients are closed over this time.
  public var lameDuckDuration_ns = 120 * second_ns
  /// Nobody is closed for so long after the notice.
  public var lameDuckGrace_ns = 10 * second_ns

  public init() {}
}
