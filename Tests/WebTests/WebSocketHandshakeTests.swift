// The opening handshake: which requests become WebSockets and what they are told, on both sides.
import Bytes
import Foundation
import Platform
import Testing

@testable import Web

@Suite struct WebSocketHandshakeTests {
  private let good = [
    "Host: gw:8080", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
  ]

  /// "client", "leaf", or the status and the reason of a refusal.
  private func judge(_ fields: [String], _ line: String = "GET / HTTP/1.1", _ rules: WebSocketRules = WebSocketRules()) -> String {
    var said = ""
    upgrade(fields, line, rules) { request, verdict in
      switch verdict {
      case .upgrade(let upgrade): said = upgrade.purpose == .leaf ? "leaf" : "client"
      case .refuse(let status, let reason): said = "\(status): \(reason)"
      }
    }
    return said
  }

  private func upgrade(
    _ fields: [String], _ line: String = "GET / HTTP/1.1", _ rules: WebSocketRules = WebSocketRules(),
    _ body: (HTTPRequest, WebSocketHandshake.Verdict) -> Void
  ) {
    ByteString(([line] + fields + ["", ""]).joined(separator: "\r\n")).withView { view in
      guard case .request(let request, _) = HTTPRequest.parse(view) else { return }
      body(request, WebSocketHandshake.judge(request, rules))
    }
  }

  @Test("RFC 6455's own key gets RFC 6455's own answer")
  func key() {
    #expect(ByteString(WebSocketHandshake.accept(ByteView("dGhlIHNhbXBsZSBub25jZQ=="))) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  }

  @Test(
    "nats-server's captured requests are answered as nats-server did, but for compression",
    arguments: ["13_websocket_plain", "13_websocket_nomask", "13_websocket_compress"])
  func captured(_ folder: String) throws {
    let vectors = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Vectors/leafnode/\(folder)")
    let asked = [UInt8](try Data(contentsOf: vectors.appendingPathComponent("spoke_to_hub.bin")))
    let answered = [UInt8](try Data(contentsOf: vectors.appendingPathComponent("hub_to_spoke.bin")))
    var ours = ""
    asked.withView { view in
      guard case .request(let request, _) = HTTPRequest.parse(view) else { return }
      guard case .upgrade(let upgrade) = WebSocketHandshake.judge(request, WebSocketRules()) else { return }
      #expect(upgrade.purpose == .leaf)
      ours = String(decoding: WebSocketHandshake.answer(request, upgrade, WebSocketRules()), as: UTF8.self)
    }
    let end = answered.firstRange(of: [13, 10, 13, 10])!.upperBound
    let theirs = String(decoding: answered[..<end], as: UTF8.self)
    #expect(
      ours.hasPrefix("HTTP/1.1 101 ") && ours.split(separator: "\r\n") == theirs.split(separator: "\r\n").filter { !$0.contains("deflate") }
    )
  }

  @Test("a good request is upgraded, by its path for a client or a leaf")
  func good_() {
    #expect(judge(good) == "client" && judge(good, "GET /leafnode HTTP/1.1") == "leaf")
    #expect(judge(good, "GET /site/leafnode?x=1 HTTP/1.1") == "leaf" && judge(good, "GET /leafnode/x HTTP/1.1") == "client")
    #expect(judge(good, "GET /mqtt HTTP/1.1").hasPrefix("404"))
    #expect(judge(good.map { $0.replacing("Connection: Upgrade", with: "Connection: keep-alive, upgrade") }) == "client")
    #expect(judge(good.map { $0.uppercased().replacing("DGHLIHNHBXBSZSBUB25JZQ==", with: "dGhlIHNhbXBsZSBub25jZQ==") }) == "client")
  }

  @Test("a request that lacks anything is refused with what nats-server answers")
  func lacks() {
    for index in good.indices {
      var fields = good
      fields.remove(at: index)
      #expect(judge(fields).hasPrefix("400 Bad Request: "), "\(good[index])")
    }
    #expect(judge(good, "POST / HTTP/1.1").hasPrefix("405 Method Not Allowed: "))
    for key in ["x", "", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZQ=", "!GhlIHNhbXBsZSBub25jZQ=="] {
      #expect(judge(good.map { $0.hasPrefix("Sec-WebSocket-Key") ? "Sec-WebSocket-Key: \(key)" : $0 }).hasPrefix("400"), "\(key)")
    }
    #expect(judge(good.map { $0.replacing("13", with: "8") }).hasPrefix("400"))
  }

