// What happens in the world of one seed: how it is built, what the device publishes, and what goes wrong when. Everything is drawn from
// the seed before the run begins, so that a change of the agent does not change the misfortunes.
import Bytes
import Platform

final class Scenario {
  /// Everything must be at the hub so long after the last misfortune.
  static let patience_ns = 300 * second_ns

  struct Cluster {
    let name: String
    let link: SimulatedLink
    let distance_ns: Int64
  }

  enum Misfortune {
    /// Of these clusters, by index.
    case partition([Int], reset: Bool)
    case kill
    case powerCut
    case restart
    case hubOutage([Int])
    case noLeader
    case refusal
    case noNames
    case narrow(Int, bytesPerSecond: Int)
    case slow(Int, latency_ns: Int64)
    case devicePartition(Int)
    /// The gateway's wall clock jumps; time synchronisation sets it right at the end.
    case clockJump(Int64)
    /// The n-th write or sync from here on fails with EIO.
    case diskError(write: Bool, Int)
    /// So many bytes more fit on the disk.
    case diskFull(Int)
    /// These hubs close or send nonsense at any point.
    case rudeHub([Int])
  }

  struct Event {
    let at_ns: Int64
    let duration_ns: Int64
    let misfortune: Misfortune
  }

  private let entropy: SeededEntropy
  let setup: SimulatedBackbone.Setup
  let clusters: [Cluster]
  let subjectCount: Int
  let readingCount: Int
  /// When the device publishes.
  private let readingTimes: [Int64]
  /// Each device has its own subjects; several come back after a crash in another order than before.
  let deviceCount: Int
  let deviceWindow: Int
  let commitLatency_ns: Int64
  let duration_ns: Int64
  /// Whether the forward keeps the order even when the hub loses or refuses single messages.
  let isOrdered: Bool
  let configuration: String
  let events: [Event]
  /// Messages of other sites in the hub's stream.
  private let neighbours: Int
  private var partitions: [Int]
  private var outages: [Int]

  init(entropy: SeededEntropy) {
    self.entropy = entropy
    var setup = SimulatedBackbone.Setup()
    setup.domain = entropy.oneIn(2) ? "hub" : nil
    setup.answersFollowInterest = entropy.oneIn(3)
    setup.compression = entropy.oneIn(2) ? "s2_auto" : "off"
    self.setup = setup
    var clusters: [Cluster] = []
    for (index, name) in ["alpha", "beta", "gamma"].enumerated() {
      let near = entropy.within(1...40) * millisecond_ns
      let latency_ns = near * Int64(index + 1)
      let loss = entropy.oneIn(3) ? entropy.below(20_000) : 0
      clusters.append(
        Cluster(
          name: name,
          link: SimulatedLink(latency_ns: latency_ns, jitter_ns: latency_ns / Int64(1 + entropy.below(8)), loss_millionths: loss),
          distance_ns: index == 0 ? 200_000 : entropy.within(5...80) * millisecond_ns))
    }
    self.clusters = clusters
    subjectCount = [1, 3, 8, 20][entropy.below(4)]
    readingCount = 150 + entropy.below(250)
    deviceCount = min(subjectCount, 1 + entropy.below(3))
    deviceWindow = [1, 4, 16, 64][entropy.below(4)]
    commitLatency_ns = [200_000, 2 * millisecond_ns, 20 * millisecond_ns, 200 * millisecond_ns][entropy.below(4)]
    duration_ns = entropy.within(300...600) * second_ns
    neighbours = entropy.oneIn(2) ? 60 : 0
    isOrdered = !entropy.oneIn(5)
    configuration = Self.configuration(entropy, isOrdered: isOrdered)
    partitions = Array(repeating: 0, count: clusters.count)
    outages = Array(repeating: 0, count: clusters.count)
    readingTimes = Self.readingTimes(entropy, count: readingCount, duration_ns: duration_ns)
    var events: [Event] = []
    for _ in 0..<(4 + entropy.below(10)) {
      var at_ns = entropy.within(0...duration_ns)
      // Many begin while something is under way: just after a reading was published.
      if entropy.oneIn(2) {
        at_ns = readingTimes[entropy.below(readingCount)] + entropy.within(0...3 * commitLatency_ns + 10 * millisecond_ns)
      }
      events.append(Self.event(entropy, at_ns: min(at_ns, duration_ns), clusters: clusters.count))
    }
    self.events = events
  }

  /// Readings come evenly, and now and then in bursts.
  private static func readingTimes(_ entropy: SeededEntropy, count: Int, duration_ns: Int64) -> [Int64] {
    var times: [Int64] = []
    while times.count < count {
      let at_ns = entropy.within(0...duration_ns)
      let burst = entropy.oneIn(10) ? 1 + entropy.below(40) : 1
      let spacing_ns = entropy.oneIn(2) ? 0 : entropy.within(1...20) * millisecond_ns
      for number in 0..<min(burst, count - times.count) { times.append(min(at_ns + Int64(number) * spacing_ns, duration_ns)) }
    }
    return times.sorted()
  }

