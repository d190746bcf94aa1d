// The composition root: options and a host go in, a running agent comes out. Nothing here decides; it makes the parts and ties them.
import Broker
import Bytes
import Configuration
import Identity
import Interest
import JetStream
import Leaf
import LogStore
import Monitoring
import Platform
import Uplink
import Web

/// A whole agent: local server, streams, uplink, forwards, monitoring.
public final class Agent {
  /// This release.
  public static let release: ByteString = "0.1.0"

  public let host: Host
  public private(set) var options: Options
  public let broker: Broker
  public internal(set) var store: LogStore?
  /// JetStream of each account that has it, and what they have in common.
  var engines: [JetStreamEngine] = []
  public internal(set) var jetStreamOptions: JetStream.Options?
  let jetStreamServer = JetStreamServer()
  /// Those of accounts from which it was taken: what is under way refers to them.
  var retired: [JetStreamEngine] = []
  /// Lets the system account purge others.
  var accountPurge: AccountPurge?
  /// What says in other accounts that there is no JetStream.
  var absent: [AbsentJetStream] = []
  public private(set) var uplink: UplinkSupervisor?
  public private(set) var remotes: [Leaf.LeafRemote] = []
  public private(set) var leafListener: LeafListener?
  public private(set) var forwarders: [Forwarder] = []
  public private(set) lazy var monitor = Monitor(source: self)
  private lazy var services = SystemServices(monitor: monitor)
  /// The leaf links that work.
  public var links: [LeafLink] { shared.links }
  public let startedWall_ns: Int64
  public let startedMonotonic_ns: Int64
  private let shared = LeafShared()
  /// The TLS of every remote and cluster, and where it is configured.
  var leafTLS: [(tls: LeafTLS, location: Location)] = []
  /// The links that forwards use, one at most for each account.
  private var forwardLinks: [LeafLink] = []
  private var isStopping = false

  public init(host: Host, options: Options) {
    self.host = host
    self.options = options
    startedWall_ns = host.clock.wall_ns
    startedMonotonic_ns = host.clock.monotonic_ns
    let identity = ServerIdentity(name: options.serverName ?? ByteString(), release: Self.release, entropy: host.entropy)
    broker = Broker(host: host, identity: identity, limits: options.brokerLimits)
    broker.advertised = options.clientAdvertise.map { (host: $0.host.string, port: $0.port) }
  }

  /// This server as hubs and forwarded messages name it: its JetStream domain, or its name.
  private var originName: ByteString { options.jetStream.domain ?? broker.identity.name }

  // MARK: Start

  public func start() throws(AgentError) {
    let log = host.log
    log.info("Starting petiole")
    log.info("  Version:  \(Self.release.string) (speaks nats-server \(ServerIdentity.protocolVersion.string))")
    log.info("  Name:     \(broker.identity.name.string)")
    log.info("  ID:       \(broker.identity.id.string)")
    broker.tls = try options.clientTLS()
    useAccess(options)
    if options.jetStream.isEnabled { try startJetStream() }
    services.serve()
    if let monitoring = options.monitoring { try startMonitoring(monitoring) }
    if options.webSocket.isListening { try startWebSockets() }
    try startClients()
    if options.leafnodes.port != 0 { try startLeafListener() }
    try startForwards()
    try startLinks()
    log.info("Server is ready")
  }

  public var jetStreams: [JetStream] { engines.map { $0.jetStream } }

  /// Puts the rules of who may connect into force.
  private func useAccess(_ options: Options) {
    for refused in broker.use(options.access) { host.log.error("\(refused.text)") }
    leafListener?.judgeAgain()
  }

  private func startClients() throws(AgentError) {
    let address = try Self.address(options.host, options.port)
    do throws(NetworkError) {
      try broker.listen(address)
    } catch {
      throw .listen(address.description, error)
    }
    if let bound = broker.address { host.log.info("Listening for client connections on \(bound)") }
    if broker.tls != nil { host.log.info("TLS \(options.allowsNonTLS ? "available" : "required") for client connections") }
  }

  /// An address to listen on.
  private static func address(_ host: ByteString, _ port: Int) throws(AgentError) -> SocketAddress {
    let name = host.isEmpty ? "0.0.0.0" : host.string
    guard port <= Int(UInt16.max), let address = SocketAddress(literal: name, port: UInt16(max(port, 0))) else {
      throw .address("\(name):\(port)")
    }
    return address
  }

