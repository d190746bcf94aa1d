// What must not cost messages: reads that fail, damaged records, limits that meet, deletes that a crash interrupts.
import Bytes
import JSON
import LogStore
import Platform
import Testing

@testable import JetStream

@Suite("Messages are not lost by accident")
struct DataSafetyTests {
  @Test("expiry waits when the disk cannot be read, and goes on later")
  func expiryWaits() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"],"max_age":10000000000}"#)
    for _ in 0..<5 { _ = rig.call("s", "old") }
    rig.pass(8 * second_ns)
    _ = rig.call("s", "young")
    rig.disk.readsFail = true
    rig.pass(4 * second_ns)
    let stream = try #require(rig.jetStream.stream("S"))
    #expect(stream.count == 6)
    rig.disk.readsFail = false
    rig.pass(61 * second_ns)
    #expect(stream.count == 0)
  }

  @Test("nothing expires by a wall clock that is not trusted")
  func expiryNeedsTime() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"],"max_age":10000000000}"#)
    rig.clock.isWallTrusted = false
    _ = rig.call("s", "one")
    rig.pass(300 * second_ns)
    #expect(rig.jetStream.stream("S")?.count == 1)
    rig.clock.isWallTrusted = true
    rig.pass(61 * second_ns)
    #expect(rig.jetStream.stream("S")?.count == 0)
  }

  @Test("a damaged record does not make younger messages expire")
  func expiryBesideDamage() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"],"max_age":10000000000}"#)
    _ = rig.call("s", "old")
    rig.pass(8 * second_ns)
    _ = rig.call("s", "spoiled")
    rig.disk.damage("spoiled")
    rig.pass(4 * second_ns)
    #expect(rig.jetStream.stream("S")?.lastSequence == 2)
    #expect(rig.jetStream.stream("S")?.contains(2) == true)
  }

  @Test("a consumer by start time is refused while the disk cannot be read")
  func startTimeNeedsDisk() throws {
    let rig = ConsumerRig(try Rig())
    rig.rig.create(#"{"name":"S","subjects":["s"]}"#)
    rig.publish("s", "one")
    rig.rig.disk.readsFail = true
    let config = #"{"ack_policy":"explicit","deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z"}"#
    #expect(rig.create("S", "C", config).errorCode == 10023)
    rig.rig.disk.readsFail = false
    #expect(rig.create("S", "C", config).errorCode == nil)
    #expect(rig.fetch("S.C").map(\.payload) == ["one"])
  }

  @Test("one damaged message is passed over, those behind it are delivered")
  func damagedIsPassed() throws {
    let rig = ConsumerRig(try Rig())
    rig.rig.create(#"{"name":"S","subjects":["s"]}"#)
    for text in ["one", "spoiled", "three"] { rig.publish("s", text) }
    rig.create("S", "C", #"{"ack_policy":"explicit"}"#)
    rig.rig.disk.damage("spoiled")
    #expect(rig.fetch("S.C", #"{"batch":2,"no_wait":true}"#).prefix(2).map(\.payload) == ["one", "three"])
  }

  @Test("a failing disk moves no consumer: new and pending messages come when it reads again")
  func failedReadMovesNothing() throws {
    let rig = ConsumerRig(try Rig())
    rig.rig.create(#"{"name":"S","subjects":["s"]}"#)
    // So large that none is still in a read buffer after the third was read.
    let fill = String(repeating: "x", count: 300_000)
    for text in ["one", "two", "three"] { rig.publish("s", text + fill) }
    rig.create("S", "C", #"{"ack_policy":"explicit","ack_wait":5000000000}"#)
    #expect(rig.fetch("S.C").map(\.payload) == ["one" + fill])
    #expect(rig.rig.call("$JS.API.STREAM.MSG.GET.S", #"{"seq":3}"#).errorCode == nil)
    rig.rig.disk.readsFail = true
    let inbox = rig.pull("S.C", #"{"batch":2,"expires":60000000000}"#)
    rig.rig.pass(10 * second_ns)
    #expect(rig.take(inbox).isEmpty)
    #expect(rig.info("S.C")["num_ack_pending"]?.int == 1)
    rig.rig.disk.readsFail = false
    rig.rig.pass(second_ns)
    #expect(Set(rig.take(inbox).map(\.payload)) == ["one" + fill, "two" + fill])
  }

  @Test("a purge above the last sequence leaves consumers where new messages come")
  func purgeAboveLast() throws {
    let rig = ConsumerRig(try Rig())
    rig.rig.create(#"{"name":"S","subjects":["s"]}"#)
    rig.publish("s", "one")
    rig.create("S", "C", #"{"ack_policy":"explicit"}"#)
    #expect(rig.rig.call("$JS.API.STREAM.PURGE.S", #"{"seq":1000}"#).json["purged"]?.int == 1)
    rig.publish("s", "two")
    #expect(rig.fetch("S.C").map(\.payload) == ["two"])
  }

  @Test("with discard new a larger value of a subject does not drive out other subjects")
  func discardNewKeepsOthers() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"],"storage":"memory","discard":"new","max_msgs_per_subject":1,"max_bytes":100}"#)
    let size = 16 + 3
    #expect(rig.call("s.a", String(repeating: "a", count: 50 - size)).sequence == 1)
    #expect(rig.call("s.b", String(repeating: "b", count: 50 - size)).sequence == 2)
    let refused = rig.call("s.b", String(repeating: "b", count: 51 - size))
    #expect(refused.errorCode == 10077)
    #expect(refused.errorText == "maximum bytes exceeded")
    #expect(rig.call("s.b", String(repeating: "c", count: 50 - size)).sequence == 3)
    #expect(rig.state("S")["messages"]?.int == 2)
    #expect(rig.state("S")["first_seq"]?.int == 1)
  }

  @Test("headers with an empty value count as absent, except numbers")
  func emptyHeaders() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    let names = [
      "Nats-Msg-Id", "Nats-Expected-Stream", "Nats-Expected-Last-Msg-Id", "Nats-Rollup", "Nats-TTL", "Nats-Schedule", "Nats-Batch-Id",
      "Nats-Required-Api-Level", "Nats-Expected-Last-Subject-Sequence-Subject", "Nats-Scheduler", "Nats-Stream-Source",
      "Nats-Incr",
    ]
    for round in 0..<2 {
      for (index, name) in names.enumerated() {
        let answer = rig.call("s", "x", headers: [(name, "")])
        #expect(answer.sequence == round * names.count + index + 1, "\(name): \(answer.payload)")
        #expect(answer.json["duplicate"] == nil)
      }
    }
    #expect(rig.call("s", "x", headers: [("Nats-Expected-Last-Sequence", "")]).errorCode == 10071)
  }

  @Test("consumer records without a stream go at the start, and those of an earlier stream are not taken over")
  func orphanedConsumers() throws {
    let rig = ConsumerRig(try Rig())
    rig.rig.create(#"{"name":"S","subjects":["s"]}"#)
    rig.publish("s", "one")
    rig.create("S", "C", #"{"durable_name":"C","ack_policy":"explicit"}"#)
    let store = rig.rig.store
    let key: ByteString = "consumer/$G/S/C"
    let record = try #require(store.metadata[key])
    rig.rig.pass(second_ns)
    _ = rig.rig.call("$JS.API.STREAM.DELETE.S")
    #expect(store.metadata[key] == nil)
    store.setMetadata(key, record)
    store.setMetadata("consumer/$G/T/C", record)
    rig.rig.create(#"{"name":"S","subjects":["s"]}"#)
    let again = try rig.restarted()
    #expect(again.consumers.count == 0)
    #expect(again.rig.store.metadata["consumer/$G/T/C"] == nil)
  }

  @Test("memory streams stop at the account's memory, and a stream that makes room itself goes on")
  func memoryLimit() throws {
    let rig = try Rig { $0.maxMemory = 100 }
    rig.create(#"{"name":"A","subjects":["a"],"storage":"memory"}"#)
    rig.create(#"{"name":"B","subjects":["b"],"storage":"memory","max_msgs":1}"#)
    let text = String(repeating: "x", count: 50 - 17)
    #expect(rig.call("a", text).sequence == 1)
    #expect(rig.call("b", text).sequence == 1)
    #expect(rig.call("a", text).errorCode == 10023)
    #expect(rig.call("b", text).sequence == 2)
    _ = rig.call("$JS.API.STREAM.DELETE.B")
    #expect(rig.call("a", text).sequence == 2)
    _ = rig.call("$JS.API.STREAM.PURGE.A")
    #expect(rig.call("a", text).sequence == 3)
  }
}
