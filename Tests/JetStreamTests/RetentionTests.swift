// Interest and workqueue retention: what goes when, and what stays.
import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("Retention by interest") struct RetentionTests {
  private func count(_ rig: ConsumerRig, _ stream: String) -> Int { rig.rig.state(stream)["messages"]?.int ?? -1 }

  @Test("a message nobody is interested in is acknowledged, counted and not kept")
  func nobodyInterested() throws {
    let rig = try ConsumerRig()
    #expect(rig.rig.create(#"{"name":"I","subjects":["i.>"],"retention":"interest"}"#).errorCode == nil)
    #expect(rig.rig.call("i.a", "one").sequence == 1)
    #expect(rig.rig.call("i.a", "two").sequence == 2)
    #expect(rig.rig.state("I")["messages"]?.int == 0)
    #expect(rig.rig.state("I")["last_seq"]?.int == 2)
    #expect(rig.rig.state("I")["first_seq"]?.int == 3)
    rig.create("I", "c", #"{"durable_name":"c","ack_policy":"explicit","filter_subject":"i.a"}"#)
    #expect(rig.rig.call("i.a", "three").sequence == 3)
    #expect(rig.rig.call("i.b", "four").sequence == 4)
    #expect(rig.rig.call("i.a", "five").sequence == 5)
    #expect(count(rig, "I") == 2)
    #expect(rig.rig.state("I")["num_deleted"]?.int == 1)
    // The same after a power cut.
    let again = try rig.restarted()
    #expect(count(again, "I") == 2)
    #expect(again.fetch("I.c", #"{"batch":5,"no_wait":true}"#).prefix(2).map(\.payload) == ["three", "five"])
    #expect(again.rig.call("i.b").sequence == 6)
  }

  @Test("a message goes when the last interested consumer has acknowledged it")
  func lastAck() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"I","subjects":["i.>"],"retention":"interest"}"#)
    for name in ["c", "d"] { rig.create("I", name, #"{"durable_name":"\#(name)","ack_policy":"explicit"}"#) }
    for number in 1...3 { rig.publish("i.a", "\(number)") }
    for message in rig.fetch("I.c", #"{"batch":3}"#) { rig.ack(message) }
    #expect(count(rig, "I") == 3)
    let second = rig.fetch("I.d", #"{"batch":3}"#)
    rig.ack(second[1])
    #expect(count(rig, "I") == 2)
    rig.ack(second[0], "+TERM")
    #expect(count(rig, "I") == 1)
    rig.ack(second[2], "-NAK")
    #expect(count(rig, "I") == 1)
  }

  @Test("deleting a consumer releases what only it waited for, also after a restart")
  func deletedConsumer() throws {
    var rig = try ConsumerRig()
    rig.rig.create(#"{"name":"I","subjects":["i.>"],"retention":"interest"}"#)
    for name in ["c", "d"] { rig.create("I", name, #"{"durable_name":"\#(name)","ack_policy":"explicit"}"#) }
    for number in 1...2000 { rig.rig.send("i.a", "\(number)") }
    rig.rig.settle()
    for _ in 0..<4 { for message in rig.fetch("I.c", #"{"batch":250}"#) { rig.ack(message) } }
    #expect(count(rig, "I") == 2000)
    rig.rig.pass(2 * second_ns)
    rig = try rig.restarted()
    #expect(rig.rig.call("$JS.API.CONSUMER.DELETE.I.d").json["success"]?.bool == true)
    rig.rig.settle()
    #expect(count(rig, "I") == 1000)
    #expect(rig.rig.state("I")["first_seq"]?.int == 1001)
    #expect(rig.rig.call("$JS.API.CONSUMER.DELETE.I.c").json["success"]?.bool == true)
    rig.rig.settle()
    #expect(count(rig, "I") == 0)
    #expect(rig.rig.state("I")["first_seq"]?.int == 2001)
  }

  @Test("a consumer without acks is done with what was delivered, one with ack all with everything before")
  func otherPolicies() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"I","subjects":["i.>"],"retention":"interest"}"#)
    rig.create("I", "none", #"{"durable_name":"none","ack_policy":"none"}"#)
    rig.publish("i.a")
    #expect(count(rig, "I") == 1)
    #expect(rig.fetch("I.none", #"{"batch":1}"#).count == 1)
    #expect(count(rig, "I") == 0)
    rig.create("I", "all", #"{"durable_name":"all","ack_policy":"all"}"#)
    for _ in 1...5 { rig.publish("i.a") }
    _ = rig.fetch("I.none", #"{"batch":5}"#)
    let messages = rig.fetch("I.all", #"{"batch":5}"#)
    rig.ack(messages[3])
    #expect(count(rig, "I") == 1)
  }

  @Test("what consumers are done with in any order is looked at once and in order")
  func releaseQueue() {
    var queue = ReleaseQueue()
    // Odd ones backwards, then even ones: never more than one range per hole, and one at the end. What took time for each range that
    // waits would not end here.
    let last: UInt64 = 200_000
    for sequence in stride(from: last - 1, through: 1, by: -2) { queue.add(sequence...sequence) }
    #expect(queue.first == 1...1)
    queue.advance(to: 2)
    #expect(queue.first == 3...3)
    for sequence in stride(from: 2, through: last, by: 2) { queue.add(sequence...sequence) }
    #expect(queue.first == 2...last)
    queue.advance(to: 70_001)
    queue.add(5...6)
    #expect(queue.first == 5...6)
    queue.advance(to: 7)
    #expect(queue.first == 70_001...last)
    queue.advance(to: last + 1)
    #expect(queue.first == nil)
  }

  @Test("acks in any order release a work queue")
  func acksInAnyOrder() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"W","subjects":["w.>"],"retention":"workqueue"}"#)
    rig.create("W", "c", #"{"durable_name":"c","ack_policy":"explicit","max_ack_pending":5000}"#)
    for number in 1...3000 { rig.rig.send("w.\(number % 7)", "\(number)") }
    rig.rig.settle()
    var messages: [Delivered] = []
    for _ in 0..<6 { messages += rig.fetch("W.c", #"{"batch":500}"#) }
    #expect(messages.count == 3000)
    for index in 0..<3000 where index * 7 % 3000 != 1234 { rig.rig.send(messages[index * 7 % 3000].reply, "+ACK", reply: false) }
    rig.rig.settle()
    let state = rig.rig.state("W")
    #expect(state["messages"]?.int == 1 && state["first_seq"]?.int == 1235)
    #expect(state["num_subjects"]?.int == 1)
  }

  @Test("a work queue keeps messages until they are acknowledged, with or without a consumer")
  func workqueue() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"W","subjects":["w.>"],"retention":"workqueue"}"#)
    rig.publish("w.a", "1")
    rig.publish("w.b", "2")
    rig.publish("w.a", "3")
    rig.create("W", "a", #"{"durable_name":"a","ack_policy":"explicit","filter_subject":"w.a"}"#)
    let messages = rig.fetch("W.a", #"{"batch":2}"#)
    #expect(messages.map(\.payload) == ["1", "3"])
    rig.ack(messages[0])
    #expect(count(rig, "W") == 2)
    #expect(rig.rig.call("$JS.API.CONSUMER.DELETE.W.a").json["success"]?.bool == true)
    #expect(count(rig, "W") == 2)
    // The next one gets what was not acknowledged.
    rig.create("W", "all", #"{"durable_name":"all","ack_policy":"explicit"}"#)
    #expect(rig.fetch("W.all", #"{"batch":3,"no_wait":true}"#).prefix(2).map(\.payload) == ["2", "3"])
  }

  @Test("consumers of a work queue share it without overlap")
  func workqueueRules() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"W","subjects":["w.>"],"retention":"workqueue"}"#)
    func create(_ name: String, _ config: String) -> Int? {
      rig.create("W", name, #"{"durable_name":"\#(name)","# + config + "}").errorCode
    }
    #expect(create("x", #""ack_policy":"all""#) == 10098)
    #expect(create("x", #""ack_policy":"none""#) == 10084)
    #expect(create("x", #""ack_policy":"explicit","deliver_policy":"new""#) == 10101)
    #expect(create("a", #""ack_policy":"explicit","filter_subject":"w.a""#) == nil)
    #expect(create("x", #""ack_policy":"explicit""#) == 10099)
    #expect(create("x", #""ack_policy":"explicit","filter_subject":"w.*""#) == 10100)
    #expect(create("b", #""ack_policy":"explicit","filter_subject":"w.b""#) == nil)
    #expect(create("b", #""ack_policy":"explicit","filter_subject":"w.a""#) == 10100)
    let change = rig.rig.call("$JS.API.STREAM.UPDATE.W", #"{"name":"W","subjects":["w.>"],"retention":"limits"}"#)
    #expect(change.errorCode == 10052)
  }

  @Test("a stream that turns to interest lets go of what its consumers have acknowledged")
  func turnsToInterest() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit"}"#)
    for _ in 1...10 { rig.publish("s.a") }
    for message in rig.fetch("S.c", #"{"batch":4}"#) { rig.ack(message) }
    #expect(count(rig, "S") == 10)
    _ = rig.rig.call("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s.>"],"retention":"interest"}"#)
    rig.rig.settle()
    #expect(count(rig, "S") == 6)
  }
}

@Suite("The limit per subject") struct SubjectLimitTests {
  /// What a stream should hold: the newest `limit` messages of each subject.
  private struct Model {
    let limit: Int
    var messages: [String: [String]] = [:]

    mutating func publish(_ subject: String, _ payload: String) {
      messages[subject, default: []].append(payload)
      if messages[subject]!.count > limit { messages[subject]!.removeFirst() }
    }
  }

  private func contents(_ rig: Rig) -> [String: [String]] {
    var found: [String: [String]] = [:]
    rig.jetStream.stream(ByteString("S"))?.scan(from: 0) { message in
      found[message.subject.string, default: []].append(message.payload.string)
      return true
    }
    return found
  }

  @Test("each subject keeps its newest messages, from the first one on and after a start", arguments: ["file", "memory"], [2, 3, 7])
  func newest(storage: String, limit: Int) throws {
    var rig = try Rig()
    var random = SystemRandomNumberGenerator()
    rig.create(#"{"name":"S","subjects":["s.>"],"storage":"\#(storage)","max_msgs_per_subject":\#(limit)}"#)
    var model = Model(limit: limit)
    var number = 0
    for round in 0..<3 {
      for _ in 0..<800 {
        number += 1
        // Some subjects get much, some little.
        let subject = "s.\(min(Int.random(in: 0..<60, using: &random), Int.random(in: 0..<60, using: &random)))"
        model.publish(subject, "\(number)")
        rig.send(subject, "\(number)", reply: false)
        if number % 100 == 0 { rig.settle() }
      }
      rig.settle()
      #expect(contents(rig) == model.messages)
      if round == 1, storage == "file" {
        rig.pass(2 * second_ns)
        rig = try rig.restarted()
      }
    }
    // A lower limit is applied at once, a higher one to what comes.
    _ = rig.call(
      "$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s.>"],"storage":"\#(storage)","max_msgs_per_subject":1}"#)
    rig.settle()
    rig.pass(second_ns)
    #expect(contents(rig) == model.messages.mapValues { Array($0.suffix(1)) })
  }

  @Test("a stream that begins to keep its newest messages, or has no history yet, finds the oldest in later turns")
  func longSearch() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    // The second message of s.a lies beyond what one search looks at.
    rig.send("s.a", "1", reply: false)
    for number in 0..<6000 {
      rig.send("s.x.\(number)", reply: false)
      if number % 500 == 0 { rig.settle() }
    }
    for number in 2...4 { rig.send("s.a", "\(number)", reply: false) }
    rig.settle()
    _ = rig.call("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s.>"],"max_msgs_per_subject":2}"#)
    rig.pass(second_ns)
    #expect(contents(rig)["s.a"] == ["3", "4"])
    let stream = try #require(rig.jetStream.stream(ByteString("S")))
    #expect(stream.log.keepsHistory && stream.extras.overdue.isEmpty)
    // From now on it is known where they are: nothing is searched for.
    for number in 0..<6000 {
      rig.send("s.y.\(number)", reply: false)
      if number % 500 == 0 { rig.settle() }
    }
    rig.send("s.a", "5", reply: false)
    rig.settle()
    var left = 0
    #expect(contents(rig)["s.a"] == ["4", "5"])
    #expect(ByteString("s.a").withView { stream.log.next($0, atOrAfter: 1, left: &left) } != nil)
  }
}
