// Accounts: that nothing passes between them but what is exported and imported, and that this does.
import Bytes
import Identity
import Interest
import Platform
import Testing

@testable import Broker

/// A broker with accounts and somebody in each.
private final class SharingRig {
  let simulation = Simulation(seed: 5)
  let broker: Broker
  private(set) var rules = AccessRules()
  private(set) var refused: [RefusedImport] = []

  init(_ accounts: [AccountRule]) {
    let host = simulation.machine("server").host
    broker = Broker(host: host, identity: ServerIdentity(name: "gw", release: "0.1.0", entropy: host.entropy), limits: BrokerLimits())
    use(accounts)
  }

  func use(_ accounts: [AccountRule]) {
    rules.accounts = accounts
    refused = broker.use(rules)
  }

  func account(_ name: ByteString) -> Account { broker.account(name)! }
  func endpoint(_ name: ByteString, _ kind: Endpoint.Kind = .client) -> TestEndpoint { TestEndpoint(kind, account(name)) }
  func run(_ duration_ns: Int64 = millisecond_ns) { simulation.run(for: duration_ns) }
}

private func account(_ name: ByteString, _ exports: [ExportRule] = [], _ imports: [ImportRule] = []) -> AccountRule {
  var rule = AccountRule(name: name)
  rule.exports = exports
  rule.imports = imports
  return rule
}

extension ImportRule {
  fileprivate init(_ kind: SharingKind, _ account: ByteString, _ subject: ByteString, to local: ByteString? = nil) {
    self.init(kind, account: account, subject: subject, localSubject: local ?? subject)
  }
}

extension TestEndpoint {
  /// Publishes a request.
  @discardableResult
  fileprivate func ask(_ subject: ByteString, _ reply: ByteString) -> Bool {
    subject.withView { subject in reply.withView { reply in account.route(Message(subject: subject, reply: reply), from: self) } }
  }
}

/// Writes down the replies of what it gets as well.
private final class Responder: Endpoint {
  private(set) var got: [(subject: String, reply: ByteString, headers: String)] = []

  init(_ account: Account) { super.init(kind: .client, id: 98, account: account) }

  func subscribe(_ subject: ByteString, queue: ByteString? = nil) {
    account.add(Subscription(subject: subject, queue: queue, endpoint: self))
  }

  override func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    got.append((message.subject.string, ByteString(message.reply), message.headers.string))
    return true
  }

  @discardableResult
  func answer(_ index: Int = 0, empty: Bool = false) -> Bool {
    got[index].reply.withView { subject in
      ByteString(empty ? "" : "x").withView { account.route(Message(subject: subject, payload: $0), from: self) }
    }
  }
}

@Suite struct SharingTests {
  // MARK: Isolation

  @Test("nothing that anybody says in one account is heard in another")
  func isolation() {
    let rig = SharingRig([account("A"), account("B")])
    let names: [ByteString] = ["$G", "$SYS", "A", "B"]
    let kinds: [Endpoint.Kind] = [.client, .leaf]
    var listeners: [(account: ByteString, endpoint: TestEndpoint)] = []
    for name in names {
      for kind in kinds {
        let endpoint = rig.endpoint(name, kind)
        endpoint.subscribe(">")
        endpoint.subscribe("x.*", "q")
        endpoint.subscribe("_INBOX.>")
        endpoint.subscribe("$JS.API.>")
        endpoint.subscribe("$SYS.>")
        listeners.append((name, endpoint))
      }
    }
    for name in names {
      for kind in kinds {
        let sender = rig.endpoint(name, kind)
        for subject in ["x.y", "_INBOX.1", "$JS.API.INFO", "$SYS.REQ.SERVER.PING", "_R_.abc.def"] as [ByteString] {
          if kind == .leaf {
            _ = sender.publishAsLeaf(subject, queues: ["q"])
          } else {
            _ = sender.publish(subject)
          }
        }
        rig.run()
        for (account, listener) in listeners {
          let heard = listener.taken()
          #expect(account == name || heard.isEmpty, "\(name.string) to \(account.string)")
          #expect(account != name || !heard.isEmpty || (kind == .leaf && listener.kind == .leaf))
        }
      }
    }
  }

