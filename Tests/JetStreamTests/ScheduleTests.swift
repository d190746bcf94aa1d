// Scheduled messages: patterns, zones, publishing, restarts.
import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite("Schedules")
struct ScheduleTests {
  private static let second = second_ns

  private func rig() throws -> Rig {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s.>","t.>"],"allow_msg_schedules":true,"allow_msg_ttl":true}"#)
    return rig
  }

  private func schedule(_ pattern: String, _ more: [(String, String)] = [], target: String = "t.a") -> [(String, String)] {
    [("Nats-Schedule", pattern), ("Nats-Schedule-Target", target)] + more
  }

  private func messages(_ rig: Rig, _ subject: String) -> [(sequence: Int, headers: String, data: String)] {
    var found: [(sequence: Int, headers: String, data: String)] = []
    var next = 1
    while let message = rig.call("$JS.API.STREAM.MSG.GET.S", #"{"seq":\#(next),"next_by_subj":"\#(subject)"}"#).json["message"] {
      func text(_ name: StaticString) -> String {
        String(decoding: message[name]?.string?.withView { Base64.decode($0) } ?? [], as: UTF8.self)
      }
      found.append((message["seq"]?.int ?? 0, text("hdrs"), text("data")))
      next = (message["seq"]?.int ?? 0) + 1
    }
    return found
  }

  private func time(_ time_ns: Int64) -> String { RFC3339.format(time_ns).string }

