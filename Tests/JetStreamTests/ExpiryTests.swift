// Messages that expire: TTLs, delete markers, ages, over restarts and whatever the wall clock is set to.
import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("Expiry")
struct ExpiryTests {
  private static let second = second_ns
  private static let hour = 3600 * second_ns

  private func decoded(_ base64: JSONValue?) -> [UInt8]? { base64?.string?.withView { Base64.decode($0) } }

  private func ttl(_ value: String) -> [(String, String)] { [("Nats-TTL", value)] }

  @Test("a message with a TTL is gone when that has passed, and not before", arguments: ["file", "memory"])
  func expires(storage: String) throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"allow_msg_ttl":true,"storage":"\#(storage)"}"#)
    #expect(rig.call("s.a", "1", headers: ttl("5")).sequence == 1)
    #expect(rig.call("s.b", "2", headers: ttl("1h")).sequence == 2)
    #expect(rig.call("s.c", "3").sequence == 3)
    rig.pass(4 * Self.second)
    #expect(rig.state("S")["messages"]?.int == 3)
    rig.pass(2 * Self.second)
    #expect(rig.state("S")["messages"]?.int == 2)
    rig.pass(Self.hour)
    #expect(rig.state("S")["messages"]?.int == 1)
    #expect(rig.host.timers.nextDeadline_ns == nil)
  }

  @Test("TTLs go on after a restart")
  func restart() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"allow_msg_ttl":true}"#)
    for index in 0..<2000 { rig.send("s.\(index)", "x", headers: ttl(index % 2 == 0 ? "10s" : "1h")) }
    rig.settle()
    rig.clock.now_ns += 5 * Self.second
    let again = try rig.restarted()
    again.pass(2 * Self.second)
    #expect(again.state("S")["messages"]?.int == 2000)
    again.pass(10 * Self.second)
    #expect(again.state("S")["messages"]?.int == 1000)
  }

  @Test("a message that never expires stays when its age is over")
  func never() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"allow_msg_ttl":true,"max_age":10000000000}"#)
    _ = rig.call("s.a", "1", headers: ttl("never"))
    for index in 0..<600 { rig.send("s.\(index)", "x") }
    _ = rig.call("s.b", "2", headers: ttl("NEVER"))
    _ = rig.call("s.c", "3", headers: ttl("1h"))
    rig.pass(11 * Self.second)
    #expect(rig.state("S")["messages"]?.int == 2)
    _ = rig.call("s.d", "4")
    rig.pass(11 * Self.second)
    #expect(rig.state("S")["messages"]?.int == 2)
  }

  @Test("without allow_msg_ttl a TTL is refused, and a bad one always")
  func refused() throws {
    let rig = try Rig()
    rig.create(#"{"name":"N","subjects":["n"]}"#)
    rig.create(#"{"name":"S","subjects":["s"],"allow_msg_ttl":true}"#)
    #expect(rig.call("n", "1", headers: ttl("5")).errorCode == 10166)
    #expect(rig.call("n", "1", headers: ttl("never")).errorCode == 10166)
    for bad in ["500ms", "-5", "soon", "5 s", "0", "0s", "+5"] {
      #expect(rig.call("n", "1", headers: ttl(bad)).errorCode == 10165)
      #expect(rig.call("s", "1", headers: ttl(bad)).errorCode == 10165)
    }
    let update = rig.call("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s"]}"#)
    #expect(update.errorText == "message TTL status can not be disabled")
  }

  @Test("the last message of a subject leaves a marker, which leaves none", arguments: ["file", "memory"])
  func markers(storage: String) throws {
    let rig = try Rig()
    rig.create(
      #"{"name":"S","subjects":["s.>"],"max_age":10000000000,"subject_delete_marker_ttl":60000000000,"storage":"\#(storage)"}"#)
    _ = rig.call("s.a", "1")
    rig.pass(5 * Self.second)
    _ = rig.call("s.a", "2")
    _ = rig.call("s.b", "3", headers: [("KV-Operation", "PURGE")])
    rig.pass(6 * Self.second)
    #expect(rig.state("S")["messages"]?.int == 2)
    rig.pass(5 * Self.second)
    let marker = rig.call("$JS.API.STREAM.MSG.GET.S", #"{"last_by_subj":"s.a"}"#).json["message"]
    #expect(marker?["seq"]?.int == 4)
    #expect(marker?["data"]?.string == nil)
    #expect(
      decoded(marker?["hdrs"]) == [UInt8]("NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1m0s\r\nNats-Rollup: sub\r\n\r\n".utf8))
    #expect(rig.state("S")["messages"]?.int == 1)
    rig.pass(70 * Self.second)
    #expect(rig.state("S")["messages"]?.int == 0)
    #expect(rig.state("S")["last_seq"]?.int == 4)
  }

  @Test("a TTL shorter than a marker's becomes as long, but where a subject has one message only")
  func shortTTL() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"subject_delete_marker_ttl":60000000000}"#)
    rig.create(#"{"name":"T","subjects":["t.>"],"subject_delete_marker_ttl":60000000000,"max_msgs_per_subject":1}"#)
    _ = rig.call("s.a", "1", headers: ttl("5"))
    _ = rig.call("t.a", "1", headers: ttl("5"))
    rig.pass(7 * Self.second)
    #expect(rig.state("S")["last_seq"]?.int == 1)
    #expect(rig.state("T")["last_seq"]?.int == 2)
    let message = rig.call("$JS.API.STREAM.MSG.GET.S", #"{"seq":1}"#).json["message"]
    #expect(decoded(message?["hdrs"]) == [UInt8]("NATS/1.0\r\nNats-TTL: 60\r\n\r\n".utf8))
  }

  @Test("a turn of the loop lets a bounded number of messages expire")
  func bounded() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"allow_msg_ttl":true}"#)
    rig.create(#"{"name":"A","subjects":["a.>"],"max_age":5000000000}"#)
    for index in 0..<20_000 {
      rig.send("s.\(index % 10)", "x", headers: ttl("5"), reply: false)
      rig.send("a.\(index % 10)", "x", reply: false)
    }
    rig.settle()
    let streams = [try #require(rig.jetStream.stream("S")), try #require(rig.jetStream.stream("A"))]
    #expect(streams[0].extras.due.size <= DueIndex.entriesMax + 100)
    rig.clock.now_ns += 6 * Self.second
    var turns = 0
    while streams[0].count + streams[1].count > 0, turns < 1000 {
      let before = streams.map(\.count)
      rig.clock.now_ns += millisecond_ns
      _ = rig.host.timers.fire(now_ns: rig.clock.now_ns)
      rig.host.turn.end()
      if rig.disk.isBusy { rig.disk.completeCommit() }
      for (stream, count) in zip(streams, before) { #expect(count - stream.count <= 4096) }
      turns += 1
    }
    #expect(streams.map(\.count) == [0, 0])
    #expect(turns > 70)
  }

  @Test(
    "whatever the wall clock is set to while the server runs, nothing expires early and nothing stays",
    arguments: [hour, -hour, 20 * 365 * 24 * hour, -10 * 24 * hour, 3 * second, -3 * second], [false, true])
  func jumps(jump_ns: Int64, isRestarted: Bool) throws {
    var rig = try Rig()
    rig.create(#"{"name":"T","subjects":["t.>"],"allow_msg_ttl":true}"#)
    rig.create(#"{"name":"A","subjects":["a.>"],"max_age":100000000000}"#)
    rig.create(#"{"name":"E","subjects":["e.>"],"max_age":100000000000,"allow_msg_ttl":true}"#)
    let subjects = ["t", "a", "e"]
    func publish(_ name: String) {
      for subject in subjects { _ = rig.call("\(subject).\(name)", "x", headers: subject == "t" ? ttl("100") : []) }
    }
    func counts() -> [Int?] { ["T", "A", "E"].map { rig.state($0)["messages"]?.int } }
    publish("before")
    rig.pass(50 * Self.second)
    rig.clock.jump_ns += jump_ns
    rig.pass(Self.second)
    publish("after")
    if isRestarted { rig = try rig.restarted() }
    rig.pass(40 * Self.second)
    #expect(counts() == [2, 2, 2])
    rig.pass(15 * Self.second)
    #expect(counts() == [1, 1, 1])
    rig.pass(40 * Self.second)
    #expect(counts() == [1, 1, 1])
    rig.pass(15 * Self.second)
    #expect(counts() == [0, 0, 0])
  }

  @Test("what was stamped before the clock was ever set does not expire when it is")
  func unset() throws {
    let clock = TestClock()
    clock.jump_ns = -clock.now_ns + 1000 * Self.second
    clock.isWallTrusted = false
    let rig = try Rig(clock: clock)
    rig.create(#"{"name":"A","subjects":["a.>"],"max_age":100000000000}"#)
    _ = rig.call("a.b", "x")
    rig.pass(300 * Self.second)
    #expect(rig.state("A")["messages"]?.int == 1)
    clock.jump_ns = 0
    clock.isWallTrusted = true
    let again = try rig.restarted()
    #expect(again.state("A")["messages"]?.int == 1)
    again.pass(101 * Self.second)
    #expect(again.state("A")["messages"]?.int == 0)
  }

  @Test("the index of what is due holds few of many messages, and gives out each in time")
  func index() {
    var index = DueIndex()
    var random = UInt64(1)
    var dues: [Int64] = []
    for sequence in 0..<100_000 {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let due_ns = Int64(random >> 40)
      dues.append(due_ns)
      index.add(UInt64(sequence), due_ns: due_ns)
    }
    #expect(index.size < DueIndex.entriesMax + 200)
    var done = [Bool](repeating: false, count: dues.count)
    var now_ns: Int64 = 0
    while !index.isEmpty {
      now_ns = max(now_ns, index.next_ns)
      if let sequence = index.take(now_ns: now_ns) {
        if dues[Int(sequence)] <= now_ns { done[Int(sequence)] = true }
      } else if let block = index.takeBlock(now_ns: now_ns) {
        for sequence in block where sequence < 100_000 && !done[Int(sequence)] { index.add(sequence, due_ns: dues[Int(sequence)]) }
      }
    }
    #expect(done.allSatisfy { $0 })
  }
}
