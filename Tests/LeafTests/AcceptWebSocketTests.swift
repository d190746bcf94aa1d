// Leafs that come over WebSocket: they are what leafs over TCP are, from the first INFO on.
import Broker
import Bytes
import Identity
import Interest
import JSON
import Platform
import Testing
import Web

@testable import Leaf

@Suite struct AcceptWebSocketTests {
  private func rig(_ change: (inout LeafListenOptions, inout LeafOptions) -> Void = { _, _ in }) -> AcceptRig {
    let rig = AcceptRig(change)
    rig.hub.listenForWebSockets()
    return rig
  }

  @Test("the first INFO offers no compression, which would be around the WebSocket's frames, and names the listener for TCP")
  func firstInfo() {
    for webSocket in [true, false] {
      let rig = rig { _, link in link.compression = .s2Auto }
      let end = rig.dial(webSocket: webSocket)
      let info = fields(end.operations.first)
      #expect(end.operations.count == 1)
      #expect(info?["compression"]?.string == (webSocket ? "off" : "s2_auto"))
      #expect((info?["petiole_compression"] == nil) == webSocket)
      #expect(info?["port"]?.int == 7422 && info?["leafnode_urls"]?.array?.map { $0.string! } == ["10.0.0.1:7422"])
      #expect(info?["client_id"]?.int ?? 0 > 0 && info?["nonce"]?.string?.count == 15 && info?["tls_required"] == nil)
    }
  }

  @Test("messages and interest cross, also from one way of connecting to the other")
  func crosses() {
    let rig = rig()
    rig.hub.subscribe("up.>")
    let socket = rig.spoke("socket", webSocket: true)
    let plain = rig.spoke("plain")
    #expect(rig.say("LS+ down.>\r\nLS+ jobs workers 2\r\nPING\r\n", socket) == ["PONG"])
    #expect(Set(plain.taken()) == ["LS+ down.>", "LS+ jobs workers 2"])
    #expect(rig.hub.publish("down.a", "1"))
    let large = String(repeating: "x", count: 200_000)
    plain.send("LMSG down.b 2\r\nhi\r\nLMSG jobs | workers \(large.count)\r\n\(large)\r\n")
    rig.run()
    #expect(socket.taken() == ["LMSG down.a () [] 1", "LMSG down.b () [] hi", "LMSG jobs () [workers] \(large)"])
    socket.send("LMSG up.a reply 3\r\nyes\r\n")
    rig.run()
    #expect(rig.hub.takeGot() == ["up.a (reply) yes"])
    #expect(rig.hub.accepted.filter { $0.options.isWebSocket }.map { $0.peer.serverName } == ["socket"])
    #expect(rig.simulation.report().contains("lid_ws:1 - Leafnode connection created for account: $G"))
    _ = rig.say("LS- down.>\r\n", socket)
    #expect(plain.taken() == ["LS- down.>"] && !rig.hub.publish("down.a"))
  }

  @Test("who must not come in is told in nats-server's words and closed", arguments: AcceptHandshakeTests.refusals)
  func refused(_ text: String, _ words: String) {
    let rig = rig { options, link in
      options.cluster = "own"
      link.compression = .s2Auto
    }
    let end = rig.dial(webSocket: true)
    #expect(rig.say(text, end) == ["-ERR \(words)"])
    #expect(end.closed == .peerClosed && rig.hub.shared.links.isEmpty && rig.hub.listener.isEmpty)
  }

  @Test("the limits of time, line and payload are those of any leaf")
  func limits() {
    let rig = rig { _, link in link.payloadMax = 1000 }
    let silent = rig.dial(webSocket: true)
    let endless = rig.dial(webSocket: true)
    #expect(rig.say("CONNECT {\"name\":\"" + String(repeating: "x", count: 70_000), endless) == ["-ERR Authorization Violation"])
    let large = rig.spoke("large", webSocket: true)
    #expect(rig.say("LMSG a 1001\r\n" + String(repeating: "x", count: 1001) + "\r\n", large) == ["-ERR Maximum Payload Violation"])
    rig.run(2 * second_ns)
    #expect(silent.operations.last == "-ERR Authentication Timeout")
    for end in [silent, endless, large] { #expect(end.closed != nil) }
    #expect(rig.hub.listener.isEmpty)
  }

  @Test("what is no WebSocket ends the link, and the log says what it was")
  func malformed() {
    let rig = rig()
    let end = rig.spoke("edge", webSocket: true)
    let wire = (end.stream as! WebSocketStream).inner
    wire.output.append([0x82, 0x06] + [UInt8]("PING\r\n".utf8))
    wire.wantsFlush()
    rig.run()
    #expect(end.closed != nil && rig.hub.listener.isEmpty)
    #expect(rig.simulation.report().contains("lid_ws:1 - read error: a frame without a mask"))
  }

  @Test("a user whose kinds of connections are listed needs the one for leafs over WebSocket")
  func connectionTypes() {
    let rig = rig()
    var rules = AccessRules()
    for (name, kinds) in [("tcp", ConnectionTypes.leafnode), ("web", .leafnodeWebSocket), ("page", .webSocket), ("any", [])] {
      var user = UserRule(name: ByteString(name))
      user.password = StoredPassword("pw")
      user.connections = kinds
      rules.users.append(user)
    }
    rig.hub.broker.use(rules)
    for (webSocket, expected) in [(true, ["web", "any"]), (false, ["tcp", "any"])] {
      let letIn = ["tcp", "web", "page", "any"].filter { name in
        let said = rig.say(AcceptRig.connect(name, ",\"user\":\"\(name)\",\"pass\":\"pw\""), rig.dial(webSocket: webSocket))
        return said.first != "-ERR Authorization Violation"
      }
      #expect(letIn == expected)
    }
    #expect(
      rig.say(AcceptRig.connect("any", ",\"user\":\"any\",\"pass\":\"no\""), rig.dial(webSocket: true)) == ["-ERR Authorization Violation"])
    #expect(rig.simulation.report().contains("authentication error - User \"any\""))
  }

