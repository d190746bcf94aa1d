// Interest and messages of a hub with several spokes, and of chains of servers (leafnode-protocol.md sections 9 to 14).
import Broker
import Bytes
import Identity
import Interest
import JSON
import Platform
import Testing

@testable import Leaf

@Suite struct HubRoutingTests {
  // MARK: Interest

  @Test("a spoke's interest is told to the other spokes once, and taken back once")
  func counted() {
    let rig = AcceptRig()
    let (a, b, c) = (rig.spoke("a"), rig.spoke("b"), rig.spoke("c"))
    _ = rig.say("LS+ x\r\n", a)
    #expect(b.taken().contains("LS+ x") && c.taken().contains("LS+ x"))
    _ = rig.say("LS+ x\r\nLS+ x\r\n", b)
    #expect(a.taken() == ["LS+ x"] && c.taken() == [])
    _ = rig.say("LS- x\r\n", a)
    #expect(b.taken() == ["LS- x"] && c.taken() == [])
    _ = rig.say("LS- x\r\nLS- x\r\n", b)
    #expect(a.taken() == ["LS- x"] && c.taken() == ["LS- x"])
  }

  @Test("weights of a queue group are those of the hub and the other spokes together, absolute on every change")
  func weights() {
    let rig = AcceptRig()
    let (a, b, c) = (rig.spoke("a"), rig.spoke("b"), rig.spoke("c"))
    let local = rig.hub.subscribe("q", "G")
    rig.run()
    _ = [a.taken(), b.taken(), c.taken()]
    _ = rig.say("LS+ q G 3\r\n", a)
    #expect(b.taken() == ["LS+ q G 4"] && c.taken() == ["LS+ q G 4"])
    _ = rig.say("LS+ q G 5\r\n", b)
    #expect(a.taken() == ["LS+ q G 6"] && c.taken() == ["LS+ q G 9"])
    _ = rig.say("LS+ q G 1\r\n", a)
    #expect(b.taken() == ["LS+ q G 2"] && c.taken() == ["LS+ q G 7"])
    rig.hub.account.remove(local)
    rig.run()
    #expect(a.taken() == ["LS+ q G 5"] && b.taken() == ["LS+ q G 1"] && c.taken() == ["LS+ q G 6"])
    _ = rig.say("LS- q G\r\n", b)
    #expect(a.taken() == ["LS- q G"] && c.taken() == ["LS+ q G 1"])
    b.stream.close()
    a.stream.close()
    rig.run()
    #expect(c.taken() == ["LS- q G"])
    // A group without members is told to nobody and gets nothing.
    let d = rig.spoke("d")
    _ = rig.say("LS+ z G 0\r\n", d)
    #expect(c.taken().filter { $0.contains("z") } == [])
    #expect(!rig.hub.publish("z"))
    _ = rig.say("LS+ z G 2\r\n", d)
    #expect(c.taken() == ["LS+ z G 2"])
    _ = rig.say("LS+ z G 0\r\n", d)
    #expect(c.taken() == ["LS- z G"])
  }

  @Test("whoever comes later is told of everything that is there, his own cluster's interest not")
  func burst() {
    let rig = AcceptRig()
    let a = rig.spoke("a")
    _ = rig.say("LS+ $LDS.aaaaaaaaaaaaaaaaaaaaaa\r\nLS+ x\r\nLS+ q G 2\r\n", a)
    let end = rig.dial()
    let said = rig.say(AcceptRig.connect("b"), end)
    #expect(said.contains("LS+ x") && said.contains("LS+ q G 2") && said.contains("LS+ $LDS.aaaaaaaaaaaaaaaaaaaaaa"))
    let sibling = rig.dial()
    let told = rig.say("CONNECT {\"name\":\"a-2\",\"cluster\":\"a\",\"headers\":true,\"remote_account\":\"$G\"}\r\n", sibling)
    #expect(!told.contains("LS+ x") && !told.contains { $0.contains("aaaaaa") })
    _ = rig.say("LS+ y\r\n", sibling)
    #expect(a.taken().filter { $0.contains("y") } == [] && end.taken() == ["LS+ y"])
  }

