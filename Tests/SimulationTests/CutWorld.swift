// The world of one seed in which nothing fails but the link: an edge and a hub, both the real agent, and between them a carrier that breaks
// every connection again and again, at any byte (FaultyCarrier, CutScenario). After each break, in the documented time: the link is back,
// interest is known on both sides, the hub's stream has every reading once and in the order of the edge's, and nothing has grown.
import Agent
import Broker
import Bytes
import Configuration
import Interest
import LogStore
import Wire

@testable import JetStream
@testable import Leaf
@testable import Platform

final class CutWorld {
  /// A backlog of some hundred readings that wait for each other goes within this.
  private static let delivery_ns = 180 * second_ns
  /// All that was cut off has ended by then: handshakes, batches, what a forward asked.
  private static let quiet_ns = 45 * second_ns
  /// Plans wait for bytes; after so long without a break that was planned it comes without.
  private static let plan_ns = 20 * second_ns
  private static let told_ns = 5 * second_ns
  private static let port: UInt16 = 4222

  let simulation: Simulation
  let scenario: CutScenario
  private let entropy: SeededEntropy
  private let edgeMachine: SimulatedMachine
  private let hubMachine: SimulatedMachine
  private let carrier: FaultyCarrier
  private let edge: Agent
  private let hub: Agent
  private let device: SimulatedDevice
  private let readings: Readings
  private var known: [[UInt8]: Int] = [:]
  private let atEdge: CoreClient
  private let atHub: CoreClient
  /// What the device's neighbours listen to at the edge, and what others do at the hub.
  private let toEdge: InterestAcross
  private let toHub: InterestAcross
  private(set) var failure: String?
  /// Messages of the hub's stream that were looked at.
  private var checked: UInt64 = 0
  private var isDelivered: [Bool] = []
  /// Whether the link is being broken, or is not back.
  private var isBroken = false
  private var seen: [WeakLink] = []
  private var baseline: [Size] = []
  /// The longest that it took from when a break was known to a link that works.
  private(set) var slowest_ns: Int64 = 0

  private struct WeakLink {
    weak var link: LeafLink?
  }

  private struct Size: Equatable {
    let what: String
    let count: Int
  }

  init(seed: UInt64) {
    let simulation = Simulation(seed: seed)
    self.simulation = simulation
    let scenario = CutScenario(entropy: simulation.entropy.fork())
    self.scenario = scenario
    entropy = simulation.entropy.fork()
    edgeMachine = simulation.machine("edge")
    hubMachine = simulation.machine("hub")
    let middle = simulation.machine("carrier")
    simulation.setLink(edgeMachine, middle, scenario.edgeLink)
    simulation.setLink(middle, hubMachine, scenario.hubLink)
    for machine in [edgeMachine, hubMachine] { machine.disk.commitLatency_ns = scenario.commitLatency_ns }
    carrier = FaultyCarrier(simulation: simulation, machine: middle, edge: edgeMachine, hub: hubMachine)
    hub = Agent(host: hubMachine.host, options: World.options(scenario.hubConfiguration))
    edge = Agent(host: edgeMachine.host, options: World.options(scenario.edgeConfiguration))
    for agent in [hub, edge] {
      do throws(AgentError) { try agent.start() } catch { preconditionFailure("an agent does not start: \(error.text)") }
    }
    readings = Readings(subjectCount: scenario.subjectCount)
    let edgeAddress = SocketAddress(address: edgeMachine.address, port: Self.port)
    device = SimulatedDevice(
      simulation: simulation, machine: simulation.machine("device"), agent: edgeAddress, readings: readings, window: scenario.deviceWindow)
    atEdge = CoreClient(machine: simulation.machine("neighbour"), server: edgeAddress)
    atHub = CoreClient(
      machine: simulation.machine("desk"), server: SocketAddress(address: hubMachine.address, port: Self.port))
    toEdge = InterestAcross(prefix: "to.edge", subscriber: atEdge, publisher: atHub)
    toHub = InterestAcross(prefix: "to.hub", subscriber: atHub, publisher: atEdge)
    carrier.patience_ns = { [unowned self] directions, held_ns in
      scenario.deadConnection_ns(isHeard: directions.count == 1, roundTrip_ns: (edge.links.first?.rtt_ns ?? 0) + held_ns)
    }
  }

  var cutCount: Int { carrier.cutCount }

  private func fail(_ text: String) {
    guard failure == nil else { return }
    failure = text
    simulation.note("failure: \(text)")
  }

  // MARK: The run

