// Everything that an operator can decide, typed, with its defaults. How it is read: Options+Table; checks: Options+Validation.
import Bytes
import Identity

/// The options of one agent. Times are nanoseconds; texts are bytes as given.
public struct Options: Equatable, Sendable {
  /// nats-server's `max_connections` when it is not set.
  public static let connectionsMaxDefault = 65536
  /// Where the monitoring port is looked for when nothing says otherwise.
  public static let monitoringPortDefault = 8222

  // Clients
  public var host: ByteString = "0.0.0.0"
  /// -1 asks for a free port.
  public var port = 4222
  public var clientAdvertise: HostPort?
  /// How clients are served TLS; nil: not at all.
  public var tls: TLSOptions?
  /// Whether clients may do without it.
  public var allowsNonTLS = false
  /// nil: the server's id is its name.
  public var serverName: ByteString?

  // Seeing it
  public var debug = false
  public var trace = false
  public var logTime = true
  public var pidFile: ByteString?
  public var portsFileDirectory: ByteString?
  /// Where the monitoring endpoint listens; nil: nowhere. An empty host is that of the clients.
  public var http: HostPort?
  /// Whether it speaks HTTPS, with the certificate of `tls`.
  public var isMonitoringSecure = false

  // Limits
  /// Negative rejects every client, as in nats-server.
  public var connectionsMax = Options.connectionsMaxDefault
  /// Of one connection; 0 is unlimited.
  public var subscriptionsMax = 0
  public var controlLine_bytes = 4096
  public var payload_bytes = 1 << 20
  /// What may wait for one connection before it is a slow consumer.
  public var pending_bytes = 64 << 20
  public var pingInterval_ns: Int64 = 120_000_000_000
  /// Pings without an answer after which a connection is stale.
  public var pingsOutMax = 2
  public var writeDeadline_ns: Int64 = 10_000_000_000
  public var noHeaderSupport = false
  public var lameDuckDuration_ns: Int64 = 120_000_000_000
  public var lameDuckGracePeriod_ns: Int64 = 10_000_000_000

  public var webSocket = WebSocketOptions()
  // Who may connect
  public var authorization = AuthorizationOptions()
  public var accounts: [AccountDeclaration] = []
  /// nil: the one that every server has.
  public var systemAccount: ByteString?
  /// As whom they connect who say nothing; empty: they may not, where anybody has to say something.
  public var noAuthUser = ByteString()
  public var operatorMode = OperatorOptions()

  public var jetStream = JetStreamOptions()
  public var leafnodes = LeafnodeOptions()
  /// Streams created at start, in this order.
  public var streams: [StreamDeclaration] = []
  public var uplink: UplinkOptions?
  public var forwards: [ForwardDeclaration] = []

  public init() {}

  /// The monitoring endpoint with its host filled in, or nil when there is none.
  public var monitoring: HostPort? {
    http.map { HostPort(host: $0.host.isEmpty ? host : $0.host, port: $0.port) }
  }
}

/// The `jetstream` block.
public struct JetStreamOptions: Equatable, Sendable {
  /// When the log is forced to the medium.
  public enum Sync: Equatable, Sendable {
    /// Before every acknowledgement.
    case always
    case interval_ns(Int64)
  }

  /// DESIGN of the log store: 4 MB segments, 1 to 8 by choice of a board.
  public static let segmentDefault_bytes = 4 << 20

  public var isEnabled = false
  /// nil: a directory for temporary files (`storeDirectory(temporary:)`).
  public var storeDirectory: ByteString?
  /// nil: decided at start from what the machine has.
  public var memoryMax_bytes: Int64?
  public var fileMax_bytes: Int64?
  public var domain: ByteString?
  /// Requests with unknown fields are refused.
  public var isStrict = true
  public var sync = Sync.always
  /// Acknowledgement and flow-control subjects name the domain and the account (`feature_flags { js_ack_fc_v2 }`).
  public var usesLongAckSubjects = false
  public var segment_bytes = JetStreamOptions.segmentDefault_bytes

  public init() {}

  /// The store directory, by default below `temporary` (the environment's TMPDIR) or /tmp: such a store is lost at a reboot.
  public func storeDirectory(temporary: ByteString?) -> ByteString {
    if let storeDirectory { return storeDirectory }
    let parent = temporary.flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
    return parent + (parent.bytes.last == ASCII.slash ? "petiole/jetstream" : "/petiole/jetstream")
  }
}