  @Test("isolated spokes hear nothing of other leafs, and others hear of them", arguments: [true, false])
  func isolated(_ byHub: Bool) {
    let rig = AcceptRig { _, link in link.isolated = byHub }
    rig.hub.subscribe("local")
    let a = rig.spoke("a", byHub ? "" : ",\"isolate\":true")
    let b = rig.spoke("b")
    _ = rig.say("LS+ of.b\r\nLS+ $LDS.bbbbbbbbbbbbbbbbbbbbbb\r\n", b)
    #expect(a.taken() == [])
    _ = rig.say("LS+ of.a\r\n", a)
    #expect(b.taken() == (byHub ? [] : ["LS+ of.a"]))
    #expect(rig.hub.accepted.map { $0.isIsolated } == [true, byHub])
    // What the hub itself wants, all are told.
    rig.hub.subscribe("more")
    rig.run()
    #expect(a.taken() == ["LS+ more"])
  }

  @Test("interest that cannot be is answered, not stored; the link stays")
  func invalid() {
    let rig = AcceptRig()
    let a = rig.spoke("a")
    #expect(rig.say("LS+ a..b\r\nLS- a..b\r\nPING\r\n", a) == ["-ERR Invalid Subscription", "PONG"])
    #expect(rig.hub.accepted[0].remoteInterestCount == 0)
    #expect(rig.say("LS+ a q\r\n", a) == [] && a.closed == .peerClosed)
  }

  // MARK: Messages

  @Test("a message from a spoke goes to the hub's own and to other spokes, never back")
  func spread() {
    let rig = AcceptRig()
    rig.hub.subscribe("x.*")
    let (a, b) = (rig.spoke("a"), rig.spoke("b"))
    for end in [a, b] { _ = rig.say("LS+ x.>\r\nLS+ x.1\r\n", end) }
    _ = b.taken()
    #expect(rig.say("HMSG x.1 reply 12 13\r\nNATS/1.0\r\n\r\nx\r\n", a) == [])
    #expect(b.taken() == ["HMSG x.1 (reply) [] NATS/1.0\r\n\r\nx"])
    #expect(rig.hub.takeGot() == ["x.1 (reply) NATS/1.0\r\n\r\nx"])
  }

  @Test("what a leaf's user is denied stays denied by its domain's name, and is not shown either")
  func deniedUser() {
    let rig = AcceptRig()
    rig.hub.account.map(SubjectPrefixMapping(source: "$JS.hub.API.>", destination: "$JS.API.>"))
    var user = UserRule(name: "u")
    user.password = StoredPassword("p")
    var permissions = Permissions()
    permissions.publish = Permissions.Lists(allow: ["x.>", "$JS.hub.API.>"], deny: ["$JS.API.STREAM.DELETE.>"])
    user.permissions = permissions
    var rules = AccessRules()
    rules.users = [user]
    rig.hub.broker.use(rules)
    rig.hub.subscribe(">")
    let a = rig.spoke("a", ",\"user\":\"u\",\"pass\":\"p\"")
    // By the domain, as other servers ask.
    _ = rig.say("LMSG $JS.hub.API.INFO 0\r\n\r\n", a)
    #expect(rig.hub.takeGot() == ["$JS.API.INFO () "])
    _ = rig.say("LMSG x.1 $JS.ACK.S.C.1.1.1.1.0@x.2 0\r\n\r\nLMSG x.1 $JS.ACK.S.C.1.1.1.1.0@cmd.stop 0\r\n\r\n", a)
    #expect(rig.hub.takeGot() == ["x.2 ($JS.ACK.S.C.1.1.1.1.0) ", "x.1 ($JS.ACK.S.C.1.1.1.1.0) "])
    #expect(a.closed == nil)
    _ = rig.say("LMSG $JS.hub.API.STREAM.DELETE.S 0\r\n\r\n", a)
    #expect(rig.hub.takeGot() == [] && a.closed != nil)
  }

  @Test("leafs of one cluster get nothing from each other, plain or in a group")
  func cluster() {
    let rig = AcceptRig()
    let one = rig.spoke("a")
    let two = rig.dial()
    _ = rig.say("CONNECT {\"name\":\"a-2\",\"cluster\":\"a\",\"headers\":true,\"remote_account\":\"$G\"}\r\n", two)
    let other = rig.spoke("b")
    for end in [two, other] { _ = rig.say("LS+ x\r\nLS+ x G 1\r\n", end) }
    for _ in 0..<20 { one.send("LMSG x | G 1\r\nm\r\n") }
    rig.run()
    #expect(two.taken().filter { $0.hasPrefix("LMSG") } == [])
    #expect(other.taken().filter { $0.hasPrefix("LMSG") } == Array(repeating: "LMSG x () [G] m", count: 20))
  }