  /// Runs everything and returns what went wrong, with the trace, or nil.
  func run() -> String? {
    restored(by: 30 * second_ns)
    settle()
    baseline = sizes()
    for episode in scenario.episodes where failure == nil {
      breakLink(episode)
      restored(by: max(carrier.isKnown_ns, simulation.now_ns + Self.told_ns) + scenario.reconnect_ns)
    }
    settle()
    checkSizes()
    for violation in device.violations + atEdge.violations + atHub.violations { fail(violation) }
    defer { simulation.end() }
    return failure.map { "\($0)\n\(simulation.report())seed \(simulation.seed): \($0)" }
  }

  private func settle() {
    guard failure == nil else { return }
    _ = simulation.run(timeout_ns: Self.quiet_ns) { failure != nil }
  }

  private func breakLink(_ episode: CutScenario.Episode) {
    for _ in 0..<episode.readings { later(episode) { $0.publish() } }
    for _ in 0..<episode.changes {
      later(episode) { world in (world.entropy.oneIn(2) ? world.toEdge : world.toHub).change(world.entropy) }
      later(episode) { world in (world.entropy.oneIn(2) ? world.toEdge : world.toHub).chatter(world.entropy) }
    }
    isBroken = true
    chatter()
    carrier.begin(episode.cuts)
    let end_ns = simulation.now_ns + episode.duration_ns
    _ = simulation.run(timeout_ns: episode.duration_ns) { failure != nil }
    while failure == nil, !carrier.isDone || simulation.now_ns < end_ns {
      let before = carrier.cutCount
      let moved = simulation.run(timeout_ns: Self.plan_ns) { failure != nil || carrier.isDone || carrier.cutCount > before }
      if !moved { carrier.breakNow() }
    }
  }

  /// Goes on until the link is back.
  private func chatter() {
    guard let interval_ns = scenario.chatter_ns, isBroken else { return }
    for interest in [toEdge, toHub] { interest.chatter(entropy) }
    simulation.after(interval_ns) { [unowned self] in chatter() }
  }

  private func later(_ episode: CutScenario.Episode, _ body: @escaping (CutWorld) -> Void) {
    simulation.after(entropy.within(0...episode.duration_ns)) { [unowned self] in body(self) }
  }

  private func publish() {
    let index = readings.make(subject: entropy.below(scenario.subjectCount), entropy: entropy)
    known[readings.all[index].payload] = index
    isDelivered.append(false)
    device.publish(index)
  }

  // MARK: What has to hold after a break

  private var isLinked: Bool {
    !carrier.isDeaf && edge.links.count == 1 && hub.links.count == 1 && edge.links[0].isEstablished
  }

  /// Whether everything was acknowledged at the edge, and the hub has it, and the edge knows.
  private var isUpToDate: Bool {
    checkHubStream()
    guard device.isDone, let mine = stream(edge, "TELEMETRY"), let there = stream(hub, "SITES") else { return false }
    return there.lastSequence == mine.lastSequence && edge.forwarders.allSatisfy { $0.state == .upToDate && $0.inFlight == 0 }
  }

  private func restored(by due_ns: Int64) {
    guard failure == nil else { return }
    // Who was told of a break has heard of it by then: before that the link only seems to be there.
    _ = simulation.run(timeout_ns: Self.told_ns) { failure != nil }
    let began_ns = carrier.isKnown_ns
    let isBack = simulation.run(timeout_ns: max(due_ns - simulation.now_ns, 0)) { failure != nil || isLinked }
    guard isBack else {
      return fail("no link at \(due_ns / millisecond_ns) ms, \(edge.links.count) at the edge, \(hub.links.count) at the hub")
    }
    slowest_ns = max(slowest_ns, simulation.now_ns - began_ns)
    isBroken = false
    restoredInterest()
    let isThere = simulation.run(timeout_ns: Self.delivery_ns) { failure != nil || isUpToDate }
    if !isThere { fail("not up to date \(Self.delivery_ns / second_ns) s after the link was back: \(state)") }
    for reading in 0..<isDelivered.count where readings.all[reading].isAcknowledged && !isDelivered[reading] {
      fail("reading \(reading) was acknowledged but is not in the hub's stream")
    }
    checkTables()
  }

  /// What is published on either side reaches the other again, each subscription once.
  private func restoredInterest() {
    let roundTrip_ns = 2 * (scenario.edgeLink.latency_ns + scenario.hubLink.latency_ns)
    for _ in 0..<8 where failure == nil {
      for interest in [toEdge, toHub] { interest.probe() }
      let came = simulation.run(timeout_ns: 3 * roundTrip_ns + second_ns) { toEdge.isComplete && toHub.isComplete }
      // A copy too many would come right behind.
      _ = simulation.run(timeout_ns: roundTrip_ns) { failure != nil }
      for interest in [toEdge, toHub] { if let excess = interest.excess { fail(excess) } }
      if came { return }
    }
    fail("interest is lost: \(toEdge.missing) \(toHub.missing)")
  }

