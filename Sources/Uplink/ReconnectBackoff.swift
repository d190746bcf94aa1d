// How long an agent that reaches no cluster waits before it tries again.

/// Decorrelated jitter: each wait is drawn between `base_ms` and three times the last one, so that a fleet which lost its uplink at
/// one moment does not come back at one moment. Two caps: a short one while an outage is young, a longer one once it has lasted.
///
/// Source: docs/decisions/0002-cluster-selection.md. All times are monotonic milliseconds.
public struct ReconnectBackoff: Sendable {
  /// The shortest wait.
  public let base_ms: Int64
  /// The longest wait during the first `patience_ms` of an outage.
  public let cap_ms: Int64
  /// How long an outage counts as young.
  public let patience_ms: Int64
  /// The longest wait afterwards.
  public let lateCap_ms: Int64

  private var last_ms: Int64 = 0
  private var since_ms: Int64 = -1
  /// How many waits this outage has had.
  public private(set) var attempts = 0

  public init(base_ms: Int64, cap_ms: Int64, patience_ms: Int64, lateCap_ms: Int64) {
    precondition(base_ms > 0 && cap_ms >= base_ms && lateCap_ms >= base_ms && patience_ms >= 0, "back-off limits must be in order")
    self.base_ms = base_ms
    self.cap_ms = cap_ms
    self.patience_ms = patience_ms
    self.lateCap_ms = lateCap_ms
  }

  /// The next wait: in base_ms...cap.
  public mutating func next(now_ms: Int64, jitter: inout Jitter) -> Int64 {
    if since_ms < 0 { since_ms = now_ms }
    let cap = now_ms - since_ms < patience_ms ? cap_ms : lateCap_ms
    last_ms = min(cap, jitter.between(base_ms, max(base_ms, min(cap, last_ms)) * 3))
    attempts += 1
    return last_ms
  }

  /// The outage is over (a link has stayed up), or there is news that makes waiting pointless (the network changed).
  public mutating func reset() {
    last_ms = 0
    since_ms = -1
    attempts = 0
  }
}
