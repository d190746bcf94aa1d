// Who is let in: the one place that judges what connections say of themselves, for clients and for leaf links alike.
// Not here: users' tokens of operator mode (Authenticator+Operator), and what becomes of the verdict (ClientConnection+Access).
import Bytes
import Identity
import Platform

/// Judges connections by the access rules (client-protocol.md section 5).
public final class Authenticator {
  public private(set) var rules = AccessRules()
  /// Another number for other rules: a verdict that took a while may be by rules that do not hold any more.
  public private(set) var generation = 0
  unowned(unsafe) let broker: Broker  // safe: the broker owns it
  private var users = UserTable()
  /// Leaf links are judged by these, where there are any.
  private var leafUsers = UserTable()
  /// What everybody gets where nobody has to say who he is.
  private(set) lazy var openGrant = Grant(account: broker.globalAccount)
  private lazy var openLeafGrant = openGrant
  private var anonymousUser: KnownUser?
  private var tokenGrant: Grant?
  /// Operator mode.
  var operators: [OperatorClaims] = []

  private struct KnownUser {
    let rule: UserRule
    let grant: Grant
  }

  private struct UserTable {
    private var users = ByteMap<KnownUser>()
    private(set) var hasKeys = false
    private(set) var hasPasswords = false

    var isEmpty: Bool { !hasKeys && !hasPasswords }
    subscript(_ name: ByteString) -> KnownUser? { users[name] }

    mutating func add(_ rule: UserRule, _ grant: Grant) {
      users.set(rule.name, KnownUser(rule: rule, grant: grant))
      if rule.isKey { hasKeys = true } else { hasPasswords = true }
    }
  }

  init(broker: Broker) { self.broker = broker }

  /// Takes over other rules. The broker has made the accounts that they name.
  func use(_ new: AccessRules) {
    rules = new
    generation &+= 1
    users = table(of: new.users)
    leafUsers = table(of: new.leafUsers)
    openLeafGrant = new.leafAccount == AccessRules.globalAccount ? openGrant : Grant(account: account(new.leafAccount))
    tokenGrant = new.token.map { Grant(account: broker.globalAccount, proof: $0) }
    anonymousUser = new.isOpen ? KnownUser(rule: UserRule(name: ByteString()), grant: openGrant) : users[new.anonymousUser]
    operators = new.operators.compactMap { text in
      text.withView { view in (try? Token(view)).flatMap { try? OperatorClaims($0) } }
    }
  }

  private func table(of rules: [UserRule]) -> UserTable {
    var table = UserTable()
    for rule in rules {
      table.add(
        rule,
        Grant(
          account: account(rule.account), user: rule.name, permissions: rule.permissions.map { PermissionSet($0) },
          proof: rule.isKey ? nil : rule.password))
    }
    return table
  }

  private func account(_ name: ByteString) -> Account {
    guard let account = broker.account(name) else { preconditionFailure("an account of the rules was not made") }
    return account
  }

  /// Leaf links have users of their own where the configuration says so, and nothing else counts for them then.
  private func hasOwnUsers(_ facts: ConnectFacts) -> Bool { facts.isLeaf && !leafUsers.isEmpty }

  public var isRequired: Bool { rules.isRequired }
  /// Whether clients are told that they have to say who they are: not where it is known who they are otherwise.
  public var isAskedFor: Bool { rules.isRequired && (anonymousUser == nil || rules.isOpen) }
  /// Whether whoever connects gets something to sign.
  public var needsNonce: Bool { rules.needsNonce }
  public var timeout_ns: Int64 { rules.timeout_ns }

  /// Something to sign that nobody has seen before: 11 random bytes, as text.
  public func makeNonce() -> ByteString {
    var random: [UInt8] = []
    for _ in 0..<2 {
      var word = broker.host.entropy.next()
      for _ in 0..<8 {
        random.append(UInt8(truncatingIfNeeded: word))
        word >>= 8
      }
    }
    return ByteString(random.withView { Base64.encodeURL($0.prefix(Self.nonceBytes)) })
  }
  private static let nonceBytes = 11

  /// Whoever connects without a word, where that is allowed.
  func anonymous(_ connection: ConnectionTypes) -> Grant? {
    guard rules.isRequired else { return openGrant }
    return anonymousUser.flatMap { Self.allows($0.rule, connection) ? $0.grant : nil }
  }

