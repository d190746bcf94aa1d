// The monitoring port: its listener, its connections, and which path is answered by what.
import Broker
import Bytes
import JSON
import Platform
import Web

/// Serves monitoring over HTTP in nats-server's form (monitoring.md), and what is ours (`/uplinkz`).
public final class Monitor {
  /// More connections than any poller needs.
  private static let connectionsMax = 64

  unowned(unsafe) let source: any MonitorSource  // safe: the agent owns its monitor
  let host: Host
  private var listener: (any Listener)?
  private var connections: [HTTPConnection] = []
  /// Whether answers are broken into lines for people, as over HTTP.
  var indents = true
  /// Requests by path, shown in /varz.
  private(set) var requests: [(path: ByteString, count: Int)] = []

  public init(source: any MonitorSource) {
    self.source = source
    host = source.host
  }

  public var address: SocketAddress? { listener?.local }

  /// The certificate of HTTPS; nil for HTTP. A change is for those who connect after it.
  public var tls: TLSContext?
  private static let handshake_ns = 5 * second_ns

  public func listen(_ address: SocketAddress) throws(NetworkError) {
    listener = try host.network.listen(address) { [unowned(unsafe) self] stream in  // safe: the listener is closed before the monitor goes
      guard self.connections.count < Self.connectionsMax else { return stream.close() }
      guard let tls = self.tls else { return self.connections.append(HTTPConnection(monitor: self, stream: stream)) }
      let secure = TLSStream(over: stream, context: tls, serverName: nil, host: self.host, timeout_ns: Self.handshake_ns)
      self.connections.append(HTTPConnection(monitor: self, stream: secure))
      secure.start()
    }
  }

  public func close() {
    listener?.close()
    listener = nil
    for connection in connections { connection.close() }
  }

  func forget(_ connection: HTTPConnection) { connections.removeAll { $0 === connection } }

  private func count(_ path: ByteString) {
    if let index = requests.firstIndex(where: { $0.path == path }) {
      requests[index].count += 1
    } else {
      requests.append((path, 1))
    }
  }

  func answer(_ request: HTTPRequest) -> HTTPResponse {
    let query = MonitorQuery(request)
    let body: [UInt8]
    switch request.path {
    case "/": body = index()
    case "/varz": body = varz()
    case "/connz":
      switch connz(query) {
      case .success(let bytes): body = bytes
      case .failure(let error): return .text("400 Bad Request", error.text)
      }
    case "/subsz", "/subscriptionsz": body = subsz(query)
    case "/jsz": body = jsz(query)
    case "/leafz": body = leafz(query)
    case "/routez": body = routez()
    case "/gatewayz": body = gatewayz()
    case "/uplinkz": body = uplinkz()
    case "/accountz": body = accountz(query)
    case "/accstatz": body = accstatz(query)
    case "/metrics": body = metrics()
    case "/healthz":
      count(request.path)
      return healthz(query)
    default: return .text("404 Not Found", "404 page not found\n")
    }
    count(request.path)
    var response = HTTPResponse(body: body)
    if request.path.equals("/") { response.contentType = "text/html; charset=utf-8" }
    if request.path.equals("/metrics") { response.contentType = "text/plain; version=0.0.4; charset=utf-8" }
    return response
  }

  private func index() -> [UInt8] {
    var page = "<!doctype html><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>petiole</title>"
    page += "<h1>petiole</h1><ul>"
    for path in ["varz", "connz", "subsz", "jsz", "leafz", "uplinkz", "accountz", "accstatz", "metrics", "healthz"] {
      page += "<li><a href=\"\(path)\">/\(path)</a>"
    }
    return [UInt8]((page + "</ul>\n").utf8)
  }

  /// Begins an answer that names the server and the time.
  func begin() -> JSONWriter {
    var json = JSONWriter(indent: indents)
    json.beginObject()
    json.field("server_id", source.broker.identity.id)
    return json
  }

  var now_ns: Int64 { host.clock.wall_ns }

  /// A duration as nats-server's monitoring shows it: `8s`, `1h2m3s`, `1d2h3m4s`.
  static func uptime(_ duration_ns: Int64) -> String {
    let seconds = max(duration_ns, 0) / second_ns
    let (days, hours, minutes, rest) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
    if days >= 365 { return "\(days / 365)y\(days % 365)d\(hours)h\(minutes)m\(rest)s" }
    if days > 0 { return "\(days)d\(hours)h\(minutes)m\(rest)s" }
    if hours > 0 { return "\(hours)h\(minutes)m\(rest)s" }
    if minutes > 0 { return "\(minutes)m\(rest)s" }
    return "\(rest)s"
  }
}
