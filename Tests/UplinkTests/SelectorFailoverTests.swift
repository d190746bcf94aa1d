// What happens when a link is lost, and how the agent returns.
import Bytes
import Testing

@testable import Uplink

@Suite("Selector: failover and failback")
struct SelectorFailoverTests {
  @Test("a lost link is replaced at once by the next in rank")
  func failoverRank() {
    let world = World([threeHubs[2], threeHubs[0], threeHubs[1]])
    world.start()
    world.run(20 * minute_ms)
    #expect(world.linkIndex == 1)
    world.cut(1)
    world.run(300)
    #expect(world.linkIndex == 2)
    #expect(
      world.selector.text(world.selector.lastChange.reason) == "failover: link to c1 lost (closed by the server); next in rank c2 40.0 ms")
    world.cut(2)
    world.run(800)
    #expect(world.linkIndex == 0)
  }

  @Test("a cluster with several servers is tried again first when one closes")
  func severalServers() {
    let world = World(threeHubs, threeHubs.indices.map { ClusterDescription(name: ByteString("c\($0)"), urlCount: 2) })
    world.start()
    world.run(20 * minute_ms)
    world.breakLink(.closed)
    world.run(300)
    #expect(world.linkIndex == 0 && world.history.count == 2)
    #expect(world.selector.switches == 0)
  }

  @Test("a dial that fails goes to the next without a wait")
  func nextAtOnce() {
    let world = World(threeHubs)
    world.start()
    world.run(20 * minute_ms)
    world.hubs[1].up = false
    world.cut(0)
    world.run(1_000)
    #expect(world.linkIndex == 2)
  }

  @Test("a lost link whose server is back at once is found again within a second")
  func restart() {
    let world = World([World.Hub(rtt_us: 10_000), World.Hub(rtt_us: 40_000, up: false)])
    world.start()
    world.run(20 * minute_ms)
    world.breakLink(.closed)
    world.run(1_000)
    #expect(world.linkIndex == 0)
  }

  @Test("the nearest is returned to when it has been back for three rounds and the dwell is over")
  func failback() {
    let world = World(threeHubs)
    world.start()
    world.run(60 * minute_ms)
    world.cut(0)
    world.run(minute_ms)
    #expect(world.linkIndex == 1)
    world.run(2 * minute_ms)
    world.mend(0)
    world.run(minute_ms)
    #expect(world.linkIndex == 1)
    world.run(10 * minute_ms)
    #expect(world.linkIndex == 0 && world.history.count == 3)
  }

  @Test("a nearest that comes and goes is not returned to before it stays")
  func comesAndGoes() {
    let world = World(threeHubs)
    world.start()
    world.run(60 * minute_ms)
    world.cut(0)
    world.run(10 * minute_ms)
    for _ in 0..<20 {
      world.mend(0)
      world.run(90_000)
      world.cut(0)
      world.run(90_000)
    }
    #expect(world.history.count == 2)
  }

  @Test("a hub that accepts links and drops them does not make the agent dial in a circle")
  func acceptsAndDrops() {
    let world = World(threeHubs)
    world.start()
    for _ in 0..<600 {
      world.run(100)
      world.breakLink(.closed)
    }
    // A minute of this: every wait is a second at least after all three have been tried.
    #expect(world.history.count < 80)
  }

  @Test("a hub that rejects the link is passed over, though it answers probes")
  func rejects() {
    let world = World(threeHubs)
    world.hubs[0].rejects = .authorization
    world.start()
    world.run(2_000)
    #expect(world.linkIndex == 1)
  }

  @Test("the network is back: no wait is left out of pity")
  func networkChanged() {
    let world = World(threeHubs) { $0.reconnect_base_ms = 20_000 }
    for index in 0..<3 { world.cut(index) }
    world.start()
    world.run(minute_ms)
    for index in 0..<3 { world.mend(index) }
    while world.selector.stateName != "offline" { world.run(100) }
    world.perform(world.selector.networkChanged(now_ms: world.now_ms))
    world.run(1_000)
    #expect(world.linkIndex == 0)
  }

  @Test("a lame duck is left before it closes, within the spread")
  func lameDuck() {
    let world = World(threeHubs)
    world.start()
    world.run(20 * minute_ms)
    world.perform(world.selector.lameDuck(ClusterID(0), now_ms: world.now_ms))
    world.run(10_500)
    #expect(world.linkIndex == 1)
    #expect(world.history.count == 2)
  }

  @Test("the old link may break while the new one is dialled")
  func breaksWhileMoving() {
    let world = World(threeHubs)
    world.start()
    world.run(20 * minute_ms)
    world.perform(world.selector.lameDuck(ClusterID(0), now_ms: world.now_ms))
    while world.dialling == nil { world.run(1) }
    world.breakLink(.closed)
    #expect(world.selector.stateName == "connecting")
    world.run(1_000)
    #expect(world.linkIndex == 1)
  }

  @Test("the waits of an outage are spread over a fleet, and its return too")
  func herd() {
    var reconnects: [Int64] = []
    var failbacks: [Int64] = []
    for device in 0..<100 {
      let world = World(threeHubs, identity: UInt64(device), seed: UInt64(device)) { $0.failback_spread_ms = 600_000 }
      world.start()
      world.run(60 * minute_ms)
      for index in 0..<3 { world.cut(index) }
      world.run(5 * minute_ms)
      world.mend(1)
      let back = world.now_ms
      world.run(2 * minute_ms)
      reconnects.append((world.history.last?.at_ms ?? 0) - back)
      world.mend(0)
      let whole = world.now_ms
      world.run(30 * minute_ms)
      #expect(world.linkIndex == 0)
      failbacks.append((world.history.last?.at_ms ?? 0) - whole)
    }
    func peak(_ times: [Int64], window_ms: Int64) -> Int {
      times.map { first in times.filter { $0 >= first && $0 < first + window_ms }.count }.max() ?? 0
    }
    #expect(reconnects.allSatisfy { $0 > 0 && $0 <= 31_000 })
    #expect(peak(reconnects, window_ms: 1_000) < 20)
    #expect(peak(failbacks, window_ms: 10_000) < 20)
  }

  @Test("the demo's course: all cut, the second comes back, the nearest follows, and is moved to within 15 s", arguments: 1...20)
  func demo(seed: Int) {
    let world = World(threeHubs, identity: UInt64(seed), seed: UInt64(seed)) {
      demoNumbers(&$0)
      $0.failback_spread_ms = 1_000
    }
    world.start()
    world.run(1_000)
    #expect(world.linkIndex == 0)
    world.run(15_000)
    for index in 0..<3 { world.cut(index) }
    world.run(20_000)
    #expect(world.linkIndex == nil)
    world.mend(1)
    world.run(4_000)
    #expect(world.linkIndex == 1)
    world.run(4_000)
    world.mend(0)
    let back = world.now_ms
    while world.linkIndex != 0, world.now_ms - back < 30_000 { world.run(100) }
    #expect(world.now_ms - back <= 10_000)
    world.mend(2)
    world.run(60_000)
    #expect(world.linkIndex == 0)
  }
}
