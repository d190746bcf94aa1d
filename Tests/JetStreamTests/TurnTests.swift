// Work that grows with a stream goes on over several turns of the loop, and what comes of it is exact.
import Broker
import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("No request holds the loop for as long as it takes")
struct TurnTests {
  /// A stream of `count` messages whose subjects take turns: `s.<0 to 6>.x`.
  private func filled(_ count: Int, storage: String = "memory") throws -> ConsumerRig {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"],"storage":"\#(storage)","allow_direct":true}"#)
    for number in 0..<count { rig.rig.send("s.\(number % 7).x", "\(number + 1)", reply: false) }
    rig.rig.settle()
    return rig
  }

  /// Sends a request and counts the turns until its answer comes.
  private func turns(_ rig: ConsumerRig, _ subject: String, _ body: String) -> (turns: Int, answer: Received?) {
    let inbox = rig.rig.send(subject, body)
    for turn in 0..<200 {
      if let answer = rig.rig.take(inbox).first { return (turn, answer) }
      rig.rig.host.turn.end()
      _ = rig.rig.host.timers.fire(now_ns: rig.rig.clock.now_ns)
      rig.rig.disk.completeCommit()
    }
    return (200, nil)
  }

  private func consumer(_ name: String, from start: Int, _ filter: String) -> (subject: String, body: String) {
    (
      "$JS.API.CONSUMER.CREATE.S.\(name)",
      #"{"stream_name":"S","config":{"durable_name":"\#(name)","ack_policy":"explicit","deliver_policy":"by_start_sequence","opt_start_seq":\#(start),"filter_subjects":\#(filter)}}"#
    )
  }

