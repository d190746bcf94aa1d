// A backbone of numbers around the selector: carries out its actions in simulated time, and checks that they make sense together.
import Bytes
import Testing

@testable import Uplink

final class World {
  struct Hub {
    var rtt_us: Int64
    /// Added to each sample, 0...noise_us.
    var noise_us: Int64 = 0
    var up = true
    /// When down: refuses at once, or says nothing at all.
    var silent = false
    /// Answers probes but not links.
    var rejects: LinkFailure?
    /// How many of the coming probe rounds are lost, though it is up.
    var losesRounds = 0
  }

  enum Event {
    case probe(ClusterID, UInt32, ProbeResult)
    case dialled(ClusterID, UInt64)
    case linkDead(ClusterID, UInt64, LinkFailure)
    case live
    case script((World) -> Void)
  }

  var selector: ClusterSelector
  var hubs: [Hub]
  var now_ms: Int64 = 1_000
  private var queue: [(at_ms: Int64, order: UInt64, event: Event)] = []
  private var order: UInt64 = 0
  private var wake_ms: Int64?
  var random: Jitter

  /// The cluster of the link that is up.
  var link: ClusterID?
  /// The cluster being dialled.
  var dialling: ClusterID?
  private var dial: UInt64 = 0
  private var linkNumber: UInt64 = 0

  /// (when, cluster) of each link that came up.
  var history: [(at_ms: Int64, cluster: Int)] = []
  var actions: [ClusterSelector.Action] = []
  var probes = 0
  /// Added to every round trip, as a full queue on the shared path does.
  var bloat_us: Int64 = 0

  init(
    _ hubs: [Hub], _ clusters: [ClusterDescription]? = nil, identity: UInt64 = 1, seed: UInt64 = 1,
    _ adjust: (inout ClusterSelector.Parameters) -> Void = { _ in }
  ) {
    self.hubs = hubs
    var parameters = ClusterSelector.Parameters()
    // Equal distances are rare in these tests; where the band matters, the test sets it.
    parameters.band_us = 0
    parameters.failback_spread_ms = 0
    // More rounds in less simulated time.
    parameters.probe_interval_ms = 300_000
    parameters.recovery_interval_max_ms = 300_000
    adjust(&parameters)
    let named = clusters ?? hubs.indices.map { ClusterDescription(name: ByteString("c\($0)")) }
    selector = ClusterSelector(clusters: named, parameters: parameters, identity: identity, seed: seed)
    random = Jitter(seed: seed)
  }

  var linkIndex: Int? { link?.index }
  var reason: ClusterSelector.Reason { selector.lastDecision.reason }
  var sentence: String { selector.text(selector.lastDecision.reason) }

  func start() { perform(selector.start(now_ms: now_ms)) }

  func at(_ delay_ms: Int64, _ event: Event) {
    order += 1
    queue.append((now_ms + delay_ms, order, event))
  }
  func after(_ delay_ms: Int64, _ script: @escaping (World) -> Void) { at(delay_ms, .script(script)) }

  /// Lets `duration_ms` pass.
  func run(_ duration_ms: Int64) {
    let end = now_ms + duration_ms
    while true {
      var first: Int?
      for index in queue.indices {
        if let best = first, (queue[best].at_ms, queue[best].order) <= (queue[index].at_ms, queue[index].order) { continue }
        first = index
      }
      let next_ms = first.map { queue[$0].at_ms }
      if let wake = wake_ms, wake <= next_ms ?? Int64.max {
        guard wake <= end else { break }
        now_ms = max(now_ms, wake)
        wake_ms = nil
        perform(selector.timer(now_ms: now_ms))
      } else if let index = first, let at = next_ms, at <= end {
        now_ms = max(now_ms, at)
        happen(queue.remove(at: index).event)
      } else {
        break
      }
    }
    now_ms = end
  }

  private func happen(_ event: Event) {
    switch event {
    case .probe(let cluster, let round, let result):
      perform(selector.probeFinished(cluster, round: round, result: result, now_ms: now_ms))
    case .dialled(let cluster, let number):
      guard dial == number, dialling == cluster else { return }
      dialling = nil
      let hub = hubs[cluster.index]
      if hub.up, hub.rejects == nil {
        link = cluster
        linkNumber += 1
        history.append((now_ms, cluster.index))
        perform(selector.linkUp(cluster, now_ms: now_ms))
      } else {
        let failure = hub.rejects.flatMap { hub.up ? $0 : nil } ?? (hub.silent ? .timedOut : .refused)
        perform(selector.linkFailedToConnect(cluster, failure: failure, now_ms: now_ms))
      }
    case .linkDead(let cluster, let number, let failure):
      guard link == cluster, linkNumber == number, !hubs[cluster.index].up else { return }
      breakLink(failure)
    case .live:
      if let link { liveRTT(hubs[link.index].rtt_us + bloat_us) }
    case .script(let script): script(self)
    }
  }