  @Test("of random exports and imports exactly those pass that a plain reading of the rules lets pass")
  func randomSharing() {
    for seed in 1...150 as ClosedRange<UInt64> {
      let entropy = SeededEntropy(seed: seed)
      func pick(_ count: Int) -> Int { Int(entropy.next() % UInt64(count)) }
      func subject(_ wild: Bool) -> ByteString {
        var tokens: [String] = []
        for _ in 0...pick(3) { tokens.append(wild && pick(3) == 0 ? "*" : ["a", "b"][pick(2)]) }
        if wild, pick(4) == 0 { tokens.append(">") }
        return ByteString(tokens.joined(separator: "."))
      }
      let names: [ByteString] = ["A", "B", "C"]
      var accounts: [AccountRule] = []
      for name in names {
        var exports: [ExportRule] = []
        for _ in 0..<pick(3) {
          var rule = ExportRule(.stream, subject(true))
          if pick(3) == 0 { rule.accounts = [names[pick(3)]] }
          exports.append(rule)
        }
        accounts.append(account(name, exports))
      }
      for index in accounts.indices {
        for _ in 0..<pick(3) {
          let exporter = accounts[pick(3)]
          guard !exporter.exports.isEmpty else { continue }
          let offered = exporter.exports[pick(exporter.exports.count)].subject
          let rule = ImportRule(.stream, exporter.name, pick(3) == 0 ? subject(true) : offered)
          if !accounts[index].imports.contains(rule) { accounts[index].imports.append(rule) }
        }
      }
      let rig = SharingRig(accounts)
      let listeners = names.map { rig.endpoint($0) }
      let patterns = names.map { _ in (0...pick(2)).map { _ in subject(true) } }
      for (listener, patterns) in zip(listeners, patterns) { for pattern in patterns { listener.subscribe(pattern) } }
      for (senderIndex, sender) in names.enumerated() {
        for _ in 0..<20 {
          let sent = subject(false)
          _ = rig.endpoint(sender).publish(sent)
          for (index, listener) in listeners.enumerated() {
            var expected = 0
            if index == senderIndex {
              expected = patterns[index].filter { Subject.matches(sent, $0) }.count
            } else {
              let inForce = accounts[index].imports.filter { rule in
                rule.account == sender && !rig.refused.contains { $0.account == names[index] && $0.rule == rule }
              }
              for rule in inForce where Subject.matches(sent, rule.subject) {
                expected += patterns[index].filter { Subject.matches(sent, $0) }.count
              }
              // Nothing comes in but under an export to this account that covers it.
              let offered = accounts[senderIndex].exports.contains { export in
                Subject.matches(sent, export.subject) && (export.accounts?.contains(names[index]) ?? true)
              }
              #expect(offered || expected == 0)
            }
            #expect(listener.taken().count == expected, "seed \(seed): \(sent.string) from \(sender.string) to \(names[index].string)")
          }
        }
      }
    }
  }

  // MARK: Messages

  @Test("messages are imported as they are, below a prefix, and with their wildcards in other places")
  func streams() {
    let rig = SharingRig([
      account("A", [ExportRule(.stream, "s.>")]),
      account(
        "B", [],
        [
          ImportRule(.stream, "A", "s.one.>"), ImportRule(.stream, "A", "s.two.*.*", to: "turned.$2.$1"),
          ImportRule(.stream, "A", "s.three.>", to: "below.s.three.>"),
        ]),
    ])
    #expect(rig.refused.isEmpty)
    let listener = rig.endpoint("B")
    listener.subscribe(">")
    let sender = rig.endpoint("A")
    for subject in ["s.one.a", "s.two.a.b", "s.three.x.y", "s.four", "s.two.a", "other"] as [ByteString] { _ = sender.publish(subject) }
    #expect(listener.taken() == ["> <- s.one.a", "> <- turned.b.a", "> <- below.s.three.x.y"])
    // Who listens to less gets less, and who listens no more gets nothing.
    let narrow = rig.endpoint("B")
    let subscription = narrow.subscribe("turned.*.a")
    _ = sender.publish("s.two.a.b")
    _ = sender.publish("s.two.b.a")
    #expect(narrow.taken() == ["turned.*.a <- turned.b.a"])
    rig.account("B").remove(subscription)
    _ = sender.publish("s.two.a.b")
    #expect(narrow.taken() == [])
    listener.unsubscribeAll()
    #expect(rig.account("A").interest.count == 0)
    #expect(!sender.publish("s.one.a"))
  }

