// How one leaf link is dialled.
import Bytes
import Platform

/// What this server tells a hub of itself, and the limits of the link.
public struct LeafOptions {
  public var serverID = ByteString()
  /// Unique among all leafs of the hub: it is also the cluster name (leafnode-protocol.md section 9.2).
  public var serverName = ByteString()
  public var domain = ByteString()
  public var jetStream = false
  public var compression = LeafCompressionMode.s2Auto
  public var user = ByteString()
  public var password = ByteString()
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
  /// Largest message taken from the hub.
  public var payloadMax = 64 * 1024 * 1024
  /// Most bytes waiting to be written to the hub.
  public var pendingMax = 64 * 1024 * 1024

  public init() {}
}
