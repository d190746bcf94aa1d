// The option tables of a whole configuration and of its `jetstream` block. The other blocks: Leafnodes+Table, Uplink+Table,
// WebSocket+Table; the fields of `streams` are JetStream's.
import Bytes

extension Options {
  /// Why a config of a clustered nats-server does not fit: DESIGN, "what it must be".
  static let noCluster: StaticString =
    "petiole has no routes or gateways, by design: it joins a backbone of nats-servers as a leaf (leafnodes, uplink)"

  static var table: [Option<Options>] {
    listening + observing + limits + accessing + blocks
  }

  private static var listening: [Option<Options>] {
    [
      Option(
        "listen",
        kind: .custom(type: "port or host:port") { decoder, options, entry in
          guard let address = decoder.address(entry) else { return }
          if !address.host.isEmpty { options.host = address.host }
          options.port = address.port
        }, standard: "0.0.0.0:4222", doc: "Where clients connect. Port -1 takes a free one."),
      Option(
        "host", "net", kind: .string { $0.host = $1 }, standard: "0.0.0.0",
        doc: "The address that clients connect to. `0.0.0.0` and `::` are all, of IPv4 and IPv6."),
      Option(
        "port", kind: .integer(-1...65535) { $0.port = Int($1) }, standard: "4222",
        doc: "The port that clients connect to; -1 takes a free one."),
      Option(
        "client_advertise",
        kind: .custom(type: "host or host:port") { decoder, options, entry in options.clientAdvertise = decoder.advertised(entry) },
        doc: "The address that clients are told to connect to."),
      Option(
        "tls", kind: .custom(type: "map") { decoder, options, entry in options.tls = TLSOptions.decode(&decoder, entry, isListener: true) },
        doc: "Serves clients with TLS, and requires it."),
      Option(
        "allow_non_tls", kind: .boolean { $0.allowsNonTLS = $1 }, standard: "false",
        doc: "With `tls`: also serves clients without it, on the same port."),
      Option(
        "server_name",
        kind: .custom(type: "string") { decoder, options, entry in
          guard let name = decoder.string(entry.value, field: entry.key) else { return }
          if name.bytes.contains(where: { ASCII.isBlank($0) }) {
            return decoder.error(at: entry.value.location, "server name cannot contain spaces")
          }
          options.serverName = name.isEmpty ? nil : name
        }, standard: "the server's id", doc: "The name shown to clients and to the hub. Give each gateway its own."),
    ]
  }

  private static var observing: [Option<Options>] {
    [
      Option("debug", kind: .boolean { $0.debug = $1 }, standard: "false", doc: "Logs what connections do."),
      Option("trace", kind: .boolean { $0.trace = $1 }, standard: "false", doc: "Logs every protocol line."),
      Option("logtime", kind: .boolean { $0.logTime = $1 }, standard: "true", doc: "Begins log lines with the date and time."),
      Option("pid_file", "pidfile", kind: .string { $0.pidFile = $1 }, doc: "A file for the process id."),
      Option(
        "ports_file_dir", kind: .string { $0.portsFileDirectory = $1 },
        doc: "A directory for a file `<executable>_<pid>.ports` with the addresses that are listened on, as JSON."),
      Option(
        "http",
        kind: .custom(type: "port or host:port") { decoder, options, entry in
          if let address = decoder.address(entry) { decoder.monitoring(&options, address, isSecure: false, entry) }
        }, doc: "Where the monitoring endpoints (`/varz`, `/healthz`, …) are served."),
      Option(
        "http_port", "monitor_port",
        kind: .custom(type: "integer") { decoder, options, entry in
          if let address = decoder.address(entry) {
            decoder.monitoring(&options, HostPort(host: options.http?.host ?? "", port: address.port), isSecure: false, entry)
          }
        }, doc: "The monitoring port, on the host of the clients; -1 takes a free one."),
      Option(
        "https",
        kind: .custom(type: "port or host:port") { decoder, options, entry in
          if let address = decoder.address(entry) { decoder.monitoring(&options, address, isSecure: true, entry) }
        }, doc: "In place of `http`: the same with the certificate of `tls`."),
      Option(
        "https_port",
        kind: .custom(type: "integer") { decoder, options, entry in
          if let address = decoder.address(entry) {
            decoder.monitoring(&options, HostPort(host: options.http?.host ?? "", port: address.port), isSecure: true, entry)
          }
        }, doc: "The port of `https`, on the host of the clients."),
    ]
  }

