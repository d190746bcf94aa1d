// Every option: how it is read, what is wrong with it, and what must hold between options.
import Bytes
import Testing

@testable import Configuration

/// The options of `text` and the messages of what is wrong with it; warnings begin with "warning: ".
func load(_ text: String, _ words: [ByteString] = []) -> (options: Options, messages: [String]) {
  guard var arguments = try? Arguments(parsing: words) else { return (Options(), ["bad arguments"]) }
  arguments.configurationPath = "t.conf"
  let loaded = LoadedOptions.load(
    arguments, read: { path in path == "t.conf" ? .success([UInt8](text.utf8)) : .failure(.notFound) }, environment: { _ in nil })
  #expect(loaded.isUsable == !loaded.problems.contains { $0.severity == .error })
  return (loaded.options, loaded.problems.map { ($0.severity == .warning ? "warning: " : "") + $0.message })
}

/// The options of a text that is right.
func options(_ text: String, _ words: [ByteString] = []) -> Options {
  let (options, messages) = load(text, words)
  #expect(messages == [])
  return options
}

@Suite struct OptionsTests {
  @Test("without a file everything has nats-server's defaults")
  func defaults() throws {
    let loaded = LoadedOptions.load(Arguments())
    #expect(loaded.problems == [])
    let options = loaded.options
    #expect(options == Options())
    #expect(options.host == "0.0.0.0" && options.port == 4222 && options.http == nil && options.monitoring == nil)
    #expect(options.connectionsMax == 65536 && options.subscriptionsMax == 0 && options.controlLine_bytes == 4096)
    #expect(options.payload_bytes == 1_048_576 && options.pending_bytes == 67_108_864)
    #expect(options.pingInterval_ns == 120_000_000_000 && options.pingsOutMax == 2 && options.writeDeadline_ns == 10_000_000_000)
    #expect(options.lameDuckDuration_ns == 120_000_000_000 && options.lameDuckGracePeriod_ns == 10_000_000_000)
    #expect(!options.jetStream.isEnabled && options.jetStream.isStrict && options.jetStream.sync == .always && options.uplink == nil)
    #expect(options.leafnodes.reconnect_ns == 1_000_000_000 && options.leafnodes.compression == LeafCompression(.s2Auto))
  }

  @Test("the options of the server itself")
  func server() {
    let read = options(
      """
      listen: "[::1]:4333"
      server_name: gw-0042, client_advertise: "gw.example:4222"
      debug: yes; trace: on; logtime: off
      pid_file: '/run/petiole.pid'
      ports_file_dir: /tmp
      http: 127.0.0.1:8222
      MAX_CONN: 100, max_subs = 50
      max_control_line: 8KB
      max_payload: 2MB, max_pending: 32mb
      ping_interval: "1m30s", ping_max: 5, write_deadline: 2s
      no_header_support: true
      lame_duck_duration: "1m"
      lame_duck_grace_period: 5s
      """)
    #expect(read.host == "::1" && read.port == 4333 && read.serverName == "gw-0042")
    #expect(read.clientAdvertise == HostPort(host: "gw.example", port: 4222))
    #expect(read.debug && read.trace && !read.logTime)
    #expect(read.pidFile == "/run/petiole.pid" && read.portsFileDirectory == "/tmp")
    #expect(read.monitoring == HostPort(host: "127.0.0.1", port: 8222))
    #expect(read.connectionsMax == 100 && read.subscriptionsMax == 50 && read.controlLine_bytes == 8192)
    #expect(read.payload_bytes == 2 << 20 && read.pending_bytes == 32 << 20)
    #expect(read.pingInterval_ns == 90_000_000_000 && read.pingsOutMax == 5 && read.writeDeadline_ns == 2_000_000_000)
    #expect(read.noHeaderSupport && read.lameDuckDuration_ns == 60_000_000_000 && read.lameDuckGracePeriod_ns == 5_000_000_000)
  }

  @Test("addresses are a port, a host and a port, or :port")
  func addresses() {
    #expect(options("listen: 4333").port == 4333)
    #expect(options("listen: \":4333\"").host == "0.0.0.0")
    #expect(options("listen: 127.0.0.1:-1").port == -1)
    #expect(options("listen: localhost:4222").host == "localhost")
    #expect(options("host: 10.0.0.1\nhttp_port: 8222").monitoring == HostPort(host: "10.0.0.1", port: 8222))
    #expect(options("http: 8222").monitoring == HostPort(host: "0.0.0.0", port: 8222))
    #expect(options("net: localhost; monitor_port: 1").monitoring == HostPort(host: "localhost", port: 1))
    #expect(options("http_port: 0").http == nil)
    #expect(options("client_advertise: gw").clientAdvertise == HostPort(host: "gw", port: 0))
    #expect(HostPort(host: "::1", port: 1).text == "[::1]:1")
  }

  @Test("the last of an option's spellings wins, in any case")
  func lastWins() {
    #expect(options("port: 1\nPORT: 2").port == 2)
    #expect(options("http: 1\nhttp_port: 2\nmonitor_port: 3").http?.port == 3)
    #expect(load("Port: 1\nPORT: x").messages == ["t.conf:2:7: interface conversion: interface {} is string, not int64 (field \"PORT\")"])
  }

