// Power cuts, kills and failing disks under a JetStream that does everything it can do: see docs/simulation.md.
//
//   PETIOLE_SEED=17 swift test --filter JetStreamCrashTests     only this seed
import Bytes
import LogStore
import Platform
import SeedRuns
import Testing

@testable import JetStream

@Suite("Power cuts under JetStream") struct JetStreamCrashTests {
  // MARK: Every place

  /// What a power cut after `moment` operations leaves is started, compared, and compared again when it has come to rest.
  private static func check(_ workload: CrashWorkload, _ moment: Int, _ loss: PowerLoss) -> String? {
    check(workload, workload.machine.disk.image(afterOperations: moment, loss: loss), moment, "\(loss)", flips: 0)
  }

  private static func check(_ workload: CrashWorkload, _ image: SimulatedDisk, _ moment: Int, _ what: String, flips: Int) -> String? {
    let simulation = Simulation(seed: workload.simulation.seed)
    let machine = simulation.machine("gateway", disk: image)
    machine.logLevel = .warning
    defer { machine.kill() }
    func failed(_ problems: [String]) -> String {
      "seed \(workload.simulation.seed), power cut after \(moment) operations, \(what):\n"
        + problems.prefix(10).joined(separator: "\n") + "\n" + workload.report(before: moment) + "\n" + simulation.report()
    }
    let agent: SimulatedJetStream
    do throws(StoreError) { agent = try SimulatedJetStream(machine.host, workload.options) } catch {
      return failed(["does not start: \(error)"])
    }
    defer { agent.end() }
    var first = CrashCheck(workload.model, agent, at: moment, flips: flips)
    var problems = first.run()
    if problems.isEmpty {
      simulation.run(for: 20 * millisecond_ns)
      var second = CrashCheck(workload.model, agent, at: moment, flips: flips)
      problems = second.run() + (flips == 0 ? CrashCheck.unneeded(agent) : [])
    }
    return problems.isEmpty ? nil : failed(problems)
  }

  @Test("wherever the power fails, nothing acknowledged is lost and nothing removed comes back", arguments: [UInt64(1), 2, 3, 4])
  func everyCut(seed: UInt64) throws {
    let workload = try CrashWorkload(seed: seed)
    for _ in 0..<100 { workload.act() }
    workload.pass(2 * second_ns)
    #expect(workload.problems.isEmpty)
    for moment in 0...workload.moment {
      for loss in [PowerLoss.everything, .nothing, .seeded(UInt64(moment))] {
        if let failure = Self.check(workload, moment, loss) {
          Issue.record("\(failure)")
          return
        }
      }
    }
    workload.end(nil)
  }

  @Test("a flipped bit costs at most the message that it hits", arguments: [UInt64(11), 12])
  func flippedBits(seed: UInt64) throws {
    let workload = try CrashWorkload(seed: seed)
    for _ in 0..<90 { workload.act() }
    workload.pass(2 * second_ns)
    let entropy = SeededEntropy(seed: seed)
    for round in 0..<150 {
      let image = workload.machine.disk.image(afterOperations: workload.moment, loss: .nothing)
      let files = image.paths.filter { (image.content($0)?.count ?? 0) > 0 }
      let path = files[entropy.below(files.count)]
      let offset = entropy.below(image.content(path)!.count)
      image.flipBit(path, offset: offset, bit: entropy.below(8))
      if let failure = Self.check(workload, image, workload.moment, "bit flipped in \(path) at \(offset), round \(round)", flips: 1) {
        Issue.record("\(failure)")
        break
      }
    }
    workload.end(nil)
  }

  // MARK: Many lives

  /// Several lives of one agent, each ended by a kill or a power cut, with whatever goes wrong on a disk.
  private static func lives(seed: UInt64) -> String? {
    let workload: CrashWorkload
    do { workload = try CrashWorkload(seed: seed) } catch { return "does not start: \(error)" }
    defer { if workload.machine.isRunning { workload.end(nil) } }
    let entropy = workload.entropy
    func failed(_ life: Int, _ problems: [String]) -> String {
      "seed \(seed), life \(life):\n" + problems.prefix(10).joined(separator: "\n") + "\n" + workload.report() + "\n"
        + workload.simulation.report()
    }
    for life in 1...5 {
      for _ in 0..<(5 + entropy.below(60)) {
        workload.misfortune()
        workload.act()
      }
      if entropy.oneIn(2) { workload.pass(entropy.within(0...3) * second_ns) }
      guard workload.problems.isEmpty else { return failed(life, workload.problems) }
      workload.end(entropy.oneIn(4) ? nil : .seeded(entropy.next()))
      if entropy.oneIn(2) { workload.heal() }
      do throws(StoreError) { try workload.start() } catch { return failed(life, ["does not start: \(error)"]) }
      var first = CrashCheck(workload.model, workload.agent, at: .max)
      let problems = first.run()
      guard problems.isEmpty else { return failed(life, problems) }
      if !workload.agent.isSure {
        // What a killed process left is not on the medium yet: what was found is no promise before it is.
        workload.heal()
        workload.pass(40 * second_ns)
      }
      workload.model.settle(on: workload.agent)
    }
    // At last everything works, and everything is acknowledged.
    workload.heal()
    workload.pass(40 * second_ns)
    workload.drain()
    workload.pass(3 * second_ns)
    guard workload.problems.isEmpty else { return failed(0, workload.problems) }
    workload.end(.everything)
    let flips = entropy.oneIn(3) ? 1 : 0
    if flips > 0 { workload.flipBit() }
    do throws(StoreError) { try workload.start() } catch { return failed(0, ["does not start: \(error)"]) }
    workload.pass(100 * millisecond_ns)
    var last = CrashCheck(workload.model, workload.agent, at: .max, flips: flips)
    let problems = last.run() + (flips == 0 ? CrashCheck.unneeded(workload.agent) : []) + workload.problems
    return problems.isEmpty ? nil : failed(0, problems)
  }

  @Test("an agent that is killed, loses power and has a failing disk keeps its word in every life", arguments: SeedRuns.seeds(100))
  func manyLives(seeds: [UInt64]) {
    SeedRuns.run("lives of JetStream", seeds, of: 48, Self.lives) { Issue.record("\($0)") }
  }
}
