import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("Consumers")
struct ConsumerTests {
  /// A stream S with `count` messages m0… on s.0, s.1, s.2 in turn.
  static func filled(_ count: Int = 10) throws -> ConsumerRig {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    for index in 0..<count { rig.publish("s.\(index % 3)", "m\(index)") }
    return rig
  }

  static let explicit = #"{"durable_name":"C","ack_policy":"explicit"}"#

  @Test("a pull gets messages with their stored subject and an ack subject with its numbers")
  func pulls() throws {
    let rig = try Self.filled()
    #expect(rig.create("S", "C", Self.explicit).errorCode == nil)
    let got = rig.fetch("S.C", "2")
    #expect(got.map(\.subject) == ["s.0", "s.1"])
    #expect(got.map(\.payload) == ["m0", "m1"])
    #expect(got.map(\.numbers) == [[1, 1, 1, 9], [1, 2, 2, 8]])
    let info = rig.info("S.C")
    #expect(info["num_ack_pending"]?.int == 2)
    #expect(info["num_pending"]?.int == 8)
    #expect(info["delivered"]?["stream_seq"]?.int == 2)
  }

  @Test("acks move the floor, and a confirmation is sent where one is asked for")
  func acks() throws {
    let rig = try Self.filled()
    rig.create("S", "C", Self.explicit)
    let got = rig.fetch("S.C", "3")
    rig.ack(got[1])
    #expect(rig.info("S.C")["ack_floor"]?["stream_seq"]?.int == 0)
    let confirmation = rig.confirmedAck(got[0], "+ACK")
    #expect(confirmation.count == 1 && confirmation[0].payload.isEmpty && confirmation[0].headers.isEmpty)
    #expect(rig.info("S.C")["ack_floor"]?["stream_seq"]?.int == 2)
    #expect(rig.confirmedAck(got[0], "-NAK").count == 1)
    #expect(rig.confirmedAck(got[0], "zzz").count == 1)
    rig.ack(got[2], "+TERM no good")
    let info = rig.info("S.C")
    #expect(info["ack_floor"]?["consumer_seq"]?.int == 3)
    #expect(info["num_ack_pending"]?.int == 0)
  }

  @Test("what is not acknowledged in time goes out again, before anything new")
  func redelivers() throws {
    let rig = try Self.filled()
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit","ack_wait":1000000000}"#)
    let got = rig.fetch("S.C", "2")
    rig.ack(got[0])
    rig.rig.pass(1_100_000_000)
    let again = rig.fetch("S.C", "2")
    #expect(again.map(\.payload) == ["m1", "m2"])
    #expect(again.map(\.numbers) == [[2, 2, 3, 8], [1, 3, 4, 7]])
    #expect(rig.info("S.C")["num_redelivered"]?.int == 1)
  }

