// What anybody may send and what must not come of it: no crash, and no turn that lasts.
import Broker
import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("What clients send neither crashes nor holds up a server")
struct HostileInputTests {
  private static let largest = "18446744073709551615"

  @Test("a status that the stream itself takes may drop the message that is being delivered", arguments: ["file", "memory"])
  func statusIntoOwnStream(storage: String) throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["o.>"],"storage":"\#(storage)","max_msgs":1,"discard":"old"}"#)
    rig.publish("o.1", "first")
    rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit","ack_wait":1000000000}"#)
    #expect(rig.fetch("S.c").count == 1)
    rig.rig.send("$JS.API.CONSUMER.MSG.NEXT.S.c", #"{"batch":1,"max_bytes":1,"expires":60000000000}"#, replyTo: "o.x")
    let second = rig.pull("S.c", #"{"batch":1,"expires":60000000000}"#)
    rig.rig.pass(2 * second_ns)
    #expect(rig.take(second).map(\.payload) == ["first"])
    let state = rig.rig.state("S")
    #expect(state["first_seq"]?.int == 2 && state["last_seq"]?.int == 2)
    #expect(rig.info("S.c")["num_ack_pending"]?.int == 0)
  }

  @Test("a selection goes on behind a message that its own delivery made the stream drop")
  func selectionDropped() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["o.>"],"max_msgs":4,"discard":"old"}"#)
    for subject in ["a", "b", "c", "d"] { rig.publish("o.\(subject)", subject) }
    rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit","filter_subject":"o.>","deliver_policy":"last_per_subject"}"#)
    // Each message goes back into the stream, which drops one for it.
    rig.rig.send("$JS.API.CONSUMER.MSG.NEXT.S.c", #"{"batch":1}"#, replyTo: "o.x")
    rig.rig.settle()
    #expect(rig.rig.state("S")["first_seq"]?.int == 2)
    #expect(rig.fetch("S.c", #"{"batch":3}"#).map(\.payload) == ["b", "c", "d"])
  }

  @Test("a consumer of a mirror may begin beyond all sequences")
  func startBeyond() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s"],"retention":"interest"}"#)
    func create(_ name: String, _ start: String) -> Received {
      rig.create(
        "S", name,
        #"{"name":"\#(name)","direct":true,"flow_control":true,"idle_heartbeat":1000000000,"ack_policy":"none","deliver_subject":"d.\#(name)","deliver_policy":"by_start_sequence","opt_start_seq":\#(start)}"#
      )
    }
    #expect(create("m1", "1").errorCode == nil)
    rig.publish("s", "kept")
    #expect(create("m2", Self.largest).errorCode == nil)
    #expect(rig.rig.state("S")["last_seq"]?.int == 1)
    #expect(rig.rig.jetStream.stream("S")?.count == 0)
    rig.publish("s", "next")
    #expect(rig.rig.state("S")["last_seq"]?.int == 2)
  }

  @Test("a consumer that is reset beyond all sequences stays there")
  func resetBeyond() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s"]}"#)
    rig.publish("s")
    rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit"}"#)
    #expect(rig.rig.call("$JS.API.CONSUMER.RESET.S.c", #"{"seq":\#(Self.largest)}"#).errorCode == nil)
    rig.publish("s")
    #expect(rig.fetch("S.c", #"{"no_wait":true}"#).map(\.status) == ["404 No Messages"])
    #expect(rig.rig.call("$JS.API.CONSUMER.DELETE.S.c").errorCode == nil)
  }

  @Test("a backup with a sequence beyond all that a server gives is refused", arguments: ["file", "memory"])
  func restoredBeyond(storage: String) throws {
    for sequence in [UInt64(1) << 62, 1 << 63, .max] {
      let rig = try Rig()
      var archive = MadeArchive(last: 1)
      archive.add("s", sequence: sequence)
      archive.end()
      let answer = rig.restore(#"{"name":"S","subjects":["s"],"storage":"\#(storage)"}"#, archive)
      #expect(answer.errorText == "restore failed: message sequence is out of range")
    }
    let rig = try Rig()
    var archive = MadeArchive(last: (1 << 62) - 1)
    archive.add("s", sequence: (1 << 62) - 1)
    archive.end()
    #expect(rig.restore(#"{"name":"S","subjects":["s"],"storage":"\#(storage)"}"#, archive).errorCode == nil)
    // One more fits; then the stream is full.
    #expect(rig.call("s").sequence == 1 << 62)
    #expect(rig.call("s").errorCode != nil)
    #expect(rig.call("s").errorCode != nil)
    #expect(rig.state("S")["messages"]?.int == 2)
  }

  @Test("a source's place in a backup that cannot be is passed over")
  func restoredPlace() throws {
    let rig = try Rig()
    let config = #"{"name":"S","sources":[{"name":"O"}]}"#
    var archive = MadeArchive(last: 1)
    archive.add("s", sequence: 1, headers: "NATS/1.0\r\nNats-Stream-Source: O \(Self.largest) > >\r\n\r\n")
    archive.end()
    #expect(rig.restore(config, archive).errorCode == nil)
    var asked: [String] = []
    rig.account.subscribe("$JS.API.CONSUMER.CREATE.O") { message, _ in asked.append(message.payload.string) }
    rig.pass(60 * second_ns)
    #expect(!asked.isEmpty && !asked.contains { $0.contains("opt_start_seq") })
  }

  @Test("what an origin delivers beyond all sequences is not taken")
  func originBeyond() {
    func delivery(_ sequence: String, _ number: String) -> OriginDelivery? {
      ByteString("$JS.ACK.O.c.1.\(sequence).\(number).1800000000000000000.0").withView { OriginDelivery($0) }.map { $0 }
    }
    #expect(delivery("7", "7") != nil)
    #expect(delivery(Self.largest, "7") == nil)
    #expect(delivery("7", Self.largest) == nil)
  }

  @Test("the last message is found over a gap that nobody can walk", arguments: ["file", "memory"])
  func longGap(storage: String) throws {
    let rig = try ConsumerRig()
    var archive = MadeArchive(last: 1 << 61)
    for sequence in UInt64(1)...3 { archive.add("s.\(sequence)", sequence: sequence, payload: "\(sequence)") }
    archive.end()
    #expect(rig.rig.restore(#"{"name":"S","subjects":["s.>"],"storage":"\#(storage)"}"#, archive).errorCode == nil)
    #expect(rig.rig.state("S")["last_seq"]?.int64 == 1 << 61)
    let found = rig.rig.call("$JS.API.STREAM.MSG.GET.S", #"{"last_by_subj":">"}"#).json["message"]
    #expect(found?["seq"]?.int == 3)
    rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit","deliver_policy":"last"}"#)
    #expect(rig.fetch("S.c").map(\.payload) == ["3"])
    #expect(
      rig.create("S", "d", #"{"durable_name":"d","deliver_policy":"by_start_sequence","opt_start_seq":2}"#).json["num_pending"]?.int == 2)
  }

  @Test("an entry of a backup that is larger than anything can be is refused before it is collected")
  func hugeEntry() throws {
    let config = #"{"name":"S","subjects":["s"]}"#
    var message = MadeArchive(last: 1)
    message.claim("s", sequence: 1, payload: 8 << 20)
    #expect(try Rig().restore(config, message).errorText == "restore failed: message exceeds maximum message size")
    var consumer = MadeArchive(last: 1, consumers: 1)
    consumer.claim("consumers/c", sequence: 0, payload: 64 << 20)
    #expect(try Rig().restore(config, consumer).errorText == "restore failed: an entry is too large")
    // Many that are small are too much together.
    var many = MadeArchive(last: 1, consumers: 600)
    let nested = "[" + Array(repeating: "0", count: 2000).joined(separator: ",") + "]"
    for number in 0..<600 { many.add("consumers/\(number)", payload: #"{"config":{"metadata":\#(nested)},"state":{}}"#) }
    #expect(try Rig().restore(config, many).errorText == "restore failed: the consumers take too much memory")
  }
}
