// The option tables of `authorization`, of users and of their permissions, wherever they stand.
import Bytes
import Identity

/// The `authorization` block.
public struct AuthorizationOptions: Equatable, Sendable {
  public var users: [UserRule] = []
  /// A single user; empty for none.
  public var user = ByteString()
  public var password = ByteString()
  public var token: ByteString?
  /// nil: the standard.
  public var timeout_ns: Int64?
  /// Of users that have none of their own.
  public var defaultPermissions: Permissions?
  var hasUsers = false
  /// Whether the block is there at all.
  var isGiven = false

  public init() {}
}

extension AuthorizationOptions {
  static var table: [Option<AuthorizationOptions>] {
    [
      Option(
        "users",
        kind: .custom(type: "array of maps") { decoder, authorization, entry in
          authorization.hasUsers = true
          authorization.users = decoder.users(entry)
        }, doc: "Users of the global account."),
      Option("user", "username", kind: .string { $0.user = $1 }, doc: "The name of the only user."),
      Option(
        "password", "pass", kind: .secret { $0.password = $1 }, doc: "That user's password, or its bcrypt hash."),
      Option("token", kind: .secret { $0.token = $1 }, doc: "A token that is enough on its own, or its bcrypt hash."),
      Option(
        "timeout",
        kind: .custom(type: "seconds or duration") { decoder, authorization, entry in
          if let length_ns = decoder.seconds(entry) { authorization.timeout_ns = length_ns }
        }, standard: "2, with TLS its timeout and 1", doc: "How long a connection may take to say who it is."),
      Option(
        "default_permissions", "default_permission", "permissions",
        kind: .permissions { $0.defaultPermissions = $1 }, doc: "Permissions of users that have none of their own."),
    ]
  }

  static var refused: RefusedOptions { RefusedOptions(unsupported: "auth_callout auth_hook proxy_required") }
}

/// A user as it is read.
struct UserDeclaration {
  var name = ByteString()
  var key = ByteString()
  var password: ByteString?
  var permissions: Permissions?
  var connections: ConnectionTypes = []

  static var table: [Option<UserDeclaration>] {
    [
      Option("user", "username", kind: .string { $0.name = $1 }, doc: "The user's name. No other user of any account has it."),
      Option("password", "pass", kind: .secret { $0.password = $1 }, doc: "The password, or its bcrypt hash (in quotes)."),
      Option("nkey", kind: .string { $0.key = $1 }, doc: "A public key (`U…`) instead of name and password: the client signs with it."),
      Option(
        "permissions", "permission", "authorization", kind: .permissions { $0.permissions = $1 },
        doc: "What the user may publish and subscribe to; everything without it."),
      Option(
        "allowed_connection_types", "connection_types", "clients",
        kind: .custom(type: "array of strings") { decoder, user, entry in
          for (text, location) in decoder.strings(entry.value, field: entry.key) ?? [] {
            guard let type = text.withView({ ConnectionTypes(named: $0) }) else {
              decoder.error(at: location, "unknown connection type \"\(text)\"")
              continue
            }
            user.connections.insert(type)
          }
        }, standard: "any",
        doc:
          "How the user may connect: `STANDARD`, `LEAFNODE`, and as far as there are listeners `WEBSOCKET`, `LEAFNODE_WS`, `MQTT`, `MQTT_WS`, `IN_PROCESS`."
      ),
    ]
  }

  static var refused: RefusedOptions { RefusedOptions(unsupported: "proxy_required") }
}

extension Permissions {
  static var table: [Option<Permissions>] {
    [
      Option(
        "publish", "pub", "import", kind: .subjectLists(queues: false) { $0.publish = $1 }, standard: "everything",
        doc: "Subjects that may be published to: one, several, or a map of `allow` and `deny`. Deny outranks allow."),
      Option(
        "subscribe", "sub", "export", kind: .subjectLists(queues: true) { $0.subscribe = $1 }, standard: "everything",
        doc: "Subjects that may be subscribed to, likewise. An entry `\"subject queue\"` is for that queue group."),
      Option(
        "allow_responses", "publish_allow_responses",
        kind: .custom(type: "true, false or a map") { decoder, permissions, entry in
          switch entry.value.content {
          case .boolean(let flag): permissions.responses = flag ? Responses() : nil
          case .map(let map):
            var responses = Responses()
            decoder.decode(map, by: Responses.table, into: &responses)
            permissions.responses = responses
          default: decoder.error(at: entry.value.location, "error parsing response permissions, expected a boolean or a map")
          }
        }, standard: "false",
        doc: "Whether a request may be answered whatever `publish` says. Without `publish.allow` nothing else may be published then."),
    ]
  }
}

