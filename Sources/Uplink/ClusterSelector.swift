// The selector's state and its events. Rounds of probes are in +Rounds, comparing in +Judgement, links in +Links. Nothing here does
// I/O or knows a clock: the prober and the link supervisor report events with the time and carry out the actions.
import Bytes

/// Decides which backbone cluster the uplink uses: the nearest, kept until another is proven nearer, replaced at once when lost.
///
/// Every event returns what to do, in order. Rules for the one who drives it:
/// - `.probe`: report `probeFinished` once, with the same round number. Later than the deadline is allowed and ignored.
/// - `.connect`: dial the cluster; report `linkUp` when the leaf link is established, or `linkFailedToConnect` once.
/// - `.move`: dial `to` while the link to `from` stays up; hand over; then report `linkUp(to)`, by when `from` is gone without a
///   report of its own. If dialling fails report `linkFailedToConnect(to)`: `from` stays. If `from` is lost meanwhile report
///   `linkDown(from)` and go on dialling `to`. `from` and `to` may be one cluster: another of its servers is wanted.
/// - `.wakeUp`: call `timer` at that time; replaces any earlier wake-up.
///
/// Source: docs/decisions/0002-cluster-selection.md. All times are monotonic milliseconds.
public struct ClusterSelector: ~Copyable {
  /// More clusters than any backbone has; bounds every loop here.
  public static let clusters_max = 64
  /// What one sample costs on the wire when the prober does not say: TCP handshake and close, and an INFO of some 470 bytes.
  public static let sample_bytes: Int64 = 900

  public enum Action: Sendable, Equatable {
    case probe(ClusterID, samples: Int, round: UInt32, deadline_ms: Int64)
    case connect(ClusterID, reason: Reason)
    case move(from: ClusterID, to: ClusterID, reason: Reason)
    case wakeUp(at_ms: Int64)
  }

  enum Phase: Equatable {
    /// Before `start`.
    case stopped
    /// No link; a round asks all clusters.
    case hunting
    /// No link; one cluster is being dialled.
    case connecting(ClusterID)
    case linked(ClusterID)
    /// Linked to `from` until `to` has taken over.
    case moving(from: ClusterID, to: ClusterID)
    /// No link, and nobody answered: waiting.
    case offline(until_ms: Int64)

    var name: String {
      switch self {
      case .stopped: "stopped"
      case .hunting: "hunting"
      case .connecting: "connecting"
      case .linked: "linked"
      case .moving: "moving"
      case .offline: "offline"
      }
    }
  }

  struct Candidate {
    let description: ClusterDescription
    /// Orders clusters that are equally near, differently on every device.
    let tie: UInt64
    var estimator = ProbeEstimator()
    /// A link to it was lost or did not come up since it last answered a probe.
    var down = false
    var probeFailure: ProbeFailure?
    var linkFailure: LinkFailure?
    /// Dialled in this outage.
    var tried = false

    // This round.
    var pending = false
    var sample_us: Int64?
    var charged_bytes: Int64 = 0

    // When it may be moved to again.
    var leftAt_ms: Int64?
    var holdLevel = 0
    var heldUntil_ms: Int64 = 0
    var spreadUntil_ms: Int64 = 0
  }

  enum RoundKind { case hunt, regular, confirm, recovery }

  struct Round {
    let kind: RoundKind
    let began_ms: Int64
    let deadline_ms: Int64
    /// Set by the first answer of a hunt: nobody else is waited for longer.
    var graceUntil_ms: Int64?
  }

  /// A cluster that looked better, on its way to being proven.
  struct Challenge {
    var cluster: ClusterID
    var rounds: Int
    /// When it is asked again, beside the current cluster.
    var next_ms: Int64
    /// When the last round that counted began: rounds close together see one moment, and count once.
    var counted_ms: Int64
    /// When a round last confirmed it.
    var confirmed_ms: Int64?
  }

  struct Live {
    var floor_us: Int64
    var latest_us: Int64
    var at_ms: Int64
  }

  public let parameters: Parameters
  var candidates: [Candidate] = []
  var jitter: Jitter
  var backoff: ReconnectBackoff
  var phase = Phase.stopped
  var now_ms: Int64 = 0
  var started_ms: Int64 = 0
  var announced_ms: Int64?