/// The `leafnodes` block: links that are accepted, and links that are dialled.
public struct LeafnodeOptions: Equatable, Sendable {
  /// Where links are accepted, when there is a port.
  public var host: ByteString = "0.0.0.0"
  /// 0: nowhere; -1 asks for a free one.
  public var port = 0
  /// What solicitors are told instead of the address.
  public var advertise: HostPort?
  /// Whether solicitors are not told of the address at all.
  public var isUnadvertised = false
  /// The oldest server that is let in.
  public var versionMin: ByteString?
  /// Whether interest of leafs is kept from other leafs.
  public var isIsolated = false
  /// nil: as that of clients.
  public var writeDeadline_ns: Int64?
  public var authorization = LeafAuthorizationOptions()
  /// Of links that are accepted; remotes have their own.
  public var tls: TLSOptions?
  public var remotes: [LeafRemote] = []
  /// Between attempts.
  public var reconnect_ns: Int64 = 1_000_000_000
  public var dialTimeout_ns: Int64 = 1_000_000_000
  /// Of links that are accepted; remotes have their own.
  public var compression = LeafCompression(.s2Auto)

  public init() {}

  /// The same with other users.
  public func with(_ authorization: LeafAuthorizationOptions) -> LeafnodeOptions {
    var copy = self
    copy.authorization = authorization
    return copy
  }
}

/// An entry of `leafnodes.remotes`: one leaf link to whichever of its servers answers.
public struct LeafRemote: Equatable, Sendable {
  public var location = Location.none
  public var urls: [ServerURL] = []
  /// The local account that the link belongs to.
  public var account: ByteString = "$G"
  public var compression = LeafCompression(.s2Auto)
  /// Whether the URLs are tried in the order written.
  public var noRandomize = false
  /// Whether URLs that the hub tells of are not used.
  public var ignoreDiscoveredServers = false
  public var denyImports: [ByteString] = []
  public var denyExports: [ByteString] = []
  /// Whether this side is upstream.
  public var isHub = false
  /// Whether interest of other leafs is kept from this link, and whether the hub is asked to do the same.
  public var isIsolated = false
  public var requestsIsolation = false
  public var firstInfoTimeout_ns: Int64 = 1_000_000_000
  public var tls: TLSOptions?
  public var proxy: ProxyOptions?
  /// Asks hubs that are reached over WebSocket whether frames may go without masks.
  public var wantsNoMasking = false
  /// A credentials file.
  public var credentials: ByteString?
  /// A user's seed.
  public var seed: ByteString?
  var isDisabled = false

  public init() {}
}

/// The `uplink` block: the backbone clusters from which the nearest is chosen.
public struct UplinkOptions: Equatable, Sendable {
  /// As many as the cluster selector takes (`ClusterSelector.clusters_max`).
  public static let clustersMax = 64

  public var location = Location.none
  public var clusters: [UplinkCluster] = []
  public var credentials: ByteString?
  /// Whether bytes on the link cost money.
  public var isMetered = false
  /// What probing may cost a day; nil: as much as its rounds need.
  public var probeBudget_bytes: Int64?
  /// Between probe rounds; nil: the selector's own, longer on a metered link.
  public var probeInterval_ns: Int64?
  /// Bytes a second that may be sent; nil: as many as can.
  public var rateLimit: Int64?
  public var compression = LeafCompression(.s2Auto)
  public var account: ByteString = "$G"
  /// For clusters that have none of their own.
  public var tls: TLSOptions?
  public var proxy: ProxyOptions?
  /// As in a remote.
  public var wantsNoMasking = false

  public init() {}
}

/// An entry of `uplink.clusters`.
public struct UplinkCluster: Equatable, Sendable {
  public var location = Location.none
  public var name = ByteString()
  public var urls: [ServerURL] = []
  /// A lower tier is preferred whatever the latency.
  public var tier = 0
  /// Multiplies the measured latency: above 1 makes the cluster seem farther.
  public var weight = 1.0
  /// Preferred to all others while it can be reached.
  public var isPinned = false
  public var tls: TLSOptions?

  public init() {}
}

/// An entry of `forward`: a stream that the agent publishes to the hub's JetStream itself.
public struct ForwardDeclaration: Equatable, Sendable {
  public static let windowDefault = 256

  public var location = Location.none
  public var stream = ByteString()
  public var account = AccessRules.globalAccount
  /// Only messages on these subjects; nil: all.
  public var filter: ByteString?
  /// The subject there, as a transform of `filter`; nil: unchanged.
  public var to: ByteString?
  /// Whether the same messages also cross the link live.
  public var isLive = false
  /// Messages in flight without the hub's ack.
  public var window = ForwardDeclaration.windowDefault
  /// Whether a message waits for the hub's acknowledgement of the one before it on its subject.
  public var isOrdered = true
  /// Where messages go that the hub refuses for good; nil: such a message holds the forward.
  public var deadLetter: ByteString?
  /// Forwards with a lower number go first.
  public var priority = 0

  public init() {}
}