  private static var limits: [Option<Options>] {
    let int32 = Int64(Int32.max)
    let hour_ns: Int64 = 3_600_000_000_000
    return [
      Option(
        "max_connections", "max_conn",
        kind: .integer(-1...int32) { $0.connectionsMax = $1 == 0 ? -1 : Int($1) }, standard: "65536",
        doc: "Clients at a time; 0 and -1 reject every client."),
      Option(
        "max_subscriptions", "max_subs", kind: .integer(-1...int32) { $0.subscriptionsMax = max(0, Int($1)) }, standard: "0",
        doc: "Subscriptions of one connection; 0 is unlimited."),
      Option(
        "max_control_line", kind: .size(16...int32) { $0.controlLine_bytes = Int($1) }, standard: "4KB",
        doc: "The longest protocol line, without the payload."),
      Option(
        "max_payload", kind: .size(1...int32) { $0.payload_bytes = Int($1) }, standard: "1MB",
        doc: "The largest message, header and body. Not above `max_pending`; above 8 MB is discouraged."),
      Option(
        "max_pending", kind: .size(1...(1 << 40)) { $0.pending_bytes = Int(clamping: $1) }, standard: "64MB",
        doc: "Bytes that may wait for one connection before it is closed as a slow consumer."),
      Option(
        "ping_interval", kind: .duration(1_000_000...(24 * hour_ns)) { $0.pingInterval_ns = $1 }, standard: "\"2m\"",
        doc: "How often idle connections are pinged."),
      Option(
        "ping_max", kind: .integer(0...1000) { $0.pingsOutMax = Int($1) }, standard: "2",
        doc: "Unanswered pings after which a connection is stale."),
      Option(
        "write_deadline", kind: .duration(1_000_000...hour_ns) { $0.writeDeadline_ns = $1 }, standard: "10s",
        doc: "How long a connection may take no bytes before it is closed."),
      Option("no_header_support", kind: .boolean { $0.noHeaderSupport = $1 }, standard: "false", doc: "Refuses message headers."),
      Option(
        "lame_duck_duration",
        kind: .custom(type: "duration") { decoder, options, entry in
          let field = entry.key
          guard let length_ns = decoder.duration(entry.value, field: field) else { return }
          guard length_ns >= 30_000_000_000 else {
            return decoder.error(
              at: entry.value.location, "invalid \(field) of \(GoDuration.format(length_ns)), minimum is 30 seconds")
          }
          options.lameDuckDuration_ns = length_ns
        }, standard: "\"2m\"", doc: "How long clients are given to leave in lame duck mode; at least 30s."),
      Option(
        "lame_duck_grace_period", kind: .duration(0...(24 * hour_ns)) { $0.lameDuckGracePeriod_ns = $1 }, standard: "10s",
        doc: "The wait before the first client is closed in lame duck mode; shorter than `lame_duck_duration`."),
    ]
  }

