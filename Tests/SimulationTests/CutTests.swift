// The link between an edge and a hub, broken at any byte, through seeds (CutWorld). Each seed is 3 to 24 breaks:
//
//   PETIOLE_SEED=1234 swift test --filter CutTests     only this seed, with the tail of its trace when it fails
//   PETIOLE_SEEDS=1000 swift test --filter CutTests    so many seeds, and how many breaks that were
import Platform
import SeedRuns
import Synchronization
import Testing

@Suite struct CutTests {
  private static let seedCount = 12
  private struct Total {
    var seeds = 0
    var cuts = 0
    var slowest_ns: Int64 = 0
  }
  private static let total = Mutex(Total())

  @Test(
    "a link that is cut at any byte is back in time, with all interest, and has lost, doubled and kept nothing",
    arguments: SeedRuns.seeds(seedCount))
  func cuts(seeds: [UInt64]) {
    SeedRuns.run(
      "cut links", seeds, of: Self.seedCount,
      { seed in
        let world = CutWorld(seed: seed)
        defer { Self.count(world) }
        return world.run()
      }
    ) { Issue.record("\($0)") }
  }

  /// Says how many breaks there were, when many were asked for.
  private static func count(_ world: CutWorld) {
    let total = total.withLock { total in
      total.seeds += 1
      total.cuts += world.cutCount
      total.slowest_ns = max(total.slowest_ns, world.slowest_ns)
      return total
    }
    guard total.seeds == SeedRuns.count(seedCount), total.seeds != seedCount else { return }
    print(
      "cut links: \(total.cuts) breaks in \(total.seeds) worlds; back at the latest \(total.slowest_ns / millisecond_ns) ms after a break could be known"
    )
  }

  @Test("a seed replays exactly")
  func replay() {
    func hash() -> UInt64 {
      let world = CutWorld(seed: 5)
      _ = world.run()
      return world.simulation.traceHash
    }
    #expect(hash() == hash())
  }
}
