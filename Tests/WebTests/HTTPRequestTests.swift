// HTTP requests: what is read, what is refused, and that nothing hurts.
import Bytes
import Platform
import Testing

@testable import Web

@Suite struct HTTPRequestTests {
  private func parse(_ text: String) -> String { parse([UInt8](text.utf8)) }

  private func parse(_ bytes: [UInt8]) -> String {
    switch bytes.withView({ HTTPRequest.parse($0) }) {
    case .incomplete: "incomplete"
    case .bad: "bad"
    case .request(let request, let consumed):
      "\(request.isGet ? "GET" : request.isHead ? "HEAD" : "other") \(request.path.string)\(request.keepAlive ? "" : " closes") \(consumed)"
    }
  }

  private func query(_ target: String, _ name: StaticString) -> String? {
    ByteString("GET \(target) HTTP/1.1\r\n\r\n").withView { view in
      guard case .request(let request, _) = HTTPRequest.parse(view) else { return "not a request" }
      return request[name]?.string
    }
  }

  @Test("a request's line and head are read; bare line feeds are as good")
  func wellFormed() {
    #expect(parse("GET /varz HTTP/1.1\r\nHost: x\r\n\r\n") == "GET /varz 31")
    #expect(parse("GET /varz HTTP/1.1\n\n") == "GET /varz 20")
    #expect(parse("HEAD / HTTP/1.1\r\n\r\nGET") == "HEAD / 19")
    #expect(parse("POST /varz HTTP/1.1\r\n\r\n") == "other /varz 23")
    #expect(parse("GET /varz HTTP/1.0\r\n\r\n") == "GET /varz closes 22")
    #expect(parse("GET / HTTP/1.1\r\nCONNECTION:  Close \r\n\r\n") == "GET / closes 39")
    #expect(parse("GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n") == "GET / 42")
  }

  @Test("a head that is not whole waits, one that is too long or no HTTP is refused")
  func refused() {
    for text in ["", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\n\r"] {
      #expect(parse(text) == "incomplete")
    }
    for text in [
      "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2\r\n\r\n", "\r\n\r\n", "\n", "GET / http/1.1\r\n\r\n", "GET / HTTP/1.1 x\r\n\r\n",
    ] {
      #expect(parse(text) == "bad", "\(text.debugDescription)")
    }
    let long = "GET / HTTP/1.1\r\nX: " + String(repeating: "x", count: HTTPRequest.headMax)
    #expect(parse(long) == "bad")
    #expect(parse(long + "\r\n\r\n") == "bad")
  }

  @Test("a query's names and values are decoded; what is no escape stays")
  func queries() {
    #expect(query("/jsz?streams=1&acc=%24G", "acc") == "$G")
    #expect(query("/jsz?streams=1&acc=%24G", "streams") == "1")
    #expect(query("/x?a=b+c%20d", "a") == "b c d")
    #expect(query("/x?a", "a") == "")
    #expect(query("/x?a=&b==", "b") == "=")
    #expect(query("/x?a=%&b=%4&c=%zz&d=%41", "a") == "%")
    #expect(query("/x?a=%&b=%4&c=%zz&d=%41", "b") == "%4")
    #expect(query("/x?a=%&b=%4&c=%zz&d=%41", "c") == "%zz")
    #expect(query("/x?a=%&b=%4&c=%zz&d=%41", "d") == "A")
    #expect(query("/x?&&=&a=1&a=2", "a") == "1")
    #expect(query("/x?", "a") == nil)
    #expect(query("/x", "a") == nil)
  }

  @Test("garbage never crashes, and what was said of fewer bytes holds for more")
  func garbage() {
    let random = SeededEntropy(seed: 1)
    let pieces = [
      "GET ", "HEAD ", "/varz", "/connz?limit=1&sort=", "?", "&", "=", "%4", "%", " HTTP/1.1", "\r\n", "\n", "\r\n\r\n",
      "Connection: close", ":", " ",
    ]
    for round in 0..<4000 {
      var bytes: [UInt8] = []
      for _ in 0..<random.below(12) {
        if random.oneIn(5) { bytes.append(UInt8(random.below(256))) } else { bytes += [UInt8](pieces[random.below(pieces.count)].utf8) }
      }
      var settled: String?
      for length in 0...bytes.count {
        let now = parse(Array(bytes[0..<length]))
        if let settled { #expect(now == settled, "round \(round)") }
        if now != "incomplete" { settled = now }
      }
    }
  }
}
