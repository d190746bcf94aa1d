// What a client is told: client-protocol.md sections 1 to 4, over the simulated network. Timers run on the simulation's clock.
import Bytes
import Foundation
import Interest
import JSON
import Platform
import Testing

@testable import Broker

@Suite struct ClientConnectionTests {
  private func info(_ line: String) -> JSONValue? {
    guard line.hasPrefix("INFO "), line.hasSuffix(" \r\n") else { return nil }
    return try? JSON.parse(ByteString(String(line.dropFirst(5))))
  }

  // MARK: INFO

  @Test("the first line is INFO with a blank before its end and the documented keys")
  func firstInfo() {
    let rig = BrokerRig()
    let client = rig.client("")
    let text = client.heard()
    #expect(text.split(separator: "\r\n").count == 1)
    let json = info(text)
    #expect(
      json?.object?.map { $0.name.string } == [
        "server_id", "server_name", "version", "proto", "go", "host", "port", "headers", "max_payload", "client_id", "client_ip", "api_lvl",
      ])
    let id = json?["server_id"]?.string?.string ?? ""
    #expect(id.count == 56 && id.hasPrefix("N") && id.allSatisfy { "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".contains($0) })
    #expect(json?["server_name"]?.string == "gw")
    #expect(json?["version"]?.string == "2.15.1")
    #expect(json?["max_payload"]?.int == 1_048_576)
    #expect(json?["client_ip"]?.string?.string == "10.0.0.2")
  }

  @Test("JetStream, its domain and another address are told when they are there")
  func optionalKeys() {
    let rig = BrokerRig()
    rig.broker.jetStream = true
    rig.broker.domain = "gw-1"
    rig.broker.advertised = (host: "gw.example", port: 14222)
    let json = info(rig.client("").heard())
    #expect(json?["jetstream"]?.bool == true)
    #expect(json?["domain"]?.string == "gw-1")
    #expect(json?["host"]?.string == "gw.example")
    #expect(json?["port"]?.int == 14222)
  }

  @Test("a second INFO follows the first PONG of a client of protocol 1, and only that one")
  func secondInfo() {
    let rig = BrokerRig()
    let client = rig.client("")
    client.forget()
    let text = client.say("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n")
    #expect(text.hasPrefix("PONG\r\nINFO {"))
    let json = info(String(decoding: text.utf8.dropFirst(6), as: UTF8.self))
    #expect(json?["connect_info"]?.bool == true)
    #expect(json?["remote_account"]?.string == "$G")
    #expect(client.say("PING\r\n") == "PONG\r\n")
    let old = rig.client("CONNECT {\"verbose\":false}\r\n")
    #expect(old.say("PING\r\nPING\r\n") == "PONG\r\nPONG\r\n")
  }

  // MARK: Recorded

  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let n: Int
    let area: String
    let title: String
    let sent: [String]?
    let received: String?
    let closed: Bool?
    var testDescription: String { "\(n) \(title)" }
  }

  static let recorded: [Case] = {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Vectors/recorded/core-protocol.jsonl")
    let text = (try? String(contentsOf: path, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").compactMap { try? JSONDecoder().decode(Case.self, from: Data($0.utf8)) }
      .filter { $0.area == "raw" && $0.sent != nil }
  }()

  /// INFO differs in every run: its place in the stream is what counts here.
  private func withoutInfo(_ text: String) -> String {
    text.components(separatedBy: "\r\n").map { $0.hasPrefix("INFO {") ? "INFO" : $0 }.joined(separator: "\r\n")
  }

  /// A client that goes on sending to a server that has closed may get a reset before it has read what the server said last: TCP throws
  /// that away. So tries several splits; whatever arrives must be the beginning of `expected`, and once it must be all of it.
  private func untilTold(_ expected: String, _ heard: (UInt64) -> String) -> Bool {
    for seed in UInt64(1)...12 {
      let text = heard(seed)
      #expect(expected.utf8.starts(with: text.utf8))
      if text.utf8.elementsEqual(expected.utf8) { return true }
    }
    return false
  }

  @Test("answers what a real server answered", arguments: recorded)
  func asRecorded(_ recorded: Case) {
    let expected = withoutInfo(recorded.received ?? "")
    let inTime = untilTold(expected) { seed in
      let rig = BrokerRig(seed: seed) { limits in
        limits.payloadMax = 100
        limits.subscriptionsMax = 3
        limits.controlLineMax = 512
        limits.headers = ![58, 59].contains(recorded.n)
      }
      let client = rig.client("")
      client.forget()
      var heard = ""
      // The recording shortens the long control line.
      for part in recorded.sent ?? [] {
        heard += client.say(part.contains("bytes)") ? "SUB \(String(repeating: "a", count: 600)) 1\r\n" : part)
      }
      #expect((client.closed != nil) == recorded.closed)
      #expect(rig.broker.clients.isEmpty == recorded.closed)
      return withoutInfo(heard)
    }
    #expect(inTime)
  }

  @Test("the recording was read") func recordings() { #expect(Self.recorded.count > 40) }

  // MARK: CONNECT and +OK

  @Test("verbose clients get +OK for CONNECT, PUB, SUB and UNSUB, not for PING; a refused PUB gets its error only")
  func verbose() {
    let client = BrokerRig().client("")
    client.forget()
    #expect(client.say("CONNECT {}\r\n") == "+OK\r\n")
    #expect(client.say("SUB a 1\r\n") == "+OK\r\n")
    #expect(client.say("PUB b 0\r\n\r\n") == "+OK\r\n")
    #expect(client.say("PUB a 0\r\n\r\n") == "+OK\r\nMSG a 1 0\r\n\r\n")
    #expect(client.say("UNSUB 1\r\n") == "+OK\r\n")
    #expect(client.say("PING\r\n") == "PONG\r\n")
    #expect(client.say("PUB $NRG.x 0\r\n\r\n") == "-ERR 'Permissions Violation for Publish to \"$NRG.x\"'\r\n")
    #expect(client.say("SUB a..b 2\r\n") == "-ERR 'Invalid Subject'\r\n")
    #expect(client.closed == nil)
  }

  @Test("a second CONNECT drops subscriptions")
  func secondConnect() {
    let rig = BrokerRig()
    let client = rig.client()
    client.say("SUB a 1\r\nSUB b q 2\r\n")
    #expect(rig.broker.subscriptionCount == 2)
    #expect(client.say(BrokerRig.quiet + "PUB a 0\r\n\r\n") == "")
    #expect(rig.broker.subscriptionCount == 0)
    #expect(rig.account.interest.count == 0)
  }

  @Test(
    "errors say what they must and close where they must",
    arguments: [
      ("FOO\r\n", "-ERR 'Unknown Protocol Operation'\r\n", true), ("UNSUB\r\n", "-ERR 'Unknown Protocol Operation'\r\n", true),
      ("CONNECT {\"protocol\":2}\r\n", "-ERR 'invalid client protocol'\r\n", true),
      ("CONNECT {\"no_responders\":true}\r\n", "-ERR 'no responders requires headers support'\r\n", true),
      ("CONNECT {\"account\":\"A\"}\r\n", "-ERR 'Authorization Violation'\r\n", true),
      ("CONNECT {\"new_account\":true}\r\n", "-ERR 'Authorization Violation'\r\n", true),
      ("PUB a 2000000\r\n", "-ERR 'Maximum Payload Violation'\r\n", true),
      ("SUB a..b 1\r\n", "-ERR 'Invalid Subject'\r\n", false), ("SUB a.>.b 1\r\n", "-ERR 'Invalid Subject'\r\n", false),
      ("SUB a _sys_ 1\r\n", "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'\r\n", false),
      ("PUB _GR_.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"_GR_.x\"'\r\n", false),
      ("PUB $GNR.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"$GNR.x\"'\r\n", false),
      ("PUB a _R_.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\n", false),
      ("PUB a $JS.ACK.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'\r\n", false),
      ("PUB a _GR_.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish with Reply of \"_GR_.x\"'\r\n", false),
      ("CONNECT {zz\r\n", "", true), ("CONNECT 5\r\n", "", true), ("CONNECT {\"verbose\":5}\r\n", "", true), ("CONNECT\r\n", "", true),
      ("PUB a\r\n", "", true), ("HPUB a 9 2\r\n", "", true), ("SUB a\r\n", "", true), ("-ERR 'x'\r\n", "", true), ("INFO\r\n", "", true),
      ("+OK\r\nINFO {}\r\n", "", false), ("UNSUB 99\r\n", "", false), ("PUB a..b 0\r\n\r\n", "", false),
    ])
  func errors(_ text: String, _ answer: String, _ closes: Bool) {
    let inTime = untilTold(answer) { seed in
      let rig = BrokerRig(seed: seed)
      let client = rig.client()
      let heard = client.say(text)
      #expect((client.closed != nil) == closes)
      #expect(rig.broker.clients.isEmpty == closes)
      return heard
    }
    #expect(inTime)
  }

  @Test("a client without headers may not send them, and gets messages without theirs")
  func withoutHeaders() {
    let rig = BrokerRig()
    let plain = rig.client("CONNECT {\"verbose\":false}\r\n")
    plain.say("SUB a 1\r\n")
    let able = rig.client()
    able.say("SUB a 2\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
    #expect(plain.heard() == "MSG a 1 r 2\r\nhi\r\n")
    #expect(plain.say("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n") == "")
    #expect(plain.closed != nil)
  }

  @Test("headers are passed on as they are")
  func headers() {
    let client = BrokerRig().client()
    #expect(client.say("SUB a 2\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n") == "HMSG a 2 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
    #expect(client.say("HPUB a 5 7\r\nzzzzzhi\r\n") == "HMSG a 2 5 7\r\nzzzzzhi\r\n")
    #expect(client.say("HPUB a 0 2\r\nhi\r\n") == "MSG a 2 2\r\nhi\r\n")
  }

  // MARK: Requests that nobody takes

  @Test("no responders: exactly the recorded bytes, once, to the requester's own plain subscription")
  func noResponders() {
    let rig = BrokerRig()
    let client = rig.client()
    let told = client.say("SUB inbox.* 7\r\nSUB inbox.> 8\r\nPUB none.there inbox.1 0\r\n\r\n")
    let behind = " 42 42\r\nNATS/1.0 503\r\nNats-Subject: none.there\r\n\r\n\r\n"
    #expect(told == "HMSG inbox.1 7" + behind || told == "HMSG inbox.1 8" + behind)
    #expect(client.say("UNSUB 7\r\nUNSUB 8\r\nPUB none inbox.1 0\r\n\r\n") == "")
    client.say("SUB inbox.2 q 9\r\n")
    #expect(client.say("PUB none inbox.2 0\r\n\r\n") == "")
    let other = rig.client("CONNECT {\"verbose\":false,\"headers\":true}\r\n")
    #expect(other.say("SUB i 1\r\nPUB none i 0\r\n\r\n") == "")
  }

  @Test("a 503 counts as a delivery")
  func noRespondersCounts() {
    let client = BrokerRig().client()
    let text = client.say("SUB i 1\r\nUNSUB 1 1\r\nPUB n i 0\r\n\r\nPUB n i 0\r\n\r\n")
    #expect(text == "HMSG i 1 33 33\r\nNATS/1.0 503\r\nNats-Subject: n\r\n\r\n\r\n")
  }

  // MARK: Subscriptions

  @Test("a sid in use keeps its first subscription")
  func doubleSid() {
    let client = BrokerRig().client()
    #expect(client.say("SUB a 1\r\nSUB b 1\r\nPUB b 0\r\n\r\nPUB a 0\r\n\r\n") == "MSG a 1 0\r\n\r\n")
  }

  @Test("UNSUB with a number counts all deliveries, also those before")
  func unsubscribeMax() {
    let rig = BrokerRig()
    let client = rig.client()
    let message = "MSG a 1 0\r\n\r\n"
    let publish = "PUB a 0\r\n\r\n"
    #expect(client.say("SUB a 1\r\nUNSUB 1 2\r\n" + publish + publish + publish) == message + message)
    #expect(rig.broker.subscriptionCount == 0)
    #expect(client.say("SUB a 1\r\n" + publish + publish + "UNSUB 1 2\r\n" + publish) == message + message)
    #expect(client.say("SUB a 1\r\n" + publish + "UNSUB 1 3\r\n" + publish + publish + publish) == message + message + message)
    #expect(rig.broker.subscriptionCount == 0)
    #expect(rig.account.interest.count == 0)
    #expect(client.say("SUB a 1\r\nUNSUB 1 x\r\n" + publish) == "")
  }

  @Test("more subscriptions than allowed are refused, and those there keep working; many sids are kept apart")
  func subscriptionLimit() {
    let client = BrokerRig { $0.subscriptionsMax = 40 }.client()
    let subs = (0..<41).map { "SUB s.\($0) \($0)\r\n" }.joined()
    #expect(client.say(subs) == "-ERR 'maximum subscriptions exceeded'\r\n")
    #expect(client.say("PUB s.39 0\r\n\r\nPUB s.40 0\r\n\r\nPUB s.7 0\r\n\r\n") == "MSG s.39 39 0\r\n\r\nMSG s.7 7 0\r\n\r\n")
    #expect(client.say("UNSUB 7\r\nSUB s.40 40\r\nPUB s.40 0\r\n\r\nPUB s.7 0\r\n\r\n") == "MSG s.40 40 0\r\n\r\n")
  }

  @Test("what a client subscribed is gone when it is")
  func gone() {
    let rig = BrokerRig()
    let client = rig.client()
    client.say((0..<30).map { "SUB a \($0)\r\n" }.joined())
    #expect(rig.account.interest.count == 30)
    client.stream.close()
    rig.simulation.run(for: 100 * millisecond_ns)
    #expect(rig.broker.clients.isEmpty)
    #expect(rig.broker.subscriptionCount == 0)
    #expect(rig.account.interest.count == 0)
  }

  // MARK: Limits and timers

  @Test("one connection too many is told so after INFO and closed")
  func connections() {
    let rig = BrokerRig { $0.connectionsMax = 2 }
    let first = rig.client()
    let second = rig.client()
    let third = rig.client("")
    let text = third.heard()
    #expect(text.hasPrefix("INFO {"))
    #expect(text.hasSuffix("\r\n-ERR 'maximum connections exceeded'\r\n"))
    #expect(third.closed == .peerClosed)
    #expect(first.say("PING\r\n") == "PONG\r\n")
    first.stream.close()
    rig.simulation.run(for: 50 * millisecond_ns)
    #expect(rig.client().say("PING\r\n") == "PONG\r\n")
    #expect(second.closed == nil)
  }

  @Test("the first PING comes within 2.4 seconds, and a client that never answers is stale after two more intervals")
  func stale() {
    let rig = BrokerRig { limits in
      limits.pingInterval_ns = 10 * second_ns
      limits.pingsMax = 2
    }
    let client = rig.client()
    rig.simulation.run(for: 2 * second_ns - 100 * millisecond_ns)
    #expect(client.heard() == "")
    rig.simulation.run(for: 600 * millisecond_ns)
    #expect(client.heard() == "PING\r\n")
    rig.simulation.run(for: 10 * second_ns)
    #expect(client.heard() == "PING\r\n")
    rig.simulation.run(for: 10 * second_ns)
    #expect(client.heard() == "-ERR 'Stale Connection'\r\n")
    #expect(client.closed == .peerClosed)
    #expect(rig.broker.staleConnections == 1)
    #expect(rig.broker.clients.isEmpty)
  }

  @Test("a client that answers stays, and its round trip is known")
  func answered() {
    let rig = BrokerRig { $0.pingInterval_ns = second_ns }
    let client = rig.client()
    for _ in 0..<20 {
      rig.simulation.run(for: second_ns)
      if client.heard().contains("PING\r\n") { client.say("PONG\r\n") }
    }
    #expect(client.closed == nil)
    let rtt_ns = rig.broker.clients.values.first?.rtt_ns ?? 0
    #expect(rtt_ns > 0)
  }

  @Test("a client that does not read is closed as a slow consumer when too much waits for it; others go on")
  func slowConsumer() {
    let rig = BrokerRig { $0.pendingMax = 100_000 }
    let slow = rig.client()
    slow.say("SUB a 1\r\n")
    slow.stream.setReading(false)
    let fast = rig.client()
    let publisher = rig.client()
    fast.say("SUB a 1\r\n")
    let payload = String(repeating: "x", count: 10_000)
    for _ in 0..<60 { publisher.say("PUB a 10000\r\n\(payload)\r\n", wait_ns: 30 * millisecond_ns) }
    #expect(rig.broker.slowConsumers == 1)
    #expect(rig.broker.clients.count == 2)
    #expect(fast.heard().components(separatedBy: "MSG a 1 10000\r\n").count == 61)
    #expect(rig.broker.stalledClients > 0)
    #expect(publisher.say("PING\r\n") == "PONG\r\n")
  }

  @Test("lame duck: clients are told, then closed one after the other; shutdown closes after everything was written")
  func end() {
    let rig = BrokerRig { limits in
      limits.lameDuckDuration_ns = 12 * second_ns
      limits.lameDuckGrace_ns = 10 * second_ns
    }
    let clients = [rig.client(), rig.client()]
    var done = false
    rig.broker.startLameDuck { done = true }
    rig.simulation.run(for: second_ns)
    for client in clients { #expect(client.heard().contains("\"ldm\":true")) }
    #expect(clients.allSatisfy { $0.closed == nil })
    rig.simulation.run(for: 15 * second_ns)
    #expect(done)
    #expect(clients.allSatisfy { $0.closed == .peerClosed })

    let other = BrokerRig()
    let client = other.client()
    client.stream.output.append(ByteString("SUB a 1\r\nPUB a 1\r\nx\r\n"))
    client.stream.wantsFlush()
    _ = other.simulation.run(timeout_ns: second_ns) { other.broker.received.messages == 1 }
    other.broker.shutdown()
    other.simulation.run(for: second_ns)
    #expect(client.heard() == "MSG a 1 1\r\nx\r\n")
    #expect(client.closed == .peerClosed)
  }

  @Test("lame duck ends only when a client that reads slowly has got its last bytes, and others are not held up by it")
  func slowLameDuck() {
    let rig = BrokerRig { limits in
      limits.lameDuckDuration_ns = 30 * second_ns
      limits.lameDuckGrace_ns = second_ns
    }
    let slow = rig.client()
    let other = rig.client()
    slow.say("SUB a 1\r\n")
    slow.stream.setReading(false)
    let payload = String(repeating: "x", count: 1_000_000)
    for _ in 0..<4 { other.say("PUB a 1000000\r\n\(payload)\r\n", wait_ns: 200 * millisecond_ns) }
    var done = false
    rig.broker.startLameDuck { done = true }
    rig.simulation.run(for: 4 * second_ns)
    #expect(other.closed == .peerClosed)
    #expect(!done && rig.broker.clients.count == 1)
    slow.stream.setReading(true)
    rig.simulation.run(for: 5 * second_ns)
    #expect(done && slow.closed == .peerClosed)
  }

  @Test("a client that takes little of its last bytes at a time holds up neither lame duck nor its own close for ever")
  func trickle() {
    for duration_ns in [5 * second_ns, 60 * second_ns] {
      let rig = BrokerRig { limits in
        limits.lameDuckDuration_ns = duration_ns
        limits.lameDuckGrace_ns = second_ns
        limits.pendingMax = 64 << 20
      }
      let slow = rig.client()
      let other = rig.client()
      slow.say("SUB a 1\r\n")
      slow.stream.setReading(false)
      let payload = String(repeating: "x", count: 1_000_000)
      for _ in 0..<40 { other.say("PUB a 1000000\r\n\(payload)\r\n", wait_ns: 20 * millisecond_ns) }
      let start_ns = rig.simulation.now_ns
      var done_ns: Int64?
      rig.broker.startLameDuck { done_ns = rig.simulation.now_ns }
      // A window's worth each second: the write deadline alone never ends that.
      for _ in 0..<40 {
        slow.stream.setReading(true)
        rig.simulation.run(for: 10 * millisecond_ns)
        slow.stream.setReading(false)
        rig.simulation.run(for: second_ns)
      }
      // The lame duck's time, or the write deadline behind the close.
      let took_ns = (done_ns ?? .max) - start_ns
      #expect(took_ns <= min(duration_ns, 13 * second_ns) + second_ns && took_ns >= 4 * second_ns, "\(took_ns)")
    }
  }

  // MARK: Fuzz

  @Test("hostile bytes never crash the server, and never disturb another client", arguments: 0..<20)
  func hostile(_ seed: Int) {
    let rig = BrokerRig(seed: UInt64(seed)) { limits in
      limits.payloadMax = 64
      limits.controlLineMax = 128
    }
    let random = SeededEntropy(seed: UInt64(seed) + 100)
    let pieces = [
      "CONNECT {}\r\n", "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\n", "PING\r\n", "PONG\r\n",
      "SUB > 1\r\n",
      "SUB a.* q 2\r\n", "SUB i 3\r\n", "UNSUB 1 2\r\n", "UNSUB 2\r\n", "PUB a.b 2\r\nhi\r\n", "PUB x i 0\r\n\r\n",
      "HPUB a.b i 12 12\r\nNATS/1.0\r\n\r\n\r\n",
      "PUB $JS.API.INFO i 0\r\n\r\n", "PUB a. 0\r\n\r\n", "SUB $SYS.> 9\r\n", "INFO {}\r\n", "\u{0}\u{0}\r\n",
    ]
    let bystander = rig.client()
    bystander.say("SUB bystander 1\r\n")
    for _ in 0..<40 {
      let client = rig.client("")
      for _ in 0..<4 {
        var bytes: [UInt8] = []
        for _ in 0..<random.below(6) { bytes += [UInt8](pieces[random.below(pieces.count)].utf8) }
        for _ in 0..<random.below(3) where !bytes.isEmpty { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
        guard client.closed == nil else { break }
        client.stream.output.append(bytes)
        client.stream.wantsFlush()
        rig.simulation.run(for: Int64(random.below(3)) * millisecond_ns)
      }
      if random.below(2) == 0 { client.stream.close() }
    }
    rig.simulation.run(for: second_ns)
    bystander.forget()
    #expect(bystander.say("PUB bystander 1\r\nx\r\n") == "MSG bystander 1 1\r\nx\r\n")
    var subscriptions = 0
    for client in rig.broker.clients.values { subscriptions += client.subscriptionCount }
    #expect(rig.broker.subscriptionCount == subscriptions)
    #expect(rig.account.interest.count == subscriptions)
  }
}
