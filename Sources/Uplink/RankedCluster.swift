// What /uplinkz, `petiole status` and the log show of each cluster.
import Bytes

/// One cluster as the selector sees it now.
public struct RankedCluster: Sendable {
  public enum Health: Sendable, Equatable {
    /// Not measured yet.
    case unknown
    case healthy
    case unreachable

    public var text: String { words.string }

    private var words: Words {
      switch self {
      case .unknown: "unknown"
      case .healthy: "healthy"
      case .unreachable: "unreachable"
      }
    }
  }

  public let cluster: ClusterID
  public let name: ByteString
  public let tier: Int
  public let weight: Double
  public let pinned: Bool
  public let health: Health
  /// The link that is up is to this cluster.
  public let isCurrent: Bool
  /// The least of the last rounds, or of the live link where nothing was probed; nil when no answer.
  public let rtt_us: Int64?
  /// The shortest of recent memory.
  public let floor_us: Int64?
  public let connect_us: Int64?
  public let jitter_us: Int64
  /// The weighted distance that is compared; nil is infinity.
  public let score_us: Int64?
  /// Since the last round ended; nil before the first.
  public let probeAge_ms: Int64?
  public let probesLostInRow: Int
  public let probeFailure: ProbeFailure?
  public let linkFailure: LinkFailure?
  /// How long it will not be moved to, zero when it may be.
  public let heldFor_ms: Int64
}

extension ClusterSelector {
  /// What the selector is doing, in one word: `hunting`, `connecting`, `linked`, `moving`, `offline`.
  public var stateName: String { phase.name }

  /// When the link came up; nil without one.
  public var linkedSince: Int64? { current == nil ? nil : linkedSince_ms }

  /// All clusters, best first.
  public func ranked(now_ms: Int64) -> [RankedCluster] {
    var order = candidates.indices.map { ClusterID($0) }
    order.order { ranksBefore($0, $1) }
    return order.map { shown($0, now_ms: now_ms) }
  }

  /// One cluster, by its place in the configuration.
  public func shown(_ cluster: ClusterID, now_ms: Int64) -> RankedCluster {
    precondition(cluster.index < candidates.count, "a cluster that is not configured")
    let candidate = candidates[cluster.index]
    let isCurrent = current == cluster
    let live_us = isCurrent ? live?.latest_us : nil
    let rtt_us = candidate.estimator.value_us ?? live_us
    let health: RankedCluster.Health
    switch reachability(cluster) {
    case _ where isCurrent: health = .healthy
    case 0: health = .healthy
    case 1: health = .unknown
    default: health = .unreachable
    }
    return RankedCluster(
      cluster: cluster, name: candidate.description.name, tier: candidate.description.tier, weight: candidate.description.weight,
      pinned: candidate.description.pinned, health: health, isCurrent: isCurrent, rtt_us: rtt_us,
      floor_us: candidate.estimator.floor_us ?? (isCurrent ? live?.floor_us : nil), connect_us: candidate.estimator.connect_us,
      jitter_us: candidate.estimator.jitter_us, score_us: score(cluster, rtt_us),
      probeAge_ms: candidate.estimator.lastRound_ms.map { now_ms - $0 }, probesLostInRow: candidate.estimator.lostInRow,
      probeFailure: candidate.probeFailure, linkFailure: candidate.linkFailure,
      heldFor_ms: max(0, candidate.heldUntil_ms - now_ms))
  }
}
