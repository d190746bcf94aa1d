// What an operator's token says: who may sign for it, and which account is the system's.
import Bytes

/// An operator whose accounts are trusted.
public struct OperatorClaims: Sendable {
  public let key: PublicKey
  public let name: ByteString
  /// Empty when not said.
  public let systemAccount: ByteString
  /// Whether accounts and users must be signed by signing keys, never by the identity keys.
  public let isStrict: Bool
  /// Those that may sign accounts.
  public let accountIssuers: [ByteString]
  public let token: Token

  public init(_ token: Token) throws(TokenProblem) {
    guard token.kind == .operator, token.subject.kind == .operator else { throw .kind }
    var keys: [ByteString] = []
    for key in try token.claims.strings("signing_keys") {
      guard PublicKey(key, kind: .operator) != nil else { throw .claims("signing_keys") }
      keys.append(key)
    }
    // A token that another signed would make that one the operator.
    guard token.issuer == token.subject || keys.contains(token.issuer.text) else { throw .issuer }
    key = token.subject
    name = token.name
    isStrict = try token.claims.flag("strict_signing_key_usage")
    accountIssuers = isStrict ? keys : keys + [token.subject.text]
    systemAccount = try token.claims.string("system_account") ?? ByteString()
    guard systemAccount.isEmpty || PublicKey(systemAccount, kind: .account) != nil else { throw .claims("system_account") }
    self.token = token
  }
}