  @Test("a group named by a spoke is served once: by the hub's member if there is one, else by one other spoke, by weight")
  func queues() {
    let rig = AcceptRig(seed: 4)
    let (a, b, c) = (rig.spoke("a"), rig.spoke("b"), rig.spoke("c"))
    _ = rig.say("LS+ q G 1\r\n", b)
    _ = rig.say("LS+ q G 3\r\nLS+ q H 1\r\n", c)
    _ = [a.taken(), b.taken(), c.taken()]
    for _ in 0..<400 { a.send("LMSG q | G 1\r\nm\r\n") }
    rig.run(second_ns)
    let (atB, atC) = (b.taken(), c.taken())
    #expect(atB.count + atC.count == 400 && Set(atB + atC) == ["LMSG q () [G] m"])
    #expect((60...140).contains(atB.count), "\(atB.count)")
    // Without a group named nobody of a group gets it.
    _ = rig.say("LMSG q 1\r\nm\r\n", a)
    #expect(b.taken() == [] && c.taken() == [])
    let local = rig.hub.subscribe("q", "G")
    rig.run()
    _ = [b.taken(), c.taken()]
    _ = rig.say("LMSG q + r G H 1\r\nm\r\n", a)
    #expect(rig.hub.takeGot() == ["q (r) m"])
    #expect(b.taken() == [] && c.taken() == ["LMSG q (r) [H] m"])
    rig.hub.account.remove(local)
    // The hub's own messages too.
    rig.hub.publish("q", "own")
    rig.run()
    let own = (b.taken() + c.taken()).filter { $0.hasPrefix("LMSG") }
    #expect(own.count == 2 || own == ["LMSG q () [G H] own"])
  }

