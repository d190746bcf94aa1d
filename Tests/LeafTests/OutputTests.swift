// What leaves a link first, and how fast: token buckets, lanes, and what they make of a link's bytes.
import Broker
import Bytes
import Interest
import Platform
import Testing

@testable import Leaf

@Suite struct TokenBucketTests {
  @Test(
    "the rate holds over time, a quarter of a second may leave at once, and a debt is waited for",
    arguments: [256, 1000, 50_000, 3_000_000_000])
  func rate(_ rate: Int64) {
    var bucket = TokenBucket(rate: rate, now_ns: 0)
    var spent: Int64 = 0
    var now_ns: Int64 = 0
    var turns = 0
    while now_ns < 20 * second_ns {
      turns += 1
      while bucket.isOpen(now_ns: now_ns) {
        let size = max(rate / 16, 100)
        bucket.spend(Int(size))
        spent += size
      }
      let next = bucket.opens_ns
      #expect(next > now_ns)
      now_ns = next
    }
    let allowed = rate * (now_ns / 1000) / 1_000_000
    #expect(spent <= allowed + rate / 4 + max(rate / 16, 256) && spent >= allowed - max(rate / 8, 600), "\(spent) of \(allowed)")
    #expect(turns < 2000)
  }

  @Test("time that nobody used is not saved up, and a debt of minutes is paid in minutes")
  func extremes() {
    var bucket = TokenBucket(rate: 1000, now_ns: 0)
    func isOpen(at time_s: Int64) -> Bool { bucket.isOpen(now_ns: time_s * second_ns) }
    #expect(isOpen(at: 3600))
    bucket.spend(257)
    #expect(!isOpen(at: 3600))
    bucket.spend(200_000)
    #expect(!isOpen(at: 3790))
    #expect(isOpen(at: 3801))
  }
}

@Suite struct LaneTests {
  @Test("segments hold whole operations, and all of them in order")
  func segments() {
    var lane = LeafLane(segmentBytes: 100)
    var expected: [UInt8] = []
    for number in 0..<500 {
      let parts = [UInt8](repeating: UInt8(number % 251), count: number % 60 + 1)
      for index in 0..<2 {
        lane.buffer.append(parts)
        lane.added(parts.count, ends: index == 1)
      }
      expected += parts + parts
    }
    var taken: [UInt8] = []
    var last: UInt8?
    while !lane.isEmpty {
      var segment: [UInt8] = []
      let size = lane.nextSegmentBytes
      lane.takeSegment { segment.append($0) }
      #expect(segment.count == size && (size >= 100 || lane.isEmpty))
      // No operation goes on from the segment before.
      #expect(segment.first != last)
      last = segment.last
      taken += segment
    }
    #expect(taken == expected && lane.nextSegmentBytes == 0)
  }
}

@Suite struct LeafOutputTests {
  private static let text = String(repeating: "x", count: 1000)

  /// A hub behind a line of `bandwidth` bytes a second.
  private func rig(bandwidth: Int? = nil, latency_ms: Int64 = 10, _ change: (inout LeafOptions) -> Void = { _ in }) -> LeafRig {
    var hub = GoodHub(compression: "off")
    hub.burst = "LS+ >\r\n"
    let rig = LeafRig { hub.attach($0) }
    rig.simulation.setLink(
      rig.edge, rig.hubMachine, SimulatedLink(latency_ns: latency_ms * millisecond_ns, jitter_ns: 0, bandwidth: bandwidth))
    rig.dial {
      $0.compression = .off
      change(&$0)
    }
    rig.run(3 * second_ns)
    _ = rig.hub!.taken()
    return rig
  }

  private func stored(_ rig: LeafRig, _ subject: ByteString) -> Bool {
    subject.withView { subject in
      ByteString(Self.text).withView { rig.account.deliver(Message(subject: subject, payload: $0)) }
    }
  }

  private func subjects(_ rig: LeafRig) -> [String] {
    rig.hub!.taken().compactMap { $0.hasPrefix("LMSG ") ? String($0.split(separator: " ")[1]) : nil }
  }

