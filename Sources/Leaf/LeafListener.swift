// Where other servers' leaf links are accepted (`leafnodes { listen: … }`), and who of them may stay.
import Broker
import Bytes
import Platform

/// How a leaf listener behaves, beyond what holds for each of its links.
public struct LeafListenOptions {
  /// What solicitors are told instead of the address (`advertise`).
  public var advertised: (host: ByteString, port: Int)?
  /// Solicitors are not told where to come back (`no_advertise`).
  public var isUnadvertised = false
  /// Older servers are sent away, and those that do not say what they are.
  public var versionMin: ReleaseVersion?
  /// As it stands in the configuration.
  public var versionMinText = ByteString()
  /// From the connection to CONNECT.
  public var authenticationTimeout_ns = 2 * second_ns
  /// This server's cluster, for a server that is in one or has remotes; empty for none.
  public var cluster = ByteString()

  public init() {}
}

/// Accepts leaf links. What becomes of each is in LeafLink+Accepting.
public final class LeafListener: LeafLinkOwner {
  /// More connections than this at a time are refused: each costs memory before anybody has said who he is.
  private static let connectionsMax = 4096

  private let broker: Broker
  private let host: Host
  /// How those who connect from now on are served TLS; nil: they are not.
  public var tls: ClientTLS?
  public let options: LeafListenOptions
  private let linkOptions: LeafOptions
  private let shared: LeafShared
  private var listener: (any Listener)?
  /// All connections, those in their handshake too.
  private(set) var connections: [LeafLink] = []
  public private(set) var address: SocketAddress?
  /// Told when the last connection is gone.
  public var onEmpty: (() -> Void)?

  public init(broker: Broker, options: LeafListenOptions, linkOptions: LeafOptions, shared: LeafShared) {
    self.broker = broker
    host = broker.host
    self.options = options
    self.linkOptions = linkOptions
    self.shared = shared
  }

  public func listen(_ wanted: SocketAddress) throws(NetworkError) {
    let listener = try host.network.listen(wanted) { [unowned(unsafe) self] stream in self.accept(stream) }  // safe: closed in `stop`
    self.listener = listener
    address = listener.local
  }

  var authenticator: Authenticator { broker.authenticator }

  func isSystem(_ account: Account) -> Bool { account === broker.systemAccount }

  /// The rules of who may connect have changed.
  public func judgeAgain() {
    for link in connections { link.judgeAgain() }
  }

  /// Takes over a connection from a solicitor; `isWebSocket`: it came to the listener for WebSockets.
  public func accept(_ stream: ByteStream, isWebSocket: Bool = false) {
    guard connections.count < Self.connectionsMax else {
      host.log.error("leafnode \(stream.remote) refused: \(connections.count) connections are there already")
      return stream.close()
    }
    let link = LeafLink(
      host: host, id: broker.nextID(), account: broker.globalAccount, stream: stream,
      options: isWebSocket ? linkOptions.overWebSocket : linkOptions, shared: shared, listener: self)
    link.owner = self
    connections.append(link)
  }

  // MARK: Who may stay

  /// Why a server that says `connect` of itself is sent away; nil when it may stay (leafnode-protocol.md section 4.1).
  func objection(to connect: LeafConnect) -> LeafRefusal? {
    if !connect.lang.isEmpty { return .wrongPort }
    if connect.cluster.bytes.contains(ASCII.space) { return .clusterName }
    if connect.cluster == "_" { return .clusterNameReserved }
    if !connect.cluster.isEmpty, connect.cluster == options.cluster { return .sameCluster }
    if !connect.gateway.isEmpty { return .gateway(connect.gateway) }
    if let least = options.versionMin {
      guard let version = connect.version.withView({ ReleaseVersion($0) }), version >= least else {
        return .minimumVersion(options.versionMinText)
      }
    }
    return nil
  }

  /// A server that comes back before its old connection was found to be dead: the old one goes (section 9.3).
  func evictDuplicates(of link: LeafLink) {
    guard !link.peer.remoteAccount.isEmpty else { return }
    for old in connections where old !== link && old.isEstablished && old.account === link.account {
      guard old.peer.serverName == link.peer.serverName, old.peer.cluster == link.peer.cluster,
        old.peer.remoteAccount == link.peer.remoteAccount
      else { continue }
      old.refuse(.duplicate)
    }
  }

  // MARK: What solicitors are told

  /// The address of this listener, for a solicitor that reached this server at `local`: where it listens on all addresses, that is the one
  /// that is known to work. Who came over WebSocket is told of this listener too, as by nats-server.
  func advertisedAddress(_ local: SocketAddress) -> (host: ByteString, port: Int) {
    let own = address ?? local
    if let advertised = options.advertised { return (advertised.host, advertised.port == 0 ? Int(own.port) : advertised.port) }
    return (ByteString((own.isWildcard ? local : own).hostText), Int(own.port))
  }

  func advertisedURLs(_ address: (host: ByteString, port: Int)) -> [ByteString] {
    // The member itself has to be there: solicitors before 2.15.1 take a server without it for no leaf listener.
    if options.isUnadvertised { return [] }
    let isIPv6 = address.host.bytes.contains(ASCII.colon)
    return [Words("\(isIPv6 ? "[" : "")\(address.host)\(isIPv6 ? "]" : ""):\(address.port)").text]
  }

  // MARK: The end

  /// Stops accepting; those that are linked are told that this server goes, and are closed over the time that clients have.
  public func startLameDuck() {
    close()
    for link in connections where link.isEstablished { link.sendInfo(.lameDuck) }
    let spread = max(broker.limits.lameDuckDuration_ns - broker.limits.lameDuckGrace_ns, 0)
    let each = min(spread / Int64(max(connections.count, 1)), second_ns)
    host.after(broker.limits.lameDuckGrace_ns) { self.endNext(each) }
  }

  private func endNext(_ each: Int64) {
    guard let link = connections.first else { return }
    link.end(.closedHere)
    host.after(each) { self.endNext(each) }
  }

  /// Whether nobody is connected.
  public var isEmpty: Bool { connections.isEmpty }

  private func close() {
    listener?.close()
    listener = nil
  }

  public func stop() {
    close()
    for link in connections { link.end(.closedHere) }
  }

  // MARK: LeafLinkOwner

  public func linkSaidInfo(_ link: LeafLink, rtt_ns: Int64) {}

  public func linkEstablished(_ link: LeafLink) {
    link.logEstablished()
  }

  public func linkMeasured(_ link: LeafLink, rtt_ns: Int64) {}
  public func linkLameDuck(_ link: LeafLink) {}

  public func linkEnded(_ link: LeafLink, _ failure: LeafFailure) {
    link.logEnded(failure)
    connections.removeAll { $0 === link }
    if connections.isEmpty { onEmpty?() }
  }
}
