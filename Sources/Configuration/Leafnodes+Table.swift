// The option tables of `leafnodes`, its remotes, and what leaf links have in common with the uplink's.
import Bytes
import Identity

extension LeafnodeOptions {
  static var table: [Option<LeafnodeOptions>] {
    let minute_ns: Int64 = 60_000_000_000
    return [
      Option(
        "listen",
        kind: .custom(type: "port or host:port") { decoder, options, entry in
          guard let address = decoder.address(entry) else { return }
          if !address.host.isEmpty { options.host = address.host }
          options.port = address.port
        }, doc: "Where leaf links of other servers are accepted: nowhere unless there is a port here or in `port`."),
      Option("host", "net", kind: .string { $0.host = $1 }, standard: "0.0.0.0", doc: "The address on which leaf links are accepted."),
      Option(
        "port", kind: .integer(-1...65535) { $0.port = Int($1) }, standard: "0",
        doc: "The port on which leaf links are accepted; 0 accepts none, -1 takes a free one. 7422 is the usual one."),
      Option(
        "advertise",
        kind: .custom(type: "host or host:port") { decoder, options, entry in options.advertise = decoder.advertised(entry) },
        doc: "The address that other servers are told to come back to; their own view of this one when left out."),
      Option(
        "no_advertise", kind: .boolean { $0.isUnadvertised = $1 }, standard: "false", doc: "Tells other servers no address to come back to."
      ),
      Option(
        "min_version",
        kind: .custom(type: "version") { decoder, options, entry in
          guard let text = decoder.string(entry.value, field: entry.key) else { return }
          guard let version = text.withView({ ReleaseVersion($0) }) else {
            return decoder.error(at: entry.value.location, "invalid leafnode's minimum version: invalid semver")
          }
          guard version.major > 2 || (version.major == 2 && version.minor >= 8) else {
            return decoder.error(at: entry.value.location, "the minimum version should be at least 2.8.0")
          }
          options.versionMin = text
        }, doc: "Servers older than this are sent away, for example `2.11.0`."),
      Option(
        "isolate_leafnode_interest", "isolate", kind: .boolean { $0.isIsolated = $1 }, standard: "false",
        doc: "Keeps what other leafs are interested in from each leaf: they then reach only this server and its hub."),
      Option(
        "write_deadline", kind: .duration(1_000_000...(60 * minute_ns)) { $0.writeDeadline_ns = $1 }, standard: "that of clients",
        doc: "How long a leaf link may take no bytes before it is closed."),
      Option(
        "authorization",
        kind: .custom(type: "map") { decoder, options, entry in
          guard let map = decoder.map(entry.value, field: entry.key) else { return }
          options.authorization.location = entry.value.location
          decoder.decode(map, by: LeafAuthorizationOptions.table, refused: LeafAuthorizationOptions.refused, into: &options.authorization)
        }, standard: "as clients", doc: "Who may connect as a leaf: users of leaf links alone. Without it they are judged as clients are."),
      Option(
        "tls", kind: .custom(type: "map") { decoder, options, entry in options.tls = TLSOptions.decode(&decoder, entry, isListener: true) },
        doc: "How leaf links that are accepted use TLS."),
      Option(
        "remotes",
        kind: .custom(type: "array of maps") { decoder, options, entry in
          options.remotes = []
          for (map, location) in decoder.maps(entry.value, field: entry.key) ?? [] {
            var remote = LeafRemote()
            remote.location = location
            decoder.decode(map, by: LeafRemote.table, refused: LeafRemote.refused, into: &remote)
            decoder.checkMix(remote.urls, at: location)
            if remote.urls.isEmpty, !decoder.hasErrors(from: location) {
              decoder.error(at: location, "a leafnode remote needs a url")
            }
            if remote.credentials != nil, remote.seed != nil {
              decoder.error(at: location, "Remote leafnode can not have both creds and nkey defined")
            }
            if !remote.isDisabled { options.remotes.append(remote) }
          }
        }, doc: "Leaf links to dial, one for each entry."),
      Option(
        "reconnect", "reconnect_delay", "reconnect_interval", kind: .duration(1_000_000...(60 * minute_ns)) { $0.reconnect_ns = $1 },
        standard: "1s", doc: "The wait between attempts to connect."),
      Option(
        "dial_timeout", kind: .duration(1_000_000...(10 * minute_ns)) { $0.dialTimeout_ns = $1 }, standard: "1s",
        doc: "How long one attempt to connect may take."),
      Option(
        "compression", kind: .compression { $0.compression = $1 }, standard: "s2_auto",
        doc: "How links are compressed that are accepted. A remote has its own `compression`."),
    ]
  }

  static var refused: RefusedOptions {
    RefusedOptions(
      unsupported: "write_timeout")
  }
}