  @Test("pages of other origins are refused where the rules say so; who says no origin is no page")
  func origins() {
    var same = WebSocketRules()
    same.sameOrigin = true
    #expect(judge(good, "GET / HTTP/1.1", same) == "client")
    for origin in ["http://gw:8080", "HTTP://GW:8080/page"] {
      #expect(judge(good + ["Origin: \(origin)"], "GET / HTTP/1.1", same) == "client")
    }
    for origin in [
      "https://gw:8080", "http://gw", "http://gw:8081", "http://other:8080", "null", "gw:8080", "http://gw:8080@evil", "http://",
    ] {
      #expect(judge(good + ["Origin: \(origin)"], "GET / HTTP/1.1", same).hasPrefix("403 Forbidden: origin not allowed"), "\(origin)")
    }
    #expect(judge(good + ["Sec-WebSocket-Origin: http://evil"], "GET / HTTP/1.1", same).hasPrefix("403"))
    #expect(judge(good + ["Origin: http://evil"]) == "client")
    var listed = WebSocketRules()
    listed.allowedOrigins = ["https://a.example", "http://[::1]:8000"]
    for origin in ["https://a.example", "https://A.example:443", "http://[::1]:8000"] {
      #expect(judge(good + ["Origin: \(origin)"], "GET / HTTP/1.1", listed) == "client", "\(origin)")
    }
    for origin in ["http://a.example", "https://a.example:444", "https://b.a.example", "http://[::1]"] {
      #expect(judge(good + ["Origin: \(origin)"], "GET / HTTP/1.1", listed).hasPrefix("403"), "\(origin)")
    }
    same.isSecure = true
    let plain = good.map { $0.replacing("gw:8080", with: "gw") }
    #expect(judge(plain + ["Origin: https://gw:443"], "GET / HTTP/1.1", same) == "client")
  }