extension Permissions.Lists {
  /// `queues` says whether entries may name a queue group.
  static func table(queues: Bool) -> [Option<Permissions.Lists>] {
    [
      Option(
        "allow",
        kind: .custom(type: "string or array of strings") { decoder, lists, entry in
          let subjects = decoder.permissionSubjects(entry.value, field: entry.key, queues: queues)
          // As for nats-server, an empty list is none.
          lists.allow = subjects.isEmpty ? nil : subjects
        }, standard: "everything", doc: "What is allowed."),
      Option(
        "deny",
        kind: .custom(type: "string or array of strings") { decoder, lists, entry in
          lists.deny = decoder.permissionSubjects(entry.value, field: entry.key, queues: queues)
        }, doc: "What is not, of that."),
    ]
  }
}

extension Permissions.Responses {
  static var table: [Option<Permissions.Responses>] {
    [
      Option(
        "max", "max_msgs", "max_messages", "max_responses",
        kind: .integer(Int64(Int32.min)...Int64(Int32.max)) { if $1 != 0 { $0.max = Int($1) } }, standard: "1",
        doc: "Answers to one request; -1 is any number."),
      Option(
        "expires", "expiration", "ttl",
        kind: .duration(-86_400_000_000_000...(365 * 86_400_000_000_000)) { if $1 != 0 { $0.expires_ns = $1 } }, standard: "\"2m\"",
        doc: "How long after the request; below 0 is for ever."),
    ]
  }
}

extension OptionKind {
  static func permissions(_ set: @escaping (inout Target, Permissions) -> Void) -> OptionKind {
    .custom(type: "map") { decoder, target, entry in
      guard let map = decoder.map(entry.value, field: entry.key) else { return }
      var permissions = Permissions()
      decoder.decode(map, by: Permissions.table, into: &permissions)
      set(&target, permissions)
    }
  }

  static func subjectLists(queues: Bool, _ set: @escaping (inout Target, Permissions.Lists) -> Void) -> OptionKind {
    .custom(type: "string, array of strings or a map") { decoder, target, entry in
      var lists = Permissions.Lists()
      if case .map(let map) = entry.value.content {
        decoder.decode(map, by: Permissions.Lists.table(queues: queues), into: &lists)
      } else {
        let subjects = decoder.permissionSubjects(entry.value, field: entry.key, queues: queues)
        lists.allow = subjects.isEmpty ? nil : subjects
      }
      set(&target, lists)
    }
  }

  /// A password or token; when it is a hash, one that can be checked.
  static func secret(_ set: @escaping (inout Target, ByteString) -> Void) -> OptionKind {
    .custom(type: "string") { decoder, target, entry in
      guard let text = decoder.string(entry.value, field: entry.key) else { return }
      if let problem = StoredPassword(text).hashProblem { decoder.error(at: entry.value.location, "\(entry.key): \(problem)") }
      set(&target, text)
    }
  }
}

extension OptionDecoder {
  /// The users of an array, those that are right.
  mutating func users(_ entry: ConfigurationEntry) -> [UserRule] {
    var rules: [UserRule] = []
    for (map, location) in maps(entry.value, field: entry.key) ?? [] {
      var user = UserDeclaration()
      decode(map, by: UserDeclaration.table, refused: UserDeclaration.refused, into: &user)
      if user.key.isEmpty, user.name.isEmpty {
        error(at: location, "User entry requires a user")
      } else if user.key.isEmpty {
        var rule = UserRule(name: user.name)
        rule.password = StoredPassword(user.password ?? ByteString())
        rule.permissions = user.permissions
        rule.connections = user.connections
        rules.append(rule)
      } else if PublicKey(user.key, kind: .user) == nil {
        error(at: location, "Not a valid public nkey for a user")
      } else if !user.name.isEmpty || user.password != nil {
        error(at: location, "Nkey users do not take usernames or passwords")
      } else {
        var rule = UserRule(name: user.key, isKey: true)
        rule.permissions = user.permissions
        rule.connections = user.connections
        rules.append(rule)
      }
    }
    return rules
  }

  /// Subjects of a permission; for subscriptions an entry may name a queue group behind a blank.
  mutating func permissionSubjects(_ value: ConfigurationValue, field: ByteString, queues: Bool) -> [ByteString] {
    guard let texts = strings(value, field: field) else { return [] }
    for (text, location) in texts {
      let isValid = text.withView { view in
        if SubjectSyntax.isValid(view) { return true }
        guard queues, let blank = view.firstIndex(of: ASCII.space) else { return false }
        return SubjectSyntax.isValid(view.prefix(blank)) && SubjectSyntax.isValid(view.dropFirst(blank).trimmed)
      }
      if !isValid { error(at: location, "subject \"\(text)\" is not a valid subject") }
    }
    return texts.map { $0.text }
  }
}