  @Test("what a filter has yet to see is counted over several turns, and exact when it is told", arguments: ["file", "memory"])
  func counts(storage: String) throws {
    let rig = try filled(70_000, storage: storage)
    for (name, start) in [("front", 30_002), ("back", 50_002)] {
      let (subject, body) = consumer(name, from: start, #"["s.3.*","s.5.>"]"#)
      let inbox = rig.rig.send(subject, body)
      rig.rig.endTurn()
      // Others are served meanwhile, and what they do is counted in.
      let pulled = rig.pull("S.\(name)", #"{"batch":1}"#)
      let stream = try #require(rig.rig.jetStream.stream("S"))
      let gone = (1...3).map { UInt64(start + $0 * 6000) } + (1...3).map { UInt64($0 * 9000) }
      for sequence in gone { stream.removeOne(sequence) }
      for number in 0..<14 { rig.rig.send("s.\(number % 7).x", "new", reply: false) }
      rig.rig.pass(second_ns)
      var expected = 0
      stream.scan(from: UInt64(start)) { message in
        if message.subject.hasPrefix("s.3.") || message.subject.hasPrefix("s.5.") { expected += 1 }
        return true
      }
      let delivered = try #require(rig.take(pulled).first)
      #expect(delivered.numbers[3] == expected - 1)
      #expect(rig.info("S.\(name)")["num_pending"]?.int == expected - 1)
      // A picture from before the first delivery.
      let created = try #require(rig.rig.take(inbox).first)
      #expect(created.json["delivered"]?["consumer_seq"]?.int == 0)
      #expect(created.json["num_pending"]?.int == expected)
    }
    let (subject, body) = consumer("slow", from: 35_000, #"["s.3.*","s.5.>"]"#)
    #expect(turns(rig, subject, body).turns > 2)
    let listed = rig.rig.call("$JS.API.CONSUMER.LIST.S").json["consumers"]?.array ?? []
    #expect(listed.count == 3)
    let (next, told) = turns(rig, "$JS.API.CONSUMER.INFO.S.slow", "")
    #expect(next == 0 && told?.json["num_pending"]?.int ?? 0 > 10_000)
  }

  @Test("counting begins anew when the stream loses what was not read yet")
  func countsAnew() throws {
    let rig = try filled(70_000)
    let (subject, body) = consumer("c", from: 30_002, #"["s.3.*","s.5.>"]"#)
    let inbox = rig.rig.send(subject, body)
    rig.rig.endTurn()
    rig.rig.jetStream.stream("S")?.removeThrough(20_000)
    rig.rig.pass(second_ns)
    let created = try #require(rig.rig.take(inbox).first)
    #expect(created.json["num_pending"]?.int == (30_002...70_000).count { ($0 - 1) % 7 == 3 || ($0 - 1) % 7 == 5 })
  }

  @Test("a get that has to search goes on over several turns", arguments: ["file", "memory"])
  func gets(storage: String) throws {
    let rig = try filled(40_000, storage: storage)
    rig.publish("s.7.y", "far")
    let far = turns(rig, "$JS.API.STREAM.MSG.GET.S", #"{"seq":1,"next_by_subj":"s.*.y"}"#)
    #expect(far.turns > 2 && far.answer?.json["message"]?["seq"]?.int == 40_001)
    let direct = turns(rig, "$JS.API.DIRECT.GET.S", #"{"seq":1,"next_by_subj":"s.*.y"}"#)
    #expect(direct.turns > 2 && direct.answer?.payload == "far")
    // Where no subject is there is nothing to read.
    let none = turns(rig, "$JS.API.STREAM.MSG.GET.S", #"{"seq":1,"next_by_subj":"s.*.z"}"#)
    #expect(none.turns == 0 && none.answer?.errorCode == 10037)
    let batch = rig.rig.send("$JS.API.DIRECT.GET.S", #"{"seq":20001,"next_by_subj":"s.*.y","batch":1}"#)
    rig.rig.pass(second_ns)
    let got = rig.rig.take(batch)
    #expect(got.first?.payload == "far" && got.first?.headers.contains("Nats-Num-Pending: 0") == true && got.count == 2)
  }

  @Test("the last message of a subject is found when it was deleted, however far back", arguments: ["file", "memory"])
  func last(storage: String) throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>","k"],"storage":"\#(storage)"}"#)
    rig.publish("k", "one")
    rig.publish("k", "two")
    for number in 0..<30_000 { rig.rig.send("s.\(number % 7)", reply: false) }
    rig.publish("k", "three")
    rig.publish("k", "four")
    for sequence in [30_003, 30_004] { #expect(rig.rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":\#(sequence)}"#).errorCode == nil) }
    // Whoever publishes cannot wait for it: it is known a moment later.
    let header = [("Nats-Expected-Last-Subject-Sequence", "2")]
    #expect(rig.rig.call("k", "five", headers: header).errorCode == 10008)
    rig.rig.pass(second_ns)
    #expect(rig.rig.call("k", "five", headers: header).sequence == 30_005)
    #expect(rig.rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":30005}"#).errorCode == nil)
    #expect(turns(rig, "$JS.API.STREAM.MSG.GET.S", #"{"last_by_subj":"k"}"#).answer?.json["message"]?["seq"]?.int == 2)
    rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit","deliver_policy":"last_per_subject","filter_subject":">"}"#)
    #expect(rig.fetch("S.c", #"{"batch":8,"no_wait":true}"#).filter { $0.status.isEmpty }.count == 8)
  }

  @Test("a selection that takes reading is complete before anything is delivered")
  func selection() throws {
    let rig = try filled(30_000, storage: "file")
    rig.publish("s.9.x", "once")
    rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit","deliver_policy":"last_per_subject","filter_subject":"s.*.x"}"#)
    #expect(rig.info("S.c")["num_pending"]?.int == 8)
    let first = try #require(rig.fetch("S.c").first)
    rig.ack(first)
    // After a restart the others are looked up again, among all that came since.
    for number in 0..<20_000 { rig.rig.send("s.\(number % 7).x", "later \(number)", reply: false) }
    rig.rig.pass(2 * second_ns)
    let again = try rig.restarted()
    let inbox = again.pull("S.c", #"{"batch":7}"#)
    again.rig.pass(second_ns)
    let got = again.take(inbox)
    #expect(got.count == 7 && got.map { $0.numbers[1] } == Array(29_995...30_000) + [30_001])
    #expect(got.first?.numbers[3] == 6 + 20_000)
  }

  @Test("subjects come in the order of their names, page by page, and no more than the page is sorted")
  func subjects() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"],"storage":"memory"}"#)
    for number in 0..<45_000 { rig.rig.send("s.\(number * 7919 % 45_000)", reply: false) }
    rig.rig.settle()
    let names = (0..<45_000).map { "s.\($0)" }.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    let stream = try #require(rig.rig.jetStream.stream("S"))
    for offset in [0, 20_000, 40_000] {
      var page: [String]?
      SubjectListing(stream, filter: "s.*", offset: offset, limit: 20_000) { page = $0.subjects.map { $0.subject.string } }.run()
      rig.rig.pass(millisecond_ns)
      #expect(page == Array(names.dropFirst(offset).prefix(20_000)))
    }
    var got: [String] = []
    while got.count < names.count {
      let (turns, answer) = turns(rig, "$JS.API.STREAM.INFO.S", #"{"subjects_filter":">","offset":\#(got.count)}"#)
      let page = answer?.json["state"]?["subjects"]?.object ?? []
      #expect(turns > 0 && answer?.json["total"]?.int == 45_000)
      guard !page.isEmpty else { break }
      got += page.map { $0.name.string }
    }
    #expect(got == names)
    let (_, none) = turns(rig, "$JS.API.STREAM.INFO.S", #"{"subjects_filter":"s.*","offset":9223372036854775807}"#)
    #expect(none?.json["total"]?.int == 45_000 && none?.json["state"]?["subjects"] == nil)
    #expect(rig.rig.call("$JS.API.STREAM.INFO.S", #"{"subjects_filter":"s.7"}"#).json["state"]?["subjects"]?["s.7"]?.int == 1)
  }

  @Test("a backup brings consumers back over several turns, with all that waits for an ack")
  func restored() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s"],"storage":"memory"}"#)
    for _ in 0..<66_000 { rig.rig.send("s", reply: false) }
    rig.rig.settle()
    let stream = try #require(rig.rig.jetStream.stream("S"))
    rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit","max_ack_pending":-1}"#)
    #expect(rig.fetch("S.c", #"{"batch":30000}"#).count == 30_000)
    let saved = try #require(try rig.consumers.snapshot(of: stream).first)
    // More than a backup holds is said when it is made.
    #expect(rig.fetch("S.c", #"{"batch":36000}"#).count == 36_000)
    let refused = rig.rig.call("$JS.API.STREAM.SNAPSHOT.S", #"{"deliver_subject":"d"}"#)
    #expect(refused.errorCode == 10064 && refused.errorText?.contains("'c'") == true)

    let other = try ConsumerRig()
    var archive = MadeArchive(last: 30_000, consumers: 301)
    archive.add("consumers/c", payload: String(decoding: saved.record, as: UTF8.self))
    for number in 0..<300 {
      archive.add("consumers/d\(number)", payload: #"{"config":{"durable_name":"d\#(number)","ack_policy":"explicit"},"state":{}}"#)
    }
    for sequence in UInt64(1)...30_000 { archive.add("s", sequence: sequence, headers: "NATS/1.0\r\nNats-Msg-Id: \(sequence)\r\n\r\n") }
    archive.end()
    #expect(other.rig.restore(#"{"name":"S","subjects":["s"]}"#, archive).errorCode == nil)
    #expect(other.info("S.c")["num_ack_pending"]?.int == 30_000)
    #expect(other.rig.state("S")["consumer_count"]?.int == 301)
    #expect(other.rig.call("s", headers: [("Nats-Msg-Id", "30000")]).json["duplicate"]?.bool == true)
    #expect(other.fetch("S.d299").first?.numbers == [1, 1, 1, 29_999])
    let again = try other.restarted()
    #expect(again.rig.state("S")["consumer_count"]?.int == 301)
  }
}