  private func startWebSockets() throws(AgentError) {
    let webSocket = options.webSocket
    let address = try Self.address(webSocket.host, webSocket.port)
    broker.webSocketPingInterval_ns = webSocket.pingInterval_ns
    broker.webSocketMapsUsers = webSocket.tls?.maps ?? false
    broker.webSocketAdvertised = webSocket.advertise.map { ByteString($0.text) } ?? ByteString()
    let tls = try options.webSocketTLS()
    do throws(NetworkError) {
      try broker.listen(address, webSocket: webSocket.rules, tls: tls)
    } catch {
      throw .webSocket(address.description, error)
    }
    if let bound = broker.webSockets?.address { host.log.info("Listening for websocket clients on \(webSocket.scheme)://\(bound)") }
    if webSocket.tls == nil { host.log.warning("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!") }
  }

  private func startMonitoring(_ place: HostPort) throws(AgentError) {
    let address = try Self.address(place.host, place.port)
    monitor.tls = try options.monitoringTLS()
    do throws(NetworkError) {
      try monitor.listen(address)
    } catch {
      throw .monitoring(address.description, error)
    }
    if let bound = monitor.address { host.log.info("Starting \(options.isMonitoringSecure ? "https" : "http") monitor on \(bound)") }
  }

  // MARK: Links

  private func leafOptions(_ account: ByteString, credentials: ByteString? = nil, seed: ByteString? = nil) -> LeafOptions {
    var leaf = LeafOptions()
    leaf.serverID = broker.identity.id
    leaf.serverName = broker.identity.name
    leaf.domain = options.jetStream.domain ?? ByteString()
    leaf.jetStream = jetStream(of: account) != nil
    if let credentials { leaf.credentials = .file(credentials) }
    if let seed { leaf.credentials = .seed(seed) }
    leaf.pendingMax = options.pending_bytes
    leaf.headers = !options.noHeaderSupport
    if let deadline_ns = options.leafnodes.writeDeadline_ns { leaf.writeDeadline_ns = deadline_ns }
    return leaf
  }

  private func startLeafListener() throws(AgentError) {
    let hostName = options.leafnodes.host.string
    guard let address = SocketAddress(literal: hostName, port: UInt16(clamping: max(options.leafnodes.port, 0))) else {
      throw .address("\(hostName):\(options.leafnodes.port)")
    }
    var leaf = leafOptions(AccessRules.globalAccount)
    leaf.jetStream = options.jetStream.isEnabled
    leaf.compress(as: options.leafnodes.compression)
    leaf.payloadMax = options.payload_bytes
    leaf.isolated = options.leafnodes.isIsolated
    // Who dialled wants to know whether the link lives, and may pay for it; here it is time enough when nobody has come back.
    leaf.liveness.idle_ns = options.pingInterval_ns
    // As of a server in no cluster: its name stands for one as soon as it dials a hub (leafnode-protocol.md section 4).
    let dials = options.uplink != nil || !options.leafnodes.remotes.isEmpty
    let listener = LeafListener(
      broker: broker, options: options.leafnodes.listenOptions(cluster: dials ? broker.identity.name : ByteString()), linkOptions: leaf,
      shared: shared)
    listener.tls = try options.leafListenerTLS()
    do throws(NetworkError) {
      try listener.listen(address)
    } catch {
      throw .listen(address.description, error)
    }
    leafListener = listener
    broker.leafAccepted = { [unowned(unsafe) listener] socket in listener.accept(socket, isWebSocket: true) }  // safe: the agent owns both
    if let bound = listener.address { host.log.info("Listening for leafnode connections on \(bound)") }
  }

