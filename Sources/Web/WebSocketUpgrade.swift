// The server's half of the opening handshake (RFC 6455 section 4.2), without I/O: which requests become WebSockets, and what is answered.
import Bytes

/// What a listener for WebSockets wants of requests.
public struct WebSocketRules {
  /// The listener speaks TLS.
  public var isSecure = false
  /// A browser's page must come from where it connects to.
  public var sameOrigin = false
  /// Where a browser's page may come from, as in `Origin`; empty: anywhere.
  public var allowedOrigins: [ByteString] = []
  /// Lines of every answer that makes a WebSocket, each with its end.
  public var headerLines = ByteString()
  /// Names of the cookies that carry credentials; empty: none.
  public var cookies = WebSocketCookies()
  /// How long a connection may take to become a WebSocket.
  public var handshakeTimeout_ns: Int64 = 5_000_000_000

  public init() {}
}

/// Credentials in cookies: their names in the rules, their values in an upgrade.
public struct WebSocketCookies: Equatable, Sendable {
  public var jwt = ByteString()
  public var user = ByteString()
  public var password = ByteString()
  public var token = ByteString()

  public init() {}
}

/// A request that became a WebSocket: what whoever serves it may want to know.
public final class WebSocketUpgrade {
  public enum Purpose {
    case client
    /// The path ends in `/leafnode`.
    case leaf
  }

  public let purpose: Purpose
  /// Both ends may leave out masks: nats-server's `Nats-No-Masking`.
  public let isUnmasked: Bool
  public let isBrowser: Bool
  /// The address that a proxy in front says it serves (`X-Forwarded-For`); empty when none does. Anybody can say so.
  public let forwardedFor: ByteString
  /// Values of the cookies that the rules name.
  public let cookies: WebSocketCookies

  init(_ request: HTTPRequest, purpose: Purpose, rules: WebSocketRules) {
    let head = request.head
    self.purpose = purpose
    isUnmasked = head.first(WebSocketHandshake.noMasking)?.equals("true") ?? false
    isBrowser = head.first("user-agent")?.hasPrefix("Mozilla/") ?? false
    forwardedFor = head.first("x-forwarded-for").map { ByteString($0) } ?? ByteString()
    var cookies = WebSocketCookies()
    _ = head.contains("cookie") { line in
      line.contains(separatedBy: UInt8(ascii: ";")) { pair in
        guard let equals = pair.firstIndex(of: UInt8(ascii: "=")) else { return false }
        let name = pair.prefix(equals)
        let value = ByteString(Self.unquoted(pair.dropFirst(equals + 1)))
        if name.isEmpty { return false }
        if rules.cookies.jwt == name {
          cookies.jwt = value
        } else if rules.cookies.user == name {
          cookies.user = value
        } else if rules.cookies.password == name {
          cookies.password = value
        } else if rules.cookies.token == name {
          cookies.token = value
        }
        return false
      }
    }
    self.cookies = cookies
  }

  private static func unquoted(_ value: ByteView) -> ByteView {
    guard value.count >= 2, value[0] == ASCII.quote, value[value.count - 1] == ASCII.quote else { return value }
    return value.slice(1, value.count - 1)
  }
}

enum WebSocketHandshake {
  /// Credentials in cookies make heads long: a user JWT has some kilobytes.
  static let headMax = 16 * 1024
  static let noMasking: StaticString = "nats-no-masking"

  enum Verdict {
    case upgrade(WebSocketUpgrade)
    case refuse(status: StaticString, reason: StaticString)
  }

  /// Whether `request` becomes a WebSocket.
  static func judge(_ request: HTTPRequest, _ rules: WebSocketRules) -> Verdict {
    func bad(_ reason: StaticString) -> Verdict { .refuse(status: "400 Bad Request", reason: reason) }
    let head = request.head
    let purpose = request.path.withView { path -> WebSocketUpgrade.Purpose? in
      if path.hasSuffix(ByteView("/mqtt")) { return nil }
      return path.hasSuffix(ByteView("/leafnode")) ? .leaf : .client
    }
    guard let purpose else { return .refuse(status: "404 Not Found", reason: "there is no MQTT over WebSocket") }
    guard request.isGet else { return .refuse(status: "405 Method Not Allowed", reason: "request method must be GET") }
    guard let host = head.first("host"), !host.isEmpty else { return bad("'Host' missing in request") }
    guard head.has("upgrade", token: "websocket") else { return bad("invalid value for header 'Upgrade'") }
    guard head.has("connection", token: "upgrade") else { return bad("invalid value for header 'Connection'") }
    guard let key = head.first("sec-websocket-key") else { return bad("key missing") }
    guard Base64.decode(key)?.count == 16 else { return bad("invalid websocket key") }
    guard head.has("sec-websocket-version", token: "13") else { return bad("invalid version") }
    if let reason = problem(origin: head.first("origin") ?? head.first("sec-websocket-origin"), host: host, rules) {
      return .refuse(status: "403 Forbidden", reason: reason)
    }
    return .upgrade(WebSocketUpgrade(request, purpose: purpose, rules: rules))
  }

  /// Why a page from `origin` may not connect; only browsers say where a page is from, and others may be anywhere (section 1.6).
  private static func problem(origin: ByteView?, host: ByteView, _ rules: WebSocketRules) -> StaticString? {
    guard rules.sameOrigin || !rules.allowedOrigins.isEmpty, let origin, !origin.isEmpty else { return nil }
    guard let origin = WebOrigin(origin) else { return "origin not allowed: not an origin" }
    if rules.sameOrigin, origin != WebOrigin(host: host, isSecure: rules.isSecure) { return "origin not allowed: not same origin" }
    if rules.allowedOrigins.isEmpty { return nil }
    let isAllowed = rules.allowedOrigins.contains { allowed in allowed.withView { WebOrigin($0) } == origin }
    return isAllowed ? nil : "origin not allowed: not in the allowed list"
  }

  /// What a server answers to a client's key (section 4.2.2).
  static func accept(_ key: ByteView) -> [UInt8] {
    var text = key.bytes
    text.append(literal: "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    var answer: [UInt8] = []
    text.withView { SHA1.hash($0) }.withView { Base64.encode($0, into: &answer) }
    return answer
  }

  /// The answer that makes a WebSocket of the connection.
  static func answer(_ request: HTTPRequest, _ upgrade: WebSocketUpgrade, _ rules: WebSocketRules) -> [UInt8] {
    var answer: [UInt8] = []
    answer.append(
      literal: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
    if let key = request.head.first("sec-websocket-key") { answer += accept(key) }
    answer.append(literal: "\r\n")
    if upgrade.isUnmasked { answer.append(literal: "Nats-No-Masking: true\r\n") }
    answer.append(rules.headerLines)
    answer.append(literal: "\r\n")
    return answer
  }
}
