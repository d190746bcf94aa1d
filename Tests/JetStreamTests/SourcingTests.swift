// Mirrors and sources within one agent, and their places in the origin over power cuts.
import Broker
import Bytes
import Interest
import JSON
import LogStore
import Platform
import Testing

@testable import JetStream

@Suite("Mirrors and sources")
struct SourcingTests {
  /// Keeps the consumers' side of each agent.
  private final class Agents { var rigs: [ConsumerRig] = [] }
  private let agents = Agents()

  private func start(_ rig: Rig) -> Rig {
    agents.rigs.append(ConsumerRig(rig))
    return rig
  }

  private func delivery(_ subject: String) -> OriginDelivery? { ByteString(subject).withView { OriginDelivery($0) } }

  @Test("both forms of ack subjects are understood, and nothing else")
  func ackSubjects() throws {
    for subject in ["$JS.ACK.S.C.1.7.3.99.4", "$JS.ACK._.hash.S.C.1.7.3.99.4", "$JS.ACK._.hash.S.C.1.7.3.99.4.more"] {
      ByteString(subject).withView { view in
        let found = OriginDelivery(view)
        #expect(found?.sequence == 7 && found?.number == 3 && found?.timestamp_ns == 99 && found?.pending == 4)
        #expect(found?.consumer.string == "C")
      }
    }
    for subject in ["$JS.ACK.S.C.1.7.3.99", "$JS.ACK.S.C.1.x.3.99.4", "$JS.ACK.a.S.C.1.7.3.99.4", "", "$JS.FC.S.C.1.7.3.99.4"] {
      #expect(delivery(subject) == nil, "\(subject)")
    }
  }

  @Test("a delivery is stored once, in order; a gap in the counting asks for a new consumer")
  func cursor() throws {
    var cursor = OriginCursor()
    func take(_ sequence: Int, _ number: Int, deliveries: Int = 1, isMirror: Bool = false) -> OriginCursor.Decision {
      ByteString("$JS.ACK.S.C.\(deliveries).\(sequence).\(number).0.5").withView { cursor.take(OriginDelivery($0)!, isMirror: isMirror) }
    }
    #expect(take(3, 1) == .store)
    #expect(cursor.lag == 4)
    #expect(take(3, 1) == .ignore)
    #expect(take(4, 2, deliveries: 2) == .ignore)
    #expect(take(9, 2) == .store)
    #expect(take(10, 4) == .reopen)
    #expect(take(10, 1) == .ignore)
    #expect(take(10, 4, isMirror: true) == .store)
    #expect(take(12, 9, isMirror: true) == .reopen)
    // What was stored before the consumer was made anew only counts.
    cursor.number = 0
    #expect(take(5, 1) == .ignore && cursor.number == 1)
    #expect(take(11, 2) == .store)
  }

  /// Data of a stream by sequence.
  private func held(_ rig: Rig, _ stream: String) -> [UInt64: String] {
    var found: [UInt64: String] = [:]
    let stream = rig.jetStream.stream(ByteString(stream))!
    stream.scan(from: 0) { message in
      found[message.sequence] = message.payload.string
      return true
    }
    return found
  }

  private func publish(_ rig: Rig, _ subject: String, _ data: ClosedRange<Int>) {
    for value in data { rig.send(subject, "\(value)") }
    rig.settle()
  }

