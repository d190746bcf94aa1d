// What a connection was let in with: its account, its rights, and how long they last. The same for clients and leaf links.
import Bytes
import Identity
import Platform

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

  /// The same for somebody who has proven nothing.
  var unproven: Grant {
    Grant(
      account: account, user: user, permissions: permissions, subscriptionsMax: subscriptionsMax, payloadMax: payloadMax, expires: expires,
      token: token)
  }

  // MARK: Limits

  /// The least of the server's, the account's and the user's limit.
  public func payloadMax(within server: Int) -> Int { Self.least(server, account.limits.payloadMax, payloadMax) }
  public func subscriptionsMax(within server: Int) -> Int { Self.least(server, account.limits.subscriptionsMax, subscriptionsMax) }

  private static func least(_ server: Int, _ account: Int, _ user: Int) -> Int {
    min(server, account < 0 ? .max : account, user < 0 ? .max : user)
  }

  /// Whether this one lets do what `other` does, and no more.
  public func isLike(_ other: Grant) -> Bool {
    account === other.account && permissions?.permissions == other.permissions?.permissions && subscriptionsMax == other.subscriptionsMax
      && payloadMax == other.payloadMax
  }

  // MARK: Time

  /// When what was granted ends.
  public struct End {
    public let isReached: Bool
    /// Whether it is the account's token that ends, not the user's.
    public let isAccounts: Bool
    /// When to look again.
    public let sleep_ns: Int64
  }

  /// Where the end is far away, it is looked at again after so long: the wall clock may be set meanwhile.
  private static let look_ns = 3600 * second_ns

  /// When the user's or the account's token ends, whichever does first; nil: never.
  public func end(at now_ns: Int64) -> End? {
    let authority = account.claims.map { $0.token.expires } ?? 0
    guard expires != nil || authority > 0 else { return nil }
    let isAccounts = authority > 0 && authority < expires ?? .max
    let (end_ns, overflow) = (isAccounts ? authority : expires ?? authority).multipliedReportingOverflow(by: second_ns)
    let left_ns = overflow ? Self.look_ns : end_ns - now_ns
    return End(isReached: left_ns <= 0, isAccounts: isAccounts, sleep_ns: min(max(left_ns, 0), Self.look_ns))
  }

  /// How long the user's token holds on; nil: for ever. A token may say any number.
  public func left_ns(at now_ns: Int64) -> Int64? {
    guard let expires else { return nil }
    let (end_ns, isTooFar) = expires.multipliedReportingOverflow(by: second_ns)
    return isTooFar ? .max : max(end_ns - now_ns, 0)
  }

  /// Whether the account takes the user's token back.
  public var isRevoked: Bool {
    guard let token, let authority = account.claims else { return false }
    return authority.revocations.revoke(user, issuedAt: token.issuedAt)
  }
}

/// What monitoring shows of a user's token.
public struct GrantToken {
  public let text: ByteString
  /// The signing key, when it is not the account itself.
  public let issuer: ByteString
  public let name: ByteString
  public let tags: [ByteString]
  /// Whether nothing but the token is needed to connect.
  public let isBearer: Bool
  let issuedAt: Int64
}

/// Whether a connection is let in.
public enum Verdict {
  case granted(Grant)
  case refused
  /// Nobody has looked: too many wait to be.
  case noRoom
}
