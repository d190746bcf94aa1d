// How a leaf link behaves, dialled or accepted.
import Bytes
import Platform

/// What this server tells the other end of itself, and the limits of the link.
public struct LeafOptions {
  public var serverID = ByteString()
  /// Unique among all leafs of the hub: to hubs it is also the cluster name (leafnode-protocol.md section 9.2).
  public var serverName = ByteString()
  public var domain = ByteString()
  public var jetStream = false
  public var compression = LeafCompressionMode.s2Auto
  public var compressionThresholds = LeafCompressionThresholds()
  /// Whether messages may have headers.
  public var headers = true
  public var user = ByteString()
  public var password = ByteString()
  public var tls = LeafTLS()
  /// Who the hub's certificate must name.
  var hubName = ByteString()
  public var credentials = LeafCredentials.none
  /// Subjects that are neither imported from the hub nor exported to it, by configuration.
  public var denyImports: [ByteString] = []
  public var denyExports: [ByteString] = []
  /// From connect to the first INFO, from the request for compression to the compressed INFO, and from CONNECT to its answer; longer where
  /// the round trip is long. A lost segment costs a second or three, and a box on the way may itself have to connect.
  public var stepTimeout_ns = 5 * second_ns
  /// When the other end is asked whether it lives, and when it is given up.
  public var liveness = LeafLiveness.Parameters.usual
  /// Bytes cost money: small flushes wait for company, keepalives are rare.
  public var isMetered = false
  /// Bytes a second that may leave; nil for as many as can.
  public var rateLimit: Int64?
  /// Largest message taken from the other end.
  public var payloadMax = 64 * 1024 * 1024
  /// Most bytes waiting to be written to the other end.
  public var pendingMax = 64 * 1024 * 1024
  /// The other end may take no byte for so long. Whether it is there is judged by PINGs, and a slow link takes its time; so this is long.
  public var writeDeadline_ns = 2 * LeafLiveness.patienceMax_ns
  /// Dialled links: this side is upstream.
  public var isHub = false
  /// Whether interest of other leafs is kept from the other end.
  public var isolated = false
  /// Whether a hub is asked to keep interest of other leafs from this side.
  public var requestIsolation = false
  /// The link is carried by a WebSocket, within which there is no TLS.
  public var isWebSocket = false

  public init() {}

  /// For a link to `endpoint`.
  public func dialling(_ endpoint: LeafEndpoint) -> LeafOptions {
    var options = self
    options.user = endpoint.user
    options.password = endpoint.password
    options.hubName = endpoint.secureName
    return endpoint.webSocket == nil ? options : options.overWebSocket
  }

  /// For a link that a WebSocket carries. nats-server puts the frames into S2 there (leafnode-protocol.md section 18), which no WebSocket
  /// stack understands.
  var overWebSocket: LeafOptions {
    var options = self
    options.isWebSocket = true
    options.compression = .off
    return options
  }
}
