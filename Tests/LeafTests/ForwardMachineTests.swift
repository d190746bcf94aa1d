// The forward's decisions, one by one. That they add up to "each once, in order" is ForwardModelTests.
import Bytes
import Testing

@testable import Leaf

@Suite struct ForwardMachineTests {
  private typealias Action = ForwardMachine.Action
  private func known(_ acknowledged: UInt64 = 10, hubSequence: UInt64 = 100) -> ForwardProgress {
    var progress = ForwardProgress()
    progress.acknowledged = acknowledged
    progress.hubStream = "HUB"
    progress.hubSequence = hubSequence
    return progress
  }

  @Test("the first time, the hub stream's position is written down before anything goes")
  func firstTime() {
    let machine = Forward(progress: ForwardProgress(), last: 5)
    #expect(machine.state == .offline && !machine.maySend)
    #expect(machine.linkUp(now_ms: 0) == [.findStream, .wakeUp(at_ms: 5_000)])
    #expect(machine.foundStreams([(name: "HUB", last: 77)], now_ms: 1) == [.saveProgress])
    #expect(!machine.maySend)
    #expect(machine.progress.hubStream == "HUB" && machine.progress.hubSequence == 77)
    #expect(machine.progressSaved(now_ms: 2) == [.send])
    #expect(machine.state == .forwarding && machine.maySend && machine.next == 1)
  }