  @Test("max_connections of 0 rejects everybody, as a negative one does")
  func maxConnections() {
    #expect(options("max_connections: 0").connectionsMax == -1)
    #expect(options("max_connections: -1").connectionsMax == -1)
  }

  @Test(
    "wrong values are errors with their place",
    arguments: [
      ("port: \"4222\"", "7: interface conversion: interface {} is string, not int64 (field \"port\")"),
      ("debug: \"true\"", "8: interface conversion: interface {} is string, not bool (field \"debug\")"),
      ("debug: 1", "8: interface conversion: interface {} is int64, not bool (field \"debug\")"),
      ("port: 1.5", "7: interface conversion: interface {} is float64, not int64 (field \"port\")"),
      ("port: {}", "7: interface conversion: interface {} is map[string]interface {}, not int64 (field \"port\")"),
      ("port: []", "7: interface conversion: interface {} is []interface {}, not int64 (field \"port\")"),
      ("port: 2006-01-02T15:04:05Z", "7: interface conversion: interface {} is time.Time, not int64 (field \"port\")"),
      ("host: 1", "7: interface conversion: interface {} is int64, not string (field \"host\")"),
      ("port: 70000", "7: port must be between -1 and 65535, not 70000"),
      ("listen: 70000", "9: listen must be between -1 and 65535, not 70000"),
      ("listen: true", "9: interface conversion: interface {} is bool, not string (field \"listen\")"),
      ("listen: 127.0.0.1", "9: could not parse address string \"127.0.0.1\""), ("listen: \"a:b\"", "9: could not parse port \"b\""),
      ("listen: \"::1:4222\"", "9: could not parse address string \"::1:4222\""),
      ("http: \"a:70000\"", "7: could not parse port \"70000\""),
      ("client_advertise: \"a:x\"", "19: could not parse address string \"a:x\""),
      ("server_name: \"a b\"", "14: server name cannot contain spaces"),
      ("server_name: \"a\\x00\"", "14: server_name must not have a NUL byte"),
      ("max_control_line: 99999999999", "19: max_control_line value is too big"), ("max_payload: 3GB", "14: max_payload value is too big"),
      ("max_payload: 0", "14: max_payload must be between 1 and 2147483647, not 0"),
      ("max_payload: \"x\"", "14: max_payload must be a size like 64MB, not \"x\""),
      ("write_deadline: \"x\"", "17: error parsing write_deadline: time: invalid duration \"x\""),
      ("write_deadline: 1.5", "17: interface conversion: interface {} is float64, not string (field \"write_deadline\")"),
      ("ping_interval: -1s", "16: ping_interval must be between 1ms and 24h0m0s, not -1s"),
      ("ping_interval: 9223372036854775807", "16: error parsing ping_interval: 9223372036854775807 seconds is too long"),
      ("ping_interval: 2m", "16: error parsing ping_interval: without quotes this is the number 2000000, not a duration; write \"2m\""),
      ("ping_max: -1", "11: ping_max must be between 0 and 1000, not -1"),
      ("lame_duck_duration: 10s", "21: invalid lame_duck_duration of 10s, minimum is 30 seconds"),
      (
        "lame_duck_duration: 30s; lame_duck_grace_period: 30s",
        "50: lame_duck_grace_period (30s) must be shorter than lame_duck_duration (30s)"
      ),
      ("max_pending: 100000", "14: max_payload (1048576) cannot be higher than max_pending (100000)"),
      ("max_payload: 2MB; max_pending: 1MB", "14: max_payload (2097152) cannot be higher than max_pending (1048576)"),
      ("foo: 1", "1: unknown field \"foo\""), ("streams: {}", "10: Expected streams field to be an array, got map[string]interface {}"),
      ("streams: [1]", "11: Expected an entry of streams to be a map, got int64"),
      ("uplink: 1", "9: Expected uplink to be a map, got int64"),
      ("jetstream: 1", "12: Expected map, bool or string to define JetStream, got int64"),
      ("jetstream: foo", "12: Expected 'enabled' or 'disabled' for string value, got 'foo'"),
    ])
  func wrongValues(text: String, message: String) { #expect(load(text).messages == ["t.conf:1:\(message)"]) }

  @Test("integers are accepted as seconds, and big payloads as unwise, with a warning")
  func warnings() {
    let (read, messages) = load("ping_interval: 10")
    #expect(read.pingInterval_ns == 10_000_000_000)
    #expect(messages == ["warning: t.conf:1:16: invalid use of field \"ping_interval\": ping_interval should be converted to a duration"])
    #expect(load("max_payload: 10MB").messages.map { $0.hasPrefix("warning: t.conf:1:14: max_payload (10485760) is above 8 MB") } == [true])
    #expect(load("max_payload: 8MB").messages == [])
  }

  @Test("the one feature flag that means something here is read, the others are warned about")
  func featureFlags() {
    #expect(options("feature_flags { js_ack_fc_v2: true }").jetStream.usesLongAckSubjects)
    #expect(!options("feature_flags { js_ack_fc_v2: false }").jetStream.usesLongAckSubjects)
    #expect(
      load("feature_flags { js_raft_delete_range: true, js_ack_fc_v2: 1 }").messages == [
        "warning: t.conf:1:17: feature flag js_raft_delete_range has no effect here",
        "t.conf:1:59: interface conversion: interface {} is int64, not bool (field \"js_ack_fc_v2\")",
      ])
  }

