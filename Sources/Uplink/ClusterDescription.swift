// The selector's vocabulary: clusters as configured, and what can come of a probe or a link.
import Bytes

/// A cluster by its place in the configuration.
public struct ClusterID: Hashable, Sendable {
  public let index: Int
  public init(_ index: Int) { self.index = index }
}

/// One entry of `uplink.clusters`, as far as choosing needs it.
public struct ClusterDescription: Sendable {
  public var name: ByteString
  /// How many servers are configured for it: a cluster with several is tried again after one of them has closed.
  public var urlCount: Int
  /// Lower is better, and a better tier always outranks a shorter distance.
  public var tier: Int
  /// Multiplies the round-trip time: 2 makes the cluster look twice as far, 0.5 half as far. 0.01 to 100.
  public var weight: Double
  /// Used whenever it can be reached, before every tier.
  public var pinned: Bool

  public init(name: ByteString, urlCount: Int = 1, tier: Int = 0, weight: Double = 1, pinned: Bool = false) {
    self.name = name
    self.urlCount = urlCount
    self.tier = tier
    self.weight = weight
    self.pinned = pinned
  }
}

/// Why a probe round of one cluster had no answer.
public enum ProbeFailure: Sendable, Equatable {
  case noAddress
  case refused
  case unreachable
  case timedOut
  case closed
  /// Something accepted the connection but sent no INFO in time: a box in between, or a server that wants TLS first.
  case noInfo
  /// What came is not the INFO of a usable leaf listener.
  case badInfo
  /// The TLS that comes before INFO could not be had.
  case tls
  /// The proxy on the way does not let through.
  case proxy
  /// The prober did not report before the round's deadline.
  case overdue

  public var text: String { words.string }

  private var words: Words {
    switch self {
    case .noAddress: "no address"
    case .refused: "connection refused"
    case .unreachable: "network unreachable"
    case .timedOut: "timed out"
    case .closed: "closed by the server"
    case .noInfo: "connected, but no INFO came"
    case .badInfo: "not a leaf listener"
    case .tls: "TLS handshake failed"
    case .proxy: "refused by the proxy"
    case .overdue: "no answer before the deadline"
    }
  }
}

/// What came of a probe round of one cluster.
public enum ProbeResult: Sendable, Equatable {
  /// `rtt_us_min` is the least time from connected to INFO among the samples, `connect_us` the kernel's connect time beside it.
  case answered(rtt_us_min: Int64, connect_us: Int64)
  case failed(ProbeFailure)
}

/// Why a link was lost, or did not come up.
public enum LinkFailure: Sendable, Equatable {
  case noAddress
  case refused
  case unreachable
  case timedOut
  case closed
  /// Pings went unanswered.
  case silent
  case tls
  case authorization
  /// The hub saw a loop or a second link of this agent.
  case loop
  case protocolError
  /// The proxy on the way does not let through.
  case proxy
  /// The agent gave the link up itself (a reload, a hand-over that closed it).
  case closedHere

  /// The cluster is there but will not have us: trying again soon would end the same way.
  public var isRejection: Bool {
    switch self {
    case .tls, .authorization, .loop, .protocolError, .proxy: true
    default: false
    }
  }

  public var text: String { words.string }

  private var words: Words {
    switch self {
    case .noAddress: "no address"
    case .refused: "connection refused"
    case .unreachable: "network unreachable"
    case .timedOut: "timed out"
    case .closed: "closed by the server"
    case .silent: "pings unanswered"
    case .tls: "TLS handshake failed"
    case .authorization: "authorization violation"
    case .loop: "loop detected"
    case .protocolError: "protocol error"
    case .proxy: "refused by the proxy"
    case .closedHere: "closed here"
    }
  }
}
