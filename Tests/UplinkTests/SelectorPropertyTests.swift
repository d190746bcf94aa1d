// Random worlds: whatever happens in whatever order, the selector keeps its invariants. World checks after every event that there is
// never a second link or dial and that the selector knows which link is up; a broken precondition would end the test run.
import Bytes
import Testing

@testable import Uplink

@Suite("Selector: random worlds")
struct SelectorPropertyTests {
  private func describe(_ world: World) -> String {
    "\(world.selector.stateName), link \(world.linkIndex ?? -1), \(world.sentence)"
  }

  @Test("ends linked to a reachable cluster, with a bounded number of moves", arguments: 1...150)
  func random(seed: Int) {
    var dice = Jitter(seed: UInt64(seed) &* 7919)
    let count = Int(dice.between(1, 9))
    let hubs = (0..<count).map { _ in World.Hub(rtt_us: dice.between(1_000, 300_000), noise_us: dice.between(0, 60_000)) }
    let clusters = (0..<count).map { index in
      ClusterDescription(
        name: ByteString("c\(index)"), urlCount: Int(dice.between(1, 3)), tier: Int(dice.between(0, 2)),
        weight: Double(dice.between(50, 200)) / 100, pinned: dice.between(0, 19) == 0)
    }
    let fast = dice.between(0, 1) == 0
    let metered = dice.between(0, 2) == 0
    let budget: Int64? = dice.between(0, 4) == 0 ? dice.between(0, 100_000) : nil
    let world = World(hubs, clusters, identity: dice.next(), seed: dice.next()) {
      if metered { $0 = .onMeteredUplink }
      if fast { demoNumbers(&$0) }
      $0.probe_budget_bytes = budget
    }
    world.start()

    let step_ms: Int64 = fast ? 2_000 : 60_000
    for _ in 0..<300 {
      let index = Int(dice.between(0, Int64(count - 1)))
      switch dice.between(0, 15) {
      case 0, 1: world.cut(index, silent: dice.between(0, 1) == 0)
      case 2, 3, 4: world.mend(index)
      case 5: world.breakLink([.closed, .silent, .protocolError, .closedHere][Int(dice.between(0, 3))])
      case 6: world.hubs[index].losesRounds = Int(dice.between(1, 4))
      case 7: world.hubs[index].rtt_us = dice.between(1_000, 300_000)
      case 8: world.bloat_us = dice.between(0, 1) * dice.between(0, 900_000)
      case 9: world.hubs[index].rejects = dice.between(0, 1) == 0 ? nil : .authorization
      case 10: world.perform(world.selector.networkChanged(now_ms: world.now_ms))
      case 11: world.perform(world.selector.lameDuck(ClusterID(index), now_ms: world.now_ms))
      case 12: world.perform(world.selector.timer(now_ms: world.now_ms))
      default: world.liveRTT(dice.between(-5, 1_000_000))
      }
      world.run(dice.between(0, step_ms))
      _ = world.selector.ranked(now_ms: world.now_ms)
      _ = world.sentence
    }

    // Quiet: one cluster at least is there. The uplink must find it, and then rest.
    world.bloat_us = 0
    for index in 0..<count {
      world.hubs[index].rejects = nil
      world.hubs[index].losesRounds = 0
      world.hubs[index].noise_us = 0
    }
    world.mend(Int(dice.between(0, Int64(count - 1))))
    world.run(200_000)
    #expect(world.linkIndex.map { world.hubs[$0].up } == true, "\(describe(world))")
    for index in 0..<count { world.mend(index) }
    world.run(fast ? 1_800_000 : 24 * 3_600_000)
    #expect(world.linkIndex != nil, "\(describe(world))")
    let settled = world.history.count
    world.run(fast ? 1_800_000 : 24 * 3_600_000)
    #expect(world.history.count - settled <= 1, "\(describe(world))")

    // And it rests in the right place: nobody is better by more than the margin, unless it could not afford to look.
    guard budget == nil, let link = world.linkIndex else { return }
    func grade(_ index: Int) -> Int { clusters[index].pinned ? Int.min : clusters[index].tier }
    let ours = Double(world.hubs[link].rtt_us) * clusters[link].weight
    for index in 0..<count {
      #expect(grade(index) >= grade(link), "\(describe(world))")
      if grade(index) == grade(link) {
        let theirs = Double(world.hubs[index].rtt_us) * clusters[index].weight
        #expect(theirs + max(10_000, ours * 0.15) + 2 >= ours, "\(describe(world))")
      }
    }
  }

  @Test("results that come late, or for a round before the last, change nothing")
  func lateResults() {
    let world = World(threeHubs)
    var rounds: [UInt32] = []
    for action in world.selector.start(now_ms: 0) {
      if case .probe(_, _, let round, _) = action { rounds.append(round) }
    }
    _ = world.selector.timer(now_ms: 6_000)
    let actions = world.selector.probeFinished(
      ClusterID(0), round: rounds[0], result: .answered(rtt_us_min: 1, connect_us: 1), now_ms: 6_001)
    #expect(!actions.contains { if case .connect = $0 { true } else { false } })
    #expect(world.selector.shown(ClusterID(0), now_ms: 6_001).rtt_us == nil)
  }
}