  @Test("all errors are listed at once, in file order")
  func allErrors() {
    #expect(
      load("leafnodes {remotes: [{url: \"nats://a\",  foo: 1}], bar: 2}\nbaz: 1\nport: x").messages == [
        "t.conf:1:41: unknown field \"foo\"", "t.conf:1:51: unknown field \"bar\"", "t.conf:2:1: unknown field \"baz\"",
        "t.conf:3:7: interface conversion: interface {} is string, not int64 (field \"port\")",
      ])
  }

  @Test("a key that is only a variable is legal only if it is referenced")
  func variables() {
    #expect(options("P: 4333\nport: $P").port == 4333)
    #expect(load("P: 4333\nport: 1").messages == ["t.conf:1:1: unknown field \"P\""])
    #expect(options("jetstream { M: 1GB\n max_mem: $M }").jetStream.memoryMax_bytes == 1 << 30)
    #expect(load("X: a\nport: $X").messages == ["t.conf:2:7: interface conversion: interface {} is string, not int64 (field \"port\")"])
  }

  @Test("what this version lacks, and what petiole will never have, is refused by name")
  func refused() {
    #expect(
      load("authorization { timeout: 2, auth_callout: {} }\nocsp: true\nMQTT {port: 1883}\ncluster {port: 1}").messages == [
        "t.conf:1:29: not supported by this version of petiole: auth_callout", "t.conf:2:1: not supported by this version of petiole: ocsp",
        "t.conf:3:1: not supported by this version of petiole: MQTT",
        "t.conf:4:1: cluster: petiole has no routes or gateways, by design: it joins a backbone of nats-servers as a leaf (leafnodes, uplink)",
      ])
    #expect(load("gateway {}").messages[0].hasPrefix("t.conf:1:1: gateway: petiole has no routes or gateways"))
    #expect(load("jetstream { key: x }").messages == ["t.conf:1:13: not supported by this version of petiole: key"])
    #expect(load("leafnodes { write_timeout: retry }").messages == ["t.conf:1:13: not supported by this version of petiole: write_timeout"])
  }
}