  private static var accessing: [Option<Options>] {
    [
      Option(
        "authorization",
        kind: .custom(type: "map") { decoder, options, entry in
          guard let map = decoder.map(entry.value, field: entry.key) else { return }
          options.authorization.isGiven = true
          decoder.decode(map, by: AuthorizationOptions.table, refused: AuthorizationOptions.refused, into: &options.authorization)
        }, doc: "Who may connect, to the global account. Without users, here or in `accounts`, everybody may."),
      Option(
        "accounts",
        kind: .custom(type: "map, or array of names") { decoder, options, entry in options.accounts = decoder.accounts(entry) },
        doc: "Subject spaces of their own, each with its users and its JetStream."),
      Option(
        "system_account", "system", kind: .string { $0.systemAccount = $1 }, standard: "$SYS",
        doc: "The account in which the server answers `$SYS.REQ…`: one of `accounts`, or in operator mode an account's public key."),
      Option(
        "no_auth_user", kind: .string { $0.noAuthUser = $1 }, doc: "The user as whom clients connect that bring no credentials."),
      Option(
        "operator", "operators", "roots", "root", "root_operators", "root_operator",
        kind: .custom(type: "string or array of strings") { decoder, options, entry in decoder.operators(entry, &options.operatorMode) },
        doc: "The JWT of a trusted operator, or its file: clients then connect with JWTs that its accounts have signed."),
      Option(
        "trusted_keys", "trusted",
        kind: .custom(type: "string or array of strings") { decoder, options, entry in decoder.trustedKeys(entry, &options.operatorMode) },
        doc: "Operators' public keys instead of their JWTs."),
      Option(
        "resolver", "account_resolver", "accounts_resolver",
        kind: .custom(type: "`MEMORY`") { decoder, options, entry in decoder.resolver(entry, &options.operatorMode) },
        doc: "Where accounts' JWTs come from: only `MEMORY`, which is `resolver_preload`."),
      Option(
        "resolver_preload",
        kind: .custom(type: "map") { decoder, options, entry in decoder.preload(entry, &options.operatorMode) },
        doc: "Accounts' JWTs by their public keys."),
    ]
  }

  private static var blocks: [Option<Options>] {
    [
      Option(
        "jetstream",
        kind: .custom(type: "true, false or a map") { decoder, options, entry in
          JetStreamOptions.decode(&decoder, &options.jetStream, entry)
        }, standard: "false", doc: "JetStream; a map enables it."),
      Option(
        "feature_flags",
        kind: .custom(type: "map of true or false") { decoder, options, entry in
          guard let flags = decoder.map(entry.value, field: entry.key) else { return }
          for flag in flags.entries {
            guard case .boolean(let isOn) = flag.value.content else {
              decoder.wrongType(flag.value, "bool", field: flag.key)
              continue
            }
            if flag.key == "js_ack_fc_v2" {
              options.jetStream.usesLongAckSubjects = isOn
            } else {
              decoder.warning(at: flag.keyLocation, "feature flag \(flag.key) has no effect here")
            }
          }
        }, standard: "{ js_ack_fc_v2: false }",
        doc: "`js_ack_fc_v2` puts domain and account into the subjects of acknowledgements and flow control. Other flags have no effect."),
      Option(
        "store_dir", "storedir",
        kind: .custom(type: "string") { decoder, options, entry in
          decoder.storeDirectory(&options.jetStream, entry)
        }, doc: "The same as `store_dir` in `jetstream`."),
      Option(
        "websocket", "ws",
        kind: .custom(type: "map") { decoder, options, entry in
          guard let map = decoder.map(entry.value, field: entry.key) else { return }
          decoder.decode(map, by: WebSocketOptions.table, refused: WebSocketOptions.refused, into: &options.webSocket)
        }, doc: "Where clients, and leaf nodes if `leafnodes` accepts any, connect over WebSocket."),
      Option(
        "leafnodes", "leaf",
        kind: .custom(type: "map") { decoder, options, entry in
          guard let map = decoder.map(entry.value, field: entry.key) else { return }
          decoder.decode(map, by: LeafnodeOptions.table, refused: LeafnodeOptions.refused, into: &options.leafnodes)
        }, doc: "Leaf links to servers of your choice."),
      Option(
        "streams",
        kind: .custom(type: "array of maps") { decoder, options, entry in
          options.streams = (decoder.maps(entry.value, field: entry.key) ?? []).map { StreamDeclaration($0.map, at: $0.location) }
        }, doc: "Streams that are created at start and updated at a reload, never deleted."),
      Option(
        "uplink",
        kind: .custom(type: "map") { decoder, options, entry in
          guard let map = decoder.map(entry.value, field: entry.key) else { return }
          var uplink = UplinkOptions()
          uplink.location = entry.value.location
          decoder.decode(map, by: UplinkOptions.table, into: &uplink)
          options.uplink = uplink
        }, doc: "The backbone clusters, of which the nearest is used."),
      Option(
        "forward",
        kind: .custom(type: "array of maps") { decoder, options, entry in
          options.forwards = []
          for (map, location) in decoder.maps(entry.value, field: entry.key) ?? [] {
            var forward = ForwardDeclaration()
            forward.location = location
            decoder.decode(map, by: ForwardDeclaration.table, into: &forward)
            options.forwards.append(forward)
          }
        }, doc: "Streams that the agent publishes to the hub's JetStream, through outages and restarts."),
    ]
  }

