// What the seed of a CutWorld draws before the run begins: how edge and hub are set up, and how the link between them is broken.
import Bytes
import Platform

final class CutScenario {
  typealias Cut = FaultyCarrier.Cut

  /// Several breaks in a row, with traffic before, amid and behind them. Everything has to be well again before the next one.
  struct Episode {
    let cuts: [Cut]
    /// How many readings, and changes of interest on either side, there are meanwhile.
    let readings: Int
    let changes: Int
    /// In which all that is published.
    let duration_ns: Int64
  }

  private static let modes = ["off", "s2_auto", "s2_fast", "s2_better", "s2_best", "accept", "lz4"]

  let episodes: [Episode]
  let subjectCount: Int
  let deviceWindow: Int
  let edgeLink: SimulatedLink
  let hubLink: SimulatedLink
  let commitLatency_ns: Int64
  /// While the link is being broken something is said on either side so often, if at all: a connection may be dead in one direction and
  /// lively in the other.
  let chatter_ns: Int64?
  /// An uplink, which waits ever longer, or a remote, which waits as configured.
  let isUplink: Bool
  let isMetered: Bool
  private let reconnect_ms: Int64
  let edgeConfiguration: String
  let hubConfiguration: String

  init(entropy: SeededEntropy) {
    isUplink = entropy.oneIn(3)
    isMetered = isUplink && entropy.oneIn(4)
    reconnect_ms = [50, 250, 1000][entropy.below(3)]
    subjectCount = [1, 3, 8][entropy.below(3)]
    deviceWindow = [1, 8, 64][entropy.below(3)]
    edgeLink = Self.link(entropy)
    hubLink = Self.link(entropy)
    commitLatency_ns = [200_000, 2 * millisecond_ns, 20 * millisecond_ns][entropy.below(3)]
    chatter_ns = entropy.oneIn(2) ? entropy.within(500...3_000) * millisecond_ns : nil
    // Batches need a hub that has them.
    let batched = entropy.oneIn(2) ? ", allow_batched: true" : ""
    // A hub that soon forgets message ids shows whether the forward knows what it sent.
    let window = entropy.oneIn(2) ? ", duplicate_window: \"1s\"" : ""
    let domain = entropy.oneIn(2) ? ", domain: hub" : ""
    let compression = Self.modes[entropy.below(Self.modes.count)]
    let target = "nats-leaf://carrier:\(FaultyCarrier.leafPort)"
    let uplink =
      "uplink { compression: \(compression), metered: \(isMetered), clusters: [ { name: hub, urls: [\"\(target)\"] } ] }"
    let remote =
      "leafnodes { reconnect: \"\(reconnect_ms)ms\", remotes: [ { url: \"\(target)\", compression: \(compression) } ] }"
    edgeConfiguration = """
      server_name: edge
      host: "0.0.0.0"
      port: 4222
      jetstream { store_dir: "/data", domain: edge, max_file: 64MB }
      streams: [ { name: TELEMETRY, subjects: ["sensors.>"], discard: new } ]
      \(isUplink ? uplink : remote)
      forward: [ { stream: TELEMETRY, filter: "sensors.>", to: "site.0042.sensors.>" } ]
      """
    hubConfiguration = """
      server_name: hub
      host: "0.0.0.0"
      port: 4222
      jetstream { store_dir: "/data", max_file: 64MB\(domain) }
      streams: [ { name: SITES, subjects: ["site.>"]\(batched)\(window) } ]
      leafnodes {
        listen: "0.0.0.0:\(FaultyCarrier.leafPort)"
        compression: \(Self.modes[entropy.below(Self.modes.count)])
        # Decision 0008: the two seconds that are usual are too short for the longest delays.
        authorization { timeout: 20 }
      }
      """
    var episodes: [Episode] = []
    for _ in 0..<(3 + entropy.below(4)) {
      episodes.append(
        Episode(
          cuts: (0...entropy.below(4)).map { _ in Self.cut(entropy) }, readings: entropy.below(entropy.oneIn(3) ? 120 : 20),
          changes: entropy.below(12), duration_ns: entropy.within(100...4_000) * millisecond_ns))
    }
    self.episodes = episodes
  }

  private static func link(_ entropy: SeededEntropy) -> SimulatedLink {
    let latency_ns = entropy.within(1...60) * millisecond_ns
    return SimulatedLink(latency_ns: latency_ns, jitter_ns: latency_ns / 4)
  }

  private static func cut(_ entropy: SeededEntropy) -> Cut {
    // Within the first INFO, within the handshake and what is told behind it, or well into the traffic.
    let bytes = entropy.below([300, 3_000, 20_000][entropy.below(3)])
    return Cut(bytes: bytes, fault: fault(entropy))
  }

  private static func fault(_ entropy: SeededEntropy) -> FaultyCarrier.Fault {
    let either: FaultyCarrier.Direction = entropy.oneIn(2) ? .toHub : .toEdge
    let some = entropy.oneIn(2) ? [.toHub, .toEdge] : [either]
    switch entropy.below(12) {
    case 0...2: return .reset(isSudden: entropy.oneIn(2))
    case 3, 4: return .end
    case 5, 6: return .halfClosed(either, entropy.within(0...5_000) * millisecond_ns)
    case 7, 8: return .stall(some, entropy.within(50...2_000) * millisecond_ns)
    // Longer than anybody waits.
    case 9: return .stall(some, entropy.within(5...90) * second_ns)
    case 10: return .swallow(some)
    default: return .delay(entropy.within(50...2_000) * millisecond_ns, entropy.within(100...10_000) * millisecond_ns)
    }
  }

  // MARK: What is documented

  /// How long a dead connection may go unnoticed (decision 0008): when the other end is asked at the latest, and how long its answer is
  /// waited for, after the longest round trip that may have been measured.
  func deadConnection_ns(isHeard: Bool, roundTrip_ns: Int64) -> Int64 {
    let asked_ns = (isMetered ? 240 : 40) * second_ns
    let patience_ns = min(max((isMetered ? 20 : 10) * second_ns, 6 * roundTrip_ns), 60 * second_ns)
    return asked_ns + (isHeard ? 360 * second_ns : 3 * patience_ns)
  }

  /// From the end of a connection to the next one that works: the wait (configuration.md, decision 0002), and the round trips of the
  /// handshake, each of which may be lost with a connection that broke in it.
  var reconnect_ns: Int64 {
    let wait_ns = isUplink ? 30 * second_ns : 2 * reconnect_ms * millisecond_ns
    return wait_ns + 12 * (edgeLink.latency_ns + hubLink.latency_ns) + second_ns
  }
}
