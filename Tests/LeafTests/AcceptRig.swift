// A leaf listener in the simulation and what dials it: scripted spokes, and links of other servers of ours.
import Broker
import Bytes
import JSON
import Platform
import Web

@testable import Leaf

/// A server with a leaf listener. More of its kind make chains.
final class LeafServer: LeafLinkOwner {
  let machine: SimulatedMachine
  let broker: Broker
  let shared = LeafShared()
  let listener: LeafListener
  var account: Account { broker.globalAccount }
  /// What its subscriptions got.
  private(set) var got: [String] = []
  private(set) var dialled: [LeafLink] = []
  private(set) var failures: [LeafFailure] = []

  init(_ machine: SimulatedMachine, _ change: (inout LeafListenOptions, inout LeafOptions) -> Void = { _, _ in }) {
    self.machine = machine
    let host = machine.host
    broker = Broker(
      host: host, identity: ServerIdentity(name: ByteString(machine.name), release: "0", entropy: host.entropy))
    var options = LeafListenOptions()
    var link = LeafOptions()
    link.serverID = broker.identity.id
    link.serverName = broker.identity.name
    link.compression = .off
    link.payloadMax = 1_048_576
    change(&options, &link)
    listener = LeafListener(broker: broker, options: options, linkOptions: link, shared: shared)
    do { try listener.listen(SocketAddress(literal: "0.0.0.0", port: 7422)!) } catch { preconditionFailure("\(error)") }
  }

  /// Takes leafs over WebSocket too.
  func listenForWebSockets() {
    broker.leafAccepted = { [unowned self] socket in listener.accept(socket, isWebSocket: true) }
    do { try broker.listen(SocketAddress(literal: "0.0.0.0", port: 8080)!, webSocket: WebSocketRules()) } catch {
      preconditionFailure("\(error)")
    }
  }

  /// Keeps a link over WebSocket to what listens at `machine`.
  func keepWebSocket(
    to machine: SimulatedMachine, _ webSocket: LeafWebSocket = LeafWebSocket(path: "/site"),
    _ change: (inout LeafOptions) -> Void = { _ in }
  ) -> LeafRemote {
    var options = LeafOptions()
    options.serverID = broker.identity.id
    options.serverName = broker.identity.name
    change(&options)
    var endpoint = LeafEndpoint(hostName: SocketAddress(address: machine.address, port: 1).hostText, port: 8080)
    endpoint.webSocket = webSocket
    let remote = LeafRemote(
      broker: broker, account: account, endpoints: [endpoint], options: options, shared: shared, reconnect_ns: second_ns)
    remote.start()
    return remote
  }

  /// Dials another server.
  func dial(_ other: LeafServer, _ change: (inout LeafOptions) -> Void = { _ in }) {
    dial(SocketAddress(address: other.machine.address, port: 7422), account, change)
  }

  /// Dials for one of its accounts.
  func dial(_ address: SocketAddress, _ account: Account, _ change: (inout LeafOptions) -> Void) {
    var options = LeafOptions()
    options.serverID = broker.identity.id
    options.serverName = broker.identity.name
    options.compression = .off
    change(&options)
    let host = machine.host
    _ = host.network.connect(address, timeout_ns: second_ns) { [self] result in
      guard case .success(let stream) = result else { preconditionFailure("the server does not listen") }
      let link = LeafLink(host: host, id: broker.nextID(), account: account, stream: stream, options: options, shared: shared)
      link.owner = self
      dialled.append(link)
    }
  }

  /// Subscribes and writes down what comes.
  @discardableResult
  func subscribe(_ subject: ByteString, _ queue: ByteString? = nil, answer: ByteString? = nil) -> Subscription {
    account.subscribe(subject, queue: queue) { [unowned self] message, _ in
      got.append("\(message.shownSubject.string) (\(message.reply.string)) \(message.headers.string)\(message.payload.string)")
      if let answer { account.publish(to: ByteString(message.reply), answer.bytes) }
    }
  }

  @discardableResult
  func publish(_ subject: ByteString, _ payload: ByteString = "", reply: ByteString = "") -> Bool {
    subject.withView { subject in
      payload.withView { payload in
        reply.withView { reply in account.publish(Message(subject: subject, reply: reply, payload: payload)) }
      }
    }
  }

  func takeGot() -> [String] {
    defer { got = [] }
    return got
  }

  /// The links that were accepted and work.
  var accepted: [LeafLink] { shared.links.filter { !$0.role.isSolicitor } }

  // MARK: LeafLinkOwner

  func linkSaidInfo(_ link: LeafLink, rtt_ns: Int64) {}
  func linkEstablished(_ link: LeafLink) {}
  func linkMeasured(_ link: LeafLink, rtt_ns: Int64) {}
  func linkLameDuck(_ link: LeafLink) {}
  func linkEnded(_ link: LeafLink, _ failure: LeafFailure) { failures.append(failure) }
}

/// One server of ours, and spokes that follow a script.
final class AcceptRig {
  let simulation: Simulation
  let hub: LeafServer
  private var spokes = 0

  init(seed: UInt64 = 1, _ change: (inout LeafListenOptions, inout LeafOptions) -> Void = { _, _ in }) {
    simulation = Simulation(seed: seed)
    hub = LeafServer(simulation.machine("hub"), change)
  }

  func run(_ duration_ns: Int64 = 100 * millisecond_ns) { simulation.run(for: duration_ns) }

  /// Connects, over WebSocket or not, and has got the first INFO.
  func dial(webSocket: Bool = false) -> HubEnd {
    spokes += 1
    let host = simulation.machine("spoke-\(spokes)").host
    var end: HubEnd!
    var exchange: HTTPExchange?
    let address = SocketAddress(address: hub.machine.address, port: webSocket ? 8080 : 7422)
    _ = host.network.connect(address, timeout_ns: second_ns) { result in
      guard case .success(let stream) = result else { preconditionFailure("the hub does not listen") }
      guard webSocket else {
        end = HubEnd(stream, isHub: false)
        return
      }
      exchange = HTTPExchange.webSocket(
        host: host, stream: stream, authority: "hub", path: "/leafnode", wantsNoMasking: false, timeout_ns: second_ns
      ) { result in
        guard case .success(let socket) = result else { preconditionFailure("the hub makes no WebSocket") }
        end = HubEnd(socket, isHub: false)
      }
    }
    run()
    withExtendedLifetime(exchange) {}
    return end
  }

  static func connect(_ name: String, _ more: String = "") -> String {
    "CONNECT {\"version\":\"2.15.1\",\"name\":\"\(name)\",\"cluster\":\"\(name)\",\"headers\":true,\"remote_account\":\"$G\"\(more)}\r\n"
  }

  /// A spoke whose link works; what it was told so far is forgotten.
  func spoke(_ name: String, _ more: String = "", webSocket: Bool = false) -> HubEnd {
    let end = dial(webSocket: webSocket)
    end.send(Self.connect(name, more))
    run()
    precondition(end.closed == nil, "the hub refused: \(end.operations)")
    end.answersPings = true
    _ = end.taken()
    return end
  }

  /// Says something and returns what the hub says to it.
  func say(_ text: String, _ end: HubEnd) -> [String] {
    _ = end.taken()
    end.send(text)
    run()
    return end.taken()
  }
}

/// The members of INFO or CONNECT.
func fields(_ operation: String?) -> JSONValue? {
  guard let operation, let brace = operation.firstIndex(of: "{") else { return nil }
  return try? JSON.parse(ByteString(String(operation[brace...])))
}