  @Test("a message for later is published then, and its schedule goes")
  func at() throws {
    let rig = try rig()
    let due_ns = rig.clock.wall_ns + 60 * Self.second
    let headers = schedule("@at \(time(due_ns))", [("Nats-Schedule-TTL", "5m"), ("Kept", "yes"), ("Nats-Msg-Id", "a")])
    #expect(rig.call("s.a", "body", headers: headers).sequence == 1)
    rig.pass(59 * Self.second)
    #expect(messages(rig, "t.a").isEmpty)
    rig.pass(2 * Self.second)
    let published = messages(rig, "t.a")
    #expect(published.map(\.data) == ["body"])
    #expect(
      published.first?.headers == "NATS/1.0\r\nKept: yes\r\nNats-Scheduler: s.a\r\nNats-Schedule-Next: purge\r\nNats-TTL: 5m\r\n\r\n")
    #expect(messages(rig, "s.a").isEmpty)
    rig.pass(300 * Self.second)
    #expect(rig.state("S")["messages"]?.int == 0)
  }

  @Test("an interval goes on, over a restart, and catches up once")
  func every() throws {
    var rig = try rig()
    _ = rig.call("s.a", "body", headers: schedule("@every 10s"))
    rig.pass(35 * Self.second)
    #expect(messages(rig, "t.a").count == 3)
    #expect(messages(rig, "s.a").count == 1)
    rig.clock.now_ns += 100 * Self.second
    rig = try rig.restarted()
    rig.pass(2 * Self.second)
    #expect(messages(rig, "t.a").count == 4)
    rig.pass(20 * Self.second)
    #expect(messages(rig, "t.a").count == 6)
    rig = try rig.restarted()
    rig.pass(5 * Self.second)
    #expect(messages(rig, "t.a").count == 6)
  }

  @Test("a schedule replaces the one on its subject, and a client ends it")
  func replaced() throws {
    let rig = try rig()
    _ = rig.call("s.a", "one", headers: schedule("@every 10s"))
    _ = rig.call("s.a", "two", headers: schedule("@every 20s"))
    #expect(messages(rig, "s.a").map(\.data) == ["two"])
    rig.pass(25 * Self.second)
    #expect(messages(rig, "t.a").map(\.data) == ["two"])
    let wrong = rig.call("t.x", "", headers: [("Nats-Scheduler", "t.a"), ("Nats-Schedule-Next", "purge")])
    #expect(wrong.errorCode == 10212)
    #expect(rig.call("t.x", "", headers: [("Nats-Scheduler", "s.a"), ("Nats-Schedule-Next", "purge")]).sequence != nil)
    #expect(messages(rig, "s.a").isEmpty)
    rig.pass(60 * Self.second)
    #expect(messages(rig, "t.a").count == 1)
  }

  @Test("the payload comes from the source's last message where there is one")
  func source() throws {
    let rig = try rig()
    _ = rig.call("s.a", "own", headers: schedule("@every 10s", [("Nats-Schedule-Source", "s.b"), ("Nats-Schedule-Rollup", "sub")]))
    rig.pass(12 * Self.second)
    #expect(messages(rig, "t.a").map(\.data) == ["own"])
    _ = rig.call("s.b", "other")
    rig.pass(10 * Self.second)
    #expect(messages(rig, "t.a").map(\.data) == ["other"])
  }

  @Test("bad schedules are refused")
  func refused() throws {
    let rig = try rig()
    rig.create(#"{"name":"N","subjects":["n.>"]}"#)
    func code(_ pattern: String, _ more: [(String, String)] = [], target: String = "t.a", subject: String = "s.a") -> Int? {
      rig.call(subject, "x", headers: schedule(pattern, more, target: target)).errorCode
    }
    for pattern in [
      "zzz", "@every 500ms", "@at yesterday", "* * * * *", "60 * * * * *", "* * * * * 7", "*/0 * * * * *", "5-1 * * * * *", ", * * * * *",
      "* * * * , *",
    ] {
      #expect(code(pattern) == 10189, "\(pattern)")
    }
    #expect(code("0 0 0 31 2 *") == 10189)
    for target in ["other.x", "t.*", "s.a", ""] { #expect(code("@every 1s", target: target) == 10190, "\(target)") }
    #expect(code("@every 1s", [("Nats-Schedule-TTL", "x")]) == 10191)
    #expect(code("@every 1s", [("Nats-Rollup", "all")]) == 10192)
    #expect(code("@every 1s", [("Nats-Schedule-Rollup", "all")]) == 10192)
    #expect(code("@every 1s", [("Nats-Schedule-Source", "t.a")]) == 10203)
    #expect(code("0 * * * * *", [("Nats-Schedule-Time-Zone", "Mars/X")]) == 10223)
    #expect(code("@every 1s", [("Nats-Schedule-Time-Zone", "UTC")]) == 10189)
    #expect(code("@every 1s", target: "n.b", subject: "n.a") == 10188)
    #expect(code("zzz", target: "n.b", subject: "n.a") == 10188)
    #expect(rig.call("s.a", "x", headers: [("Nats-Scheduler", "s.b")]).errorCode == 10212)
    #expect(rig.call("s.a", "x", headers: [("Nats-Scheduler", "s.b"), ("Nats-Schedule-Next", "later")]).errorCode == 10212)
    #expect(rig.state("S")["messages"]?.int == 0)
  }

  @Test("schedules and pauses end by the wall clock when it is set")
  func clockIsSet() throws {
    for isTrusted in [false, true] {
      let rig = ConsumerRig(try rig())
      rig.rig.clock.isWallTrusted = isTrusted
      rig.create("S", "c", #"{"durable_name":"c","ack_policy":"explicit","filter_subject":"s.p"}"#)
      rig.publish("s.p", "paused")
      let then = time(rig.rig.clock.wall_ns + 3600 * second_ns)
      #expect(rig.rig.call("$JS.API.CONSUMER.PAUSE.S.c", #"{"pause_until":"\#(then)"}"#).json["paused"]?.bool == true)
      let inbox = rig.pull("S.c", #"{"batch":1,"expires":600000000000}"#)
      #expect(rig.rig.call("s.a", "later", headers: schedule("@at \(then)")).errorCode == nil)
      rig.rig.pass(second_ns)
      rig.rig.clock.jump_ns = 3601 * second_ns
      rig.rig.clock.isWallTrusted = true
      // A clock that was not set is looked at now and then; that another one jumped is noticed with the next message.
      if isTrusted { rig.publish("s.x", "") } else { rig.rig.pass(59 * second_ns) }
      rig.rig.pass(second_ns)
      #expect(rig.take(inbox).map(\.payload) == ["paused"])
      #expect(messages(rig.rig, "t.a").map { $0.data } == ["later"])
    }
  }

  @Test("what can never come up is refused at once, however it is put")
  func neverComesUp() {
    let start_ns = 1_800_000_000 * second_ns
    let begin = ContinuousClock.now
    for pattern in ["0 0 0 30 2 *", "0 0 0 31 2,4,6,9,11 *", "59 59 23 30,31 feb ?"] {
      for _ in 0..<100 { #expect(ByteString(pattern).withView { CronPattern($0) }?.next(after: start_ns, zone: nil) == nil) }
    }
    #expect(ContinuousClock.now - begin < .seconds(5))
    #expect(ByteString(", , , , , ,").withView { CronPattern($0) } == nil)
  }

  @Test(
    "patterns come up when they say",
    arguments: [
      ("* * * * * *", "2026-11-23T10:00:00.5Z", "2026-11-23T10:00:01Z"),
      ("0 30 14 * * *", "2026-11-23T10:00:00Z", "2026-11-23T14:30:00Z"),
      ("0 30 14 * * *", "2026-11-23T14:30:00Z", "2026-11-24T14:30:00Z"),
      ("*/15 * * * * *", "2026-11-23T10:00:16Z", "2026-11-23T10:00:30Z"),
      ("0 0 9-17/4 * * mon-fri", "2026-11-20T17:00:00Z", "2026-11-23T09:00:00Z"),
      ("0 0 0 29 feb *", "2026-11-23T10:00:00Z", "2028-02-29T00:00:00Z"),
      ("7,40 59 23 31 12 *", "2026-12-31T23:59:08Z", "2026-12-31T23:59:40Z"),
      ("7 59 23 31 12 *", "2026-12-31T23:59:08Z", "2027-12-31T23:59:07Z"),
      ("0 0 0 1 * 1", "2026-11-23T10:00:00Z", "2026-11-30T00:00:00Z"),
      ("5,10 0 0 1 1 ?", "2026-01-01T00:00:05Z", "2026-01-01T00:00:10Z"),
      ("@yearly", "2026-11-23T10:00:00Z", "2027-01-01T00:00:00Z"),
      ("@monthly", "2026-11-23T10:00:00Z", "2026-12-01T00:00:00Z"),
      ("@weekly", "2026-11-23T10:00:00Z", "2026-11-29T00:00:00Z"),
      ("@daily", "2026-11-23T10:00:00Z", "2026-11-24T00:00:00Z"),
      ("@hourly", "2026-11-23T10:59:59Z", "2026-11-23T11:00:00Z"),
    ])
  func patterns(pattern: String, from: String, expected: String) throws {
    let cron = try #require(ByteString(pattern).withView { CronPattern($0) })
    let start_ns = try #require(try ByteString(from).withView { try RFC3339.parse($0) })
    #expect(cron.next(after: start_ns, zone: nil).map { time($0) } == expected)
  }
}