  @Test("queue groups of an importing account share what is imported, with nobody of the exporting one")
  func queues() {
    let rig = SharingRig([account("A", [ExportRule(.stream, "s")]), account("B", [], [ImportRule(.stream, "A", "s")])])
    let members = [rig.endpoint("B"), rig.endpoint("B")]
    for member in members { member.subscribe("s", "q") }
    let own = rig.endpoint("A")
    own.subscribe("s", "own")
    for _ in 0..<100 { _ = own.publish("s") }
    let counts = members.map { $0.taken().count }
    #expect(counts.reduce(0, +) == 100 && counts.allSatisfy { $0 > 10 } && own.taken().count == 100)
  }

  @Test("a leaf link of an importing account gets each message once, and what comes from it is not sent back")
  func leafs() {
    let rig = SharingRig([
      account("A", [ExportRule(.stream, "s.>")]), account("B", [], [ImportRule(.stream, "A", "s.>", to: "t.s.>")]),
    ])
    let leaf = rig.endpoint("B", .leaf)
    leaf.subscribe("t.>")
    leaf.subscribe("t.s.*")
    let client = rig.endpoint("A")
    _ = client.publish("s.x")
    #expect(leaf.taken() == ["t.s.x []"])
    // The same peer may have a link in either account; to the server they are two.
    let other = rig.endpoint("A", .leaf)
    #expect(other.publishAsLeaf("s.y"))
    #expect(leaf.taken() == ["t.s.y []"])
    leaf.unsubscribeAll()
    #expect(rig.account("A").interest.count == 0)
    // Another link, perhaps in the same place of memory, is not taken for the first.
    for _ in 0..<50 {
      let next = rig.endpoint("B", .leaf)
      next.subscribe("t.s.z")
      _ = client.publish("s.z")
      #expect(next.taken() == ["t.s.z []"])
      next.unsubscribeAll()
    }
  }

  @Test("a stream's delivery is imported on the subject that it was delivered on, whatever it shows")
  func deliveries() {
    let rig = SharingRig([
      account("A", [ExportRule(.stream, "public.>")]),
      account("B", [], [ImportRule(.stream, "A", "public.>")]), account("C", [], [ImportRule(.stream, "A", "public.>", to: "in.>")]),
    ])
    func deliver(_ subject: ByteString, showing shown: ByteString) {
      let exporter = rig.account("A")
      subject.withView { subject in
        shown.withView { shown in _ = exporter.route(Message(subject: subject, presentedSubject: shown), from: exporter.services) }
      }
    }
    var shown: [String] = []
    for name in ["B", "C"] as [ByteString] {
      rig.account(name).subscribe(name == "B" ? "public.x" : "in.x") { message, _ in
        shown.append("\(message.subject.string) \(message.shownSubject.string)")
      }
    }
    let victim = rig.endpoint("B")
    victim.subscribe("cmd.>")
    let leaf = rig.endpoint("B", .leaf)
    leaf.subscribe(">")
    deliver("public.x", showing: "cmd.stop")
    #expect(victim.taken() == [] && leaf.taken() == ["public.x []"])
    #expect(shown == ["public.x cmd.stop", "in.x cmd.stop"])
    // What is shown has a name of the importer's where its subject is imported as well.
    shown = []
    deliver("public.x", showing: "public.y")
    #expect(shown == ["public.x public.y", "in.x in.y"])
    // And what is only shown is not imported.
    deliver("private", showing: "public.x")
    #expect(shown.count == 2 && leaf.taken() == ["public.x []"])
  }

  @Test("for the server's own services nothing is imported")
  func services() {
    let rig = SharingRig([account("A", [ExportRule(.stream, ">")]), account("B", [], [ImportRule(.stream, "A", ">")])])
    var got: [String] = []
    let own = rig.account("B").subscribe("x") { message, _ in got.append("own") }
    let service = rig.account("B").subscribe("x", origin: .service) { message, _ in got.append("service") }
    _ = rig.endpoint("A").publish("x")
    #expect(got == ["own"])
    // Nor for those of a server behind a leaf link.
    let leaf = rig.endpoint("B", .leaf)
    leaf.subscribe("$JS.edge.API.>")
    leaf.subscribe("y")
    #expect(!rig.endpoint("A").publish("$JS.edge.API.STREAM.DELETE.S") && rig.endpoint("A").publish("y") && leaf.taken() == ["y []"])
    leaf.unsubscribeAll()
    rig.account("B").remove(own)
    rig.account("B").remove(service)
    #expect(!rig.endpoint("A").publish("x") && rig.account("A").interest.count == 0)
  }

