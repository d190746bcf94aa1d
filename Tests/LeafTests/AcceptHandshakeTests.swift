// A server that is dialled: what it says first, whom it lets in, and in which words it sends others away.
import Broker
import Bytes
import Compression
import Identity
import Interest
import JSON
import Platform
import Testing

@testable import Leaf

@Suite struct AcceptHandshakeTests {
  // MARK: INFO

  @Test("the first INFO has what solicitors of every release require of a leaf listener")
  func firstInfo() {
    let rig = AcceptRig { options, link in
      link.compression = .s2Auto
      link.domain = "yard"
      link.jetStream = true
      options.cluster = "hub"
    }
    let end = rig.dial()
    let info = fields(end.operations.first)
    #expect(end.operations.count == 1)
    #expect(info?["client_id"]?.int ?? 0 > 0)
    #expect(info?["leafnode_urls"]?.array?.map { $0.string! } == ["10.0.0.1:7422"])
    #expect(info?["host"]?.string == "10.0.0.1" && info?["port"]?.int == 7422)
    #expect(info?["info_on_connect"]?.bool == true && info?["auth_required"]?.bool == true && info?["headers"]?.bool == true)
    #expect(info?["nonce"]?.string?.count == 15 && info?["compression"]?.string == "s2_auto")
    #expect(info?["domain"]?.string == "yard" && info?["cluster"]?.string == "hub" && info?["jetstream"]?.bool == true)
    #expect(info?["max_payload"]?.int == 1_048_576 && info?["server_name"]?.string == "hub")
    #expect(info?["connect_info"] == nil && info?["ldm"] == nil)
  }

  @Test("solicitors are told the advertised address, or none: the member is there even then, for those before 2.15.1")
  func advertised() {
    let named = AcceptRig { options, _ in options.advertised = (host: "hub.example", port: 4711) }.dial()
    #expect(fields(named.operations.first)?["leafnode_urls"]?.array?.map { $0.string! } == ["hub.example:4711"])
    #expect(fields(named.operations.first)?["host"]?.string == "hub.example")
    let portless = AcceptRig { options, _ in options.advertised = (host: "::1", port: 0) }.dial()
    #expect(fields(portless.operations.first)?["leafnode_urls"]?.array?.map { $0.string! } == ["[::1]:7422"])
    let silent = AcceptRig { options, _ in options.isUnadvertised = true }.dial()
    #expect(fields(silent.operations.first)?["leafnode_urls"]?.array?.isEmpty == true)
  }

  @Test("CONNECT is answered by INFO before any interest, and by all of it")
  func answer() {
    let rig = AcceptRig()
    rig.hub.subscribe("local.>")
    rig.hub.subscribe("jobs", "workers")
    rig.hub.subscribe("jobs", "workers")
    rig.hub.subscribe("$JS.API.>")
    let end = rig.dial()
    let said = rig.say(AcceptRig.connect("edge"), end)
    let info = fields(said.first)
    #expect(said[0].hasPrefix("INFO "))
    #expect(info?["connect_info"]?.bool == true && info?["remote_account"]?.string == "$G" && info?["client_id"]?.int ?? 0 > 0)
    #expect(info?["nonce"] == nil && info?["compression"] == nil && info?["import"] == nil && info?["export"] == nil)
    #expect(Set(said.dropFirst().filter { !$0.contains("$LDS") }) == ["LS+ local.>", "LS+ jobs workers 2"])
    #expect(said.filter { $0.hasPrefix("LS+ $LDS.") }.count == 1)
    let link = rig.hub.accepted[0]
    #expect(link.peer.serverName == "edge" && link.peer.cluster == "edge" && link.role == .accepted && link.isEstablished)
  }

  @Test("an empty CONNECT is enough; headers are then stripped")
  func minimal() {
    let rig = AcceptRig()
    let end = rig.dial()
    #expect(rig.say("CONNECT {}\r\n", end).first?.hasPrefix("INFO ") == true)
    #expect(rig.say("LS+ a\r\n", end) == [])
    rig.hub.account.publish(to: "a", [UInt8]("x".utf8), headers: [UInt8]("NATS/1.0\r\nA: 1\r\n\r\n".utf8))
    rig.run()
    #expect(end.taken() == ["LMSG a () [] x"])
  }

