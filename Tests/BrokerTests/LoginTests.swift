// Logins whose hash takes a while: what happens meanwhile, who pays for it, and that nobody learns from the time it takes.
import Bytes
import Identity
import Interest
import Platform
import Testing

@testable import Broker

/// Checks passwords when it is told to. A hash is the password's when it ends in it.
private final class SlowPasswords: PasswordChecker {
  private(set) var asked: [(password: ByteString, hash: ByteString, check: PasswordCheck)] = []
  /// How many were asked ever.
  private(set) var total = 0

  func check(
    _ password: ByteString, against hash: ByteString, from address: [UInt8], done: @escaping (PasswordAnswer) -> Void
  ) -> PasswordCheck {
    let check = PasswordCheck(done: done)
    asked.append((password, hash, check))
    total += 1
    return check
  }

  func answerAll(_ other: PasswordAnswer? = nil) {
    let all = asked
    asked = []
    for (password, hash, check) in all {
      let isRight = !password.isEmpty && hash.bytes.reversed().starts(with: password.bytes.reversed())
      check.finish(other ?? (isRight ? .matches : .differs))
    }
  }
}

/// What looks like a hash of `password`.
private func hash(_ password: String, cost: String = "04", salt: Character = "a") -> ByteString {
  ByteString("$2b$\(cost)$" + String(repeating: salt, count: 53 - password.utf8.count) + password)
}

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

private func login(_ user: String, _ password: String) -> String {
  "CONNECT {\"verbose\":false,\"user\":\"\(user)\",\"pass\":\"\(password)\"}\r\n"
}

private let violation = "-ERR 'Authorization Violation'\r\n"

@Suite struct LoginTests {
  private let passwords = SlowPasswords()

  /// A client that was let in as `h`, whose password is stored as a hash.
  private func hashed(_ rig: BrokerRig, _ password: String = "secret") -> RawClient {
    let client = rig.client(login("h", password))
    passwords.answerAll()
    rig.simulation.run(for: 20 * millisecond_ns)
    client.forget()
    return client
  }

  // MARK: Reloads

  @Test(
    "with another hash of its password a client does and gets nothing before it is known whether that is still right",
    arguments: [true, false])
  func changedHash(_ isRight: Bool) {
    let rig = BrokerRig(passwords: passwords)
    rig.broker.use(rules([("h", hash("secret")), ("p", "p")]))
    let client = hashed(rig)
    let other = rig.client(login("p", "p"))
    client.say("SUB to.h 1\r\nSUB once 2\r\nUNSUB 2 1\r\n")
    other.say("SUB from.h 1\r\n")
    rig.broker.use(rules([("h", isRight ? hash("secret", salt: "b") : hash("other")), ("p", "p")]))
    #expect(other.say("PUB to.h 1\r\na\r\nPUB once 1\r\nb\r\nPUB once 1\r\nc\r\n") == "")
    #expect(client.say("PUB from.h 1\r\nd\r\nPING\r\n") == "" && other.heard() == "" && client.closed == nil)
    passwords.answerAll()
    rig.simulation.run(for: 100 * millisecond_ns)
    if isRight {
      #expect(client.heard() == "MSG to.h 1 1\r\na\r\nMSG once 2 1\r\nb\r\nPONG\r\n" && client.closed == nil)
      #expect(other.heard() == "MSG from.h 1 1\r\nd\r\n")
      #expect(other.say("PUB to.h 1\r\ne\r\n") == "" && client.heard() == "MSG to.h 1 1\r\ne\r\n")
      // The one for `to.h` and the other's.
      #expect(rig.account.interest.count == 2 && rig.account.clientCount == 2)
    } else {
      // What it sent meanwhile may be under way when the server closes, and then takes along what that says.
      #expect(["", violation].contains(client.heard()) && client.closed != nil && other.heard() == "")
      #expect(rig.account.interest.count == 1 && rig.account.clientCount == 1)
    }
  }

  @Test("a client whose password is not right any more hears that")
  func changedHashWords() {
    let rig = BrokerRig(passwords: passwords)
    rig.broker.use(rules([("h", hash("secret"))]))
    let client = hashed(rig)
    rig.broker.use(rules([("h", hash("other"))]))
    passwords.answerAll()
    rig.simulation.run(for: 100 * millisecond_ns)
    #expect(client.heard() == violation && client.closed != nil)
  }

