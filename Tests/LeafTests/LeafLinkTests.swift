// One leaf link against a hub that behaves: what it says, what it withholds, what it passes on (leafnode-protocol.md).
import Broker
import Bytes
import Interest
import JSON
import Platform
import Testing

@testable import Leaf

@Suite struct LeafLinkTests {
  // MARK: Handshake

  @Test("CONNECT has exactly the fields it must have, and interest follows only after its answer")
  func connect() {
    let rig = GoodHub().rig(
      { options in
        options.compression = .off
        options.jetStream = true
        options.domain = "gw-1"
        options.denyImports = ["di.>"]
        options.user = "leaf"
        options.password = "secret"
      }, before: { $0.subscribe("local.>") })
    let said = rig.hub!.taken()
    let connect = fields(said.first)
    #expect(said[0].hasPrefix("CONNECT {"))
    #expect(
      connect?.object?.map { $0.name.string } == [
        "version", "server_id", "name", "cluster", "domain", "jetstream", "headers", "compress_mode", "remote_account", "user", "pass",
        "deny_pub",
      ])
    #expect(connect?["version"]?.string == "2.15.1")
    #expect(connect?["name"]?.string == "edge" && connect?["cluster"]?.string == "edge")
    #expect(connect?["compress_mode"]?.string == "off")
    #expect(connect?["remote_account"]?.string == "$G")
    #expect(connect?["deny_pub"]?.array?.first?.string == "di.>")
    #expect(said.dropFirst().allSatisfy { $0.hasPrefix("LS+ ") })
    #expect(said.contains("LS+ local.>"))
    #expect(said.filter { $0.hasPrefix("LS+ $LDS.") }.count == 1)
    #expect(said.first { $0.hasPrefix("LS+ $LDS.") }?.count == "LS+ $LDS.".count + 22)
    #expect(rig.events == ["info", "established"])
    #expect(rig.hub!.nonsense == nil)
    #expect(rig.link!.isEstablished)
  }

  @Test("a token stands in both fields, as in a real solicitor; without credentials none does")
  func token() {
    let rig = GoodHub().rig { $0.user = "token" }
    let connect = fields(rig.hub!.operations.first { $0.hasPrefix("CONNECT") })
    #expect(connect?["user"]?.string == "token" && connect?["auth_token"]?.string == "token" && connect?["pass"] == nil)
    let open = fields(GoodHub().rig().hub!.operations.first)
    for key: StaticString in ["user", "pass", "auth_token", "domain", "jetstream", "deny_pub", "lang", "is_hub"] {
      #expect(open?[key] == nil)
    }
  }

  @Test("headers are offered only to a hub that has them")
  func noHeaders() {
    var hub = GoodHub()
    hub.headers = false
    hub.burst = "LS+ a\r\n"
    let rig = hub.rig()
    #expect(fields(rig.hub!.taken().first)?["headers"] == nil)
    #expect(rig.publish("a", "hi", headers: "NATS/1.0\r\nA: 1\r\n\r\n"))
    rig.run()
    #expect(rig.hub!.taken() == ["LMSG a () [] hi"])
  }

  @Test(
    "each pair of modes leads to a link that works both ways",
    arguments: [nil, "off", "accept", "s2_auto", "s2_fast", "s2_better", "s2_best"],
    [LeafCompressionMode.notSupported, .off, .accept, .s2Fast, .s2Better, .s2Best, .s2Auto])
  func modes(_ theirs: String?, _ ours: LeafCompressionMode) {
    var hub = GoodHub()
    hub.compression = theirs
    hub.burst = "LS+ up.>\r\n"
    let rig = hub.rig({ $0.compression = ours }, before: { $0.subscribe("down.>") })
    #expect(rig.events == ["info", "established"])
    let text = String(repeating: "hello ", count: 2000)
    #expect(rig.publish("up.1", ByteString(text)))
    rig.hub!.send("LMSG down.1 12000\r\n\(text)\r\nPING\r\n")
    rig.run()
    #expect(rig.got == ["down.> <- down.1 () \(text)"])
    #expect(rig.hub!.nonsense == nil)
    #expect(rig.hub!.operations.suffix(2) == ["LMSG up.1 () [] \(text)", "PONG"])
    let compresses = ours != .off && ours != .notSupported && theirs != nil && theirs != "off" && !(ours == .accept && theirs == "accept")
    #expect(rig.hub!.operations[0].hasPrefix(compresses ? "INFO {\"compression\":\"s2_" : "CONNECT {"))
    #expect(rig.failure == nil)
  }

  @Test("while compression is being agreed nothing is sent before the second INFO")
  func silence() {
    let hub = GoodHub(compression: "s2_fast")
    let rig = LeafRig { end in end.send(hub.info()) }
    rig.subscribe("a")
    rig.dial { $0.compression = .s2Fast }
    rig.run(second_ns)
    #expect(rig.hub!.operations == ["INFO {\"compression\":\"s2_fast\"}"])
    rig.run(5 * second_ns)
    #expect(rig.failure == .noInfo)
  }

  @Test("with another agent the link is LZ4 in both directions where one of them is told so, and S2 with everybody else")
  func lz4() {
    let cases: [(ours: LeafCompressionMode, theirs: String?, extended: String?, name: String)] = [
      (.lz4, "s2_auto", "lz4", "lz4"), (.lz4, "s2_auto", "s2_auto", "lz4"), (.lz4, "accept", "accept", "lz4"),
      (.accept, "s2_auto", "lz4", "lz4"),
      (.s2Fast, "s2_auto", "lz4", "s2_fast"), (.lz4, "s2_fast", nil, "s2_uncompressed"), (.lz4, "off", "off", "off"),
      (.off, "s2_auto", "lz4", "off"), (.lz4, nil, nil, "not supported"), (.lz4, "s2_fast", "zstd", "s2_uncompressed"),
    ]
    for (ours, theirs, extended, name) in cases {
      var hub = GoodHub()
      hub.compression = theirs
      hub.extended = extended
      hub.burst = "LS+ up.>\r\n"
      let rig = hub.rig({ $0.compression = ours }, before: { $0.subscribe("down.>") })
      #expect(rig.events == ["info", "established"] && "\(rig.link!.compressionName)" == name, "\(ours) \(extended ?? "-")")
      #expect(fields(rig.hub!.operations.first { $0.hasPrefix("CONNECT") })?["compress_mode"]?.string == ByteString(name))
      for number in 0..<50 {
        #expect(rig.publish("up.1", ByteString("{\"celsius\":2\(number)}")))
        rig.hub!.send("LMSG down.\(number) 15\r\n{\"celsius\":200}\r\n")
        rig.run(10 * millisecond_ns)
      }
      let text = String(repeating: "hello ", count: 20_000)
      #expect(rig.publish("up.1", ByteString(text)))
      rig.run()
      #expect(rig.got.count == 50 && rig.hub!.nonsense == nil && rig.failure == nil)
      #expect(rig.hub!.operations.last { $0.hasPrefix("LMSG") } == "LMSG up.1 () [] \(text)")
    }
  }

  @Test("an acceptor answers a request for LZ4 only where it has announced it")
  func lz4Answers() {
    #expect(LeafCompressionChoice.answer(own: .s2Auto, requested: "lz4") == .lz4)
    #expect(LeafCompressionChoice.answer(own: .lz4, requested: "s2_fast") == .s2(.s2Auto))
    #expect(LeafCompressionChoice.answer(own: .accept, requested: "s2_best") == .s2(.s2Best))
    #expect(
      LeafCompressionChoice.answer(own: .off, requested: "lz4") == nil
        && LeafCompressionChoice.answer(own: .s2Fast, requested: "zip") == nil)
    #expect("\(LeafCompressionMode.lz4.nameForServers)" == "s2_auto" && "\(LeafCompressionMode.s2Best.nameForServers)" == "s2_best")
    // A nats-server never says it.
    #expect(LeafCompressionChoice.choose(own: .s2Auto, peer: "lz4") == nil)
  }

  // MARK: Interest

  @Test("changes of interest are told at once: plain subjects once, queue groups with their number")
  func interest() {
    let rig = GoodHub().rig()
    _ = rig.hub!.taken()
    let one = rig.subscribe("m.1")
    let two = rig.subscribe("m.1")
    let first = rig.subscribe("q", "G1")
    let second = rig.subscribe("q", "G1")
    rig.run()
    #expect(rig.hub!.taken() == ["LS+ m.1", "LS+ q G1 1", "LS+ q G1 2"])
    for subscription in [one, two, first, second] { rig.account.remove(subscription) }
    rig.run()
    #expect(rig.hub!.taken() == ["LS- m.1", "LS+ q G1 1", "LS- q G1"])
  }

  @Test("JetStream's private subjects and the hub's own domain are never advertised; this side's domain is")
  func withheld() {
    var hub = GoodHub()
    hub.extra = ",\"jetstream\":true,\"domain\":\"hub\""
    let rig = hub.rig(
      {
        $0.compression = .off
        $0.domain = "gw"
      },
      before: { rig in
        for subject: ByteString in [
          "$JS.API.>", "$JS.API.INFO", "$KV.a.b", "$KV.a.>", "$OBJ.x", "$JS.hub.API.INFO", "$JS.ACK.S.C.>", "_INBOX.x", "$JS.S.x",
        ] {
          rig.subscribe(subject)
        }
        rig.account.map(SubjectPrefixMapping(source: "$JS.gw.API.STREAM.>", destination: "$JS.API.STREAM.>"))
      })
    let said = Set(rig.hub!.taken().filter { $0.hasPrefix("LS+") && !$0.contains("$LDS") })
    #expect(said == ["LS+ $JS.ACK.S.C.>", "LS+ _INBOX.x", "LS+ $JS.S.x", "LS+ $JS.gw.API.STREAM.>"])
  }

  @Test("the hub's interest is routed to, replaced, and gone with the link")
  func hubInterest() {
    var hub = GoodHub()
    hub.burst = "LS+ a\r\nLS+ a\r\nLS+ q G 3\r\nLS- unknown\r\nLS+ b..c\r\n"
    let rig = hub.rig()
    #expect(rig.link!.remoteInterestCount == 2)
    #expect(rig.publish("a", "1"))
    #expect(rig.publish("q", "2", reply: "r"))
    #expect(rig.publish("q", "3"))
    #expect(!rig.publish("z"))
    rig.run()
    #expect(Array(rig.hub!.taken().suffix(3)) == ["LMSG a () [] 1", "LMSG q (r) [G] 2", "LMSG q () [G] 3"])
    rig.hub!.send("LS- a\r\nLS- q G\r\nLS+ c\r\n")
    rig.run()
    #expect(!rig.publish("a") && !rig.publish("q") && rig.publish("c"))
    rig.hub!.stream.close()
    rig.run()
    #expect(rig.failure == .closedByPeer)
    #expect(!rig.publish("c"))
    #expect(rig.account.interest.count == 0)
  }

  // MARK: Messages

  @Test("messages from the hub reach plain subscribers, and queue groups only where named")
  func fromHub() {
    let rig = GoodHub().rig(before: { rig in
      rig.subscribe("q.foo")
      rig.subscribe("q.foo", "G1")
      rig.subscribe("q.foo", "G2")
    })
    rig.hub!.send("LMSG q.foo 1\r\nx\r\n")
    rig.run()
    #expect(rig.takeGot() == ["q.foo <- q.foo () x"])
    rig.hub!.send("LMSG q.foo + r.1 G1 G2 1\r\nx\r\nHMSG q.foo | G2 12 13\r\nNATS/1.0\r\n\r\ny\r\n")
    rig.run()
    #expect(rig.got.filter { $0.hasPrefix("q.foo <-") }.count == 2)
    #expect(rig.got.contains("q.foo G1 <- q.foo (r.1) x") && rig.got.contains("q.foo G2 <- q.foo (r.1) x"))
    #expect(rig.got.filter { $0.hasPrefix("q.foo G2") }.count == 2 && rig.got.contains("q.foo G2 <- q.foo () NATS/1.0\r\n\r\ny"))
  }

  @Test("a message from the hub is not sent back to it")
  func noEcho() {
    var hub = GoodHub()
    hub.burst = "LS+ >\r\n"
    let rig = hub.rig(before: { $0.subscribe("a") })
    _ = rig.hub!.taken()
    rig.hub!.send("LMSG a 1\r\nx\r\n")
    rig.run()
    #expect(rig.got.count == 1)
    #expect(rig.hub!.taken() == [])
  }

  @Test("a delivery's subject is split from its ack reply, and appended to one")
  func deliverySubject() {
    var hub = GoodHub()
    hub.burst = "LS+ _INBOX.>\r\n"
    let rig = hub.rig(before: { $0.subscribe("deliver") })
    rig.hub!.send("LMSG deliver $JS.ACK.ORDERS.C.1.1.1.99.2@orders.0 2\r\nhi\r\n")
    #expect(rig.publish("_INBOX.1", "x", reply: "$JS.ACK.S.C.1.2.3.4.5", presented: "sensors.t"))
    #expect(rig.publish("_INBOX.2", "y", presented: "sensors.t"))
    rig.run()
    #expect(rig.got == ["deliver <- orders.0 ($JS.ACK.ORDERS.C.1.1.1.99.2) hi"])
    #expect(Array(rig.hub!.taken().suffix(2)) == ["LMSG _INBOX.1 ($JS.ACK.S.C.1.2.3.4.5@sensors.t) [] x", "LMSG _INBOX.2 () [] y"])
  }

  @Test("what the hub does not permit is not sent, not advertised and not taken")
  func permissions() {
    var hub = GoodHub()
    hub.answer =
      ",\"import\":{\"allow\":[\"sub.>\",\"q.* G1\"],\"deny\":[\"sub.secret\"]},\"export\":{\"allow\":[\"pub.>\"],\"deny\":[\"pub.secret\"]}"
    hub.burst = "LS+ >\r\n"
    let rig = hub.rig(before: { rig in
      for subject: ByteString in ["sub.1", "sub.secret", "other", ">"] { rig.subscribe(subject) }
      rig.subscribe("q.1", "G1")
    })
    let interest = Set(rig.hub!.taken().filter { $0.hasPrefix("LS+") && !$0.contains("$LDS") })
    #expect(interest == ["LS+ sub.1", "LS+ >"])
    for subject: ByteString in ["pub.1", "pub.secret", "sub.1"] { _ = rig.publish(subject, "x") }
    rig.run()
    #expect(rig.hub!.taken() == ["LMSG pub.1 () [] x"])
    _ = rig.takeGot()
    rig.hub!.send("LMSG sub.1 1\r\nx\r\nLMSG sub.secret 1\r\nx\r\nLMSG other 1\r\nx\r\n")
    rig.run()
    #expect(rig.takeGot().sorted() == ["> <- sub.1 () x", "sub.1 <- sub.1 () x"])
    #expect(rig.failure == nil)
    // Later INFO may change them (section 3.5), and one without any does not.
    rig.hub!.send("INFO {\"leafnode_urls\":[\"x:1\"]}\r\n")
    rig.run()
    #expect(!rig.publish("nothing", "x") || rig.hub!.operations.isEmpty)
    rig.hub!.send("INFO {\"export\":{\"allow\":[\"new.>\"]}}\r\n")
    rig.run()
    // The hub's import is no longer limited: the interest that was held back follows.
    #expect(Set(rig.hub!.taken()) == ["LS+ sub.secret", "LS+ other", "LS+ q.1 G1 1"])
    _ = rig.publish("pub.1", "x")
    _ = rig.publish("new.1", "x")
    rig.run()
    #expect(rig.hub!.taken() == ["LMSG new.1 () [] x"])
  }

  @Test("interest that the hub forbids is counted, and told when later permissions let it in")
  func laterPermissions() {
    var hub = GoodHub()
    hub.answer = ",\"import\":{\"allow\":[\"a.>\"]}"
    var early: Subscription?
    let rig = hub.rig(before: { rig in
      rig.subscribe("a.1")
      early = rig.subscribe("b.1")
      rig.subscribe("b.1")
      rig.subscribe("b.2", "G")
      rig.subscribe("b.2", "G")
      rig.subscribe("c")
    })
    _ = rig.hub!.taken()
    rig.hub!.send("INFO {\"import\":{\"allow\":[\"b.>\"]}}\r\n")
    rig.run()
    #expect(Set(rig.hub!.taken()) == ["LS- a.1", "LS+ b.1", "LS+ b.2 G 2"])
    // The second subscription of the subject still wants it.
    rig.account.remove(early!)
    rig.run()
    #expect(rig.hub!.taken() == [])
  }

  @Test("denies of this side's configuration hold in both directions")
  func denies() {
    var hub = GoodHub()
    hub.burst = "LS+ de.1\r\nLS+ ok\r\n"
    let rig = hub.rig(
      {
        $0.compression = .off
        $0.denyImports = ["di.>", "dix"]
        $0.denyExports = ["de.>"]
      },
      before: { rig in
        for subject: ByteString in ["di.1", "di.*", "dix", ">", "ok.1"] { rig.subscribe(subject) }
      })
    #expect(Set(rig.hub!.taken().filter { $0.hasPrefix("LS+") && !$0.contains("$LDS") }) == ["LS+ >", "LS+ ok.1"])
    _ = rig.publish("de.1", "x")
    _ = rig.publish("ok", "x")
    rig.run()
    #expect(rig.hub!.taken() == ["LMSG ok () [] x"])
    _ = rig.takeGot()
    rig.hub!.send("LMSG di.1 1\r\nx\r\n")
    rig.run()
    #expect(rig.takeGot() == [])
  }

  @Test("JetStream's API and this side's own domain are never sent to the hub, except by the forwarder")
  func privateSubjects() {
    var hub = GoodHub()
    hub.burst = "LS+ >\r\n"
    let rig = hub.rig {
      $0.compression = .off
      $0.domain = "gw"
    }
    _ = rig.hub!.taken()
    for subject: ByteString in ["$JS.API.INFO", "$KV.a.b", "$OBJ.a.b", "$JS.gw.API.INFO"] { #expect(!rig.publish(subject, "x")) }
    #expect(rig.publish("$JS.hub.API.INFO", "x"))
    let sent = ByteString("$JS.API.INFO").withView { rig.link!.send(Message(subject: $0)) }
    #expect(sent)
    rig.run()
    #expect(rig.hub!.taken() == ["LMSG $JS.hub.API.INFO () [] x", "LMSG $JS.API.INFO () [] "])
  }

  @Test("messages larger than the hub takes stay here, so that the link lives")
  func maxPayload() {
    var hub = GoodHub()
    hub.maxPayload = 100
    hub.burst = "LS+ a\r\n"
    let rig = hub.rig()
    _ = rig.hub!.taken()
    #expect(!rig.publish("a", ByteString([UInt8](repeating: 0x78, count: 101))))
    #expect(!rig.publish("a", ByteString([UInt8](repeating: 0x78, count: 90)), headers: "NATS/1.0\r\n\r\n"))
    #expect(rig.publish("a", ByteString([UInt8](repeating: 0x78, count: 100))))
    rig.run()
    #expect(rig.hub!.taken().count == 1)
    #expect(rig.link!.dropped == 2)
  }

  @Test("subjects that the forwarder carries do not also go live")
  func held() {
    var hub = GoodHub()
    hub.burst = "LS+ >\r\n"
    let rig = hub.rig()
    _ = rig.hub!.taken()
    rig.shared.held(in: rig.account).outbound = ["sensors.>"]
    #expect(!rig.publish("sensors.a", "x"))
    #expect(rig.publish("other", "x"))
    rig.run()
    #expect(rig.hub!.taken() == ["LMSG other () [] x"])
  }

  // MARK: PING

  @Test("the first PING comes within 1.2 seconds of the link and measures the round trip")
  func firstPing() {
    let rig = GoodHub().rig()
    rig.run(1300 * millisecond_ns)
    #expect(rig.hub!.operations.last == "PING")
    #expect(rig.events.last == "measured")
    #expect((1 * millisecond_ns...3 * millisecond_ns).contains(rig.link!.rtt_ns ?? 0))
  }

  @Test("a hub that acknowledges and says nothing is given up half a minute after the PING that nobody answers")
  func silentHub() {
    let rig = GoodHub().rig()
    rig.run(5 * second_ns)
    rig.hub!.said = { _, _, _ in }
    rig.run(35 * second_ns)
    #expect(rig.failure == nil)
    rig.run(10 * second_ns)
    #expect(rig.failure == .pingsUnanswered)
    #expect(rig.failures == 1)
  }

  @Test("a hub that is gone without a word is given up within twenty seconds of silence, within ten of something to say")
  func deadHub() {
    for (isBusy, limit_s) in [(false, Int64(21)), (true, 11)] {
      var hub = GoodHub()
      hub.burst = "LS+ a\r\n"
      let rig = hub.rig()
      rig.run(5 * second_ns)
      rig.simulation.partition(rig.edge, rig.hubMachine)
      let cut_ns = rig.simulation.now_ns
      while rig.failure == nil, rig.simulation.now_ns - cut_ns < 60 * second_ns {
        if isBusy { _ = rig.publish("a", "x") }
        rig.run(100 * millisecond_ns)
      }
      #expect(rig.failure == (isBusy ? .network(.timedOut) : .pingsUnanswered) || rig.failure == .network(.timedOut))
      #expect(rig.simulation.now_ns - cut_ns <= limit_s * second_ns, "\(isBusy)")
    }
  }

  @Test(
    "a link lives on a way of two seconds' round trip, with every mode of compression, idle or busy", arguments: [nil, "s2_auto", "lz4"])
  func longWay(_ mode: String?) {
    var hub = GoodHub(compression: mode == nil ? "off" : "s2_auto")
    hub.extended = mode
    hub.burst = "LS+ a\r\n"
    let rig = LeafRig { hub.attach($0) }
    rig.simulation.setLink(
      rig.edge, rig.hubMachine, SimulatedLink(latency_ns: second_ns, jitter_ns: 100 * millisecond_ns, loss_millionths: 20_000))
    rig.dialSlowly { $0.compression = mode == "lz4" ? .lz4 : mode == nil ? .off : .s2Auto }
    rig.run(60 * second_ns)
    #expect(rig.link?.isEstablished == true)
    for _ in 0..<300 {
      _ = rig.publish("a", "x")
      rig.run(second_ns)
    }
    rig.run(300 * second_ns)
    #expect(rig.failure == nil && rig.hub!.nonsense == nil)
    #expect((rig.link!.rtt_ns ?? 0) >= 2 * second_ns)
  }

  @Test("a queue that grows to ten seconds on the way is no reason to give a link up")
  func bufferbloat() {
    var hub = GoodHub()
    hub.burst = "LS+ a\r\n"
    let rig = LeafRig { hub.attach($0) }
    // Of 20 kB/s and with the window of a kernel ahead of them, a burst takes twelve seconds to arrive.
    rig.simulation.setLink(
      rig.edge, rig.hubMachine, SimulatedLink(latency_ns: 40 * millisecond_ns, jitter_ns: 10 * millisecond_ns, bandwidth: 20_000))
    rig.dial { $0.compression = .off }
    rig.run(5 * second_ns)
    for _ in 0..<20 {
      for _ in 0..<25 { _ = rig.publish("a", ByteString(String(repeating: "x", count: 10_000))) }
      rig.run(12 * second_ns)
    }
    // Somebody else's queue: the way itself becomes longer than the kernel's and the link's patience was a moment ago.
    rig.simulation.setLink(rig.edge, rig.hubMachine, SimulatedLink(latency_ns: 4 * second_ns, jitter_ns: 10 * millisecond_ns))
    rig.run(120 * second_ns)
    #expect(rig.failure == nil && rig.hub!.nonsense == nil)
  }

  @Test("a link from an address that is gone ends at once, and another is asked whether it lives")
  func networkChanges() {
    let rig = GoodHub().rig()
    rig.run(3 * second_ns)
    _ = rig.hub!.taken()
    rig.link!.networkChanged(NetworkChange(hasGained: true))
    rig.link!.networkChanged(NetworkChange(hasLost: true, removed: [[10, 9, 9, 9]]))
    rig.run(50 * millisecond_ns)
    #expect(rig.hub!.taken() == ["PING"])
    #expect(rig.failure == nil)
    rig.link!.networkChanged(NetworkChange(hasLost: true, removed: [rig.edge.address]))
    #expect(rig.failure == .network(.unreachable))
  }

  @Test("what keepalives cost is counted")
  func keepaliveBytes() {
    let rig = GoodHub().rig()
    rig.run(65 * second_ns)
    let pings = rig.hub!.operations.filter { $0 == "PING" }.count
    #expect(pings >= 5 && pings <= 8 && rig.link!.keepaliveBytes == pings * 200)
    rig.hub!.send("PING\r\n")
    rig.run()
    #expect(rig.link!.keepaliveBytes == (pings + 1) * 200)
  }

  @Test("a PING is answered at once; those that come together, with one PONG")
  func pong() {
    let rig = GoodHub().rig()
    _ = rig.hub!.taken()
    for pings in ["PING\r\n", "PING\r\nPING\r\n"] {
      rig.hub!.send(pings)
      rig.run(20 * millisecond_ns)
      #expect(rig.hub!.taken() == ["PONG"])
    }
  }

  @Test("s2_auto compresses the more the longer the first round trip was, and CONNECT says how")
  func auto() {
    for (latency_ms, name) in [(1, "s2_uncompressed"), (20, "s2_fast"), (40, "s2_better"), (100, "s2_best")] as [(Int64, String)] {
      let hub = GoodHub(compression: "s2_auto")
      let rig = LeafRig { hub.attach($0) }
      rig.simulation.setLink(rig.edge, rig.hubMachine, SimulatedLink(latency_ns: latency_ms * millisecond_ns, jitter_ns: 0))
      rig.dial { $0.compression = .s2Auto }
      rig.run(2 * second_ns)
      #expect(rig.link!.isEstablished)
      #expect("\(rig.link!.compressionName)" == name)
      #expect(rig.hub!.operations[0] == "INFO {\"compression\":\"s2_auto\"}")
      #expect(fields(rig.hub!.operations[1])?["compress_mode"]?.string == ByteString(name))
    }
  }

  @Test("s2_auto follows the round trip of a link that is up, and the hub goes on understanding what it sends")
  func autoFollows() {
    var hub = GoodHub(compression: "s2_auto")
    hub.burst = "LS+ a\r\n"
    let rig = LeafRig { hub.attach($0) }
    func distance(_ latency_ms: Int64) {
      rig.simulation.setLink(rig.edge, rig.hubMachine, SimulatedLink(latency_ns: latency_ms * millisecond_ns, jitter_ns: 0))
    }
    distance(1)
    rig.dial {
      $0.compression = .s2Auto
      $0.compressionThresholds = LeafCompressionThresholds([10, 50, 80].map { $0 * millisecond_ns })
      $0.liveness = LeafLiveness.Parameters(idle_ns: second_ns, patience_ns: 10 * second_ns)
    }
    let text = String(repeating: "{\"celsius\":21.5}", count: 100)
    for (latency_ms, name) in [(1, "s2_uncompressed"), (30, "s2_better"), (300, "s2_best"), (20, "s2_fast"), (2, "s2_uncompressed")]
      as [(Int64, String)]
    {
      distance(latency_ms)
      rig.run(8 * second_ns)
      #expect("\(rig.link!.compressionName)" == name)
      let written = rig.link!.bytesWritten
      #expect(rig.publish("a", ByteString(text)))
      rig.run(second_ns / 2)
      #expect((rig.link!.bytesWritten - written > text.utf8.count) == (name == "s2_uncompressed"))
      #expect(rig.hub!.taken().contains("LMSG a () [] \(text)"))
    }
    #expect(rig.hub!.nonsense == nil && rig.failure == nil)
  }
}
