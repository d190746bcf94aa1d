// Who may connect and what there is to connect to, as a configuration says it. How it is enforced is Broker's business.
import Bytes

/// A user of the configuration.
public struct UserRule: Equatable, Sendable {
  /// The name, or the public key when `isKey`.
  public var name: ByteString
  /// Whether the user proves to own a key rather than to know a password.
  public var isKey: Bool
  public var password = StoredPassword(ByteString())
  public var account: ByteString = AccessRules.globalAccount
  /// nil: unrestricted.
  public var permissions: Permissions?
  /// How the user may be connected; empty: in any way.
  public var connections: ConnectionTypes = []

  public init(name: ByteString, isKey: Bool = false) {
    self.name = name
    self.isKey = isKey
  }
}

/// An account of the configuration.
public struct AccountRule: Equatable, Sendable {
  public var name: ByteString
  public var limits = AccountLimits()
  /// nil: it has no JetStream.
  public var jetStream: JetStreamGrant?
  public var exports: [ExportRule] = []
  public var imports: [ImportRule] = []

  public init(name: ByteString) { self.name = name }
}

/// All of it.
public struct AccessRules: Equatable, Sendable {
  /// The account of everybody who has no other.
  public static let globalAccount: ByteString = "$G"
  public static let systemAccountDefault: ByteString = "$SYS"
  public static let timeoutDefault_ns: Int64 = 2_000_000_000

  public var users: [UserRule] = []
  /// A token that is enough on its own.
  public var token: StoredPassword?
  /// As whom they connect who say nothing; empty: they may not.
  public var anonymousUser = ByteString()
  /// Whether they who say nothing are the global account's, although there are users: only the system account has any.
  public var isOpen = false
  /// How long a connection may take to say who it is.
  public var timeout_ns = AccessRules.timeoutDefault_ns
  /// Users of leaf links alone: where there are any, leaf links are judged by nothing else.
  public var leafUsers: [UserRule] = []
  /// Whose leaf links are that need not say who they are.
  public var leafAccount: ByteString = AccessRules.globalAccount
  /// Besides the global one and the system's.
  public var accounts: [AccountRule] = []
  public var systemAccount = AccessRules.systemAccountDefault
  /// Tokens of trusted operators: there are users' tokens instead of users then.
  public var operators: [ByteString] = []
  /// Operators' public keys, where no tokens say more.
  public var trustedKeys: [ByteString] = []
  /// Accounts' tokens.
  public var accountTokens: [ByteString] = []

  public init() {}

  /// Whether users have tokens of trusted operators.
  public var isOperatorMode: Bool { !operators.isEmpty || !trustedKeys.isEmpty }
  /// Whether anybody must say who he is.
  public var isRequired: Bool { !users.isEmpty || token != nil || isOperatorMode }
  /// Whether a connection needs something to sign.
  public var needsNonce: Bool { isOperatorMode || users.contains { $0.isKey } }
}