@Suite struct JetStreamOptionsTests {
  @Test("jetstream is enabled by true, a word or a map")
  func enabling() {
    for text in ["jetstream: true", "jetstream: enabled", "jetstream: \"ENABLED\"", "jetstream {domain: a}", "jetstream {}"] {
      #expect(options(text).jetStream.isEnabled)
    }
    for text in ["jetstream: false", "jetstream: disabled", "jetstream {enabled: false}"] { #expect(!options(text).jetStream.isEnabled) }
  }

  @Test("the block's options")
  func block() {
    let read = options(
      "jetstream { store: /data, max_mem: 64MB, max_file: 1GB, domain: gw-1, strict: false, sync: always, segment_size: 1MB }"
    ).jetStream
    #expect(read.storeDirectory == "/data" && read.memoryMax_bytes == 64 << 20 && read.fileMax_bytes == 1 << 30)
    #expect(read.domain == "gw-1" && !read.isStrict && read.sync == .always && read.segment_bytes == 1 << 20)
    #expect(options("jetstream { max_file: -1, max_mem: 0 }").jetStream.fileMax_bytes == nil)
  }

  @Test("sizes in quotes have binary units, as in nats-server")
  func quotedSizes() {
    for (text, bytes) in [
      ("\"1G\"", 1 << 30), ("\"1GB\"", 1 << 30), ("\"512K\"", 512 << 10), ("\"77\"", 77), ("1g", 1_000_000_000), ("1gb", 1 << 30),
    ] {
      #expect(options("jetstream { max_file: \(text) }").jetStream.fileMax_bytes == Int64(bytes))
    }
    #expect(load("jetstream { max_file: \"1 GB\" }").messages == ["t.conf:1:23: max_file must be a size like 64MB, not \"1 GB\""])
  }

  @Test("the store directory is given once, and by default lies with temporary files")
  func storeDirectory() {
    #expect(options("store_dir: /a").jetStream.storeDirectory == "/a")
    #expect(load("store_dir: a\njetstream {store_dir: b}").messages == ["t.conf:2:23: Duplicate 'store_dir' configuration"])
    #expect(load("jetstream {store_dir: a}\nstoredir: b").messages == ["t.conf:2:11: Duplicate 'store_dir' configuration"])
    #expect(JetStreamOptions().storeDirectory(temporary: nil) == "/tmp/petiole/jetstream")
    #expect(JetStreamOptions().storeDirectory(temporary: "/var/tmp/") == "/var/tmp/petiole/jetstream")
    #expect(options("store_dir: /a").jetStream.storeDirectory(temporary: "/tmp") == "/a")
  }

  @Test(
    "wrong values",
    arguments: [
      ("domain: a.b", "20: invalid domain name \"a.b\": it must be one subject token"),
      ("sync_interval: foo", "27: error parsing sync_interval: time: invalid duration \"foo\""),
      ("sync_interval: 0s", "27: sync_interval must be longer than 0"),
      ("segment_size: 16MB", "26: segment_size must be between 1048576 and 8388608, not 16777216"),
      ("store_dir: \"\"", "23: store_dir must not be empty"), ("max_mem: 1.5g", "21: max_mem must be a size like 64MB, not \"1.5g\""),
    ])
  func wrongValues(text: String, message: String) { #expect(load("jetstream {\(text)}").messages.map { $0 } == ["t.conf:1:\(message)"]) }

  @Test("an interval for syncing is read")
  func syncInterval() {
    let (read, messages) = load("jetstream { sync_interval: \"2m\" }")
    #expect(read.jetStream.sync == .interval_ns(120_000_000_000))
    #expect(messages.isEmpty)
  }
}

@Suite struct LeafOptionsTests {
  @Test("where leaf links are accepted, and how")
  func listener() {
    #expect(options("leafnodes { remotes: [] }").leafnodes.port == 0)
    let read = options(
      "leafnodes { listen: \"127.0.0.1:7422\", advertise: hub.example, no_advertise: true, min_version: \"2.11.0\", isolate: true, write_deadline: 3s }"
    ).leafnodes
    #expect(read.host == "127.0.0.1" && read.port == 7422 && read.advertise == HostPort(host: "hub.example", port: 0))
    #expect(read.isUnadvertised && read.versionMin == "2.11.0" && read.isIsolated && read.writeDeadline_ns == 3_000_000_000)
    let other = options("leafnodes { port: -1, host: \"::1\", isolate_leafnode_interest: true, advertise: \"[::1]:99\" }").leafnodes
    #expect(other.port == -1 && other.host == "::1" && other.isIsolated && other.advertise == HostPort(host: "::1", port: 99))
    #expect(other.writeDeadline_ns == nil && !other.isUnadvertised && other.versionMin == nil)
  }

  @Test(
    "wrong listeners",
    arguments: [
      ("port: 70000", "19: port must be between -1 and 65535, not 70000"),
      ("min_version: \"2.7.9\"", "26: the minimum version should be at least 2.8.0"),
      ("min_version: \"x\"", "26: invalid leafnode's minimum version: invalid semver"),
      ("min_version: \"2.11\"", "26: invalid leafnode's minimum version: invalid semver"),
      ("advertise: \"a:b\"", "24: could not parse address string \"a:b\""),
      ("isolate: 1", "22: interface conversion: interface {} is int64, not bool (field \"isolate\")"),
    ])
  func wrongListeners(text: String, message: String) { #expect(load("leafnodes { \(text) }").messages == ["t.conf:1:\(message)"]) }

  @Test("remotes with everything that a leaf link understands")
  func remotes() {
    let read = options(
      """
      leafnodes {
        reconnect: 2s, dial_timeout: 3s, compression: s2_fast
        remotes: [
          { urls: ["nats://a.example:7000", b.example], no_randomize: true, ignore_discovered_servers: yes, compression: off }
          { url: "nats-leaf://u:p%40ss@[2001:db8::1]:7423", account: $G, deny_imports: "a.>", deny_exports: ["b.*", c], first_info_timeout: 5s
            hub: true, isolate: true, request_isolation: true }
          { url: "nats://never", disabled: true }
        ]
      }
      """.replacing("$G", with: "\"$G\"")
    ).leafnodes
    #expect(read.reconnect_ns == 2_000_000_000 && read.dialTimeout_ns == 3_000_000_000 && read.compression == LeafCompression(.s2Fast))
    #expect(read.remotes.count == 2)
    #expect(read.remotes[0].urls == [ServerURL(host: "a.example", port: 7000), ServerURL(host: "b.example", port: 7422)])
    #expect(read.remotes[0].noRandomize && read.remotes[0].ignoreDiscoveredServers && read.remotes[0].compression == LeafCompression(.off))
    #expect(read.remotes[1].urls == [ServerURL(scheme: .natsLeaf, user: "u", password: "p@ss", host: "2001:db8::1", port: 7423)])
    #expect(
      read.remotes[1].denyImports == ["a.>"] && read.remotes[1].denyExports == ["b.*", "c"]
        && read.remotes[1].compression == LeafCompression(.s2Auto))
    #expect(read.remotes[1].firstInfoTimeout_ns == 5_000_000_000)
    #expect(read.remotes[1].isHub && read.remotes[1].isIsolated && read.remotes[1].requestsIsolation)
    #expect(!read.remotes[0].isHub && !read.remotes[0].isIsolated && !read.remotes[0].requestsIsolation)
    #expect(read.remotes[1].location.line == 5)
  }

  @Test("compression in each of nats-server's spellings, for remotes, for the uplink and for the listener")
  func compression() {
    let ms: Int64 = 1_000_000
    let spellings: [(String, LeafCompression)] = [
      ("off", LeafCompression(.off)), ("false", LeafCompression(.off)), ("disabled", LeafCompression(.off)), ("no", LeafCompression(.off)),
      ("true", LeafCompression(.s2Auto)), ("on", LeafCompression(.s2Auto)), ("enabled", LeafCompression(.s2Auto)),
      ("\"on\"", LeafCompression(.s2Auto)), ("\"\"", LeafCompression(.s2Auto)), ("auto", LeafCompression(.s2Auto)),
      ("s2_auto", LeafCompression(.s2Auto)), ("S2_FAST", LeafCompression(.s2Fast)), ("fast", LeafCompression(.s2Fast)),
      ("better", LeafCompression(.s2Better)), ("s2_better", LeafCompression(.s2Better)), ("best", LeafCompression(.s2Best)),
      ("s2_best", LeafCompression(.s2Best)), ("ACCEPT", LeafCompression(.accept)), ("not_supported", LeafCompression(.notSupported)),
      ("\"not supported\"", LeafCompression(.notSupported)), ("{}", LeafCompression(.s2Auto)), ("{Mode: best}", LeafCompression(.s2Best)),
      ("{mode: on}", LeafCompression(.s2Auto)), ("{mode: \"off\"}", LeafCompression(.off)),
      (
        "{mode: s2_auto, rtt_thresholds: [\"10ms\", \"50ms\", \"100ms\"]}",
        LeafCompression(.s2Auto, rttThresholds_ns: [10 * ms, 50 * ms, 100 * ms])
      ),
      ("{thresholds: [\"0s\", \"0s\", \"1.5ms\"]}", LeafCompression(.s2Auto, rttThresholds_ns: [0, 0, ms * 3 / 2])),
      ("{rtts: [\"-5ms\", \"2ms\", \"0s\"]}", LeafCompression(.s2Auto, rttThresholds_ns: [0, 2 * ms])),
      ("{rtt: [\"10ms\", \"0s\", \"50ms\"]}", LeafCompression(.s2Auto, rttThresholds_ns: [10 * ms, 0, 50 * ms])),
      ("{rtts: []}", LeafCompression(.s2Auto)),
      ("{rtts: [\"1ms\", \"2ms\", \"3ms\", \"4ms\", \"0s\"]}", LeafCompression(.s2Auto, rttThresholds_ns: [ms, 2 * ms, 3 * ms, 4 * ms])),
    ]
    for (spelling, mode) in spellings {
      #expect(options("leafnodes {\ncompression: \(spelling)\n}").leafnodes.compression == mode, "\(spelling)")
      let remote = options("leafnodes {\nremotes: [{url: a\ncompression: \(spelling)\n}]\n}").leafnodes.remotes[0]
      #expect(remote.compression == mode, "\(spelling)")
      let uplink = options("uplink {\nclusters: [{name: a, url: a}]\ncompression: \(spelling)\n}").uplink
      #expect(uplink?.compression == mode, "\(spelling)")
    }
    // As in nats-server, a remote does not inherit what the listener is told.
    #expect(options("leafnodes {compression: off, remotes: [{url: a}]}").leafnodes.remotes[0].compression == LeafCompression(.s2Auto))
  }

  @Test(
    "wrong compression",
    arguments: [
      ("zstd", "25: unsupported compression mode \"zstd\""), ("enable", "25: unsupported compression mode \"enable\""),
      ("s2_uncompressed", "25: unsupported compression mode \"s2_uncompressed\""),
      ("1", "25: field \"compression\" should be a boolean or a structure, got int64"),
      ("[a]", "25: field \"compression\" should be a boolean or a structure, got []interface {}"),
      ("{bogus: 1}", "26: unknown field \"bogus\""), ("{mode: zstd}", "32: unsupported compression mode \"zstd\""),
      ("{mode: 1}", "32: interface conversion: interface {} is int64, not string (field \"mode\")"),
      ("{rtts: \"10ms\"}", "32: interface conversion: interface {} is string, not []interface {} (field \"rtts\")"),
      ("{rtts: [\"x\"]}", "33: error parsing rtts: time: invalid duration \"x\""),
      ("{rtts: [\"10ms\", \"5ms\"]}", "41: RTT threshold values should be in ascending order"),
      ("{rtts: [\"10ms\", \"0s\", \"5ms\"]}", "47: RTT threshold values should be in ascending order"),
      ("{rtts: [\"0s\"]}", "32: compression requires at least one RTT threshold"),
      (
        "{rtts: [\"1ms\", \"2ms\", \"3ms\", \"4ms\", \"5ms\"]}", "32: compression should have no more than 4 RTT thresholds"
      ),
    ])
  func wrongCompression(text: String, message: String) {
    #expect(load("leafnodes {compression: \(text)}").messages == ["t.conf:1:\(message)"])
  }

  @Test(
    "wrong remotes",
    arguments: [
      ("{}", "22: a leafnode remote needs a url"), ("1", "22: Expected an entry of remotes to be a map, got int64"),
      ("{url: \"nats://a:x\"}", "28: error parsing leafnode url [\"nats://a:x\"]: the port \"x\" is not a number from 1 to 65535"),
      (
        "{url: \"http://a\"}", "28: error parsing leafnode url [\"http://a\"]: the scheme \"http\" is none of nats, nats-leaf, tls, ws, wss"
      ),
      (
        "{url: \"nats://u:secret@a:0\"}",
        "28: error parsing leafnode url [\"nats://[REDACTED]@a:0\"]: the port \"0\" is not a number from 1 to 65535"
      ),
      ("{url: \"a b\"}", "28: error parsing leafnode url [\"a b\"]: the host is missing or malformed"),
      ("{url: a, account: A}", "22: cannot find local account \"A\" specified for the link"),
      (
        "{urls: [\"ws://a\", b]}", "22: remote leaf node configuration cannot have a mix of websocket and non-websocket urls"
      ),
      ("{url: a, proxy: 1}", "38: Expected proxy to be a map, got int64"),
      ("{url: a, proxy: {}}", "38: proxy URL must specify a host"),
      ("{url: a, proxy: {url: \"socks://p:1\"}}", "44: proxy URL scheme must be http: \"socks://p:1\""),
      ("{url: a, proxy: {url: \"https://p:1\"}}", "44: not supported by this version of petiole: a proxy over TLS"),
      (
        "{url: a, proxy: {url: \"http://me:secret@p:1\"}}",
        "44: invalid proxy URL \"http://[REDACTED]@p:1\": it must be http://host:port, and username and password stand beside it"
      ),
      (
        "{url: a, proxy: {url: \"http://p\", username: me}}",
        "38: proxy username and password must both be specified or both be empty"
      ),
      ("{url: a, proxy: {url: \"http://p\", username: \"a:b\", password: c}}", "38: a proxy username cannot have a colon"),
      ("{url: a, proxy: {url: \"http://p\", port: 1}}", "56: unknown field \"port\""),
      ("{url: a, nkey: x}", "37: Remote leafnode nkey is not a valid seed"),
      ("{url: a, jetstream_cluster_migrate: true}", "31: not supported by this version of petiole: jetstream_cluster_migrate"),
      ("{url: a, deny_imports: \"a..b\"}", "45: invalid subject \"a..b\""),
    ])
  func wrongRemotes(text: String, message: String) { #expect(load("leafnodes {remotes: [\(text)]}").messages == ["t.conf:1:\(message)"]) }
}

@Suite struct ProxyOptionsTests {
  @Test("remotes and the uplink over WebSocket and through a proxy")
  func all() {
    let (read, messages) = load(
      """
      leafnodes {remotes: [{
        url: "ws://hub.example/site/a", ws_no_masking: true
        proxy { url: "http://proxy.example:3128/", username: me, password: "s:ecret", timeout: 5s }
      }]}
      uplink {
        clusters: [{ name: a, urls: ["ws://[::1]:80", "nats://b"] }], proxy { url: "http://10.0.0.1" }
      }
      """)
    #expect(messages.count == 1 && messages[0].hasPrefix("warning: t.conf:1:22: leafnodes.remotes and uplink both link"))
    let remote = read.leafnodes.remotes[0]
    #expect(remote.urls[0].isWebSocket && remote.urls[0].path == "/site/a" && remote.urls[0].port == 7422 && remote.wantsNoMasking)
    #expect(remote.proxy?.place == HostPort(host: "proxy.example", port: 3128) && remote.proxy?.timeout_ns == 5_000_000_000)
    #expect(remote.proxy?.user == "me" && remote.proxy?.password == "s:ecret")
    let uplink = read.uplink!
    #expect(uplink.proxy?.place == HostPort(host: "10.0.0.1", port: 80) && uplink.proxy?.user.isEmpty == true && !uplink.wantsNoMasking)
    #expect(uplink.clusters[0].urls.map { $0.isWebSocket } == [true, false])
  }
}

@Suite struct WebSocketOptionsTests {
  @Test("the options of the WebSocket listener")
  func all() {
    let read = options(
      """
      websocket {
        listen: "127.0.0.1:8080", advertise: gw.example, no_tls: true, handshake_timeout: 2s, same_origin: true, ping_interval: 30s
        allowed_origins: ["https://a.example", "http://[::1]:8000"], headers { X-Site: gw-42, X_b: "c d" }, compression: false
      }
      """
    ).webSocket
    #expect(read.isListening && read.host == "127.0.0.1" && read.port == 8080 && read.hasNoTLS && read.sameOrigin)
    #expect(read.advertise == HostPort(host: "gw.example", port: 0) && read.handshakeTimeout_ns == 2_000_000_000)
    #expect(read.pingInterval_ns == 30_000_000_000)
    #expect(read.allowedOrigins == ["https://a.example", "http://[::1]:8000"])
    #expect(read.headerLines == "X-Site: gw-42\r\nX_b: c d\r\n")
    #expect(!options("debug: no").webSocket.isListening && options("ws { port: -1, no_tls: true }").webSocket.isListening)
  }

  @Test(
    "wrong options of the WebSocket listener",
    arguments: [
      (
        "port: 80", "1:11: websocket requires TLS configuration: a tls block, or no_tls: true where it is not wanted"
      ),
      ("tls {}", "1:16: tls needs cert_file and key_file: the certificate that this server shows"),
      ("user_cookie: u", "1:12: not supported by this version of petiole: user_cookie"),
      ("port: 70000", "1:18: port must be between -1 and 65535, not 70000"),
      ("origin: \"null\"", "1:20: unable to parse allowed origin \"null\": it must be http://host or https://host, with a port or without"),
      (
        "origins: [\"https://\"]",
        "1:22: unable to parse allowed origin \"https://\": it must be http://host or https://host, with a port or without"
      ),
      (
        "origins: [\"ftp://a\"]",
        "1:22: unable to parse allowed origin \"ftp://a\": it must be http://host or https://host, with a port or without"
      ),
      ("headers: {Upgrade: x}", "1:22: websocket: invalid header \"Upgrade\" not allowed"),
      ("headers: {sec-websocket-x: x}", "1:22: websocket: invalid header \"sec-websocket-x\" not allowed"),
      ("headers: {\"a b\": x}", "1:22: websocket: invalid header \"a b\" not allowed"),
      ("headers: {a: \"x\\r\\ny\"}", "1:22: websocket: invalid header \"a\" not allowed"),
      ("headers: {a: 1}", "1:25: interface conversion: interface {} is int64, not string (field \"a\")"),
      ("compression: 1", "1:25: interface conversion: interface {} is int64, not bool (field \"compression\")"),
      ("nonsense: 1", "1:12: unknown field \"nonsense\""),
    ])
  func wrong(_ text: String, _ message: String) {
    #expect(load("websocket {\(text)}").messages == ["t.conf:" + message])
  }

  @Test("compression is read and warned about, as it is not done")
  func compression() {
    #expect(
      load("websocket {port: 80, no_tls: true, compression: true}").messages == [
        "warning: t.conf:1:49: compression: petiole does not offer permessage-deflate; WebSockets go uncompressed"
      ])
  }
}

@Suite struct StreamOptionsTests {
  @Test("a stream's fields are kept for JetStream, which knows them")
  func all() {
    let read = options("jetstream: enabled; streams: [{Name: A, max_age: 24h, mirror {name: B}}, {name: C}]")
    #expect(read.streams.map { $0.name } == ["A", "C"] && read.streams[0].fields.entries.map { $0.key } == ["Name", "max_age", "mirror"])
  }

  @Test("no stream is declared twice")
  func twice() {
    let messages = load("streams: [{name: A}, {name: B}, {name: A}]\njetstream: on").messages
    #expect(messages == ["t.conf:1:33: stream \"A\" is declared twice"])
  }

  @Test("streams and forwards need JetStream")
  func needJetStream() {
    #expect(load("streams: [{name: A}]").messages == ["t.conf:1:11: streams need JetStream: add \"jetstream: enabled\""])
    #expect(
      load("uplink {clusters: [{name: a, url: a}]}\nforward: [{stream: A}]").messages == [
        "t.conf:2:11: forward needs JetStream: add \"jetstream: enabled\""
      ])
  }
}

@Suite struct UplinkOptionsTests {
  static let design = """
    jetstream { store_dir: "/var/lib/petiole", domain: gw-0042 }
    streams: [ { name: TELEMETRY, subjects: ["sensors.>"], max_bytes: 1GB, discard: old } ]
    uplink {
      credentials: "/etc/petiole/gateway.creds"
      clusters: [
        { name: eu-west, urls: ["tls://a.eu.example:7422", "tls://b.eu.example:7422"] }
        { name: us-east, urls: ["tls://us.example:7422"], tier: 1 }
      ]
      metered: true, probe_budget: "2MB"        # per day
    }
    forward: [ { stream: TELEMETRY, filter: "sensors.>", to: "site.0042.sensors.>" } ]
    """

