// The handshake's decisions, INFO, permissions and interest counts: the pure parts of a leaf link.
import Bytes
import Compression
import JSON
import Platform
import Testing

@testable import Leaf

@Suite struct HandshakeTests {
  /// leafnode-protocol.md section 15.2, each row checked against nats-server 2.15.1.
  static func expected(_ own: LeafCompressionMode, _ peer: String?) -> LeafCompressionChoice? {
    switch (own, peer) {
    case (_, nil), (_, ""), (_, "not supported"), (.notSupported, _): .notSupported
    case (_, "off"), (.off, _), (.accept, "accept"): .off
    case (.accept, "s2_auto"), (.accept, "s2_fast"): .s2(.s2Fast)
    case (.accept, "s2_better"): .s2(.s2Better)
    case (.accept, "s2_best"): .s2(.s2Best)
    case (.accept, "s2_uncompressed"): .s2(.s2Uncompressed)
    default: .s2(own)
    }
  }

  @Test("the mode table: what follows from both ends' modes, and the first step after INFO")
  func modeTable() {
    let peers = [nil, "", "not supported", "off", "accept", "s2_auto", "s2_uncompressed", "s2_fast", "s2_better", "s2_best"]
    for own in [LeafCompressionMode.notSupported, .off, .accept, .s2Auto, .s2Fast, .s2Better, .s2Best] {
      for peer in peers {
        let expected = Self.expected(own, peer)
        #expect(LeafCompressionChoice.choose(own: own, peer: peer.map { ByteString($0) }) == expected, "\(own) \(peer ?? "-")")
        let handshake = Handshake(mode: own)
        let action = handshake.received(info(compression: peer))
        if case .s2(let mode)? = expected { #expect(action == .requestCompression(mode)) } else { #expect(action == .connect) }
        #expect(handshake.choice == expected)
        #expect(!handshake.isEstablished)
      }
      #expect(LeafCompressionChoice.choose(own: own, peer: "zstd") == nil)
    }
  }

  @Test("s2_auto tries the harder the longer the round trip is, by thresholds of which any may be left out")
  func thresholds() {
    func levels(_ limits_ms: [Int64], at rtts_ms: [Int64]) -> [CompressionLevel] {
      let thresholds = LeafCompressionThresholds(limits_ms.map { $0 * millisecond_ns })
      return rtts_ms.map { thresholds.level(rtt_ns: $0 * millisecond_ns) }
    }
    #expect(
      levels([], at: [0, 10, 11, 50, 51, 100, 101, 9000]) == [.uncompressed, .uncompressed, .fast, .fast, .better, .better, .best, .best])
    #expect(levels([5, 20], at: [5, 6, 20, 21, 9000]) == [.uncompressed, .fast, .fast, .fast, .fast])
    #expect(levels([5], at: [5, 6]) == [.uncompressed, .uncompressed])
    #expect(levels([0, 0, 100], at: [1, 100, 101]) == [.better, .better, .best])
    #expect(levels([0, 30], at: [1, 31]) == [.fast, .fast])
    #expect(levels([1, 2, 3, 4], at: [1, 2, 3, 4, 5]) == [.uncompressed, .fast, .better, .best, .best])
  }

  private func info(compression: String? = "off", _ change: (inout LeafInfo) -> Void = { _ in }) -> LeafInfo {
    var info = LeafInfo()
    info.clientID = 5
    info.leafURLs = ["h:7422"]
    info.infoOnConnect = true
    info.compression = compression.map { ByteString($0) }
    change(&info)
    return info
  }

  @Test("plain: INFO, CONNECT, the answer establishes, later ones update")
  func plain() {
    let handshake = Handshake(mode: .s2Auto)
    #expect(handshake.received(info()) == .connect)
    #expect(handshake.received(info()) == .update)
    #expect(!handshake.isEstablished)
    #expect(handshake.received(info { $0.connectInfo = true }) == .established)
    #expect(handshake.isEstablished)
    #expect(handshake.received(info { $0.connectInfo = true }) == .update)
    #expect(handshake.received(info()) == .update)
  }

