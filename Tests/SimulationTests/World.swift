// The world of one seed: devices, a gateway that runs the real agent, and a backbone of three hub clusters, with what is checked all
// the time and at the end. What goes wrong in it and when is in Scenario.
import Agent
import Bytes
import Configuration
import Leaf
import Platform

final class World {
  static let clientPort: UInt16 = 4222
  static let siteSubjects = "site.0042.sensors.>"

  let simulation: Simulation
  let scenario: Scenario
  let gateway: SimulatedMachine
  let backbone: SimulatedBackbone
  let devices: [SimulatedDevice]
  let readings: Readings
  private(set) var agent: Agent?
  private let options: Options
  /// Why the run is a failure; the run stops at the first.
  private(set) var failure: String?
  /// The reading number that each subject's next message in the hub's stream must not be below.
  private var expected: [Int]
  /// Which readings the hub's stream has.
  private var delivered: [Bool] = []
  private(set) var deliveredCount = 0
  /// Times that the agent was started.
  private(set) var starts = 0

  init(seed: UInt64) {
    let simulation = Simulation(seed: seed)
    self.simulation = simulation
    let scenario = Scenario(entropy: simulation.entropy.fork())
    self.scenario = scenario
    gateway = simulation.machine("gateway")
    let stream = SimulatedHubStream(name: "SITES", subjects: ["site.>"], domain: scenario.setup.domain)
    backbone = SimulatedBackbone(simulation: simulation, setup: scenario.setup, stream: stream)
    for cluster in scenario.clusters {
      let machine = simulation.machine(cluster.name)
      simulation.setLink(gateway, machine, cluster.link)
      _ = SimulatedHubServer(backbone: backbone, machine: machine, clusterName: cluster.name, distance_ns: cluster.distance_ns)
    }
    readings = Readings(subjectCount: scenario.subjectCount)
    expected = Array(repeating: 0, count: scenario.subjectCount)
    options = Self.options(scenario.configuration)
    let address = SocketAddress(address: gateway.address, port: Self.clientPort)
    let readings = readings
    devices = (0..<scenario.deviceCount).map { number in
      SimulatedDevice(
        simulation: simulation, machine: simulation.machine("device\(number)"), agent: address, readings: readings,
        window: scenario.deviceWindow)
    }
    stream.stored = { [unowned self] in hubStored($0) }
    gateway.disk.commitLatency_ns = scenario.commitLatency_ns
    startAgent(on: gateway.host)
  }

  static func options(_ configuration: String) -> Options {
    do {
      let map = try ConfigurationParser.parse(bytes: [UInt8](configuration.utf8), file: "simulation.conf")
      let loaded = LoadedOptions.decode(map)
      precondition(loaded.isUsable, "the simulation's configuration: \(loaded.problems.map(\.message))")
      return loaded.options
    } catch {
      preconditionFailure("the simulation's configuration: \(error)")
    }
  }

  func fail(_ text: String) {
    guard failure == nil else { return }
    failure = text
    simulation.note("failure: \(text)")
  }

  /// A device has a new reading.
  func publish(subject: Int, entropy: SeededEntropy) {
    devices[subject % devices.count].publish(readings.make(subject: subject, entropy: entropy))
  }

  // MARK: The agent's life

  private func startAgent(on host: Host) {
    starts += 1
    let agent = Agent(host: host, options: options)
    self.agent = agent
    do throws(AgentError) {
      try agent.start()
    } catch {
      guard scenario.mayFailToStart else { return fail("the agent does not start: \(error.text)") }
      // As whoever supervises it does.
      simulation.note("the agent does not start: \(error.text)")
      simulation.after(0) { [self] in
        killAgent()
        simulation.after(second_ns) { [self] in startAgent() }
      }
    }
  }

  func startAgent() {
    guard !gateway.isRunning else { return }
    startAgent(on: gateway.start())
  }

  func killAgent() {
    guard gateway.isRunning else { return }
    gateway.kill()
    agent = nil
  }

  func cutPower() {
    guard gateway.isRunning else { return }
    gateway.powerCut()
    agent = nil
  }

