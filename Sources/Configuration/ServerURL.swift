// The address of a server as people write it: `nats://user:password@host:port`. Used for leaf remotes and uplink clusters.
import Bytes

public struct ServerURL: Equatable, Sendable {
  public enum Scheme: Equatable, Sendable { case nats, natsLeaf, tls, webSocket, webSocketSecure }

  /// Where a leaf link goes when the URL has no port.
  public static let leafPort = 7422
  /// Where a client goes when the URL has no port.
  public static let clientPort = 4222
  /// Longer than any host name (253 bytes) with credentials.
  static let bytesMax = 4096

  public var scheme: Scheme
  /// Percent-decoded; nil when there is none. Without a password it is a token.
  public var user: ByteString?
  public var password: ByteString?
  /// A name or an address, IPv6 without brackets.
  public var host: ByteString
  public var port: Int
  /// Of a WebSocket's URL: empty, or begins with a slash.
  public var path = ByteString()

  public var isWebSocket: Bool { scheme == .webSocket || scheme == .webSocketSecure }

  public enum Failure: Error, Equatable, Sendable {
    case tooLong
    case scheme(ByteString)
    case userinfo
    case host
    case port(ByteString)
    /// There is a path, a query or a fragment.
    case trailing(ByteString)

    var text: Words {
      switch self {
      case .tooLong: "it is longer than \(ServerURL.bytesMax) bytes"
      case .scheme(let scheme): "the scheme \"\(scheme)\" is none of nats, nats-leaf, tls, ws, wss"
      case .userinfo: "the user or password has a bad %-escape"
      case .host: "the host is missing or malformed"
      case .port(let port): "the port \"\(port)\" is not a number from 1 to 65535"
      case .trailing:
        "something follows the host and port that is not the path of a WebSocket (in a password, '/' is %2F, '?' is %3F, '#' is %23)"
      }
    }
  }

  public init(
    scheme: Scheme = .nats, user: ByteString? = nil, password: ByteString? = nil, host: ByteString, port: Int = ServerURL.leafPort
  ) {
    self.scheme = scheme
    self.user = user
    self.password = password
    self.host = host
    self.port = port
  }

  /// Parses a URL; without a scheme it is `nats`.
  public init(parsing text: ByteView, portDefault: Int = ServerURL.leafPort) throws(Failure) {
    guard text.count <= Self.bytesMax else { throw .tooLong }
    var rest = text
    scheme = .nats
    if let end = Self.schemeEnd(text) {
      guard let known = Self.scheme(text.prefix(end)) else { throw .scheme(ByteString(text.prefix(end))) }
      scheme = known
      rest = text.dropFirst(end + 3)
    }
    // The user may contain what else would end the authority, but not a slash.
    var tail = 0
    while tail < rest.count, rest[tail] != ASCII.slash, rest[tail] != 0x3F, rest[tail] != 0x23 { tail += 1 }
    let after = rest.dropFirst(tail)
    if scheme == .webSocket || scheme == .webSocketSecure, Self.isPath(after) {
      path = ByteString(after)
    } else if !after.isEmpty, !after.equals("/") {
      throw .trailing(ByteString(after))
    }
    rest = rest.prefix(tail)
    user = nil
    password = nil
    var at = rest.count - 1
    while at >= 0, rest[at] != ASCII.at { at -= 1 }
    if at >= 0 {
      let info = rest.prefix(at)
      rest = rest.dropFirst(at + 1)
      let colon = info.firstIndex(of: ASCII.colon)
      guard let name = Self.percentDecoded(info.prefix(colon ?? info.count)) else { throw .userinfo }
      user = name
      if let colon {
        guard let secret = Self.percentDecoded(info.dropFirst(colon + 1)) else { throw .userinfo }
        password = secret
      }
    }
    do throws(HostPort.Failure) {
      let address = try HostPort.parse(rest, ports: 1...65535, portDefault: portDefault)
      host = address.host
      port = address.port
    } catch {
      switch error {
      case .address: throw .host
      case .port(let port): throw .port(port)
      }
    }
    if host.isEmpty { throw .host }
  }

  /// The URL without what must not be shown; a parsed one parses again.
  public var text: String { description.text.string }

  var description: Words {
    let name: StaticString
    switch scheme {
    case .nats: name = "nats"
    case .natsLeaf: name = "nats-leaf"
    case .tls: name = "tls"
    case .webSocket: name = "ws"
    case .webSocketSecure: name = "wss"
    }
    return "\(name)://\(user == nil ? "" : "[REDACTED]@")\(HostPort(host: host, port: port).text)\(path)"
  }

  /// `text` for a message, with the user and password hidden whether or not it is a URL.
  static func redacted(_ text: ByteString) -> Words {
    guard let at = text.bytes.lastIndex(of: ASCII.at) else { return Words(text) }
    let start = text.withView { schemeEnd($0) }.map { $0 + 3 } ?? 0
    guard start <= at else { return "[REDACTED]" }
    let head = ByteString([UInt8](text.bytes[..<start]))
    let tail = ByteString([UInt8](text.bytes[at...]))
    return "\(head)[REDACTED]\(tail)"
  }

  /// A path that can stand in a request as it is.
  private static func isPath(_ text: ByteView) -> Bool {
    for index in 0..<text.count where text[index] <= ASCII.space || text[index] >= 0x7F || text[index] == 0x3F || text[index] == 0x23 {
      return false
    }
    return text.isEmpty || text[0] == ASCII.slash
  }

  /// The index of `://`.
  private static func schemeEnd(_ text: ByteView) -> Int? {
    guard let colon = text.firstIndex(of: ASCII.colon), text.dropFirst(colon).hasPrefix("://") else { return nil }
    return colon
  }

  private static func scheme(_ name: ByteView) -> Scheme? {
    if name.equalsIgnoringCase("nats") { return .nats }
    if name.equalsIgnoringCase("nats-leaf") { return .natsLeaf }
    if name.equalsIgnoringCase("tls") { return .tls }
    if name.equalsIgnoringCase("ws") { return .webSocket }
    if name.equalsIgnoringCase("wss") { return .webSocketSecure }
    return nil
  }

  private static func percentDecoded(_ text: ByteView) -> ByteString? {
    var output: [UInt8] = []
    var index = 0
    while index < text.count {
      if text[index] == 0x25 {
        guard index + 2 < text.count, let high = ASCII.hexadecimalValue(text[index + 1]),
          let low = ASCII.hexadecimalValue(text[index + 2])
        else { return nil }
        output.append(high << 4 | low)
        index += 3
      } else {
        output.append(text[index])
        index += 1
      }
    }
    return ByteString(output)
  }
}
