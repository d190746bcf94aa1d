// What happens to the machine's own network: links, addresses, routes.

/// What has changed since the last time.
public struct NetworkChange: Equatable {
  /// A link, an address or a route is there that was not: what could not be reached may be now.
  public var hasGained = false
  /// One is gone: what was reached may not be any more.
  public var hasLost = false
  /// Addresses that this machine had (4 or 16 bytes). A connection from one of them is dead.
  public var removed: [[UInt8]] = []

  public init(hasGained: Bool = false, hasLost: Bool = false, removed: [[UInt8]] = []) {
    self.hasGained = hasGained
    self.hasLost = hasLost
    self.removed = removed
  }
}

/// What the kernel knows of the way to the other end of a connection; behind a proxy it is the way to the proxy.
public struct WayState: Equatable {
  /// The smoothed round trip, and its mean deviation, as retransmission counts them (RFC 6298).
  public var rtt_us: Int
  public var rttVariance_us: Int
  /// Since anything came from there, an acknowledgement or bytes.
  public var sinceSign_ms: Int
  /// Whether bytes were sent that are not acknowledged.
  public var isWaiting: Bool
  /// Bytes of this side that were acknowledged since the beginning.
  public var acknowledged: Int64

  public init(rtt_us: Int, rttVariance_us: Int, sinceSign_ms: Int, isWaiting: Bool, acknowledged: Int64) {
    self.rtt_us = rtt_us
    self.rttVariance_us = rttVariance_us
    self.sinceSign_ms = sinceSign_ms
    self.isWaiting = isWaiting
    self.acknowledged = acknowledged
  }
}
