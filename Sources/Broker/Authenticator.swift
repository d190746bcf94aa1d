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

  /// What was proven since the rules are these.
  private var proven: ProvenPasswords?
  private lazy var decoySeed = broker.host.entropy.next()

  private struct UserTable {
    private var users = ByteMap<KnownUser>()
    private(set) var hasKeys = false
    private(set) var hasPasswords = false
    /// For each cost of a user's hash, one that nobody's password has, and how many users have that cost.
    private var decoys: [(hash: ByteString, users: Int)] = []

    var isEmpty: Bool { !hasKeys && !hasPasswords }
    subscript(_ name: ByteString) -> KnownUser? { users[name] }

    mutating func add(_ rule: UserRule, _ grant: Grant) {
      users.set(rule.name, KnownUser(rule: rule, grant: grant))
      if rule.isKey { hasKeys = true } else { hasPasswords = true }
      if !rule.isKey, rule.password.isHash { addDecoy(rule.password.decoy) }
    }

    private static let cost = 4..<6

    private mutating func addDecoy(_ hash: ByteString) {
      for index in decoys.indices where decoys[index].hash.bytes[Self.cost] == hash.bytes[Self.cost] {
        decoys[index].users += 1
        return
      }
      decoys.append((hash, 1))
    }

    /// A hash for a name that is no user's: always the same one, of a cost that is as common among such names as among users. nil where no
    /// user has a hash.
    func decoy(for name: ByteString, seed: UInt64) -> ByteString? {
      let total = decoys.reduce(0) { $0 + $1.users }
      guard total > 0 else { return nil }
      var choice = Int(truncatingIfNeeded: name.withView { ByteHash.hash($0, seed: seed) } % UInt64(total))
      for decoy in decoys {
        choice -= decoy.users
        if choice < 0 { return decoy.hash }
      }
      preconditionFailure("a number below the sum is within one of the parts")
    }
  }

  /// What it takes to judge somebody.
  private enum Judgement {
    case verdict(Verdict)
    /// Whether `password` has this hash; nil: it is refused whatever comes of it, and the computing is for show.
    case hash(ByteString, password: ByteString, Grant?)
  }

  init(broker: Broker) { self.broker = broker }

  /// Takes over other rules. The broker has made the accounts that they name.
  func use(_ new: AccessRules) {
    rules = new
    generation &+= 1
    proven = nil
    users = table(of: new.users)
    leafUsers = table(of: new.leafUsers)
    openLeafGrant = new.leafAccount == AccessRules.globalAccount ? openGrant : Grant(account: account(new.leafAccount))
    tokenGrant = new.token.map { Grant(account: broker.globalAccount, proof: $0) }
    anonymousUser =
      new.isOpen
      ? KnownUser(rule: UserRule(name: ByteString()), grant: openGrant)
      : users[new.anonymousUser].map { KnownUser(rule: $0.rule, grant: $0.grant.unproven) }
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

  /// Whether a connection may begin with anything but CONNECT: where they who say nothing are a user with a password, not one with a key,
  /// as for nats-server.
  func mayBeSilent(_ connection: ConnectionTypes) -> Bool { anonymousUser.map { !$0.rule.isKey } ?? false && anonymous(connection) != nil }

  /// Whoever connects without a word, where that is allowed.
  func anonymous(_ connection: ConnectionTypes) -> Grant? {
    guard rules.isRequired else { return openGrant }
    return anonymousUser.flatMap { Self.allows($0.rule, connection) ? $0.grant : nil }
  }

  /// Judges `facts`. `done` is called once: at once, or later when a hash has to be computed; that can be cancelled.
  @discardableResult
  public func judge(_ facts: ConnectFacts, _ done: @escaping (Verdict) -> Void) -> PasswordCheck? {
    switch judgement(of: facts) {
    case .verdict(let verdict):
      done(verdict)
      return nil
    case .hash(let hash, let password, let grant):
      if let grant, hasProven(password, hash) {
        done(.granted(grant))
        return nil
      }
      let generation = generation
      return broker.host.passwords.check(password, against: hash, from: facts.address) { [self] answer in
        guard answer != .noRoom else { return done(.noRoom) }
        guard let grant, answer == .matches else { return done(.refused) }
        if self.generation == generation { remember(password, hash) }
        done(.granted(grant))
      }
    }
  }

  /// What can be said of `facts` by these rules without computing a hash.
  private func judgement(of facts: ConnectFacts) -> Judgement {
    let isOwn = hasOwnUsers(facts)
    let users = isOwn ? leafUsers : users
    guard rules.isRequired || isOwn else { return .verdict(.granted(facts.isLeaf ? openLeafGrant : openGrant)) }
    if rules.isOperatorMode { return .verdict(judgeToken(facts)) }
    // A key says nothing where there are none, as for nats-server.
    let isAnonymous = facts.isAnonymous && (facts.nkey.isEmpty || !users.hasKeys)
    if isAnonymous, facts.certificateNames == nil, !isOwn, anonymousUser != nil {
      return .verdict(anonymous(facts.connection).map { .granted($0) } ?? .refused)
    }
    if !facts.nkey.isEmpty, users.hasKeys { return .verdict(judgeKey(facts, users)) }
    if Self.areOfUser(facts, users) { return judgePassword(facts, users) }
    guard !isOwn, let token = rules.token, let tokenGrant else { return .verdict(.refused) }
    if token.isHash { return .hash(token.text, password: facts.token, tokenGrant) }
    return .verdict(token.equals(facts.token) ? .granted(tokenGrant) : .refused)
  }

  /// A user with a password, or one that is none: both take as long where any user's password takes a while, so that nobody finds out by
  /// trying which names there are.
  private func judgePassword(_ facts: ConnectFacts, _ users: UserTable) -> Judgement {
    let known = Self.named(by: facts, users)
    let grant = known.flatMap { Self.allows($0.rule, facts.connection) ? $0.grant : nil }
    if let stored = known?.rule.password {
      if stored.isHash { return .hash(stored.text, password: facts.password, grant) }
      if stored.equals(facts.password), let grant { return .verdict(.granted(grant)) }
    }
    guard let decoy = users.decoy(for: facts.user, seed: decoySeed) else { return .verdict(.refused) }
    return .hash(decoy, password: facts.password, nil)
  }

  // MARK: What is proven

  private func hasProven(_ password: ByteString, _ hash: ByteString) -> Bool {
    proven?.hold(password, for: hash, now_ns: broker.host.clock.monotonic_ns) ?? false
  }

  private func remember(_ password: ByteString, _ hash: ByteString) {
    if proven == nil {
      var key: [UInt8] = []
      for _ in 0..<4 { withUnsafeBytes(of: broker.host.entropy.next()) { key.append(contentsOf: $0) } }
      proven = ProvenPasswords(key: key)
    }
    proven?.add(password, for: hash, now_ns: broker.host.clock.monotonic_ns)
  }

  /// Whether the user is one of the configuration, whatever the proof.
  func knows(_ facts: ConnectFacts) -> Bool { users[facts.nkey.isEmpty ? facts.user : facts.nkey] != nil }

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

  /// Judges again after a change of the rules, without computing anything: what a password has proven stays proven as long as the stored one
  /// is the same. nil when a hash has to be computed to know; `judge` does that.
  public func judgeAgain(_ facts: ConnectFacts, had old: Grant) -> Verdict? {
    switch judgement(of: facts) {
    case .verdict(let verdict): verdict
    case .hash(_, _, nil): .refused
    case .hash(_, _, let grant?): grant.proof == old.proof ? .granted(grant) : nil
    }
  }
}
