// CONNECT as the solicitor of a leaf link sends it.
import Broker
import Bytes
import Interest
import JSON

/// What a server that dialled says of itself and asks for (leafnode-protocol.md section 4).
public struct LeafConnect: Equatable {
  /// CONNECT with more JSON values than this is refused.
  private static let nodesMax = 4096
  /// So many subjects may be denied: each is compared with every message.
  private static let denyMax = 1024
  /// Longer than any server, cluster, domain or account is named in earnest.
  private static let nameMax = 1024

  public var version = ByteString()
  public var serverID = ByteString()
  /// Identifies the server: of two links with the same name the older one is closed.
  public var name = ByteString()
  public var cluster = ByteString()
  public var domain = ByteString()
  public var jetStream = false
  public var headers = false
  /// The solicitor wants to be upstream.
  public var isHub = false
  /// The solicitor wants no interest of other leafs.
  public var isolate = false
  /// Subjects that must not be sent to it.
  public var denyPublish: [ByteString] = []
  /// The account at its side.
  public var remoteAccount = ByteString()
  /// Who it says it is, and the proof.
  public var facts = ConnectFacts()
  /// Set by clients and gateways that took this port for theirs.
  public var lang = ByteString()
  public var gateway = ByteString()

  public init() {}

  /// nil when `text` is not a JSON object of the right types, or longer than it may be.
  public init?(_ text: ByteView) {
    guard let json = try? JSON.parse(text, depthMax: 8, nodesMax: Self.nodesMax), let members = json.object else { return nil }
    for member in members where !member.value.isNull {
      let value = member.value
      switch member.name {
      case "version": guard Self.set(&version, value, Self.nameMax) else { return nil }
      case "server_id": guard Self.set(&serverID, value, Self.nameMax) else { return nil }
      case "name": guard Self.set(&name, value, Self.nameMax) else { return nil }
      case "cluster": guard Self.set(&cluster, value, Self.nameMax) else { return nil }
      case "domain": guard Self.set(&domain, value, Self.nameMax) else { return nil }
      case "remote_account": guard Self.set(&remoteAccount, value, Self.nameMax) else { return nil }
      case "lang": guard Self.set(&lang, value, Self.nameMax) else { return nil }
      case "gateway": guard Self.set(&gateway, value, Self.nameMax) else { return nil }
      case "jetstream": guard Self.set(&jetStream, value) else { return nil }
      case "headers": guard Self.set(&headers, value) else { return nil }
      case "is_hub": guard Self.set(&isHub, value) else { return nil }
      case "isolate": guard Self.set(&isolate, value) else { return nil }
      case "deny_pub":
        guard let subjects = value.array, subjects.count <= Self.denyMax else { return nil }
        for subject in subjects {
          guard let subject = subject.string, subject.withView({ Subject.isValid($0) }) else { return nil }
          denyPublish.append(subject)
        }
      // Bounded by the control line.
      default: guard facts.take(member) ?? true else { return nil }
      }
    }
  }

  private static func set(_ target: inout ByteString, _ value: JSONValue, _ longest: Int) -> Bool {
    guard let text = value.string, text.count <= longest else { return false }
    target = text
    return true
  }

  private static func set(_ target: inout Bool, _ value: JSONValue) -> Bool {
    guard let bool = value.bool else { return false }
    target = bool
    return true
  }
}
