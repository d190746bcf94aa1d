import Bytes
import Testing

@testable import Configuration

@Suite struct ServerURLTests {
  private func parse(_ text: String) -> Result<ServerURL, ServerURL.Failure> {
    do throws(ServerURL.Failure) {
      return .success(try ByteString(text).withView { view throws(ServerURL.Failure) in try ServerURL(parsing: view) })
    } catch {
      return .failure(error)
    }
  }

  @Test("schemes, users, addresses and ports")
  func good() {
    #expect(parse("nats://h:1") == .success(ServerURL(host: "h", port: 1)))
    #expect(parse("h") == .success(ServerURL(host: "h", port: 7422)))
    #expect(parse("h:1/") == .success(ServerURL(host: "h", port: 1)))
    #expect(parse("TLS://h") == .success(ServerURL(scheme: .tls, host: "h")))
    #expect(parse("ws://h:80") == .success(ServerURL(scheme: .webSocket, host: "h", port: 80)))
    #expect(parse("wss://h") == .success(ServerURL(scheme: .webSocketSecure, host: "h")))
    #expect(parse("nats-leaf://10.0.0.1:7") == .success(ServerURL(scheme: .natsLeaf, host: "10.0.0.1", port: 7)))
    #expect(parse("nats://[::1]") == .success(ServerURL(host: "::1")))
    #expect(parse("nats://[fe80::1%eth0]:9") == .success(ServerURL(host: "fe80::1%eth0", port: 9)))
    #expect(parse("nats://u@h") == .success(ServerURL(user: "u", host: "h")))
    #expect(parse("nats://u:p:q@h") == .success(ServerURL(user: "u", password: "p:q", host: "h")))
    #expect(parse("nats://u%3a:p%40%2F@h") == .success(ServerURL(user: "u:", password: "p@/", host: "h")))
    #expect(parse("u:p@h:1") == .success(ServerURL(user: "u", password: "p", host: "h", port: 1)))
  }

  @Test(
    "what is wrong is told",
    arguments: [
      ("", ServerURL.Failure.host), ("nats://", .host), ("nats://:1", .host), ("http://h", .scheme("http")), ("://h", .scheme("")),
      ("nats://h:", .port("")),
      ("nats://h:0", .port("0")), ("nats://h:65536", .port("65536")), ("nats://h:-1", .port("-1")), ("nats://h:x", .port("x")),
      ("nats://a:b:c", .host),
      ("nats://::1", .host), ("nats://[::1", .host), ("nats://[]", .host), ("nats://[h]", .host), ("nats://[::1]x", .host),
      ("nats://h/p", .trailing("/p")),
      ("nats://h?q", .trailing("?q")), ("nats://u%4@h", .userinfo), ("nats://u%zz@h", .userinfo), ("nats://a b", .host),
      ("nats://u@", .host),
    ])
  func bad(text: String, failure: ServerURL.Failure) { #expect(parse(text) == .failure(failure)) }

  @Test("only a WebSocket has a path, and only one that can stand in a request")
  func paths() throws {
    let url = try parse("ws://u:p@h:80/a/b").get()
    #expect(url.path == "/a/b" && url.port == 80 && url.isWebSocket && url.text == "ws://[REDACTED]@h:80/a/b")
    #expect(try parse("wss://h/").get().path == "/" && parse("ws://h").get().path.isEmpty)
    for text in ["/a?x", "/a#x", "/a b", "/a\u{7F}", "/a\r\nX: y", "/ä"] {
      #expect(parse("ws://h" + text) == .failure(.trailing(ByteString(text))))
    }
  }

  @Test("a URL too long is refused")
  func long() { #expect(parse("nats://" + String(repeating: "h", count: 5000)) == .failure(.tooLong)) }

  @Test("secrets are hidden, and the shown form is complete")
  func text() throws {
    #expect(try parse("nats://u:p@[::1]").get().text == "nats://[REDACTED]@[::1]:7422")
    #expect(try parse("tls://h").get().text == "tls://h:7422")
    #expect(ServerURL.redacted("nats://u:p@h:x").text == "nats://[REDACTED]@h:x")
    #expect(ServerURL.redacted("u:p@h").text == "[REDACTED]@h")
    #expect(ServerURL.redacted("a@b://c").text == "[REDACTED]")
  }
}