extension LeafRemote {
  static var table: [Option<LeafRemote>] {
    let minute_ns: Int64 = 60_000_000_000
    return [
      Option(
        "url", "urls",
        kind: .custom(type: "string or array of strings") { decoder, remote, entry in
          remote.urls += decoder.urls(entry)
        },
        doc:
          "Where the hub accepts leaf connections: `nats://host:port` (port 7422 when left out), `tls://` for TLS, or `ws://host:port/path` and `wss://` for a WebSocket listener (port 7422 too). One of several is used."
      ),
      Option(
        "account", "local",
        kind: .string { $0.account = $1 }, standard: "\"$G\"", doc: "The local account of the link; in operator mode its public key."),
      Option(
        "compression", kind: .compression { $0.compression = $1 }, standard: "s2_auto",
        doc: LeafCompression.doc),
      Option("no_randomize", kind: .boolean { $0.noRandomize = $1 }, standard: "false", doc: "Tries the URLs in the order written."),
      Option(
        "ignore_discovered_servers", kind: .boolean { $0.ignoreDiscoveredServers = $1 }, standard: "false",
        doc: "Accepted and always so: petiole dials only the URLs written here, never those that the hub tells of."),
      Option("deny_imports", kind: .subjects { $0.denyImports = $1 }, doc: "Subjects that are not taken from the hub."),
      Option("deny_exports", kind: .subjects { $0.denyExports = $1 }, doc: "Subjects that are not given to the hub."),
      Option(
        "first_info_timeout", kind: .duration(1_000_000...minute_ns) { $0.firstInfoTimeout_ns = $1 }, standard: "1s",
        doc: "How long the hub may take for its first line."),
      Option(
        "hub", kind: .boolean { $0.isHub = $1 }, standard: "false",
        doc: "Dials in, but is the hub of the server that it reaches: it tells it of all interest, and that one only of its own."),
      Option(
        "isolate_leafnode_interest", "isolate", kind: .boolean { $0.isIsolated = $1 }, standard: "false",
        doc: "Keeps what leafs of this server are interested in from the hub."),
      Option(
        "request_isolation", kind: .boolean { $0.requestsIsolation = $1 }, standard: "false",
        doc: "Asks the hub (2.12 or later) to keep what its other leafs are interested in."),
      Option(
        "tls", kind: .custom(type: "map") { decoder, remote, entry in remote.tls = TLSOptions.decode(&decoder, entry, isListener: false) },
        doc: "How the link uses TLS, which it does for `tls://`, for this block, and wherever the hub requires it."),
      Option("proxy", kind: .custom(type: "map") { $1.proxy = $0.proxyBlock($2) }, doc: "An HTTP proxy through which the hub is reached."),
      Option(
        "ws_no_masking", "websocket_no_masking", kind: .boolean { $0.wantsNoMasking = $1 }, standard: "false",
        doc: "Leaves out the masks of WebSocket frames, where the hub agrees: they cost work and protect nothing here."),
      Option(
        "ws_compression", "ws_compress", "websocket_compression", "websocket_compress",
        kind: .custom(type: "true or false") { decoder, _, entry in decoder.ignoredCompression(entry) }, standard: "false",
        doc: "Read, as configurations of nats-server have it: petiole compresses no WebSockets."),
      Option("disabled", kind: .boolean { $0.isDisabled = $1 }, standard: "false", doc: "Leaves this remote out."),
      Option(
        "credentials", "creds", kind: .string { $0.credentials = $1 },
        doc: "A credentials file for the hub: the user's JWT and seed. It is read for each connection."),
      Option(
        "nkey", "seed",
        kind: .custom(type: "string") { decoder, remote, entry in
          guard let seed = decoder.string(entry.value, field: entry.key) else { return }
          guard seed.withView({ Seed($0)?.publicKey.kind }) == .user else {
            return decoder.error(at: entry.value.location, "Remote leafnode nkey is not a valid seed")
          }
          remote.seed = seed
        }, doc: "A user's seed (`SU…`) for the hub, instead of a credentials file."),
    ]
  }

  static var refused: RefusedOptions {
    RefusedOptions(
      unsupported: """
        jetstream_cluster_migrate js_cluster_migrate handshake_first
        """)
  }
}

extension OptionDecoder {
  /// An address that others are told; without a port it has port 0.
  mutating func advertised(_ entry: ConfigurationEntry) -> HostPort? {
    guard let text = string(entry.value, field: entry.key) else { return nil }
    guard let address = HostPort.parsed(text, portDefault: 0) else {
      error(at: entry.value.location, "could not parse address string \"\(text)\"")
      return nil
    }
    return address
  }

  /// The URLs of a leaf link.
  mutating func urls(_ entry: ConfigurationEntry) -> [ServerURL] {
    var all: [ServerURL] = []
    for (text, location) in strings(entry.value, field: entry.key) ?? [] {
      do throws(ServerURL.Failure) {
        all.append(try text.withView { view throws(ServerURL.Failure) in try ServerURL(parsing: view.trimmed) })
      } catch {
        self.error(at: location, "error parsing leafnode url [\"\(ServerURL.redacted(text))\"]: \(error.text)")
      }
    }
    return all
  }

  /// One remote's hubs are all reached over WebSocket or none, as in nats-server.
  mutating func checkMix(_ urls: [ServerURL], at location: Location) {
    guard let first = urls.first else { return }
    if urls.contains(where: { $0.isWebSocket != first.isWebSocket }) {
      error(at: location, "remote leaf node configuration cannot have a mix of websocket and non-websocket urls")
    }
  }

  mutating func subjects(_ value: ConfigurationValue, field: ByteString) -> [ByteString]? {
    guard let texts = strings(value, field: field) else { return nil }
    for (text, location) in texts where !text.withView({ SubjectSyntax.isValid($0) }) {
      error(at: location, "invalid subject \"\(text)\"")
    }
    return texts.map { $0.text }
  }
}