  /// Each end of the link knows what the other's clients subscribe to, and nothing that they did once.
  private func checkTables() {
    guard failure == nil else { return }
    guard isLinked else { return fail("the link is gone again without a break") }
    seen = seen.filter { $0.link != nil }
    for (link, wanted, prefix) in [(edge.links[0], toHub.keys, "to.hub."), (hub.links[0], toEdge.keys, "to.edge.")] {
      var told: Set<String> = []
      link.remoteInterest.forEach { key, _ in if key.string.hasPrefix(prefix) { told.insert(key.string) } }
      if told != wanted { fail("known of the other side: \(told.sorted()), but it is \(wanted.sorted())") }
      if !seen.contains(where: { $0.link === link }) { seen.append(WeakLink(link: link)) }
    }
  }

  /// Looks at what has come into the hub's stream: the edge's messages, each once, in their order, byte for byte.
  private func checkHubStream() {
    guard let there = stream(hub, "SITES") else { return fail("the hub has no stream") }
    while checked < there.lastSequence, failure == nil {
      checked += 1
      let outcome = there.log.read(checked) { message in check(message) }
      if outcome != .found { fail("the hub's message \(checked) cannot be read") }
    }
  }

  private func check(_ message: LogMessage) {
    guard let index = known[message.payload.bytes] else {
      return fail("the hub's message \(checked) is no reading: \(message.payload.string)")
    }
    if isDelivered[index] { fail("reading \(index) is twice in the hub's stream, the second time as \(checked)") }
    isDelivered[index] = true
    if message.subject.string != "site.0042.sensors.\(readings.all[index].subject).value" {
      fail("reading \(index) is on \(message.subject.string)")
    }
    // "<server> <stream> <sequence> <time>": the edge's stream has nothing but readings, so that its sequences are the hub's.
    let origin = Headers(message.headers).value("Petiole-Origin")?.string.split(separator: " ") ?? []
    if origin.count != 4 || UInt64(origin[2]) != checked { fail("the hub's message \(checked) is from \(origin)") }
  }

  private func stream(_ agent: Agent, _ name: ByteString) -> Stream? { agent.jetStreams.first?.stream(name) }

  private var state: String {
    let forward = edge.forwarders[0]
    return "\(readings.all.count) readings, \(readings.acknowledgedCount) acknowledged, \(checked) at the hub, "
      + "forward \(forward.state), in flight \(forward.inFlight), backlog \(forward.backlog)"
  }

  // MARK: Nothing grows

  /// What there is of everything that comes and goes with links, without what clients asked for.
  private func sizes() -> [Size] {
    var sizes = [
      Size(what: "connections", count: simulation.streams.count), Size(what: "links that were", count: seen.count { $0.link != nil }),
      Size(what: "links at the edge", count: edge.links.count), Size(what: "links at the hub", count: hub.links.count),
    ]
    for (name, agent, own, others) in [("edge", edge, toEdge, toHub), ("hub", hub, toHub, toEdge)] {
      let account = agent.broker.globalAccount
      sizes += [
        Size(what: "clients at the \(name)", count: agent.broker.connectionCount),
        Size(what: "subscriptions at the \(name)", count: agent.broker.subscriptionCount - own.count),
        Size(what: "interest at the \(name)", count: account.interest.count - own.count - others.keys.count),
        Size(what: "leafs of the \(name)'s account", count: account.leafnodeCount),
      ]
    }
    if let stream = stream(hub, "SITES") {
      sizes.append(Size(what: "batches at the hub", count: stream.extras.fastBatches.count))
      var consumers = 0
      stream.consumers.forEach { _, _ in consumers += 1 }
      sizes.append(Size(what: "consumers at the hub", count: consumers))
    }
    return sizes
  }

  private func checkSizes() {
    guard failure == nil else { return }
    seen = seen.filter { $0.link != nil }
    for (now, before) in zip(sizes(), baseline) where now != before { fail("\(now.what): \(before.count) before, \(now.count) now") }
    // A timer more or less is one that is due now; one for each link that was would be many.
    for (name, machine) in [("edge", edgeMachine), ("hub", hubMachine)] {
      let count = machine.process?.timers.count ?? 0
      if count > Self.timersMax { fail("\(count) timers at the \(name)") }
    }
  }

  private static let timersMax = 40
}