  private static func configuration(_ entropy: SeededEntropy, isOrdered: Bool) -> String {
    let compression = ["off", "s2_auto", "s2_fast", "accept", "s2_best", "lz4"][entropy.below(6)]
    let isMetered = entropy.oneIn(3)
    let rateLimit = entropy.oneIn(4) ? "\n        rate_limit: \"16KB\"" : ""
    let interval = ["5s", "20s", "60s"][entropy.below(3)]
    return """
      server_name: gateway-0042
      host: "0.0.0.0"
      port: 4222
      jetstream { store_dir: "/data", domain: gw-0042, max_file: 64MB }
      streams: [ { name: TELEMETRY, subjects: ["sensors.>"], discard: new } ]
      uplink {
        compression: \(compression)
        metered: \(isMetered)\(rateLimit)
        probe_interval: "\(interval)"
        clusters: [
          { name: alpha, urls: ["nats://alpha:7422"] }
          { name: beta, urls: ["nats://beta:7422"] }
          { name: gamma, urls: ["nats://gamma:7422"] }
        ]
      }
      forward: [ { stream: TELEMETRY, filter: "sensors.>", to: "site.0042.sensors.>", ordered: \(isOrdered) } ]
      """
  }

  private static func event(_ entropy: SeededEntropy, at_ns: Int64, clusters: Int) -> Event {
    func lasts(_ range: ClosedRange<Int64>) -> Int64 { entropy.within(range) * millisecond_ns }
    let some = entropy.oneIn(3) ? [entropy.below(clusters)] : Array(0..<clusters)
    // An agent may be down for longer than its own streams remember message ids.
    let down = entropy.oneIn(4) ? lasts(125_000...250_000) : lasts(10...20_000)
    switch entropy.below(20) {
    case 0, 1: return Event(at_ns: at_ns, duration_ns: lasts(50...20_000), misfortune: .partition(some, reset: entropy.oneIn(2)))
    // Longer than the hub remembers message ids.
    case 2, 3: return Event(at_ns: at_ns, duration_ns: lasts(125_000...260_000), misfortune: .partition(some, reset: entropy.oneIn(2)))
    case 4, 5: return Event(at_ns: at_ns, duration_ns: down, misfortune: .kill)
    case 6, 7: return Event(at_ns: at_ns, duration_ns: down, misfortune: .powerCut)
    case 8: return Event(at_ns: at_ns, duration_ns: 0, misfortune: .restart)
    case 9, 10: return Event(at_ns: at_ns, duration_ns: lasts(100...150_000), misfortune: .hubOutage(some))
    case 11: return Event(at_ns: at_ns, duration_ns: entropy.oneIn(2) ? lasts(20...1_000) : lasts(20...20_000), misfortune: .noLeader)
    case 12: return Event(at_ns: at_ns, duration_ns: lasts(20...10_000), misfortune: .refusal)
    case 13: return Event(at_ns: at_ns, duration_ns: lasts(1_000...90_000), misfortune: .noNames)
    case 14:
      return entropy.oneIn(2)
        ? Event(
          at_ns: at_ns, duration_ns: lasts(5_000...60_000),
          misfortune: .narrow(entropy.below(clusters), bytesPerSecond: 500 + entropy.below(8_000)))
        : Event(
          at_ns: at_ns, duration_ns: lasts(30_000...200_000),
          misfortune: .slow(entropy.below(clusters), latency_ns: entropy.within(100...600) * millisecond_ns))
    case 15: return Event(at_ns: at_ns, duration_ns: lasts(50...15_000), misfortune: .devicePartition(entropy.below(3)))
    case 16:
      let jump_ns = entropy.within(1...200_000) * second_ns
      return Event(at_ns: at_ns, duration_ns: lasts(1_000...100_000), misfortune: .clockJump(entropy.oneIn(2) ? jump_ns : -jump_ns))
    case 17: return Event(at_ns: at_ns, duration_ns: 0, misfortune: .diskError(write: entropy.oneIn(2), 1 + entropy.below(3)))
    case 18: return Event(at_ns: at_ns, duration_ns: lasts(100...60_000), misfortune: .diskFull(entropy.below(100_000)))
    default: return Event(at_ns: at_ns, duration_ns: lasts(1_000...60_000), misfortune: .rudeHub(some))
    }
  }

  /// Whether the hub's stream must have each subject's readings in order.
  var promisesOrder: Bool {
    // A full disk refuses single readings, and the device does not wait between those of one subject.
    if events.contains(where: { if case .diskFull = $0.misfortune { true } else { false } }) { return false }
    return isOrdered
      || !events.contains {
        switch $0.misfortune {
        case .noLeader, .refusal, .rudeHub: true
        default: false
        }
      }
  }