  private func startLinks() throws(AgentError) {
    let usual = UsualTLS()
    for remote in options.leafnodes.remotes {
      guard let account = broker.account(remote.account) else { preconditionFailure("a link's account was not made") }
      var leaf = leafOptions(remote.account, credentials: remote.credentials, seed: remote.seed)
      leaf.compress(as: remote.compression)
      leaf.denyImports = remote.denyImports
      leaf.denyExports = remote.denyExports
      leaf.isHub = remote.isHub
      leaf.isolated = remote.isIsolated
      leaf.requestIsolation = remote.requestsIsolation
      leaf.stepTimeout_ns = max(remote.firstInfoTimeout_ns, leaf.stepTimeout_ns)
      leaf.tls = Options.leafTLS(remote.tls, remote.urls, usual: usual)
      try start(leaf.tls, remote.tls?.location ?? remote.location)
      var endpoints = Options.endpoints(remote.urls, proxy: remote.proxy, wantsNoMasking: remote.wantsNoMasking)
      if !remote.noRandomize, endpoints.count > 1 {
        for index in stride(from: endpoints.count - 1, to: 0, by: -1) { endpoints.swapAt(index, host.entropy.below(index + 1)) }
      }
      let link = Leaf.LeafRemote(
        broker: broker, account: account, endpoints: endpoints, options: leaf, shared: shared,
        reconnect_ns: options.leafnodes.reconnect_ns, dialTimeout_ns: max(options.leafnodes.dialTimeout_ns, LeafDial.timeoutMin_ns))
      link.observer = self
      remotes.append(link)
      link.start()
    }
    if let uplinkOptions = options.uplink {
      guard let account = broker.account(uplinkOptions.account) else { preconditionFailure("the uplink's account was not made") }
      var leaf = leafOptions(uplinkOptions.account, credentials: uplinkOptions.credentials)
      leaf.compress(as: uplinkOptions.compression)
      leaf.isMetered = uplinkOptions.isMetered
      if uplinkOptions.isMetered { leaf.liveness = .metered }
      leaf.rateLimit = uplinkOptions.rateLimit
      let identity = broker.identity.name.withView { ByteHash.hash($0, seed: 0) }
      let clusters = Options.clusters(uplinkOptions)
      for (index, cluster) in clusters.enumerated() {
        let declared = uplinkOptions.clusters[index]
        try start(cluster.tls, (declared.tls ?? uplinkOptions.tls)?.location ?? declared.location)
      }
      let uplink = UplinkSupervisor(
        broker: broker, account: account, clusters: clusters, options: leaf, shared: shared,
        parameters: Options.selectorParameters(uplinkOptions), identity: identity)
      uplink.observer = self
      self.uplink = uplink
      uplink.start()
    }
    if uplink != nil || !remotes.isEmpty { watchNetwork() }
  }

  /// Whoever waits for a hub tries again when the machine's network has changed, and links find out whether they still work.
  private func watchNetwork() {
    let isWatched = host.network.watchChanges { [unowned(unsafe) self] change in  // safe: the host is not used without its agent
      guard !isStopping else { return }
      host.log.debug("The network has changed")
      for remote in remotes { remote.networkChanged(change) }
      uplink?.networkChanged(change)
    }
    if !isWatched { host.log.warning("The kernel does not tell when the network changes; links are tried again in their own time") }
  }

  private func startForwards() throws(AgentError) {
    for declaration in options.forwards {
      let forward = ForwardOptions(
        stream: declaration.stream, filter: declaration.filter, to: declaration.to, live: declaration.isLive, window: declaration.window,
        ordered: declaration.isOrdered, deadLetter: declaration.deadLetter, priority: declaration.priority)
      guard let jetStream = jetStream(of: declaration.account), let stream = jetStream.stream(declaration.stream) else {
        host.log.error(
          "\(declaration.location.text): forward: there is no stream \"\(declaration.stream.string)\": declare it in `streams`, then restart"
        )
        continue
      }
      for other in forwarders where other.streamName == declaration.stream && other.account === jetStream.account {
        let overlap = Subject.overlap(other.options.filter ?? ">", declaration.filter ?? ">")
        if overlap {
          throw .forward("\(declaration.stream.string): two forwards take the same subjects: give them filters that do not overlap")
        }
      }
      if let deadLetter = declaration.deadLetter {
        let taken = declaration.filter.map { [$0] } ?? stream.config.subjects
        if taken.contains(where: { Subject.overlap($0, deadLetter) }) {
          throw .forward("\(declaration.stream.string): it would forward its own dead letters: keep \(deadLetter.string) in another stream")
        }
      }
      do throws(SubjectTransformError) {
        forwarders.append(
          try Forwarder(host: host, account: jetStream.account, stream: stream, options: forward, identity: originName))
      } catch {
        host.log.error("\(declaration.location.text): forward \"\(declaration.stream.string)\": \(error.text)")
      }
    }
    for forwarder in forwarders { forwarder.onSubjectsChanged = { [unowned(unsafe) self] in self.holdForwardedSubjects() } }  // safe: it owns them
    rankForwards()
    listenForPauses()
    holdForwardedSubjects()
  }

  // MARK: Reload

