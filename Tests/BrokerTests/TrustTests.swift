// Operator mode: what an account shares counts as long as a trusted operator's word for it does.
import Bytes
import Identity
import Interest
import Platform
import Testing

@testable import Broker

@Suite struct TrustTests {
  private let trusted = seed(.operator, 1)
  private let stranger = seed(.operator, 9)
  private let exporter = seed(.account, 2)
  private let importer = seed(.account, 3)

  private func claims(_ account: Seed, by issuer: Seed, more: String = "", nats: String) -> ByteString {
    let text = """
      {"iss":"\(issuer.publicKey.text.string)","sub":"\(account.publicKey.text.string)","name":"ACC","iat":1700000000\(more),
       "nats":{"type":"account","version":2,"limits":{"subs":-1,"conn":-1,"leaf":-1,"data":-1,"payload":-1}\(nats)}}
      """
    return token(text, by: issuer)
  }

  private func exporting(by issuer: Seed, more: String = "") -> ByteString {
    claims(
      exporter, by: issuer, more: more,
      nats: ",\"exports\":[{\"subject\":\"s.>\",\"type\":\"stream\"},{\"subject\":\"q\",\"type\":\"service\"}]")
  }

  private func importing(by issuer: Seed, more: String = "") -> ByteString {
    let name = exporter.publicKey.text.string
    return claims(
      importer, by: issuer, more: more,
      nats:
        ",\"imports\":[{\"account\":\"\(name)\",\"subject\":\"s.>\",\"type\":\"stream\"},{\"account\":\"\(name)\",\"subject\":\"q\",\"type\":\"service\"}]"
    )
  }

  private func rules(_ tokens: [ByteString]) -> AccessRules {
    var rules = AccessRules()
    rules.trustedKeys = [trusted.publicKey.text]
    rules.accountTokens = tokens
    return rules
  }

  /// Whether a message passes, and whether a request does.
  private func passes(_ rig: BrokerRig) -> [Bool] {
    let from = TestEndpoint(.client, rig.broker.account(exporter.publicKey.text)!)
    let to = TestEndpoint(.client, rig.broker.account(importer.publicKey.text)!)
    to.subscribe("s.a")
    from.subscribe("q")
    _ = from.publish("s.a")
    let request: ByteString = "q"
    _ = request.withView { subject in
      ByteString("inbox").withView { to.account.route(Message(subject: subject, reply: $0), from: to) }
    }
    defer {
      from.unsubscribeAll()
      to.unsubscribeAll()
    }
    return [!to.taken().isEmpty, !from.taken().isEmpty]
  }

  private let all = [true, true]
  private let none = [false, false]

  @Test("accounts share what trusted operators have signed, whichever end is another's")
  func issuers() {
    let rig = BrokerRig()
    #expect(rig.broker.use(rules([exporting(by: trusted), importing(by: trusted)])).isEmpty)
    #expect(passes(rig) == all)
    let cases: [(tokens: [ByteString], problem: SharingProblem)] = [
      ([exporting(by: stranger), importing(by: trusted)], .untrusted), ([exporting(by: trusted), importing(by: stranger)], .ownUntrusted),
    ]
    for (tokens, problem) in cases {
      #expect(rig.broker.use(rules(tokens)).map { $0.problem } == [problem, problem])
      #expect(passes(rig) == none)
    }
    rig.broker.use(rules([exporting(by: trusted), importing(by: trusted)]))
    #expect(passes(rig) == all)
  }

  @Test("what an account shares begins and ends with its token", arguments: [true, false])
  func times(_ isExporters: Bool) {
    let rig = BrokerRig()
    let now = rig.server.host.clock.wall_ns / second_ns
    let times = ",\"nbf\":\(now + 10),\"exp\":\(now + 20)"
    rig.broker.use(rules([exporting(by: trusted, more: isExporters ? times : ""), importing(by: trusted, more: isExporters ? "" : times)]))
    #expect(passes(rig) == none)
    rig.simulation.run(for: 12 * second_ns)
    #expect(passes(rig) == all)
    rig.simulation.run(for: 10 * second_ns)
    #expect(passes(rig) == none)
  }
}