  @Test("the last message that an importer asked for takes its subscription along")
  func lastDelivery() {
    let rig = SharingRig([account("A", [ExportRule(.stream, "s")]), account("B", [], [ImportRule(.stream, "A", "s")])])
    var listener: TestEndpoint? = rig.endpoint("B")
    listener!.subscribe("s", max: 1)
    #expect(rig.endpoint("A").publish("s") && listener!.taken() == ["s <- s"])
    listener = nil
    #expect(!rig.endpoint("A").publish("s") && rig.account("A").interest.count == 0)
  }

  @Test("imports pass on what was imported only where that is exported again")
  func chain() {
    let accounts = [
      account("A", [ExportRule(.stream, "s")]), account("B", [ExportRule(.stream, "s")], [ImportRule(.stream, "A", "s")]),
      account("C", [], [ImportRule(.stream, "B", "s")]),
    ]
    let rig = SharingRig(accounts)
    let listener = rig.endpoint("C")
    listener.subscribe("s")
    _ = rig.endpoint("B").publish("s")
    #expect(listener.taken().count == 1)
  }

  @Test("a change of the rules ties and unties imports for those who are there")
  func changes() {
    let exporter = account("A", [ExportRule(.stream, "s"), ExportRule(.service, "q")])
    let importer = account("B", [], [ImportRule(.stream, "A", "s"), ImportRule(.service, "A", "q")])
    let rig = SharingRig([exporter, account("B")])
    let listener = rig.endpoint("B")
    let responder = Responder(rig.account("A"))
    responder.subscribe("q")
    listener.subscribe(">")
    let sender = rig.endpoint("A")
    _ = sender.publish("s")
    #expect(listener.taken() == [] && !rig.endpoint("B").ask("q", "r") == false)
    _ = listener.taken()
    for round in 0..<3 {
      rig.use([exporter, importer])
      _ = sender.publish("s")
      #expect(listener.taken() == ["> <- s"], "\(round)")
      listener.ask("q", "r")
      #expect(responder.got.count == round + 1)
      _ = listener.taken()
      rig.use([exporter, account("B")])
      _ = sender.publish("s")
      listener.ask("q", "r")
      #expect(responder.got.count == round + 1 && listener.taken().allSatisfy { !$0.contains("<- s") })
    }
    // An account that is gone from the rules shares nothing any more.
    rig.use([exporter, importer])
    rig.use([importer])
    #expect(rig.refused.count == 2)
    _ = sender.publish("s")
    #expect(listener.taken() == [])
  }

  @Test("imports that are the same before and after a reload are not touched, others change")
  func untouched() {
    let exporter = account("A", [ExportRule(.stream, "s.>"), ExportRule(.service, "q")])
    let imports = [ImportRule(.stream, "A", "s.1"), ImportRule(.stream, "A", "s.2"), ImportRule(.service, "A", "q")]
    let rig = SharingRig([exporter, account("B", [], imports)])
    let listener = rig.endpoint("B")
    listener.subscribe("s.*")
    let changes = Changes()
    rig.account("A").observe(changes)
    rig.account("B").observe(changes)
    rig.use([exporter, account("B", [], imports)])
    #expect(changes.taken() == [])
    rig.use([exporter, account("B", [], [imports[0], ImportRule(.stream, "A", "s.3"), imports[2]])])
    #expect(changes.taken() == ["- s.2", "+ s.3"])
    _ = rig.endpoint("A").publish("s.1")
    _ = rig.endpoint("A").publish("s.2")
    _ = rig.endpoint("A").publish("s.3")
    #expect(listener.taken() == ["s.* <- s.1", "s.* <- s.3"])
    // The answer's way is another one now.
    var changed = exporter
    changed.exports[1].threshold_ns += second_ns
    rig.use([changed, account("B", [], [imports[0], ImportRule(.stream, "A", "s.3"), imports[2]])])
    #expect(changes.taken() == ["- q", "+ q"])
    rig.use([exporter, account("B")])
    #expect(changes.taken().sorted() == ["- q", "- s.1", "- s.3"])
    listener.subscribe("s.9")
    #expect(changes.taken() == ["+ s.9"])
  }

  private final class Changes: InterestObserver {
    private var lines: [String] = []
    func interestChanged(_ subscription: Subscription, added: Bool) { lines.append("\(added ? "+" : "-") \(subscription.subject.string)") }
    func weightChanged(_ subscription: Subscription, by difference: Int) { lines.append("weight") }
    func taken() -> [String] {
      defer { lines = [] }
      return lines
    }
  }

  // MARK: Requests