  func perform(_ list: [ClusterSelector.Action]) {
    for action in list {
      actions.append(action)
      switch action {
      case .wakeUp(let at_ms):
        #expect(at_ms >= now_ms)
        wake_ms = at_ms
      case .probe(let cluster, let samples, let round, let deadline_ms):
        probes += 1
        #expect(deadline_ms > now_ms && samples > 0)
        probe(cluster, samples: samples, round: round, deadline_ms: deadline_ms)
      case .connect(let cluster, _):
        #expect(link == nil && dialling == nil, "a second link or dial")
        startDial(cluster)
      case .move(let from, let to, _):
        #expect(link == from && dialling == nil, "a move that does not fit the link")
        startDial(to)
      }
    }
    #expect(selector.current == link)
  }

  private func probe(_ cluster: ClusterID, samples: Int, round: UInt32, deadline_ms: Int64) {
    let hub = hubs[cluster.index]
    if hub.losesRounds > 0 || !hub.up {
      if hub.losesRounds > 0 { hubs[cluster.index].losesRounds -= 1 }
      if hub.silent || hub.up {
        // Sometimes too late, which must not matter.
        at(deadline_ms - now_ms + 50, .probe(cluster, round, .failed(.timedOut)))
      } else {
        at(1 + hub.rtt_us / 1_000, .probe(cluster, round, .failed(.refused)))
      }
      return
    }
    var least = Int64.max
    for _ in 0..<samples { least = min(least, hub.rtt_us + bloat_us + random.between(0, hub.noise_us)) }
    at(2 * least / 1_000 + 1, .probe(cluster, round, .answered(rtt_us_min: least, connect_us: hub.rtt_us)))
  }

  private func startDial(_ cluster: ClusterID) {
    dialling = cluster
    dial += 1
    let hub = hubs[cluster.index]
    at(!hub.up && hub.silent ? 3_000 : 1 + 4 * hub.rtt_us / 1_000, .dialled(cluster, dial))
  }

  func breakLink(_ failure: LinkFailure) {
    guard let cluster = link else { return }
    link = nil
    perform(selector.linkDown(cluster, failure: failure, now_ms: now_ms))
  }

  func liveRTT(_ rtt_us: Int64) { perform(selector.linkRTT(rtt_us, now_ms: now_ms)) }

  /// The hub goes away; a link to it notices at once, or after 20 s when the hub falls silent.
  func cut(_ index: Int, silent: Bool = false) {
    hubs[index].up = false
    hubs[index].silent = silent
    if linkIndex == index { at(silent ? 20_000 : 0, .linkDead(ClusterID(index), linkNumber, silent ? .silent : .closed)) }
  }
  func mend(_ index: Int) { hubs[index].up = true }

  func isReached(_ index: Int) -> Bool { linkIndex == index && dialling == nil }
}

/// The numbers of `make demo`, where everything happens within two minutes.
func demoNumbers(_ parameters: inout ClusterSelector.Parameters) {
  parameters.probe_interval_ms = 2_000
  parameters.probe_deadline_ms = 1_000
  parameters.confirm_interval_ms = 1_000
  parameters.dwell_ms = 3_000
  parameters.failback_dwell_ms = 3_000
  parameters.correction_ms = 3_000
  parameters.hold_down_ms = 3_000
  parameters.hold_down_max_ms = 12_000
  parameters.hold_down_window_ms = 10_000
  parameters.recovery_interval_ms = 1_000
  parameters.recovery_interval_max_ms = 2_000
  parameters.reconnect_base_ms = 250
  parameters.reconnect_cap_ms = 2_000
  parameters.reconnect_late_cap_ms = 2_000
  parameters.stable_ms = 5_000
  parameters.postpone_ms = 2_000
}

let minute_ms: Int64 = 60_000
let threeHubs = [World.Hub(rtt_us: 10_000), World.Hub(rtt_us: 40_000), World.Hub(rtt_us: 120_000)]