  @Test("the design's example is read exactly, and only what this version lacks is refused")
  func example() throws {
    let (read, messages) = load(Self.design)
    #expect(messages == [])
    #expect(read.jetStream.isEnabled && read.jetStream.storeDirectory == "/var/lib/petiole" && read.jetStream.domain == "gw-0042")
    #expect(read.streams.count == 1)
    #expect(read.streams[0].name == "TELEMETRY" && read.streams[0].fields["max_bytes"]?.content == .integer(1 << 30))
    let uplink = try #require(read.uplink)
    #expect(uplink.credentials == "/etc/petiole/gateway.creds" && uplink.isMetered && uplink.probeBudget_bytes == 2 << 20)
    #expect(uplink.clusters.map { $0.name } == ["eu-west", "us-east"])
    #expect(uplink.clusters[0].urls == [ServerURL(scheme: .tls, host: "a.eu.example"), ServerURL(scheme: .tls, host: "b.eu.example")])
    #expect(uplink.clusters[0].tier == 0 && uplink.clusters[0].weight == 1 && !uplink.clusters[0].isPinned && uplink.clusters[1].tier == 1)
    #expect(read.forwards.count == 1)
    #expect(
      read.forwards[0].stream == "TELEMETRY" && read.forwards[0].filter == "sensors.>" && read.forwards[0].to == "site.0042.sensors.>")
    #expect(!read.forwards[0].isLive && read.forwards[0].window == ForwardDeclaration.windowDefault)
  }

