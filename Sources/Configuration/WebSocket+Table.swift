// The option table of `websocket`.
import Bytes

extension WebSocketOptions {
  static var table: [Option<WebSocketOptions>] {
    let hour_ns: Int64 = 3_600_000_000_000
    return [
      Option(
        "listen",
        kind: .custom(type: "port or host:port") { decoder, options, entry in
          guard let address = decoder.address(entry) else { return }
          if !address.host.isEmpty { options.host = address.host }
          options.port = address.port
        }, doc: "Where WebSocket clients connect. Port -1 takes a free one."),
      Option("host", "net", kind: .string { $0.host = $1 }, standard: "0.0.0.0", doc: "The address that WebSocket clients connect to."),
      Option(
        "port", kind: .integer(-1...65535) { $0.port = Int($1) }, standard: "0",
        doc: "The port that WebSocket clients connect to; -1 takes a free one, 0 is none."),
      Option(
        "advertise",
        kind: .custom(type: "host or host:port") { decoder, options, entry in options.advertise = decoder.advertised(entry) },
        doc: "The address that `/varz` shows for others to connect to."),
      Option(
        "no_tls", kind: .boolean { $0.hasNoTLS = $1 }, standard: "false",
        doc: "Serves WebSockets without TLS, which must be said where there is no `tls`."),
      Option(
        "tls",
        kind: .custom(type: "map") { decoder, options, entry in
          options.tls = TLSOptions.decode(&decoder, entry, isListener: true)
          if let tls = options.tls, tls.handshakeFirst != .no || tls.timeout_ns != nil {
            decoder.warning(at: tls.location, "websocket.tls: TLS always comes first, and handshake_timeout is for all of it")
          }
        }, doc: "Serves WebSockets within TLS (`wss://`)."),
      Option(
        "handshake_timeout", kind: .duration(1_000_000...hour_ns) { $0.handshakeTimeout_ns = $1 }, standard: "5s",
        doc: "How long a connection may take to become a WebSocket."),
      Option(
        "same_origin", kind: .boolean { $0.sameOrigin = $1 }, standard: "false",
        doc: "Refuses browsers whose page comes from elsewhere than the address it connects to."),
      Option(
        "allowed_origins", "allowed_origin", "allow_origins", "allow_origin", "origins", "origin",
        kind: .custom(type: "string or array of strings") { decoder, options, entry in
          options.allowedOrigins = decoder.origins(entry)
        }, doc: "Refuses browsers whose page comes from none of these (`https://host`, with `:port` where it is another than the scheme's)."
      ),
      Option(
        "headers",
        kind: .custom(type: "map of strings") { decoder, options, entry in options.headerLines = decoder.headerLines(entry) },
        doc: "HTTP headers of the answer that makes a WebSocket of a connection."),
      Option(
        "ping_interval", kind: .duration(1_000_000...(24 * hour_ns)) { $0.pingInterval_ns = $1 }, standard: "as the top level's",
        doc: "How often idle WebSocket clients are pinged."),
      Option(
        "compression", "compress",
        kind: .custom(type: "true or false") { decoder, _, entry in decoder.ignoredCompression(entry) }, standard: "false",
        doc: "Read, as configurations of nats-server have it: petiole compresses no WebSockets."),
    ]
  }

  static var refused: RefusedOptions {
    RefusedOptions(unsupported: "authorization authentication no_auth_user jwt_cookie user_cookie pass_cookie token_cookie")
  }
}

extension OptionDecoder {
  /// Compression of WebSockets, which is optional for both ends.
  mutating func ignoredCompression(_ entry: ConfigurationEntry) {
    guard case .boolean(let flag) = entry.value.content else { return wrongType(entry.value, "bool", field: entry.key) }
    if flag { warning(at: entry.value.location, "\(entry.key): petiole does not offer permessage-deflate; WebSockets go uncompressed") }
  }

  mutating func origins(_ entry: ConfigurationEntry) -> [ByteString] {
    var all: [ByteString] = []
    for (text, location) in strings(entry.value, field: entry.key) ?? [] {
      let skipped = text.hasPrefix("https://") ? 8 : text.hasPrefix("http://") ? 7 : text.count
      if HostPort.parsed(ByteString([UInt8](text.bytes[skipped...])), portDefault: 80) != nil {
        all.append(text)
      } else {
        error(at: location, "unable to parse allowed origin \"\(text)\": it must be http://host or https://host, with a port or without")
      }
    }
    return all
  }

  mutating func headerLines(_ entry: ConfigurationEntry) -> ByteString {
    var lines: [UInt8] = []
    for header in map(entry.value, field: entry.key)?.entries ?? [] {
      guard let value = string(header.value, field: header.key) else { continue }
      let isLine = header.key.withView { Self.isHeaderName($0) } && !value.bytes.contains { $0 < ASCII.space && $0 != ASCII.tab }
      if !isLine { error(at: header.keyLocation, "websocket: invalid header \"\(header.key)\" not allowed") }
      lines.append(header.key)
      lines.append(literal: ": ")
      lines.append(value)
      lines.append(literal: "\r\n")
    }
    return ByteString(lines)
  }

  /// A name that HTTP allows (RFC 9110 section 5.1) and that is not the handshake's own.
  private static func isHeaderName(_ name: ByteView) -> Bool {
    for index in 0..<name.count {
      let byte = name[index]
      guard ASCII.isLetter(byte) || ASCII.isDigit(byte) || byte == ASCII.minus || byte == 0x5F || byte == ASCII.dot else { return false }
    }
    for own in ["host", "content-length", "connection", "upgrade", "nats-no-masking"] as [StaticString] where name.equalsIgnoringCase(own) {
      return false
    }
    let prefix = ByteView("sec-websocket-")
    return !name.isEmpty && !(name.count >= prefix.count && name.prefix(prefix.count).equalsIgnoringCase(prefix))
  }
}
