// The server for clients: its accounts, its listener, its connections and their counters.
import Bytes
import Identity
import Platform
import Web

/// Accepts clients and holds the accounts whose messages they share.
public final class Broker {
  public let host: Host
  public let identity: ServerIdentity
  public var limits: BrokerLimits
  /// The account of everybody who has no other.
  public let globalAccount: Account
  /// All accounts, the global one first.
  public internal(set) var accounts: [Account] = []
  /// The account of those who look after the server.
  public internal(set) var systemAccount: Account
  /// Says who is let in.
  public private(set) lazy var authenticator = Authenticator(broker: self)
  /// Told what happens to clients; the agent's system services.
  public unowned(unsafe) var observer: (any BrokerObserver)?  // safe: who observes outlives the broker's clients
  let sharing: SharingContext
  let activationTimer = Timer()
  /// Set when JetStream runs: shown in INFO.
  public var jetStream = false
  /// The JetStream domain; empty for none.
  public var domain = ByteString()
  /// What clients are told instead of the address (`client_advertise`).
  public var advertised: (host: String, port: Int)?
  /// How clients are served TLS; nil: not at all. A change is for those who come after it.
  public var tls: ClientTLS?
  /// The address that is told to clients, once the listener is there.
  public private(set) var address: SocketAddress?

  public private(set) var clients: [UInt64: ClientConnection] = [:]
  public private(set) var connectionsTotal = 0
  /// Those of `clients` that are closed on this side and wait for their last bytes to be written.
  var closingClients = 0
  /// Clients closed because they read too slowly, or did not answer PINGs.
  public internal(set) var slowConsumers = 0
  public internal(set) var staleConnections = 0
  /// How often a fast producer was made to wait for a slow consumer.
  public internal(set) var stalledClients = 0
  public internal(set) var subscriptionCount = 0
  /// Messages from and to clients; leaf links count for themselves.
  public internal(set) var received = Traffic()
  public internal(set) var sent = Traffic()
  public private(set) var isLameDuck = false

  private var listener: (any Listener)?
  /// Where clients connect over WebSocket, if they can.
  public private(set) var webSockets: WebSocketListener?
  /// How often idle WebSocket clients are pinged, if not like others.
  public var webSocketPingInterval_ns: Int64?
  /// Whether the certificate of a WebSocket client says which user it is.
  public var webSocketMapsUsers = false
  /// What `/varz` tells others to use instead of the WebSocket listener's address; empty for nothing.
  public var webSocketAdvertised = ByteString()
  /// Takes WebSockets of leaf nodes; nil where none are accepted.
  public var leafAccepted: ((WebSocketStream) -> Void)?
  private var lastID: UInt64 = 0

  public init(host: Host, identity: ServerIdentity, limits: BrokerLimits = BrokerLimits()) {
    self.host = host
    self.identity = identity
    self.limits = limits
    sharing = SharingContext(host: host)
    globalAccount = Account(name: AccessRules.globalAccount, seed: host.entropy.next(), context: sharing)
    systemAccount = Account(name: AccessRules.systemAccountDefault, seed: host.entropy.next(), context: sharing)
    accounts = [globalAccount, systemAccount]
  }

  /// The account of this name, or nil.
  public func account(_ name: ByteString) -> Account? { accounts.first { $0.name == name } }

  /// The next connection id, for clients and leaf links.
  public func nextID() -> UInt64 {
    lastID += 1
    return lastID
  }

  /// Clients that are being served.
  public var connectionCount: Int { clients.count - closingClients }

  /// Starts to accept clients.
  public func listen(_ wanted: SocketAddress) throws(NetworkError) {
    let listener = try host.network.listen(wanted) { [unowned(unsafe) self] stream in  // safe: the listener is closed before the broker goes
      self.accept(stream)
    }
    self.listener = listener
    address = listener.local
  }

  /// Starts to accept clients, and leaf nodes where `leafAccepted` takes them, over WebSocket.
  /// `tls`: within that.
  public func listen(_ wanted: SocketAddress, webSocket rules: WebSocketRules, tls: TLSContext? = nil) throws(NetworkError) {
    let listener = WebSocketListener(host: host, rules: rules) { [unowned(unsafe) self] socket, upgrade in  // safe: as above
      switch upgrade.purpose {
      case .client: self.accept(socket, upgrade)
      case .leaf:
        if let leafAccepted = self.leafAccepted { return leafAccepted(socket) }
        self.turnAway(socket)
      }
    }
    listener.tls = tls
    try listener.listen(wanted)
    webSockets = listener
  }

  /// A leaf node that came over WebSocket, where none are accepted: nats-server closes without a word, which helps nobody.
  private func turnAway(_ leaf: WebSocketStream) {
    host.log.error("\(leaf.remote) - Not configured to accept leaf node connections: leafnodes has no port")
    leaf.output.append(literal: "-ERR 'Not configured to accept leaf node connections'\r\n")
    leaf.closeStatus = WebSocketStream.Status.policyViolation
    leaf.closeText = "Not configured to accept leaf node connections"
    leaf.closeAfterFlush()
  }

  private func closeListeners() {
    listener?.close()
    listener = nil
    webSockets?.close()
  }

  private func accept(_ stream: ByteStream, _ upgrade: WebSocketUpgrade? = nil) {
    connectionsTotal += 1
    stream.output.limit = limits.pendingMax
    stream.writeDeadline_ns = limits.writeDeadline_ns
    let client = ClientConnection(broker: self, stream: stream, id: nextID(), grant: authenticator.openGrant, upgrade: upgrade)
    clients[client.id] = client
    guard connectionCount <= limits.connectionsMax else { return client.turnAway() }
    client.start()
  }

  func forget(_ client: ClientConnection) {
    clients[client.id] = nil
    closingClients -= 1
  }

  // MARK: The end

  /// Tells clients to go elsewhere and closes them over the lame-duck time; `done` is called when none is left.
  public func startLameDuck(done: @escaping () -> Void) {
    guard !isLameDuck else { return }
    isLameDuck = true
    closeListeners()
    for client in clients.values { client.sendInfo() }
    let spread = max(limits.lameDuckDuration_ns - limits.lameDuckGrace_ns, 0)
    let each = min(spread / Int64(max(clients.count, 1)), second_ns)
    let end_ns = host.clock.monotonic_ns + max(limits.lameDuckDuration_ns, limits.lameDuckGrace_ns)
    host.after(clients.isEmpty ? 0 : limits.lameDuckGrace_ns) { self.closeNext(each, until: end_ns, done) }
  }

  private static let lameDuckPoll_ns = 100 * millisecond_ns

  private func closeNext(_ each: Int64, until end_ns: Int64, _ done: @escaping () -> Void) {
    guard let client = clients.values.first(where: { !$0.isClosing }) else {
      // Those that are closing already still have bytes to write; the end of the lame duck's time ends the wait.
      if clients.isEmpty || host.clock.monotonic_ns >= end_ns { return done() }
      host.after(Self.lameDuckPoll_ns) { self.closeNext(each, until: end_ns, done) }
      return
    }
    client.close(.serverShutdown)
    host.after(each) { self.closeNext(each, until: end_ns, done) }
  }

  /// Stops accepting and closes every client after what is waiting for it was written.
  public func shutdown() {
    closeListeners()
    host.timers.cancel(activationTimer)
    for account in accounts { account.responses.stop() }
    for client in Array(clients.values) { client.close(.serverShutdown) }
  }
}
