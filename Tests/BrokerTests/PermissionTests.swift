// Permissions of a user: what the lists say, against a plain reading of them, and what one connection may answer.
import Bytes
import Identity
import Interest
import Platform
import Testing

@testable import Broker

@Suite struct PermissionTests {
  private func set(
    publish: Permissions.Lists = .init(), subscribe: Permissions.Lists = .init(), responses: Permissions.Responses? = nil
  ) -> PermissionSet {
    var permissions = Permissions()
    permissions.publish = publish
    permissions.subscribe = subscribe
    permissions.responses = responses
    return PermissionSet(permissions)
  }

  private func publishes(_ set: PermissionSet, _ subject: ByteString) -> Bool { subject.withView { set.allowsPublish($0) } }
  private func subscribes(_ set: PermissionSet, _ pattern: ByteString, _ queue: ByteString = "") -> Bool {
    pattern.withView { pattern in queue.withView { set.allowsSubscribe(pattern, queue: $0) } }
  }

  @Test("without lists everything is allowed, deny outranks allow, and an empty allow list allows nothing")
  func lists() {
    #expect(publishes(set(), "a") && subscribes(set(), ">"))
    let some = set(publish: .init(allow: ["a.*", "b"], deny: ["a.x"]), subscribe: .init(allow: ["a.>"], deny: ["a.x.>"]))
    for (subject, fine) in [("a.b", true), ("b", true), ("a.x", false), ("a", false), ("a.b.c", false), ("c", false)]
      as [(ByteString, Bool)]
    {
      #expect(publishes(some, subject) == fine, "\(subject.string)")
      // Asked again: from what was remembered.
      #expect(publishes(some, subject) == fine)
    }
    for (pattern, fine) in [
      ("a.>", true), ("a.b", true), ("a.*", true), ("a", false), (">", false), ("*.b", false), ("a.x.>", false), ("a.x.y", false),
      ("a.x", true),
    ] as [(ByteString, Bool)] {
      #expect(subscribes(some, pattern) == fine, "\(pattern.string)")
    }
    #expect(!publishes(set(publish: .init(allow: [])), "a"))
    #expect(!publishes(set(responses: .init()), "a"))
    #expect(publishes(set(publish: .init(allow: ["a"]), responses: .init()), "a"))
  }

  @Test("a subject that is mapped to another is denied when either is, and allowed as what it becomes")
  func mapped() {
    func heard(_ lists: Permissions.Lists) -> [String] {
      let rig = BrokerRig()
      rig.account.map(SubjectPrefixMapping(source: "$JS.edge.API.>", destination: "$JS.API.>"))
      var user = UserRule(name: "u")
      user.password = StoredPassword("p")
      var permissions = Permissions()
      permissions.publish = lists
      user.permissions = permissions
      var rules = AccessRules()
      rules.users = [user]
      rig.broker.use(rules)
      var got: [String] = []
      rig.account.subscribe("$JS.API.>") { message, _ in got.append(message.subject.string) }
      let client = rig.client("CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"p\"}\r\n")
      for _ in 0..<2 {
        let answer = client.say("PUB $JS.edge.API.DELETE.S 0\r\n\r\nPING\r\n")
        #expect(answer.hasPrefix("-ERR 'Permissions Violation for Publish to ") == got.isEmpty)
      }
      return got
    }
    let arrived = ["$JS.API.DELETE.S", "$JS.API.DELETE.S"]
    #expect(heard(.init(deny: ["$JS.API.DELETE.>"])) == [] && heard(.init(deny: ["$JS.edge.API.DELETE.>"])) == [])
    #expect(heard(.init(allow: ["$JS.edge.API.>"])) == [] && heard(.init(allow: ["$JS.API.>"])) == arrived)
    #expect(heard(.init(allow: ["$JS.API.>"], deny: ["$JS.edge.API.>"])) == [] && heard(.init(deny: ["x"])) == arrived)
  }