  // MARK: Refusals

  static let refusals: [(String, String)] = [
    ("PING\r\n", "Authorization Violation"),
    ("PONG\r\n", "Authorization Violation"),
    ("LS+ a\r\n", "Authorization Violation"),
    ("LMSG a 1\r\nx\r\n", "Authorization Violation"),
    ("-ERR 'x'\r\n", "Authorization Violation"),
    ("INFO {\"compression\":\"s2_auto\"}\r\n", "Authorization Violation"),
    ("CONNECT {\"lang\":\"go\"}\r\n", "attempted to connect to leaf node port"),
    ("CONNECT {\"gateway\":\"X\"}\r\n", "Rejecting connection from gateway \"X\" on the leafnode port"),
    ("CONNECT {\"cluster\":\"a b\"}\r\n", "cluster name cannot contain spaces"),
    ("CONNECT {\"cluster\":\"_\"}\r\n", "cluster name is reserved"),
    ("CONNECT {\"cluster\":\"own\"}\r\n", "remote leafnode has same cluster name"),
  ]

  @Test("who must not come in is told in nats-server's words and closed", arguments: refusals)
  func refused(_ text: String, _ words: String) {
    let rig = AcceptRig { options, _ in options.cluster = "own" }
    let end = rig.dial()
    #expect(rig.say(text, end) == ["-ERR \(words)"])
    #expect(end.closed == .peerClosed)
    #expect(rig.hub.shared.links.isEmpty && rig.hub.listener.isEmpty)
  }

  @Test(
    "CONNECT that cannot be read closes without a word, as in nats-server",
    arguments: [
      "CONNECT {\r\n", "CONNECT []\r\n", "CONNECT {\"name\":5}\r\n", "CONNECT {\"headers\":1}\r\n", "CONNECT {\"deny_pub\":[\"a..b\"]}\r\n",
      "CONNECT {\"deny_pub\":[1]}\r\n", "CONNECT {\"name\":\"\(String(repeating: "n", count: 1025))\"}\r\n",
    ])
  func unreadable(_ text: String) {
    let rig = AcceptRig()
    let end = rig.dial()
    #expect(rig.say(text, end) == [])
    #expect(end.closed == .peerClosed && rig.hub.listener.isEmpty)
  }

  @Test("a solicitor that says nothing is closed after the time for authentication")
  func silent() {
    let rig = AcceptRig()
    let end = rig.dial()
    rig.run(1_800 * millisecond_ns)
    #expect(end.closed == nil && !rig.hub.listener.isEmpty)
    rig.run(200 * millisecond_ns)
    #expect(end.operations.last == "-ERR Authentication Timeout" && end.closed == .peerClosed && rig.hub.listener.isEmpty)
  }

  @Test("nothing larger than a control line is kept for one who has not said who he is")
  func early() {
    let rig = AcceptRig()
    let end = rig.dial()
    #expect(rig.say("LMSG a 1000000\r\nxxxx", end) == ["-ERR Authorization Violation"])
    let other = rig.dial()
    #expect(rig.say("CONNECT {\"name\":\"" + String(repeating: "x", count: 70_000), other) == ["-ERR Authorization Violation"])
  }

  static let versions: [(String, String?, Bool)] = [
    ("2.11.0", "2.11.0", true), ("2.11.0", "2.12.8", true), ("2.11.0", "v3.0.0-beta.1", true), ("2.11.0", "2.10.26", false),
    ("2.11.4", "2.11", false), ("2.11.0", "x", false), ("2.11.0", nil, false),
  ]

