// Users, permissions, accounts and operators, as a configuration says them.
import Bytes
import Identity
import Testing

@testable import Configuration

@Suite struct AccessOptionsTests {
  // MARK: Users

  @Test("the flags of nats-server name a user or a token")
  func flags() throws {
    func decode(_ arguments: [ByteString]) throws -> LoadedOptions {
      LoadedOptions.decode(ConfigurationMap(), try Arguments(parsing: arguments))
    }
    let user = try decode(["--user", "a", "--pass=b"]).options.access
    #expect(user.isRequired && user.users.map { $0.name } == ["a"] && user.users[0].password.text == "b" && user.token == nil)
    let token = try decode(["--auth", "t"]).options.access
    #expect(token.isRequired && token.token?.text == "t" && token.users.isEmpty)
    #expect(try decode(["--pass", "b"]).problems.map { $0.message } == ["a password needs a user"])
    #expect(try decode(["--user", "a", "--auth", "t"]).problems.map { $0.message } == ["Cannot have a user/pass and token"])
  }

  @Test("a single user, a token, or several users with their permissions")
  func users() {
    #expect(!options("port: 1").access.isRequired)
    let single = options("authorization { user: a, password: \"b\", timeout: 1.5 }").access
    #expect(single.users.map { $0.name } == ["a"] && single.users[0].password.text == "b" && single.timeout_ns == 1_500_000_000)
    #expect(options("authorization { token: t }").access.token?.text == "t")
    let read = options(
      """
      authorization {
        timeout: "3s"
        default_permissions { publish: "d.>" }
        users: [
          { user: plain, password: secret }
          { username: own, pass: x, permissions { publish { allow: ["a", "b.*"], deny: "a.b" }, subscribe: ["c", "d q"],
            allow_responses { max: 5, expires: "1m" } } }
          { nkey: UALVLXY2PMNY4VIQP53RP2JFXUMMOKXLI4E6NVK4HHGB6GJXPZE4L5QY, allowed_connection_types: [standard, LEAFNODE] }
          { user: answers, permissions { allow_responses: true } }
        ]
      }
      no_auth_user: plain
      """
    ).access
    #expect(read.users.map { $0.account } == ["$G", "$G", "$G", "$G"] && read.anonymousUser == "plain" && read.timeout_ns == 3_000_000_000)
    #expect(read.users[0].permissions?.publish.allow == ["d.>"] && read.users[2].permissions?.publish.allow == ["d.>"])
    let own = read.users[1].permissions
    #expect(own?.publish.allow == ["a", "b.*"] && own?.publish.deny == ["a.b"] && own?.subscribe.allow == ["c", "d q"])
    #expect(own?.responses == Permissions.Responses(max: 5, expires_ns: 60_000_000_000))
    #expect(read.users[3].permissions?.responses == Permissions.Responses())
    #expect(read.users[2].isKey && read.users[2].connections == [.standard, .leafnode] && read.needsNonce)
  }

  @Test(
    "wrong users",
    arguments: [
      ("users: [{password: x}]", "1:25: User entry requires a user"),
      ("users: [{user: a, nkey: b}]", "1:25: Not a valid public nkey for a user"),
      ("users: [{nkey: UABC}]", "1:"),
      ("users: [{user: a}, {user: a}]", "Duplicate user \"a\" detected"),
      ("user: a, token: b", "Cannot have a user/pass and token"),
      ("password: b", "a password needs a user"),
      ("users: [{user: a}], token: b", "Can not have a token and a users array"),
      ("users: [{user: a, password: 5}]", "interface conversion"),
      ("users: [{user: a, permissions: {publish: \"a..b\"}}]", "a..b"),
      ("users: [{user: a, permissions: {publish: \"a q\"}}]", "a q"),
      ("users: [{user: a, permissions: {publsh: a}}]", "publsh"),
      ("users: [{user: a, permissions: {allow_responses: {max: x}}}]", "max"),
      ("users: [{user: a, allowed_connection_types: [FOO]}]", "FOO"),
      ("users: [{user: a, password: \"$2a$16$FXO7vZyEUWvbStDpWXdmz.79oJzHIpfjQxFIHdRsLSfSXFecWdqj2\"}]", "cost"),
      ("users: [{user: a, password: \"$2a$11$short\"}]", "60 characters"),
      ("auth_callout: {}", "not supported by this version of petiole: auth_callout"),
    ])
  func wrongUsers(text: String, problem: String) {
    let messages = load("authorization { \(text) }").messages
    #expect(messages.count == 1 && messages.allSatisfy { $0.contains(problem) && $0.hasPrefix("t.conf:1:") }, "\(messages)")
  }

  // MARK: Accounts