  @Test("entries for queue groups")
  func queues() {
    let named = set(subscribe: .init(allow: ["foo", "bar v1.*", "baz v1", "baz v2"], deny: ["foo prod"]))
    for (pattern, queue, fine) in [
      ("foo", "", true), ("foo", "dev", true), ("foo", "prod", false), ("bar", "", false), ("bar", "v1.a", true), ("bar", "v2", false),
      ("baz", "v2", true), ("baz", "v3", false),
    ] as [(ByteString, ByteString, Bool)] {
      #expect(subscribes(named, pattern, queue) == fine, "\(pattern.string) \(queue.string)")
    }
  }

  @Test("a thousand subjects are judged like a plain reading of the lists, however often they are asked for")
  func plainReading() {
    let entropy = SeededEntropy(seed: 4)
    func pick(_ count: Int) -> Int { Int(entropy.next() % UInt64(count)) }
    func subject(wild: Bool) -> ByteString {
      var tokens: [String] = []
      for _ in 0...pick(3) { tokens.append(wild && pick(4) == 0 ? "*" : ["a", "b", "c"][pick(3)]) }
      if wild, pick(4) == 0 { tokens.append(">") }
      return ByteString(tokens.joined(separator: "."))
    }
    for _ in 0..<40 {
      let allow = pick(3) == 0 ? nil : (0..<pick(4)).map { _ in subject(wild: true) }
      let deny = (0..<pick(3)).map { _ in subject(wild: true) }
      let judged = set(publish: .init(allow: allow, deny: deny), subscribe: .init(allow: allow, deny: deny))
      for _ in 0..<50 {
        let one = subject(wild: false)
        let fine = (allow?.contains { Subject.matches(one, $0) } ?? true) && !deny.contains { Subject.matches(one, $0) }
        #expect(publishes(judged, one) == fine)
        let pattern = subject(wild: true)
        let may = (allow?.contains { Subject.isSubset(pattern, of: $0) } ?? true) && !deny.contains { Subject.isSubset(pattern, of: $0) }
        #expect(subscribes(judged, pattern) == may)
        // Whatever may be subscribed to, nothing that is denied comes through it.
        guard may, Subject.matches(one, pattern) else { continue }
        let isHeldBack =
          pattern.withView { judged.filtersDeliveries(to: $0) } && one.withView { judged.deniesDelivery($0, queue: nil) }
        #expect(isHeldBack == deny.contains { Subject.matches(one, $0) })
      }
    }
  }

  @Test("more subjects than are remembered")
  func remembered() {
    let some = set(publish: .init(allow: ["a.>"], deny: ["a.*.x"]))
    for round in 0..<2 {
      for number in 0..<2000 {
        #expect(publishes(some, ByteString("a.\(number)")), "\(round)")
        #expect(!publishes(some, ByteString("a.\(number).x")))
      }
    }
  }

  // MARK: Answers

  private func answers(_ client: ClientPermissions, _ reply: ByteString, at now_ns: Int64) -> Bool {
    reply.withView { client.takeAnswer($0, now_ns: now_ns) }
  }

  @Test("answers are allowed so often, and so long")
  func responses() {
    let client = ClientPermissions(set(publish: .init(allow: ["open"]), responses: .init(max: 2, expires_ns: second_ns)))
    func request(_ reply: ByteString, at now_ns: Int64) { reply.withView { client.delivered(reply: $0, now_ns: now_ns) } }
    #expect(!answers(client, "r", at: 0))
    request("r", at: 0)
    request("late", at: 0)
    #expect(answers(client, "r", at: 1) && answers(client, "r", at: second_ns))
    #expect(!answers(client, "r", at: second_ns) && !answers(client, "late", at: second_ns + 1))
    // Asked again, it may be answered again.
    request("r", at: 5 * second_ns)
    #expect(answers(client, "r", at: 5 * second_ns))
    #expect(!answers(client, "other", at: 5 * second_ns))
  }