  @Test(
    "live messages go ahead of backlog on a slow line, backlog does not stand still, and each kind keeps its order",
    arguments: [false, true])
  func priority(isLimited: Bool) {
    let rig = rig(bandwidth: isLimited ? nil : 50_000) { if isLimited { $0.rateLimit = 50_000 } }
    for number in 0..<600 { #expect(stored(rig, ByteString("back.\(number)"))) }
    rig.run(second_ns)
    // A second's worth has gone; what is said now waits for little of the rest.
    for number in 0..<20 { #expect(rig.publish(ByteString("live.\(number)"), "now")) }
    rig.run(1500 * millisecond_ns)
    let early = subjects(rig)
    #expect(early.filter { $0.hasPrefix("live.") } == (0..<20).map { "live.\($0)" })
    #expect(early.count < 350)
    rig.run(30 * second_ns)
    let back = (early + subjects(rig)).filter { $0.hasPrefix("back.") }
    #expect(back == (0..<600).map { "back.\($0)" })
    #expect(rig.failure == nil)
  }

  @Test("backlog gets its share of a line that live messages could fill")
  func share() {
    let rig = rig { $0.rateLimit = 100_000 }
    for number in 0..<200 { #expect(stored(rig, ByteString("back.\(number)"))) }
    for _ in 0..<100 {
      for _ in 0..<20 { _ = rig.publish("live", ByteString(Self.text)) }
      rig.run(100 * millisecond_ns)
    }
    let got = subjects(rig)
    let back = got.filter { $0.hasPrefix("back.") }.count
    #expect(back > 60 && back < 160, "\(back) of \(got.count)")
    #expect(got.count > 900 && got.count < 1050, "\(got.count)")
  }

  @Test("a limited link sends at its rate and drops live messages that would wait too long, and lives")
  func rateLimit() {
    let rig = rig { $0.rateLimit = 10_000 }
    let before = rig.link!.bytesWritten
    var taken = 0
    for _ in 0..<50 {
      for _ in 0..<20 where rig.publish("live", ByteString(Self.text)) { taken += 1 }
      rig.run(100 * millisecond_ns)
    }
    let written = rig.link!.bytesWritten - before
    #expect(written > 45_000 && written < 56_000, "\(written)")
    // Ten seconds' worth waits, no more.
    #expect(rig.link!.dropped == 1000 - taken && taken > 100 && taken < 170, "\(taken)")
    rig.run(15 * second_ns)
    #expect(subjects(rig).count == taken && rig.link!.pending == 0 && rig.failure == nil)
  }

  @Test("PING and PONG do not wait for a limited link's queue")
  func keepalivesFirst() {
    let rig = rig { $0.rateLimit = 5_000 }
    for number in 0..<60 { #expect(rig.publish(ByteString("live.\(number)"), ByteString(Self.text))) }
    rig.run(second_ns)
    rig.hub!.send("PING\r\n")
    rig.run(500 * millisecond_ns)
    let taken = rig.hub!.taken()
    #expect(taken.contains("PONG") && taken.count < 20)
  }

  @Test("interest stays in order with live messages")
  func interestInOrder() {
    let rig = rig { $0.rateLimit = 20_000 }
    for number in 0..<40 { #expect(rig.publish("live", ByteString("\(number)\(Self.text)"))) }
    rig.subscribe("inbox.1")
    #expect(rig.publish("request", "?", reply: "inbox.1"))
    rig.run(10 * second_ns)
    let taken = rig.hub!.taken().filter { !$0.contains("live") && $0 != "PING" }
    #expect(taken == ["LS+ inbox.1", "LMSG request (inbox.1) [] ?"])
  }

  @Test("on a metered link small messages of one round trip go together, the first at once")
  func coalescing() {
    let rig = rig(latency_ms: 60) { $0.isMetered = true }
    let segments = rig.link!.bytesWritten
    #expect(rig.publish("a", "first"))
    rig.run(65 * millisecond_ns)
    #expect(rig.hub!.taken() == ["LMSG a () [] first"])
    let calls = rig.hub!.calls
    for number in 0..<12 {
      #expect(rig.publish("a", ByteString("\(number)")))
      rig.run(10 * millisecond_ns)
    }
    rig.run(200 * millisecond_ns)
    #expect(rig.hub!.taken() == (0..<12).map { "LMSG a () [] \($0)" })
    // 120 ms of messages, of which a round trip's leave together.
    #expect(rig.hub!.calls - calls <= 6 && rig.link!.bytesWritten > segments)
  }

  @Test("a forwarder is asked for more when its lane runs low")
  func hungry() {
    let rig = rig(bandwidth: 100_000)
    var calls = 0
    for number in 0..<100 { #expect(stored(rig, ByteString("back.\(number)"))) }
    rig.link!.whenBacklogIsLow { calls += 1 }
    rig.run(100 * millisecond_ns)
    #expect(calls == 0 && rig.link!.isSendingBacklog)
    rig.run(2 * second_ns)
    #expect(calls == 1 && rig.link!.backlogPending == 0 && !rig.link!.isSendingBacklog)
    rig.link!.whenBacklogIsLow { calls += 1 }
    rig.run(millisecond_ns)
    #expect(calls == 2)
  }
}