  @Test("the design's example without credentials is right")
  func plainExample() {
    let plain = Self.design.replacing("credentials: \"/etc/petiole/gateway.creds\"", with: "")
    #expect(options(plain).uplink?.clusters.count == 2)
  }

  @Test("the rest of the uplink's options")
  func all() throws {
    let read = options(
      """
      jetstream: on
      uplink { clusters: [{ name: a, url: "nats://a", weight: 1.5, pin: true }], probe_interval: 2s, compression: off, account: "$G" }
      forward: [{ stream: A, live: true, window: 512, dead_letter: dead.a, priority: 3 }, { stream: A, filter: "a.*", to: "b.*" }]
      """)
    let uplink = try #require(read.uplink)
    #expect(
      uplink.clusters[0].weight == 1.5 && uplink.clusters[0].isPinned && uplink.probeInterval_ns == 2_000_000_000
        && uplink.compression == LeafCompression(.off))
    #expect(read.forwards[0].isLive && read.forwards[0].window == 512 && read.forwards[0].filter == nil)
    #expect(read.forwards[0].deadLetter == "dead.a" && read.forwards[0].priority == 3 && read.forwards[1].deadLetter == nil)
    #expect(options("uplink { clusters: [{ name: a, url: a, weight: 2 }] }").uplink?.clusters[0].weight == 2)
  }

  @Test("as many clusters as the selector takes, and no more", arguments: [64, 65])
  func clusterCount(_ count: Int) {
    let clusters = (0..<count).map { "{name: c\($0), url: a}" }.joined(separator: ",")
    #expect(
      load("uplink {clusters: [\(clusters)]}").messages
        == (count > 64 ? ["t.conf:1:8: uplink can have at most 64 clusters, not 65"] : []))
  }

  @Test(
    "wrong uplinks and forwards",
    arguments: [
      ("uplink {metered: on}", "8: uplink needs clusters"), ("uplink {clusters: [{url: a}]}", "20: a cluster of the uplink needs a name"),
      ("uplink {clusters: [{name: a}]}", "20: cluster \"a\" needs urls"),
      ("uplink {clusters: [{name: a, url: a}, {name: a, url: b}]}", "39: cluster \"a\" is there twice"),
      ("uplink {clusters: [{name: a, url: a, pin: on}, {name: b, url: b, pin: on}]}", "48: only one cluster can be pinned"),
      ("uplink {clusters: [{name: a, url: a, weight: 0}]}", "46: weight must be between 0.01 and 100"),
      ("uplink {clusters: [{name: a, url: a, tier: -1}]}", "44: tier must be between 0 and 100, not -1"),
      ("uplink {clusters: [{name: a, url: a}], probe_interval: 1ms}", "56: probe_interval must be between 1s and 24h0m0s, not 1ms"),
      ("forward: [{stream: A}]", "11: forward needs an uplink (or leafnodes.remotes) to send through"),
      ("leafnodes{remotes:[{url: a}]}; forward: [{}]", "42: forward needs the name of a stream"),
      ("leafnodes{remotes:[{url: a}]}; forward: [{stream: A}, {stream: A}]", "55: stream \"A\" is forwarded twice with the same filter"),
      ("leafnodes{remotes:[{url: a}]}; forward: [{stream: A, filter: \"a..b\"}]", "62: invalid subject \"a..b\""),
      (
        "leafnodes{remotes:[{url: a}]}; forward: [{stream: A, filter: a.b, to: c.>}]",
        "42: forward from \"a.b\" to \"c.>\": '>' must end both or neither"
      ),
      (
        "leafnodes{remotes:[{url: a}]}; forward: [{stream: A, dead_letter: \"a.*\"}]",
        "67: dead_letter must be one subject, without wildcards, not \"a.*\""
      ),
      ("leafnodes{remotes:[{url: a}]}; forward: [{stream: A, priority: -1}]", "64: priority must be between 0 and 1000, not -1"),
      ("leafnodes{remotes:[{url: a}]}; forward: [{stream: A, window: 0}]", "62: window must be between 1 and 65536, not 0"),
    ])
  func wrong(text: String, message: String) { #expect(load("\(text)\njetstream: on").messages == ["t.conf:1:\(message)"]) }

  @Test("remotes beside an uplink are a warning")
  func both() {
    let messages = load("uplink {clusters: [{name: a, url: a}]}\nleafnodes {remotes: [{url: b}]}").messages
    #expect(messages.count == 1 && messages[0].hasPrefix("warning: t.conf:2:22: leafnodes.remotes and uplink both link account"))
  }
}