  /// Judges `facts`. `done` is called once: at once, or later when a hash has to be computed; that can be cancelled.
  @discardableResult
  public func judge(_ facts: ConnectFacts, _ done: @escaping (Verdict) -> Void) -> PasswordCheck? {
    let isOwn = hasOwnUsers(facts)
    let users = isOwn ? leafUsers : users
    guard rules.isRequired || isOwn else {
      done(.granted(facts.isLeaf ? openLeafGrant : openGrant))
      return nil
    }
    if rules.isOperatorMode {
      done(judgeToken(facts))
      return nil
    }
    // A key says nothing where there are none, as for nats-server.
    let isAnonymous = facts.isAnonymous && (facts.nkey.isEmpty || !users.hasKeys)
    if isAnonymous, facts.certificateNames == nil, !isOwn, anonymousUser != nil {
      done(anonymous(facts.connection).map { .granted($0) } ?? .refused)
      return nil
    }
    if !facts.nkey.isEmpty, users.hasKeys {
      done(judgeKey(facts, users))
      return nil
    }
    if Self.areOfUser(facts, users) {
      guard let known = Self.named(by: facts, users), Self.allows(known.rule, facts.connection) else {
        done(.refused)
        return nil
      }
      return compare(known.rule.password, facts.password, known.grant, done)
    }
    guard !isOwn, let token = rules.token, let tokenGrant else {
      done(.refused)
      return nil
    }
    return compare(token, facts.token, tokenGrant, done)
  }

  /// Whether the user is one of the configuration, whatever the proof.
  func knows(_ facts: ConnectFacts) -> Bool { users[facts.nkey.isEmpty ? facts.user : facts.nkey] != nil }

  private func compare(
    _ stored: StoredPassword, _ given: ByteString, _ grant: Grant, _ done: @escaping (Verdict) -> Void
  ) -> PasswordCheck? {
    guard stored.isHash else {
      done(stored.equals(given) ? .granted(grant) : .refused)
      return nil
    }
    return broker.host.passwords.check(given, against: stored.text) { done($0 ? .granted(grant) : .refused) }
  }

  private static func allows(_ rule: UserRule, _ connection: ConnectionTypes) -> Bool {
    rule.connections.isEmpty || rule.connections.contains(connection)
  }

  /// A user that proves to own a key by signing the nonce.
  private func judgeKey(_ facts: ConnectFacts, _ users: UserTable) -> Verdict {
    guard let known = users[facts.nkey], known.rule.isKey, Self.allows(known.rule, facts.connection), let key = PublicKey(facts.nkey),
      Self.hasSigned(facts, key)
    else { return .refused }
    return .granted(known.grant)
  }

  static func hasSigned(_ facts: ConnectFacts, _ key: PublicKey) -> Bool {
    guard !facts.nonce.isEmpty, !facts.signature.isEmpty,
      let signature = facts.signature.withView({ Base64.decodeURL($0) ?? Base64.decode($0) })
    else { return false }
    return facts.nonce.withView { key.verifies(signature, of: $0) }
  }

  /// Whether `facts` are to be those of a user with a password.
  private static func areOfUser(_ facts: ConnectFacts, _ users: UserTable) -> Bool {
    users.hasPasswords && (facts.certificateNames != nil || !facts.user.isEmpty)
  }

  /// That user. Where certificates say who somebody is, the name in CONNECT does not count; a password that the user has counts besides,
  /// as for nats-server.
  private static func named(by facts: ConnectFacts, _ users: UserTable) -> KnownUser? {
    if let names = facts.certificateNames { return first(of: names, users) }
    return users[facts.user].flatMap { $0.rule.isKey ? nil : $0 }
  }

  /// The first of a certificate's names that is a user's.
  private static func first(of names: [ByteString], _ users: UserTable) -> KnownUser? {
    for name in names {
      if let known = users[name], !known.rule.isKey { return known }
    }
    return nil
  }

  /// Judges again after a change of the rules: what a password has proven stays proven as long as the stored one is the same.
  public func judgeAgain(_ facts: ConnectFacts, had old: Grant, _ done: @escaping (Verdict) -> Void) -> PasswordCheck? {
    let isOwn = hasOwnUsers(facts)
    let users = isOwn ? leafUsers : users
    let isKey = !facts.nkey.isEmpty && users.hasKeys
    if let proof = old.proof, proof.isHash, rules.isRequired || isOwn, !rules.isOperatorMode, !isKey {
      if Self.areOfUser(facts, users) {
        if let known = Self.named(by: facts, users), known.rule.password == proof, Self.allows(known.rule, facts.connection) {
          done(.granted(known.grant))
          return nil
        }
      } else if !isOwn, let token = rules.token, token == proof, let tokenGrant {
        done(.granted(tokenGrant))
        return nil
      }
    }
    return judge(facts, done)
  }
}