  @Test("compressed: CONNECT waits for the second INFO")
  func compressed() {
    let handshake = Handshake(mode: .s2Fast)
    #expect(handshake.received(info(compression: "s2_auto")) == .requestCompression(.s2Fast))
    #expect(handshake.received(info(compression: "s2_fast")) == .connect)
    #expect(handshake.received(info { $0.connectInfo = true }) == .established)
  }

  @Test("a hub that does not answer CONNECT counts as established once it was sent")
  func unanswered() {
    let handshake = Handshake(mode: .off)
    #expect(handshake.received(info { $0.infoOnConnect = false }) == .connect)
    #expect(handshake.isEstablished)
    let compressed = Handshake(mode: .s2Fast)
    #expect(compressed.received(info(compression: "s2_fast") { $0.infoOnConnect = false }) == .requestCompression(.s2Fast))
    #expect(!compressed.isEstablished)
    #expect(compressed.received(info(compression: "s2_fast") { $0.infoOnConnect = false }) == .connect)
    #expect(compressed.isEstablished)
  }

  @Test("what is no leaf listener, needs TLS, or has an impossible cluster name or mode is refused; after that nothing helps")
  func refused() {
    let cases: [(LeafInfo, LeafFailure)] = [
      (info { $0.clientID = 0 }, .notALeafListener),
      (
        info {
          $0.leafURLs = []
          $0.infoOnConnect = false
        }, .notALeafListener
      ),
      (info { $0.cluster = "_" }, .clusterNameInvalid("_")),
      (info { $0.cluster = "my cluster" }, .clusterNameInvalid("my cluster")), (info(compression: "zstd"), .unknownCompression("zstd")),
    ]
    for (info, failure) in cases {
      let handshake = Handshake(mode: .s2Auto)
      #expect(handshake.received(info) == .fail(failure))
      #expect(handshake.received(self.info()) == .fail(.protocolViolation))
      #expect(!handshake.isEstablished)
    }
    let tolerated = Handshake(mode: .off)
    #expect(tolerated.received(info { $0.leafURLs = [] }) == .connect)
  }

  // MARK: INFO

  @Test(
    "captured INFO lines are read",
    arguments: [
      ("01_off_plain", "off"), ("02_s2_fast", "s2_fast"), ("03_s2_auto", "s2_auto"), ("06_deny_import_export", "off"),
      ("16_hub_2.10.26_spoke_2.15.1", "s2_auto"), ("16_hub_2.12.8_spoke_2.15.1", "s2_auto"),
    ])
  func captured(_ folder: String, _ mode: String) throws {
    let stream = try Vectors.bytes("\(folder)/hub_to_spoke.plain")
    let line = Array(stream[5..<stream.firstIndex(of: 0x0A)!])
    let info = try #require(line.withView { LeafInfo($0.trimmed) })
    #expect(info.clientID > 0)
    #expect(info.serverID.count == 56)
    #expect(info.serverName == "hub")
    #expect(info.nonce.count == 15)
    #expect(info.leafURLs.count == 1)
    #expect(info.headers && info.infoOnConnect && !info.connectInfo && !info.tlsRequired)
    #expect(info.maxPayload == 1_048_576)
    #expect(info.compression == ByteString(mode))
    #expect(info.importPermissions == nil && info.exportPermissions == nil)
  }

