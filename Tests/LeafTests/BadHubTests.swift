// A hub that does not behave: that closes, is silent, talks nonsense or sends garbage. The link ends with a reason, once, and nothing
// of the hub's interest stays behind.
import Broker
import Bytes
import Compression
import Interest
import Platform
import Testing
import Wire

@testable import Leaf

@Suite struct BadHubTests {
  private func gone(_ rig: LeafRig, _ comment: String = "") {
    #expect(rig.failures == 1, "\(comment)")
    #expect(rig.events.last == "ended", "\(comment)")
    #expect(rig.link?.isEnded == true && rig.link?.isEstablished == false, "\(comment)")
    var leafInterest = 0
    rig.account.interest.forEach { _, _, subscription, _ in if subscription.kind == .leaf { leafInterest += 1 } }
    #expect(leafInterest == 0, "\(comment)")
    #expect(!rig.publish("hub.interest"), "\(comment)")
  }

  // MARK: Silence and closing

  @Test("a hub that says nothing is left after the first INFO's time")
  func mute() {
    let rig = LeafRig { _ in }
    rig.dial()
    rig.run(4900 * millisecond_ns)
    #expect(rig.failure == nil)
    rig.run(200 * millisecond_ns)
    #expect(rig.failure == .noInfo)
    gone(rig)
  }

  @Test("a hub that does not answer CONNECT is told that the connection is stale, and left")
  func noAnswer() {
    let hub = GoodHub()
    let rig = LeafRig { $0.send(hub.info()) }
    rig.dial { $0.compression = .off }
    rig.run(6 * second_ns)
    #expect(rig.failure == .noAnswerToConnect)
    #expect(rig.hub!.operations.last == "-ERR Stale Leaf Node Connection - Closing")
    gone(rig)
  }

  @Test("a hub that closes at any stage ends the link", arguments: ["accept", "info", "connect", "burst"], ["off", "s2_fast"])
  func closes(_ stage: String, _ mode: String) {
    let hub = GoodHub(compression: mode, burst: "LS+ hub.interest\r\n")
    let rig = LeafRig { end in
      if stage == "accept" { return end.stream.close() }
      hub.attach(end)
      let good = end.said
      end.said = { end, kind, text in
        if stage == "info" || (stage == "connect" && kind == .connect) { return end.stream.close() }
        good(end, kind, text)
        if stage == "burst", kind == .connect { end.stream.closeAfterFlush() }
      }
    }
    rig.dial { $0.compression = mode == "off" ? .off : .s2Fast }
    rig.run(second_ns)
    #expect(rig.failure == .closedByPeer)
    gone(rig)
  }

  @Test("a link that breaks ends with the network's reason")
  func reset() {
    let rig = GoodHub(burst: "LS+ hub.interest\r\n").rig()
    rig.simulation.cut(rig.edge, rig.hubMachine)
    rig.run()
    #expect(rig.failure == .network(.reset))
    gone(rig)
  }

  // MARK: Refusals

  @Test(
    "what the hub complained of before it closed is the reason",
    arguments: [
      ("Authorization Violation", LeafFailure.refusedByPeer("Authorization Violation")),
      ("remote leafnode has same cluster name", .sameCluster),
      (
        "connection rejected since minimum version required is \"2.99.0\"",
        .refusedByPeer("connection rejected since minimum version required is \"2.99.0\"")
      ),
    ])
  func refusal(_ text: String, _ failure: LeafFailure) {
    let rig = LeafRig { end in
      end.said = { end, kind, _ in
        end.send("-ERR '\(text)'\r\n")
        end.stream.closeAfterFlush()
      }
      end.send(GoodHub().info())
    }
    rig.dial { $0.compression = .off }
    #expect(rig.failure == failure)
    gone(rig)
  }

  @Test("an error alone does not end the link; a loop does, and keeps away for 30 seconds")
  func errors() {
    let rig = GoodHub(burst: "LS+ hub.interest\r\n").rig()
    rig.hub!.send("-ERR 'Permissions Violation for Publish to \"x\"'\r\n-ERR 'Invalid Subscription'\r\n-ERR\r\n")
    rig.run()
    #expect(rig.failure == nil)
    #expect(rig.publish("hub.interest"))
    rig.hub!.send("-ERR 'Loop detected for leafnode account=\"$G\". Delaying attempt to reconnect for 30s'\r\n")
    rig.run()
    #expect(rig.failure == .loop)
    #expect(LeafFailure.loop.penalty_ns == 30 * second_ns && LeafFailure.sameCluster.penalty_ns == 30 * second_ns)
    #expect(LeafFailure.refusedByPeer("connection rejected since minimum version required is \"3\"").penalty_ns == 5 * second_ns)
    #expect(LeafFailure.refusedByPeer("Authorization Violation").penalty_ns == 0)
    gone(rig)
  }

