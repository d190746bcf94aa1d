// Device, agent and a backbone of hubs, end to end, through seeds of misfortune. One seed is one world (World, Scenario):
//
//   PETIOLE_SEED=1234 swift test --filter SimulationTests    only this seed, with the tail of its trace when it fails
//   PETIOLE_SEEDS=5000 swift test --filter SimulationTests   so many seeds instead of 200
import Platform
import SeedRuns
import Testing

@Suite struct SimulationTests {
  @Test(
    "no acknowledged reading is lost, doubled or out of order in the hub's stream, whatever happens on the way",
    arguments: SeedRuns.seeds(200))
  func exactlyOnceInOrder(seeds: [UInt64]) {
    SeedRuns.run("worlds", seeds, of: 200, { World(seed: $0).run() }) { Issue.record("\($0)") }
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
