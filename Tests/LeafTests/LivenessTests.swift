// Whether a link is alive: the decisions, without a link.
import Platform
import Testing

@testable import Leaf

private let second = second_ns

@Suite struct LivenessTests {
  private func way(rtt_ms: Int = 50, since_ms: Int, isWaiting: Bool, acknowledged: Int64 = 0) -> WayState {
    WayState(rtt_us: rtt_ms * 1000, rttVariance_us: rtt_ms * 100, sinceSign_ms: since_ms, isWaiting: isWaiting, acknowledged: acknowledged)
  }

  @Test("a peer that is heard is asked only for the round trip, a silent one after the idle time")
  func asks() {
    var liveness = LeafLiveness(.usual, rtt_ns: 0, now_ns: 0)
    for time in 1...39 {
      liveness.heard(now_ns: Int64(time) * second)
      guard case .wait = liveness.check(nil, now_ns: Int64(time) * second) else {
        Issue.record("asked at \(time) s")
        return
      }
    }
    liveness.heard(now_ns: 40 * second)
    #expect(liveness.check(nil, now_ns: 40 * second) == .ping(until_ns: 50 * second))
    #expect(liveness.answered(now_ns: 40 * second + 7) == 7)
    #expect(liveness.answered(now_ns: 41 * second) == nil)
    liveness.heard(now_ns: 41 * second)
    #expect(liveness.check(nil, now_ns: 41 * second) == .wait(until_ns: 51 * second))
    #expect(liveness.check(nil, now_ns: 51 * second) == .ping(until_ns: 61 * second))
    #expect(liveness.pings == 2 && liveness.pongs == 1)
  }

  @Test("acknowledgements of what is sent are signs enough on a link that carries something, so that metered ones cost nothing")
  func acknowledgements() {
    var liveness = LeafLiveness(.metered, rtt_ns: 0, now_ns: 0)
    for time in stride(from: Int64(10), to: 240, by: 10) {
      guard case .wait = liveness.check(way(since_ms: 2000, isWaiting: false), now_ns: time * second) else {
        Issue.record("asked at \(time) s")
        return
      }
    }
    guard case .ping = liveness.check(way(since_ms: 2000, isWaiting: false), now_ns: 240 * second) else {
      Issue.record("not asked for four idle times")
      return
    }
  }

