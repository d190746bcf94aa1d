// The monitoring port's answers over the simulated network: keys as in monitoring.md, limits, hostile requests.
import Broker
import Bytes
import Identity
import JSON
import JetStream
import Leaf
import LogStore
import Platform
import Testing
import Uplink

@testable import Monitoring

private final class Source: MonitorSource {
  let host: Host
  let broker: Broker
  var jetStreams: [JetStream] = []
  var jetStreamOptions: JetStream.Options?
  var store: LogStore?
  var uplink: UplinkSupervisor?
  var links: [LeafLink] = []
  var leafListener: LeafListener?
  var forwarders: [Forwarder] = []
  let startedWall_ns: Int64
  let startedMonotonic_ns: Int64

  init(host: Host) {
    self.host = host
    broker = Broker(host: host, identity: ServerIdentity(name: "gw", release: "0.1.0", entropy: host.entropy))
    startedWall_ns = host.clock.wall_ns
    startedMonotonic_ns = host.clock.monotonic_ns
  }
}

private final class Caller: ByteStreamDelegate {
  var bytes: [UInt8] = []
  var isClosed = false
  var stream: ByteStream?
  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    self.bytes.append(bytes)
    return bytes.count
  }
  func closed(_ stream: ByteStream, reason: CloseReason) {
    isClosed = true
    stream.delegate = nil
  }
}

private final class MonitorRig {
  let simulation = Simulation(seed: 1)
  let server: SimulatedMachine
  let poller: SimulatedMachine
  let source: Source
  let monitor: Monitor

  init() {
    server = simulation.machine("server")
    poller = simulation.machine("poller")
    source = Source(host: server.host)
    monitor = Monitor(source: source)
    do {
      try source.broker.listen(SocketAddress(literal: "0.0.0.0", port: 4222)!)
      try monitor.listen(SocketAddress(literal: "0.0.0.0", port: 8222)!)
    } catch { preconditionFailure("\(error)") }
  }

  func connect(port: UInt16 = 8222) -> Caller {
    let caller = Caller()
    _ = poller.host.network.connect(SocketAddress(address: server.address, port: port), timeout_ns: second_ns) { result in
      guard case .success(let stream) = result else { return }
      caller.stream = stream
      stream.delegate = caller
    }
    simulation.run(for: 10 * millisecond_ns)
    return caller
  }

  func send(_ text: String, on caller: Caller) {
    caller.stream!.output.append(ByteString(text))
    caller.stream!.wantsFlush()
    simulation.run(for: 50 * millisecond_ns)
  }

  /// A client of the broker that has said `text`.
  @discardableResult
  func client(_ text: String) -> Caller {
    let caller = connect(port: 4222)
    send(text, on: caller)
    return caller
  }

  /// Status line, header lines and body of the answer to one request.
  func get(_ target: String, method: String = "GET") -> (status: String, headers: [String], body: String) {
    let caller = connect()
    send("\(method) \(target) HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n", on: caller)
    let text = String(decoding: caller.bytes, as: UTF8.self)
    guard let end = text.range(of: "\r\n\r\n") else { return ("", [], "") }
    let head = text[..<end.lowerBound].split(separator: "\r\n").map { String($0) }
    return (head.first ?? "", Array(head.dropFirst()), String(text[end.upperBound...]))
  }

  func json(_ target: String) -> JSONValue {
    let answer = get(target)
    #expect(answer.status == "HTTP/1.1 200 OK")
    #expect(answer.headers.contains("Content-Type: application/json"))
    return (try? JSON.parse(ByteString(answer.body))) ?? .null
  }
}

extension String {
  /// Where `text` begins first.
  fileprivate func range(of text: String) -> Range<String.Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}

private func keys(_ json: JSONValue?) -> [String] { json?.object?.map { $0.name.string } ?? [] }

