// Where a web page comes from (RFC 6454), as a browser says it in `Origin`, and what a listener allows.
import Bytes

/// A scheme, a host and a port.
struct WebOrigin: Equatable {
  /// In lower case.
  let scheme: ByteString
  /// In lower case, IPv6 without brackets.
  let host: ByteString
  let port: Int

  /// Parses `scheme://host:port`; without a port it is that of the scheme. What follows does not count. nil: not an origin (`null`).
  init?(_ text: ByteView) {
    guard let colon = text.firstIndex(of: ASCII.colon), text.dropFirst(colon).hasPrefix("://"), colon > 0 else { return nil }
    scheme = Self.lowercased(text.prefix(colon))
    let rest = text.dropFirst(colon + 3)
    var end = 0
    while end < rest.count, rest[end] != ASCII.slash, rest[end] != 0x3F, rest[end] != 0x23 { end += 1 }
    guard let (host, port) = Self.hostAndPort(rest.prefix(end), isSecure: scheme.equals("https")) else { return nil }
    self.host = host
    self.port = port
  }

  /// Parses the `Host` of a request.
  init?(host text: ByteView, isSecure: Bool) {
    guard let (host, port) = Self.hostAndPort(text, isSecure: isSecure) else { return nil }
    scheme = isSecure ? "https" : "http"
    self.host = host
    self.port = port
  }

  private static func lowercased(_ text: ByteView) -> ByteString { ByteString(text.bytes.map { ASCII.lowercased($0) }) }

  private static func hostAndPort(_ text: ByteView, isSecure: Bool) -> (host: ByteString, port: Int)? {
    guard text.firstIndex(of: ASCII.at) == nil else { return nil }
    let host: ByteView
    let rest: ByteView
    if text.hasPrefix("[") {
      guard let close = text.firstIndex(of: 0x5D) else { return nil }
      host = text.slice(1, close)
      rest = text.dropFirst(close + 1)
    } else {
      let colon = text.firstIndex(of: ASCII.colon) ?? text.count
      host = text.prefix(colon)
      rest = text.dropFirst(colon)
    }
    if host.isEmpty { return nil }
    if rest.isEmpty { return (lowercased(host), isSecure ? 443 : 80) }
    guard rest[0] == ASCII.colon, let port = rest.dropFirst(1).decimalInt(), port <= 65535 else { return nil }
    return (lowercased(host), port)
  }
}
