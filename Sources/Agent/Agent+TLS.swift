// The TLS of an agent: contexts made from the options' files, at start and again at a reload.
import Broker
import Bytes
import Configuration
import Leaf
import Monitoring
import Platform
import Uplink
import Web

extension TLSOptions {
  /// As Platform wants it. Without `asksPeer` nobody who connects is asked for a certificate.
  func settings(asksPeer: Bool) -> TLSSettings {
    var settings = TLSSettings()
    settings.certificateFile = certificateFile
    settings.keyFile = keyFile
    settings.authorityFile = authorityFile
    settings.requiresPeerCertificate = asksPeer
    settings.isInsecure = isInsecure
    settings.onlyTLS13 = onlyTLS13
    settings.cipherSuites = cipherSuites
    settings.groups = groups
    settings.pinnedKeys = asksPeer ? pinnedKeys : []
    return settings
  }

  /// What a listener for clients uses, with the files as they are now.
  func listening() throws(AgentError) -> TLSContext {
    do throws(TLSError) {
      return try TLSContext(.server, settings(asksPeer: verifies || maps || !pinnedKeys.isEmpty))
    } catch {
      throw .tls(location, error)
    }
  }
}

extension LeafTLS {
  convenience init(_ tls: TLSOptions) {
    self.init(
      settings: tls.settings(asksPeer: true), isRequired: true, isFirst: tls.handshakeFirst == .yes,
      timeout_ns: tls.timeout_ns ?? LeafTLS.timeoutDefault_ns)
  }
}

/// What links use that have no `tls` block of their own: the one of `uplink`, or the system's authorities. One context for all of them.
struct UsualTLS {
  /// For addresses that ask for TLS, and for hubs that do.
  let required: LeafTLS
  let onDemand: LeafTLS

  init(_ tls: TLSOptions? = nil) {
    required = tls.map { LeafTLS($0) } ?? LeafTLS(isRequired: true)
    onDemand = tls == nil ? LeafTLS() : required
  }
}

extension Options {
  /// The TLS of links to the servers of `urls`; one of `usual`, which many share, when they have none of their own.
  static func leafTLS(_ tls: TLSOptions?, _ urls: [ServerURL], usual: UsualTLS) -> LeafTLS {
    if let tls { return LeafTLS(tls) }
    return urls.contains { $0.scheme == .tls || $0.scheme == .webSocketSecure } ? usual.required : usual.onDemand
  }

  /// The addresses of `urls`, and by which way they are reached. A server that is reached by its address has a certificate for one of the
  /// names, if there are any.
  static func endpoints(_ urls: [ServerURL], proxy: ProxyOptions?, wantsNoMasking: Bool) -> [LeafEndpoint] {
    let named = urls.first { SocketAddress(literal: $0.host.string, port: 0) == nil }
    return urls.map { url in
      var endpoint = LeafEndpoint(
        hostName: url.host.string, port: UInt16(clamping: url.port), user: url.user ?? ByteString(), password: url.password ?? ByteString())
      if let named, SocketAddress(literal: url.host.string, port: 0) != nil { endpoint.certificateName = named.host }
      if url.isWebSocket { endpoint.webSocket = LeafWebSocket(path: url.path, wantsNoMasking: wantsNoMasking) }
      endpoint.proxy = proxy.map {
        LeafProxy(
          hostName: $0.place.host.string, port: UInt16(clamping: $0.place.port), user: $0.user, password: $0.password,
          timeout_ns: $0.timeout_ns)
      }
      return endpoint
    }
  }

  /// How clients are served TLS, with the files as they are now; nil when they are not.
  func clientTLS() throws(AgentError) -> ClientTLS? { try Self.serve(tls, isOptional: allowsNonTLS) }

  /// Likewise for other servers' leaf links.
  func leafListenerTLS() throws(AgentError) -> ClientTLS? { try Self.serve(leafnodes.tls, isOptional: false) }

  private static func serve(_ tls: TLSOptions?, isOptional: Bool) throws(AgentError) -> ClientTLS? {
    guard let tls else { return nil }
    let context = try tls.listening()
    let first: ClientTLS.First
    switch tls.handshakeFirst {
    case .no: first = .no
    case .yes: first = .yes
    case .within_ns(let wait_ns): first = .within_ns(wait_ns)
    }
    return ClientTLS(
      context: context, first: first, isOptional: isOptional, timeout_ns: tls.timeout_ns ?? TLSOptions.timeoutDefault_ns,
      mapsUsers: tls.maps)
  }

  /// The certificate of the WebSocket listener; nil when it has none.
  func webSocketTLS() throws(AgentError) -> TLSContext? {
    guard webSocket.isListening, let tls = webSocket.tls else { return nil }
    return try tls.listening()
  }

  /// The certificate of HTTPS monitoring, which asks nobody for one.
  func monitoringTLS() throws(AgentError) -> TLSContext? {
    guard let tls, isMonitoringSecure else { return nil }
    do throws(TLSError) {
      return try TLSContext(.server, tls.settings(asksPeer: false))
    } catch {
      throw .tls(tls.location, error)
    }
  }

  /// Whether the files of every `tls` block can be used.
  public func checkTLS() throws(AgentError) {
    _ = try clientTLS()
    _ = try leafListenerTLS()
    _ = try monitoringTLS()
    _ = try webSocketTLS()
    for tls in leafnodes.remotes.map({ $0.tls }) + [uplink?.tls] + (uplink?.clusters.map { $0.tls } ?? []) {
      guard let tls else { continue }
      do throws(TLSError) {
        _ = try TLSContext(.client, tls.settings(asksPeer: true))
      } catch {
        throw .tls(tls.location, error)
      }
    }
  }
}

extension Agent {
  /// Reads every certificate and key anew, for connections made from now on. What cannot be used leaves everything as it was.
  func reloadTLS(_ new: Options) throws(AgentError) {
    let clients = try new.clientTLS()
    let leafs = try new.leafListenerTLS()
    let monitoring = try new.monitoringTLS()
    let webSockets = try new.webSocketTLS()
    var loaded: [TLSContext?] = []
    for (tls, location) in leafTLS { loaded.append(try load(tls, location)) }
    for (index, context) in loaded.enumerated() { leafTLS[index].tls.use(context) }
    broker.tls = clients
    leafListener?.tls = leafs
    monitor.tls = monitoring
    broker.webSockets?.tls = webSockets
    broker.webSocketMapsUsers = new.webSocket.tls?.maps ?? false
  }

  /// The files of a remote or cluster as they are now.
  private func load(_ tls: LeafTLS, _ location: Location) throws(AgentError) -> TLSContext? {
    do throws(TLSError) {
      return try tls.load()
    } catch {
      throw .tls(location, error)
    }
  }

  /// Reads the files of a remote or cluster for the first time.
  func start(_ tls: LeafTLS, _ location: Location) throws(AgentError) {
    guard !leafTLS.contains(where: { $0.tls === tls }) else { return }
    tls.use(try load(tls, location))
    leafTLS.append((tls, location))
  }
}