  @Test("what nobody acknowledges ends a link in ten seconds, twenty where it is metered")
  func deadWay() {
    for (parameters, seconds) in [(LeafLiveness.Parameters.usual, Int64(10)), (.metered, 20)] {
      var liveness = LeafLiveness(parameters, rtt_ns: 50 * millisecond_ns, now_ns: 0)
      guard case .ping(let until_ns) = liveness.suspect(way(since_ms: 100, isWaiting: false), now_ns: second) else {
        Issue.record("not asked")
        return
      }
      #expect(until_ns == (1 + seconds) * second)
      let last = (seconds + 1) * second - millisecond_ns
      #expect(
        liveness.check(way(since_ms: Int(seconds * 1000 - 1 + 100), isWaiting: true), now_ns: last)
          == .wait(until_ns: (1 + seconds) * second))
      #expect(
        liveness.check(way(since_ms: Int(seconds * 1000 + 100), isWaiting: true), now_ns: (1 + seconds) * second) == .dead(.pingsUnanswered)
      )
    }
  }

  @Test("on a long way, or one behind a queue, more patience is needed")
  func longWay() {
    let satellite = LeafLiveness(.usual, rtt_ns: 2 * second, now_ns: 0)
    #expect(satellite.patience_ns(nil) == 12 * second)
    // The kernel sees the queue grow before a PING does.
    #expect(satellite.patience_ns(way(rtt_ms: 5000, since_ms: 0, isWaiting: true)) == 42 * second)
    #expect(satellite.patience_ns(way(rtt_ms: 50_000, since_ms: 0, isWaiting: true)) == 60 * second)
    #expect(LeafLiveness(.usual, rtt_ns: 20 * millisecond_ns, now_ns: 0).patience_ns(way(since_ms: 0, isWaiting: true)) == 10 * second)
  }

  @Test("as long as acknowledgements come, an answer behind a long queue is waited for")
  func bloated() {
    var liveness = LeafLiveness(.usual, rtt_ns: 50 * millisecond_ns, now_ns: 0)
    _ = liveness.suspect(way(since_ms: 0, isWaiting: true), now_ns: 0)
    for time in Int64(1)...90 {
      guard case .wait = liveness.check(way(rtt_ms: 900, since_ms: 800, isWaiting: true), now_ns: time * second) else {
        Issue.record("given up at \(time) s")
        return
      }
    }
    #expect(liveness.answered(now_ns: 91 * second) == 91 * second)
  }

  @Test("a peer whose kernel alone lives is given up: when all is acknowledged after three times the patience, in the end whatever is")
  func hungPeer() {
    var idle = LeafLiveness(.usual, rtt_ns: 50 * millisecond_ns, now_ns: 0)
    _ = idle.suspect(way(since_ms: 0, isWaiting: false), now_ns: 0)
    #expect(idle.check(way(since_ms: 29_950, isWaiting: false), now_ns: 30 * second) == .wait(until_ns: 30 * second + 50 * millisecond_ns))
    #expect(idle.check(way(since_ms: 30_000, isWaiting: false), now_ns: 30 * second + 50 * millisecond_ns) == .dead(.pingsUnanswered))

    var busy = LeafLiveness(.usual, rtt_ns: 50 * millisecond_ns, now_ns: 0)
    _ = busy.suspect(way(since_ms: 0, isWaiting: true), now_ns: 0)
    #expect(busy.check(way(since_ms: 10, isWaiting: true), now_ns: 179 * second) == .wait(until_ns: 180 * second))
    #expect(busy.check(way(since_ms: 10, isWaiting: true), now_ns: 180 * second) == .dead(.pingsUnanswered))
  }

  @Test("once a PING is acknowledged its answer is due, however much else is acknowledged behind it")
  func dumbPeer() {
    var liveness = LeafLiveness(.usual, rtt_ns: 50 * millisecond_ns, now_ns: 0)
    _ = liveness.suspect(way(since_ms: 0, isWaiting: true), now_ns: 0)
    liveness.askedEnd = 1000
    // It waits behind a queue for forty seconds.
    for time in Int64(1)...40 {
      guard case .wait = liveness.check(way(since_ms: 10, isWaiting: true, acknowledged: 25 * time - 1), now_ns: time * second) else {
        Issue.record("given up at \(time) s")
        return
      }
    }
    for time in Int64(41)..<70 {
      guard case .wait = liveness.check(way(since_ms: 10, isWaiting: true, acknowledged: 25 * time), now_ns: time * second) else {
        Issue.record("given up at \(time) s")
        return
      }
    }
    #expect(liveness.check(way(since_ms: 10, isWaiting: true, acknowledged: 2000), now_ns: 70 * second) == .dead(.pingsUnanswered))
  }

  @Test("a peer that talks and never answers is given up in the end: what is sent to it may get lost")
  func deafPeer() {
    var liveness = LeafLiveness(.usual, rtt_ns: 50 * millisecond_ns, now_ns: 0)
    _ = liveness.suspect(way(since_ms: 0, isWaiting: true), now_ns: 0)
    liveness.askedEnd = 1000
    for time in Int64(1)..<360 {
      liveness.heard(now_ns: time * second)
      guard case .wait(let until_ns) = liveness.check(way(since_ms: 10, isWaiting: false, acknowledged: 2000), now_ns: time * second) else {
        Issue.record("given up at \(time) s")
        return
      }
      #expect(until_ns <= 360 * second)
    }
    liveness.heard(now_ns: 360 * second)
    #expect(liveness.check(way(since_ms: 10, isWaiting: false, acknowledged: 2000), now_ns: 360 * second) == .dead(.pingsUnanswered))
  }

  @Test("where no kernel tells, an unanswered PING is enough, after three times the patience")
  func noKernel() {
    var liveness = LeafLiveness(.usual, rtt_ns: 0, now_ns: 0)
    _ = liveness.suspect(nil, now_ns: 0)
    #expect(liveness.suspect(nil, now_ns: second) == .wait(until_ns: 30 * second))
    #expect(liveness.check(nil, now_ns: 30 * second) == .dead(.pingsUnanswered))
  }
}