  @Test("any number, for ever")
  func endlessResponses() {
    let client = ClientPermissions(set(responses: .init(max: -1, expires_ns: -1)))
    ByteString("r").withView { client.delivered(reply: $0, now_ns: 0) }
    for number in 0..<1000 { #expect(answers(client, "r", at: Int64(number) * 3600 * second_ns)) }
  }

  @Test("requests that are never answered are forgotten, and then there is room for others")
  func flood() {
    let client = ClientPermissions(set(responses: .init(expires_ns: 10 * second_ns)))
    for number in 0..<70_000 { ByteString("r\(number)").withView { client.delivered(reply: $0, now_ns: Int64(number)) } }
    #expect(answers(client, "r0", at: second_ns) && answers(client, "r40000", at: second_ns))
    // There was no room for this one.
    #expect(!answers(client, "r69999", at: second_ns))
    ByteString("new").withView { client.delivered(reply: $0, now_ns: 20 * second_ns) }
    #expect(answers(client, "new", at: 21 * second_ns))
    #expect(!answers(client, "r1", at: 21 * second_ns))
  }

  // MARK: On a connection

  private func rig(_ change: (inout Permissions) -> Void) -> (rig: BrokerRig, client: RawClient) {
    let rig = BrokerRig()
    var rules = AccessRules()
    var user = UserRule(name: "a")
    var permissions = Permissions()
    change(&permissions)
    user.permissions = permissions
    rules.users = [user, UserRule(name: "free")]
    rig.broker.use(rules)
    return (rig, rig.client("CONNECT {\"verbose\":false,\"user\":\"a\",\"headers\":true,\"no_responders\":true}\r\n"))
  }

  private func free(_ rig: BrokerRig) -> RawClient { rig.client("CONNECT {\"verbose\":false,\"user\":\"free\"}\r\n") }

  @Test("violations are told, and the connection goes on")
  func violations() {
    let (_, client) = rig {
      $0.publish = .init(allow: ["ok"])
      $0.subscribe = .init(allow: ["ok", "queued q"])
    }
    #expect(client.say("PUB no 1\r\nx\r\n") == "-ERR 'Permissions Violation for Publish to \"no\"'\r\n")
    #expect(client.say("HPUB no 12 13\r\nNATS/1.0\r\n\r\nx\r\n") == "-ERR 'Permissions Violation for Publish to \"no\"'\r\n")
    #expect(client.say("SUB no 1\r\n") == "-ERR 'Permissions Violation for Subscription to \"no\"'\r\n")
    #expect(client.say("SUB queued p 1\r\n") == "-ERR 'Permissions Violation for Subscription to \"queued\" using queue \"p\"'\r\n")
    #expect(client.say("SUB queued q 1\r\nSUB ok 2\r\nPUB ok 1\r\nx\r\n") == "MSG ok 2 1\r\nx\r\n")
  }

  @Test("a subscription that is wider than what is denied hears nothing of that")
  func deniedWithin() {
    let (rig, client) = rig { $0.subscribe = .init(deny: ["a.secret", "b.* group"]) }
    client.say("SUB > 1\r\nSUB b.> group 2\r\n")
    let other = free(rig)
    other.say("PUB a.secret 1\r\nx\r\nPUB a.open 1\r\ny\r\nPUB b.c 1\r\nz\r\n")
    #expect(client.heard() == "MSG a.open 1 1\r\ny\r\nMSG b.c 1 1\r\nz\r\n")
  }

  @Test("a responder may answer who asked, once, and nobody else")
  func responder() {
    let (rig, client) = rig {
      $0.subscribe = .init(allow: ["service"])
      $0.responses = .init()
    }
    client.say("SUB service 1\r\n")
    let asker = free(rig)
    asker.say("SUB inbox 1\r\nPUB service inbox 1\r\nq\r\n")
    #expect(client.heard() == "MSG service 1 inbox 1\r\nq\r\n")
    #expect(
      client.say("PUB inbox 1\r\n1\r\nPUB inbox 1\r\n2\r\nPUB other 1\r\n3\r\n").components(after: "Publish to").contains("\"other\""))
    #expect(asker.heard() == "MSG inbox 1 1\r\n1\r\n")
  }
}