  @Test("a certificate that should say who comes is missed on a WebSocket without TLS")
  func unnamed() {
    let rig = rig()
    let context = try! TLSContext(.server, TLSSettings())
    rig.hub.listener.tls = ClientTLS(context: context, first: .yes, isOptional: false, timeout_ns: second_ns, mapsUsers: true)
    var user = UserRule(name: "gw")
    user.password = StoredPassword("pw")
    var rules = AccessRules()
    rules.users = [user]
    rig.hub.broker.use(rules)
    // TLS of the listener for TCP is not begun here, and its rules hold all the same.
    let end = rig.dial(webSocket: true)
    #expect(fields(end.operations.first)?["tls_required"] == nil)
    #expect(rig.say(AcceptRig.connect("gw", ",\"user\":\"gw\",\"pass\":\"pw\""), end) == ["-ERR Authorization Violation"])
  }

  @Test("a server that comes back the other way replaces its old link", arguments: [true, false])
  func duplicate(_ webSocket: Bool) {
    let rig = rig()
    let old = rig.spoke("edge", webSocket: !webSocket)
    let new = rig.spoke("edge", webSocket: webSocket)
    #expect(old.operations.last == "-ERR Duplicate Remote LeafNode Connection" && old.closed == .peerClosed)
    #expect(new.closed == nil && rig.hub.accepted.map { $0.options.isWebSocket } == [webSocket])
  }

  @Test("in lame duck a leaf over WebSocket is told, and closed over the time")
  func lameDuck() {
    let rig = rig()
    rig.hub.broker.limits.lameDuckDuration_ns = 11 * second_ns
    rig.hub.broker.limits.lameDuckGrace_ns = 10 * second_ns
    let end = rig.spoke("edge", webSocket: true)
    rig.hub.listener.startLameDuck()
    rig.run(9 * second_ns)
    #expect(fields(end.operations.first)?["ldm"]?.bool == true && end.closed == nil)
    rig.run(2 * second_ns)
    #expect(end.closed == .peerClosed && rig.hub.listener.isEmpty)
  }

  @Test("a link between two of ours carries both ways, and is the same again after a break")
  func ours() {
    let rig = rig()
    let edge = LeafServer(rig.simulation.machine("edge"))
    rig.hub.subscribe("up")
    edge.subscribe("down")
    let remote = edge.keepWebSocket(to: rig.hub.machine) { $0.compression = .s2Auto }
    for round in 0..<3 {
      rig.run(2 * second_ns)
      #expect(rig.hub.accepted.map { $0.peer.serverName } == ["edge"])
      #expect("\(rig.hub.accepted[0].compressionName)" == "off")
      edge.publish("up", ByteString("\(round)"))
      rig.hub.publish("down", ByteString("\(round)"))
      rig.run()
      #expect(rig.hub.takeGot() == ["up () \(round)"] && edge.takeGot() == ["down () \(round)"])
      // What changes while the link is down is told when it is back.
      if round == 0 { rig.hub.accepted[0].end(.closedHere) } else { remote.link?.end(.closedHere) }
      rig.run(500 * millisecond_ns)
      #expect(rig.hub.accepted.isEmpty && remote.link == nil)
    }
    remote.stop()
  }

  @Test("servers that dial each other over WebSocket are a loop, and one link stays")
  func loop() {
    let simulation = Simulation(seed: 1)
    let servers = ["one", "two"].map { LeafServer(simulation.machine($0)) }
    for server in servers { server.listenForWebSockets() }
    let remotes = [servers[0].keepWebSocket(to: servers[1].machine), servers[1].keepWebSocket(to: servers[0].machine)]
    simulation.run(for: 5 * second_ns)
    #expect(simulation.report().contains("loop detected"))
    #expect(servers[0].accepted.count + servers[1].accepted.count <= 1)
    for remote in remotes { remote.stop() }
  }

  @Test("a leaf whose bytes end anywhere leaves nothing behind", arguments: [UInt64(1), 2])
  func truncated(_ seed: UInt64) {
    let whole = AcceptRig.connect("edge") + "LS+ a\r\nLMSG b 5\r\nhello\r\n"
    var wire: [UInt8] = [0x82, 0xFE, UInt8(whole.utf8.count >> 8), UInt8(whole.utf8.count & 255), 0, 0, 0, 0] + [UInt8](whole.utf8)
    wire += [0x88, 0x80, 0, 0, 0, 0]
    for length in stride(from: Int(seed), through: wire.count, by: 3) {
      let rig = AcceptRig(seed: seed)
      rig.hub.listenForWebSockets()
      let end = rig.dial(webSocket: true)
      let inner = (end.stream as! WebSocketStream).inner
      inner.output.append(Array(wire[..<length]))
      inner.closeAfterFlush()
      rig.run(second_ns)
      #expect(rig.hub.listener.isEmpty && rig.hub.shared.links.isEmpty && rig.hub.account.interest.count == 0, "\(length)")
    }
  }
}
