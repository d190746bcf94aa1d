// Work that takes many turns of the loop, and a crash in between: it is finished after the start.
import Bytes
import JSON
import LogStore
import Platform
import Testing

@testable import JetStream

@Suite("Work that a crash interrupts") struct InterruptedWorkTests {
  private func machine() -> (Simulation, SimulatedMachine) {
    let simulation = Simulation(seed: 1)
    let machine = simulation.machine("gateway")
    machine.logLevel = .warning
    machine.disk.startRecording()
    return (simulation, machine)
  }

  /// Starts what a power cut after `moment` operations left, and lets it come to rest.
  private func restarted(
    _ machine: SimulatedMachine, _ moment: Int, _ loss: PowerLoss, _ body: (SimulatedJetStream) -> Void
  ) throws {
    let simulation = Simulation(seed: 2)
    let other = simulation.machine("gateway", disk: machine.disk.image(afterOperations: moment, loss: loss))
    let agent = try SimulatedJetStream(other.host, LogStore.Options())
    simulation.run(for: 10 * second_ns)
    body(agent)
    agent.end()
    other.kill()
  }

  @Test("a roll-up of many messages that was acknowledged is completed after a crash", arguments: ["all", "sub"])
  func rollUp(kind: String) throws {
    let (simulation, machine) = machine()
    let agent = try SimulatedJetStream(machine.host, LogStore.Options())
    agent.request("$JS.API.STREAM.CREATE.S", #"{"name":"S","subjects":["s.*"],"allow_rollup_hdrs":true}"#) { _ in }
    simulation.run(for: second_ns)
    let count = 1200
    for number in 1...count { agent.send("s.\(number % 2)", "\(number)") }
    simulation.run(for: second_ns)
    #expect(agent.stream("S")?.count == count)
    // Everything takes long now, so work is cut into as many turns as it can be.
    machine.clockReading_ns = 3 * millisecond_ns
    let begin = machine.disk.operationCount
    var acked: Int?
    agent.request("s.0", "rolled up", headers: [("Nats-Rollup", kind)]) { _ in acked = machine.disk.operationCount }
    // It takes several turns, and the answer does not wait for the last.
    #expect((agent.stream("S")?.count ?? 0) > (kind == "all" ? 1 : count / 2 + 1))
    simulation.run(for: 10 * second_ns)
    let left = kind == "all" ? 1 : count / 2 + 1
    #expect(agent.stream("S")?.count == left)
    let acknowledged = try #require(acked)
    #expect(agent.store.metadata.keys.filter { $0.string.hasPrefix("rollup/") }.isEmpty)
    for moment in begin...machine.disk.operationCount {
      for loss in [PowerLoss.everything, .nothing, .seeded(UInt64(moment))] {
        try restarted(machine, moment, loss) { agent in
          let found = agent.stream("S")?.count ?? 0
          #expect(found == left || (moment < acknowledged && found == count), "after \(moment) operations, \(loss): \(found)")
          #expect(agent.store.metadata.keys.filter { $0.string.hasPrefix("rollup/") }.isEmpty)
        }
      }
    }
    agent.end()
    machine.kill()
  }

  @Test(
    "what every consumer has acknowledged goes after a crash, also when the stream had not come to it",
    arguments: ["workqueue", "interest"])
  func releases(retention: String) throws {
    let (simulation, machine) = machine()
    let agent = try SimulatedJetStream(machine.host, LogStore.Options())
    agent.request("$JS.API.STREAM.CREATE.S", #"{"name":"S","subjects":["s"],"retention":"\#(retention)"}"#) { _ in }
    let config = #"{"durable_name":"C","ack_policy":"explicit","max_ack_pending":10000}"#
    agent.request("$JS.API.CONSUMER.CREATE.S.C", #"{"stream_name":"S","config":\#(config)}"#) { _ in }
    let count = 1500
    for number in 1...count { agent.send("s", "\(number)") }
    simulation.run(for: second_ns)
    var acks: [String] = []
    let inbox = agent.inbox { message in if message.reply.hasPrefix("$JS.ACK") { acks.append(message.reply) } }
    agent.send("$JS.API.CONSUMER.MSG.NEXT.S.C", #"{"batch":\#(count)}"#, reply: inbox)
    simulation.run(for: second_ns)
    #expect(acks.count == count)
    // All but the last; the stream has not looked at them when the consumer's state is written down.
    machine.clockReading_ns = 3 * millisecond_ns
    for ack in acks.dropLast() { agent.send(ack, "") }
    agent.consumer("S", "C")?.writeState()
    #expect(agent.stream("S")?.count == count)
    let wanted = agent.store.appendedPosition
    while agent.store.durablePosition < wanted { simulation.step() }
    let moment = machine.disk.operationCount
    #expect(agent.store.durablePosition < agent.store.appendedPosition, "the test is to find work undone")
    try restarted(machine, moment, .everything) { agent in
      #expect(agent.stream("S")?.sequences == [UInt64(count)])
      #expect(CrashCheck.unneeded(agent).isEmpty)
    }
    agent.end()
    machine.kill()
  }
}