  static var refused: RefusedOptions {
    RefusedOptions(
      unsupported: """
        trace_verbose trace_headers logtime_utc log_file logfile logfile_size_limit log_size_limit logfile_max_num \
        log_max_num syslog remote_syslog max_traced_msg_len http_base_path prof_port prof_block_rate \
        max_closed_clients max_sub_tokens max_subscription_tokens write_timeout disable_sublist_cache no_sublist_cache \
        no_fast_producer_stall connect_error_reports reconnect_error_reports server_tags server_metadata \
        no_system_account no_system no_sys_acc default_sentinel mappings maps default_js_domain proxies proxy_protocol \
        resolver_tls resolver_pinned_accounts ocsp ocsp_cache mqtt
        """,
      absent: "cluster gateway routes", reason: noCluster)
  }
}

extension JetStreamOptions {
  static var table: [Option<JetStreamOptions>] {
    let mebibyte: Int64 = 1 << 20
    return [
      Option("enabled", kind: .boolean { $0.isEnabled = $1 }, standard: "true", doc: "Whether JetStream is on."),
      Option(
        "store_dir", "store", "storedir",
        kind: .custom(type: "string") { decoder, options, entry in decoder.storeDirectory(&options, entry) },
        standard: "petiole/jetstream in $TMPDIR", doc: "Where streams are kept. The default does not outlive a reboot."),
      Option(
        "max_memory_store", "max_mem_store", "max_mem", kind: .size(-1...Int64.max) { $0.memoryMax_bytes = $1 > 0 ? $1 : nil },
        standard: "from the machine", doc: "What memory streams may hold."),
      Option(
        "max_file_store", "max_file", kind: .size(-1...Int64.max) { $0.fileMax_bytes = $1 > 0 ? $1 : nil }, standard: "from the machine",
        doc: "What file streams may hold on disk."),
      Option(
        "domain",
        kind: .custom(type: "string") { decoder, options, entry in
          guard let name = decoder.string(entry.value, field: entry.key) else { return }
          guard name.isEmpty || name.withView({ SubjectSyntax.isName($0) }) else {
            return decoder.error(at: entry.value.location, "invalid domain name \"\(name)\": it must be one subject token")
          }
          options.domain = name.isEmpty ? nil : name
        }, doc: "The JetStream domain: the hub reaches these streams under `$JS.<domain>.API`. Give each gateway its own."),
      Option("strict", kind: .boolean { $0.isStrict = $1 }, standard: "true", doc: "Refuses API requests with unknown fields."),
      Option(
        "sync_interval", "sync",
        kind: .custom(type: "`always` or duration") { decoder, options, entry in
          if case .string(let word) = entry.value.content, word.withView({ $0.equalsIgnoringCase("always") }) {
            options.sync = .always
          } else if let length_ns = decoder.duration(entry.value, field: entry.key) {
            guard length_ns > 0 else { return decoder.error(at: entry.value.location, "\(entry.key) must be longer than 0") }
            options.sync = .interval_ns(length_ns)
          }
        }, standard: "always",
        doc:
          "`always`: acknowledged means on disk. With an interval messages are acknowledged when they were taken, written within some milliseconds and synced when the interval is over: a killed process loses next to nothing, a power cut that interval."
      ),
      Option(
        "segment_size", kind: .size(mebibyte...(8 * mebibyte)) { $0.segment_bytes = Int($1) }, standard: "4MB",
        doc: "The size of the store's files. Petiole's own."),
    ]
  }