  @Test("a group is not named to a leaf that must not have the message")
  func forbiddenMember() {
    let rig = AcceptRig()
    let a = rig.spoke("a", ",\"deny_pub\":[\"q\"]")
    let b = rig.spoke("b")
    for end in [a, b] { _ = rig.say("LS+ q G 1\r\n", end) }
    _ = [a.taken(), b.taken()]
    for _ in 0..<20 { #expect(rig.hub.publish("q", "m")) }
    rig.run()
    #expect(a.taken() == [] && b.taken().count == 20)
  }

  @Test("a delivery's subject behind the reply stays there on the next leg")
  func presented() {
    let rig = AcceptRig()
    let (a, b) = (rig.spoke("a"), rig.spoke("b"))
    rig.hub.subscribe("deliver")
    _ = rig.say("LS+ deliver\r\n", b)
    _ = rig.say("LMSG deliver $JS.ACK.S.C.1.2.3.4.5@orders.1 1\r\nm\r\n", a)
    #expect(b.taken() == ["LMSG deliver ($JS.ACK.S.C.1.2.3.4.5@orders.1) [] m"])
    #expect(rig.hub.takeGot() == ["orders.1 ($JS.ACK.S.C.1.2.3.4.5) m"])
  }

  // MARK: What does not cross

  @Test("a spoke's literal interest in JetStream's own subjects ends the link; patterns are filtered")
  func denied() {
    for (subject, isLetIn) in [
      ("$KV.a.b", false), ("$JS.API.INFO", false), ("$OBJ.x", false), ("$JS.yard.API.INFO", false), ("$KV.>", true), ("$JS.API.>", true),
      ("$JS.other.API.INFO", true), ("$JS.ACK.S.C.1", true),
    ] {
      let rig = AcceptRig { _, link in link.domain = "yard" }
      let a = rig.spoke("a")
      let said = rig.say("LS+ \(subject)\r\n", a)
      #expect(said == (isLetIn ? [] : ["-ERR Permissions Violation for Subscription to \"\(subject)\""]), "\(subject)")
      #expect((a.closed == nil) == isLetIn)
    }
    let rig = AcceptRig { _, link in link.domain = "yard" }
    let a = rig.spoke("a")
    _ = rig.say("LS+ >\r\n", a)
    for subject: ByteString in ["$KV.a.b", "$JS.API.INFO", "$OBJ.x", "$JS.yard.API.INFO"] { #expect(!rig.hub.publish(subject)) }
    for subject: ByteString in ["$JS.other.API.INFO", "$JS.ACK.S.C.1", "$KVx", "plain"] { #expect(rig.hub.publish(subject)) }
  }

  @Test("JetStream's own subjects from a spoke are served here, as by nats-server, and go no further")
  func served() {
    let rig = AcceptRig()
    rig.hub.subscribe("$JS.API.INFO")
    let (a, b) = (rig.spoke("a"), rig.spoke("b"))
    _ = rig.say("LS+ >\r\n", b)
    #expect(rig.say("LMSG $JS.API.INFO _INBOX.1 0\r\n\r\nPING\r\n", a) == ["PONG"])
    #expect(rig.hub.takeGot() == ["$JS.API.INFO (_INBOX.1) "] && b.taken() == [])
  }

  @Test("what a solicitor denies to import is not sent to it, and that is all that deny_pub does")
  func denyPublish() {
    let rig = AcceptRig()
    rig.hub.subscribe("d.1")
    let end = rig.dial()
    let said = rig.say(AcceptRig.connect("a", ",\"deny_pub\":[\"d.>\"]"), end)
    #expect(fields(said.first)?["import"] == nil && said.contains("LS+ d.1"))
    _ = rig.say("LS+ >\r\n", end)
    #expect(!rig.hub.account.publish(to: "d.2", []) && rig.hub.publish("e.2"))
    rig.run()
    #expect(end.taken() == ["LMSG e.2 () [] "])
    _ = rig.say("LMSG d.1 1\r\nm\r\n", end)
    #expect(rig.hub.takeGot() == ["d.1 () m"])
  }

  @Test("a message above max_payload ends the link before it is read")
  func payload() {
    let rig = AcceptRig { _, link in link.payloadMax = 100 }
    let a = rig.spoke("a")
    #expect(rig.say("LMSG x 100\r\n\(String(repeating: "x", count: 100))\r\nPING\r\n", a) == ["PONG"])
    #expect(rig.say("LMSG x 101\r\n", a) == ["-ERR Maximum Payload Violation"] && a.closed == .peerClosed)
    let b = rig.spoke("b")
    #expect(rig.say("FOO\r\n", b) == ["-ERR Unknown Protocol Operation"])
    let c = rig.spoke("c")
    #expect(rig.say("LS+ \(String(repeating: "x", count: 70_000))\r\n", c) == ["-ERR maximum control line exceeded"])
  }

  // MARK: Chains

  /// Servers of ours, each a spoke of the next.
  private func chain(_ names: [String], _ simulation: Simulation) -> [LeafServer] {
    let servers = names.map { name in
      LeafServer(simulation.machine(name)) { options, link in
        link.domain = ByteString(name)
        options.cluster = ByteString(name)
      }
    }
    for (lower, upper) in zip(servers, servers.dropFirst()) { lower.dial(upper) { $0.domain = lower.broker.identity.name } }
    simulation.run(for: second_ns)
    return servers
  }

  @Test("through three servers interest, requests and answers find their way, both ways")
  func chained() {
    let simulation = Simulation(seed: 5)
    let servers = chain(["device", "cell", "yard", "site"], simulation)
    let (device, site) = (servers[0], servers[3])
    #expect(servers.dropLast().allSatisfy { $0.dialled.first?.isEstablished == true })
    device.subscribe("ask.device", answer: "device")
    site.subscribe("ask.site", answer: "site")
    let inboxes = (device.subscribe("_INBOX.d"), site.subscribe("_INBOX.s"))
    simulation.run(for: second_ns)
    #expect(device.publish("ask.site", "?", reply: "_INBOX.d") && site.publish("ask.device", "?", reply: "_INBOX.s"))
    simulation.run(for: second_ns)
    #expect(Set(device.takeGot()) == ["_INBOX.d () site", "ask.device (_INBOX.s) ?"])
    #expect(Set(site.takeGot()) == ["_INBOX.s () device", "ask.site (_INBOX.d) ?"])
    device.account.remove(inboxes.0)
    site.account.remove(inboxes.1)
    simulation.run(for: second_ns)
    #expect(!device.publish("_INBOX.s") && !site.publish("_INBOX.d"))
    // A link in the middle goes, and with it what is behind it.
    servers[1].dialled[0].end(.closedHere)
    simulation.run(for: second_ns)
    #expect(!device.publish("ask.site") && !site.publish("ask.device"))
    servers[1].dial(servers[2]) { $0.domain = "cell" }
    simulation.run(for: second_ns)
    #expect(device.publish("ask.site") && site.publish("ask.device"))
  }

  @Test("requests into the JetStream domain of any server of a chain arrive there and nowhere else")
  func domains() {
    let simulation = Simulation(seed: 6)
    let servers = chain(["device", "cell", "yard", "site"], simulation)
    for server in servers {
      let name = server.broker.identity.name
      server.account.map(SubjectPrefixMapping(source: "$JS." + name + ".API.INFO", destination: "$JS.API.INFO"))
      server.subscribe("$JS.API.INFO", answer: name)
    }
    // The mappings are advertised with the burst: links come up with JetStream running.
    for (lower, upper) in zip(servers, servers.dropFirst()) {
      lower.dialled[0].end(.closedHere)
      simulation.run(for: second_ns)
      lower.dial(upper) { $0.domain = lower.broker.identity.name }
    }
    simulation.run(for: second_ns)
    for asking in servers {
      asking.subscribe("_INBOX.me")
      simulation.run(for: second_ns)
      for asked in servers {
        for server in servers { _ = server.takeGot() }
        #expect(asking.publish("$JS." + asked.broker.identity.name + ".API.INFO", "", reply: "_INBOX.me"))
        simulation.run(for: second_ns)
        let served = servers.filter { server in server.takeGot().contains { $0.hasPrefix("$JS.API.INFO") } }
        #expect(
          served.count == 1 && served.first === asked, "\(asking.broker.identity.name.string) asks \(asked.broker.identity.name.string)")
      }
      // Its own JetStream, without a domain.
      asking.publish("$JS.API.INFO")
      simulation.run(for: second_ns)
      #expect(servers.filter { server in !server.takeGot().isEmpty }.map { $0.broker.identity.name } == [asking.broker.identity.name])
    }
  }

  @Test("a server with two hubs does not tell one of what the other wants")
  func twoHubs() {
    let simulation = Simulation(seed: 7)
    let (edge, one, two) = (
      LeafServer(simulation.machine("edge")), LeafServer(simulation.machine("one")), LeafServer(simulation.machine("two"))
    )
    edge.dial(one)
    edge.dial(two)
    simulation.run(for: second_ns)
    one.subscribe("of.one")
    edge.subscribe("of.edge")
    simulation.run(for: second_ns)
    #expect(edge.publish("of.one") && two.publish("of.edge") && !two.publish("of.one"))
  }

  @Test("a ring of servers is found out and opened")
  func ring() {
    let simulation = Simulation(seed: 8)
    let servers = chain(["a", "b", "c"], simulation)
    servers[2].dial(servers[0])
    simulation.run(for: second_ns)
    let refused = servers.flatMap { $0.failures }
    #expect(refused.contains(.loop), "\(refused)")
    // Whatever link was closed: no message goes round.
    for server in servers { server.subscribe("x") }
    simulation.run(for: second_ns)
    servers[0].publish("x", "once")
    simulation.run(for: 5 * second_ns)
    #expect(servers.allSatisfy { $0.takeGot().count <= 1 })
  }

  @Test("who dials in as hub is told only what is local, and may have spokes of its own")
  func dialledHub() {
    let simulation = Simulation(seed: 9)
    let (site, gateway, device) = (
      LeafServer(simulation.machine("site")), LeafServer(simulation.machine("gateway")), LeafServer(simulation.machine("device"))
    )
    device.dial(gateway)
    site.dial(gateway) { $0.isHub = true }
    simulation.run(for: second_ns)
    #expect(gateway.accepted.filter { $0.role.isSpoke }.map { $0.peer.serverName } == ["site"])
    #expect(site.dialled[0].role == LeafRole(isSolicitor: true, isSpoke: false))
    device.subscribe("of.device")
    site.subscribe("of.site")
    simulation.run(for: second_ns)
    #expect(site.publish("of.device") && device.publish("of.site") && gateway.publish("of.site"))
    // Two that dial in as hubs do not hear of each other.
    let second = LeafServer(simulation.machine("second"))
    second.dial(gateway) { $0.isHub = true }
    simulation.run(for: second_ns)
    #expect(second.publish("of.device") && !second.publish("of.site"))
  }
}
