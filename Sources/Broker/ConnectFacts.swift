// What a connection says of itself to be let in, and what is known of it besides. The same for clients and leaf links.
import Bytes
import Identity
import JSON
import Platform

/// The facts of one CONNECT.
public struct ConnectFacts: Equatable {
  public var user = ByteString()
  public var password = ByteString()
  public var token = ByteString()
  /// A public key, for users that have one instead of a password.
  public var nkey = ByteString()
  /// A user's token.
  public var jwt = ByteString()
  /// The signature of the nonce, in base 64.
  public var signature = ByteString()
  /// What this server gave the connection to sign; empty when nothing.
  public var nonce = ByteString()
  public var connection: ConnectionTypes = .standard
  /// 4 or 16 bytes; empty when unknown.
  public var address: [UInt8] = []
  /// Names in the peer's verified certificate by which users may be found, in the order in which to look; nil when certificates are not
  /// looked at for users.
  public var certificateNames: [ByteString]?

  public init() {}

  /// Whether this is no client but another server.
  var isLeaf: Bool { connection == .leafnode || connection == .leafnodeWebSocket }

  /// Whether nothing was said that could be right or wrong, but for a key.
  var isAnonymous: Bool { user.isEmpty && password.isEmpty && token.isEmpty }

  /// Takes over a member of CONNECT that says who connects or proves it. nil: it is another one; false: it is not text.
  public mutating func take(_ member: JSONMember) -> Bool? {
    // null is as good as empty; another type is an error.
    let text = member.value.isNull ? ByteString() : member.value.string
    switch member.name {
    case "user": user = text ?? user
    case "pass": password = text ?? password
    case "auth_token": token = text ?? token
    case "nkey": nkey = text ?? nkey
    case "jwt": jwt = text ?? jwt
    case "sig": signature = text ?? signature
    default: return nil
    }
    return text != nil
  }

  private static let shownNameMax = 128

  /// For the log: the name that was given, if any was, and nothing of what should have proven it.
  public var shownUser: Words {
    guard !user.isEmpty else { return "" }
    var name: [UInt8] = []
    user.withView { GoQuoted.append($0.prefix(min($0.count, Self.shownNameMax)), to: &name) }
    return " - User \(ByteString(name))"
  }
}
