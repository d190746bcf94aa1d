// Which cluster is chosen: first start, nearness, tiers, weights, pins.
import Bytes
import Testing

@testable import Uplink

@Suite("Selector: first choice")
struct SelectorFirstChoiceTests {
  @Test("the first link is to the nearest, wherever it stands in the configuration", arguments: [0, 1, 2])
  func nearestFirst(shift: Int) {
    var hubs = threeHubs
    hubs = Array(hubs[shift...] + hubs[..<shift])
    let world = World(hubs)
    world.start()
    world.run(1_000)
    #expect(world.linkIndex == (3 - shift) % 3)
    #expect(world.history.count == 1)
    let nearest = ClusterID((3 - shift) % 3)
    #expect(world.selector.lastChange.reason == .nearest(nearest, rtt_us: 10_000, answers: 3))
    #expect(world.selector.text(world.selector.lastChange.reason) == "nearest of 3 answers: c\(nearest.index) 10.0 ms")
  }

  @Test("a cluster that says nothing delays the first link by the grace only")
  func silentAtStart() {
    var hubs = threeHubs
    hubs[0].up = false
    hubs[0].silent = true
    let world = World(hubs)
    world.start()
    world.run(1_000)
    #expect(world.linkIndex == 1)
  }

  @Test("a nearer cluster whose first probes were lost is moved to after five minutes, without the whole dwell")
  func correction() {
    var hubs = threeHubs
    hubs[0].losesRounds = 1
    let world = World(hubs)
    world.start()
    world.run(4 * minute_ms)
    #expect(world.linkIndex == 1)
    world.run(2 * minute_ms)
    #expect(world.linkIndex == 0)
    #expect(world.history.count == 2)
  }

  @Test("nobody there: no link is dialled, and the wait is drawn anew each time")
  func nobody() {
    var hubs = threeHubs
    for index in hubs.indices { hubs[index].up = false }
    let world = World(hubs)
    world.start()
    world.run(minute_ms)
    #expect(world.linkIndex == nil && world.history.isEmpty)
    #expect(world.selector.stateName == "offline" || world.selector.stateName == "hunting")
    world.mend(2)
    world.run(35_000)
    #expect(world.linkIndex == 2)
  }

  @Test("an only cluster is dialled without probes")
  func onlyOne() {
    let world = World([World.Hub(rtt_us: 30_000)])
    world.start()
    world.run(60 * minute_ms)
    #expect(world.linkIndex == 0)
    #expect(world.probes == 0)
    world.cut(0)
    world.run(10 * minute_ms)
    world.mend(0)
    world.run(31_000)
    #expect(world.linkIndex == 0)
  }

  @Test("a server that sends no INFO before TLS is dialled when nobody else answers")
  func tlsFirst() {
    let world = World(threeHubs)
    var linked = false
    let selectorActions = world.selector.start(now_ms: world.now_ms)
    for action in selectorActions {
      guard case .probe(let cluster, _, let round, _) = action else { continue }
      let failure: ProbeFailure = cluster.index == 1 ? .noInfo : .refused
      for next in world.selector.probeFinished(cluster, round: round, result: .failed(failure), now_ms: world.now_ms + 5) {
        if case .connect(let cluster, _) = next {
          linked = true
          #expect(cluster.index == 1)
        }
      }
    }
    #expect(linked)
  }
}

@Suite("Selector: tiers, weights, pins")
struct SelectorPreferenceTests {
  func clusters(_ adjust: (inout [ClusterDescription]) -> Void) -> [ClusterDescription] {
    var list = threeHubs.indices.map { ClusterDescription(name: ByteString("c\($0)")) }
    adjust(&list)
    return list
  }

  @Test("a better tier outranks any distance")
  func tier() {
    let world = World(
      threeHubs,
      clusters {
        $0[0].tier = 1
        $0[1].tier = 1
      })
    world.start()
    world.run(120 * minute_ms)
    #expect(world.linkIndex == 2 && world.history.count == 1)
  }

  @Test("a worse tier serves while the better is away, and the better is returned to")
  func tierFailback() {
    let world = World(
      threeHubs,
      clusters {
        $0[0].tier = 1
        $0[1].tier = 1
      })
    world.start()
    world.run(20 * minute_ms)
    world.cut(2)
    world.run(1_000)
    #expect(world.linkIndex == 0)
    world.run(10 * minute_ms)
    world.mend(2)
    world.run(15 * minute_ms)
    #expect(world.linkIndex == 2)
    #expect(world.selector.lastChange.reason == .betterTier(from: ClusterID(0), to: ClusterID(2)))
  }

  @Test("a weight makes a cluster look farther")
  func weight() {
    let world = World(threeHubs, clusters { $0[0].weight = 5 })
    world.start()
    world.run(60 * minute_ms)
    #expect(world.linkIndex == 1 && world.history.count == 1)
  }

  @Test("a pinned cluster is used whenever it answers")
  func pin() {
    let world = World(threeHubs, clusters { $0[2].pinned = true })
    world.start()
    world.run(20 * minute_ms)
    #expect(world.linkIndex == 2)
    world.cut(2)
    world.run(1_000)
    #expect(world.linkIndex == 0)
    world.run(20 * minute_ms)
    world.mend(2)
    world.run(15 * minute_ms)
    #expect(world.linkIndex == 2)
    #expect(world.selector.lastChange.reason == .pinned(from: ClusterID(0), to: ClusterID(2)))
  }

  @Test("equally near clusters are shared by a fleet, and a device keeps its own")
  func band() {
    var used: [Int: Int] = [:]
    for device in 0..<200 {
      let hubs = [World.Hub(rtt_us: 20_000), World.Hub(rtt_us: 22_000), World.Hub(rtt_us: 24_000), World.Hub(rtt_us: 60_000)]
      let chosen = [1, 2].map { seed in
        let world = World(hubs, identity: UInt64(device), seed: UInt64(seed)) { $0.band_us = 5_000 }
        world.start()
        world.run(2_000)
        return world.linkIndex ?? -1
      }
      #expect(chosen[0] == chosen[1])
      used[chosen[0], default: 0] += 1
    }
    for near in 0..<3 { #expect(used[near, default: 0] > 40) }
    #expect(used[3] == nil)
  }
}
