// Why the accepting or the upstream end of a leaf link ends it, and in which words it says so.
import Bytes

/// What the other end did, or is, that this link ends for (leafnode-protocol.md section 7).
public enum LeafRefusal: Equatable, Sendable {
  case authorization
  case authenticationTimeout
  case userExpired
  case accountExpired
  case revoked
  case accountFull
  /// Too many passwords wait to be checked.
  case loginsExceeded
  /// A client took this port for its own.
  case wrongPort
  case gateway(ByteString)
  case clusterName
  case clusterNameReserved
  case sameCluster
  case unsupportedCompression(ByteString)
  case minimumVersion(ByteString)
  /// A newer link of the same server has come.
  case duplicate
  /// Said, but not closed for.
  case invalidSubscription
  case subscriptionsExceeded
  case loop(account: ByteString)
  case subscription(ByteString)
  case publish(ByteString)
  case payload
  case controlLine
  case unknownOperation
  /// Arguments that cannot be read: real servers close without a word.
  case malformed
  case stale
  case staleHandshake

  /// The text of -ERR; nil when nothing is said. Solicitors decide by these words when to come back.
  public var words: Words? {
    switch self {
    case .authorization: "Authorization Violation"
    case .authenticationTimeout: "Authentication Timeout"
    case .userExpired: "User Authentication Expired"
    case .accountExpired: "Account Authentication Expired"
    case .revoked: "User Authentication Revoked"
    case .accountFull: "maximum account active connections exceeded"
    case .loginsExceeded: "maximum pending authentications exceeded"
    case .wrongPort: "attempted to connect to leaf node port"
    case .gateway(let name): "Rejecting connection from gateway \"\(name)\" on the leafnode port"
    case .clusterName: "cluster name cannot contain spaces"
    case .clusterNameReserved: "cluster name is reserved"
    case .sameCluster: "remote leafnode has same cluster name"
    case .unsupportedCompression(let mode): "unsupported route compression mode \"\(mode)\""
    case .minimumVersion(let version): "connection rejected since minimum version required is \"\(version)\""
    case .duplicate: "Duplicate Remote LeafNode Connection"
    case .invalidSubscription: "Invalid Subscription"
    case .subscriptionsExceeded: "maximum subscriptions exceeded"
    case .loop(let account): "Loop detected for leafnode account=\"\(account)\". Delaying attempt to reconnect for 30s"
    case .subscription(let subject): "Permissions Violation for Subscription to \"\(subject)\""
    case .publish(let subject): "Permissions Violation for Publish to \"\(subject)\""
    case .payload: "Maximum Payload Violation"
    case .controlLine: "maximum control line exceeded"
    case .unknownOperation: "Unknown Protocol Operation"
    case .malformed: nil
    case .stale: "Stale Connection"
    case .staleHandshake: "Stale Leaf Node Connection - Closing"
    }
  }
}