  @Test("who serves the client is handed the cookies that the rules name, and what a proxy says")
  func facts() {
    var rules = WebSocketRules()
    rules.cookies.jwt = "jwt"
    rules.cookies.user = "u"
    rules.cookies.token = "t"
    let fields = [
      "Cookie: a=1; jwt=ey.x=; u=\"me\";p=no", "cookie: t=secret; ;=x; u", "X-Forwarded-For: 10.1.2.3", "Nats-No-Masking: true",
    ]
    upgrade(good + fields, "GET / HTTP/1.1", rules) { request, verdict in
      guard case .upgrade(let upgrade) = verdict else { return #expect(Bool(false)) }
      #expect(upgrade.cookies.jwt == "ey.x=" && upgrade.cookies.user == "me" && upgrade.cookies.token == "secret")
      #expect(upgrade.cookies.password.isEmpty && upgrade.forwardedFor == "10.1.2.3" && upgrade.isUnmasked && !upgrade.isBrowser)
      rules.headerLines = "X-Site: gw-42\r\n"
      let answer = String(decoding: WebSocketHandshake.answer(request, upgrade, rules), as: UTF8.self)
      #expect(
        answer
          == "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nNats-No-Masking: true\r\nX-Site: gw-42\r\n\r\n"
      )
    }
    upgrade(good + ["User-Agent: Mozilla/5.0 (X11)"]) { _, verdict in
      guard case .upgrade(let upgrade) = verdict else { return #expect(Bool(false)) }
      #expect(upgrade.isBrowser && !upgrade.isUnmasked && upgrade.cookies == WebSocketCookies())
    }
  }

  // MARK: Over the network

  /// A listener on port 80 of a machine, and what it accepted.
  private final class Site {
    let simulation: Simulation
    let server: SimulatedMachine
    let client: SimulatedMachine
    let listener: WebSocketListener
    private(set) var accepted: [(socket: WebSocketStream, upgrade: WebSocketUpgrade, side: Recorder)] = []

    init(seed: UInt64 = 1, rules: WebSocketRules = WebSocketRules()) throws {
      simulation = Simulation(seed: seed)
      server = simulation.machine("server")
      client = simulation.machine("client")
      let box = Box()
      listener = WebSocketListener(host: server.host, rules: rules) { socket, upgrade in
        let side = Recorder()
        socket.delegate = side
        socket.say("INFO\r\n")
        box.site?.accepted.append((socket, upgrade, side))
      }
      box.site = self
      try listener.listen(SocketAddress(literal: "0.0.0.0", port: 80)!)
    }

    private final class Box { unowned(unsafe) var site: Site? }

    func connect() -> (stream: ByteStream, side: Recorder) {
      let side = Recorder()
      var connected: ByteStream?
      _ = client.host.network.connect(SocketAddress(address: server.address, port: 80), timeout_ns: second_ns) { result in
        guard case .success(let stream) = result else { return }
        stream.delegate = side
        connected = stream
      }
      _ = simulation.run(timeout_ns: second_ns) { connected != nil }
      return (connected!, side)
    }
  }

  @Test("dialled and accepted, a WebSocket carries both ways; what the server says at once is not lost", arguments: [true, false])
  func bothEnds(_ noMasking: Bool) throws {
    let site = try Site()
    let (stream, _) = site.connect()
    let side = Recorder()
    var socket: WebSocketStream?
    _ = HTTPExchange.webSocket(
      host: site.client.host, stream: stream, authority: "server:80", path: "/leafnode", wantsNoMasking: noMasking, timeout_ns: second_ns
    ) { result in
      guard case .success(let made) = result else { return #expect(Bool(false), "\(result)") }
      socket = made
      made.delegate = side
    }
    site.simulation.run(for: second_ns)
    #expect(side.text == "INFO\r\n")
    #expect(site.accepted.count == 1 && site.accepted[0].upgrade.purpose == .leaf && site.accepted[0].upgrade.isUnmasked == noMasking)
    socket?.say("CONNECT {}\r\n")
    site.simulation.run(for: second_ns)
    #expect(site.accepted[0].side.text == "CONNECT {}\r\n")
    // The header, the payload, and a key where there is one.
    #expect(site.accepted[0].socket.bytesRead - 2 - 12 - (noMasking ? 0 : 4) > 150)
  }

  @Test("a request that does not come whole in time is closed, one that is no request is told so")
  func slow() throws {
    let site = try Site()
    let (stream, side) = site.connect()
    stream.say("GET / HTTP/1.1\r\nHost:")
    site.simulation.run(for: 4 * second_ns)
    #expect(side.reasons.isEmpty)
    site.simulation.run(for: 2 * second_ns)
    #expect(side.reasons == [.peerClosed] && side.bytes.isEmpty)
    for text in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "GET / HTTP/1.1\r\nX: " + String(repeating: "x", count: 20_000)]
    {
      let (stream, side) = site.connect()
      stream.say(text)
      site.simulation.run(for: second_ns)
      #expect(
        side.text.hasPrefix("HTTP/1.1 400 Bad Request\r\nSec-Websocket-Version: 13\r\n") && side.text.hasSuffix("\r\n\r\nBad Request\n"))
      #expect(side.reasons == [.peerClosed])
    }
    let early = site.connect()
    early.stream.say((["GET / HTTP/1.1"] + good + ["", "x"]).joined(separator: "\r\n"))
    site.simulation.run(for: second_ns)
    #expect(early.side.text.hasPrefix("HTTP/1.1 400") && site.accepted.isEmpty)
    let waiting = site.connect()
    // The other side has it a way later than this one.
    site.simulation.run(for: second_ns)
    site.listener.close()
    waiting.stream.say((["GET / HTTP/1.1"] + good + ["", ""]).joined(separator: "\r\n"))
    site.simulation.run(for: second_ns)
    #expect(waiting.side.text.hasPrefix("HTTP/1.1 503") && waiting.side.reasons == [.peerClosed] && site.accepted.isEmpty)
  }

  @Test("who opens many connections and says nothing keeps nobody out: the oldest of them goes")
  func crowd() throws {
    let site = try Site()
    let silent = (0..<WebSocketListener.handshakesMax).map { _ in site.connect() }
    #expect(silent.allSatisfy { $0.side.reasons.isEmpty })
    let (stream, side) = site.connect()
    stream.say((["GET / HTTP/1.1"] + good + ["", ""]).joined(separator: "\r\n"))
    site.simulation.run(for: second_ns / 10)
    #expect(side.text.hasPrefix("HTTP/1.1 101 ") && site.accepted.count == 1)
    #expect(silent[0].side.reasons == [.peerClosed] && silent.dropFirst().allSatisfy { $0.side.reasons.isEmpty })
  }

  @Test("a request may come in any pieces", arguments: [UInt64(1), 2, 3])
  func pieces(_ seed: UInt64) throws {
    let site = try Site(seed: seed)
    let (stream, side) = site.connect()
    let bytes = [UInt8]((["GET / HTTP/1.1"] + good + ["", ""]).joined(separator: "\r\n").utf8)
    for (index, byte) in bytes.enumerated() { site.simulation.after(Int64(index) * millisecond_ns) { stream.say([byte]) } }
    site.simulation.run(for: 2 * second_ns)
    #expect(side.text.hasPrefix("HTTP/1.1 101 ") && side.bytes.suffix(8) == [0x82, 6] + [UInt8]("INFO\r\n".utf8))
  }
}