@Suite struct MonitorTests {
  @Test("a caller that asks on and reads nothing is not answered without end")
  func pipelined() {
    let rig = MonitorRig()
    let caller = rig.connect()
    caller.stream!.setReading(false)
    let requests = String(repeating: "GET /varz HTTP/1.1\r\nHost: gw\r\n\r\n", count: 2_000)
    for _ in 0..<5 { rig.send(requests, on: caller) }
    caller.stream!.setReading(true)
    rig.simulation.run(for: 5 * second_ns)
    #expect(caller.isClosed)
    #expect(caller.bytes.count < 4 << 20)
    #expect(rig.get("/varz").status == "HTTP/1.1 200 OK")
  }

  @Test("/varz has the keys of monitoring.md, and its own under one name")
  func varz() {
    let rig = MonitorRig()
    rig.client("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 5\r\nhello\r\n")
    let varz = rig.json("/varz")
    let wanted = [
      "server_id", "server_name", "version", "proto", "go", "host", "port", "max_connections", "ping_interval", "ping_max", "http_host",
      "http_port",
      "http_base_path", "https_port", "auth_timeout", "max_control_line", "max_payload", "max_pending", "cluster", "gateway", "leaf",
      "mqtt", "websocket",
      "jetstream", "tls_timeout", "write_deadline", "start", "now", "uptime", "mem", "cores", "gomaxprocs", "cpu", "connections",
      "total_connections", "routes",
      "remotes", "leafnodes", "in_msgs", "in_bytes", "in_client_msgs", "in_client_bytes", "out_msgs", "out_bytes", "out_client_msgs",
      "out_client_bytes",
      "slow_consumers", "stale_connections", "stalled_clients", "subscriptions", "http_req_stats", "config_load_time", "config_digest",
      "slow_consumer_stats", "stale_connection_stats",
    ]
    let found = keys(varz)
    for key in wanted { #expect(found.contains(key), "\(key)") }
    #expect(Set(found).count == found.count)
    let optional = [
      "git_commit", "max_subscriptions", "system_account", "petiole", "auth_required", "disk_io_wait_stats", "feature_flags", "ip", "tags",
      "metadata",
    ]
    for key in found where !wanted.contains(key) { #expect(optional.contains(key), "\(key) is not nats-server's") }
    for (key, value): (StaticString, Int) in [
      ("max_connections", 65536), ("ping_interval", 120_000_000_000), ("ping_max", 2), ("auth_timeout", 2), ("tls_timeout", 2),
      ("max_control_line", 4096),
      ("max_payload", 1_048_576), ("max_pending", 67_108_864), ("write_deadline", 10_000_000_000), ("connections", 1),
      ("total_connections", 1), ("in_msgs", 1),
      ("in_bytes", 5), ("out_msgs", 1), ("out_bytes", 5), ("subscriptions", 1), ("port", 4222), ("http_port", 8222), ("proto", 1),
      ("leafnodes", 0),
    ] { #expect(varz[key]?.int == value, "\(key)") }
    for key: StaticString in ["cluster", "gateway", "leaf", "mqtt", "websocket", "jetstream"] {
      #expect(varz[key]?.object?.isEmpty == true)
    }
    #expect(keys(varz["slow_consumer_stats"]) == ["clients", "routes", "gateways", "leafs"])
    #expect(varz["server_name"]?.string == "gw" && varz["version"]?.string == "2.15.1")
    #expect(rig.json("/varz")["http_req_stats"]?["/varz"]?.int == 1)
  }

  @Test("/connz has the keys that nats-top and the exporter read")
  func connz() {
    let rig = MonitorRig()
    for name in ["one", "two", "three"] {
      rig.client("CONNECT {\"verbose\":false,\"name\":\"\(name)\",\"lang\":\"swift\",\"version\":\"1\"}\r\nSUB \(name) 1\r\n")
    }
    let connz = rig.json("/connz?subs=1")
    #expect(keys(connz) == ["server_id", "now", "num_connections", "total", "offset", "limit", "connections"])
    let connection = connz["connections"]?.array?.first
    let found = keys(connection)
    for key in [
      "cid", "kind", "type", "ip", "port", "start", "last_activity", "uptime", "idle", "pending_bytes", "in_msgs", "out_msgs", "in_bytes",
      "out_bytes",
      "subscriptions", "name", "lang", "version", "subscriptions_list",
    ] { #expect(found.contains(key), "\(key)") }
    #expect(connz["total"]?.int == 3 && connz["limit"]?.int == 1024)
    let page = rig.json("/connz?offset=1&limit=1")
    #expect(page["num_connections"]?.int == 1 && page["total"]?.int == 3)
    #expect(page["connections"]?.array?.first?["name"]?.string == "two")
    #expect(rig.json("/connz?cid=2")["total"]?.int == 1)
    #expect(rig.json("/connz?sort=subs&state=closed")["total"]?.int == 0)
  }

  @Test(
    "a page beyond all numbers is empty or everything, never a crash",
    arguments: ["offset=1&limit=9223372036854775807", "offset=9223372036854775807&limit=9223372036854775807", "limit=0", "offset=5"])
  func extremePages(_ query: String) {
    let rig = MonitorRig()
    rig.client("CONNECT {}\r\n")
    rig.client("CONNECT {}\r\n")
    #expect(rig.json("/connz?\(query)")["total"]?.int == 2)
    #expect(rig.json("/connz")["num_connections"]?.int == 2)
  }

  @Test(
    "bad query values are refused in nats-server's words",
    arguments: [
      ("/connz?limit=abc", "Error decoding int for 'limit': strconv.Atoi: parsing \"abc\": invalid syntax"),
      ("/connz?sort=zzz", "invalid sorting option: zzz"), ("/connz?state=zz", "Error decoding state for zz"),
    ])
  func badQueries(_ target: String, _ text: String) {
    let answer = MonitorRig().get(target)
    #expect(answer.status == "HTTP/1.1 400 Bad Request")
    #expect(answer.body == text)
    #expect(answer.headers.contains { $0.hasPrefix("Content-Type: text/plain") })
  }

  @Test("/healthz is ok without a store, and says what is not there when asked")
  func healthz() {
    let rig = MonitorRig()
    #expect(keys(rig.json("/healthz")) == ["status"])
    #expect(rig.json("/healthz")["status"]?.string == "ok")
    let enabled = rig.get("/healthz?js-enabled-only=true")
    #expect(enabled.status == "HTTP/1.1 503 Service Unavailable")
    let body = try? JSON.parse(ByteString(enabled.body))
    #expect(keys(body) == ["status", "error"])
    #expect(body?["status"]?.string == "unavailable" && body?["error"]?.string == "JetStream not enabled")
    #expect(rig.get("/healthz?stream=S").status == "HTTP/1.1 400 Bad Request")
    let missing = rig.get("/healthz?account=A&stream=NOPE")
    #expect(missing.status == "HTTP/1.1 404 Not Found")
    #expect((try? JSON.parse(ByteString(missing.body)))?["error"]?.string == "JetStream stream \"NOPE\" not found on account \"A\"")
  }

  @Test("the other pages have nats-server's shapes")
  func shapes() {
    let rig = MonitorRig()
    #expect(
      keys(rig.json("/subsz")) == [
        "server_id", "now", "num_subscriptions", "num_cache", "num_inserts", "num_removes", "num_matches", "cache_hit_rate", "max_fanout",
        "avg_fanout", "total",
        "offset", "limit",
      ])
    #expect(keys(rig.json("/leafz")) == ["server_id", "now", "leafnodes", "leafs"])
    #expect(keys(rig.json("/routez")) == ["server_id", "server_name", "now", "num_routes", "routes"])
    #expect(keys(rig.json("/gatewayz")) == ["server_id", "now", "outbound_gateways", "inbound_gateways"])
    let jsz = rig.json("/jsz")
    #expect(jsz["disabled"]?.bool == true)
    for key in [
      "memory", "storage", "reserved_memory", "reserved_storage", "accounts", "ha_assets", "api", "server_id", "now", "config", "streams",
      "consumers", "messages", "bytes",
    ] {
      #expect(keys(jsz).contains(key), "\(key)")
    }
    #expect(rig.json("/uplinkz")["state"]?.string == "none")
    #expect(rig.get("/").headers.contains("Content-Type: text/html; charset=utf-8"))
    let unknown = rig.get("/nothing")
    #expect(unknown.status == "HTTP/1.1 404 Not Found" && unknown.body == "404 page not found\n")
    #expect(rig.get("/varz", method: "POST").status == "HTTP/1.1 405 Method Not Allowed")
    let head = rig.get("/varz", method: "HEAD")
    #expect(head.status == "HTTP/1.1 200 OK" && head.body == "")
    #expect(head.headers.contains { $0.hasPrefix("Content-Length: ") && $0 != "Content-Length: 0" })
  }

  @Test("requests on one connection are answered in order, and an idle connection is closed after a minute")
  func keepAlive() {
    let rig = MonitorRig()
    let caller = rig.connect()
    rig.send("GET /healthz HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\n", on: caller)
    let text = String(decoding: caller.bytes, as: UTF8.self)
    #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(text.hasSuffix("404 page not found\n"))
    rig.simulation.run(for: 58 * second_ns)
    #expect(!caller.isClosed)
    rig.simulation.run(for: 3 * second_ns)
    #expect(caller.isClosed)
  }

  @Test("hostile requests never crash, and the next one is answered")
  func hostile() {
    let rig = MonitorRig()
    rig.client("CONNECT {}\r\nSUB a 1\r\n")
    let random = SeededEntropy(seed: 2)
    let targets = [
      "/varz", "/connz?limit=1&offset=99999999999999999999", "/connz?subs=1&cid=18446744073709551615", "/jsz?acc=%00&streams=1&consumers=1",
      "/healthz?stream=%ff&account=", "/leafz?subs=1", "/%", "/?",
    ]
    for _ in 0..<150 {
      let caller = rig.connect()
      guard caller.stream != nil else { continue }
      var bytes = [UInt8]("GET \(targets[random.below(targets.count)]) HTTP/1.1\r\nConnection: close\r\n\r\n".utf8)
      for _ in 0..<random.below(3) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
      caller.stream!.output.append(bytes)
      caller.stream!.wantsFlush()
      rig.simulation.run(for: 20 * millisecond_ns)
      if random.oneIn(2) { caller.stream!.close() }
    }
    rig.simulation.run(for: 70 * second_ns)
    #expect(rig.json("/healthz")["status"]?.string == "ok")
  }

  @Test("an account's own clients get no more entries at a time than HTTP gives without a limit; the system account what it asks for")
  func tenantLimit() {
    let rig = MonitorRig()
    let broker = rig.source.broker
    var rules = AccessRules()
    rules.accounts = [AccountRule(name: "A")]
    #expect(broker.use(rules).isEmpty)
    let services = SystemServices(monitor: rig.monitor)
    services.serve()
    for (account, limit) in [(broker.account("A")!, 1024), (broker.systemAccount, 1_000_000_000)] {
      var answers: [JSONValue] = []
      account.subscribe("in") { message, _ in answers.append((try? JSON.parse(message.payload)) ?? .null) }
      ByteString("{\"limit\":1000000000}").withView { options in
        ByteString("$SYS.REQ.SERVER.PING.CONNZ").withView { subject in
          ByteString("in").withView { _ = account.publish(Message(subject: subject, reply: $0, payload: options)) }
        }
      }
      #expect(answers.count == 1 && answers[0]["data"]?["limit"]?.int == limit)
    }
  }

  @Test("durations read as nats-server's")
  func uptimes() {
    for (seconds, text): (Int64, String) in [
      (0, "0s"), (8, "8s"), (3723, "1h2m3s"), (93784, "1d2h3m4s"), (-5, "0s"), (60, "1m0s"), (366 * 86400, "1y1d0h0m0s"),
    ] { #expect(Monitor.uptime(seconds * second_ns) == text) }
  }
}