  @Test("the captured answer to CONNECT conveys permissions")
  func capturedPermissions() throws {
    let stream = try Vectors.bytes("07_hub_user_permissions/hub_to_spoke.plain")
    let lines = stream.split(separator: 0x0A).map { Array($0) }
    let info = try #require(Array(lines[1].dropFirst(5)).withView { LeafInfo($0.trimmed) })
    #expect(info.connectInfo)
    #expect(info.remoteAccount == "A")
    let imports = try #require(info.importPermissions)
    let exports = try #require(info.exportPermissions)
    #expect(imports.permits(interest: "sub.1") && imports.permits(interest: "sub.*") && imports.permits(interest: ">"))
    #expect(!imports.permits(interest: "sub.secret") && !imports.permits(interest: "other"))
    // An entry for one queue group lets nobody through, as with a real spoke.
    #expect(!imports.permits(interest: "q.1"))
    #expect(ByteString("pub.1").withView { exports.permits(message: $0) })
    #expect(!ByteString("pub.secret").withView { exports.permits(message: $0) })
    #expect(!ByteString("sub.1").withView { exports.permits(message: $0) })
  }

  @Test("what is no INFO is refused; missing fields have the values that a real solicitor assumes")
  func hostileInfo() {
    for text in ["", "[]", "5", "{", "{\"max_payload\":0}", "{\"max_payload\":-1}", "nul", "{} x", "\"\""] {
      #expect(ByteString(text).withView { LeafInfo($0) } == nil, "\(text)")
    }
    let info = ByteString(
      "{\"client_id\":\"x\",\"leafnode_urls\":5,\"import\":7,\"export\":{\"allow\":[1,null,\"a\"]},\"headers\":\"yes\"}"
    )
    .withView { LeafInfo($0) }
    #expect(info?.clientID == 0)
    #expect(info?.leafURLs == [])
    #expect(info?.maxPayload == 1_048_576)
    #expect(info?.exportPermissions == SubjectPermission(allow: ["a"]))
    let urls = "{\"leafnode_urls\":[\((0..<1000).map { "\"h\($0):1\"" }.joined(separator: ","))]}"
    #expect((ByteString(urls).withView { LeafInfo($0) }?.leafURLs.count ?? 0) <= 64)
  }

  // MARK: Permissions (section 10)

  @Test(
    "what may be advertised under allow and deny lists",
    arguments: [
      ("sub.>", "", "sub.1", true), ("sub.>", "", "sub.*", true), ("sub.>", "", ">", true), ("sub.>", "", "*.1", false),
      ("sub.>", "", "sub", false),
      ("sub.>", "", "other", false), ("sub.>", "", "other.>", false), ("a.b", "", "a.*", true), ("a.b", "", "a.b", true),
      ("a.b", "", "a.b.c", false),
      ("", "di.>", "di.1", false), ("", "di.>", "di.*", false), ("", "di.>", ">", true), ("", "di.>", "di", true),
      ("", "dix", "dix", false),
      ("", "dix", "di*", true), ("sub.>", "sub.secret", "sub.secret", false), ("sub.>", "sub.secret", "sub.*", true),
      ("q.* G1", "", "q.1", false),
      ("", "", "anything.>", true), ("", "di.*", "di.>", true),
    ])
  func interest(_ allow: String, _ deny: String, _ subject: String, _ permitted: Bool) {
    let json = "{\"allow\":[\(allow.isEmpty ? "" : "\"\(allow)\"")],\"deny\":[\(deny.isEmpty ? "" : "\"\(deny)\"")]}"
    let permission = SubjectPermission(try! JSON.parse(ByteString(json)))
    #expect(permission.permits(interest: ByteString(subject)) == permitted)
  }

  @Test("messages need an allow entry and no deny entry")
  func messages() {
    let permission = SubjectPermission(allow: ["pub.>", "_INBOX.>"], deny: ["pub.secret", "pub.deep.*"])
    let permitted: [(ByteString, Bool)] = [
      ("pub.1", true), ("pub.secret", false), ("pub.deep.1", false), ("pub.deep.1.2", true), ("_INBOX.x", true), ("pub", false),
      ("x", false),
    ]
    for (subject, expected) in permitted { #expect(subject.withView { permission.permits(message: $0) } == expected, "\(subject.string)") }
    #expect(SubjectPermission().isUnrestricted)
    #expect(ByteString("x").withView { SubjectPermission(deny: ["y"]).permits(message: $0) })
  }

  // MARK: Interest counts (section 11.1)

  @Test("plain interest is told once and withdrawn once, queue groups with their absolute number")
  func counts() {
    var interest = LeafInterest()
    #expect(interest.add("a", nil) == .add(weight: 0))
    #expect(interest.add("a", nil) == .none)
    #expect(interest.add("a", "g") == .add(weight: 1))
    #expect(interest.add("a", "g") == .add(weight: 2))
    #expect(interest.add("a", "h") == .add(weight: 1))
    #expect(interest.count == 3)
    #expect(interest.remove("a", nil) == .none)
    #expect(interest.remove("a", nil) == .remove)
    #expect(interest.remove("a", nil) == .none)
    #expect(interest.remove("a", "g") == .add(weight: 1))
    #expect(interest.remove("a", "g") == .remove)
    #expect(interest.remove("b", nil) == .none)
    #expect(interest.count == 1)
    #expect(LeafInterest.key("a", "g") == "a g")
    #expect(LeafInterest.key("a", nil) == "a")
  }

  // MARK: Acknowledgements of publishes

  @Test("what a JetStream answers to a publish is understood")
  func publishAcks() {
    func read(_ text: String) -> String {
      switch ByteString(text).withView({ PublishAck($0) }) {
      case .stored(let sequence, let duplicate, let stream, let domain):
        "stored \(sequence) by \(stream.string)\(domain.isEmpty ? "" : "@" + domain.string)\(duplicate ? " again" : "")"
      case .refused(let text, let kind): "refused \(text)\(kind == .other ? "" : " \(kind)")"
      case .unreadable: "unreadable"
      }
    }
    #expect(read("{\"stream\":\"S\",\"seq\":12}") == "stored 12 by S")
    #expect(read("{\"stream\":\"S\",\"domain\":\"hub\",\"seq\":12,\"duplicate\":true}") == "stored 12 by S@hub again")
    #expect(
      read("{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"maximum messages exceeded\"},\"stream\":\"S\",\"seq\":0}")
        == "refused maximum messages exceeded (10077) streamFull")
    #expect(read("{\"error\":{\"code\":503}}") == "refused error (503)")
    for text in [
      "", "+OK", "{}", "[]", "{\"seq\":0}", "{\"seq\":-1}", "{\"seq\":\"1\"}", "-ERR 'x'", "{\"seq\":1", "{\"seq\":1.5}",
      "{\"stream\":\"S\",\"seq\":18446744073709551615}",
    ] {
      #expect(read(text) == "unreadable", "\(text)")
    }
  }

  // MARK: Ack replies with a subject (section 13.4)

  @Test("a delivery's subject stands behind the at sign after eight dots, and nowhere else")
  func splitting() {
    func split(_ reply: String) -> String {
      ByteString(reply).withView { view in LeafLink.splitDelivery(view).map { "\($0.reply.string) \($0.subject.string)" } ?? "-" }
    }
    #expect(split("$JS.ACK.ORDERS.C.1.1.1.99.2@orders.0") == "$JS.ACK.ORDERS.C.1.1.1.99.2 orders.0")
    #expect(split("$JS.ACK.O@X.C@Y.1.1.1.99.2@orders.0") == "$JS.ACK.O@X.C@Y.1.1.1.99.2 orders.0")
    #expect(split("$JS.ACK.d.hash.O.C.1.1.1.99.2@a@b") == "$JS.ACK.d.hash.O.C.1.1.1.99.2 a@b")
    for reply in [
      "", "$JS.ACK.ORDERS.C.1.1.1.99.2", "$JS.ACK.ORDERS.C.1.1.1.99.2@", "_INBOX.a.b.c.d.e.f.g.h.i@x", "$JS.ACK.O@x", "$JS.ACK.",
      "$JS.ACK.@",
    ] {
      #expect(split(reply) == "-", "\(reply)")
    }
  }
}