  @Test("a complaint explains a close that follows at once, not one much later", arguments: [1, 3])
  func complaint(seconds: Int64) {
    let rig = GoodHub().rig()
    rig.hub!.send("-ERR 'Authorization Violation'\r\n")
    rig.run(seconds * second_ns)
    #expect(rig.failure == nil)
    rig.hub!.stream.close()
    rig.run()
    #expect(rig.failure == (seconds == 1 ? .refusedByPeer("Authorization Violation") : .closedByPeer))
    gone(rig)
  }

  @Test("the own mark coming back is a loop: the hub is told, the link ends; marks of others are no interest")
  func loop() {
    let rig = GoodHub().rig()
    let mark = rig.hub!.operations.first { $0.hasPrefix("LS+ $LDS.") }!
    rig.hub!.send("LS+ $LDS.otherotherotherother12\r\nLS- $LDS.otherotherotherother12\r\n\(mark)\r\n")
    rig.run()
    #expect(rig.failure == .loop)
    #expect(rig.hub!.operations.last == "-ERR Loop detected for leafnode account=\"$G\". Delaying attempt to reconnect for 30s")
    gone(rig)
  }

  @Test("the mark of a link that is gone is no loop for the next one, that of another live link is")
  func marks() {
    func mark(_ rig: LeafRig) -> String { rig.hub!.operations.first { $0.hasPrefix("LS+ $LDS.") }! }
    let rig = GoodHub().rig()
    let gone = mark(rig)
    rig.hub!.stream.close()
    rig.run()
    #expect(rig.failure == .closedByPeer)
    rig.dial { $0.compression = .off }
    let live = mark(rig)
    rig.hub!.send("\(gone)\r\n")
    rig.run()
    #expect(live != gone && rig.failures == 1 && rig.link!.isEstablished)
    // A second link beside the first, and the hub shows it the mark of the first.
    rig.dial { $0.compression = .off }
    rig.hub!.send("\(live)\r\n")
    rig.run()
    #expect(rig.failure == .loop && !rig.link!.isEstablished)
  }

  // MARK: Nonsense

  @Test(
    "nonsense at the handshake ends the link with a reason",
    arguments: [
      "HTTP/1.1 400 Bad Request\r\n\r\n", "INFO {}\r\n", "INFO x\r\n", "INFO\r\n", "CONNECT {}\r\n", "\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
      "220 smtp\r\n",
      "INFO {\"client_id\":1,\"leafnode_urls\":[\"x:1\"],\"tls_required\":true}\r\nINFO {\"client_id\":1}\r\n",
      "INFO {\"client_id\":1,\"leafnode_urls\":[\"x:1\"],\"compression\":\"zstd\"}\r\n",
      "LMSG a 1\r\nx\r\n", "INFO {\"server_id\":\"N\",\"client_id\":9,\"max_payload\":1048576}\r\n",
    ])
  func nonsense(_ text: String) {
    let rig = LeafRig { $0.send(text) }
    rig.dial()
    rig.run(second_ns)
    #expect(rig.failure != nil)
    gone(rig, text)
  }

  @Test("a hub that requires TLS and does not begin with it is given up in time")
  func silentTLS() {
    let rig = LeafRig { $0.send("INFO {\"client_id\":1,\"leafnode_urls\":[\"x:1\"],\"tls_required\":true}\r\n") }
    rig.dial()
    rig.run(LeafTLS.timeoutDefault_ns - second_ns)
    #expect(rig.failure == nil)
    rig.run(2 * second_ns)
    guard case .tls(let error)? = rig.failure else {
      Issue.record("\(String(describing: rig.failure))")
      return
    }
    #expect(error.kind == .timeout)
    gone(rig)
  }

  @Test(
    "a minimal INFO is enough",
    arguments: ["INFO {\"client_id\":1,\"leafnode_urls\":[\"x:1\"]}\r\n", "info\t{\"client_id\":1,\"leafnode_urls\":[\"x:1\"]} \n"])
  func minimal(_ text: String) {
    let rig = LeafRig { $0.send(text) }
    rig.subscribe("a")
    rig.dial()
    #expect(rig.events == ["info", "established"])
    #expect(rig.hub!.operations[0].contains("\"compress_mode\":\"not supported\""))
    #expect(rig.hub!.operations.contains("LS+ a"))
  }

