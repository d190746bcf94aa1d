import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("Priority groups")
struct PriorityGroupTests {
  @Test("overflow serves a request only when enough is left or unacknowledged")
  func overflow() throws {
    let rig = try ConsumerTests.filled(3)
    rig.create(
      "S", "C", #"{"durable_name":"C","ack_policy":"explicit","priority_policy":"overflow","priority_groups":["A"]}"#)
    #expect(rig.fetch("S.C", #"{"batch":1}"#).map(\.status) == ["400 Bad Request - Priority Group missing"])
    #expect(rig.fetch("S.C", #"{"group":"B"}"#).map(\.status) == ["400 Bad Request - Invalid Priority Group"])
    #expect(
      rig.fetch("S.C", #"{"group":"A","id":"x"}"#).map(\.status) == ["400 Bad Request - Not a Pinned Client Priority consumer"])
    let patient = rig.pull("S.C", #"{"group":"A","min_pending":4,"expires":9000000000}"#)
    rig.rig.settle()
    #expect(rig.take(patient).isEmpty)
    #expect(rig.fetch("S.C", #"{"group":"A","min_pending":3}"#).map(\.payload) == ["m0"])
    #expect(rig.fetch("S.C", #"{"group":"A","min_ack_pending":1}"#).map(\.payload) == ["m1"])
    // Who says nothing of groups is served.
    #expect(rig.fetch("S.C").map(\.payload) == ["m2"])
    for index in 3..<7 { rig.rig.send("s.1", "m\(index)") }
    rig.rig.settle()
    #expect(rig.take(patient).map(\.payload) == ["m3"])
  }

  @Test("requests that wait for a backlog keep their order")
  func overflowOrder() throws {
    let rig = try ConsumerTests.filled(1)
    rig.create(
      "S", "C", #"{"durable_name":"C","ack_policy":"explicit","priority_policy":"overflow","priority_groups":["A"]}"#)
    let patient = #"{"group":"A","min_pending":3,"expires":9000000000}"#
    let waiting = [rig.pull("S.C", patient), rig.pull("S.C", patient), rig.pull("S.C", patient)]
    rig.publish("s.1", "m1")
    rig.publish("s.1", "m2")
    #expect(waiting.map { rig.take($0).map(\.payload) } == [["m0"], [], []])
    // Who does not wait is told that there is nothing for it.
    #expect(rig.fetch("S.C", #"{"group":"A","min_pending":9,"no_wait":true}"#).map(\.status) == ["404 No Messages"])
  }

  @Test("of requests that come together the most urgent is served first")
  func prioritizedTogether() throws {
    let rig = try ConsumerTests.filled(3)
    rig.create(
      "S", "C", #"{"durable_name":"C","ack_policy":"explicit","priority_policy":"prioritized","priority_groups":["A"]}"#)
    let later = rig.pull("S.C", #"{"group":"A","priority":1,"batch":2,"expires":9000000000}"#)
    let urgent = rig.pull("S.C", #"{"group":"A","priority":0,"batch":2,"expires":9000000000}"#)
    rig.rig.settle()
    #expect(rig.take(urgent).map(\.payload) == ["m0", "m1"])
    #expect(rig.take(later).map(\.payload) == ["m2"])
  }

  @Test("one client is pinned, until it is unpinned or does not ask for the configured time")
  func pinned() throws {
    let rig = try ConsumerTests.filled(8)
    rig.listen("$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.C")
    rig.listen("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C")
    rig.create(
      "S", "C",
      #"{"durable_name":"C","ack_policy":"explicit","priority_policy":"pinned_client","priority_groups":["A"],"priority_timeout":2000000000}"#
    )
    let first = rig.fetch("S.C", #"{"group":"A","batch":1}"#)
    let id = try #require(first.first?.headers.split(separator: "\r\n").last?.dropFirst("Nats-Pin-Id: ".count))
    #expect(first.map(\.payload) == ["m0"] && id.count == 22)
    #expect(rig.info("S.C")["priority_groups"]?.array?.first?["pinned_client_id"]?.string?.string == String(id))
    #expect(rig.take("$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.C").first?.payload.contains(#""group":"A","pinned_id":"\#(id)""#) == true)
    // Others wait, wrong pins are told so, the pinned one is served.
    let other = rig.pull("S.C", #"{"group":"A","expires":9000000000}"#)
    #expect(rig.fetch("S.C", #"{"group":"A","id":"WRONG"}"#).map(\.status) == ["423 Nats-Pin-Id mismatch"])
    #expect(rig.fetch("S.C", #"{"group":"A","id":"\#(id)"}"#).map(\.payload) == ["m1"])
    rig.rig.pass(1_900_000_000)
    #expect(rig.take(other).isEmpty)
    rig.rig.pass(200_000_000)
    let taken = rig.take(other)
    #expect(taken.map(\.payload) == ["m2"])
    #expect(!taken[0].headers.contains(id))
    #expect(rig.take("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C").first?.payload.contains(#""reason":"timeout""#) == true)
    #expect(rig.rig.call("$JS.API.CONSUMER.UNPIN.S.C", #"{"group":"Z"}"#).errorCode == 10160)
    #expect(rig.rig.call("$JS.API.CONSUMER.UNPIN.S.C", #"{"group":"A"}"#).errorCode == nil)
    #expect(rig.take("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C").first?.payload.contains(#""reason":"admin""#) == true)
    let old = rig.fetch("S.C", #"{"group":"A","id":"\#(id)","batch":2,"expires":1000000000}"#)
    #expect(
      old.map(\.headers) == ["NATS/1.0 423 Nats-Wrong-Pin-Id\r\nNats-Pending-Messages: 2\r\nNats-Pending-Bytes: 0\r\n\r\n"])
  }

  @Test("requests are served by priority, and in turn within one")
  func prioritized() throws {
    let rig = try ConsumerTests.filled(0)
    rig.create(
      "S", "C", #"{"durable_name":"C","ack_policy":"explicit","priority_policy":"prioritized","priority_groups":["A"]}"#)
    let low = rig.pull("S.C", #"{"group":"A","priority":5,"batch":2,"expires":9000000000}"#)
    let one = rig.pull("S.C", #"{"group":"A","priority":1,"batch":2,"expires":9000000000}"#)
    let two = rig.pull("S.C", #"{"group":"A","priority":1,"batch":2,"expires":9000000000}"#)
    for index in 0..<5 { rig.publish("s.1", "m\(index)") }
    #expect(rig.take(one).map(\.payload) == ["m0", "m2"])
    #expect(rig.take(two).map(\.payload) == ["m1", "m3"])
    #expect(rig.take(low).map(\.payload) == ["m4"])
    #expect(
      rig.fetch("S.C", #"{"group":"A","priority":10}"#).map(\.status) == ["400 Bad Request - Priority must be between 0 and 9"])
  }
}

@Suite("Pace of delivery")
struct DeliveryPaceTests {
  @Test("a rate limit lets a burst through and then so many bytes per second")
  func rateLimit() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"],"max_msg_size":1000}"#)
    for _ in 0..<30 { rig.publish("s.1", String(repeating: "x", count: 900)) }
    rig.listen("d")
    rig.create("S", "P", #"{"name":"P","deliver_subject":"d","rate_limit_bps":16000}"#)
    rig.rig.settle()
    #expect(rig.take("d").count == 1)
    rig.rig.pass(5 * second_ns)
    // 2000 bytes per second, and each counts with its subjects.
    #expect((9...11).contains(rig.take("d").count))
    rig.create("S", "P", #"{"name":"P","deliver_subject":"d"}"#)
    rig.rig.settle()
    #expect(rig.take("d").count >= 18)
  }

  @Test("with replay policy original, messages come with the gaps in which they were published")
  func original() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    for index in 0..<3 {
      rig.publish("s.1", "m\(index)")
      rig.rig.pass(2 * second_ns)
    }
    rig.create("S", "C", #"{"durable_name":"C","replay_policy":"original"}"#)
    let reply = rig.pull("S.C", #"{"batch":5,"expires":60000000000}"#)
    rig.rig.settle()
    #expect(rig.take(reply).map(\.payload) == ["m0"])
    rig.rig.pass(1_900_000_000)
    #expect(rig.take(reply).isEmpty)
    rig.rig.pass(200_000_000)
    #expect(rig.take(reply).map(\.payload) == ["m1"])
    rig.rig.pass(2_100_000_000)
    #expect(rig.take(reply).map(\.payload) == ["m2"])
    // What comes now is not replayed.
    rig.publish("s.1", "m3")
    #expect(rig.take(reply).map(\.payload) == ["m3"])
  }

  @Test("no size, stamp or rate makes the pace overflow")
  func extremes() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<10_000 {
      var pace = DeliveryPace()
      var now_ns: Int64 = 0
      pace.limit(
        bits: UInt64.random(in: 0...UInt64.max, using: &random) >> UInt64.random(in: 0..<64, using: &random), burst: .max, now_ns: 0)
      if Bool.random(using: &random) { pace.replay(through: 10) }
      for _ in 0..<5 {
        now_ns += Int64.random(in: 0...1_000_000_000_000, using: &random)
        let stamp_ns = Int64.random(in: 1...4_000_000_000_000_000_000, using: &random)
        let size = Int.random(in: 0...100_000_000, using: &random)
        let wait_ns = pace.wait_ns(size: size, stamp_ns: stamp_ns, now_ns: now_ns)
        #expect(wait_ns >= 0)
        pace.sent(size: size, stamp_ns: stamp_ns, now_ns: now_ns)
      }
    }
  }
}

@Suite("What consumers report")
struct ConsumerReportTests {
  @Test("advisories tell of creation, refusal, termination, the last delivery, pauses and deletion")
  func advisories() throws {
    let rig = try ConsumerTests.filled(3)
    for event in ["CREATED", "MSG_NAKED", "MSG_TERMINATED", "MAX_DELIVERIES", "PAUSE", "DELETED"] {
      rig.listen("$JS.EVENT.ADVISORY.CONSUMER.\(event).S.C")
    }
    func take(_ event: String) -> String {
      rig.rig.settle()
      return rig.take("$JS.EVENT.ADVISORY.CONSUMER.\(event).S.C").map(\.payload).joined(separator: "\n")
    }
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":2}"#)
    #expect(take("CREATED").hasPrefix(#"{"type":"io.nats.jetstream.advisory.v1.consumer_action","id":""#))
    let got = rig.fetch("S.C", "2")
    rig.ack(got[0], "-NAK")
    #expect(take("MSG_NAKED").hasSuffix(#""stream":"S","consumer":"C","consumer_seq":1,"stream_seq":1,"deliveries":1}"#))
    rig.ack(got[1], "+TERM  no good ")
    #expect(
      take("MSG_TERMINATED").hasSuffix(#""consumer_seq":2,"stream_seq":2,"deliveries":1,"reason":"no good"}"#))
    #expect(rig.fetch("S.C").map(\.payload) == ["m0"])
    rig.rig.pass(1_100_000_000)
    #expect(take("MAX_DELIVERIES").hasSuffix(#""stream":"S","consumer":"C","stream_seq":1,"deliveries":2}"#))
    let info = rig.info("S.C")
    #expect(info["num_redelivered"]?.int == 1 && info["num_ack_pending"]?.int == 0, "\(info)")
    let until = RFC3339.format(rig.rig.clock.wall_ns + 10 * second_ns).string
    _ = rig.rig.call("$JS.API.CONSUMER.PAUSE.S.C", #"{"pause_until":"\#(until)"}"#)
    #expect(take("PAUSE").hasSuffix(#""paused":true,"pause_until":"\#(until)"}"#))
    rig.rig.pass(11 * second_ns)
    #expect(take("PAUSE").hasSuffix(#""paused":false,"pause_until":"\#(until)"}"#))
    _ = rig.fetch("S.C")
    _ = rig.rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":3}"#)
    #expect(take("MSG_TERMINATED").hasSuffix(#""stream_seq":3,"deliveries":1,"reason":"Unacknowledged message was deleted"}"#))
    _ = rig.rig.call("$JS.API.CONSUMER.DELETE.S.C")
    #expect(take("DELETED").hasSuffix(#""action":"delete"}"#))
  }

  @Test("acks are sampled with the time they took")
  func samples() throws {
    let rig = try ConsumerTests.filled(1)
    rig.listen("$JS.EVENT.METRIC.CONSUMER.ACK.S.C")
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit","sample_freq":"100%"}"#)
    let got = rig.fetch("S.C")
    rig.rig.pass(1_500_000_000)
    rig.ack(got[0])
    #expect(
      rig.take("$JS.EVENT.METRIC.CONSUMER.ACK.S.C").first?.payload.hasSuffix(
        #""stream":"S","consumer":"C","consumer_seq":1,"stream_seq":1,"ack_time":1500000000,"deliveries":1}"#) == true)
  }

  @Test("streams and the API are reported, too")
  func streamsAndAPI() throws {
    let rig = try ConsumerRig()
    rig.listen("$JS.EVENT.ADVISORY.API")
    rig.listen("$JS.EVENT.ADVISORY.STREAM.CREATED.T")
    rig.listen("$JS.EVENT.ADVISORY.STREAM.UPDATED.T")
    rig.listen("$JS.EVENT.ADVISORY.STREAM.DELETED.T")
    rig.rig.create(#"{"name":"T"}"#)
    _ = rig.rig.call("$JS.API.STREAM.UPDATE.T", #"{"name":"T","description":"x"}"#)
    _ = rig.rig.call("$JS.API.STREAM.DELETE.T")
    #expect(rig.take("$JS.EVENT.ADVISORY.STREAM.CREATED.T").count == 1)
    #expect(rig.take("$JS.EVENT.ADVISORY.STREAM.UPDATED.T").count == 1)
    #expect(rig.take("$JS.EVENT.ADVISORY.STREAM.DELETED.T").count == 1)
    let audits = rig.take("$JS.EVENT.ADVISORY.API").map(\.payload)
    #expect(audits.count == 3)
    #expect(audits.first?.contains(#""subject":"$JS.API.STREAM.CREATE.T","request":"{\"name\":\"T\"}","response":"{\"type\""#) == true)
  }

  @Test("limits of a stream below what its consumers have are refused, naming them")
  func consumerLimits() throws {
    let rig = try ConsumerTests.filled(1)
    rig.create("S", "A", #"{"durable_name":"A","ack_policy":"explicit","max_ack_pending":500}"#)
    rig.create("S", "B", #"{"durable_name":"B","ack_policy":"explicit","inactive_threshold":9000000000}"#)
    func limit(_ limits: String) -> String? {
      let config = #"{"name":"S","subjects":["s.>"],"consumer_limits":{\#(limits)}}"#
      return rig.rig.call("$JS.API.STREAM.UPDATE.S", config).errorText
    }
    #expect(limit(#""max_ack_pending":499"#) == "change to limits violates consumers: A, B")
    #expect(limit(#""max_ack_pending":1000,"inactive_threshold":8999999999"#) == "change to limits violates consumers: B")
    #expect(limit(#""max_ack_pending":1000,"inactive_threshold":9000000000"#) == nil)
    #expect(rig.create("S", "A", #"{"durable_name":"A","ack_policy":"explicit","max_ack_pending":1001}"#).errorCode == 10121)
  }

  @Test("purges and deletes are audited when they are answered")
  func auditedLater() throws {
    let rig = try ConsumerTests.filled(3)
    rig.listen("$JS.EVENT.ADVISORY.API")
    func audit() -> JSONValue {
      let audits = rig.take("$JS.EVENT.ADVISORY.API").map(\.payload)
      return audits.count == 1 ? (try? JSON.parse(ByteString(audits[0]))) ?? .null : .null
    }
    for body in [#"{"seq":1}"#, #"{"seq":2,"no_erase":true}"#, #"{"seq":9}"#] {
      let answer = rig.rig.call("$JS.API.STREAM.MSG.DELETE.S", body).payload
      let audit = audit()
      #expect(audit["subject"]?.string?.string == "$JS.API.STREAM.MSG.DELETE.S")
      #expect(audit["request"]?.string?.string == body && audit["response"]?.string?.string == answer)
    }
    for body in ["", #"{"filter":"s.>"}"#, #"{"keep":1,"seq":1}"#] {
      let answer = rig.rig.call("$JS.API.STREAM.PURGE.S", body).payload
      let audit = audit()
      #expect(audit["subject"]?.string?.string == "$JS.API.STREAM.PURGE.S")
      #expect((audit["request"]?.string?.string ?? "") == body && audit["response"]?.string?.string == answer)
    }
  }
}

@Suite("Acks by flow control and long ack subjects")
struct FlowControlAckTests {
  @Test("the answer to a flow control request acknowledges what it names")
  func acknowledges() throws {
    let rig = try ConsumerTests.filled(4)
    rig.listen("d")
    let made = rig.create(
      "S", "F", #"{"durable_name":"F","deliver_subject":"d","ack_policy":"flow_control","max_ack_pending":3}"#)
    #expect(made.json["config"]?["idle_heartbeat"]?.int == 1_000_000_000 && made.json["config"]?["flow_control"]?.bool == true)
    rig.rig.settle()
    let got = rig.take("d")
    #expect(got.map(\.payload) == ["m0", "m1", "m2", ""])
    let question = try #require(got.last)
    #expect(question.status == "100 FlowControl Request" && rig.info("S.F")["num_ack_pending"]?.int == 3)
    rig.rig.send(question.reply, headers: [("Nats-Last-Consumer", "2"), ("Nats-Last-Stream", "2")], reply: false)
    rig.rig.settle()
    #expect(rig.take("d").map(\.payload) == ["m3"])
    #expect(rig.info("S.F")["ack_floor"]?["stream_seq"]?.int == 2)
    // When nothing comes any more, the heartbeat asks.
    rig.rig.pass(1_100_000_000)
    #expect(rig.take("d").map(\.status) == ["100 Idle Heartbeat", "100 FlowControl Request"])
    #expect(rig.rig.call("$JS.API.CONSUMER.CREATE.S.G", #"{"stream_name":"S","config":{"ack_policy":"flow_control"}}"#).errorCode == 10218)
  }

  @Test("an account's short name is nats-server's")
  func shortName() {
    #expect(ByteString("$G").withView { SHA256.shortName(of: $0) } == "szMpdrwD")
    let long = String(repeating: "a", count: 119)
    let hash = ByteString(long).withView { SHA256.hash($0) }.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    #expect(hash == "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb")
  }

  @Test("acks are understood in the long form, with the domain and the account, too")
  func longAcks() throws {
    let rig = ConsumerRig(try Rig { $0.domain = "edge" })
    rig.rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    rig.publish("s.1", "m0")
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit"}"#)
    let got = rig.fetch("S.C")
    #expect(got[0].reply.hasPrefix("$JS.ACK.S.C.1.1.1."))
    let tail = got[0].reply.dropFirst("$JS.ACK.S.C.".count)
    rig.rig.send("$JS.ACK.edge.szMpdrwD.S.C.\(tail).token", reply: false)
    rig.rig.settle()
    #expect(rig.info("S.C")["ack_floor"]?["stream_seq"]?.int == 1)
  }

  @Test("with long ack subjects chosen, messages carry them")
  func longSubjects() throws {
    let rig = ConsumerRig(try Rig { $0.usesLongAckSubjects = true })
    rig.rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    rig.publish("s.1", "m0")
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit"}"#)
    let got = rig.fetch("S.C")
    #expect(got[0].reply.hasPrefix("$JS.ACK._.szMpdrwD.S.C.1.1.1."))
    #expect(rig.confirmedAck(got[0]).count == 1)
    #expect(rig.info("S.C")["ack_floor"]?["stream_seq"]?.int == 1)
  }
}
