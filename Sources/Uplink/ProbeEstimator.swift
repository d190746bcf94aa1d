// What is known of one cluster's distance from its probe rounds. Knows nothing of other clusters and decides nothing.

/// Minimum-of-rounds estimate of a cluster's round-trip time.
///
/// Queues and radio wake-ups only ever add to a round trip, so minima estimate the path, and a mean estimates the traffic on it. A round
/// without an answer is missing, which ranks behind every number; it is never a zero.
public struct ProbeEstimator: Sendable {
  /// The value is the least of this many rounds: one bad round does not move it, three in a row do.
  public static let windowRounds = 3
  /// The floor is the least of 16 to 32 rounds, so that it follows a path that has become longer for good.
  public static let floorRounds = 16
  /// Round trips are held to this, a minute: more is no usable uplink, and sums with weights stay far from overflow.
  public static let rtt_us_max: Int64 = 60_000_000

  private var window: [Int64?] = []
  private var floorNow_us: Int64?
  private var floorBefore_us: Int64?
  private var floorAge = 0

  /// Rounds without an answer since the last answer.
  public private(set) var lostInRow = 0
  /// Whether any round was ever answered.
  public var everAnswered: Bool { latest_us != nil }
  /// The last answered round.
  public private(set) var latest_us: Int64?
  /// The kernel's connect time in the last answered round: the floor under a round trip to whatever accepted, maybe a carrier's box.
  public private(set) var connect_us: Int64?
  /// Smoothed difference between neighbouring rounds, for people.
  public private(set) var jitter_us: Int64 = 0
  /// When a round last ended, with or without an answer.
  public private(set) var lastRound_ms: Int64?

  public init() {}

  /// A round has ended with `rtt_us` as the least of its samples.
  public mutating func answered(rtt_us: Int64, connect_us: Int64, now_ms: Int64) {
    let rtt = min(max(rtt_us, 1), ProbeEstimator.rtt_us_max)
    if let latest = latest_us { jitter_us += (abs(rtt - latest) - jitter_us) / 4 }
    latest_us = rtt
    self.connect_us = min(max(connect_us, 0), ProbeEstimator.rtt_us_max)
    lostInRow = 0
    push(rtt)
    lastRound_ms = now_ms
    floorNow_us = min(floorNow_us ?? rtt, rtt)
    floorAge += 1
    if floorAge == ProbeEstimator.floorRounds {
      floorBefore_us = floorNow_us
      floorNow_us = nil
      floorAge = 0
    }
  }

  /// A round has ended without an answer.
  public mutating func lost(now_ms: Int64) {
    lostInRow = min(lostInRow + 1, 1_000_000)
    push(nil)
    lastRound_ms = now_ms
  }

  private mutating func push(_ round: Int64?) {
    if window.count == ProbeEstimator.windowRounds { window.removeFirst() }
    window.append(round)
  }

  /// The distance: the least of the last rounds, nil (infinitely far) when none of them was answered.
  public var value_us: Int64? {
    var least: Int64?
    for case let rtt? in window { least = min(least ?? rtt, rtt) }
    return least
  }

  /// The shortest round trip of recent memory: what this path can do when it is idle.
  public var floor_us: Int64? {
    guard let now = floorNow_us else { return floorBefore_us }
    return min(now, floorBefore_us ?? now)
  }

  /// Forgets the floor: the path is longer than it was, and is so for good.
  public mutating func forgetFloor() {
    floorNow_us = nil
    floorBefore_us = nil
    floorAge = 0
  }
}
