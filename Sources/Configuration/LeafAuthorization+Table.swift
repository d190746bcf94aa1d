// The option tables of `leafnodes.authorization`: users of leaf links alone.
import Bytes
import Identity

/// Who may connect as a leaf, where that is said apart from other users. They have no permissions.
public struct LeafAuthorizationOptions: Equatable, Sendable {
  public var users: [UserRule] = []
  /// A single user; empty for none.
  public var user = ByteString()
  public var password = ByteString()
  /// A single user that signs; empty for none.
  public var key = ByteString()
  /// That user's account, or everybody's where there are no users.
  public var account = AccessRules.globalAccount
  /// nil: the standard.
  public var timeout_ns: Int64?
  var location = Location.none

  public init() {}

  /// All of them.
  var rules: [UserRule] {
    var all = users
    for (name, isKey) in [(user, false), (key, true)] where !name.isEmpty {
      var only = UserRule(name: name, isKey: isKey)
      if !isKey { only.password = StoredPassword(password) }
      only.account = account
      all.append(only)
    }
    return all
  }
}

extension LeafAuthorizationOptions {
  static var table: [Option<LeafAuthorizationOptions>] {
    [
      Option("user", "username", kind: .string { $0.user = $1 }, doc: "The name of the only user."),
      Option("password", "pass", kind: .secret { $0.password = $1 }, doc: "That user's password, or its bcrypt hash."),
      Option(
        "nkey", kind: .userKey { $0.key = $1 }, doc: "A public key (`U…`) instead of name and password: the other server signs with it."),
      Option(
        "account", kind: .string { $0.account = $1 }, standard: "\"$G\"",
        doc: "That user's account. Alone: the account of servers that need not say who they are."),
      Option(
        "users",
        kind: .custom(type: "array of maps") { decoder, authorization, entry in
          for (map, location) in decoder.maps(entry.value, field: entry.key) ?? [] {
            var user = LeafUserDeclaration()
            decoder.decode(map, by: LeafUserDeclaration.table, into: &user)
            if user.rule.name.isEmpty {
              decoder.error(at: location, "User entry requires a user")
            } else {
              authorization.users.append(user.rule)
            }
          }
        }, doc: "Several users."),
      Option(
        "timeout",
        kind: .custom(type: "seconds or duration") { decoder, authorization, entry in
          if let length_ns = decoder.seconds(entry) { authorization.timeout_ns = length_ns }
        }, standard: "2, with TLS its timeout and 1", doc: "How long a connection may take to say who it is."),
    ]
  }

  static var refused: RefusedOptions { RefusedOptions(unsupported: "proxy_required") }
}

/// An entry of `leafnodes.authorization.users`.
struct LeafUserDeclaration {
  var rule = UserRule(name: ByteString())

  static var table: [Option<LeafUserDeclaration>] {
    [
      Option("user", "username", kind: .string { $0.rule.name = $1 }, doc: "The user's name."),
      Option(
        "password", "pass", kind: .secret { $0.rule.password = StoredPassword($1) }, doc: "The password, or its bcrypt hash (in quotes)."),
      Option("account", kind: .string { $0.rule.account = $1 }, standard: "\"$G\"", doc: "The user's account."),
    ]
  }
}

extension OptionKind {
  static func userKey(_ set: @escaping (inout Target, ByteString) -> Void) -> OptionKind {
    .custom(type: "string") { decoder, target, entry in
      guard let key = decoder.string(entry.value, field: entry.key) else { return }
      if PublicKey(key, kind: .user) == nil { decoder.error(at: entry.value.location, "Not a valid public nkey for a user") }
      set(&target, key)
    }
  }
}