  var round: Round?
  var roundNumber: UInt32 = 0
  var challenge: Challenge?
  var postponements = 0
  var nextRegular_ms: Int64 = 0
  var nextRecovery_ms: Int64 = 0
  var recoveryInterval_ms: Int64 = 0
  var live: Live?

  var linkedSince_ms: Int64 = 0
  var dwellUntil_ms: Int64 = 0
  var everLinked: ClusterID?
  /// The cluster whose link was lost, while the link to the next is not up yet and the agent never was without any answer.
  var departed: ClusterID?
  var hunted = false
  var lameDuckAt_ms: Int64?

  var budgetSince_ms: Int64 = 0
  var budgetSpent_bytes: Int64 = 0

  /// Bytes spent on probes since the start, as reported or estimated.
  public internal(set) var spent_bytes: Int64 = 0
  /// How often the uplink came to be on another cluster than before, for whatever reason.
  public internal(set) var switches = 0
  /// The last judgement, also of those that changed nothing.
  public internal(set) var lastDecision = Decision(reason: .starting, at_ms: 0)
  /// The reason of the last connect or move.
  public internal(set) var lastChange = Decision(reason: .starting, at_ms: 0)

  /// - Parameters:
  ///   - clusters: 1 to `clusters_max`.
  ///   - identity: a hash of what this device is called; it chooses among equally near clusters, the same after each restart.
  ///   - seed: random; it draws waits.
  public init(clusters: [ClusterDescription], parameters: Parameters, identity: UInt64, seed: UInt64) {
    precondition(!clusters.isEmpty && clusters.count <= ClusterSelector.clusters_max, "the selector needs 1 to 64 clusters")
    precondition(parameters.fault == nil, "selector parameters must be within their limits")
    self.parameters = parameters
    jitter = Jitter(seed: seed ^ Jitter.mix(identity))
    backoff = ReconnectBackoff(
      base_ms: parameters.reconnect_base_ms, cap_ms: parameters.reconnect_cap_ms, patience_ms: parameters.reconnect_patience_ms,
      lateCap_ms: parameters.reconnect_late_cap_ms)
    for (index, cluster) in clusters.enumerated() {
      precondition(cluster.weight >= 0.01 && cluster.weight <= 100, "a cluster's weight must be 0.01 to 100")
      candidates.append(Candidate(description: cluster, tie: Jitter.mix(identity &+ Jitter.mix(UInt64(index) &+ 1))))
    }
  }

  // MARK: events

  /// Begins: once, before everything else.
  public mutating func start(now_ms: Int64) -> [Action] {
    precondition(phase == .stopped, "start while \(phase.name)")
    self.now_ms = now_ms
    started_ms = now_ms
    budgetSince_ms = now_ms
    lastDecision = Decision(reason: .starting, at_ms: now_ms)
    lastChange = lastDecision
    var actions: [Action] = []
    hunt(&actions)
    return settle(&actions)
  }

  /// `cluster`'s part of round `round` has ended. `bytes` is what it cost; nil charges an estimate.
  public mutating func probeFinished(
    _ cluster: ClusterID, round number: UInt32, result: ProbeResult, bytes: Int64? = nil, now_ms: Int64
  ) -> [Action] {
    var actions = begin(now_ms)
    precondition(number <= roundNumber, "a probe of a round that never began")
    // Later than its round: the round has already counted it as lost.
    guard round != nil, number == roundNumber else { return settle(&actions) }
    if let bytes { charge(bytes - candidates[cluster.index].charged_bytes) }
    precondition(candidates[cluster.index].pending, "a second result for one probe")
    record(cluster, result)
    return settle(&actions)
  }

  /// The link that `.connect` or `.move` asked for is established.
  public mutating func linkUp(_ cluster: ClusterID, now_ms: Int64) -> [Action] {
    var actions = begin(now_ms)
    established(cluster)
    return settle(&actions)
  }

  /// The established link to `cluster` is gone.
  public mutating func linkDown(_ cluster: ClusterID, failure: LinkFailure, now_ms: Int64) -> [Action] {
    var actions = begin(now_ms)
    lost(cluster, failure, &actions)
    return settle(&actions)
  }

  /// The link that `.connect` or `.move` asked for did not come up.
  public mutating func linkFailedToConnect(_ cluster: ClusterID, failure: LinkFailure, now_ms: Int64) -> [Action] {
    var actions = begin(now_ms)
    notEstablished(cluster, failure, &actions)
    return settle(&actions)
  }