  @Test("accounts with their users, limits, JetStream, exports and imports")
  func accounts() {
    let read = options(
      """
      jetstream: enabled
      accounts {
        A {
          users: [ {user: a, password: a} ]
          default_permissions { subscribe: "x" }
          jetstream { max_mem: 1MB, max_file: 2MB, max_streams: 3, max_consumers: 4, max_bytes_required: true,
            memory_max_stream_bytes: 5, store_max_stream_bytes: 6, max_ack_pending: 7 }
          limits { max_connections: 8, max_subscriptions: 9, max_payload: 10, max_leafs: 11 }
          exports: [
            {stream: "s.>", accounts: [B]}
            {service: "q.*", response_type: Chunked, response_threshold: "5s", account_token_position: 2}
          ]
        }
        B {
          jetstream: enabled
          imports: [
            {stream: {account: A, subject: "s.one.>"}, prefix: from.a}
            {stream: {account: A, subject: "s.*.two"}, to: "t.$1"}
            {service: {account: A, subject: "q.B"}, to: q, share: true}
          ]
        }
        S { users: [ {user: s, password: s} ] }
      }
      system_account: S
      """)
    let rules = read.access
    #expect(rules.accounts.map { $0.name } == ["A", "B", "S"] && rules.systemAccount == "S" && !rules.isOpen)
    #expect(rules.users.map { $0.account } == ["A", "S"] && rules.users[0].permissions?.subscribe.allow == ["x"])
    let limits = rules.accounts[0].limits
    #expect(limits.connectionsMax == 8 && limits.subscriptionsMax == 9 && limits.payloadMax == 10 && limits.leafnodesMax == 11)
    let exports = rules.accounts[0].exports
    #expect(exports[0].kind == .stream && exports[0].accounts == ["B"] && exports[1].response == .chunked)
    #expect(exports[1].threshold_ns == 5_000_000_000 && exports[1].accountTokenPosition == 2)
    #expect(rules.accounts[1].imports.map { $0.localSubject } == ["from.a.s.one.>", "t.$1", "q"])
    #expect(rules.accounts[1].imports[2].sharesRequester)
    let granted = read.jetStreamAccounts
    #expect(granted.map { $0.name } == ["A", "B"])
    var expected = JetStreamLimits()
    expected.memoryMax_bytes = 1 << 20
    expected.storeMax_bytes = 2 << 20
    expected.streamsMax = 3
    expected.consumersMax = 4
    expected.requiresMaxBytes = true
    expected.memoryStreamMax_bytes = 5
    expected.storeStreamMax_bytes = 6
    expected.ackPendingMax = 7
    #expect(granted[0].grant.limits == expected && granted[1].grant == JetStreamGrant())
  }

  @Test("JetStream is the global account's unless there are accounts besides the system's, and people say nothing unless there are")
  func globalAccount() {
    #expect(options("jetstream: enabled").jetStreamAccounts.map { $0.name } == ["$G"])
    let onlySystem = options("jetstream: enabled\naccounts { $SYS { users: [{user: s, password: s}] } }")
    #expect(onlySystem.jetStreamAccounts.map { $0.name } == ["$G"] && onlySystem.access.isOpen && onlySystem.access.isRequired)
    #expect(!options("accounts { $SYS { users: [{user: s, password: s}] } }\nauthorization { timeout: 1 }").access.isOpen)
    #expect(!options("accounts { $SYS { users: [{user: s, password: s}] }, A {} }").access.isOpen)
    #expect(options("jetstream: enabled\naccounts: [A, B]").jetStreamAccounts.isEmpty)
  }

  @Test(
    "wrong accounts",
    arguments: [
      ("accounts { $G {} }", "\"$G\" is a Reserved Account"), ("accounts { \"a b\" {} }", "name"),
      ("accounts { A: 5 }", "Expected map entries"), ("accounts { A { usrs: [] } }", "usrs"),
      ("accounts { A { exports: [{stream: a, service: b}] } }", "not both"),
      ("accounts { A { exports: [{accounts: [A]}] } }", "stream or a service"),
      ("accounts { A { exports: [{stream: a, response_type: stream}] } }", "non-service"),
      ("accounts { A { exports: [{service: a, response_type: many}] } }", "many"),
      ("accounts { A { exports: [{service: a.b, account_token_position: 1}] } }", "account_token_position"),
      ("accounts { A { exports: [{service: a, latency: x}] } }", "not supported by this version of petiole: latency"),
      ("accounts { A { exports: [{stream: a, accounts: [N]}] } }", "\"N\" account not defined"),
      ("accounts { A { imports: [{stream: {subject: a}}] } }", "Expect an account name"),
      ("accounts { A { imports: [{stream: {account: N, subject: a}}] } }", "N"),
      ("accounts { A { exports: [{stream: a}] }, B { imports: [{stream: {account: A, subject: b}}] } }", "Error adding stream import"),
      ("accounts { A { mappings: {a: b} } }", "not supported by this version of petiole: mappings"),
      ("accounts { A { jetstream { max_strms: 1 } } }", "max_strms"),
      ("accounts { A { jetstream: enabled } }\nsystem_account: A\njetstream: enabled", "system account"),
      ("system_account: N", "N"), ("no_auth_user: x", "users/nkeys are not defined"),
      ("accounts { A {} }\nleafnodes { remotes: [{url: a, account: B}] }", "cannot find local account \"B\""),
      ("accounts { A {} }\nuplink { account: B, clusters: [{name: a, url: a}] }", "cannot find local account \"B\""),
      ("jetstream: enabled\naccounts { A {} }\nstreams: [{name: S, account: B}]", "B"),
      ("jetstream: enabled\naccounts { A {} }\nstreams: [{name: S, account: A}]", "A"),
    ])
  func wrongAccounts(text: String, problem: String) {
    let messages = load(text).messages
    #expect(messages.count == 1 && messages.allSatisfy { $0.contains(problem) && !$0.hasPrefix("warning") }, "\(messages)")
  }

