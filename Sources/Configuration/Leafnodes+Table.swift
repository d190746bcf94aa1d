// The option tables of `leafnodes`, its remotes, and what leaf links have in common with the uplink's.
import Bytes

/// What leaf links can do in this version. An option that asks for more is decoded and refused, never ignored.
enum LeafAbilities {
  static let hasTLS = false
  static let hasWebSocket = false
  static let hasCredentials = false
  static let hasAccounts = false
}

extension LeafnodeOptions {
  static var table: [Option<LeafnodeOptions>] {
    let minute_ns: Int64 = 60_000_000_000
    return [
      Option(
        "remotes",
        kind: .custom(type: "array of maps") { decoder, options, entry in
          options.remotes = []
          for (map, location) in decoder.maps(entry.value, field: entry.key.string) ?? [] {
            var remote = LeafRemote()
            remote.location = location
            decoder.decode(map, by: LeafRemote.table, into: &remote)
            if remote.urls.isEmpty, !decoder.hasErrors(from: location) {
              decoder.error(at: location, "a leafnode remote needs a url")
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
      .compression { $0.compression = $1 },
    ]
      + Option.unsupported(
        "listen", "host", "net", "port", "authorization", "tls", "advertise", "no_advertise", "min_version", "isolate",
        "isolate_leafnode_interest",
        "write_deadline", "write_timeout")
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
        }, doc: "Where the hub accepts leaf connections: `nats://host:port` (port 7422 when left out). One of several is used."),
      Option(
        "account", "local",
        kind: .custom(type: "string") { decoder, remote, entry in
          if let name = decoder.account(entry) { remote.account = name }
        }, standard: "$G", doc: "The local account of the link. This version has only `$G`."),
      .compression { $0.compression = $1 },
      Option("no_randomize", kind: .boolean { $0.noRandomize = $1 }, standard: "false", doc: "Tries the URLs in the order written."),
      Option(
        "ignore_discovered_servers", kind: .boolean { $0.ignoreDiscoveredServers = $1 }, standard: "false",
        doc: "Uses only these URLs, not those that the hub tells of."),
      .subjects("deny_imports", doc: "Subjects that are not taken from the hub.") { $0.denyImports = $1 },
      .subjects("deny_exports", doc: "Subjects that are not given to the hub.") { $0.denyExports = $1 },
      Option(
        "first_info_timeout", kind: .duration(1_000_000...minute_ns) { $0.firstInfoTimeout_ns = $1 }, standard: "1s",
        doc: "How long the hub may take for its first line."),
      Option("disabled", kind: .boolean { $0.isDisabled = $1 }, standard: "false", doc: "Leaves this remote out."),
      .credentials { $0.credentials = $1 },
    ]
      + Option.unsupported(
        "nkey", "seed", "tls", "hub", "ws_compression", "websocket_compression", "ws_no_masking", "websocket_no_masking",
        "jetstream_cluster_migrate", "js_cluster_migrate", "proxy", "request_isolation", "handshake_first")
  }
}

extension Option {
  /// `compression`, as of a link that is dialled.
  static func compression(_ set: @escaping (inout Target, LeafCompression) -> Void) -> Option<Target> {
    Option(
      "compression",
      kind: .custom(type: "`off`, `accept`, `s2_auto`, `s2_fast`, `s2_better`, `s2_best`, true or false") { decoder, target, entry in
        switch entry.value.content {
        case .boolean(let flag): set(&target, flag ? .s2Auto : .off)
        case .string(let word):
          let known: LeafCompression? = word.withView { LeafCompression(named: $0) }
          guard let known else {
            return decoder.error(at: entry.value.location, "unsupported compression mode \"\(word.string)\"")
          }
          set(&target, known)
        default: decoder.wrongType(entry.value, "string", field: entry.key.string)
        }
      }, standard: "s2_auto", doc: "How the link is compressed; `s2_auto` chooses by its latency.")
  }

  /// A list of subjects.
  static func subjects(
    _ name: StaticString, standard: StaticString = "", doc: StaticString, _ set: @escaping (inout Target, [ByteString]) -> Void
  ) -> Option<Target> {
    Option(
      name,
      kind: .custom(type: "string or array of strings") { decoder, target, entry in
        guard let texts = decoder.strings(entry.value, field: entry.key.string) else { return }
        for (text, location) in texts where !text.withView({ SubjectSyntax.isValid($0) }) {
          decoder.error(at: location, "invalid subject \"\(text.string)\"")
        }
        set(&target, texts.map { $0.text })
      }, standard: standard, doc: doc)
  }

  /// `credentials`: kept, and refused as long as links cannot use them.
  static func credentials(_ set: @escaping (inout Target, ByteString?) -> Void) -> Option<Target> {
    Option(
      "credentials", "creds",
      kind: .custom(type: "string") { decoder, target, entry in
        guard let path = decoder.string(entry.value, field: entry.key.string) else { return }
        set(&target, path)
        if !LeafAbilities.hasCredentials {
          decoder.error(at: entry.keyLocation, "not supported by this version of petiole: \(entry.key.string)")
        }
      }, doc: "A credentials file for the hub. Not in this version.")
  }
}

extension LeafCompression {
  init?(named name: ByteView) {
    if name.equalsIgnoringCase("off") || name.equalsIgnoringCase("disabled") || name.equalsIgnoringCase("disable") {
      self = .off
    } else if name.equalsIgnoringCase("accept") {
      self = .accept
    } else if name.equalsIgnoringCase("s2_auto") || name.equalsIgnoringCase("auto") || name.equalsIgnoringCase("on")
      || name.equalsIgnoringCase("enabled") || name.equalsIgnoringCase("enable")
    {
      self = .s2Auto
    } else if name.equalsIgnoringCase("s2_fast") || name.equalsIgnoringCase("fast") {
      self = .s2Fast
    } else if name.equalsIgnoringCase("s2_better") || name.equalsIgnoringCase("better") {
      self = .s2Better
    } else if name.equalsIgnoringCase("s2_best") || name.equalsIgnoringCase("best") {
      self = .s2Best
    } else {
      return nil
    }
  }
}

extension OptionDecoder {
  /// The URLs of a leaf link. Those that need what links cannot do yet are kept and refused.
  mutating func urls(_ entry: ConfigurationEntry) -> [ServerURL] {
    var all: [ServerURL] = []
    for (text, location) in strings(entry.value, field: entry.key.string) ?? [] {
      do throws(ServerURL.Failure) {
        let url = try text.withView { view throws(ServerURL.Failure) in try ServerURL(parsing: view.trimmed) }
        all.append(url)
        if url.scheme == .tls, !LeafAbilities.hasTLS {
          error(at: location, "not supported by this version of petiole: tls:// in \"\(url.text)\"")
        }
        if url.scheme == .webSocket || url.scheme == .webSocketSecure, !LeafAbilities.hasWebSocket {
          error(at: location, "not supported by this version of petiole: a websocket in \"\(url.text)\"")
        }
      } catch {
        self.error(at: location, "error parsing leafnode url [\"\(ServerURL.redacted(text))\"]: \(error.text)")
      }
    }
    return all
  }

  mutating func account(_ entry: ConfigurationEntry) -> ByteString? {
    guard let name = string(entry.value, field: entry.key.string) else { return nil }
    if !LeafAbilities.hasAccounts, !name.equals("$G") {
      error(at: entry.value.location, "not supported by this version of petiole: another account than \"$G\"")
    }
    return name
  }
}