  @Test("one message first, the window after the first acknowledgement, up to its limits")
  func window() {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    #expect(machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0) == [.send])
    #expect(machine.sent(11, size: 10, now_ms: 0) == [.wakeUp(at_ms: 10_000)])
    #expect(!machine.maySend)
    #expect(machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 5) == [.send])
    for sequence in UInt64(12)..<UInt64(12 + ForwardMachine.windowDefault) {
      #expect(machine.maySend)
      _ = machine.sent(sequence, size: 10, now_ms: 5)
    }
    #expect(!machine.maySend && machine.inFlightCount == ForwardMachine.windowDefault)
    #expect(machine.acknowledged(12, hubSequence: 102, duplicate: false, now_ms: 6) == [.send])
    #expect(machine.maySend)
    let large = Forward(progress: known(), last: 10)
    _ = large.linkUp(now_ms: 0)
    _ = large.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = large.sent(11, size: 10, now_ms: 0)
    _ = large.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 0)
    _ = large.sent(12, size: ForwardMachine.windowBytesMax, now_ms: 0)
    #expect(!large.maySend)
  }

  @Test("progress follows the lowest acknowledged message; answers out of order, twice or unknown do no harm")
  func acknowledgements() {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 0)
    _ = machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 0)
    for sequence in UInt64(12)...15 { _ = machine.sent(sequence, size: 1, now_ms: 0) }
    machine.passed(16)
    _ = machine.acknowledged(13, hubSequence: 103, duplicate: true, now_ms: 1)
    #expect(machine.progress.acknowledged == 11 && machine.progress.hubSequence == 101)
    #expect(machine.acknowledged(13, hubSequence: 103, duplicate: true, now_ms: 1) == [])
    #expect(machine.acknowledged(99, hubSequence: 1, duplicate: false, now_ms: 1) == [])
    _ = machine.acknowledged(12, hubSequence: 102, duplicate: false, now_ms: 1)
    #expect(machine.progress.acknowledged == 13 && machine.progress.hubSequence == 103)
    _ = machine.acknowledged(15, hubSequence: 105, duplicate: false, now_ms: 1)
    _ = machine.acknowledged(14, hubSequence: 104, duplicate: false, now_ms: 1)
    #expect(machine.progress.acknowledged == 16 && machine.progress.hubSequence == 105)
    #expect(machine.inFlightCount == 0 && machine.delivered == 4 && machine.duplicates == 1)
    machine.exhausted()
    #expect(machine.state == .upToDate)
    #expect(machine.wake(now_ms: 100_000) == [])
    _ = machine.sent(17, size: 1, now_ms: 100_000)
    #expect(machine.state == .forwarding)
  }

  @Test("after a lost link the hub is asked which messages in doubt it has; those are passed over, the others sent")
  func comparing() {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 0)
    _ = machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 0)
    for sequence in UInt64(12)...14 { _ = machine.sent(sequence, size: 1, now_ms: 0) }
    machine.linkDown()
    #expect(machine.state == .offline && !machine.maySend && machine.inFlightCount == 0)
    #expect(machine.wake(now_ms: 50_000) == [])
    #expect(machine.linkUp(now_ms: 60_000) == [.findStream, .wakeUp(at_ms: 65_000)])
    #expect(
      machine.foundStreams([(name: "HUB", last: 103)], now_ms: 60_001) == [.createScan(stream: "HUB", after: 101), .wakeUp(at_ms: 65_001)])
    #expect(machine.state == .comparing && !machine.maySend)
    #expect(machine.scanCreated(pending: 2, now_ms: 60_002) == [.fetchScan, .wakeUp(at_ms: 65_002)])
    #expect(machine.scanned(13, pending: 1, endOfBatch: false, now_ms: 60_003) == [])
    #expect(machine.scanned(nil, pending: 0, endOfBatch: false, now_ms: 60_003) == [.deleteScan, .send])
    #expect(machine.next == 12 && machine.wants(12) && !machine.wants(13) && machine.wants(14))
    _ = machine.sent(12, size: 1, now_ms: 60_004)
    #expect(machine.resent == 1)
    machine.passed(13)
    _ = machine.acknowledged(12, hubSequence: 104, duplicate: false, now_ms: 60_005)
    #expect(machine.progress.acknowledged == 13)
  }

  @Test("a resent message does not hide from the next look those that the hub already had ahead of it")
  func resentBehind() {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 0)
    _ = machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 0)
    for sequence in UInt64(12)...14 { _ = machine.sent(sequence, size: 1, now_ms: 0) }
    // The hub dropped 12 and stored 13 and 14 as its 102 and 103; the link breaks, and again after 12 was stored as 104.
    machine.linkDown()
    _ = machine.linkUp(now_ms: 1)
    _ = machine.foundStreams([(name: "HUB", last: 103)], now_ms: 1)
    _ = machine.scanCreated(pending: 2, now_ms: 1)
    _ = machine.scanned(13, pending: 1, endOfBatch: false, now_ms: 1)
    _ = machine.scanned(14, pending: 0, endOfBatch: false, now_ms: 1)
    _ = machine.sent(12, size: 1, now_ms: 1)
    _ = machine.acknowledged(12, hubSequence: 104, duplicate: false, now_ms: 1)
    #expect(machine.progress.acknowledged == 12 && machine.progress.hubSequence == 101)
    machine.linkDown()
    _ = machine.linkUp(now_ms: 2)
    #expect(machine.foundStreams([(name: "HUB", last: 104)], now_ms: 2).first == .createScan(stream: "HUB", after: 101))
  }

  @Test("messages of one subject go one after the other, others need not wait for each other")
  func subjects() {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, subject: 1, size: 1, now_ms: 0)
    _ = machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 0)
    #expect(machine.maySend(subject: 1))
    _ = machine.sent(12, subject: 1, size: 1, now_ms: 0)
    _ = machine.sent(13, subject: 2, size: 1, now_ms: 0)
    #expect(machine.maySend && !machine.maySend(subject: 1) && !machine.maySend)
    _ = machine.acknowledged(13, hubSequence: 103, duplicate: false, now_ms: 0)
    #expect(!machine.maySend)
    _ = machine.acknowledged(12, hubSequence: 102, duplicate: false, now_ms: 0)
    #expect(machine.maySend && machine.maySend(subject: 1))
    _ = machine.sent(14, subject: 1, size: 1, now_ms: 0)
    #expect(!machine.maySend(subject: 1))
    machine.linkDown()
    _ = machine.linkUp(now_ms: 1)
    _ = machine.foundStreams([(name: "HUB", last: 103)], now_ms: 1)
    _ = machine.scanCreated(pending: 0, now_ms: 1)
    #expect(machine.maySend && machine.maySend(subject: 1))
  }

  @Test("a resent message passes on to those the hub has, and the next look still finds them")
  func presentBehindWindow() {
    let machine = Forward(progress: known(), last: 20)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 101)], now_ms: 0)
    _ = machine.scanCreated(pending: 1, now_ms: 0)
    // The hub has 14 as its 101, and neither 11 nor 12 nor 13.
    _ = machine.scanned(14, pending: 0, endOfBatch: false, now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 0)
    _ = machine.acknowledged(11, hubSequence: 102, duplicate: false, now_ms: 0)
    _ = machine.sent(12, size: 1, now_ms: 0)
    _ = machine.sent(13, size: 1, now_ms: 0)
    machine.passed(14)
    _ = machine.acknowledged(12, hubSequence: 103, duplicate: false, now_ms: 0)
    #expect(machine.progress.acknowledged == 12 && machine.progress.hubSequence == 100)
    _ = machine.acknowledged(13, hubSequence: 104, duplicate: false, now_ms: 0)
    #expect(machine.progress.acknowledged == 14 && machine.progress.hubSequence == 104)
  }

  @Test("a scan is read batch by batch; one with nothing in it, or that ends early, is no obstacle")
  func scanBatches() {
    let machine = Forward(progress: known(), last: 20)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 105)], now_ms: 0)
    #expect(machine.state == .comparing)
    #expect(machine.scanCreated(pending: 0, now_ms: 1) == [.deleteScan, .send])
    machine.linkDown()
    _ = machine.linkUp(now_ms: 2)
    _ = machine.foundStreams([(name: "HUB", last: 110)], now_ms: 2)
    _ = machine.scanCreated(pending: 10, now_ms: 2)
    #expect(machine.scanned(11, pending: 9, endOfBatch: true, now_ms: 3) == [.fetchScan, .wakeUp(at_ms: 5_003)])
    #expect(machine.scanned(nil, pending: 1, endOfBatch: true, now_ms: 4) == [.fetchScan, .wakeUp(at_ms: 5_004)])
    #expect(machine.wake(now_ms: 5_000) == [.wakeUp(at_ms: 5_004)])
    let gaveUp = machine.wake(now_ms: 5_004)
    #expect(gaveUp == [.deleteScan, .wakeUp(at_ms: 6_004)])
    #expect(machine.state == .refused("the hub's JetStream does not answer"))
    #expect(machine.wake(now_ms: 6_004) == [.findStream, .wakeUp(at_ms: 11_004)])
  }

  @Test("no stream or several are refusals that say what to do, tried again ever more slowly")
  func refusals() {
    let machine = Forward(progress: ForwardProgress(), last: 0)
    _ = machine.linkUp(now_ms: 0)
    var now_ms: Int64 = 0
    for delay_ms: Int64 in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
      #expect(machine.foundStreams([], now_ms: now_ms) == [.wakeUp(at_ms: now_ms + delay_ms)])
      guard case .refused(let text) = machine.state else {
        Issue.record("not refused")
        return
      }
      #expect(text.contains("create one"))
      now_ms += delay_ms
      #expect(machine.wake(now_ms: now_ms) == [.findStream, .wakeUp(at_ms: now_ms + 5_000)])
    }
    _ = machine.foundStreams([(name: "A", last: 1), (name: "B", last: 2)], now_ms: now_ms)
    guard case .refused(let text) = machine.state else {
      Issue.record("not refused")
      return
    }
    #expect(text.contains("A, B"))
    #expect(machine.refusals.total == 8)
    #expect(machine.requestFailed("x", now_ms: now_ms) == [])
  }

  @Test("a message that the hub refuses holds the forward there; nothing is skipped")
  func refusedMessage() {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 0)
    #expect(machine.refused(99, "other", now_ms: 1) == [])
    #expect(machine.refused(11, "maximum bytes exceeded", now_ms: 1) == [.wakeUp(at_ms: 1_001)])
    #expect(machine.state == .refused("maximum bytes exceeded") && machine.inFlightCount == 0 && !machine.maySend)
    #expect(machine.progress.acknowledged == 10)
    #expect(machine.wake(now_ms: 1_001) == [.findStream, .wakeUp(at_ms: 6_001)])
    #expect(machine.foundStreams([(name: "HUB", last: 103)], now_ms: 1_002).first == .createScan(stream: "HUB", after: 100))
  }

  @Test("ten seconds without an acknowledgement: nothing is assumed, the hub is asked")
  func timeout() {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 1_000)
    #expect(machine.wake(now_ms: 10_999) == [.wakeUp(at_ms: 11_000)])
    #expect(machine.wake(now_ms: 11_000) == [.findStream, .wakeUp(at_ms: 16_000)])
    #expect(machine.state == .locating && machine.inFlightCount == 0)
    #expect(machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 11_001) == [])
  }

  @Test("a hub stream of another name is searched wholly for what is in doubt, as it may be an old acquaintance")
  func anotherStream() {
    let machine = Forward(progress: known(), last: 20)
    _ = machine.linkUp(now_ms: 0)
    #expect(machine.foundStreams([(name: "NEW", last: 7)], now_ms: 0) == [.saveProgress])
    #expect(machine.progress.hubStream == "NEW" && machine.progress.hubSequence == 0 && machine.progress.acknowledged == 10)
    #expect(machine.progressSaved(now_ms: 1).first == .createScan(stream: "NEW", after: 0))
  }

  @Test("a hub stream that was made anew is searched from its beginning; one with nothing new is not searched at all")
  func streamMadeAnew() {
    let machine = Forward(progress: known(), last: 20)
    _ = machine.linkUp(now_ms: 0)
    #expect(machine.foundStreams([(name: "HUB", last: 5)], now_ms: 0) == [.saveProgress])
    #expect(machine.progressSaved(now_ms: 1).first == .createScan(stream: "HUB", after: 0))
    let other = Forward(progress: known(), last: 20)
    _ = other.linkUp(now_ms: 0)
    #expect(other.foundStreams([(name: "HUB", last: 100)], now_ms: 0) == [.send])
  }

  @Test("a message that the link does not take is a refusal, once nothing is in flight")
  func notTaken() {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 0)
    #expect(machine.notTaken(12, "too large", .tooLarge, now_ms: 1) == [])
    _ = machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 2)
    #expect(machine.notTaken(12, "too large", .tooLarge, now_ms: 3) == [.wakeUp(at_ms: 1_003)])
    #expect(machine.state == .refused("too large"))
  }

  @Test("a message that is refused for good is set aside, where the forward may: those behind it go on, and progress waits for it")
  func setAside() {
    let machine = Forward(progress: known(), last: 10, setsAside: true)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 0)
    _ = machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 1)
    _ = machine.sent(12, subject: 7, size: 1, now_ms: 2)
    _ = machine.sent(13, size: 1, now_ms: 2)
    #expect(machine.refused(12, "large", .tooLarge, now_ms: 3) == [.setAside(12, "large")])
    #expect(machine.state == .forwarding && !machine.maySend(subject: 7))
    #expect(machine.acknowledged(13, hubSequence: 102, duplicate: false, now_ms: 4) == [.send])
    #expect(machine.progress.acknowledged == 11)
    #expect(machine.isSetAside(12, now_ms: 5) == [.send])
    #expect(machine.isSetAside(12, now_ms: 5) == [])
    #expect(machine.progress.acknowledged == 13 && machine.setAside == 1 && machine.refusals.tooLarge == 1 && machine.delivered == 2)
    #expect(machine.maySend(subject: 7))
    // One that the link does not take never leaves; the next one may go at once.
    #expect(machine.notTaken(14, "no", .notPermitted, now_ms: 6) == [.wakeUp(at_ms: 10_006), .setAside(14, "no")])
    #expect(machine.next == 15 && machine.maySend && machine.progress.acknowledged == 13)
    #expect(machine.isSetAside(14, now_ms: 7) == [.send])
    #expect(machine.progress.acknowledged == 14 && machine.refusals.notPermitted == 1)
  }

  @Test("what may pass by itself is never set aside, and a dead letter that is not taken holds the forward")
  func notSetAside() {
    let machine = Forward(progress: known(), last: 10, setsAside: true)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 0)
    _ = machine.sent(11, size: 1, now_ms: 0)
    #expect(machine.refused(11, "full", .streamFull, now_ms: 1) == [.wakeUp(at_ms: 1_001)])
    #expect(machine.state == .refused("full") && machine.refusals.streamFull == 1)
    _ = machine.wake(now_ms: 1_001)
    _ = machine.foundStreams([(name: "HUB", last: 100)], now_ms: 1_002)
    _ = machine.sent(11, size: 1, now_ms: 1_003)
    #expect(machine.refused(11, "large", .tooLarge, now_ms: 1_004) == [.setAside(11, "large")])
    #expect(machine.notSetAside(11, "no room", now_ms: 1_005) == [.wakeUp(at_ms: 3_005)])
    #expect(machine.state == .refused("no room") && machine.progress.acknowledged == 10)
    #expect(machine.isSetAside(11, now_ms: 1_006) == [])
  }

  @Test("answers that come in the wrong state are ignored")
  func wrongState() {
    let machine = Forward(progress: known(), last: 10)
    #expect(machine.foundStreams([(name: "HUB", last: 1)], now_ms: 0) == [])
    #expect(machine.progressSaved(now_ms: 0) == [])
    #expect(machine.scanCreated(pending: 1, now_ms: 0) == [])
    #expect(machine.scanned(1, pending: 0, endOfBatch: true, now_ms: 0) == [])
    #expect(machine.requestFailed("x", now_ms: 0) == [])
    #expect(machine.refused(11, "x", now_ms: 0) == [])
    #expect(machine.acknowledged(11, hubSequence: 1, duplicate: false, now_ms: 0) == [])
    #expect(machine.wake(now_ms: 1_000_000) == [])
    #expect(machine.state == .offline)
  }

  @Test("the origin's message id is recognised again, that of another life or stream is not")
  func origin() {
    let origin = ForwardOrigin(domain: "gw", stream: "S", incarnation: "abc")
    var bytes: [UInt8] = []
    ByteString("NATS/1.0\r\nA: 1\r\nNats-Expected-Stream: X\r\nPetiole-Origin: forged\r\nB:2\r\n\r\n").withView {
      origin.appendHeaders(42, 7, headers: $0, to: &bytes)
    }
    #expect(
      String(decoding: bytes, as: UTF8.self) == "NATS/1.0\r\nNats-Msg-Id: gw:S:abc:42\r\nPetiole-Origin: gw S 42 7\r\nA: 1\r\nB: 2\r\n\r\n")
    func sequence(_ id: ByteString) -> UInt64? { id.withView { origin.sequence(of: $0) } }
    #expect(sequence("gw:S:abc:42") == 42)
    for id: ByteString in ["gw:S:abd:42", "gw:T:abc:42", "gw:S:abc:", "gw:S:abc:x", "gw:S:abc:-1", "", "42"] {
      #expect(sequence(id) == nil)
    }
  }

  @Test("what a hub says of a refusal stays one short line: it goes into headers")
  func wordsOfRefusals() {
    let long = String(repeating: "x", count: 5000)
    for description in [#"no\r\nNats-Msg-Id: forged\r\n\r\nbody"#, long, #"\u0000\u001b"#] {
      let answer = ByteString(#"{"error":{"code":503,"err_code":10077,"description":"\#(description)"},"stream":"S","seq":0}"#)
      guard case .refused(let text, _) = answer.withView({ PublishAck($0) }) else {
        Issue.record("not refused")
        continue
      }
      #expect(text.utf8.count <= 256 && !text.utf8.contains { $0 < 0x20 || $0 == 0x7F }, "\(text)")
    }
  }

  // MARK: Batches

  /// Linked to a hub that takes batches, with message 11 acknowledged.
  private func batching() -> Forward {
    let machine = Forward(progress: known(), last: 10)
    _ = machine.linkUp(now_ms: 0)
    _ = machine.foundStreams([(name: "HUB", last: 100)], takesBatches: true, now_ms: 0)
    #expect(machine.placement(waiting: 1000) == .alone)
    _ = machine.sent(11, size: 1, now_ms: 0)
    _ = machine.acknowledged(11, hubSequence: 101, duplicate: false, now_ms: 0)
    return machine
  }

  @Test("a backlog goes in a batch, many messages of one subject at once, and counts when the hub's stream has all of it")
  func batch() {
    let machine = batching()
    #expect(machine.placement(waiting: ForwardBatch.messagesMin - 1) == .alone)
    for sequence in UInt64(12)...30 {
      #expect(machine.maySend && machine.maySend(subject: 5))
      let placement = machine.placement(waiting: 30 - sequence + (sequence < 15 ? 20 : 0))
      #expect(placement == .batched(number: 1, sequence: sequence - 11, isLast: sequence == 30))
      _ = machine.sent(sequence, subject: 5, size: 1, placement, now_ms: 1)
    }
    #expect(!machine.maySend && machine.exhausted() == [])
    machine.batchGoesOn(1, now_ms: 9_000)
    #expect(machine.wake(now_ms: 10_500) == [.wakeUp(at_ms: 19_000)])
    #expect(machine.progress.acknowledged == 11)
    #expect(machine.batchStored(2, count: 19, hubSequence: 500, now_ms: 9_001) == [])
    #expect(machine.batchStored(1, count: 19, hubSequence: 120, now_ms: 9_001) == [.send])
    #expect(machine.progress.acknowledged == 30 && machine.progress.hubSequence == 120 && machine.delivered == 20)
    #expect(machine.exhausted() == [] && machine.state == .upToDate)
  }

  @Test("a batch is begun when nothing is in flight, and ended when the stream is, or another forward goes first")
  func batchBounds() {
    let machine = batching()
    _ = machine.sent(12, size: 1, now_ms: 0)
    #expect(machine.placement(waiting: 100) == .later)
    _ = machine.acknowledged(12, hubSequence: 102, duplicate: false, now_ms: 0)
    let first = machine.placement(waiting: 100)
    #expect(first == .batched(number: 1, sequence: 1, isLast: false))
    _ = machine.sent(13, size: 1, first, now_ms: 0)
    machine.passed(14)
    #expect(machine.exhausted(now_ms: 1) == [.closeBatch(number: 1, sequence: 2), .wakeUp(at_ms: 10_001)])
    #expect(machine.exhausted(now_ms: 1) == [] && machine.closeBatch(now_ms: 1) == [] && !machine.maySend)
    #expect(machine.batchStored(1, count: 1, hubSequence: 103, now_ms: 2) == [.send])
    #expect(machine.progress.acknowledged == 14)
    // One that has grown large ends, too.
    var placement = machine.placement(waiting: 100)
    _ = machine.sent(15, size: 1, placement, now_ms: 3)
    placement = machine.placement(waiting: 100, size: ForwardMachine.windowBytesMax)
    #expect(placement == .batched(number: 2, sequence: 2, isLast: true))
  }

  @Test("what is missing of a batch goes again by itself, after the hub was asked; the hub says then what it refuses")
  func batchCutShort() {
    let machine = batching()
    for sequence in UInt64(12)...40 { _ = machine.sent(sequence, size: 1, machine.placement(waiting: 100), now_ms: 0) }
    #expect(machine.batchStored(1, count: 4, hubSequence: 105, now_ms: 1) == [.findStream, .wakeUp(at_ms: 5_001)])
    #expect(machine.progress.acknowledged == 15 && machine.progress.hubSequence == 105 && machine.inFlightCount == 0)
    #expect(machine.foundStreams([(name: "HUB", last: 105)], takesBatches: true, now_ms: 2) == [.send])
    #expect(machine.next == 16 && machine.placement(waiting: 100) == .alone)
    _ = machine.sent(16, size: 1, now_ms: 3)
    _ = machine.acknowledged(16, hubSequence: 106, duplicate: false, now_ms: 3)
    #expect(machine.placement(waiting: 100) == .alone, "17 to 40 go by themselves")
    for sequence in UInt64(17)...40 {
      _ = machine.sent(sequence, size: 1, now_ms: 3)
      _ = machine.acknowledged(sequence, hubSequence: sequence + 90, duplicate: false, now_ms: 3)
    }
    #expect(machine.placement(waiting: 100) == .batched(number: 2, sequence: 1, isLast: false))
  }

  @Test("a hub that takes no batches after all gets single messages; without an answer it is asked what it has")
  func batchRefused() {
    let machine = batching()
    _ = machine.sent(12, size: 1, machine.placement(waiting: 100), now_ms: 0)
    #expect(machine.batchRefused(1, isForGood: true, now_ms: 1) == [.findStream, .wakeUp(at_ms: 5_001)])
    // Its stream's configuration says yes, as it did before: that is not asked again on this link.
    _ = machine.foundStreams([(name: "HUB", last: 101)], takesBatches: true, now_ms: 2)
    for sequence in UInt64(12)...40 {
      _ = machine.sent(sequence, size: 1, now_ms: 3)
      _ = machine.acknowledged(sequence, hubSequence: sequence + 90, duplicate: false, now_ms: 3)
    }
    #expect(machine.placement(waiting: 100) == .alone)
    machine.linkDown()
    _ = machine.linkUp(now_ms: 4)
    _ = machine.foundStreams([(name: "HUB", last: 130)], takesBatches: true, now_ms: 4)
    _ = machine.sent(41, size: 1, now_ms: 4)
    _ = machine.acknowledged(41, hubSequence: 131, duplicate: false, now_ms: 4)
    #expect(machine.placement(waiting: 100) == .batched(number: 2, sequence: 1, isLast: false))
    let silent = batching()
    _ = silent.sent(12, size: 1, silent.placement(waiting: 100), now_ms: 0)
    _ = silent.exhausted(now_ms: 0)
    #expect(silent.wake(now_ms: 10_000).first == .findStream)
  }
}
