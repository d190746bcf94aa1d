// When a link that is up is moved, and when it is not.
import Bytes
import Testing

@testable import Uplink

@Suite("Selector: hysteresis")
struct SelectorHysteresisTests {
  @Test("a path that becomes longer for good is left after three rounds and the dwell, once")
  func pathShift() {
    let world = World(threeHubs)
    world.start()
    world.run(30 * minute_ms)
    world.hubs[0].rtt_us = 200_000
    world.run(20 * minute_ms)
    #expect(world.linkIndex == 1)
    #expect(world.history.count == 2)
    #expect(world.selector.switches == 1)
    guard case .nearer(let from, let to, _, _, let rounds) = world.selector.lastChange.reason else {
      Issue.record("moved for another reason: \(world.selector.text(world.selector.lastChange.reason))")
      return
    }
    #expect(from.index == 0 && to.index == 1 && rounds >= 3)
  }

  @Test("no flapping between clusters whose distances overlap under jitter", arguments: 1...10)
  func noFlap(seed: Int) {
    let hubs = [World.Hub(rtt_us: 30_000, noise_us: 25_000), World.Hub(rtt_us: 33_000, noise_us: 25_000)]
    let world = World(hubs, seed: UInt64(seed))
    world.start()
    world.run(24 * 60 * minute_ms)
    #expect(world.selector.switches <= 3)
  }

  @Test("a gain below the margin is named and not taken")
  func belowMargin() {
    var hubs = [World.Hub(rtt_us: 40_000), World.Hub(rtt_us: 45_000)]
    let world = World(hubs)
    world.start()
    world.run(10 * minute_ms)
    hubs[1].rtt_us = 37_000
    world.hubs = hubs
    world.run(120 * minute_ms)
    #expect(world.linkIndex == 0 && world.history.count == 1)
    #expect(world.sentence == "kept: c1 is 3.0 ms nearer, below the margin of 10.0 ms")
  }

  @Test("one lost probe round of the current cluster moves nothing")
  func oneLostProbe() {
    let world = World(threeHubs)
    world.start()
    for _ in 0..<20 {
      world.run(7 * minute_ms)
      world.hubs[0].losesRounds = 1
    }
    #expect(world.history.count == 1)
  }

  @Test("a current cluster that loses all probes while its link lives is kept")
  func probesLostLinkUp() {
    let world = World(threeHubs)
    world.start()
    world.run(minute_ms)
    world.hubs[0].losesRounds = 10_000
    world.run(24 * 60 * minute_ms)
    #expect(world.history.count == 1)
  }

  @Test("one good round of a challenger moves nothing")
  func oneGoodRound() {
    let world = World(threeHubs)
    world.start()
    world.run(30 * minute_ms)
    for _ in 0..<10 {
      world.hubs[0].rtt_us = 200_000
      world.run(6 * minute_ms + 10_000)
      // Found, and refuted before the third round.
      world.hubs[0].rtt_us = 10_000
      if world.history.count > 1 { break }
      world.run(20 * minute_ms)
    }
    // A shift of six minutes may span three rounds a minute apart; what is left again must then come back.
    #expect(world.selector.switches <= 4)
    #expect(world.linkIndex == 0 || world.selector.switches % 2 == 1)
  }

  @Test("rounds compare only with their own samples: a slow hour for all is no reason to move")
  func sameRound() {
    let world = World(threeHubs) { $0.postponements_max = 0 }
    world.start()
    world.run(30 * minute_ms)
    for step in 0..<12 {
      world.bloat_us = step % 2 == 0 ? 400_000 : 0
      world.run(30 * minute_ms)
    }
    #expect(world.history.count == 1)
  }

  @Test("while the live link is bloated no round is sent, and afterwards they go on")
  func bufferbloat() {
    let world = World(threeHubs)
    world.start()
    world.run(2 * minute_ms)
    world.liveRTT(10_000)
    let before = world.probes
    world.bloat_us = 500_000
    for _ in 0..<9 {
      world.run(minute_ms)
      world.liveRTT(510_000)
    }
    #expect(world.probes == before)
    #expect(world.reason == .bloated(live_us: 510_000, floor_us: 10_000))
    world.bloat_us = 0
    world.liveRTT(10_000)
    world.run(30 * minute_ms)
    #expect(world.probes > before)
    #expect(world.history.count == 1)
  }

  @Test("a round in which everybody is far above the floor judges nobody; one in which only the current is, does")
  func commonBloat() {
    let world = World(threeHubs)
    world.start()
    world.run(20 * minute_ms)
    world.bloat_us = 500_000
    world.run(6 * minute_ms + 5_000)
    #expect(world.reason == .bloated(live_us: 510_000, floor_us: 10_000))
    world.bloat_us = 0
    world.run(30 * minute_ms)
    #expect(world.reason == .keptBest(ClusterID(0), rtt_us: 10_000))
    world.hubs[0].rtt_us = 510_000
    for _ in 0..<400 where world.reason == .keptBest(ClusterID(0), rtt_us: 10_000) { world.run(1_000) }
    guard case .confirming(let challenger, _, _) = world.reason else {
      Issue.record("\(world.sentence)")
      return
    }
    #expect(challenger.index == 1)
  }