  static var refused: RefusedOptions {
    RefusedOptions(
      unsupported: """
        key ek encryption_key prev_key cipher unique_tag extension_hint max_outstanding_catchup max_buffered_msgs \
        max_buffered_size request_queue_limit info_queue_limit meta_compact meta_compact_size meta_compact_sync \
        max_concurrent_io limits tpm
        """)
  }

  static func decode(_ decoder: inout OptionDecoder, _ options: inout JetStreamOptions, _ entry: ConfigurationEntry) {
    switch entry.value.content {
    case .boolean(let flag): options.isEnabled = flag
    case .string(let word):
      if word.withView({ $0.equalsIgnoringCase("enabled") || $0.equalsIgnoringCase("enable") }) {
        options.isEnabled = true
      } else if word.withView({ $0.equalsIgnoringCase("disabled") || $0.equalsIgnoringCase("disable") }) {
        options.isEnabled = false
      } else {
        decoder.error(at: entry.value.location, "Expected 'enabled' or 'disabled' for string value, got '\(word)'")
      }
    case .map(let map):
      options.isEnabled = true
      decoder.decode(map, by: table, refused: refused, into: &options)
    default:
      decoder.error(
        at: entry.value.location, "Expected map, bool or string to define JetStream, got \(OptionDecoder.typeName(entry.value))")
    }
  }
}

extension OptionDecoder {
  /// A port, or `host:port`.
  mutating func address(_ entry: ConfigurationEntry) -> HostPort? {
    switch entry.value.content {
    case .integer(let number):
      guard (-1...65535).contains(number) else {
        error(at: entry.value.location, "\(entry.key) must be between -1 and 65535, not \(number)")
        return nil
      }
      return HostPort(host: "", port: Int(number))
    case .string(let text):
      do throws(HostPort.Failure) {
        return try text.withView { view throws(HostPort.Failure) in try HostPort.parse(view, ports: -1...65535) }
      } catch {
        switch error {
        case .address: self.error(at: entry.value.location, "could not parse address string \"\(text)\"")
        case .port(let port): self.error(at: entry.value.location, "could not parse port \"\(port)\"")
        }
        return nil
      }
    default:
      wrongType(entry.value, "string", field: entry.key)
      return nil
    }
  }

  /// The monitoring port has one form, HTTP or HTTPS. Port 0 is none.
  mutating func monitoring(_ options: inout Options, _ address: HostPort, isSecure: Bool, _ entry: ConfigurationEntry) {
    if address.port != 0, options.http != nil, options.isMonitoringSecure != isSecure {
      return error(at: entry.value.location, "can't specify both HTTP and HTTPs ports: monitoring listens on one")
    }
    options.http = address.port == 0 ? nil : address
    options.isMonitoringSecure = isSecure
  }

  mutating func map(_ value: ConfigurationValue, field: ByteString) -> ConfigurationMap? {
    guard case .map(let map) = value.content else {
      error(at: value.location, "Expected \(field) to be a map, got \(OptionDecoder.typeName(value))")
      return nil
    }
    return map
  }

  /// `store_dir` may stand at the top or in the `jetstream` block, but not in both.
  mutating func storeDirectory(_ options: inout JetStreamOptions, _ entry: ConfigurationEntry) {
    guard let path = string(entry.value, field: entry.key) else { return }
    if options.storeDirectory != nil { return error(at: entry.value.location, "Duplicate 'store_dir' configuration") }
    if path.isEmpty { return error(at: entry.value.location, "\(entry.key) must not be empty") }
    options.storeDirectory = path
  }
}

extension HostPort {
  static func parsed(_ text: ByteString, portDefault: Int) -> HostPort? {
    do throws(Failure) {
      let address = try text.withView { view throws(Failure) in try parse(view, ports: 1...65535, portDefault: portDefault) }
      return address.host.isEmpty ? nil : address
    } catch {
      return nil
    }
  }
}
