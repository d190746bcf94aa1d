// A request and the head of its answer: tunnels through proxies, WebSockets that are not given.
import Bytes
import Platform
import Testing

@testable import Web

@Suite struct HTTPExchangeTests {
  private func parse(_ text: String) -> String {
    switch [UInt8](text.utf8).withView({ HTTPAnswer.parse($0) }) {
    case .incomplete: "incomplete"
    case .bad: "bad"
    case .answer(let answer): "\(answer.status) \(answer.shownStatus) \(answer.head.count)"
    }
  }

  @Test("an answer's status is read; what cannot be one is refused at its first bytes")
  func answers() {
    #expect(parse("HTTP/1.1 200 Connection established\r\n\r\nINFO") == "200 200 Connection established 39")
    #expect(parse("HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n").hasPrefix("407 407 Proxy"))
    #expect(parse("HTTP/1.1 200\r\n\r\n") == "200 200 16" && parse("HTTP/1.1 200 \n\n") == "200 200 15")
    #expect(parse("HTTP/1.1 403 \u{1B}[2J\u{7}no\r\n\r\n") == "403 403 [2Jno 24")
    for text in ["", "H", "HTTP/1.", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n"] { #expect(parse(text) == "incomplete") }
    for text in [
      "INFO {", "X", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 x00 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
    ] { #expect(parse(text) == "bad", "\(text)") }
    #expect(parse("HTTP/1.1 200 OK\r\nA: " + String(repeating: "x", count: HTTPAnswer.headMax)) == "bad")
  }

  @Test("garbage never crashes, and what was said of fewer bytes holds for more")
  func garbage() {
    let random = SeededEntropy(seed: 5)
    let pieces = ["HTTP/1.", "1 ", "200", "407", " OK", "\r\n", "\n", "\r\n\r\n", "A: b", ":", " ", "Upgrade: websocket"]
    for _ in 0..<3000 {
      var bytes: [UInt8] = []
      for _ in 0..<random.below(10) {
        if random.oneIn(5) { bytes.append(UInt8(random.below(256))) } else { bytes += [UInt8](pieces[random.below(pieces.count)].utf8) }
      }
      var settled: String?
      for length in 0...bytes.count {
        let now = parse(String(decoding: bytes[0..<length], as: UTF8.self))
        if let settled, now != "incomplete" { #expect(now == settled || settled == "bad") }
        if now != "incomplete" { settled = now }
      }
    }
  }

  private final class Outcome {
    var success: ByteStream?
    var failure: WebFailure?
    var calls = 0
    let side = Recorder()

    func take<Stream: ByteStream>(_ result: Result<Stream, WebFailure>) {
      calls += 1
      switch result {
      case .success(let stream):
        success = stream
        stream.delegate = side
      case .failure(let failure): self.failure = failure
      }
    }
  }

  /// What comes of asking for a tunnel when the proxy answers `answer`, `gap_ns` between its bytes.
  private func tunnel(_ answer: String, ends: Bool = false, gap_ns: Int64 = 0, user: ByteString = "", seed: UInt64 = 1) -> (Outcome, String)
  {
    let line = Line(seed: seed)
    let outcome = Outcome()
    let proxy = Recorder()
    line.serverSide.delegate = proxy
    let exchange = HTTPExchange.tunnel(
      host: line.client.host, stream: line.clientSide, target: "hub:7422", user: user, password: user.isEmpty ? "" : "p:w",
      timeout_ns: 3 * second_ns
    ) { outcome.take($0) }
    line.run()
    if gap_ns == 0 {
      line.serverSide.say(answer)
      if ends { line.serverSide.closeAfterFlush() }
    } else {
      for (index, byte) in answer.utf8.enumerated() {
        line.simulation.after(Int64(index) * gap_ns) { if !line.serverSide.isClosed { line.serverSide.say([byte]) } }
      }
    }
    line.run(5 * second_ns)
    withExtendedLifetime(exchange) {}
    if outcome.failure != nil { #expect(line.clientSide.isClosed && line.clientSide.delegate == nil) }
    return (outcome, proxy.text)
  }

  @Test("a tunnel is asked for by name, with credentials where there are any, and what comes behind the answer is the target's")
  func tunnels() {
    var (outcome, request) = tunnel("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nINFO {}\r\n")
    #expect(request == "CONNECT hub:7422 HTTP/1.1\r\nHost: hub:7422\r\n\r\n")
    #expect(outcome.side.text == "INFO {}\r\n" && outcome.calls == 1 && outcome.success != nil)
    (outcome, request) = tunnel("HTTP/1.0 204 x\r\nContent-Length: 5\r\n\r\nINFO", gap_ns: millisecond_ns, user: "me")
    #expect(request == "CONNECT hub:7422 HTTP/1.1\r\nHost: hub:7422\r\nProxy-Authorization: Basic bWU6cDp3\r\n\r\n")
    #expect(outcome.side.text == "INFO" && outcome.calls == 1)
  }

  @Test("a proxy that refuses, says nothing, is none or goes away fails the tunnel with what it did")
  func refusals() {
    #expect(tunnel("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").0.failure == .refused(407, "407 Proxy Authentication Required"))
    #expect(tunnel("HTTP/1.1 403 Forbidden\r\n\r\n<html>").0.failure == .refused(403, "403 Forbidden"))
    #expect(tunnel("HTTP/1.1 101 x\r\n\r\n").0.failure == .refused(101, "101 x"))
    #expect(tunnel("").0.failure == .timedOut && tunnel("HTTP/1.1 200 OK\r\n").0.failure == .timedOut)
    #expect(tunnel("INFO {}\r\n").0.failure == .notHTTP)
    #expect(tunnel("HTTP/1.1 200 OK\r\nA: " + String(repeating: "x", count: 9000)).0.failure == .notHTTP)
    #expect(tunnel("", ends: true).0.failure == .closed)
    // An answer that trickles does not get more time.
    #expect(tunnel("HTTP/1.1 200 " + String(repeating: "x", count: 5000), gap_ns: 2 * millisecond_ns).0.failure == .timedOut)
  }

  @Test("an answer cut off anywhere fails the tunnel once", arguments: [UInt64(1), 2])
  func truncated(_ seed: UInt64) {
    let answer = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    for length in 0..<answer.utf8.count {
      let (outcome, _) = tunnel(String(decoding: Array(answer.utf8).prefix(length), as: UTF8.self), ends: true, seed: seed)
      #expect(outcome.failure == .closed && outcome.calls == 1, "\(length)")
    }
  }

  @Test("one that was given up says nothing more and closes")
  func cancelled() {
    let line = Line()
    let outcome = Outcome()
    let exchange = HTTPExchange.tunnel(
      host: line.client.host, stream: line.clientSide, target: "hub:7422", user: "", password: "", timeout_ns: second_ns
    ) { outcome.take($0) }
    line.run()
    exchange.cancel()
    line.serverSide.say("HTTP/1.1 200 OK\r\n\r\n")
    line.run(3 * second_ns)
    #expect(outcome.calls == 0 && line.clientSide.isClosed && line.clientSide.delegate == nil)
  }

  /// What comes of asking for a WebSocket when the server answers with these fields; `KEY` stands for the right answer to the key.
  private func webSocket(_ fields: [String], status: String = "101 Switching Protocols") -> WebFailure? {
    let line = Line()
    let outcome = Outcome()
    let server = Recorder()
    line.serverSide.delegate = server
    let exchange = HTTPExchange.webSocket(
      host: line.client.host, stream: line.clientSide, authority: "hub", path: "/leafnode", wantsNoMasking: false, timeout_ns: second_ns
    ) { outcome.take($0) }
    line.run()
    let key = server.text.split(separator: "\r\n").first { $0.hasPrefix("Sec-WebSocket-Key: ") }.map { String($0.dropFirst(19)) } ?? ""
    let accept = String(decoding: ByteString(key).withView { WebSocketHandshake.accept($0) }, as: UTF8.self)
    line.serverSide.say((["HTTP/1.1 \(status)"] + fields + ["", ""]).joined(separator: "\r\n").replacing("KEY", with: accept))
    line.run(3 * second_ns)
    withExtendedLifetime(exchange) {}
    #expect(outcome.calls == 1 && (outcome.failure == nil || line.clientSide.isClosed))
    return outcome.failure
  }

  @Test("only the answer that RFC 6455 asks for makes a WebSocket")
  func webSockets() {
    let good = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: KEY"]
    #expect(webSocket(good) == nil && webSocket(["upgrade: WebSocket", "connection: foo, upgrade", "sec-websocket-accept: KEY"]) == nil)
    for index in good.indices {
      var fields = good
      fields.remove(at: index)
      #expect(webSocket(fields) == .notWebSocket)
    }
    #expect(webSocket(["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: AAAA"]) == .notWebSocket)
    #expect(webSocket(good + ["Sec-WebSocket-Extensions: permessage-deflate"]) == .notWebSocket)
    #expect(webSocket([], status: "404 Not Found") == .refused(404, "404 Not Found"))
    #expect(webSocket(good, status: "200 OK") == .refused(200, "200 OK"))
  }
}
