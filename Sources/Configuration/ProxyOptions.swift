// The `proxy` block of a leaf remote and of the uplink: an HTTP proxy through which hubs are reached.
import Bytes

/// An HTTP proxy that makes tunnels (CONNECT).
public struct ProxyOptions: Equatable, Sendable {
  /// The port of a URL that has none.
  static let portDefault = 80

  public var place = HostPort(host: "", port: ProxyOptions.portDefault)
  public var user = ByteString()
  public var password = ByteString()
  /// nil: as connecting.
  public var timeout_ns: Int64?

  public init() {}

  static var table: [Option<ProxyOptions>] {
    [
      Option(
        "url",
        kind: .custom(type: "string") { decoder, proxy, entry in
          if let place = decoder.proxy(entry) { proxy.place = place }
        }, doc: "The proxy: `http://host:port` (port 80 when left out)."),
      Option("username", kind: .string { $0.user = $1 }, doc: "The user name for the proxy, with `password`."),
      Option("password", kind: .string { $0.password = $1 }, doc: "The password for the proxy. It is sent as it is (Basic)."),
      Option(
        "timeout", kind: .duration(1_000_000...600_000_000_000) { $0.timeout_ns = $1 }, standard: "as connecting",
        doc: "How long connecting to the proxy may take, and how long its answer."),
    ]
  }
}

extension OptionDecoder {
  /// The `proxy` block; nil when it is wrong.
  mutating func proxyBlock(_ entry: ConfigurationEntry) -> ProxyOptions? {
    guard let map = map(entry.value, field: entry.key) else { return nil }
    var proxy = ProxyOptions()
    decode(map, by: ProxyOptions.table, into: &proxy)
    if hasErrors(from: entry.value.location) { return nil }
    if proxy.place.host.isEmpty {
      error(at: entry.value.location, "proxy URL must specify a host")
    } else if proxy.user.isEmpty != proxy.password.isEmpty {
      error(at: entry.value.location, "proxy username and password must both be specified or both be empty")
    } else if proxy.user.bytes.contains(ASCII.colon) {
      error(at: entry.value.location, "a proxy username cannot have a colon")
    } else {
      return proxy
    }
    return nil
  }

  fileprivate mutating func proxy(_ entry: ConfigurationEntry) -> HostPort? {
    guard let text = string(entry.value, field: entry.key) else { return nil }
    if text.hasPrefix("https://") {
      error(at: entry.value.location, "not supported by this version of petiole: a proxy over TLS")
      return nil
    }
    guard text.hasPrefix("http://") else {
      error(at: entry.value.location, "proxy URL scheme must be http: \"\(ServerURL.redacted(text))\"")
      return nil
    }
    var rest = [UInt8](text.bytes[7...])
    if rest.last == ASCII.slash { rest.removeLast() }
    guard let place = HostPort.parsed(ByteString(rest), portDefault: ProxyOptions.portDefault) else {
      error(
        at: entry.value.location,
        "invalid proxy URL \"\(ServerURL.redacted(text))\": it must be http://host:port, and username and password stand beside it")
      return nil
    }
    return place
  }
}
