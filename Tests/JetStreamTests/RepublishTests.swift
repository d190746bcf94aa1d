// Subject transforms and republishing; purges by steps.
import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("What streams do to subjects") struct RepublishTests {
  @Test("messages are stored under the subject that the transform makes")
  func transform() throws {
    let rig = try Rig()
    rig.create(#"{"name":"T","subjects":["in.>"],"subject_transform":{"src":"in.*.temp","dest":"temp.{{wildcard(1)}}"}}"#)
    #expect(rig.call("in.k1.temp").sequence == 1)
    #expect(rig.call("in.k1.hum").sequence == 2)
    func subject(_ sequence: Int, _ rig: Rig) -> String? {
      rig.call("$JS.API.STREAM.MSG.GET.T", #"{"seq":\#(sequence)}"#).json["message"]?["subject"]?.string?.string
    }
    #expect(subject(1, rig) == "temp.k1")
    #expect(subject(2, rig) == "in.k1.hum")
    // What a precondition names is the stored subject.
    #expect(rig.call("in.k1.temp", "", headers: [("Nats-Expected-Last-Subject-Sequence", "1")]).sequence == 3)
    let again = try rig.restarted()
    #expect(again.call("in.k2.temp").sequence == 4)
    #expect(subject(4, again) == "temp.k2")
  }

  @Test("republished messages say where they are stored and what came before")
  func republish() throws {
    let rig = try Rig()
    let config = #"{"name":"R","subjects":["r.>"],"republish":{"src":"r.>","dest":"_INBOX.live.>"}}"#
    #expect(rig.create(config).json["config"]?["republish"]?["dest"]?.string == "_INBOX.live.>")
    rig.send("r.a", "one", headers: [("X", "1")])
    rig.endTurn()
    // Not before it is on the medium.
    #expect(rig.take("_INBOX.live.a").isEmpty)
    rig.settle()
    let first = rig.take("_INBOX.live.a")
    #expect(first.map(\.payload) == ["one"])
    #expect(first[0].headers.hasPrefix("NATS/1.0\r\nX: 1\r\nNats-Stream: R\r\nNats-Subject: r.a\r\nNats-Sequence: 1\r\nNats-Time-Stamp: "))
    #expect(first[0].headers.hasSuffix("Nats-Last-Sequence: 0\r\n\r\n"))
    _ = rig.call("r.b")
    _ = rig.call("r.a")
    #expect(rig.take("_INBOX.live.a").first?.headers.hasSuffix("Nats-Sequence: 3\r\n") == false)
    _ = rig.call(
      "$JS.API.STREAM.UPDATE.R",
      #"{"name":"R","subjects":["r.>"],"republish":{"src":"r.a","dest":"_INBOX.heads","headers_only":true}}"#)
    _ = rig.call("r.a", "four!")
    _ = rig.call("r.b", "not this")
    let heads = rig.take("_INBOX.heads")
    #expect(heads.map(\.payload) == [""])
    #expect(heads.first?.headers.hasSuffix("Nats-Last-Sequence: 3\r\nNats-Msg-Size: 5\r\n\r\n") == true)
  }

  @Test("transforms that cannot work are refused with the field's codes")
  func refused() throws {
    let rig = try Rig()
    func code(_ more: String) -> Int? { rig.create(#"{"name":"X","subjects":["x.>"],"# + more + "}").errorCode }
    #expect(code(#""subject_transform":{"src":"a..b","dest":"c"}"#) == 10155)
    #expect(code(#""subject_transform":{"src":"a.*","dest":"c.{{wildcard(2)}}"}"#) == 10156)
    #expect(code(#""republish":{"src":">","dest":"x.y"}"#) == 10052)
    #expect(code(#""republish":{"src":"x.*","dest":"y.{{wildcard(3)}}"}"#) == 10052)
    #expect(code(#""republish":{"dest":"y.>"},"pedantic":true"#) == 10157)
    #expect(code(#""republish":{"source":"y"}"#) == 10025)
  }

  @Test("a purge goes on in later turns and leaves alone what came after it", .timeLimit(.minutes(1)))
  func purgeBySteps() throws {
    let rig = try Rig()
    rig.create(#"{"name":"P","subjects":["p.>"],"storage":"memory"}"#)
    for number in 0..<5000 { rig.send("p.\(number % 2)", reply: false) }
    rig.settle()
    let answer = rig.send("$JS.API.STREAM.PURGE.P", #"{"filter":"p.0","keep":10}"#)
    rig.send("p.0", reply: false)
    rig.settle()
    #expect(rig.take(answer).first?.json["purged"]?.int == 2490)
    #expect(rig.state("P")["messages"]?.int == 2511)
    #expect(rig.call("$JS.API.STREAM.PURGE.P", #"{"keep":100}"#).json["purged"]?.int == 2411)
    #expect(rig.call("$JS.API.STREAM.PURGE.P", #"{"seq":4801}"#).json["purged"]?.int == 0)
    #expect(rig.state("P")["messages"]?.int == 100)
  }

  @Test("what others remove while a purge is under way never makes up for what has to stay", arguments: ["", #""filter":"p.0","#])
  func purgeBesideRemovals(filter: String) throws {
    let rig = try Rig()
    rig.create(#"{"name":"P","subjects":["p.>"],"storage":"memory"}"#)
    for number in 0..<4000 { rig.send("p.\(number % 2)", reply: false) }
    rig.settle()
    let stream = try #require(rig.jetStream.stream("P"))
    rig.clock.look_ns = millisecond_ns
    let answer = rig.send("$JS.API.STREAM.PURGE.P", #"{\#(filter)"keep":1000}"#)
    // Half of what is to go is acknowledged between the purge's turns.
    for sequence in UInt64(1)...1500 { stream.removeOne(sequence) }
    for _ in 0..<4 { rig.send("p.0", reply: false) }
    rig.pass(second_ns)
    #expect(rig.take(answer).count == 1)
    let kept = filter.isEmpty ? 3001...4004 : 2001...4004
    var ofSubject = 0
    stream.scan(from: 1) { message in
      if filter.isEmpty || message.subject.equals("p.0") {
        ofSubject += 1
        #expect(kept.contains(Int(message.sequence)))
      }
      return true
    }
    #expect(ofSubject == 1004)
  }

  @Test("a purge beyond the end moves the stream there")
  func purgeBeyond() throws {
    for storage in ["file", "memory"] {
      let rig = try Rig()
      rig.create(#"{"name":"P","subjects":["p.>"],"storage":"\#(storage)"}"#)
      for _ in 1...5 { _ = rig.call("p.a") }
      #expect(rig.call("$JS.API.STREAM.PURGE.P", #"{"seq":100}"#).json["purged"]?.int == 5)
      #expect(rig.state("P")["first_seq"]?.int == 100)
      #expect(rig.state("P")["last_seq"]?.int == 99)
      #expect(rig.call("$JS.API.STREAM.PURGE.P", #"{"seq":200}"#).json["purged"]?.int == 0)
      #expect(rig.call("p.a").sequence == 200)
      #expect(rig.call("$JS.API.STREAM.PURGE.P", #"{"seq":4611686018427387904}"#).errorCode == 10003)
    }
  }
}
