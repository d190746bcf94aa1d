// The stream part of the API beyond the recording: persistence, purging, reading, declared streams, bad input.
import Bytes
import Identity
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("The stream API")
struct StreamAPITests {
  @Test("purge keeps, cuts and filters, and survives a power cut")
  func purge() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.*"]}"#)
    for index in 0..<30 { rig.send("s.\(index % 3)", "\(index)") }
    rig.settle()
    #expect(rig.call("$JS.API.STREAM.PURGE.S", #"{"filter":"s.1","keep":2}"#).json["purged"]?.int == 8)
    #expect(rig.call("$JS.API.STREAM.PURGE.S", #"{"seq":11}"#).json["purged"]?.int == 7)
    #expect(rig.call("$JS.API.STREAM.PURGE.S", #"{"filter":"s.0","seq":20}"#).json["purged"]?.int == 3)
    let before = rig.state("S")
    let again = try rig.restarted()
    let after = again.state("S")
    #expect(after["messages"]?.int == before["messages"]?.int)
    #expect(after["bytes"]?.int == before["bytes"]?.int)
    #expect(after["first_seq"]?.int == before["first_seq"]?.int)
    #expect(again.call("$JS.API.STREAM.PURGE.S").json["purged"]?.int == after["messages"]?.int)
    #expect(again.state("S")["first_seq"]?.int == 31)
    let third = try again.restarted()
    #expect(third.state("S")["first_seq"]?.int == 31)
    #expect(third.call("s.1", "x").sequence == 31)
  }

  @Test("a deleted stream is gone after a power cut, and its name can be used again with an empty log")
  func deleteAndCreate() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    for _ in 0..<5 { _ = rig.call("s", "old") }
    #expect(rig.call("$JS.API.STREAM.DELETE.S").json["success"]?.bool == true)
    #expect(rig.ask("s", "nobody").isEmpty)
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    _ = rig.call("s", "new")
    let again = try rig.restarted()
    #expect(again.state("S")["messages"]?.int == 1)
    #expect(again.state("S")["last_seq"]?.int == 1)
    #expect(again.call("$JS.API.STREAM.DELETE.S").json["success"]?.bool == true)
    let third = try again.restarted()
    #expect(third.call("$JS.API.STREAM.INFO.S").errorCode == 10059)
  }

  @Test("memory streams are gone after a restart")
  func memory() throws {
    let rig = try Rig()
    rig.create(#"{"name":"M","subjects":["m"],"storage":"memory","first_seq":10}"#)
    #expect(rig.call("m", "x").sequence == 10)
    #expect(rig.state("M")["bytes"]?.int == 18)
    let again = try rig.restarted()
    #expect(again.call("$JS.API.STREAM.NAMES").json["streams"]?.isNull == true)
  }

  @Test("an update tightens limits at once and moves the subjects")
  func update() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["a"]}"#)
    for _ in 0..<10 { _ = rig.call("a", "x") }
    let answer = rig.call("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["b"],"max_msgs":3}"#)
    #expect(answer.json["state"]?["messages"]?.int == 3)
    #expect(rig.ask("a", "x").isEmpty)
    #expect(rig.call("b", "x").sequence == 11)
    let again = try rig.restarted()
    #expect(again.call("b", "x").sequence == 12)
  }

  @Test("declared streams are created, updated, and kept")
  func declare() throws {
    let rig = try Rig()
    var config = StreamConfig(name: "T")
    config.subjects = ["t.>"]
    #expect(rig.jetStream.declare(streams: [config]).isEmpty)
    rig.settle()
    _ = rig.call("t.a", "x")
    config.maxMessages = 5
    #expect(rig.jetStream.declare(streams: [config]).isEmpty)
    rig.settle()
    let again = try rig.restarted()
    #expect(again.jetStream.stream("T")?.config.maxMessages == 5)
    #expect(again.jetStream.declare(streams: [config]).isEmpty)
    #expect(again.jetStream.stream("T")?.count == 1)
    var wrong = config
    wrong.storage = .memory
    #expect(again.jetStream.declare(streams: [wrong]).first?.error.errorCode == 10052)
  }

  @Test("requests that nobody knows get no answer")
  func unknown() throws {
    let rig = try Rig()
    #expect(rig.ask("$JS.API.STREAM.NONSENSE.X").isEmpty)
    #expect(rig.ask("$JS.API.META.LEADER.STEPDOWN").isEmpty)
  }

  @Test("direct get answers with the message, batches and statuses")
  func directGet() throws {
    let rig = try Rig()
    rig.create(#"{"name":"D","subjects":["d.>"],"allow_direct":true}"#)
    for index in 0..<6 { rig.send("d.\(index % 2)", "m\(index)", headers: index == 0 ? [("A", "b")] : []) }
    rig.settle()
    let first = rig.call("$JS.API.DIRECT.GET.D", #"{"seq":1}"#)
    #expect(first.payload == "m0")
    #expect(first.headers.hasPrefix("NATS/1.0\r\nA: b\r\nNats-Stream: D\r\nNats-Subject: d.0\r\nNats-Sequence: 1\r\nNats-Time-Stamp: 2"))
    #expect(rig.call("$JS.API.DIRECT.GET.D.d.1").payload == "m5")
    #expect(rig.call("$JS.API.DIRECT.GET.D.d.9").headers == "NATS/1.0 404 Message Not Found\r\n\r\n")
    #expect(rig.call("$JS.API.DIRECT.GET.D", "{}").headers == "NATS/1.0 408 Empty Request\r\n\r\n")
    #expect(rig.call("$JS.API.DIRECT.GET.D", "{").headers == "NATS/1.0 408 Malformed Request\r\n\r\n")
    #expect(rig.call("$JS.API.DIRECT.GET.D", #"{"seq":1,"last_by_subj":"d.1"}"#).headers == "NATS/1.0 408 Bad Request\r\n\r\n")
    let batch = rig.ask("$JS.API.DIRECT.GET.D", #"{"next_by_subj":"d.1","batch":2}"#)
    #expect(batch.map(\.payload) == ["m1", "m3", ""])
    #expect(batch[1].headers.contains("Nats-Num-Pending: 1\r\nNats-Last-Sequence: 2\r\n"))
    #expect(batch[2].headers == "NATS/1.0 204 EOB\r\nNats-Num-Pending: 1\r\nNats-Last-Sequence: 4\r\n\r\n")
    let multi = rig.ask("$JS.API.DIRECT.GET.D", #"{"multi_last":["d.*"]}"#)
    #expect(multi.map(\.payload) == ["m4", "m5", ""])
    #expect(multi[2].headers.hasSuffix("Nats-UpTo-Sequence: 6\r\n\r\n"))
    let earlier = rig.ask("$JS.API.DIRECT.GET.D", #"{"multi_last":["d.*"],"up_to_seq":3}"#)
    #expect(earlier.map(\.payload) == ["m1", "m2", ""])
    rig.create(#"{"name":"N","subjects":["n"]}"#)
    #expect(rig.call("$JS.API.DIRECT.GET.N", #"{"seq":1}"#).headers.hasPrefix("NATS/1.0 503\r\n"))
  }

  @Test("direct get answers odd requests as nats-server does")
  func directGetOdd() throws {
    let rig = try Rig()
    rig.create(#"{"name":"D","subjects":["d.>"],"allow_direct":true}"#)
    for index in 0..<6 { rig.send("d.\(index % 2)", "m\(index)", headers: index == 0 ? [("A", "b")] : []) }
    rig.settle()
    let get = "$JS.API.DIRECT.GET.D"
    #expect(rig.call(get, #"{"batch":5}"#).headers == "NATS/1.0 408 Empty Request\r\n\r\n")
    #expect(rig.call(get, #"{"seq":1,"unknown":1}"#).payload == "m0")
    #expect(rig.call(get + ".d.1", #"{"unknown":1,"max_bytes":1}"#).payload == "m5")
    #expect(rig.call(get + ".d.1", #"{"up_to_seq":3}"#).headers == "NATS/1.0 408 Bad Request\r\n\r\n")
    #expect(rig.call(get + ".d.1", #"{"up_to_time":"2030-01-01T00:00:00Z"}"#).headers == "NATS/1.0 408 Bad Request\r\n\r\n")
    // Nothing but the payloads, and what was left at the beginning.
    let bare = rig.ask(get, #"{"seq":1,"batch":2,"no_hdr":true}"#)
    #expect(bare.map(\.payload) == ["m0", "m1", ""])
    #expect(bare.map(\.headers) == ["", "", "NATS/1.0 204 EOB\r\nNats-Num-Pending: 6\r\nNats-Last-Sequence: 2\r\n\r\n"])
    // The last message of every subject comes with its headers in any case.
    let multi = rig.ask(get, #"{"multi_last":["d.*"],"up_to_seq":1,"no_hdr":true}"#)
    #expect(multi[0].headers.hasPrefix("NATS/1.0\r\nA: b\r\nNats-Stream: D\r\n"))
    #expect(rig.call(get, #"{"seq":1,"batch":-1}"#).headers.hasPrefix("NATS/1.0 204 EOB\r\nNats-Num-Pending: 6\r\n"))
  }

  @Test("the last messages before a sequence are found in pieces, and too many subjects are refused")
  func directGetMany() throws {
    let rig = try Rig()
    rig.create(#"{"name":"D","subjects":["d.>"],"allow_direct":true}"#)
    for index in 0..<10_000 { rig.send("d.\(index < 9000 ? index % 2 : 2)", "m\(index)", reply: false) }
    for index in 0..<1100 { rig.send("d.x.\(index)", reply: false) }
    rig.settle()
    let get = "$JS.API.DIRECT.GET.D"
    #expect(rig.ask(get, #"{"multi_last":["d.*"],"up_to_seq":8999}"#).map(\.payload) == ["m8997", "m8998", ""])
    #expect(rig.ask(get, #"{"multi_last":["d.*"]}"#).map(\.payload) == ["m8998", "m8999", "m9999", ""])
    #expect(rig.ask(get, #"{"multi_last":[">"]}"#).map(\.headers) == ["NATS/1.0 413 Too Many Results\r\n\r\n"])
    #expect(rig.ask(get, #"{"multi_last":["z"],"up_to_seq":5}"#).map(\.headers) == ["NATS/1.0 404 No Results\r\n\r\n"])
    // Nobody listens: nothing is read.
    rig.send(get, #"{"seq":1,"batch":10000}"#, replyTo: "nobody")
    #expect(rig.ask(get, #"{"seq":9999,"batch":5,"next_by_subj":"d.2"}"#).map(\.payload) == ["m9998", "m9999", ""])
  }

  @Test("a publish that wants a higher API level is stored")
  func publishLevel() throws {
    let rig = try Rig()
    rig.create(#"{"name":"D","subjects":["d.>"]}"#)
    #expect(rig.call("d.1", headers: [("Nats-Required-Api-Level", "99")]).payload == #"{"stream":"D","seq":1}"#)
  }

  @Test("configurations that take long to check are refused or checked quickly")
  func longConfigurations() throws {
    let rig = try Rig()
    let many = (0..<1001).map { "\"d.\($0)\"" }.joined(separator: ",")
    #expect(rig.create(#"{"name":"D","subjects":[\#(many)]}"#).errorCode == 10052)
    let pairs = (0..<3000).map { "\"\($0 % 1500)\":\"\($0)\"" }.joined(separator: ",")
    let made = rig.create(#"{"name":"D","subjects":["d"],"metadata":{\#(pairs)}}"#)
    #expect(made.json["config"]?["metadata"]?["1499"]?.string?.string == "2999")
    let filters = rig.call(
      "$JS.API.CONSUMER.CREATE.D.C", #"{"stream_name":"D","config":{"durable_name":"C","filter_subjects":[\#(many)]}}"#)
    #expect(filters.payload.contains("code") || filters.payload == "no answer")
  }

  @Test("pending counts what a filter has yet to see, also with holes")
  func pending() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.*"]}"#)
    var subjects: [Int: Int] = [:]
    for index in 1...100 {
      rig.send("s.\(index % 7)", "x")
      subjects[index] = index % 7
    }
    rig.settle()
    for sequence in [3, 50, 51, 52, 99] {
      _ = rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":\#(sequence)}"#)
      subjects[sequence] = nil
    }
    let stream = try #require(rig.jetStream.stream("S"))
    func pending(_ filters: [ByteString], _ from: Int) -> Int {
      var counting = PendingCount(stream.log, matching: filters, from: UInt64(from))
      // In any pieces.
      while true {
        var left = 7
        if counting.goOn(stream.log, left: &left) == .complete { return counting.count }
      }
    }
    for from in 0...101 {
      let all = subjects.keys.filter { $0 >= from }
      #expect(pending([], from) == all.count)
      #expect(pending(["s.*"], from) == all.count)
      let two = all.filter { subjects[$0] == 2 || subjects[$0] == 5 }
      #expect(pending(["s.2", "s.5"], from) == two.count)
      var found: UInt64?
      var (left, reached) = (1000, UInt64(0))
      _ = stream.next(from: UInt64(from), through: 100, matching: ["s.5"], left: &left, reached: &reached) { found = $0.sequence }
      #expect(found.map { Int($0) } == all.filter { subjects[$0] == 5 }.min())
    }
  }

  @Test("account limits are kept")
  func accountLimits() throws {
    var grant = JetStreamGrant()
    grant.limits.streamsMax = 2
    let rig = try Rig(grant: grant) { $0.maxStore = 1000 }
    #expect(rig.create(#"{"name":"A","max_bytes":800}"#).json["did_create"]?.bool == true)
    #expect(rig.create(#"{"name":"B","max_bytes":300}"#).errorCode == 10047)
    #expect(rig.create(#"{"name":"B"}"#).json["did_create"]?.bool == true)
    #expect(rig.create(#"{"name":"C"}"#).errorCode == 10027)
    #expect(rig.create(#"{"name":"A","max_bytes":800}"#).json["did_create"]?.bool == true)
    let info = rig.call("$JS.API.INFO").json
    #expect(info["reserved_storage"]?.int == 800)
    #expect(info["streams"]?.int == 2)
  }

  @Test("requests of any bytes are answered or ignored, and break nothing")
  func fuzz() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"allow_direct":true,"allow_rollup_hdrs":true}"#)
    var random = SplitMix(state: 11)
    let verbs = [
      "STREAM.CREATE.S", "STREAM.CREATE.Z", "STREAM.UPDATE.S", "STREAM.INFO.S", "STREAM.NAMES", "STREAM.LIST", "STREAM.PURGE.S",
      "STREAM.MSG.GET.S", "STREAM.MSG.DELETE.S", "DIRECT.GET.S", "DIRECT.GET.S.s.a", "INFO", "STREAM", "STREAM.", "DIRECT.GET.", "..",
      "STREAM.MSG.GET", "CONSUMER.CREATE.S", "STREAM.DELETE.Q",
    ]
    let pieces = [
      "{", "}", "[", "]", ":", ",", "\"", "name", "\"name\":\"S\"", "\"seq\":", "-1", "18446744073709551616", "1e9", "null", "true",
      "\"subjects\":[\"s.>\"]", "\"max_age\":", "9223372036854775807", "\"batch\":", "\"keep\":", "\"filter\":\"*\"", "\u{0}", "\\u",
      "\"last_by_subj\":\"\"", "\"next_by_subj\":\">\"", "\"start_time\":\"2020-01-01T00:00:00Z\"", "\"first_seq\":",
      "\"metadata\":{\"a\":1}", "\"placement\":{}", "\"multi_last\":[\">\"]", "\"offset\":-5", "\"no_erase\":true",
    ]
    for _ in 0..<3000 {
      var body = random.below(3) > 0 ? "{" : ""
      for _ in 0..<random.below(8) { body += pieces[random.below(pieces.count)] + (random.below(2) == 0 ? "," : "") }
      if random.below(2) == 0 { body += "}" }
      rig.send("$JS.API." + verbs[random.below(verbs.count)], body)
      rig.send(
        "s.\(random.below(4))", body, headers: [(["Nats-Rollup", "Nats-TTL", "Nats-Msg-Id"][random.below(3)], body.filter { $0 != "\n" })])
      rig.settle()
    }
    #expect(rig.call("$JS.API.STREAM.INFO.S").json["config"]?["name"]?.string == "S")
  }
}

struct SplitMix {
  var state: UInt64
  mutating func below(_ bound: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
  }
}