  @Test(
    "what breaks the protocol on a working link ends it",
    arguments: [
      "LS+ a b\r\n", "LS+\r\n", "LMSG a x\r\n", "LMSG a r q 1\r\nx\r\n", "LMSG a 2\r\nxyz\r\n", "FOO\r\n", "PUB a 1\r\nx\r\n",
      "CONNECT {}\r\n", "INFO {\r\n",
      "HMSG a 5 2\r\nxx\r\n", "LMSG a 99999999999\r\n",
    ])
  func violation(_ text: String) {
    let rig = GoodHub(burst: "LS+ hub.interest\r\n").rig()
    rig.hub!.send(text)
    rig.run()
    #expect(rig.failure != nil)
    gone(rig, text)
  }

  @Test(
    "a corrupt compressed stream ends the link",
    arguments: [
      [0x50, 0x49, 0x4E, 0x47, 0x0D, 0x0A] as [UInt8], [0x01, 0x0A, 0, 0, 1, 2, 3, 4, 0x50, 0x49, 0x4E, 0x47, 0x0D, 0x0A],
      [0x02, 4, 0, 0, 1, 2, 3, 4],
      [0xFF, 0x06, 0, 0, 0x53, 0x32, 0x73, 0x54, 0x77, 0x4E], [0x00, 0xFF, 0xFF, 0xFF],
    ])
  func corrupt(_ bytes: [UInt8]) {
    let rig = GoodHub(compression: "s2_fast", burst: "LS+ hub.interest\r\n").rig({ $0.compression = .s2Fast })
    #expect(rig.events == ["info", "established"])
    rig.hub!.sendRaw(bytes)
    rig.run()
    #expect(rig.failure == .compressionCorrupt)
    gone(rig)
  }

  // MARK: Fuzz

  /// Bytes that are garbage, or the protocol with faults.
  private func hostile(_ random: SeededEntropy) -> [UInt8] {
    let pieces = [
      "INFO {\"client_id\":5,\"leafnode_urls\":[\"x:1\"],\"info_on_connect\":true}\r\n",
      "INFO {\"connect_info\":true,\"import\":{\"allow\":[\"a.>\"]}}\r\n", "LS+ a.>\r\n",
      "LS+ q g 3\r\n", "LS- a.>\r\n", "LS+ $LDS.x\r\n", "LMSG a 2\r\nhi\r\n", "LMSG a + r g h 2\r\nhi\r\n",
      "HMSG a r 12 12\r\nNATS/1.0\r\n\r\n\r\n",
      "LMSG a $JS.ACK.S.C.1.1.1.1.1@x 0\r\n\r\n", "PING\r\n", "PONG\r\n", "-ERR 'x'\r\n", "+OK\r\n", "LMSG $JS.gw.API.INFO r 0\r\n\r\n",
    ]
    var bytes: [UInt8] = []
    if random.oneIn(4) {
      for _ in 0..<random.below(200) { bytes.append(UInt8(random.below(256))) }
      return bytes
    }
    for _ in 0..<1 + random.below(5) { bytes += [UInt8](pieces[random.below(pieces.count)].utf8) }
    for _ in 0..<random.below(4) where !bytes.isEmpty {
      let at = random.below(bytes.count)
      if random.oneIn(2) { bytes[at] = UInt8(random.below(256)) } else { bytes.remove(at: at) }
    }
    return bytes
  }

  @Test("whatever comes at any stage, plain or compressed: no crash, and an end that is told once", arguments: 0..<300)
  func fuzz(_ seed: Int) {
    let random = SeededEntropy(seed: UInt64(seed))
    let compressed = random.oneIn(2)
    let stage = random.below(4)
    let raw = compressed && random.oneIn(3)
    let hub = GoodHub(compression: compressed ? "s2_fast" : "off", burst: "LS+ hub.interest\r\n")
    let rig = LeafRig(seed: UInt64(seed)) { end in
      var step = 0
      hub.attach(end)
      let good = end.said
      end.said = { end, kind, text in
        step += 1
        if step >= stage {
          raw ? end.sendRaw(self.hostile(random)) : end.send(self.hostile(random))
          if random.oneIn(3) { good(end, kind, text) }
        } else {
          good(end, kind, text)
        }
      }
      if stage == 0 { end.send(self.hostile(random)) }
    }
    rig.subscribe("a")
    rig.subscribe("q", "g")
    rig.dial { options in
      options.compression = compressed ? .s2Fast : .off
      options.liveness = LeafLiveness.Parameters(idle_ns: second_ns, patience_ns: second_ns)
    }
    for _ in 0..<5 {
      rig.run(100 * millisecond_ns)
      if rig.failure == nil { raw ? rig.hub!.sendRaw(hostile(random)) : rig.hub!.send(hostile(random)) }
    }
    rig.run(200 * millisecond_ns)
    if rig.failure == nil { rig.link!.end(.closedHere) }
    rig.run(20 * second_ns)
    gone(rig, "seed \(seed)")
    #expect(rig.hub!.nonsense == nil, "seed \(seed): what this side says stays the protocol")
  }
}