  /// Takes over what may change while running, and returns a line for each change that may not.
  public func reload(_ new: Options) -> [String] {
    var refused: [String] = []
    func keeps<Value: Equatable>(_ name: String, _ old: Value, _ new: Value) {
      if old != new { refused.append("config reload not supported for \(name): restart to change it") }
    }
    keeps("host", options.host, new.host)
    keeps("port", options.port, new.port)
    keeps("server_name", options.serverName, new.serverName)
    keeps("client_advertise", options.clientAdvertise, new.clientAdvertise)
    keeps("http", options.http, new.http)
    keeps("https", options.isMonitoringSecure, new.isMonitoringSecure)
    keeps("websocket", true, options.webSocket.isSameListener(as: new.webSocket))
    keeps("logtime", options.logTime, new.logTime)
    keeps("pid_file", options.pidFile, new.pidFile)
    keeps("ports_file_dir", options.portsFileDirectory, new.portsFileDirectory)
    keeps("jetstream", options.jetStream, new.jetStream)
    keeps("leafnodes", options.leafnodes, new.leafnodes.with(options.leafnodes.authorization))
    keeps("uplink", options.uplink, new.uplink)
    keeps("forward", options.forwards, new.forwards)
    guard refused.isEmpty else { return refused }
    if let problem = accountsProblem(new) { return [problem] }
    do throws(AgentError) {
      try reloadTLS(new)
    } catch {
      return [error.text]
    }
    broker.limits = new.brokerLimits
    options = new
    useAccess(new)
    enableJetStream(new)
    services.serve()
    host.log.level = new.trace ? .trace : new.debug ? .debug : .info
    for failure in declare(new.streams) { refused.append("stream \(failure)") }
    host.log.info("Reloaded: access, limits, logging, streams and certificates")
    return refused
  }

  /// What of the accounts cannot change while running: the streams of forwards are not taken from where they are.
  private func accountsProblem(_ new: Options) -> String? {
    for forward in options.forwards where !new.jetStreamAccounts.contains(where: { $0.name == forward.account }) {
      return
        "config reload not supported for taking JetStream from account \"\(forward.account.string)\" of forward \"\(forward.stream.string)\": restart to change it"
    }
    if options.access.systemAccount != new.access.systemAccount {
      return "config reload not supported for system_account: restart to change it"
    }
    return nil
  }

  // MARK: The end

  /// Stops: no new clients, everything that was accepted is made durable, then `done` is called.
  public func stop(_ done: @escaping () -> Void) {
    guard !isStopping else { return }
    isStopping = true
    host.log.info("Initiating Shutdown...")
    for engine in engines { engine.consumers.serverStops() }
    for forwarder in forwarders { forwarder.end() }
    uplink?.stop()
    for remote in remotes { remote.stop() }
    leafListener?.stop()
    broker.shutdown()
    monitor.close()
    // Waiting pulls have been told; they get a moment to hear it, as clients of nats-server do.
    host.after(Self.farewell_ns) { [self] in
      guard let store else { return done() }
      store.close(done)
    }
  }

  private static let farewell_ns = 50 * millisecond_ns

  /// Lame duck: clients and leafs are told to go elsewhere and closed over time; then the agent stops.
  public func startLameDuck(_ done: @escaping () -> Void) {
    host.log.info("Entering lame duck mode, stop accepting new clients")
    broker.startLameDuck { [self] in
      guard let leafListener, !leafListener.isEmpty else { return stop(done) }
      leafListener.onEmpty = { [self] in stop(done) }
    }
    leafListener?.startLameDuck()
  }
}

extension Agent: MonitorSource {
  /// Whether the store can take what clients publish; systemd's watchdog is fed as long as it can.
  public var isHealthy: Bool {
    guard let store else { return true }
    if case .failed = store.state { return false }
    return true
  }
}

extension Agent: LeafLinkObserver {
  public func leafLinkUp(_ link: LeafLink) { chooseForwardLinks() }

  /// Forwards go over the uplink where one is configured for their account, otherwise over the account's first remote of the
  /// configuration; never over another hub in its place, which would get what the first one has.
  private func chooseForwardLinks() {
    for account in broker.accounts {
      let own = forwarders.filter { $0.account === account }
      guard !own.isEmpty else { continue }
      let isUplinks = options.uplink?.account == account.name
      let first = isUplinks ? nil : remotes.first { $0.account === account && $0.leadsToHub }
      let wanted = isUplinks ? uplink?.link : first?.link.flatMap { $0.isEstablished ? $0 : nil }
      let current = forwardLinks.first { $0.account === account }
      guard wanted !== current else { continue }
      forwardLinks.removeAll { $0.account === account }
      if current != nil { for forwarder in own { forwarder.linkDown() } }
      guard let wanted else { continue }
      forwardLinks.append(wanted)
      for forwarder in own { forwarder.linkUp(wanted) }
    }
  }

  /// What forwards carry does not also go live.
  private func holdForwardedSubjects() {
    for account in broker.accounts {
      let own = forwarders.filter { $0.account === account }
      let held = shared.held(in: account)
      var change = {
        held.outbound = own.flatMap { $0.heldSubjects }
        held.inbound = own.flatMap { $0.heldInboundSubjects }
      }
      // Each link looks at what it has told before and after.
      for link in links where link.account === account && link.carriesForwards {
        let inner = change
        change = { link.advertiseChanges(inner) }
      }
      change()
    }
  }

  public func leafLinkDown(_ link: LeafLink) { chooseForwardLinks() }
}