  // MARK: Leaf links

  @Test("users of leaf links alone: one, one that signs, or several")
  func leafUsers() {
    let key = "UALVLXY2PMNY4VIQP53RP2JFXUMMOKXLI4E6NVK4HHGB6GJXPZE4L5QY"
    func rules(_ text: String) -> AccessRules { options("accounts { A {} }\nleafnodes { authorization { \(text) } }").access }
    #expect(options("leafnodes { port: 7422 }").access.leafUsers.isEmpty)
    let one = rules("user: u, password: p, account: A, timeout: 5")
    #expect(one.leafUsers.map { $0.name } == ["u"] && one.leafUsers[0].password.text == "p" && one.leafUsers[0].account == "A")
    #expect(one.users.isEmpty && !one.isRequired)
    let signing = rules("nkey: \(key), account: A")
    #expect(signing.leafUsers.map { $0.isKey } == [true] && signing.leafUsers[0].account == "A")
    #expect(rules("account: A").leafAccount == "A" && rules("account: A").leafUsers.isEmpty)
    let several = rules("users: [ {user: a, password: b, account: A}, {user: c} ]")
    #expect(several.leafUsers.map { $0.account } == ["A", "$G"] && several.leafUsers[1].permissions == nil)
  }

  @Test(
    "wrong users of leaf links",
    arguments: [
      ("user: a, users: [{user: b}]", "can not have a single user/pass or nkey and a users array"),
      ("user: a, nkey: UALVLXY2PMNY4VIQP53RP2JFXUMMOKXLI4E6NVK4HHGB6GJXPZE4L5QY", "both a user and an nkey"),
      ("users: [{user: b}, {user: b}]", "duplicate user \"b\""), ("users: [{password: b}]", "User entry requires a user"),
      ("account: B", "cannot find account \"B\""), ("users: [{user: b, account: B}]", "cannot find account \"B\""),
      ("nkey: UABC", "Not a valid public nkey"), ("users: [{user: b, permissions: {}}]", "unknown field \"permissions\""),
      ("proxy_required: true", "not supported by this version of petiole: proxy_required"),
    ])
  func wrongLeafUsers(text: String, problem: String) {
    let messages = load("leafnodes { authorization { \(text) } }").messages
    #expect(messages.count == 1 && messages.allSatisfy { $0.contains(problem) && !$0.hasPrefix("warning") }, "\(messages)")
  }

  // MARK: Operators

  @Test(
    "wrong operators",
    arguments: [
      ("operator: eyJx", "error parsing operator JWT"), ("operator: \"/nowhere/op.jwt\"", "error parsing operator JWT: /nowhere/op.jwt"),
      ("resolver: MEMORY", "a resolver needs an operator"), ("resolver: URL(http://x)", "another resolver than MEMORY"),
      ("resolver { Type: memory, allow_delete: true }", "1:26: unknown field \"allow_delete\""),
      ("trusted_keys: [x]", "valid public operator nkey"), ("resolver_preload { A: x }", "invalid account JWT"),
    ])
  func wrongOperators(text: String, problem: String) {
    let messages = load(text).messages
    #expect(messages.contains { $0.contains(problem) }, "\(messages)")
  }

  @Test("what a login or a key is does not appear in what is said of a wrong file")
  func secrets() {
    for text in [
      "authorization { users: [{user: a, password: hunter2, x: 1}] }", "authorization { token: hunter2, user: a }",
      "authorization { password: [hunter2] }", "leafnodes { remotes: [{url: a, nkey: SUhunter2}] }",
      "leafnodes { remotes: [{url: \"nats://a:hunter2@b:0\"}] }", "leafnodes { authorization { user: a, password: hunter2, x: 1 } }",
    ] {
      let messages = load(text).messages
      #expect(!messages.isEmpty && !messages.contains { $0.contains("hunter2") }, "\(messages)")
    }
  }
}
