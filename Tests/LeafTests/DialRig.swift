// Dialling in the simulation: an edge, a hub with a plain and a WebSocket listener for leafs, and an HTTP proxy between them.
import Broker
import Bytes
import Platform
import Web

@testable import Leaf

/// Copies bytes between two connections, and cuts both after so many from the far one.
final class Relay: ByteStreamDelegate {
  private let near: ByteStream
  private let far: ByteStream
  private var left: Int
  private let came: (Int) -> Void

  /// `came` is told how many bytes each time.
  init(_ near: ByteStream, _ far: ByteStream, cutAfter: Int, came: @escaping (Int) -> Void) {
    self.near = near
    self.far = far
    self.came = came
    left = cutAfter
    near.delegate = self
    far.delegate = self
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    let other = stream === near ? far : near
    if other.isClosed { return bytes.count }
    let count = stream === far ? min(left, bytes.count) : bytes.count
    other.output.append(bytes.prefix(count))
    other.wantsFlush()
    if stream === far {
      came(count)
      left -= count
      if left == 0 {
        far.close()
        near.closeAfterFlush()
      }
    }
    return bytes.count
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    let other = stream === near ? far : near
    if !other.isClosed { other.closeAfterFlush() }
  }
}

/// A proxy that answers CONNECT; its delegate is replaced once there is a tunnel.
private final class Doorman: ByteStreamDelegate {
  let asked: (ByteView, ByteStream) -> Void
  init(_ asked: @escaping (ByteView, ByteStream) -> Void) { self.asked = asked }
  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard bytes.hasSuffix(ByteView("\r\n\r\n")) else { return 0 }
    asked(bytes, stream)
    return bytes.count
  }
  func closed(_ stream: ByteStream, reason: CloseReason) { stream.delegate = nil }
}

final class DialRig {
  let simulation: Simulation
  let edge: SimulatedMachine
  let proxy: SimulatedMachine
  let hub: SimulatedMachine
  let broker: Broker
  private var listener: WebSocketListener?
  /// What the proxy answers instead of making a tunnel.
  var refusal: String?
  /// The next tunnels are cut after so many bytes from the hub, in this order.
  var cuts: [Int] = []
  private(set) var asked: [String] = []
  /// Bytes that the proxy got from the hub.
  private(set) var fromHub = 0
  private(set) var ends: [HubEnd] = []

  init(seed: UInt64 = 1, edgeToProxy_ms: Int64 = 1, proxyToHub_ms: Int64 = 1) {
    simulation = Simulation(seed: seed)
    edge = simulation.machine("edge")
    proxy = simulation.machine("proxy")
    hub = simulation.machine("hub")
    simulation.setLink(edge, proxy, SimulatedLink(latency_ns: edgeToProxy_ms * millisecond_ns, jitter_ns: 0))
    simulation.setLink(proxy, hub, SimulatedLink(latency_ns: proxyToHub_ms * millisecond_ns, jitter_ns: 0))
    simulation.setLink(edge, hub, SimulatedLink(latency_ns: (edgeToProxy_ms + proxyToHub_ms) * millisecond_ns, jitter_ns: 0))
    broker = Broker(host: edge.host, identity: ServerIdentity(name: "edge", release: "0", entropy: edge.host.entropy))
    let good = GoodHub(compression: "s2_auto")
    func serve(_ stream: ByteStream) {
      let end = HubEnd(stream)
      ends.append(end)
      good.attach(end)
    }
    do {
      _ = try hub.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 7422)!) { serve($0) }
      listener = WebSocketListener(host: hub.host, rules: WebSocketRules()) { socket, upgrade in
        precondition(upgrade.purpose == .leaf, "the path of a leaf")
        serve(socket)
      }
      try listener?.listen(SocketAddress(literal: "0.0.0.0", port: 8080)!)
      _ = try proxy.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 3128)!) { [unowned self] stream in
        stream.delegate = Doorman { [unowned self] in self.door($0, $1) }
      }
    } catch { preconditionFailure("\(error)") }
  }

  private func door(_ head: ByteView, _ stream: ByteStream) {
    asked.append(head.string)
    if let refusal {
      stream.output.append(ByteString(refusal))
      stream.closeAfterFlush()
      return
    }
    let port = UInt16(head.string.split(separator: " ")[1].split(separator: ":").last!)!
    _ = proxy.host.network.connect(SocketAddress(address: hub.address, port: port), timeout_ns: second_ns) { [unowned self] result in
      guard case .success(let far) = result else { return stream.close() }
      stream.output.append(literal: "HTTP/1.1 200 OK\r\n\r\n")
      stream.wantsFlush()
      _ = Relay(stream, far, cutAfter: cuts.isEmpty ? .max : cuts.removeFirst()) { [unowned self] in fromHub += $0 }
    }
  }

  func endpoint(webSocket: Bool, proxied: Bool, user: ByteString = "") -> LeafEndpoint {
    let name = SocketAddress(address: hub.address, port: 1).hostText
    var endpoint = LeafEndpoint(hostName: name, port: webSocket ? 8080 : 7422)
    if webSocket { endpoint.webSocket = LeafWebSocket(path: "/site/") }
    if proxied {
      endpoint.proxy = LeafProxy(
        hostName: SocketAddress(address: proxy.address, port: 1).hostText, port: 3128, user: user, password: user)
    }
    return endpoint
  }

  /// What comes of one dial.
  func dial(_ endpoint: LeafEndpoint, tls: LeafTLS = LeafTLS()) -> Result<LeafConnection, LeafFailure>? {
    var outcome: Result<LeafConnection, LeafFailure>?
    let dial = LeafDial(host: edge.host, endpoint: endpoint, tls: tls, turn: 0, timeout_ns: second_ns) { result in
      precondition(outcome == nil, "a dial ends once")
      outcome = result
    }
    _ = simulation.run(timeout_ns: 5 * second_ns) { outcome != nil }
    withExtendedLifetime(dial) {}
    return outcome
  }

  func failure(_ endpoint: LeafEndpoint, tls: LeafTLS = LeafTLS()) -> LeafFailure? {
    guard case .failure(let failure)? = dial(endpoint, tls: tls) else { return nil }
    return failure
  }

  /// A remote that keeps a link to `endpoint`.
  func remote(_ endpoint: LeafEndpoint) -> LeafRemote {
    var options = LeafOptions()
    options.serverName = "edge"
    let remote = LeafRemote(
      broker: broker, account: broker.globalAccount, endpoints: [endpoint], options: options, shared: LeafShared(), reconnect_ns: second_ns)
    remote.start()
    return remote
  }
}
