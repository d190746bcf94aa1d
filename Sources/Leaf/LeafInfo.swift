// INFO as the acceptor of a leaf link sends it.
import Bytes
import JSON

/// What a leaf listener says of itself (leafnode-protocol.md section 3.1). Fields that are missing have the values a real
/// solicitor assumes.
public struct LeafInfo: Equatable {
  /// INFO with more JSON values than this is refused.
  static let nodesMax = 4096
  /// So many gossiped addresses are looked at.
  private static let urlsMax = 64

  public var serverID = ByteString()
  public var serverName = ByteString()
  public var version = ByteString()
  public var cluster = ByteString()
  public var domain = ByteString()
  public var nonce = ByteString()
  /// The acceptor's connection id: present and not zero on every leaf listener.
  public var clientID: UInt64 = 0
  public var headers = false
  public var jetStream = false
  public var tlsRequired = false
  public var tlsAvailable = false
  public var authRequired = false
  public var maxPayload = 1024 * 1024
  /// The configured compression mode; nil when it cannot compress.
  public var compression: ByteString?
  /// The same of an agent that knows more than S2, in its words.
  public var extendedCompression: ByteString?
  /// CONNECT will be answered by another INFO.
  public var infoOnConnect = false
  /// This is that other INFO.
  public var connectInfo = false
  /// The server is about to go (lame duck).
  public var lameDuck = false
  public var remoteAccount = ByteString()
  public var leafURLs: [ByteString] = []
  /// What the solicitor may subscribe to, and publish; nil when nothing was said.
  public var importPermissions: SubjectPermission?
  public var exportPermissions: SubjectPermission?
  /// JetStream API level; 0 when not told (2.10 and 2.11).
  public var apiLevel = 0

  public init() {}

  /// nil when `text` is not a JSON object or a field has the wrong type.
  public init?(_ text: ByteView) {
    guard let json = try? JSON.parse(text, depthMax: 8, nodesMax: Self.nodesMax), json.object != nil else { return nil }
    serverID = json["server_id"]?.string ?? ByteString()
    serverName = json["server_name"]?.string ?? ByteString()
    version = json["version"]?.string ?? ByteString()
    cluster = json["cluster"]?.string ?? ByteString()
    domain = json["domain"]?.string ?? ByteString()
    nonce = json["nonce"]?.string ?? ByteString()
    clientID = json["client_id"]?.uint64 ?? 0
    headers = json["headers"]?.bool ?? false
    jetStream = json["jetstream"]?.bool ?? false
    tlsRequired = json["tls_required"]?.bool ?? false
    tlsAvailable = json["tls_available"]?.bool ?? false
    authRequired = json["auth_required"]?.bool ?? false
    if let limit = json["max_payload"]?.int {
      guard limit > 0 else { return nil }
      maxPayload = limit
    }
    compression = json["compression"]?.string
    extendedCompression = json["petiole_compression"]?.string
    infoOnConnect = json["info_on_connect"]?.bool ?? false
    connectInfo = json["connect_info"]?.bool ?? false
    lameDuck = json["ldm"]?.bool ?? false
    remoteAccount = json["remote_account"]?.string ?? ByteString()
    for url in (json["leafnode_urls"]?.array ?? []).prefix(Self.urlsMax) {
      if let url = url.string { leafURLs.append(url) }
    }
    apiLevel = json["api_lvl"]?.int ?? 0
    if let permission = json["import"] { importPermissions = SubjectPermission(permission) }
    if let permission = json["export"] { exportPermissions = SubjectPermission(permission) }
  }
}