  /// An orderly stop, and a start when it is done.
  func restartAgent() {
    guard gateway.isRunning, let agent else { return }
    let current = starts
    agent.stop { [self] in
      // Not from within the agent's own call.
      simulation.after(0) { [self] in
        guard starts == current, gateway.isRunning else { return }
        gateway.kill()
        self.agent = nil
        simulation.after(100 * millisecond_ns) { [self] in startAgent() }
      }
    }
  }

  // MARK: What is checked

  /// A message of the hub's stream: published before, the first of its reading, and not behind a later one of its subject.
  private func hubStored(_ message: HubMessage) {
    guard let index = reading(of: message) else { return }
    let reading = readings.all[index]
    while delivered.count < readings.all.count { delivered.append(false) }
    if !reading.isPublished { fail("the hub's message \(message.sequence) was never published: \(message.payload.withView { $0.string })") }
    if delivered[index] { fail("reading \(index) (subject \(reading.subject), number \(reading.number)) is twice in the hub's stream") }
    delivered[index] = true
    deliveredCount += 1
    let wanted = expected[reading.subject]
    if reading.number < wanted, scenario.promisesOrder {
      fail("reading \(index) (subject \(reading.subject), number \(reading.number)) comes behind number \(wanted - 1)")
    }
    expected[reading.subject] = max(wanted, reading.number + 1)
  }

  private func reading(of message: HubMessage) -> Int? {
    guard message.subject.string.hasPrefix("site.0042.") else { return nil }  // another site's
    let parts = message.subject.string.split(separator: ".")
    guard parts.count == 5, parts[2] == "sensors", let subject = Int(parts[3]) else {
      fail("a message on \(message.subject.string)")
      return nil
    }
    guard let index = readings.all.firstIndex(where: { $0.subject == subject && $0.payload == message.payload }) else {
      fail("the hub's message \(message.sequence) is no reading: \(message.payload.withView { $0.string })")
      return nil
    }
    return index
  }

  /// Whether everything was acknowledged at the edge, everything is at the hub, and the agent knows it.
  var isUpToDate: Bool {
    guard let agent, gateway.isRunning, readings.all.count == scenario.readingCount, devices.allSatisfy(\.isDone) else { return false }
    return deliveredCount == readings.all.count && agent.forwarders.allSatisfy { $0.state == .upToDate } && agent.links.count == 1
  }

  /// Runs everything and returns what went wrong, with the trace, or nil.
  func run() -> String? {
    scenario.schedule(in: self)
    _ = simulation.run(timeout_ns: scenario.duration_ns) { failure != nil }
    scenario.heal(self)
    if failure == nil {
      let inTime = simulation.run(timeout_ns: Scenario.patience_ns) { failure != nil || isUpToDate }
      if !inTime { fail("not up to date \(Scenario.patience_ns / second_ns) s after everything was healed: \(state)") }
    }
    if failure == nil {
      _ = simulation.run(timeout_ns: 20 * second_ns) { failure != nil }
      checkEnd()
    }
    defer {
      simulation.end()
      agent = nil
    }
    return failure.map { "\($0)\n\(simulation.report())seed \(simulation.seed): \($0)" }
  }

  private func checkEnd() {
    for (index, reading) in readings.all.enumerated() where reading.isAcknowledged && !delivered[index] {
      fail("reading \(index) was acknowledged but is not in the hub's stream")
    }
    for violation in backbone.violations { fail(violation) }
    for device in devices { for violation in device.violations { fail(violation) } }
    guard let agent else { return fail("no agent runs") }
    if agent.links.count != 1 { fail("the agent has \(agent.links.count) links") }
    if backbone.establishedCount > 2 { fail("the hubs have \(backbone.establishedCount) links") }
    for forwarder in agent.forwarders {
      if forwarder.backlog != 0 { fail("a forward that is up to date has a backlog of \(forwarder.backlog)") }
      if forwarder.inFlight != 0 { fail("a forward that is up to date has \(forwarder.inFlight) in flight") }
    }
  }

  private var state: String {
    var text = "\(readings.all.count) readings, \(readings.acknowledgedCount) acknowledged, \(deliveredCount) at the hub"
    guard let agent else { return text + ", no agent" }
    text += ", \(agent.links.count) links"
    for forwarder in agent.forwarders {
      text += ", forward \(forwarder.state), in flight \(forwarder.inFlight), backlog \(forwarder.backlog)"
    }
    return text
  }
}