  @Test("servers older than min_version are sent away after the answer, as they expect it", arguments: versions)
  func minimumVersion(_ text: String, _ version: String?, _ isLetIn: Bool) {
    let least = ByteString(text)
    let rig = AcceptRig { options, _ in
      options.versionMin = least.withView { ReleaseVersion($0) }
      options.versionMinText = least
    }
    let end = rig.dial()
    let said = rig.say("CONNECT {\"name\":\"edge\"\(version.map { ",\"version\":\"\($0)\"" } ?? "")}\r\n", end)
    #expect(fields(said.first)?["connect_info"]?.bool == true)
    #expect(end.closed == (isLetIn ? nil : .peerClosed))
    #expect(
      said.dropFirst().contains("-ERR connection rejected since minimum version required is \"\(text)\"") == !isLetIn)
    if !isLetIn { #expect(said.count == 2) }
  }

  // MARK: Duplicates and loops

  @Test("a server that comes back is let in and its old link closed; another account or another server is no duplicate")
  func duplicate() {
    let rig = AcceptRig()
    let old = rig.spoke("edge")
    _ = rig.say("LS+ old.interest\r\n", old)
    let other = rig.spoke("other")
    let account = rig.spoke("edge", ",\"remote_account\":\"A\"")
    #expect(rig.hub.accepted.count == 3)
    let new = rig.spoke("edge")
    #expect(old.operations.last == "-ERR Duplicate Remote LeafNode Connection" && old.closed == .peerClosed)
    #expect(new.closed == nil && other.closed == nil && account.closed == nil)
    #expect(rig.hub.accepted.count == 3)
    #expect(!rig.hub.publish("old.interest"))
    // Others were told that the interest is gone.
    #expect(other.operations.contains("LS- old.interest"))
    // One that does not say which account it has cannot be known again.
    let nameless = rig.dial()
    _ = rig.say("CONNECT {\"name\":\"edge\",\"cluster\":\"edge\"}\r\n", nameless)
    #expect(new.closed == nil && rig.hub.accepted.count == 4)
  }

  @Test("a mark of this server that comes back is a loop")
  func loop() {
    let rig = AcceptRig()
    let end = rig.dial()
    let mark = rig.say(AcceptRig.connect("edge"), end).first { $0.hasPrefix("LS+ $LDS.") }!
    let other = rig.spoke("other")
    #expect(
      rig.say("\(mark)\r\n", other) == ["-ERR Loop detected for leafnode account=\"$G\". Delaying attempt to reconnect for 30s"])
    #expect(other.closed == .peerClosed && end.closed == nil)
  }

  @Test("a second CONNECT ends the link")
  func second() {
    let rig = AcceptRig()
    let end = rig.spoke("edge")
    #expect(rig.say(AcceptRig.connect("edge"), end) == [])
    #expect(end.closed == .peerClosed)
  }

  // MARK: Compression

  static let modes: [(LeafCompressionMode, String?, String?)] = [
    (.s2Auto, "s2_auto", "s2_auto"), (.s2Auto, "s2_best", "s2_auto"), (.s2Auto, "accept", "s2_auto"), (.s2Fast, "s2_auto", "s2_fast"),
    (.accept, "s2_auto", "s2_fast"), (.accept, "s2_fast", "s2_fast"), (.s2Auto, "off", nil), (.accept, "accept", nil),
    (.s2Auto, "not supported", nil), (.s2Auto, nil, nil),
  ]

  @Test("a request to compress is answered in S2, and everything after it is; or the link stays plain", arguments: modes)
  func compression(_ own: LeafCompressionMode, _ asked: String?, _ answered: String?) {
    let rig = AcceptRig { _, link in link.compression = own }
    let end = rig.dial()
    // As a real solicitor without a listener of its own sends it.
    end.send(
      "INFO {\"server_id\":\"\",\"version\":\"\",\"headers\":false,\"max_payload\":0,\"client_id\":5"
        + (asked.map { ",\"compression\":\"\($0)\"" } ?? "") + "}\r\n")
    if answered != nil { end.compress() }
    rig.run()
    let first = fields(end.operations.first)
    if let answered {
      #expect(end.operations.count == 2)
      let second = fields(end.operations.last)
      #expect(second?["compression"]?.string.map { $0.string } == answered)
      #expect(second?["nonce"]?.string == first?["nonce"]?.string && second?["client_id"]?.int == first?["client_id"]?.int)
    } else {
      #expect(end.operations.count == 1)
    }
    let said = rig.say(AcceptRig.connect("edge"), end)
    #expect(fields(said.first)?["connect_info"]?.bool == true)
    #expect(rig.say("LS+ a\r\nPING\r\n", end) == ["PONG"])
    rig.hub.publish("a", "payload")
    rig.run()
    #expect(end.taken() == ["LMSG a () [] payload"])
    #expect(end.nonsense == nil && end.closed == nil)
  }

  @Test("who is not let in yet cannot make the hub hold much, compressed or not")
  func bomb() {
    let rig = AcceptRig { _, link in link.compression = .s2Auto }
    // bcrypt of "secret", cost 4: the verdict takes a while.
    var user = UserRule(name: "hashed")
    user.password = StoredPassword("$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V.")
    // The same password in another hash: what is proven of one says nothing of the other.
    var other = UserRule(name: "other")
    other.password = StoredPassword("$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW")
    var rules = AccessRules()
    rules.users = [user, other]
    rig.hub.broker.use(rules)
    let fine = rig.dial()
    let end = rig.dial()
    for end in [fine, end] {
      end.send("INFO {\"compression\":\"s2_auto\"}\r\n")
      end.compress()
      rig.run()
    }
    fine.send(AcceptRig.connect("edge", ",\"user\":\"hashed\",\"pass\":\"secret\""))
    rig.run(second_ns)
    #expect(fine.closed == nil && rig.hub.accepted.count == 1)
    let connect = AcceptRig.connect("edge", ",\"user\":\"other\",\"pass\":\"secret\"")
    _ = end.taken()
    end.send(connect + String(repeating: "PING\r\n", count: 200_000))
    rig.run(20 * millisecond_ns)
    let waiting = rig.hub.listener.connections.first { $0.isWaiting }
    #expect((waiting?.plainInput.count ?? .max) <= 65_536 && (waiting?.compressedInput.count ?? .max) <= 65_536)
    // What it has to say is heard when it is let in, and answered once in a turn.
    rig.run(second_ns)
    #expect(end.closed == nil && rig.hub.accepted.count == 1)
    #expect((1...20).contains(end.taken().filter { $0 == "PONG" }.count))
  }

  @Test("a leaf whose password is being checked when the rules change is judged by the new ones", arguments: [true, false])
  func rulesChange(_ stays: Bool) {
    let rig = AcceptRig()
    var user = UserRule(name: "hashed")
    user.password = StoredPassword("$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V.")
    var other = UserRule(name: "other")
    other.password = StoredPassword("x")
    var rules = AccessRules()
    rules.users = [user]
    rig.hub.broker.use(rules)
    let end = rig.dial()
    end.send(AcceptRig.connect("edge", ",\"user\":\"hashed\",\"pass\":\"secret\""))
    rig.run(20 * millisecond_ns)
    #expect(rig.hub.accepted.isEmpty && end.closed == nil)
    rules.users = stays ? [user, other] : [other]
    rig.hub.broker.use(rules)
    rig.run(second_ns)
    #expect(rig.hub.accepted.count == (stays ? 1 : 0) && (end.closed == nil) == stays)
  }

  @Test(
    "after a reload a leaf stays with the same hash, and loses its link at once with another one or a wrong password", arguments: [0, 1, 2])
  func hashChanges(_ kind: Int) {
    let rig = AcceptRig()
    var user = UserRule(name: "hashed")
    user.password = StoredPassword("$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V.")
    var rules = AccessRules()
    rules.users = [user]
    rig.hub.broker.use(rules)
    let end = rig.spoke("edge", ",\"user\":\"hashed\",\"pass\":\"secret\"")
    rig.run(second_ns)
    let others = [
      "$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V.", "$2b$04$27OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V.",
      "plain",
    ]
    rules.users[0].password = StoredPassword(ByteString(others[kind]))
    rig.hub.broker.use(rules)
    rig.hub.listener.judgeAgain()
    // Not after a check: now.
    #expect(rig.hub.accepted.count == (kind == 0 ? 1 : 0))
    rig.run()
    #expect((end.closed == nil) == (kind == 0))
    #expect(end.taken().contains("-ERR Authorization Violation") == (kind == 2))
  }

  @Test("modes that nobody knows are refused; a solicitor may go on without asking")
  func unknownMode() {
    let rig = AcceptRig { _, link in link.compression = .s2Auto }
    #expect(rig.say("INFO {\"compression\":\"zstd\"}\r\n", rig.dial()) == ["-ERR unsupported route compression mode \"zstd\""])
    let plain = rig.dial()
    #expect(rig.say(AcceptRig.connect("edge"), plain).first?.hasPrefix("INFO ") == true)
    #expect(rig.say("PING\r\n", plain) == ["PONG"])
    let twice = rig.dial()
    #expect(rig.say("INFO {\"compression\":\"off\"}\r\n", twice) == [])
    #expect(rig.say("INFO {\"compression\":\"s2_fast\"}\r\n", twice) == [] && twice.closed == nil)
    let later = rig.spoke("later")
    #expect(rig.say("INFO {\"compression\":\"s2_fast\"}\r\nPING\r\n", later) == ["PONG"])
  }

  // MARK: The machine

  @Test("after CONNECT the machine takes no second one, and INFO means nothing")
  func machine() {
    let machine = Acceptance(mode: .s2Fast)
    #expect(machine.receivedInfo("s2_auto") == .compress(.s2Fast))
    #expect(machine.receivedConnect() == .judge)
    #expect(machine.choice == .s2(.s2Fast))
    #expect(machine.receivedInfo("s2_auto") == .wait)
    #expect(machine.receivedConnect() == .refuse(.malformed))
    #expect(machine.receivedConnect() == .refuse(.authorization))
    let plain = Acceptance(mode: .off)
    #expect(plain.receivedConnect() == .judge && plain.choice == .off)
    #expect(Acceptance(mode: .off).receivedInfo("s2_fast") == .refuse(.authorization))
    let asked = Acceptance(mode: .s2Fast)
    for _ in 0..<5 { #expect(asked.receivedInfo("off") == .wait) }
    #expect(asked.receivedInfo("off") == .refuse(.authorization))
  }

  // MARK: The end

  @Test("in lame duck nobody is let in, those who are there are told, and closed over the time")
  func lameDuck() {
    let rig = AcceptRig()
    rig.hub.broker.limits.lameDuckDuration_ns = 13 * second_ns
    rig.hub.broker.limits.lameDuckGrace_ns = 10 * second_ns
    let ends = [rig.spoke("a"), rig.spoke("b"), rig.spoke("c")]
    var isEmpty = false
    rig.hub.listener.onEmpty = { isEmpty = true }
    rig.hub.listener.startLameDuck()
    rig.run(9 * second_ns)
    for end in ends {
      #expect(fields(end.operations.first)?["ldm"]?.bool == true)
      #expect(end.closed == nil)
    }
    rig.run(1_500 * millisecond_ns)
    #expect(ends.filter { $0.closed != nil }.count == 1 && !isEmpty)
    rig.run(3 * second_ns)
    #expect(ends.allSatisfy { $0.closed == .peerClosed } && isEmpty)
  }

  @Test("a spoke that does not answer PING is closed")
  func stale() {
    let rig = AcceptRig { _, link in link.liveness = LeafLiveness.Parameters(idle_ns: 5 * second_ns, patience_ns: 2 * second_ns) }
    let end = rig.spoke("edge")
    end.answersPings = false
    rig.run(12 * second_ns)
    #expect(end.operations.filter { $0 == "PING" }.count == 1)
    #expect(end.operations.last == "-ERR Stale Connection" && end.closed == .peerClosed)
  }

  @Test("a thousand connections that never say CONNECT leave nothing behind")
  func flood() {
    let rig = AcceptRig()
    for _ in 0..<20 {
      let machine = rig.simulation.machine("flood")
      for _ in 0..<50 {
        _ = machine.host.network.connect(SocketAddress(address: rig.hub.machine.address, port: 7422), timeout_ns: second_ns) { result in
          guard case .success(let stream) = result else { return }
          _ = HubEnd(stream, isHub: false)
        }
      }
    }
    rig.run(second_ns)
    #expect(!rig.hub.listener.isEmpty)
    rig.run(2 * second_ns)
    #expect(rig.hub.listener.isEmpty && rig.hub.shared.links.isEmpty)
  }
}