  @Test("a mirror has the origin's sequences, over a power cut too", arguments: ["file", "memory"])
  func mirror(storage: String) throws {
    var rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    publish(rig, "o.1", 1...4)
    _ = rig.call("$JS.API.STREAM.MSG.DELETE.O", #"{"seq":2}"#)
    rig.create(#"{"name":"M","mirror":{"name":"O"},"storage":"\#(storage)"}"#)
    rig.pass(second_ns)
    #expect(held(rig, "M") == [1: "1", 3: "3", 4: "4"])
    publish(rig, "o.1", 5...6)
    rig.pass(second_ns)
    rig = start(try rig.restarted())
    rig.pass(3 * second_ns)
    publish(rig, "o.1", 7...7)
    rig.pass(second_ns)
    guard storage == "file" else { return }
    #expect(held(rig, "M") == held(rig, "O"))
  }

  @Test("a source's place outlives the messages that told it", arguments: [1, 2, 3, 4, 5])
  func places(cuts: Int) throws {
    var rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    // Keeps one message; and one that forgets all of them.
    rig.create(#"{"name":"LAST","sources":[{"name":"O"}],"max_msgs":1}"#)
    rig.create(#"{"name":"GONE","sources":[{"name":"O","filter_subject":"o.1"}]}"#)
    var next = 1
    for cut in 1...cuts {
      publish(rig, "o.1", next...next + cut)
      next += cut + 1
      rig.pass(3 * second_ns)
      #expect(rig.call("$JS.API.STREAM.PURGE.GONE").json["purged"]?.int == cut + 1)
      rig = start(try rig.restarted())
      rig.pass(3 * second_ns)
      // Nothing came twice.
      #expect(rig.state("LAST")["last_seq"]?.int == next - 1)
      #expect(rig.state("GONE")["last_seq"]?.int == next - 1)
    }
    #expect(held(rig, "LAST") == [UInt64(next - 1): "\(next - 1)"])
    #expect(held(rig, "GONE").isEmpty)
  }

  @Test("what the disk had not finished when the power went is sourced again, nothing else")
  func unfinished() throws {
    let rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    rig.create(#"{"name":"S","sources":[{"name":"O"}]}"#)
    rig.pass(second_ns)
    publish(rig, "o.1", 1...5)
    for value in 6...9 { rig.send("o.1", "\(value)") }
    rig.endTurn()
    let after = start(try rig.restarted())
    after.pass(5 * second_ns)
    let origin = held(after, "O")
    #expect(origin.count >= 5)
    #expect(held(after, "S") == origin)
  }

  @Test("a stream with sources that were taken away and given back goes on where it was")
  func takenAway() throws {
    let rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    rig.create(#"{"name":"S","subjects":["s"],"sources":[{"name":"O"}]}"#)
    publish(rig, "o.1", 1...3)
    rig.pass(second_ns)
    _ = rig.call("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s"]}"#)
    publish(rig, "o.1", 4...5)
    rig.pass(12 * second_ns)
    #expect(rig.state("S")["messages"]?.int == 3)
    _ = rig.call("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s"],"sources":[{"name":"O"}]}"#)
    rig.pass(3 * second_ns)
    #expect(held(rig, "S") == held(rig, "O"))
  }

  @Test("a source that the stream has no room for is tried again, and nothing is left out")
  func noRoom() throws {
    let rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    rig.create(#"{"name":"S","sources":[{"name":"O"}],"max_msgs":2,"discard":"new"}"#)
    publish(rig, "o.1", 1...5)
    rig.pass(3 * second_ns)
    #expect(held(rig, "S") == [1: "1", 2: "2"])
    #expect(rig.call("$JS.API.STREAM.INFO.S").json["sources"]?.array?.first?["error"]?["err_code"]?.int == 10077)
    _ = rig.call("$JS.API.STREAM.PURGE.S")
    rig.pass(5 * second_ns)
    #expect(held(rig, "S") == [3: "3", 4: "4"])
  }

  @Test("what comes from an origin is not a client's publish: no ack, no expectations, one Nats-Stream-Source")
  func headers() throws {
    let rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    rig.create(#"{"name":"S","sources":[{"name":"O"}]}"#)
    rig.create(#"{"name":"T","sources":[{"name":"S"}]}"#)
    _ = rig.call("o.1", "x", headers: [("Nats-Expected-Stream", "O"), ("A", "b"), ("Nats-Msg-Id", "1")])
    rig.pass(3 * second_ns)
    var found: [String] = []
    rig.jetStream.stream(ByteString("T"))!.scan(from: 1) { message in
      found.append(message.headers.string)
      return true
    }
    #expect(found.count == 1)
    let lines = found.first?.split(separator: "\r\n").map { String($0) } ?? []
    #expect(lines.prefix(3) == ["NATS/1.0", "A: b", "Nats-Msg-Id: 1"])
    #expect(lines.count == 4 && lines[3].hasPrefix("Nats-Stream-Source: S 1 > > o.1 "))
    #expect(rig.call("o.1", "", headers: [("Nats-Stream-Source", "x 1 > > a")]).errorCode == 10227)
  }

  /// What a mirror gets from an origin elsewhere.
  private func take(_ rig: Rig, _ stream: String, _ sequence: UInt64, stamp_ns: Int64) -> Stream.OriginOutcome {
    ByteString("o.1").withView { subject in
      rig.jetStream.stream(ByteString(stream))!.take(
        Message(subject: subject), from: OriginMessage(sequence: sequence, timestamp_ns: stamp_ns))
    }
  }

  @Test("the clock of a mirror's origin lets no other stream's messages grow old, also when the mirror becomes a stream of its own")
  func foreignClock() throws {
    var rig = start(try Rig())
    let day_ns = 86_400 * second_ns
    rig.create(#"{"name":"L","subjects":["l"],"max_age":\#(3600 * second_ns)}"#)
    rig.create(#"{"name":"M","mirror":{"name":"O","external":{"api":"$JS.hub.API"}}}"#)
    rig.send("l", "x")
    guard case .stored(1) = take(rig, "M", 1, stamp_ns: rig.clock.wall_ns + 2 * day_ns) else {
      Issue.record("not stored")
      return
    }
    rig.settle()
    rig = start(try rig.restarted())
    rig.pass(3 * second_ns)
    #expect(rig.state("L")["messages"]?.int == 1)
    #expect(rig.call("$JS.API.STREAM.UPDATE.M", #"{"name":"M","subjects":["m"]}"#).errorCode == nil)
    #expect(rig.call("m", "y").sequence == 2)
    for _ in 1...2 {
      rig = start(try rig.restarted())
      rig.pass(3 * second_ns)
      #expect(rig.state("L")["messages"]?.int == 1)
    }
    // When time is there, the stream's own stamps count.
    rig.pass(2 * day_ns + 10 * second_ns)
    #expect(rig.call("m", "z").sequence == 3)
    let last_ns = rig.jetStream.lastOwnStamp_ns
    #expect(last_ns > rig.clock.wall_ns - second_ns && last_ns <= rig.clock.wall_ns)
  }

  @Test("a time at the end of the scale is refused")
  func endOfTime() throws {
    let rig = start(try Rig())
    rig.create(#"{"name":"M","mirror":{"name":"O","external":{"api":"$JS.hub.API"}}}"#)
    guard case .refused(let error) = take(rig, "M", 1, stamp_ns: Int64.max) else {
      Issue.record("not refused")
      return
    }
    #expect(error.errorCode == 10077)
    guard case .stored(1) = take(rig, "M", 1, stamp_ns: Stream.foreignStampMax_ns) else {
      Issue.record("not stored")
      return
    }
    #expect(rig.call("$JS.API.STREAM.UPDATE.M", #"{"name":"M","subjects":["m"]}"#).errorCode == nil)
    #expect(rig.call("m", "y").sequence == 2)
  }

  @Test("what was taken out of a stream does not come from its source again", arguments: ["filter", "erase", "delete"])
  func removedForGood(way: String) throws {
    var rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    rig.create(#"{"name":"S","sources":[{"name":"O"}]}"#)
    rig.pass(3 * second_ns)
    publish(rig, "o.1", 1...3)
    rig.pass(second_ns)
    #expect(held(rig, "S").count == 3)
    if way == "filter" {
      #expect(rig.call("$JS.API.STREAM.PURGE.S", #"{"filter":"o.1"}"#).json["purged"]?.int == 3)
    } else {
      for sequence in 2...3 {
        #expect(
          rig.call("$JS.API.STREAM.MSG.DELETE.S", #"{"seq":\#(sequence),"no_erase":\#(way == "delete")}"#).errorCode == nil)
      }
    }
    rig = start(try rig.restarted())
    rig.pass(5 * second_ns)
    #expect(held(rig, "S") == (way == "filter" ? [:] : [1: "1"]))
    #expect(rig.state("S")["last_seq"]?.int == 3)
  }

  @Test("messages that come from no source count for how much a start has to look at")
  func lookedAt() throws {
    let rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    rig.create(#"{"name":"S","subjects":["s"],"sources":[{"name":"O"}]}"#)
    rig.pass(3 * second_ns)
    publish(rig, "o.1", 1...1)
    rig.pass(second_ns)
    for _ in 1...9 { publish(rig, "s", 1...1_000) }
    let record = try #require(rig.store.metadata[ByteString("sources/$G/S")])
    let through = try JSON.parse(ByteString(record))["through"]?.int ?? 0
    #expect(through > 9_001 - 4_096 - 2)
    let after = start(try rig.restarted())
    after.pass(5 * second_ns)
    #expect(after.state("S")["last_seq"]?.int == 9_001)
  }

  @Test("what is removed before a stream was looked through for its sources' places is reckoned in, over a power cut too")
  func removedUnseen() throws {
    var rig = start(try Rig())
    rig.create(#"{"name":"O","subjects":["o.>"]}"#)
    rig.create(#"{"name":"S","subjects":["s"],"sources":[{"name":"O"}]}"#)
    rig.pass(3 * second_ns)
    publish(rig, "o.1", 1...3)
    rig.pass(second_ns)
    for _ in 1...3 { publish(rig, "s", 1...1_000) }
    let stream = rig.jetStream.stream(ByteString("S"))!
    let config = stream.config
    _ = rig.call("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s"]}"#)
    // Given back, and the last that tells the place removed while the first share is not looked at.
    rig.jetStream.update(stream, config)
    #expect(stream.sourceScan.next == 1)
    stream.removeOne(3)
    #expect(stream.sourceScan.next == 1)
    rig.endTurn()
    if rig.disk.isBusy { rig.disk.completeCommit() }
    for _ in 1...2 {
      rig = start(try rig.restarted())
      rig.pass(5 * second_ns)
      #expect(rig.state("S")["messages"]?.int == 3_002)
      #expect(rig.state("S")["last_seq"]?.int == 3_003)
    }
  }
}