  /// Whether the disk can be such that an agent rightly refuses to start on it.
  var mayFailToStart: Bool {
    events.contains {
      switch $0.misfortune {
      case .diskError, .diskFull: true
      default: false
      }
    }
  }

  // MARK: Running it

  func schedule(in world: World) {
    let simulation = world.simulation
    scheduleReadings(in: world)
    for event in events {
      simulation.at(event.at_ns) { [unowned world] in self.begin(event, world) }
      simulation.at(min(event.at_ns + event.duration_ns, duration_ns)) { [unowned world] in self.end(event, world) }
    }
    for number in 0..<neighbours {
      simulation.at(entropy.within(0...duration_ns)) { [unowned world] in
        _ = world.backbone.stream.publish(
          "site.0041.sensors.1.value", headers: [], payload: [UInt8]("neighbour \(number)".utf8), now_ns: simulation.now_ns)
      }
    }
  }

  private func scheduleReadings(in world: World) {
    for at_ns in readingTimes {
      let subject = entropy.below(subjectCount)
      world.simulation.at(at_ns) { [unowned world] in
        world.publish(subject: subject, entropy: self.entropy)
      }
    }
  }

  private func begin(_ event: Event, _ world: World) {
    let simulation = world.simulation
    simulation.note("misfortune: \(event.misfortune) for \(event.duration_ns / millisecond_ns) ms")
    switch event.misfortune {
    case .partition(let clusters, _):
      for cluster in clusters {
        partitions[cluster] += 1
        if partitions[cluster] == 1 { simulation.partition(world.gateway, world.backbone.servers[cluster].machine) }
      }
    case .kill: world.killAgent()
    case .powerCut: world.cutPower()
    case .restart: world.restartAgent()
    case .hubOutage(let clusters):
      for cluster in clusters {
        outages[cluster] += 1
        world.backbone.servers[cluster].kill()
      }
    case .noLeader: world.backbone.isLeaderless = true
    case .refusal: world.backbone.stream.refusal = "maximum bytes exceeded"
    case .noNames: world.gateway.canResolve = false
    case .narrow(let cluster, let bytesPerSecond): change(cluster, world) { $0.bandwidth = bytesPerSecond }
    case .slow(let cluster, let latency_ns): change(cluster, world) { $0.latency_ns = latency_ns }
    case .devicePartition(let device): simulation.partition(world.gateway, world.devices[device % deviceCount].machine)
    case .clockJump(let jump_ns): world.gateway.setWallClock(simulation.wallStart_ns + simulation.now_ns + jump_ns)
    case .diskError(let write, let number):
      var faults = DiskFaults()
      if write { faults.failingWrites = [number] } else { faults.failingSyncs = [number] }
      faults.failedSyncEvicts = number == 2
      world.gateway.disk.faults = faults
    case .diskFull(let bytes): world.gateway.disk.capacity = world.gateway.disk.usedBytes + bytes
    case .rudeHub(let clusters): for cluster in clusters { world.backbone.servers[cluster].isRude = true }
    }
  }

  private func change(_ cluster: Int, _ world: World, _ body: (inout SimulatedLink) -> Void) {
    let machine = world.backbone.servers[cluster].machine
    var link = clusters[cluster].link
    body(&link)
    world.simulation.setLink(world.gateway, machine, link)
  }

  private func end(_ event: Event, _ world: World) {
    let simulation = world.simulation
    switch event.misfortune {
    case .partition(let clusters, let reset):
      for cluster in clusters {
        partitions[cluster] -= 1
        if partitions[cluster] == 0 { simulation.heal(world.gateway, world.backbone.servers[cluster].machine, reset: reset) }
      }
    case .kill, .powerCut: world.startAgent()
    case .restart: break
    case .hubOutage(let clusters):
      for cluster in clusters {
        outages[cluster] -= 1
        if outages[cluster] == 0 { world.backbone.servers[cluster].start() }
      }
    case .noLeader: world.backbone.isLeaderless = false
    case .refusal: world.backbone.stream.refusal = nil
    case .noNames: world.gateway.canResolve = true
    case .narrow(let cluster, _), .slow(let cluster, _): change(cluster, world) { _ in }
    case .devicePartition(let device): simulation.heal(world.gateway, world.devices[device % deviceCount].machine)
    case .clockJump: world.gateway.synchroniseWallClock()
    case .diskError: break
    case .diskFull: world.gateway.disk.capacity = Int.max
    case .rudeHub(let clusters): for cluster in clusters { world.backbone.servers[cluster].isRude = false }
    }
  }

  /// Everything works again.
  func heal(_ world: World) {
    world.gateway.disk.faults = DiskFaults()
    world.startAgent()
  }
}