  @Test("a refused message goes out again at once, or after its delay")
  func refuses() throws {
    let rig = try Self.filled(2)
    rig.create("S", "C", Self.explicit)
    let got = rig.fetch("S.C", "2")
    rig.ack(got[1], "-NAK")
    #expect(rig.fetch("S.C").map(\.payload) == ["m1"])
    rig.ack(got[0], #"-NAK {"delay":2000000000}"#)
    let waiting = rig.pull("S.C", #"{"batch":1,"expires":5000000000}"#)
    rig.rig.pass(1_900_000_000)
    #expect(rig.take(waiting).isEmpty)
    rig.rig.pass(200_000_000)
    #expect(rig.take(waiting).map(\.payload) == ["m0"])
  }

  @Test("a message is delivered max_deliver times and then given up")
  func givesUp() throws {
    let rig = try Self.filled(2)
    rig.create(
      "S", "C", #"{"durable_name":"C","ack_policy":"explicit","ack_wait":500000000,"max_deliver":2,"max_ack_pending":1}"#)
    #expect(rig.fetch("S.C").map(\.payload) == ["m0"])
    let waiting = rig.pull("S.C", #"{"batch":5,"expires":3000000000}"#)
    rig.rig.pass(1_200_000_000)
    let got = rig.take(waiting)
    #expect(got.map(\.numbers) == [[2, 1, 2, 1], [1, 2, 3, 0]])
  }

  @Test("max_ack_pending holds new messages back until an ack comes")
  func holdsBack() throws {
    let rig = try Self.filled(3)
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit","max_ack_pending":1}"#)
    let waiting = rig.pull("S.C", #"{"batch":3,"expires":3000000000}"#)
    rig.rig.settle()
    let first = rig.take(waiting)
    #expect(first.map(\.payload) == ["m0"])
    // Stalled: a request that does not wait gets nothing until a slot is free.
    rig.ack(first[0])
    #expect(rig.take(waiting).map(\.payload) == ["m1"])
  }

  @Test("a request that does not wait ends at max_ack_pending when its heartbeat is due")
  func stalledNoWait() throws {
    let rig = try Self.filled(3)
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit","max_ack_pending":1}"#)
    let reply = rig.pull("S.C", #"{"batch":3,"no_wait":true,"expires":3000000000,"idle_heartbeat":1000000000}"#)
    rig.rig.settle()
    #expect(rig.take(reply).map(\.payload) == ["m0"])
    rig.rig.pass(1_100_000_000)
    #expect(rig.take(reply).map(\.status) == ["404 No Messages"])
  }

  @Test("requests for more than any machine has are taken")
  func hugeRequests() throws {
    let request = try [UInt8](#"{"batch":9223372036854775807,"max_bytes":3000000000}"#.utf8).withView { try PullRequest.decode($0) }
    #expect(request.batch == Int(clamping: Int64.max) && request.maxBytes == Int(clamping: 3_000_000_000 as Int64))
    let rig = try Self.filled(0)
    rig.create("S", "C", Self.explicit)
    for _ in 0..<3 { rig.pull("S.C", #"{"batch":9223372036854775807,"expires":3000000000}"#) }
    rig.publish("s.1", "x")
    #expect(rig.info("S.C")["num_waiting"]?.int == 3)
  }

  @Test("requests end with the statuses of nats-server")
  func statuses() throws {
    let rig = try Self.filled(1)
    rig.create("S", "C", Self.explicit)
    #expect(rig.fetch("S.NOPE").map(\.status) == ["503"])
    #expect(rig.fetch("S.C", #"{"batch":5,"no_wait":true}"#).map(\.status) == ["", "404 No Messages"])
    #expect(rig.fetch("S.C", #"{"batch":1,"no_wait":true}"#).map(\.headers) == ["NATS/1.0 404 No Messages\r\n\r\n"])
    let waiting = rig.pull("S.C", #"{"batch":5,"expires":200000000}"#)
    rig.rig.pass(300_000_000)
    #expect(
      rig.take(waiting).map(\.headers) == [
        "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 5\r\nNats-Pending-Bytes: 0\r\n\r\n"
      ])
    #expect(
      rig.fetch("S.C", #"{"batch":5,"expires":300000000,"idle_heartbeat":200000000}"#).map(\.status)
        == ["400 Bad Request - heartbeat value too large"])
    #expect(
      rig.fetch("S.C", "{x").map(\.status)
        == ["400 Bad Request - invalid character 'x' looking for beginning of object key string"])
    #expect(rig.fetch("S.C", "zzz").isEmpty)
  }

  @Test("limits of the consumer and of the request are kept")
  func limits() throws {
    let rig = try Self.filled(11)
    rig.create(
      "S", "PLIM",
      #"{"durable_name":"PLIM","ack_policy":"explicit","max_batch":2,"max_expires":1000000000,"max_bytes":100,"max_waiting":1}"#)
    #expect(rig.fetch("S.PLIM", #"{"batch":3}"#).map(\.status) == ["409 Exceeded MaxRequestBatch of 2"])
    #expect(rig.fetch("S.PLIM", #"{"expires":2000000000}"#).map(\.status) == ["409 Exceeded MaxRequestExpires of 1s"])
    #expect(rig.fetch("S.PLIM", #"{"max_bytes":1000}"#).map(\.status) == ["409 Exceeded MaxRequestMaxBytes of 100"])
    #expect(
      rig.fetch("S.PLIM", #"{"batch":2,"max_bytes":10}"#).map(\.headers) == [
        "NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 2\r\nNats-Pending-Bytes: 10\r\n\r\n"
      ])
    let got = rig.fetch("S.PLIM", #"{"batch":2,"max_bytes":70,"expires":300000000}"#)
    #expect(got.map(\.status) == ["", "409 Message Size Exceeds MaxBytes"])
    #expect(got[1].headers.contains("Nats-Pending-Messages: 1\r\nNats-Pending-Bytes: 22\r\n"))
  }

  @Test("too many waiting requests are refused, silently when they have a heartbeat")
  func maxWaiting() throws {
    let rig = try Self.filled(0)
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit","max_waiting":1}"#)
    rig.pull("S.C", #"{"expires":2000000000}"#)
    #expect(rig.fetch("S.C", #"{"expires":2000000000}"#).map(\.status) == ["409 Exceeded MaxWaiting"])
    #expect(rig.fetch("S.C", #"{"expires":2000000000,"idle_heartbeat":500000000}"#).isEmpty)
  }

  @Test("a request whose reply nobody listens to any more is passed over")
  func deserted() throws {
    let rig = try Self.filled(0)
    rig.create("S", "C", Self.explicit)
    let gone = rig.pull("S.C", #"{"expires":5000000000}"#)
    let there = rig.pull("S.C", #"{"expires":5000000000}"#)
    rig.stopListening(gone)
    rig.publish("s.1", "x")
    #expect(rig.take(there).map(\.payload) == ["x"])
    #expect(rig.info("S.C")["num_waiting"]?.int == 0)
  }

  @Test("waiting requests are served in turn")
  func roundRobin() throws {
    let rig = try Self.filled(0)
    rig.create("S", "C", Self.explicit)
    let one = rig.pull("S.C", #"{"batch":2,"expires":5000000000}"#)
    let other = rig.pull("S.C", #"{"batch":2,"expires":5000000000}"#)
    for index in 0..<4 { rig.publish("s.1", "\(index)") }
    #expect(rig.take(one).map(\.payload) == ["0", "2"])
    #expect(rig.take(other).map(\.payload) == ["1", "3"])
  }

  @Test("idle requests get heartbeats")
  func heartbeats() throws {
    let rig = try Self.filled(1)
    rig.create("S", "C", Self.explicit)
    let reply = rig.pull("S.C", #"{"batch":2,"expires":5000000000,"idle_heartbeat":1000000000}"#)
    rig.rig.pass(1_500_000_000)
    let got = rig.take(reply)
    #expect(got.map(\.status) == ["", "100 Idle Heartbeat"])
    #expect(got[1].headers == "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n")
  }

  @Test("filters and deliver policies choose what is delivered")
  func policies() throws {
    let rig = try Self.filled(11)
    func payloads(_ config: String) -> [String] {
      rig.create("S", "P", config)
      defer { _ = rig.rig.call("$JS.API.CONSUMER.DELETE.S.P") }
      return rig.fetch("S.P", #"{"batch":20,"no_wait":true}"#).filter { $0.status.isEmpty }.map(\.payload)
    }
    #expect(payloads(#"{"filter_subject":"s.1"}"#) == ["m1", "m4", "m7", "m10"])
    #expect(payloads(#"{"filter_subjects":["s.1","s.2"]}"#) == ["m1", "m2", "m4", "m5", "m7", "m8", "m10"])
    #expect(payloads(#"{"deliver_policy":"last"}"#) == ["m10"])
    #expect(payloads(#"{"deliver_policy":"new"}"#) == [])
    #expect(payloads(#"{"deliver_policy":"by_start_sequence","opt_start_seq":10}"#) == ["m9", "m10"])
    #expect(payloads(#"{"deliver_policy":"last_per_subject","filter_subject":"s.*"}"#) == ["m8", "m9", "m10"])
    #expect(payloads(#"{"deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z"}"#).count == 11)
    #expect(payloads(#"{"filter_subject":"zzz"}"#) == [])
  }

  @Test("a filter that hardly ever matches is searched for in pieces, and nothing is passed over")
  func sparse() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"],"storage":"memory"}"#)
    for index in 0..<20_000 {
      rig.rig.send(index % 5000 == 4999 ? "s.rare.\(index)" : "s.often", "m\(index)", reply: false)
    }
    rig.rig.settle()
    rig.create("S", "C", #"{"durable_name":"C","filter_subject":"s.rare.*"}"#)
    #expect(rig.info("S.C")["num_pending"]?.int == 4)
    let reply = rig.pull("S.C", #"{"batch":10,"no_wait":true}"#)
    rig.rig.endTurn()
    // Not all in one turn: others get theirs.
    #expect(rig.take(reply).count < 4)
    rig.rig.settle()
    #expect(rig.info("S.C")["num_pending"]?.int == 0)
    rig.create("S", "D", #"{"durable_name":"D","filter_subject":"s.rare.*"}"#)
    #expect(rig.fetch("S.D", #"{"batch":10,"no_wait":true}"#).map(\.payload) == ["m4999", "m9999", "m14999", "m19999", ""])
    // Counted from either end.
    for (start, left) in [(2, 19_995), (15_000, 4999)] {
      rig.create(
        "S", "E", #"{"name":"E","filter_subject":"s.often","deliver_policy":"by_start_sequence","opt_start_seq":\#(start)}"#)
      #expect(rig.info("S.E")["num_pending"]?.int == left)
      _ = rig.rig.call("$JS.API.CONSUMER.DELETE.S.E")
    }
    // Filters that name their subjects need no search.
    rig.create("S", "F", #"{"durable_name":"F","filter_subjects":["s.rare.9999","s.rare.19999","s.none"]}"#)
    let named = rig.pull("S.F", #"{"batch":2}"#)
    #expect(rig.take(named).map(\.payload) == ["m9999", "m19999"])
  }

  @Test("headers_only leaves the payload out and says its size")
  func headersOnly() throws {
    let rig = try Self.filled(1)
    rig.create("S", "C", #"{"durable_name":"C","headers_only":true}"#)
    let got = rig.fetch("S.C")
    #expect(got.map(\.headers) == ["NATS/1.0\r\nNats-Msg-Size: 2\r\n\r\n"])
    #expect(got.map(\.payload) == [""])
  }

  @Test("+NXT acknowledges and asks for the next messages")
  func next() throws {
    let rig = try Self.filled()
    rig.create("S", "C", Self.explicit)
    let got = rig.fetch("S.C")
    #expect(rig.confirmedAck(got[0], "+NXT").map(\.payload) == ["m1"])
    #expect(rig.info("S.C")["num_ack_pending"]?.int == 1)
  }

  @Test("an ack of ack policy all covers what came before")
  func ackAll() throws {
    let rig = try Self.filled()
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"all"}"#)
    let got = rig.fetch("S.C", "5")
    rig.ack(got[2])
    let info = rig.info("S.C")
    #expect(info["num_ack_pending"]?.int == 2)
    #expect(info["ack_floor"]?["stream_seq"]?.int == 3)
  }

  @Test("deleted messages do not wait for acks, and are not delivered")
  func deleted() throws {
    let rig = try Self.filled(4)
    rig.create("S", "C", Self.explicit)
    _ = rig.fetch("S.C", "1")
    _ = rig.rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":1}"#)
    _ = rig.rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":3}"#)
    #expect(rig.info("S.C")["num_ack_pending"]?.int == 0)
    #expect(rig.info("S.C")["num_pending"]?.int == 2)
    let rest = rig.fetch("S.C", #"{"batch":5,"no_wait":true}"#)
    #expect(rest.filter { $0.status.isEmpty }.map(\.payload) == ["m1", "m3"])
    _ = rig.rig.call("$JS.API.STREAM.PURGE.S")
    #expect(rig.info("S.C")["num_ack_pending"]?.int == 0)
    rig.publish("s.0", "new")
    #expect(rig.fetch("S.C").map(\.payload) == ["new"])
  }

  @Test("deleting a consumer or its stream ends what waits")
  func ends() throws {
    let rig = try Self.filled(0)
    rig.create("S", "C", Self.explicit)
    let one = rig.pull("S.C", #"{"expires":5000000000}"#)
    #expect(rig.rig.call("$JS.API.CONSUMER.DELETE.S.C").json["success"]?.bool == true)
    #expect(rig.take(one).map(\.headers) == ["NATS/1.0 409 Consumer Deleted\r\n\r\n"])
    #expect(rig.rig.call("$JS.API.CONSUMER.INFO.S.C").errorCode == 10014)
    rig.create("S", "C", Self.explicit)
    let other = rig.pull("S.C", #"{"expires":5000000000}"#)
    _ = rig.rig.call("$JS.API.STREAM.DELETE.S")
    #expect(rig.take(other).map(\.status) == ["409 Consumer Deleted"])
  }

  @Test("an ephemeral consumer goes when nobody used it for its threshold")
  func inactive() throws {
    let rig = try Self.filled(0)
    rig.create("S", "E", #"{"name":"E","ack_policy":"none"}"#)
    rig.rig.pass(4_000_000_000)
    let waiting = rig.pull("S.E", #"{"expires":8000000000}"#)
    rig.rig.pass(7_900_000_000)
    #expect(rig.info("S.E")["name"] != nil)
    rig.rig.pass(7_000_000_000)
    #expect(rig.take(waiting).map(\.status) == ["408 Request Timeout"])
    #expect(rig.rig.call("$JS.API.CONSUMER.INFO.S.E").errorCode == 10014)
  }

  @Test("a paused consumer answers but delivers nothing until its time")
  func paused() throws {
    let rig = try Self.filled(1)
    rig.create("S", "C", Self.explicit)
    let until = RFC3339.format(rig.rig.clock.wall_ns + 10 * second_ns).string
    #expect(rig.rig.call("$JS.API.CONSUMER.PAUSE.S.C", #"{"pause_until":"\#(until)"}"#).json["paused"]?.bool == true)
    #expect(rig.fetch("S.C", #"{"no_wait":true}"#).map(\.status) == ["404 No Messages"])
    let waiting = rig.pull("S.C", #"{"expires":20000000000}"#)
    rig.rig.pass(5 * second_ns)
    #expect(rig.take(waiting).isEmpty)
    rig.rig.pass(6 * second_ns)
    #expect(rig.take(waiting).map(\.payload) == ["m0"])
  }

  @Test("after a power cut nothing unacknowledged is lost")
  func restarts() throws {
    var rig = try Self.filled()
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit","ack_wait":1000000000}"#)
    rig.create("S", "N", #"{"durable_name":"N","deliver_policy":"new"}"#)
    let got = rig.fetch("S.C", "5")
    rig.ack(got[0])
    rig.ack(got[3])
    rig.publish("s.0", "late")
    rig.rig.pass(2 * second_ns)
    rig.fetch("S.C", "1").forEach { rig.ack($0) }
    rig = try rig.restarted()
    rig.rig.pass(2 * second_ns)
    let again = rig.fetch("S.C", #"{"batch":50,"no_wait":true}"#).filter { $0.status.isEmpty }.map(\.payload)
    #expect(Set(again).isSuperset(of: ["m2", "m4", "m5", "m6", "m7", "m8", "m9", "late"]))
    #expect(!again.contains("m0") && !again.contains("m3"))
    #expect(rig.fetch("S.N").map(\.payload) == ["late"])
  }

  @Test("an orderly stop tells who waits and keeps what was acknowledged")
  func stops() throws {
    var rig = try Self.filled(3)
    rig.create("S", "C", Self.explicit)
    for message in rig.fetch("S.C", "3") { rig.ack(message) }
    let waiting = rig.pull("S.C", #"{"batch":3,"expires":20000000000}"#)
    rig.rig.settle()
    rig.consumers.serverStops()
    rig.rig.settle()
    #expect(
      rig.take(waiting).map(\.headers) == [
        "NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0\r\n\r\n"
      ])
    rig = try rig.restarted()
    #expect(rig.fetch("S.C", #"{"no_wait":true}"#).map(\.status) == ["404 No Messages"])
    #expect(rig.info("S.C")["ack_floor"]?["stream_seq"]?.int == 3)
  }

  @Test("a push consumer delivers while somebody listens, with heartbeats")
  func pushes() throws {
    let rig = try Self.filled(2)
    rig.create("S", "P", #"{"durable_name":"P","deliver_subject":"d.p","idle_heartbeat":1000000000,"flow_control":true}"#)
    #expect(rig.info("S.P")["push_bound"] == nil)
    rig.listen("d.p")
    rig.rig.settle()
    #expect(rig.take("d.p").map(\.payload) == ["m0", "m1"])
    rig.publish("s.1", "more")
    #expect(rig.take("d.p").map(\.payload) == ["more"])
    rig.rig.pass(1_500_000_000)
    #expect(rig.take("d.p").map(\.status) == ["100 Idle Heartbeat"])
    #expect(rig.info("S.P")["push_bound"]?.bool == true)
    #expect(rig.fetch("S.P").map(\.status) == ["409 Consumer is push based"])
  }

  @Test("flow control holds a push consumer back until its receiver answers")
  func flowControl() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"],"storage":"memory"}"#)
    let payload = String(repeating: "x", count: 100_000)
    for _ in 0..<60 { rig.publish("s.1", payload) }
    rig.listen("d")
    rig.create("S", "P", #"{"name":"P","deliver_subject":"d","idle_heartbeat":1000000000,"flow_control":true}"#)
    rig.rig.settle()
    let got = rig.take("d")
    let question = try #require(got.first { $0.status == "100 FlowControl Request" })
    #expect(question.reply.hasPrefix("$JS.FC.S.P."))
    #expect(got.filter { $0.status.isEmpty }.count == 21)
    rig.rig.pass(1_100_000_000)
    #expect(rig.take("d").first?.headers.contains("Nats-Consumer-Stalled: \(question.reply)") == true)
    rig.rig.send(question.reply, reply: false)
    rig.rig.settle()
    #expect(rig.take("d").filter { $0.status.isEmpty }.count > 0)
  }
}
