// Device, agent and a backbone of hubs, end to end, through seeds of misfortune. One seed is one world (World, Scenario):
//
//   PETIOLE_SEED=1234 swift test --filter SimulationTests    only this seed, with the tail of its trace when it fails
//   PETIOLE_SEEDS=5000 swift test --filter SimulationTests   so many seeds instead of 200
import CLinux
import Platform
import Testing

@Suite struct SimulationTests {
  static let seedCount = 200
  static let parts = 8

  private static func environment(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

  /// The seeds of each part.
  static let seeds: [[UInt64]] = {
    if let seed = environment("PETIOLE_SEED") { return [[seed]] }
    let count = Int(environment("PETIOLE_SEEDS") ?? UInt64(seedCount))
    return (0..<parts).map { part in (0..<count).filter { $0 % parts == part }.map { UInt64($0 + 1) } }
  }()

  @Test("no acknowledged reading is lost, doubled or out of order in the hub's stream, whatever happens on the way", arguments: seeds)
  func exactlyOnceInOrder(seeds: [UInt64]) {
    for seed in seeds {
      if let failure = World(seed: seed).run() { Issue.record("\(failure)\nrun it again with PETIOLE_SEED=\(seed)") }
    }
  }

  @Test("a seed replays exactly", arguments: [UInt64(3), 17])
  func replay(seed: UInt64) {
    func hash() -> UInt64 {
      let world = World(seed: seed)
      _ = world.run()
      return world.simulation.traceHash
    }
    #expect(hash() == hash())
  }
}
