// An agent of a given configuration, and backbones of one server each with a stream of its own: for single cases of forwarding.
import Agent
import Broker
import Bytes
import Configuration
import JSON
import Leaf
import Platform

@testable import JetStream

final class ForwardRig {
  struct Hub {
    let stream: SimulatedHubStream
    let backbone: SimulatedBackbone
    let server: SimulatedHubServer
  }

  let simulation: Simulation
  let gateway: SimulatedMachine
  private(set) var hubs: [Hub] = []
  private let options: Options
  private(set) var agent: Agent!

  /// `hubs` are the names of the machines; the stream of each takes `subjects`.
  init(_ configuration: String, hubs names: [String], subjects: [ByteString] = ["site.>"]) {
    let simulation = Simulation(seed: 1)
    self.simulation = simulation
    gateway = simulation.machine("gateway")
    for name in names {
      let machine = simulation.machine(name)
      simulation.setLink(gateway, machine, SimulatedLink(latency_ns: 5 * millisecond_ns))
      let stream = SimulatedHubStream(name: "SITES", subjects: subjects, domain: nil)
      let backbone = SimulatedBackbone(simulation: simulation, setup: SimulatedBackbone.Setup(), stream: stream)
      let server = SimulatedHubServer(backbone: backbone, machine: machine, clusterName: name, distance_ns: millisecond_ns)
      hubs.append(Hub(stream: stream, backbone: backbone, server: server))
    }
    let text = "server_name: gw\nhost: \"0.0.0.0\"\nport: 4222\njetstream { store_dir: \"/data\", domain: gw }\n" + configuration
    do {
      let loaded = LoadedOptions.decode(try ConfigurationParser.parse(bytes: [UInt8](text.utf8), file: "rig.conf"))
      precondition(loaded.isUsable, "the rig's configuration: \(loaded.problems.map(\.message))")
      options = loaded.options
    } catch { preconditionFailure("the rig's configuration: \(error)") }
    start(gateway.host)
  }

  private func start(_ host: Host) {
    agent = Agent(host: host, options: options)
    do { try agent.start() } catch { preconditionFailure("the agent does not start: \(error.text)") }
  }

  /// Until it holds, or for a minute.
  func run(until holds: () -> Bool) -> Bool { simulation.run(timeout_ns: 60 * second_ns, until: holds) }
  func run(for_ms: Int64) { simulation.run(for: for_ms * millisecond_ns) }

  /// An orderly stop and a new start.
  func restart() {
    var isStopped = false
    agent.stop { isStopped = true }
    precondition(run { isStopped }, "the agent does not stop")
    gateway.kill()
    agent = nil
    start(gateway.start())
  }

  func end() {
    simulation.end()
    agent = nil
  }

  func publish(_ subject: ByteString, account: ByteString = "$G", _ payload: String = "1") {
    _ = agent.broker.account(account)!.publish(to: subject, [UInt8](payload.utf8))
  }

  func forward(_ index: Int) -> Forwarder { agent.forwarders[index] }

  func stream(_ name: ByteString, account: ByteString = "$G") -> Stream {
    agent.jetStreams.first { $0.account.name == account }!.stream(name)!
  }
}
