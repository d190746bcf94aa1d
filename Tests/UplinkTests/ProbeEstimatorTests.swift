// ProbeEstimator and ReconnectBackoff by themselves.
import Testing

@testable import Uplink

@Suite("Probe estimator")
struct ProbeEstimatorTests {
  @Test("no probe yet is infinity, not zero")
  func unknown() {
    let estimator = ProbeEstimator()
    #expect(estimator.value_us == nil)
    #expect(estimator.floor_us == nil)
  }

  @Test("the value is the least of the last three rounds")
  func minimumOfRounds() {
    var estimator = ProbeEstimator()
    for (round, rtt) in [20_000, 11_000, 30_000].enumerated() {
      estimator.answered(rtt_us: Int64(rtt), connect_us: 9_000, now_ms: Int64(round))
    }
    #expect(estimator.value_us == 11_000)
    estimator.answered(rtt_us: 25_000, connect_us: 9_000, now_ms: 3)
    estimator.answered(rtt_us: 26_000, connect_us: 9_000, now_ms: 4)
    #expect(estimator.value_us == 25_000)
    #expect(estimator.floor_us == 11_000)
  }

  @Test("one lost round changes nothing, three in a row make it infinite, an answer brings it back")
  func lostRounds() {
    var estimator = ProbeEstimator()
    estimator.answered(rtt_us: 10_000, connect_us: 0, now_ms: 0)
    estimator.lost(now_ms: 1)
    #expect(estimator.value_us == 10_000)
    estimator.lost(now_ms: 2)
    estimator.lost(now_ms: 3)
    #expect(estimator.value_us == nil)
    #expect(estimator.lostInRow == 3)
    estimator.answered(rtt_us: 12_000, connect_us: 0, now_ms: 4)
    #expect(estimator.value_us == 12_000)
    #expect(estimator.lostInRow == 0)
  }

  @Test("the floor follows a path that has become longer for good")
  func agingFloor() {
    var estimator = ProbeEstimator()
    estimator.answered(rtt_us: 10_000, connect_us: 0, now_ms: 0)
    for round in 1...(2 * ProbeEstimator.floorRounds) { estimator.answered(rtt_us: 80_000, connect_us: 0, now_ms: Int64(round)) }
    #expect(estimator.floor_us == 80_000)
  }

  @Test("absurd round trips are held to a minute and never below a microsecond")
  func absurd() {
    var estimator = ProbeEstimator()
    estimator.answered(rtt_us: Int64.max, connect_us: -5, now_ms: 0)
    #expect(estimator.value_us == ProbeEstimator.rtt_us_max)
    estimator.answered(rtt_us: -1, connect_us: Int64.max, now_ms: 1)
    #expect(estimator.value_us == 1)
  }
}

@Suite("Reconnect back-off")
struct ReconnectBackoffTests {
  @Test("waits stay between base and cap, grow, and are longer late in an outage")
  func limits() {
    var jitter = Jitter(seed: 7)
    var backoff = ReconnectBackoff(base_ms: 1_000, cap_ms: 30_000, patience_ms: 600_000, lateCap_ms: 120_000)
    var now: Int64 = 0
    var longest: Int64 = 0
    for _ in 0..<400 {
      let early = now < 600_000
      let wait = backoff.next(now_ms: now, jitter: &jitter)
      #expect(wait >= 1_000 && wait <= (early ? 30_000 : 120_000))
      longest = max(longest, wait)
      now += wait
    }
    #expect(longest > 60_000)
    backoff.reset()
    #expect(backoff.next(now_ms: now, jitter: &jitter) <= 3_000)
  }

  @Test("two devices that fail together do not wait together")
  func decorrelated() {
    var waits: Set<Int64> = []
    for device in 0..<50 {
      var jitter = Jitter(seed: UInt64(device))
      var backoff = ReconnectBackoff(base_ms: 1_000, cap_ms: 30_000, patience_ms: 600_000, lateCap_ms: 30_000)
      waits.insert(backoff.next(now_ms: 0, jitter: &jitter))
    }
    #expect(waits.count > 40)
  }
}
