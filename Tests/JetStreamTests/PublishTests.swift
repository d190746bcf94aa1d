// Publishing: acks and durability, dedupe, expectations, limits, rollups; and what of it survives a power cut.
import Bytes
import JSON
import LogStore
import Platform
import Testing

@testable import JetStream

@Suite("Publishing into a stream")
struct PublishTests {
  @Test("an ack comes only after the message is on the medium")
  func ackAfterSync() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    let inbox = rig.send("s.a", "one")
    rig.endTurn()
    #expect(rig.disk.isBusy)
    #expect(rig.take(inbox).isEmpty)
    rig.disk.completeCommit()
    rig.settle()
    #expect(rig.take(inbox).map(\.payload) == [#"{"stream":"S","seq":1}"#])
  }

  @Test("acks of many messages come in order, each to its reply")
  func manyAcks() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    let inboxes = (0..<500).map { rig.send("s.\($0 % 7)", "message \($0)") }
    rig.settle()
    for (index, inbox) in inboxes.enumerated() {
      #expect(rig.take(inbox).map(\.payload) == [#"{"stream":"S","seq":\#(index + 1)}"#])
    }
    #expect(rig.jetStream.stream("S")?.lastDeliverable == 500)
  }

  @Test("lastDeliverable is what is on the medium, also of messages that want no ack")
  func deliverable() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    let stream = try #require(rig.jetStream.stream("S"))
    rig.send("s", "one", reply: false)
    rig.endTurn()
    #expect(stream.lastSequence == 1)
    #expect(stream.lastDeliverable == 0)
    rig.settle()
    #expect(stream.lastDeliverable == 1)
  }

  @Test("acknowledged messages, configuration, message ids and sequences survive a power cut")
  func powerCut() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"max_msgs_per_subject":100,"metadata":{"site":"north"}}"#)
    for index in 0..<20 { _ = rig.call("s.\(index % 3)", "m\(index)", headers: [("Nats-Msg-Id", "id\(index)")]) }
    _ = rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":5}"#)
    rig.send("s.9", "never acknowledged")
    let again = try rig.restarted()
    let state = again.state("S")
    #expect(state["messages"]?.int == 19)
    #expect(state["last_seq"]?.int == 20)
    #expect(state["num_subjects"]?.int == 3)
    #expect(state["num_deleted"]?.int == 1)
    let duplicate = again.call("s.1", "m7", headers: [("Nats-Msg-Id", "id7")])
    #expect(duplicate.payload == #"{"stream":"S","seq":8,"duplicate": true}"#)
    let wrong = again.call("s.1", "x", headers: [("Nats-Expected-Last-Msg-Id", "other")])
    #expect(wrong.errorText == "wrong last msg ID: id19")
    #expect(again.call("s.1", "next").sequence == 21)
    let info = again.call("$JS.API.STREAM.INFO.S").json
    #expect(info["config"]?["metadata"]?["site"]?.string == "north")
  }

  @Test("a message id is forgotten when the window has passed")
  func dedupeWindow() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"],"duplicate_window":1000000000}"#)
    let id = [("Nats-Msg-Id", "a")]
    #expect(rig.call("s", "1", headers: id).sequence == 1)
    #expect(rig.call("s", "1", headers: id).json["duplicate"]?.bool == true)
    rig.pass(2 * second_ns)
    #expect(rig.call("s", "1", headers: id).sequence == 2)
  }

  @Test("a wall clock that jumps, before or during a restart, makes no message id forgotten")
  func dedupeAcrossJumps() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    let id = [("Nats-Msg-Id", "a")]
    #expect(rig.call("s", "1", headers: id).sequence == 1)
    rig.clock.jump_ns += 3600 * second_ns
    #expect(rig.call("s", "1", headers: id).json["duplicate"]?.bool == true)
    #expect(rig.call("s", "2", headers: [("Nats-Msg-Id", "b")]).sequence == 2)
    let again = try rig.restarted()
    again.clock.jump_ns += 7200 * second_ns
    #expect(again.call("s", "1", headers: id).json["duplicate"]?.bool == true)
    #expect(again.call("s", "2", headers: [("Nats-Msg-Id", "b")]).json["duplicate"]?.bool == true)
    again.pass(121 * second_ns)
    #expect(again.call("s", "1", headers: id).sequence == 3)
  }

  @Test("a duplicate is acknowledged no earlier than the message it repeats")
  func duplicateWaits() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    let first = rig.send("s", "1", headers: [("Nats-Msg-Id", "a")])
    let second = rig.send("s", "1", headers: [("Nats-Msg-Id", "a")])
    rig.endTurn()
    #expect(rig.take(first).isEmpty && rig.take(second).isEmpty)
    rig.settle()
    #expect(rig.take(first).count == 1 && rig.take(second).count == 1)
  }

  @Test("the dedupe window finds what was added and forgets the oldest when it is full")
  func dedupeModel() {
    var window = DedupeWindow(seed: 5)
    for number in 0..<5000 {
      ByteString("id-\(number)").withView { window.add($0, sequence: UInt64(number), time_ns: Int64(number)) }
      if number % 100 == 0 { window.expire(before: Int64(number) - 1000) }
    }
    window.expire(before: 4500)
    // What is too old goes in pieces.
    #expect((500..<2048).contains(window.count))
    for number in 0..<5000 {
      let found = ByteString("id-\(number)").withView { window.sequence(of: $0) }
      #expect(found == (number < 4500 ? nil : UInt64(number)))
    }
    window.expire(before: 10_000)
    #expect(window.count == 0)
  }

  @Test("the ids of all streams have one limit, and each stream keeps some of its newest whatever the others do")
  func dedupeBudget() {
    let budget = DedupeBudget()
    var windows = (0..<3).map { DedupeWindow(budget: budget, seed: UInt64($0)) }
    func add(_ window: Int, _ numbers: Range<Int>) {
      for number in numbers {
        ByteString("id-\(number)").withView { windows[window].add($0, sequence: UInt64(number), time_ns: Int64(number)) }
      }
    }
    func has(_ window: Int, _ number: Int) -> Bool { ByteString("id-\(number)").withView { windows[window].sequence(of: $0) != nil } }
    add(0, 0..<DedupeBudget.entriesMax + 100_000)
    #expect(budget.entries <= DedupeBudget.entriesMax + DedupeWindow.pieceMax)
    #expect(!has(0, 0) && has(0, DedupeBudget.entriesMax + 99_999) && has(0, 200_000))
    add(1, 0..<10_000)
    #expect(budget.entries <= DedupeBudget.entriesMax + DedupeWindow.pieceMax + 2 * DedupeWindow.entriesMin)
    for number in 10_000 - DedupeWindow.entriesMin..<10_000 { #expect(has(1, number)) }
    windows[0].expire(before: Int64(DedupeBudget.entriesMax) * 2)
    #expect(budget.entries <= 2 * DedupeWindow.entriesMin)
    add(2, 0..<100_000)
    #expect(has(2, 0))
    windows = []
    #expect(budget.entries == 0)
  }

  @Test("a stream that remembers few ids at a time takes little memory for them, however many there were")
  func dedupeSteady() {
    let budget = DedupeBudget()
    var window = DedupeWindow(budget: budget, seed: 3)
    for number in 0..<200_000 {
      window.expire(before: Int64(number) - 100)
      ByteString("id-\(number)").withView { window.add($0, sequence: UInt64(number), time_ns: Int64(number)) }
    }
    #expect(budget.entries <= 512)
  }

  @Test("discard old drops the oldest by messages, by bytes and by subject")
  func discardOld() throws {
    for storage in ["file", "memory"] {
      let rig = try Rig()
      rig.create(#"{"name":"M","subjects":["m.*"],"max_msgs":3,"storage":"\#(storage)"}"#)
      for index in 0..<10 { rig.send("m.\(index % 2)", "\(index)") }
      rig.settle()
      #expect(rig.state("M")["messages"]?.int == 3)
      #expect(rig.state("M")["first_seq"]?.int == 8)
      #expect(rig.state("M")["num_subjects"]?.int == 2)

      rig.create(#"{"name":"B","subjects":["b"],"max_bytes":200,"storage":"\#(storage)"}"#)
      for _ in 0..<10 { rig.send("b", String(repeating: "x", count: 40)) }
      rig.settle()
      #expect(rig.state("B")["bytes"]?.int ?? 0 <= 200)
      #expect(rig.state("B")["last_seq"]?.int == 10)

      rig.create(#"{"name":"P","subjects":["p.*"],"max_msgs_per_subject":2,"storage":"\#(storage)"}"#)
      for index in 0..<12 { rig.send("p.\(index % 3)", "\(index)") }
      rig.settle()
      #expect(rig.state("P")["messages"]?.int == 6)
      #expect(rig.state("P")["first_seq"]?.int == 7)
      let last = rig.call("$JS.API.STREAM.MSG.GET.P", #"{"last_by_subj":"p.1"}"#).json
      #expect(last["message"]?["seq"]?.int == 11)
    }
  }

  @Test("discard new refuses with the reason, and replaces within a full subject")
  func discardNew() throws {
    let rig = try Rig()
    rig.create(#"{"name":"M","subjects":["m"],"max_msgs":1,"discard":"new"}"#)
    #expect(rig.call("m", "1").sequence == 1)
    let full = rig.call("m", "2")
    #expect(full.payload == #"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"M","seq":0}"#)
    rig.create(#"{"name":"B","subjects":["b"],"max_bytes":50,"discard":"new"}"#)
    #expect(rig.call("b", String(repeating: "x", count: 60)).errorText == "maximum bytes exceeded")
    rig.create(#"{"name":"P","subjects":["p.*"],"max_msgs_per_subject":1,"discard":"new","discard_new_per_subject":true}"#)
    #expect(rig.call("p.a").sequence == 1)
    #expect(rig.call("p.a").errorText == "maximum messages per subject exceeded")
    #expect(rig.call("p.b").sequence == 2)
    rig.create(#"{"name":"K","subjects":["k.*"],"max_msgs_per_subject":1,"max_msgs":1,"discard":"new"}"#)
    #expect(rig.call("k.a", "1").sequence == 1)
    #expect(rig.call("k.a", "2").sequence == 2)
    #expect(rig.state("K")["messages"]?.int == 1)
    #expect(rig.call("k.b").errorText == "maximum messages exceeded")
  }

  @Test("messages expire by age, in time and after a restart")
  func maxAge() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"],"max_age":1000000000}"#)
    _ = rig.call("s", "1")
    rig.pass(600 * millisecond_ns)
    _ = rig.call("s", "2")
    rig.pass(600 * millisecond_ns)
    #expect(rig.state("S")["first_seq"]?.int == 2)
    rig.pass(second_ns)
    #expect(rig.state("S")["messages"]?.int == 0)
    #expect(rig.state("S")["first_seq"]?.int == 3)
    #expect(rig.host.timers.nextDeadline_ns == nil)
    _ = rig.call("s", "3")
    rig.clock.now_ns += 5 * second_ns
    let again = try rig.restarted()
    #expect(again.state("S")["messages"]?.int == 0)
    #expect(again.call("s", "4").sequence == 4)
  }

  @Test("a rollup replaces what was there, of the subject or of all")
  func rollup() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.*"],"allow_rollup_hdrs":true}"#)
    for index in 0..<6 { _ = rig.call("s.\(index % 2)", "\(index)") }
    _ = rig.call("s.0", "all of s.0", headers: [("Nats-Rollup", "SUB")])
    #expect(rig.state("S")["messages"]?.int == 4)
    _ = rig.call("s.1", "everything", headers: [("Nats-Rollup", "all")])
    #expect(rig.state("S")["messages"]?.int == 1)
    #expect(rig.state("S")["first_seq"]?.int == 8)
  }

  @Test("the last sequence of a subject is right after its last message was deleted")
  func expectedAfterDelete() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.*"]}"#)
    for _ in 0..<3 { _ = rig.call("s.a", "a") }
    _ = rig.call("s.b", "b")
    _ = rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":3}"#)
    #expect(rig.call("s.a", "x", headers: [("Nats-Expected-Last-Subject-Sequence", "3")]).errorText == "wrong last sequence: 2")
    #expect(rig.call("s.a", "x", headers: [("Nats-Expected-Last-Subject-Sequence", "2")]).sequence == 5)
  }

  @Test("a stream without acks stays silent, one with a domain names it")
  func ackForms() throws {
    let rig = try Rig { $0.domain = "edge" }
    rig.create(#"{"name":"Q","subjects":["q"],"no_ack":true}"#)
    #expect(rig.ask("q", "1").isEmpty)
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    #expect(rig.call("s", "1").payload == #"{"stream":"S","domain":"edge","seq":1}"#)
    let through = rig.call("$JS.edge.API.STREAM.INFO.S").json
    #expect(through["config"]?["name"]?.string == "S")
    #expect(through["domain"]?.string == "edge")
    #expect(rig.call("$JS.edge.API.INFO").json["domain"]?.string == "edge")
  }

  @Test("a full store makes room in a stream that discards old, and refuses for one that does not")
  func fullStore() throws {
    var options = LogStore.Options()
    options.segmentBytes = 64 << 10
    options.storeBytesMax = 512 << 10
    options.reserveBytes = 128 << 10
    let rig = try Rig(storeOptions: options)
    let payload = String(repeating: "x", count: 1000)
    rig.create(#"{"name":"OLD","subjects":["old"]}"#)
    var stored = 0
    for _ in 0..<2000 where rig.call("old", payload).sequence ?? 0 > 0 { stored += 1 }
    #expect(stored == 2000)
    let state = rig.state("OLD")
    #expect(state["last_seq"]?.int == 2000)
    #expect(state["messages"]?.int ?? 0 < 500)

    rig.create(#"{"name":"NEW","subjects":["new"],"discard":"new"}"#)
    var refused: Received?
    for _ in 0..<2000 where refused == nil {
      let answer = rig.call("new", payload)
      if answer.errorCode != nil { refused = answer }
    }
    #expect(refused?.errorCode == 10023)
    #expect(refused?.errorText == "insufficient resources")
    #expect(rig.call("$JS.API.STREAM.PURGE.OLD").json["success"]?.bool == true)
  }

  @Test("status texts and request info are taken out of stored headers")
  func cleanHeaders() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    _ = rig.call("s", "1", headers: [("Nats-Request-Info", "{}"), ("A", "b")])
    let stream = try #require(rig.jetStream.stream("S"))
    var headers = ""
    stream.read(1) { headers = $0.headers.string }
    #expect(headers == "NATS/1.0\r\nA: b\r\n\r\n")
  }
}
