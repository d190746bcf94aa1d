// Why the selector did what it did, for programs and for people.
import Bytes

extension ClusterSelector {
  public struct Decision: Sendable, Equatable {
    public let reason: Reason
    /// When, on the selector's monotonic clock.
    public let at_ms: Int64
  }

  public enum Reason: Sendable, Equatable {
    case starting
    /// Without a link, the nearest of those that answered.
    case nearest(ClusterID, rtt_us: Int64, answers: Int)
    case failover(from: ClusterID, failure: LinkFailure, to: ClusterID, rtt_us: Int64?)
    /// After a dial that failed.
    case next(after: ClusterID, failure: LinkFailure, to: ClusterID, rtt_us: Int64?)
    /// Dialled without a measurement.
    case inTurn(ClusterID)
    case lost(ClusterID, failure: LinkFailure)
    case offline(wait_ms: Int64, attempts: Int)
    case nearer(from: ClusterID, to: ClusterID, from_us: Int64, to_us: Int64, rounds: Int)
    case betterTier(from: ClusterID, to: ClusterID)
    case pinned(from: ClusterID, to: ClusterID)
    case lameDuck(from: ClusterID, to: ClusterID)
    case lameDuckAlone(ClusterID)
    case moveFailed(ClusterID, failure: LinkFailure, kept: ClusterID)
    // Nothing was changed:
    case keptBest(ClusterID, rtt_us: Int64)
    case belowMargin(ClusterID, nearer: ClusterID, gain_us: Int64, margin_us: Int64)
    case recovered(ClusterID)
    case confirming(ClusterID, rounds: Int, of: Int)
    case dwelling(ClusterID, wait_ms: Int64)
    case held(ClusterID, wait_ms: Int64)
    case noComparison(ClusterID)
    case bloated(live_us: Int64, floor_us: Int64)
  }

  private func name(_ cluster: ClusterID) -> String { candidates[cluster.index].description.name.string }

  /// Microseconds as `10.2 ms`.
  public static func milliseconds(_ time_us: Int64) -> String {
    let tenths = (time_us + 50) / 100
    return ("\(tenths / 10).\(tenths % 10) ms" as Words).string
  }

  private func seconds(_ time_ms: Int64) -> Words { "\((time_ms + 999) / 1000) s" }

  /// The reason as a sentence.
  public func text(_ reason: Reason) -> String { words(reason).string }

  private func words(_ reason: Reason) -> Words {
    switch reason {
    case .starting: return "starting: measuring all clusters"
    case .nearest(let cluster, let rtt_us, let answers):
      let of = answers == 1 ? "the only one that answers" : "nearest of \(answers) answers"
      return "\(of): \(name(cluster)) \(ClusterSelector.milliseconds(rtt_us))"
    case .failover(let from, let failure, let to, let rtt_us):
      let distance = rtt_us.map { " " + ClusterSelector.milliseconds($0) } ?? ""
      return "failover: link to \(name(from)) lost (\(failure.text)); next in rank \(name(to))\(distance)"
    case .next(let after, let failure, let to, let rtt_us):
      let distance = rtt_us.map { " " + ClusterSelector.milliseconds($0) } ?? ""
      return "no link to \(name(after)) (\(failure.text)); next in rank \(name(to))\(distance)"
    case .inTurn(let cluster):
      return candidates.count == 1 ? "\(name(cluster)) is the only cluster" : "without a measurement: trying \(name(cluster)) in turn"
    case .lost(let cluster, let failure): return "no link to \(name(cluster)) (\(failure.text)); measuring all clusters"
    case .offline(let wait_ms, let attempts):
      return "offline: no cluster can be reached; next attempt (number \(attempts + 1)) in \(seconds(wait_ms))"
    case .nearer(let from, let to, let from_us, let to_us, let rounds):
      let (near, far) = (ClusterSelector.milliseconds(to_us), ClusterSelector.milliseconds(from_us))
      return "nearer: \(name(to)) \(near) against \(name(from)) \(far), in \(rounds) rounds"
    case .betterTier(let from, let to): return "better tier: \(name(to)) before \(name(from))"
    case .pinned(let from, let to): return "pinned: \(name(to)) before \(name(from))"
    case .lameDuck(let from, let to):
      return from == to ? "\(name(from))'s server goes away: to another of its servers" : "\(name(from)) goes away: to \(name(to))"
    case .lameDuckAlone(let cluster): return "kept: \(name(cluster)) goes away, but no other cluster answers"
    case .moveFailed(let to, let failure, let kept): return "kept: \(name(kept)); no link to \(name(to)) (\(failure.text))"
    case .keptBest(let cluster, let rtt_us): return "kept: \(name(cluster)) is the nearest, \(ClusterSelector.milliseconds(rtt_us))"
    case .belowMargin(_, let nearer, let gain_us, let margin_us):
      let (gain, margin) = (ClusterSelector.milliseconds(gain_us), ClusterSelector.milliseconds(margin_us))
      return "kept: \(name(nearer)) is \(gain) nearer, below the margin of \(margin)"
    case .recovered(let cluster): return "kept: \(name(cluster)) answers again and is being compared"
    case .confirming(let cluster, let rounds, let of): return "kept: \(name(cluster)) is better in \(rounds) of \(of) rounds"
    case .dwelling(let cluster, let wait_ms):
      return "kept: \(name(cluster)) is proven better, moving in \(seconds(wait_ms)) at the earliest"
    case .held(let cluster, let wait_ms): return "kept: \(name(cluster)) was left too often, held down for \(seconds(wait_ms))"
    case .noComparison(let cluster): return "kept: the probe of \(name(cluster)) was lost, its link is up"
    case .bloated(let live_us, let floor_us):
      let (live, floor) = (ClusterSelector.milliseconds(live_us), ClusterSelector.milliseconds(floor_us))
      return "kept: the link is busy (\(live), idle \(floor)); measuring is put off"
    }
  }
}
