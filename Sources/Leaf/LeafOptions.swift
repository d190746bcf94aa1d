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
  /// From connect to the first INFO, and to the compressed one.
  public var infoTimeout_ns = 3 * second_ns
  /// From CONNECT to the hub's answer.
  public var answerTimeout_ns = 3 * second_ns
  /// An idle link is checked this often; real servers take two minutes.
  public var pingInterval_ns = 15 * second_ns
  /// So many unanswered PINGs are a lost link.
  public var pingsMax = 2
  /// Largest message taken from the other end.
  public var payloadMax = 64 * 1024 * 1024
  /// Most bytes waiting to be written to the other end.
  public var pendingMax = 64 * 1024 * 1024
  /// The other end may take no byte for so long.
  public var writeDeadline_ns = 10 * second_ns
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
    options.isWebSocket = endpoint.webSocket != nil
    // Over WebSocket nats-server puts the frames into S2 (leafnode-protocol.md section 18), which no WebSocket stack understands.
    if options.isWebSocket { options.compression = .off }
    return options
  }
}
