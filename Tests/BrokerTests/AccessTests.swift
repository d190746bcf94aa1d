// Who is let in, and what ends that: client-protocol.md section 5, over the simulated network and its clocks.
import Bytes
import Identity
import Interest
import Platform
import Testing

@testable import Broker

private let violation = "-ERR 'Authorization Violation'\r\n"

private func rules(_ users: [(name: ByteString, password: ByteString)], _ change: (inout AccessRules) -> Void = { _ in }) -> AccessRules {
  var rules = AccessRules()
  for (name, password) in users {
    var user = UserRule(name: name)
    user.password = StoredPassword(password)
    rules.users.append(user)
  }
  change(&rules)
  return rules
}

private func login(_ user: String, _ password: String, _ more: String = "") -> String {
  "CONNECT {\"verbose\":false,\"user\":\"\(user)\",\"pass\":\"\(password)\"\(more)}\r\n"
}

@Suite struct AccessTests {
  @Test("a user gets in with the right password, and nobody else")
  func passwords() {
    let rig = BrokerRig()
    // bcrypt of "secret", cost 4.
    let hash: ByteString = "$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V."
    rig.broker.use(rules([("plain", "secret"), ("hashed", hash), ("empty", "")]))
    #expect(rig.client("").heard().contains("\"headers\":true,\"auth_required\":true,\"max_payload\""))
    for (user, password) in [("plain", "secret"), ("hashed", "secret"), ("empty", "")] {
      let client = rig.client("")
      client.forget()
      #expect(client.say(login(user, password) + "PING\r\n", wait_ns: 300 * millisecond_ns) == "PONG\r\n", "\(user)")
    }
    for (user, password) in [
      ("plain", ""), ("plain", "Secret"), ("hashed", hash.string), ("empty", "x"), ("nobody", "secret"), ("", "secret"),
    ] {
      let client = rig.client("")
      client.forget()
      // Bytes that are still under way when the server closes take along what it says.
      #expect(
        ["", violation].contains(client.say(login(user, password) + "PING\r\n", wait_ns: 300 * millisecond_ns)), "\(user) \(password)")
      #expect(client.closed != nil)
    }
    #expect(rig.account.clientCount == 4 - 1)
  }

  @Test("what is not CONNECT ends a connection that has to say who it is")
  func silence() {
    let rig = BrokerRig()
    rig.broker.use(rules([("a", "b")]))
    let client = rig.client("")
    client.forget()
    // The bytes behind the first may still be under way when the server closes; then what it says is lost.
    #expect(client.say("PING\r\n", wait_ns: second_ns / 10) != "PONG\r\n" && client.closed != nil)
    let slow = rig.client("")
    slow.forget()
    rig.simulation.run(for: 3 * second_ns)
    #expect(slow.heard() == "-ERR 'Authentication Timeout'\r\n" && slow.closed != nil)
  }

  @Test("the time to say who it is can be set, and ends with CONNECT")
  func timeout() {
    let rig = BrokerRig()
    rig.broker.use(rules([("a", "b")]) { $0.timeout_ns = 500 * millisecond_ns })
    let slow = rig.client("")
    let quick = rig.client("")
    quick.say(login("a", "b"))
    rig.simulation.run(for: 2 * second_ns)
    #expect(slow.closed != nil && quick.closed == nil)
  }

  @Test("a token alone")
  func token() {
    let rig = BrokerRig()
    rig.broker.use(rules([]) { $0.token = StoredPassword("tok") })
    for (line, fine) in [
      ("\"auth_token\":\"tok\"", true), ("\"auth_token\":\"tok\",\"user\":\"x\"", true), ("\"auth_token\":\"to\"", false),
      ("\"user\":\"tok\"", false),
      ("\"verbose\":false", false),
    ] {
      let client = rig.client("")
      client.forget()
      #expect((client.say("CONNECT {\"verbose\":false,\(line)}\r\n") == "") == fine, "\(line)")
      #expect((client.closed == nil) == fine)
    }
  }

  @Test("a key signs the nonce of its own connection")
  func keys() {
    let rig = BrokerRig()
    let key = seed(.user, 7)
    rig.broker.use(rules([("u", "p")]) { $0.users.append(UserRule(name: key.publicKey.text, isKey: true)) })
    func connect(_ nkey: String, _ signed: (ByteString) -> ByteString, signer: Seed) -> (client: RawClient, answer: String) {
      let client = rig.client("")
      let info = client.heard()
      let nonce = ByteString(String(info.components(after: "\"nonce\":\"").prefix { $0 != "\"" }))
      #expect(nonce.bytes.count == 15)
      let signature = signed(nonce).withView { signer.sign($0) }.withView { ByteString(Base64.encodeURL($0)) }
      return (client, client.say("CONNECT {\"verbose\":false,\"nkey\":\"\(nkey)\",\"sig\":\"\(signature.string)\"}\r\n"))
    }
    let name = key.publicKey.text.string
    #expect(connect(name, { $0 }, signer: key).answer == "")
    #expect(connect(name, { $0 }, signer: seed(.user, 8)).answer == violation)
    #expect(connect(name, { _ in "another nonce!!" }, signer: key).answer == violation)
    #expect(connect(seed(.user, 8).publicKey.text.string, { $0 }, signer: seed(.user, 8)).answer == violation)
    #expect(connect("u", { $0 }, signer: key).answer == violation)
    // Two connections never get the same.
    var seen: Set<String> = []
    for _ in 0..<50 {
      let info = rig.client("").heard()
      #expect(seen.insert(String(info.components(after: "\"nonce\":\"").prefix { $0 != "\"" })).inserted)
    }
  }

  @Test("they who say nothing are somebody where that is allowed")
  func anonymous() {
    let rig = BrokerRig()
    var permissions = Permissions()
    permissions.publish = Permissions.Lists(allow: ["ok"])
    let named = rules([("a", "b")]) {
      var user = UserRule(name: "guest")
      user.permissions = permissions
      $0.users.append(user)
      $0.anonymousUser = "guest"
    }
    rig.broker.use(named)
    #expect(!rig.client("").heard().contains("auth_required"))
    for greeting in ["", "CONNECT {\"verbose\":false}\r\n"] {
      let client = rig.client("")
      client.forget()
      let heard = client.say(greeting + "PUB ok 0\r\n\r\nPUB no 0\r\n\r\n")
      #expect(heard == (greeting.isEmpty ? "+OK\r\n" : "") + "-ERR 'Permissions Violation for Publish to \"no\"'\r\n")
    }
    let wrong = rig.client("")
    wrong.forget()
    #expect(wrong.say(login("guest", "x")) == violation)
  }

  @Test("what somebody subscribed to before he said who he is does not follow him into another account")
  func subscriptionsBefore() {
    let rig = BrokerRig()
    let other = rules([("a", "b")]) {
      $0.users[0].account = "A"
      $0.accounts.append(AccountRule(name: "A"))
      $0.users.append(UserRule(name: "guest"))
      $0.anonymousUser = "guest"
    }
    rig.broker.use(other)
    let client = rig.client("SUB x 1\r\n")
    client.say(login("a", "b"))
    client.forget()
    let guest = rig.client("")
    guest.forget()
    #expect(guest.say("PUB x 1\r\ny\r\nPING\r\n") == "+OK\r\nPONG\r\n" && client.heard() == "")
    #expect(client.say("UNSUB 1\r\nSUB x 2\r\nPUB x 1\r\nz\r\nPING\r\n") == "MSG x 2 1\r\nz\r\nPONG\r\n" && guest.heard() == "")
    #expect(rig.account.interest.count == 0)
  }

  @Test("they who say nothing come in the ways that their user may")
  func anonymousConnections() {
    let rig = BrokerRig()
    rig.broker.use(
      rules([("guest", "")]) {
        $0.users[0].connections = [.leafnode]
        $0.anonymousUser = "guest"
      })
    for greeting in ["PING\r\n", "CONNECT {\"verbose\":false}\r\n"] {
      let client = rig.client("")
      client.forget()
      // What it says may be lost: bytes are still under way when it closes.
      #expect(["", violation].contains(client.say(greeting, wait_ns: second_ns / 10)) && client.closed != nil)
    }
    var facts = ConnectFacts()
    facts.connection = .leafnode
    var user: ByteString?
    rig.broker.authenticator.judge(facts) { if case .granted(let grant) = $0 { user = grant.user } }
    #expect(user == "guest")
  }

  @Test("where leaf links have users of their own, those count for them, and for nobody else")
  func leafUsers() {
    let rig = BrokerRig()
    rig.broker.use(
      rules([("client", "c")]) {
        var leaf = UserRule(name: "leaf")
        leaf.password = StoredPassword("l")
        leaf.account = "A"
        $0.leafUsers = [leaf]
        $0.accounts.append(AccountRule(name: "A"))
      })
    func judge(_ user: ByteString, _ password: ByteString, _ connection: ConnectionTypes) -> ByteString? {
      var facts = ConnectFacts()
      facts.user = user
      facts.password = password
      facts.connection = connection
      var found: ByteString?
      rig.broker.authenticator.judge(facts) { if case .granted(let grant) = $0 { found = grant.account.name } }
      return found
    }
    #expect(judge("leaf", "l", .leafnode) == "A" && judge("client", "c", .standard) == "$G")
    #expect(judge("leaf", "l", .standard) == nil && judge("client", "c", .leafnode) == nil)
    #expect(judge("leaf", "c", .leafnode) == nil && judge("", "", .leafnode) == nil)
  }

  /// bcrypt of "secret", cost 4.
  private static let hash: ByteString = "$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V."

  @Test("a password that is being checked when the rules change is judged by the new ones", arguments: [true, false])
  func changedMeanwhile(_ stays: Bool) {
    let rig = BrokerRig()
    rig.broker.use(rules([("u", Self.hash)]))
    let client = rig.client("")
    client.forget()
    #expect(client.say(login("u", "secret") + "PING\r\n") == "" && rig.account.clientCount == 0)
    var users: [(name: ByteString, password: ByteString)] = [("v", "w")]
    if stays { users.append(("u", Self.hash)) }
    rig.broker.use(rules(users))
    rig.simulation.run(for: second_ns)
    #expect(client.heard() == (stays ? "PONG\r\n" : violation) && (client.closed == nil) == stays)
    #expect(rig.account.clientCount == (stays ? 1 : 0))
  }

  @Test("a reload while somebody says again who he is leaves him neither unheard nor somebody else")
  func reloadWhileWaiting() {
    let rig = BrokerRig()
    let both = rules([("u", Self.hash), ("guest", "")]) { $0.anonymousUser = "guest" }
    rig.broker.use(both)
    let client = rig.client("CONNECT {\"verbose\":false}\r\n")
    #expect(client.say("PING\r\n") == "PONG\r\n")
    #expect(client.say(login("u", "secret") + "PING\r\n") == "")
    rig.broker.use(both)
    rig.simulation.run(for: second_ns)
    #expect(client.heard() == "PONG\r\n" && rig.broker.clients.values.map { $0.user } == ["u"] && rig.account.clientCount == 1)
    #expect(client.say("PING\r\n") == "PONG\r\n")
  }

  @Test("who was let in without a word is judged again as what he is")
  func anonymousAgain() {
    let rig = BrokerRig()
    rig.listenForWebSockets()
    func guests(_ connections: ConnectionTypes) -> AccessRules {
      rules([("guest", "")]) {
        $0.users[0].connections = connections
        $0.anonymousUser = "guest"
      }
    }
    rig.broker.use(guests([.webSocket]))
    let made = rig.webSocketClient("PING\r\n")
    #expect(made != nil && rig.account.clientCount == 1)
    rig.broker.use(guests([.webSocket]))
    rig.simulation.run(for: second_ns)
    #expect(made?.client.closed == nil && rig.account.clientCount == 1)
    rig.broker.use(guests([.standard]))
    rig.simulation.run(for: second_ns)
    #expect(made?.client.closed != nil && rig.account.clientCount == 0)
  }

  @Test("a reload gives whoever has a certificate its user's rights, whatever CONNECT says")
  func certificateAgain() {
    let rig = BrokerRig()
    rig.broker.use(rules([("CN=edge", Self.hash), ("other", Self.hash)]))
    var facts = ConnectFacts()
    facts.certificateNames = ["CN=edge"]
    facts.user = "other"
    facts.password = "secret"
    var had: Grant?
    rig.broker.authenticator.judge(facts) { if case .granted(let grant) = $0 { had = grant } }
    rig.simulation.run(for: second_ns)
    #expect(had?.user == "CN=edge")
    let cases: [(names: [ByteString]?, user: ByteString?)] = [(["CN=edge"], "CN=edge"), (["nobody"], nil), (nil, "other")]
    for (names, user) in cases {
      facts.certificateNames = names
      var found: ByteString?
      if case .granted(let grant)? = rig.broker.authenticator.judgeAgain(facts, had: had!) { found = grant.user }
      // At once: what was proven is not computed again.
      #expect(found == user)
    }
  }

  @Test("with users in the system account alone, everybody else is in the global one")
  func onlySystemUsers() {
    let rig = BrokerRig()
    rig.broker.use(
      rules([("sys", "sys")]) {
        $0.users[0].account = "$SYS"
        $0.isOpen = true
      })
    #expect(rig.client("").heard().contains("auth_required"))
    let anybody = rig.client("CONNECT {\"verbose\":false}\r\n")
    #expect(anybody.say("SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n") == "MSG a 1 1\r\nx\r\nPONG\r\n")
    let system = rig.client(login("sys", "sys"))
    #expect(system.say("PUB a 1\r\ny\r\nPING\r\n") == "PONG\r\n" && anybody.heard() == "")
  }

  @Test("a certificate's names are users and outrank the one in CONNECT; their password counts besides")
  func certificates() {
    let rig = BrokerRig()
    rig.broker.use(rules([("CN=edge", "x"), ("other", "y")]))
    func judge(_ names: [ByteString], user: ByteString = "", password: ByteString = "x") -> ByteString? {
      var facts = ConnectFacts()
      facts.certificateNames = names
      facts.user = user
      facts.password = password
      var found: ByteString?
      rig.broker.authenticator.judge(facts) { if case .granted(let grant) = $0 { found = grant.user } }
      return found
    }
    #expect(judge(["nobody", "CN=edge"]) == "CN=edge")
    #expect(judge(["nobody"]) == nil && judge([]) == nil)
    #expect(judge(["CN=edge"], user: "other") == "CN=edge")
    #expect(judge(["CN=edge"], password: "") == nil && judge(["CN=edge"], user: "other", password: "y") == nil)
  }

  @Test("a user is bound to kinds of connections")
  func connectionTypes() {
    let rig = BrokerRig()
    rig.broker.use(rules([("a", "b")]) { $0.users[0].connections = [.leafnode] })
    let client = rig.client("")
    client.forget()
    #expect(client.say(login("a", "b")) == violation)
    var facts = ConnectFacts()
    facts.user = "a"
    facts.password = "b"
    facts.connection = .leafnode
    var granted = false
    rig.broker.authenticator.judge(facts) { if case .granted = $0 { granted = true } }
    #expect(granted)
  }

  @Test("an account has room for so many connections, each for so many subscriptions")
  func accountLimits() {
    let rig = BrokerRig()
    let some = rules([("a", "b")]) {
      var account = AccountRule(name: "A")
      account.limits.connectionsMax = 1
      account.limits.subscriptionsMax = 2
      account.limits.payloadMax = 4
      $0.accounts = [account]
      $0.users[0].account = "A"
    }
    rig.broker.use(some)
    let one = rig.client("")
    one.forget()
    // The limits are the account's, which is known only now.
    #expect(one.say(login("a", "b", ",\"protocol\":1") + "PING\r\n").contains("\"max_payload\":4"))
    let two = rig.client("")
    two.forget()
    #expect(two.say(login("a", "b")) == "-ERR 'maximum account active connections exceeded'\r\n" && two.closed != nil)
    #expect(one.say("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nPING\r\n") == "-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n")
    #expect(one.say("PUB a 5\r\n12345\r\n").hasPrefix("-ERR 'Maximum Payload Violation'"))
    rig.simulation.run(for: second_ns)
    #expect(rig.client(login("a", "b")).closed == nil)
  }

  // MARK: Operator mode

  private static var operatorSeed: Seed { seed(.operator, 1) }
  private static var accountSeed: Seed { seed(.account, 2) }
  private static var userSeed: Seed { seed(.user, 3) }

  private func operatorRules(_ account: String = "", issuedBy issuer: Seed = operatorSeed) -> AccessRules {
    var rules = AccessRules()
    let key = Self.operatorSeed.publicKey.text.string
    rules.operators = [
      BrokerTests.token("{\"iss\":\"\(key)\",\"sub\":\"\(key)\",\"nats\":{\"type\":\"operator\",\"version\":2}}", by: Self.operatorSeed)
    ]
    let limits = ",\"limits\":{\"subs\":-1,\"conn\":-1,\"leaf\":-1,\"data\":-1,\"payload\":-1}"
    rules.accountTokens = [BrokerTests.token(accountClaims(Self.accountSeed, by: issuer, nats: limits + account), by: issuer)]
    return rules
  }

  private func connect(_ rig: BrokerRig, nats: String = "", more: String = "", by issuer: Seed = accountSeed) -> (
    client: RawClient, answer: String
  ) {
    let client = rig.client("")
    let nonce = ByteString(String(client.heard().components(after: "\"nonce\":\"").prefix { $0 != "\"" }))
    let jwt = BrokerTests.token(userClaims(Self.userSeed, by: issuer, nats: nats, more: more), by: issuer).string
    let signature = nonce.withView { Self.userSeed.sign($0) }.withView { ByteString(Base64.encodeURL($0)) }.string
    return (client, client.say("CONNECT {\"verbose\":false,\"jwt\":\"\(jwt)\",\"sig\":\"\(signature)\"}\r\nPING\r\n"))
  }

  /// Seconds since 1970 in the simulation.
  private func now(_ rig: BrokerRig) -> Int64 { rig.server.host.clock.wall_ns / second_ns }

  @Test("a token may end at any time, as far as that can be told")
  func timeLeft() {
    func left(_ expires: Int64?) -> Int64? { Grant(account: Account(name: "A", seed: 1), expires: expires).left_ns(at: 5 * second_ns) }
    #expect(left(nil) == nil && left(7) == 2 * second_ns && left(3) == 0 && left(99_999_999_999) == .max && left(.max) == .max)
  }

  @Test("a connection ends with its token, however far away that is")
  func expiry() {
    let rig = BrokerRig()
    rig.broker.use(operatorRules())
    let start = now(rig)
    let (brief, answer) = connect(rig, more: ",\"exp\":\(start + 10)")
    let (lasting, _) = connect(rig, more: ",\"exp\":\(start + 7300)")
    let (endless, _) = connect(rig)
    let (ancient, _) = connect(rig, more: ",\"exp\":\(Int64.max)")
    #expect(answer == "PONG\r\n")
    rig.simulation.run(for: 9 * second_ns)
    #expect(brief.closed == nil)
    rig.simulation.run(for: 2 * second_ns)
    #expect(brief.heard().hasSuffix("-ERR 'User Authentication Expired'\r\n") && brief.closed != nil)
    #expect(connect(rig, more: ",\"exp\":\(start + 10)").answer == violation)
    func keepAlive(_ seconds: Int) {
      for _ in 0..<seconds / 60 {
        rig.simulation.run(for: 60 * second_ns)
        for client in [lasting, endless, ancient] { client.say("PONG\r\n", wait_ns: millisecond_ns) }
      }
    }
    keepAlive(7200)
    #expect(lasting.closed == nil)
    keepAlive(180)
    #expect(lasting.closed != nil && endless.closed == nil && ancient.closed == nil)
  }

  @Test("an account that expires takes its connections along")
  func accountExpiry() {
    let rig = BrokerRig()
    var rules = operatorRules()
    let start = now(rig)
    let key = Self.operatorSeed.publicKey.text.string
    let claims = """
      {"iss":"\(key)","sub":"\(Self.accountSeed.publicKey.text.string)","exp":\(start + 5),
       "nats":{"type":"account","version":2,"limits":{"subs":-1,"conn":-1,"payload":-1}}}
      """
    rules.accountTokens = [BrokerTests.token(claims, by: Self.operatorSeed)]
    rig.broker.use(rules)
    let (client, answer) = connect(rig, more: ",\"exp\":\(start + 1000)")
    #expect(answer == "PONG\r\n")
    rig.simulation.run(for: 6 * second_ns)
    #expect(client.heard().hasSuffix("-ERR 'Account Authentication Expired'\r\n") && client.closed != nil)
    #expect(connect(rig).answer == violation)
  }

  @Test("users of an operator's accounts, and of nobody else's")
  func chain() {
    let rig = BrokerRig()
    rig.broker.use(operatorRules())
    #expect(connect(rig).answer == "PONG\r\n")
    #expect(connect(rig, by: seed(.account, 9)).answer == violation)
    let foreign = BrokerRig()
    foreign.broker.use(operatorRules(issuedBy: seed(.operator, 9)))
    #expect(connect(foreign).answer == violation)
    let revoked = BrokerRig()
    revoked.broker.use(operatorRules(",\"revocations\":{\"\(Self.userSeed.publicKey.text.string)\":1700000000}"))
    #expect(connect(revoked).answer == violation)
    let earlier = BrokerRig()
    earlier.broker.use(operatorRules(",\"revocations\":{\"*\":1699999999}"))
    #expect(connect(earlier).answer == "PONG\r\n")
    earlier.broker.use(operatorRules(",\"revocations\":{\"*\":1700000000}"))
    #expect(connect(earlier).answer == violation)
  }

  @Test("a bearer needs no signature where its account allows that")
  func bearers() {
    for (account, fine) in [("", true), (",\"limits\":{\"subs\":-1,\"conn\":-1,\"payload\":-1,\"disallow_bearer\":true}", false)] {
      let rig = BrokerRig()
      rig.broker.use(operatorRules(account))
      let jwt = BrokerTests.token(userClaims(Self.userSeed, by: Self.accountSeed, nats: ",\"bearer_token\":true"), by: Self.accountSeed)
        .string
      let client = rig.client("")
      client.forget()
      #expect(client.say("CONNECT {\"verbose\":false,\"jwt\":\"\(jwt)\"}\r\nPING\r\n") == (fine ? "PONG\r\n" : violation))
    }
  }

  // MARK: Changes

  @Test("clients that are not users any more are closed, and others keep what they had")
  func removed() {
    let rig = BrokerRig()
    rig.broker.use(rules([("a", "b"), ("c", "d"), ("e", "f")]))
    let stays = rig.client(login("a", "b"))
    let changed = rig.client(login("c", "d"))
    let goes = rig.client(login("e", "f"))
    stays.say("SUB x 1\r\n")
    rig.broker.use(rules([("a", "b"), ("c", "other")]))
    rig.simulation.run(for: 50 * millisecond_ns)
    #expect(changed.heard() == violation && goes.heard() == "" && stays.heard() == "")
    #expect(changed.closed != nil && goes.closed != nil)
    #expect(rig.client(login("c", "other")).say("PUB x 1\r\ny\r\nPING\r\n") == "PONG\r\n")
    #expect(stays.heard() == "MSG x 1 1\r\ny\r\n")
    // An open server becomes a closed one.
    let open = BrokerRig()
    let anybody = open.client()
    let silent = open.client("")
    silent.forget()
    silent.say("PING\r\n")
    open.broker.use(rules([("a", "b")]))
    open.simulation.run(for: 50 * millisecond_ns)
    #expect(anybody.heard() == violation && silent.heard() == violation)
  }

  @Test("permissions change under a client, and take subscriptions away")
  func changedPermissions() {
    let rig = BrokerRig()
    rig.broker.use(rules([("a", "b")]))
    let client = rig.client(login("a", "b"))
    client.say("SUB one 1\r\nSUB two q 2\r\nSUB three 3\r\n")
    var permissions = Permissions()
    permissions.publish = Permissions.Lists(deny: ["no"])
    permissions.subscribe = Permissions.Lists(allow: ["three", "*"], deny: ["one", "two q"])
    let restricted = rules([("a", "b")]) { $0.users[0].permissions = permissions }
    rig.broker.use(restricted)
    rig.simulation.run(for: 50 * millisecond_ns)
    #expect(
      client.heard()
        == "-ERR 'Permissions Violation for Subscription to \"one\" (sid \"1\")'\r\n-ERR 'Permissions Violation for Subscription to \"two\" using queue \"q\" (sid \"2\")'\r\n"
    )
    #expect(rig.account.interest.count == 1)
    #expect(
      client.say("PUB no 0\r\n\r\nPUB three 1\r\nx\r\n") == "-ERR 'Permissions Violation for Publish to \"no\"'\r\nMSG three 3 1\r\nx\r\n")
    rig.broker.use(rules([("a", "b")]))
    #expect(client.say("PUB no 0\r\n\r\nSUB one 1\r\nPING\r\n") == "PONG\r\n")
  }

  @Test("a user who moves to another account has to come again; they who said nothing go along with their subscriptions")
  func moved() {
    let rig = BrokerRig()
    func into(_ account: ByteString) -> AccessRules {
      rules([("a", "b"), ("stays", "x")]) {
        $0.accounts = [AccountRule(name: "A"), AccountRule(name: "B")]
        $0.users[0].account = account
        $0.users[1].account = "A"
      }
    }
    rig.broker.use(into("A"))
    let client = rig.client(login("a", "b"))
    let other = rig.client(login("stays", "x"))
    client.say("SUB s 1\r\n")
    rig.broker.use(into("B"))
    other.say("PUB s 1\r\nx\r\n")
    rig.simulation.run(for: 50 * millisecond_ns)
    #expect(client.heard() == "" && client.closed != nil)
    #expect(rig.client(login("a", "b")).say("SUB s 1\r\nPUB s 1\r\ny\r\n") == "MSG s 1 1\r\ny\r\n")
    #expect(rig.broker.account("A")!.clientCount == 1 && rig.broker.account("B")!.clientCount == 1)
    #expect(rig.broker.account("A")!.interest.count == 0)
    rig.broker.use(into("A"))
    var named = into("A")
    named.anonymousUser = "a"
    rig.broker.use(named)
    let anonymous = rig.client("CONNECT {\"verbose\":false}\r\n")
    anonymous.say("SUB s 1\r\n")
    named = into("B")
    named.anonymousUser = "a"
    rig.broker.use(named)
    other.say("PUB s 1\r\nx\r\n")
    #expect(anonymous.heard() == "")
    #expect(anonymous.say("PUB s 1\r\ny\r\n") == "MSG s 1 1\r\ny\r\n")
  }

  @Test("a bcrypt check in progress survives whatever happens to the connection")
  func checkInProgress() {
    let rig = BrokerRig()
    let hash: ByteString = "$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V."
    rig.broker.use(rules([("a", hash)]))
    for _ in 0..<20 {
      let client = rig.client("")
      client.say(login("a", "secret") + "SUB x 1\r\nPUB x 1\r\ny\r\n", wait_ns: 0)
      if rig.simulation.step() { client.stream.close() }
    }
    let reloaded = rig.client("")
    reloaded.say(login("a", "secret"), wait_ns: 0)
    rig.broker.use(rules([("a", "secret")]))
    #expect(reloaded.say("PING\r\n", wait_ns: second_ns).hasSuffix("PONG\r\n"))
  }
}

extension String {
  /// What follows `mark`, or nothing.
  func components(after mark: String) -> Substring {
    guard let range = firstRange(of: mark) else { return "" }
    return self[range.upperBound...]
  }
}
