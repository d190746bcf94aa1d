// Who is at the other end of a leaf link.
import Bytes

/// What the other end said of itself in its handshake.
public struct LeafPeer: Equatable {
  public var serverID = ByteString()
  public var serverName = ByteString()
  public var version = ByteString()
  /// Messages from a leaf of this cluster go to no other leaf of it (leafnode-protocol.md section 9.2); empty for none.
  public var cluster = ByteString()
  /// Its JetStream domain; empty for none.
  public var domain = ByteString()
  public var jetStream = false
  /// Whether it takes messages with headers, and so do we.
  public var headers = false
  /// The largest message that it takes.
  public var maxPayload = Int.max
  /// The account at the other end.
  public var remoteAccount = ByteString()
  /// JetStream API level; 0 when not told (2.10 and 2.11).
  public var apiLevel = 0

  public init() {}

  /// A hub, from its first INFO.
  init(_ info: LeafInfo) {
    serverID = info.serverID
    serverName = info.serverName
    version = info.version
    cluster = info.cluster
    domain = info.domain
    jetStream = info.jetStream
    headers = info.headers
    maxPayload = info.maxPayload
    remoteAccount = info.remoteAccount
    apiLevel = info.apiLevel
  }

  /// A server that dialled, from its CONNECT. What it takes at most is not said there.
  init(_ connect: LeafConnect) {
    serverID = connect.serverID
    serverName = connect.name
    version = connect.version
    cluster = connect.cluster
    domain = connect.domain
    jetStream = connect.jetStream
    headers = connect.headers
    remoteAccount = connect.remoteAccount
  }

  /// Its name as people see it.
  public var displayName: ByteString { serverName.isEmpty ? serverID : serverName }
}