  private func service(_ export: (inout ExportRule) -> Void = { _ in }, _ imported: (inout ImportRule) -> Void = { _ in }) -> SharingRig {
    var exportRule = ExportRule(.service, "svc.*")
    var importRule = ImportRule(.service, "A", "svc.*", to: "my.*.svc")
    export(&exportRule)
    imported(&importRule)
    return SharingRig([account("A", [exportRule]), account("B", [], [importRule]), account("C")])
  }

  @Test("a request is answered once, to who asked, and by nobody but the exporter")
  func requests() {
    let rig = service()
    let responder = Responder(rig.account("A"))
    responder.subscribe("svc.*")
    let asker = rig.endpoint("B")
    asker.subscribe("inbox.1")
    #expect(asker.ask("my.7.svc", "inbox.1"))
    #expect(responder.got.count == 1 && responder.got[0].subject == "svc.7" && responder.got[0].reply.string.hasPrefix("_R_."))
    #expect(responder.got[0].headers == "NATS/1.0\r\nNats-Request-Info: {\"acc\":\"B\"}\r\n\r\n")
    // Others who know the reply subject cannot use it in their own account.
    for name in ["B", "C", "$G"] as [ByteString] {
      _ = responder.got[0].reply.withView { rig.account(name).route(Message(subject: $0), from: rig.endpoint(name)) }
      #expect(asker.taken() == [])
    }
    #expect(responder.answer())
    #expect(asker.taken() == ["inbox.1 <- inbox.1"])
    #expect(!responder.answer() && asker.taken() == [])
    // The exporter's subject is not there under its own name.
    #expect(!asker.publish("svc.7"))
    #expect(!rig.endpoint("C").publish("my.7.svc"))
  }

  @Test("nobody can say in a request's headers that it comes from another account")
  func forgedRequester() {
    let rig = service()
    let responder = Responder(rig.account("A"))
    responder.subscribe("svc.*")
    let asker = rig.endpoint("B")
    let headers: ByteString = "NATS/1.0\r\nnats-request-info: {\"acc\":\"C\"}\r\nNats-Request-Info : {\"acc\":\"C\"}\r\nX: y\r\n\r\n"
    headers.withView { headers in
      ByteString("my.7.svc").withView { _ = asker.account.route(Message(subject: $0, headers: headers), from: asker) }
    }
    #expect(responder.got.map { $0.headers } == ["NATS/1.0\r\nX: y\r\nNats-Request-Info: {\"acc\":\"B\"}\r\n\r\n"])
  }