  /// A round trip on the live link, from its own pings or the kernel. Ignored when there is no link any more.
  public mutating func linkRTT(_ rtt_us: Int64, now_ms: Int64) -> [Action] {
    var actions = begin(now_ms)
    if current != nil, rtt_us > 0 {
      let rtt = min(rtt_us, ProbeEstimator.rtt_us_max)
      live = Live(floor_us: min(live?.floor_us ?? rtt, rtt), latest_us: rtt, at_ms: now_ms)
    }
    return settle(&actions)
  }

  /// The time of the last `.wakeUp` has come. Early, late and spare calls do no harm.
  public mutating func timer(now_ms: Int64) -> [Action] {
    var actions = begin(now_ms)
    return settle(&actions)
  }

  /// A link, route or address of this host has changed: whoever waits tries now, whoever is linked looks around.
  public mutating func networkChanged(now_ms: Int64) -> [Action] {
    var actions = begin(now_ms)
    switch phase {
    case .offline:
      backoff.reset()
      phase = .offline(until_ms: now_ms)
    case .linked:
      nextRegular_ms = min(nextRegular_ms, now_ms)
      recoveryInterval_ms = parameters.recovery_interval_ms
      nextRecovery_ms = min(nextRecovery_ms, now_ms)
      // The floor was that of another path.
      live = nil
    case .stopped, .hunting, .connecting, .moving: break
    }
    return settle(&actions)
  }

  /// The server behind the link has said that it will go away. Ignored unless `cluster` is the one in use.
  public mutating func lameDuck(_ cluster: ClusterID, now_ms: Int64) -> [Action] {
    var actions = begin(now_ms)
    if phase == .linked(cluster), lameDuckAt_ms == nil {
      lameDuckAt_ms = now_ms + jitter.between(0, parameters.lame_duck_spread_ms)
    }
    return settle(&actions)
  }

  // MARK: the turn of every event

  private mutating func begin(_ now_ms: Int64) -> [Action] {
    precondition(phase != .stopped, "an event before start")
    precondition(now_ms >= self.now_ms, "the selector's time went back")
    self.now_ms = now_ms
    return []
  }

  /// Does everything that is due and says when to come back.
  private mutating func settle(_ actions: inout [Action]) -> [Action] {
    if let at = announced_ms, at <= now_ms { announced_ms = nil }
    // Each turn of the loop ends something that was due; a handful is the most that can be due at one moment.
    var turns = 0
    while step(&actions) {
      turns += 1
      precondition(turns < 32, "the selector does not come to rest while \(phase.name)")
    }
    if let due = nextDue_ms, due != announced_ms {
      announced_ms = due
      actions.append(.wakeUp(at_ms: due))
    }
    return actions
  }

  /// Does one thing that is due now; false when nothing is.
  private mutating func step(_ actions: inout [Action]) -> Bool {
    if endRoundIfOver() { return true }
    switch phase {
    case .hunting: return concludeHunt(&actions)
    case .offline(let until_ms):
      guard until_ms <= now_ms else { return false }
      forgetTried()
      hunt(&actions)
      return true
    case .linked(let cluster):
      if let due = lameDuckAt_ms, due <= now_ms {
        leaveLameDuck(cluster, &actions)
        return true
      }
      if moveIfProven(from: cluster, &actions) { return true }
      return startDueRound(&actions)
    case .stopped, .connecting, .moving: return false
    }
  }

  /// When `timer` has something to do, nil when only an event can bring news.
  public var nextDue_ms: Int64? {
    var due: Int64?
    func earlier(_ time: Int64?) {
      if let time { due = min(due ?? time, time) }
    }
    earlier(round?.deadline_ms)
    switch phase {
    case .hunting: earlier(round?.graceUntil_ms)
    case .offline(let until_ms): earlier(until_ms)
    case .linked:
      earlier(lameDuckAt_ms)
      if round == nil { earlier(nextRoundDue_ms) }
    case .stopped, .connecting, .moving: break
    }
    return due.map { max($0, now_ms) }
  }

  mutating func decide(_ reason: Reason) { lastDecision = Decision(reason: reason, at_ms: now_ms) }

  mutating func change(_ reason: Reason) {
    decide(reason)
    lastChange = lastDecision
  }
}
