// What a connection says of itself to be let in, and what is known of it besides. The same for clients and leaf links.
import Bytes
import Identity
import Platform

/// The facts of one CONNECT.
public struct ConnectFacts {
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

  /// Whether nothing was said that could be right or wrong.
  var isAnonymous: Bool { user.isEmpty && password.isEmpty && token.isEmpty && nkey.isEmpty }
}

/// What an authenticated connection may be and do.
public final class Grant {
  public let account: Account
  /// As monitoring and logs show it: a name or a key; empty for everybody.
  public let user: ByteString
  /// nil: unrestricted.
  public let permissions: PermissionSet?
  /// -1 is no limit; those of the account count too.
  public let subscriptionsMax: Int
  public let payloadMax: Int
  /// When the connection ends, in seconds since 1970; nil: never.
  public let expires: Int64?
  /// The token behind it; nil where there is none.
  public let token: GrantToken?
  /// What proved it: the stored password, so that it need not be proven again as long as that stays.
  let proof: StoredPassword?

  public init(
    account: Account, user: ByteString = ByteString(), permissions: PermissionSet? = nil, subscriptionsMax: Int = -1, payloadMax: Int = -1,
    expires: Int64? = nil, token: GrantToken? = nil, proof: StoredPassword? = nil
  ) {
    self.account = account
    self.user = user
    self.permissions = permissions
    self.subscriptionsMax = subscriptionsMax
    self.payloadMax = payloadMax
    self.expires = expires
    self.token = token
    self.proof = proof
  }
}

/// What monitoring shows of a user's token.
public struct GrantToken {
  public let text: ByteString
  /// The signing key, when it is not the account itself.
  public let issuer: ByteString
  public let name: ByteString
  public let tags: [ByteString]
  let issuedAt: Int64
}

/// Whether a connection is let in.
public enum Verdict {
  case granted(Grant)
  case refused
}