  @Test("several answers end with an empty one", arguments: [ExportRule.Response.stream, .chunked])
  func manyAnswers(response: ExportRule.Response) {
    let rig = service { $0.response = response }
    let responder = Responder(rig.account("A"))
    responder.subscribe("svc.*")
    let asker = rig.endpoint("B")
    asker.subscribe("inbox")
    asker.ask("my.1.svc", "inbox")
    for _ in 0..<3 { #expect(responder.answer()) }
    #expect(responder.answer(empty: true) && !responder.answer())
    #expect(asker.taken().count == 4)
  }

  @Test("answers are waited for as long as the export says, and their number is bounded")
  func lateAnswers() {
    let rig = service { $0.threshold_ns = second_ns }
    let responder = Responder(rig.account("A"))
    responder.subscribe("svc.*")
    let asker = rig.endpoint("B")
    asker.subscribe("inbox")
    asker.ask("my.1.svc", "inbox")
    rig.run(900 * millisecond_ns)
    asker.ask("my.2.svc", "inbox")
    rig.run(200 * millisecond_ns)
    #expect(!responder.answer(0) && responder.answer(1))
    #expect(asker.taken().count == 1)
  }

  @Test("who asked and went away is not answered, and a service without anybody says so")
  func nobody() {
    let rig = service()
    let asker = rig.endpoint("B")
    #expect(!asker.ask("my.1.svc", "inbox"))
    let responder = Responder(rig.account("A"))
    responder.subscribe("svc.*")
    asker.subscribe("inbox")
    #expect(asker.ask("my.1.svc", "inbox"))
    asker.unsubscribeAll()
    #expect(!responder.answer())
  }

  @Test("services pass requests through several accounts, and their answers back")
  func chainedServices() {
    let rig = SharingRig([
      account("A", [ExportRule(.service, "a")]), account("B", [ExportRule(.service, "b")], [ImportRule(.service, "A", "a", to: "b")]),
      account("C", [], [ImportRule(.service, "B", "b", to: "c")]),
    ])
    let responder = Responder(rig.account("A"))
    responder.subscribe("a")
    let asker = rig.endpoint("C")
    asker.subscribe("inbox")
    #expect(asker.ask("c", "inbox"))
    #expect(responder.answer() && asker.taken() == ["inbox <- inbox"])
    // In every account in between the answer went by its own name.
    #expect(!responder.answer())
  }

  @Test("accounts that import from each other in a circle are refused, and would not hang the server")
  func circles() {
    let rig = SharingRig([
      account("A", [ExportRule(.service, "x")], [ImportRule(.service, "B", "x")]),
      account("B", [ExportRule(.service, "x")], [ImportRule(.service, "A", "x")]),
    ])
    #expect(!rig.refused.isEmpty)
    #expect(!rig.endpoint("A").ask("x", "r"))
  }

  @Test("only accounts that an export names import it, each with its own token in the subject")
  func tokens() {
    var own = ExportRule(.service, "only.*")
    own.accountTokenPosition = 2
    var named = ExportRule(.stream, "named")
    named.accounts = ["B"]
    let rig = SharingRig([
      account("A", [own, named]),
      account("B", [], [ImportRule(.service, "A", "only.B"), ImportRule(.stream, "A", "named")]),
      account(
        "C", [],
        [
          ImportRule(.service, "A", "only.B"), ImportRule(.stream, "A", "named"), ImportRule(.stream, "A", "not"),
          ImportRule(.stream, "N", "x"),
        ]),
    ])
    #expect(rig.refused.map { $0.account } == ["C", "C", "C", "C"])
  }

  @Test("a token's place in an export's subject has to be there, and to be open", arguments: [1, 3, 4, Int.max])
  func tokenPlaces(position: Int) {
    var own = ExportRule(.service, "B.*.B")
    own.accountTokenPosition = position
    let rig = SharingRig([account("A", [own]), account("B", [], [ImportRule(.service, "A", "B.B.B", to: "x")])])
    #expect(rig.refused.map { $0.account } == ["B"])
  }

  @Test("a requester's header block without an end is ended before anything is added")
  func openHeaders() {
    let rig = service()
    let responder = Responder(rig.account("A"))
    responder.subscribe("svc.*")
    let asker = rig.endpoint("B")
    for headers in ["NATS/1.0\r\nX: y", "NATS/1.0\r\nX: y\r\n\r\nZ"] as [ByteString] {
      headers.withView { headers in
        ByteString("my.7.svc").withView { _ = asker.account.route(Message(subject: $0, headers: headers), from: asker) }
      }
    }
    #expect(
      responder.got.map { $0.headers } == [
        "NATS/1.0\r\nX: y\r\nNats-Request-Info: {\"acc\":\"B\"}\r\n\r\n",
        "NATS/1.0\r\nX: y\r\nZ\r\nNats-Request-Info: {\"acc\":\"B\"}\r\n\r\n",
      ])
  }

  @Test("who asks what nobody answers fills no memory, and hears the answers to what was asked last")
  func unanswered() {
    let rig = SharingRig([
      account("A", [ExportRule(.service, "svc")]), account("B", [], [ImportRule(.service, "A", "svc")]),
    ])
    let responder = Responder(rig.account("A"))
    responder.subscribe("svc")
    let asker = rig.endpoint("B")
    _ = asker.subscribe("in.*")
    for number in 0..<5 * WaitingReplies.countMax { asker.ask("svc", ByteString("in.\(number)")) }
    #expect(rig.account("A").responses.count <= 2 * WaitingReplies.countMax + 1)
    #expect(responder.answer(responder.got.count - 1) && asker.taken().count == 1 && !responder.answer(0))
  }

  @Test("an ack subject of another account is no ack of this one's messages")
  func acks() {
    let rules = [account("A", [ExportRule(.service, "svc")]), account("B", [], [ImportRule(.service, "A", "svc")])]
    for hasJetStream in [true, false] {
      let rig = SharingRig(rules)
      let responder = Responder(rig.account("A"))
      responder.subscribe("svc")
      if hasJetStream { rig.account("A").subscribe("$JS.ACK.S.C.>") { _, _ in Issue.record("another account's ack") } }
      let asker = rig.endpoint("B")
      _ = asker.subscribe("$JS.ACK.>")
      asker.ask("svc", "$JS.ACK.S.C.1.1.1.1.0")
      #expect(responder.got[0].reply.hasPrefix("_R_.") == hasJetStream)
      responder.answer()
      #expect(asker.taken().count == (hasJetStream ? 1 : 0))
    }
  }
}