  @Test("a live link that stays long is no queue: it is measured after two postponements")
  func longForGood() {
    let world = World(threeHubs)
    world.start()
    world.run(2 * minute_ms)
    world.liveRTT(10_000)
    world.hubs[0].rtt_us = 300_000
    for _ in 0..<90 {
      world.run(minute_ms)
      if let link = world.linkIndex { world.liveRTT(world.hubs[link].rtt_us) }
    }
    #expect(world.linkIndex == 1)
  }

  @Test("after a move the dwell passes before the next")
  func dwell() {
    let world = World(threeHubs)
    world.start()
    world.run(30 * minute_ms)
    world.hubs[0].rtt_us = 300_000
    world.run(10 * minute_ms)
    #expect(world.linkIndex == 1)
    let moved = world.history.last?.at_ms ?? 0
    world.hubs[0].rtt_us = 10_000
    world.run(60 * minute_ms)
    #expect(world.linkIndex == 0)
    #expect((world.history.last?.at_ms ?? 0) - moved >= 15 * minute_ms)
  }

  @Test("a cluster that is left again and again waits twice as long each time")
  func holdDown() {
    let world = World([World.Hub(rtt_us: 10_000), World.Hub(rtt_us: 60_000)]) { $0.hold_down_window_ms = 4 * 3_600_000 }
    world.start()
    world.run(30 * minute_ms)
    var absences: [Int64] = []
    for _ in 0..<5 {
      world.cut(0)
      world.run(minute_ms)
      #expect(world.linkIndex == 1)
      let left = world.now_ms
      world.mend(0)
      while world.linkIndex != 0, world.now_ms - left < 10 * 3_600_000 { world.run(minute_ms) }
      absences.append((world.now_ms - left) / minute_ms)
      world.run(2 * minute_ms)
    }
    // The dwell after a failover, then 15, 30, 60 and 120 minutes.
    #expect(absences[0] < 12)
    for (absence, hold) in zip(absences.dropFirst(), [15, 30, 60, 120] as [Int64]) {
      #expect(absence >= hold - 2 && absence <= hold + 8)
    }
  }

  @Test("a move whose dial fails keeps the old link and does not try again soon")
  func failedMove() {
    let world = World(threeHubs)
    world.hubs[0].rtt_us = 200_000
    world.start()
    world.run(2 * minute_ms)
    #expect(world.linkIndex == 1)
    world.hubs[0].rtt_us = 10_000
    world.hubs[0].rejects = .authorization
    world.run(24 * 60 * minute_ms)
    #expect(world.linkIndex == 1 && world.history.count == 1)
    let moves = world.actions.filter { if case .move = $0 { true } else { false } }.count
    #expect(moves >= 2 && moves <= 9)
  }

  @Test("a budget that is spent stops probes until the next day, and never links")
  func budget() {
    let world = World(threeHubs) { $0.probe_budget_bytes = 50_000 }
    world.start()
    world.run(12 * 60 * minute_ms)
    #expect(world.selector.spent_bytes >= 50_000 && world.selector.spent_bytes < 55_000)
    world.cut(0)
    world.run(minute_ms)
    #expect(world.linkIndex == 1)
    world.run(24 * 60 * minute_ms)
    #expect(world.selector.spent_bytes > 90_000 && world.selector.spent_bytes < 110_000)
  }

  @Test("a metered round asks the current cluster, the two best others and one more")
  func metered() {
    let world = World((0..<12).map { World.Hub(rtt_us: Int64($0 + 1) * 20_000) }) {
      $0 = .onMeteredUplink
      $0.failback_spread_ms = 0
    }
    world.start()
    world.run(2 * minute_ms)
    let before = world.probes
    world.run(80 * minute_ms)
    #expect(world.probes - before == 4)
  }

  @Test("thirty days of probes of five clusters cost less than 15 MB, and 3 MB on a metered uplink", arguments: [false, true])
  func cost(metered: Bool) {
    let world = World((0..<5).map { World.Hub(rtt_us: Int64($0 + 1) * 20_000, noise_us: 5_000) }) {
      $0 = metered ? .onMeteredUplink : .init()
    }
    world.start()
    world.run(30 * 24 * 60 * minute_ms)
    #expect(world.selector.spent_bytes < (metered ? 3_000_000 : 15_000_000))
    #expect(world.selector.spent_bytes > (metered ? 2_000_000 : 10_000_000))
    #expect(world.history.count == 1)
  }
}