  @Test("what was kept for a client is given to it under its new permissions")
  func keptUnderNewPermissions() {
    let rig = BrokerRig(passwords: passwords)
    rig.broker.use(rules([("h", hash("secret")), ("p", "p")]))
    let client = hashed(rig)
    let other = rig.client(login("p", "p"))
    client.say("SUB one 1\r\nSUB two 2\r\n")
    rig.broker.use(
      rules([("h", hash("secret", salt: "b")), ("p", "p")]) {
        var permissions = Permissions()
        permissions.subscribe = Permissions.Lists(deny: ["two"])
        $0.users[0].permissions = permissions
      })
    other.say("PUB one 1\r\na\r\nPUB two 1\r\nb\r\n")
    passwords.answerAll()
    rig.simulation.run(for: 100 * millisecond_ns)
    #expect(
      client.heard() == "-ERR 'Permissions Violation for Subscription to \"two\" (sid \"2\")'\r\nMSG one 1 1\r\na\r\n")
  }

  @Test("a second reload gives back what the first one had put in doubt, or asks anew")
  func secondReload() {
    let rig = BrokerRig(passwords: passwords)
    let first = rules([("h", hash("secret")), ("p", "p")])
    rig.broker.use(first)
    let client = hashed(rig)
    let other = rig.client(login("p", "p"))
    client.say("SUB one 1\r\n")
    rig.broker.use(rules([("h", hash("other")), ("p", "p")]))
    other.say("PUB one 1\r\na\r\n")
    rig.broker.use(first)
    passwords.answerAll()
    rig.simulation.run(for: 100 * millisecond_ns)
    #expect(client.heard() == "MSG one 1 1\r\na\r\n" && client.closed == nil)
    rig.broker.use(rules([("h", hash("other")), ("p", "p")]))
    rig.broker.use(rules([("p", "p")]))
    rig.simulation.run(for: 100 * millisecond_ns)
    #expect(client.closed != nil && rig.account.clientCount == 1)
  }

  @Test("no more is kept for a client than it may have pending")
  func keptTooMuch() {
    let rig = BrokerRig(passwords: passwords) { $0.pendingMax = 4096 }
    rig.broker.use(rules([("h", hash("secret")), ("p", "p")]))
    let client = hashed(rig)
    let other = rig.client(login("p", "p"))
    client.say("SUB one 1\r\n")
    rig.broker.use(rules([("h", hash("secret", salt: "b")), ("p", "p")]))
    for _ in 0..<10 { other.say("PUB one 1000\r\n" + String(repeating: "x", count: 1000) + "\r\n") }
    rig.simulation.run(for: second_ns)
    #expect(client.closed != nil && rig.account.interest.count == 0 && rig.broker.slowConsumers == 1)
    passwords.answerAll()
    rig.simulation.run(for: 100 * millisecond_ns)
    #expect(other.say("PING\r\n") == "PONG\r\n" && rig.account.clientCount == 1)
  }

  @Test("who is judged again on request is nobody after a reload until that is done")
  func guestMeanwhile() {
    let rig = BrokerRig(passwords: passwords)
    func guests(_ secret: ByteString) -> AccessRules {
      rules([("guest", ""), ("h", hash("secret")), ("p", secret)]) { $0.anonymousUser = "guest" }
    }
    rig.broker.use(guests("p"))
    let client = rig.client("SUB one 1\r\n")
    client.say(login("h", "secret"))
    rig.broker.use(guests("q"))
    let other = rig.client(login("p", "q"))
    client.forget()
    #expect(other.say("PUB one 1\r\na\r\nPING\r\n") == "PONG\r\n" && client.heard() == "")
  }

  // MARK: Time

  @Test("the time to say who it is does not run while its password waits to be checked")
  func timer() {
    let rig = BrokerRig(passwords: passwords)
    rig.broker.use(rules([("h", hash("secret"))]))
    let client = rig.client("")
    client.forget()
    // The server's first PING comes meanwhile.
    #expect(client.say(login("h", "secret") + "PING\r\n", wait_ns: 30 * second_ns) == "PING\r\n" && client.closed == nil)
    passwords.answerAll()
    #expect(client.say("") == "PONG\r\n")
  }

  @Test("who cannot be checked for want of room is told so, and may come again")
  func noRoom() {
    let rig = BrokerRig(passwords: passwords)
    rig.broker.use(rules([("h", hash("secret"))]))
    let client = rig.client("")
    client.forget()
    client.say(login("h", "secret"))
    passwords.answerAll(.noRoom)
    #expect(client.say("") == "-ERR 'maximum pending authentications exceeded'\r\n" && client.closed != nil)
    #expect(hashed(rig).say("PING\r\n") == "PONG\r\n")
  }

  // MARK: What was proven

  @Test("who comes back with the same right password does not cost a check again, until a reload or an hour later")
  func proven() {
    let rig = BrokerRig(passwords: passwords)
    let same = rules([("h", hash("secret")), ("g", hash("secret", salt: "b"))])
    rig.broker.use(same)
    func come(_ user: String, _ password: String) -> String {
      let client = rig.client("")
      client.forget()
      let heard = client.say(login(user, password) + "PING\r\n")
      passwords.answerAll()
      defer { client.stream.close() }
      return heard + client.say("")
    }
    #expect(come("h", "secret") == "PONG\r\n" && passwords.total == 1)
    for _ in 0..<3 { #expect(come("h", "secret") == "PONG\r\n" && passwords.total == 1) }
    for (index, wrong) in ["Secret", "secret ", "", "secret"].enumerated() {
      // The last one is another user's, whose hash it was not checked against.
      _ = come(index == 3 ? "g" : "h", wrong)
      #expect(passwords.total == 2 + index, "\(wrong)")
    }
    for _ in 0..<2 { _ = come("h", "Secret") }
    #expect(passwords.total == 7, "what is wrong is not remembered")
    rig.broker.use(same)
    _ = come("h", "secret")
    #expect(passwords.total == 8)
    rig.simulation.run(for: 3601 * second_ns)
    _ = come("h", "secret")
    #expect(passwords.total == 9)
  }

  // MARK: What time tells

  @Test("a name that nobody has is checked like one that somebody has, and so is a wrong plain password")
  func enumeration() {
    let rig = BrokerRig(passwords: passwords)
    rig.broker.use(rules([("h", hash("secret", cost: "11")), ("p", "plain")]))
    for (user, password) in [("nobody", "x"), ("h", "x"), ("p", "x")] {
      let client = rig.client("")
      client.forget()
      #expect(client.say(login(user, password)) == "" && client.closed == nil)
      #expect(passwords.asked.count == 1 && passwords.asked.first?.hash.string.hasPrefix("$2b$11$") == true, "\(user)")
      #expect(passwords.asked.first?.password == "x" && passwords.asked.first?.hash.count == 60)
      // Whatever comes of it: it is not let in.
      passwords.answerAll(user == "h" ? nil : .matches)
      #expect(client.say("") == violation, "\(user)")
    }
    #expect(rig.client(login("p", "plain")).say("PING\r\n") == "PONG\r\n" && passwords.asked.isEmpty)
  }

  @Test("names that nobody has cost what users' do, in the same proportion, and the same each time")
  func mixedCosts() {
    let rig = BrokerRig(passwords: passwords)
    rig.broker.use(rules([("a", hash("x", cost: "04")), ("b", hash("x", cost: "04")), ("c", hash("x", cost: "10"))]))
    var dear = 0
    for index in 0..<300 {
      var seen: ByteString?
      for _ in 0..<2 {
        var facts = ConnectFacts()
        facts.user = ByteString("nobody-\(index)")
        facts.password = "x"
        _ = rig.broker.authenticator.judge(facts) { _ in }
        let hash = passwords.asked[0].hash
        passwords.answerAll()
        #expect(seen == nil || seen == hash)
        seen = hash
      }
      if seen?.string.hasPrefix("$2b$10$") == true { dear += 1 }
    }
    #expect((60...140).contains(dear), "\(dear) of 300")
  }
}
