// Atomic and fast batches, and counters.
import Bytes
import JSON
import LogStore
import Platform
import Testing

@testable import JetStream

@Suite("Batches and counters")
struct BatchTests {
  private func batch(_ id: String, _ sequence: Int, commit: String? = nil, _ more: [(String, String)] = []) -> [(String, String)] {
    [("Nats-Batch-Id", id), ("Nats-Batch-Sequence", "\(sequence)")] + (commit.map { [("Nats-Batch-Commit", $0)] } ?? []) + more
  }

  private func rig(_ more: String = "") throws -> Rig {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"allow_atomic":true\#(more)}"#)
    return rig
  }

  @Test("an atomic batch shows when it is committed, and is acknowledged once, when it is on the medium", arguments: ["file", "memory"])
  func atomic(storage: String) throws {
    let rig = try rig(#","storage":"\#(storage)""#)
    #expect(rig.call("s.a", "1", headers: batch("B", 1)).payload == "")
    #expect(rig.call("s.b", "2", headers: batch("B", 2)).payload == "")
    #expect(rig.state("S")["messages"]?.int == 0)
    let inbox = rig.send("s.c", "3", headers: batch("B", 3, commit: "1"))
    rig.endTurn()
    if storage == "file" {
      #expect(rig.take(inbox).isEmpty)
      #expect(rig.jetStream.stream("S")?.lastDeliverable == 0)
    }
    rig.settle()
    #expect(rig.take(inbox).map(\.payload) == [#"{"stream":"S","seq":3,"batch":"B","count":3}"#])
    #expect(rig.jetStream.stream("S")?.lastDeliverable == 3)
    #expect(rig.state("S")["messages"]?.int == 3)
    #expect(rig.jetStream.atomicBatchBytes == 0)
    #expect(rig.jetStream.atomicBatchCount == 0)
  }

  @Test("the mark of the end is not stored, the message before gets the commit")
  func endMark() throws {
    let rig = try rig()
    _ = rig.call("s.a", "1", headers: batch("B", 1))
    #expect(rig.call("s.z", "", headers: batch("B", 2, commit: "eob")).payload == #"{"stream":"S","seq":1,"batch":"B","count":1}"#)
    let message = rig.call("$JS.API.STREAM.MSG.GET.S", #"{"seq":1}"#).json["message"]
    let headers = message?["hdrs"]?.string?.withView { Base64.decode($0) } ?? []
    #expect(
      String(decoding: headers, as: UTF8.self) == "NATS/1.0\r\nNats-Batch-Id: B\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n\r\n")
    #expect(rig.call("s.z", "", headers: batch("C", 1, commit: "eob")).errorCode == 10176)
  }

  @Test("a batch that cannot be committed stores nothing")
  func refused() throws {
    let rig = try rig()
    _ = rig.call("s.a", "0")
    func commit(_ second: [(String, String)], _ first: [(String, String)] = []) -> Received {
      _ = rig.call("s.a", "1", headers: batch("B", 1, first))
      return rig.call("s.a", "2", headers: batch("B", 2, commit: "1", second))
    }
    #expect(commit([("Nats-Expected-Last-Sequence", "1")]).errorText == "wrong last sequence: 2")
    #expect(commit([("Nats-Expected-Last-Sequence", "2")]).errorCode == 10164)
    #expect(commit([("Nats-Expected-Last-Subject-Sequence", "1")]).errorCode == 10164)
    #expect(commit([("Nats-Expected-Last-Msg-Id", "x")]).errorCode == 10177)
    #expect(commit([("Nats-Msg-Id", "x")], [("Nats-Msg-Id", "x")]).errorCode == 10201)
    #expect(commit([("Nats-TTL", "5s")]).errorCode == 10166)
    #expect(commit([("Nats-Rollup", "sub")]).errorCode == 10111)
    _ = rig.call("s.a", "1", headers: batch("B", 1))
    #expect(rig.call("s.a", "1", headers: batch("B", 3)).errorCode == 10176)
    _ = rig.call("s.a", "1", headers: batch("B", 1))
    #expect(rig.call("s.a", "1", headers: batch("B", 2, commit: "yes")).errorCode == 10200)
    #expect(rig.call("s.a", "1", headers: batch("B", 5)).errorCode == 10176)
    #expect(rig.call("s.a", "1", headers: batch("B", 1001)).errorText == "atomic publish batch is too large: 1000")
    #expect(rig.call("s.a", "1", headers: [("Nats-Batch-Id", "B")]).errorCode == 10175)
    #expect(rig.call("s.a", "1", headers: batch(String(repeating: "B", count: 65), 1)).errorCode == 10179)
    #expect(rig.call("s.a", "1", headers: batch("B", 1, [("Nats-Required-Api-Level", "9")])).errorCode == 10185)
    #expect(rig.state("S")["last_seq"]?.int == 1)
    #expect(rig.jetStream.atomicBatchCount == 0)
    #expect(commit([], [("Nats-Expected-Last-Sequence", "1")]).sequence == 3)
    rig.create(#"{"name":"N","subjects":["n"]}"#)
    #expect(rig.call("n", "1", headers: batch("B", 1)).errorCode == 10174)
  }

  @Test("discard new counts the messages of the batch")
  func discardNew() throws {
    let rig = try rig(#","discard":"new","max_msgs":3"#)
    _ = rig.call("s.a", "0")
    for sequence in 1...2 { _ = rig.call("s.a", "x", headers: batch("B", sequence)) }
    #expect(rig.call("s.a", "x", headers: batch("B", 3, commit: "1")).errorText == "maximum messages exceeded")
    #expect(rig.state("S")["messages"]?.int == 1)
    _ = rig.call("s.a", "x", headers: batch("B", 1))
    #expect(rig.call("s.a", "x", headers: batch("B", 2, commit: "1")).sequence == 3)
  }

  @Test("batches are bounded in number, size and time")
  func bounded() throws {
    let rig = try rig()
    for index in 0..<50 { #expect(rig.call("s.a", "x", headers: batch("B\(index)", 1)).payload == "") }
    #expect(rig.call("s.a", "x", headers: batch("C", 1)).errorCode == 10210)
    rig.pass(11 * second_ns)
    #expect(rig.jetStream.atomicBatchCount == 0)
    #expect(rig.jetStream.atomicBatchBytes == 0)
    #expect(rig.call("s.a", "x", headers: batch("B1", 2)).errorCode == 10176)
    let large = String(repeating: "x", count: 1_000_000)
    var refusal: Int?
    for sequence in 1...20 where refusal == nil { refusal = rig.call("s.a", large, headers: batch("D", sequence)).errorCode }
    #expect(refusal == 10199)
    #expect(rig.jetStream.atomicBatchBytes == 0)
    for sequence in 1...1000 { rig.send("s.a", "x", headers: batch("E", sequence), reply: false) }
    rig.settle()
    #expect(rig.call("s.a", "x", headers: batch("E", 1001, commit: "1")).errorCode == 10199)
    for sequence in 1...1000 { rig.send("s.a", "x", headers: batch("E", sequence), reply: false) }
    rig.settle()
    #expect(rig.call("s.a", "x", headers: batch("E", 1001, commit: "eob")).json["count"]?.int == 1000)
    _ = rig.call("s.a", "x", headers: batch("F", 1))
    _ = rig.call("$JS.API.STREAM.DELETE.S", "")
    #expect(rig.jetStream.atomicBatchCount == 0)
    rig.pass(11 * second_ns)
  }

  @Test("a power cut leaves all of a batch or nothing")
  func powerCut() throws {
    let rig = try rig(#","max_msgs_per_subject":1"#)
    for sequence in 1...100 { rig.send("s.\(sequence % 60)", "x", headers: batch("B", sequence), reply: false) }
    rig.send("s.end", "x", headers: batch("B", 101, commit: "1"))
    rig.endTurn()
    #expect(rig.state("S")["last_seq"]?.int == 101)
    rig.settle()
    for sequence in 1...9 { rig.send("s.\(sequence)", "y", headers: batch("B", sequence), reply: false) }
    rig.send("s.end", "y", headers: batch("B", 10, commit: "1"))
    rig.endTurn()
    #expect(rig.disk.isBusy)
    let again = try rig.restarted()
    #expect(again.state("S")["last_seq"]?.int == 101)
    #expect(again.state("S")["messages"]?.int == 61)
  }

  @Test("a full store takes no part of a batch")
  func full() throws {
    var options = LogStore.Options()
    options.storeBytesMax = 4 << 20
    options.reserveBytes = 1 << 20
    let rig = try Rig(storeOptions: options)
    rig.create(#"{"name":"S","subjects":["s.>"],"allow_atomic":true,"discard":"new"}"#)
    let payload = String(repeating: "x", count: 500_000)
    for sequence in 1...9 { _ = rig.call("s.a", payload, headers: batch("B", sequence)) }
    #expect(rig.call("s.a", payload, headers: batch("B", 10, commit: "1")).errorCode == 10023)
    #expect(rig.state("S")["messages"]?.int == 0)
    #expect(rig.call("s.a", "x").sequence == 1)
  }

  // MARK: Fast batches

  private func fast(
    _ rig: Rig, _ id: String, _ sequence: Int, _ operation: Int, _ payload: String = "x", gap: String = "ok", flow: Int = 10
  )
    -> [String]
  {
    let reply = "_INBOX.me.\(id).\(flow).\(gap).\(sequence).\(operation).$FI"
    return rig.ask("s.a", payload, replyTo: reply).map(\.payload)
  }

  @Test("a fast batch is acknowledged now and then and at its end")
  func fastBatch() throws {
    let rig = try rig(#","allow_batched":true"#)
    #expect(fast(rig, "F", 1, 0, flow: 2) == [#"{"type":"ack","seq":0,"msgs":2}"#])
    #expect(fast(rig, "F", 2, 1) == [#"{"type":"ack","seq":2,"msgs":2}"#])
    #expect(fast(rig, "F", 3, 1) == [])
    #expect(fast(rig, "F", 3, 4) == [#"{"type":"ack","seq":2,"msgs":2}"#])
    #expect(
      fast(rig, "F", 6, 1) == [#"{"type":"gap","last_seq":4,"seq":6}"#, #"{"type":"ack","seq":6,"msgs":2}"#])
    #expect(fast(rig, "F", 7, 2) == [#"{"stream":"S","seq":5,"batch":"F","count":7}"#])
    #expect(rig.jetStream.fastBatchCount == 0)
    #expect(fast(rig, "G", 1, 0) == [#"{"type":"ack","seq":0,"msgs":10}"#])
    #expect(fast(rig, "G", 2, 3) == [#"{"stream":"S","seq":6,"batch":"G","count":1}"#])
    #expect(fast(rig, "H", 1, 2) == [#"{"stream":"S","seq":7,"batch":"H","count":1}"#])
  }

  @Test("a gap ends a fast batch that allows none")
  func fastGap() throws {
    let rig = try rig(#","allow_batched":true"#)
    _ = fast(rig, "F", 1, 0, gap: "fail")
    #expect(
      fast(rig, "F", 3, 1, gap: "fail") == [
        #"{"type":"gap","last_seq":2,"seq":3}"#, #"{"stream":"S","seq":1,"batch":"F","count":1}"#,
      ])
    #expect(fast(rig, "F", 4, 1, gap: "fail").first?.contains("10208") == true)
  }

  @Test("bad reply subjects and unknown batches of fast ingest are refused")
  func fastRefused() throws {
    let rig = try rig(#","allow_batched":true"#)
    for reply in ["_INBOX.me.F.10.ok.1.7.$FI", "_INBOX.me.F.10.maybe.1.0.$FI", "_INBOX.me.F.10.ok.0.0.$FI", "_INBOX.me.$FI"] {
      #expect(rig.ask("s.a", "x", replyTo: reply).first?.errorCode == 10206, "\(reply)")
    }
    #expect(fast(rig, "F", 2, 0).first?.contains("10206") == true)
    #expect(fast(rig, "F", 2, 1).first?.contains("10208") == true)
    #expect(fast(rig, String(repeating: "F", count: 65), 1, 0).first?.contains("10207") == true)
    rig.create(#"{"name":"N","subjects":["n"]}"#)
    #expect(rig.ask("n", "x", replyTo: "_INBOX.me.F.10.ok.1.0.$FI").first?.errorCode == 10205)
    for index in 0..<1000 { rig.send("s.a", "x", replyTo: "_INBOX.me.F\(index).10.ok.1.0.$FI") }
    rig.settle()
    #expect(fast(rig, "G", 1, 0).first?.contains("10211") == true)
    rig.pass(11 * second_ns)
    #expect(rig.jetStream.fastBatchCount == 0)
  }

  // MARK: Counters

  @Test("a counter counts, in numbers of any length, also in a batch and after a restart")
  func counter() throws {
    var rig = try rig(#","allow_msg_counter":true,"allow_direct":true"#)
    func add(_ increment: String, _ more: [(String, String)] = []) -> Received {
      rig.call("s.a", "", headers: [("Nats-Incr", increment)] + more)
    }
    #expect(add("1").payload == #"{"stream":"S","seq":1,"val":"1"}"#)
    #expect(add("+41").json["val"]?.string?.string == "42")
    #expect(add("-100").json["val"]?.string?.string == "-58")
    #expect(add("99999999999999999999999999999999").json["val"]?.string?.string == "99999999999999999999999999999941")
    rig = try rig.restarted()
    #expect(add("-99999999999999999999999999999941").json["val"]?.string?.string == "0")
    #expect(rig.call("$JS.API.DIRECT.GET.S.s.a").payload == #"{"val":"0"}"#)
    _ = rig.call("s.a", "", headers: batch("B", 1, [("Nats-Incr", "5")]))
    _ = rig.call("s.b", "", headers: batch("B", 2, [("Nats-Incr", "1")]))
    _ = rig.call("s.a", "", headers: batch("B", 3, commit: "1", [("Nats-Incr", "5")]))
    #expect(rig.call("$JS.API.DIRECT.GET.S.s.a").payload == #"{"val":"10"}"#)
  }

  @Test("what is no count is refused on a counter stream, and counts elsewhere")
  func counterRefused() throws {
    let rig = try rig(#","allow_msg_counter":true"#)
    #expect(rig.call("s.a", "x").errorCode == 10169)
    #expect(rig.call("s.a", "", headers: [("Other", "1")]).errorCode == 10169)
    #expect(rig.call("s.a", "x", headers: [("Nats-Incr", "1")]).errorCode == 10170)
    for wrong in ["1.5", "x", "--1", "+"] { #expect(rig.call("s.a", "", headers: [("Nats-Incr", wrong)]).errorCode == 10171) }
    #expect(rig.call("s.a", "", headers: [("Nats-Incr", "1"), ("Nats-Expected-Last-Sequence", "0")]).errorCode == 10171)
    rig.create(#"{"name":"N","subjects":["n"]}"#)
    #expect(rig.call("n", "", headers: [("Nats-Incr", "1")]).errorCode == 10168)
    let update = rig.call("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s.>"]}"#)
    #expect(update.errorText == "stream configuration update can not change message counter setting")
  }
}
