// A broker in the simulation with clients that speak raw bytes, and endpoints that write down what they are given.
import Bytes
import Interest
import Platform
import Web

@testable import Broker

/// The client's end of a connection: what came, and how it ended.
final class RawClient: ByteStreamDelegate {
  let stream: ByteStream
  /// The world ends with its rig, so that who speaks in it holds it.
  private let rig: BrokerRig
  private var simulation: Simulation { rig.simulation }
  private(set) var bytes: [UInt8] = []
  private(set) var closed: CloseReason?

  init(_ stream: ByteStream, _ rig: BrokerRig) {
    self.stream = stream
    self.rig = rig
    stream.delegate = self
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    self.bytes.append(bytes)
    return bytes.count
  }
  func closed(_ stream: ByteStream, reason: CloseReason) {
    closed = reason
    stream.delegate = nil
  }

  var text: String { String(decoding: bytes, as: UTF8.self) }
  func forget() { bytes = [] }

  /// Sends, and returns everything that came since the last call within the next 20 milliseconds.
  @discardableResult
  func say(_ text: String, wait_ns: Int64 = 20 * millisecond_ns) -> String {
    if closed == nil {
      stream.output.append(ByteString(text))
      stream.wantsFlush()
    }
    simulation.run(for: wait_ns)
    return heard()
  }

  /// What came since it was last asked.
  func heard() -> String {
    defer { bytes = [] }
    return text
  }
}

final class BrokerRig {
  static let quiet = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n"
  let simulation: Simulation
  let server: SimulatedMachine
  let edge: SimulatedMachine
  let broker: Broker
  let address: SocketAddress

  /// `passwords` checks passwords instead of the simulation.
  init(seed: UInt64 = 1, passwords: (any PasswordChecker)? = nil, _ change: (inout BrokerLimits) -> Void = { _ in }) {
    simulation = Simulation(seed: seed)
    server = simulation.machine("server")
    edge = simulation.machine("edge")
    var limits = BrokerLimits()
    change(&limits)
    let identity = ServerIdentity(name: "gw", release: "0.1.0", entropy: server.host.entropy)
    let host = server.host
    let own = Host(
      clock: host.clock, entropy: host.entropy, disk: host.disk, network: host.network, timers: host.timers, turn: host.turn, log: host.log,
      passwords: passwords ?? host.passwords)
    broker = Broker(host: own, identity: identity, limits: limits)
    address = SocketAddress(address: server.address, port: 4222)
    do { try broker.listen(SocketAddress(literal: "0.0.0.0", port: 4222)!) } catch { preconditionFailure("\(error)") }
  }

  var account: Account { broker.globalAccount }

  /// Also listens for WebSockets.
  func listenForWebSockets(_ rules: WebSocketRules = WebSocketRules()) {
    do { try broker.listen(SocketAddress(literal: "0.0.0.0", port: 8080)!, webSocket: rules) } catch { preconditionFailure("\(error)") }
  }

  /// A client over WebSocket, as `client`, and its socket.
  func webSocketClient(_ greeting: String = BrokerRig.quiet, path: ByteString = "/") -> (client: RawClient, socket: WebSocketStream)? {
    var made: (RawClient, WebSocketStream)?
    var exchange: HTTPExchange?
    _ = edge.host.network.connect(SocketAddress(address: server.address, port: 8080), timeout_ns: second_ns) { [self] result in
      guard case .success(let stream) = result else { return }
      exchange = HTTPExchange.webSocket(
        host: edge.host, stream: stream, authority: "server", path: path, wantsNoMasking: false, timeout_ns: second_ns
      ) { [self] result in
        if case .success(let socket) = result { made = (RawClient(socket, self), socket) }
      }
    }
    simulation.run(for: 50 * millisecond_ns)
    withExtendedLifetime(exchange) {}
    if !greeting.isEmpty {
      made?.0.forget()
      made?.0.say(greeting)
    }
    return made
  }

  /// A connected client that has read INFO and, unless `greeting` is empty, said CONNECT.
  func client(_ greeting: String = BrokerRig.quiet) -> RawClient {
    var made: RawClient?
    _ = edge.host.network.connect(address, timeout_ns: second_ns) { result in
      guard case .success(let stream) = result else { preconditionFailure("a client cannot connect") }
      made = RawClient(stream, self)
    }
    _ = simulation.run(timeout_ns: second_ns) { made != nil }
    simulation.run(for: 5 * millisecond_ns)
    if !greeting.isEmpty {
      made!.forget()
      made!.say(greeting)
    }
    return made!
  }
}

/// An endpoint that takes everything (unless told not to) and writes it down.
final class TestEndpoint: Endpoint {
  var got: [String] = []
  var refuses = false
  private var subscriptions: [Subscription] = []

  init(_ kind: Endpoint.Kind, _ account: Account) { super.init(kind: kind, id: 99, account: account) }

  @discardableResult
  func subscribe(_ subject: ByteString, _ queue: ByteString? = nil, weight: Int = 1, max: Int = 0) -> Subscription {
    let subscription = Subscription(subject: subject, queue: queue, endpoint: self, weight: weight)
    subscription.max = max
    account.add(subscription)
    subscriptions.append(subscription)
    return subscription
  }

  func unsubscribeAll() {
    for subscription in subscriptions { account.remove(subscription) }
    subscriptions = []
  }

  override func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    if refuses { return false }
    got.append("\(subscription.subject.string)\(subscription.queue.map { " " + $0.string } ?? "") <- \(message.subject.string)")
    return true
  }

  override func deliverOnce(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    if refuses { return false }
    got.append("\(message.subject.string) [\(queues.map { $0.string }.joined(separator: ","))]")
    return true
  }

  func publish(_ subject: ByteString) -> Bool { subject.withView { account.route(Message(subject: $0), from: self) } }
  func publishAsLeaf(_ subject: ByteString, queues: [ByteString] = []) -> Bool {
    subject.withView { account.routeFromLeaf(Message(subject: $0), queues: queues, from: self) }
  }
  func taken() -> [String] {
    defer { got = [] }
    return got
  }
}
