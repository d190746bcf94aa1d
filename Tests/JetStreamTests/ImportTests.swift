// What other accounts publish reaches an account's streams where it is imported, and never the JetStream that keeps them.
import Broker
import Bytes
import Identity
import Interest
import LogStore
import Platform
import Testing

@testable import JetStream

@Suite struct ImportTests {
  private let rig: Rig
  private let broker: Broker
  private var importer: Account { broker.account("B")! }
  private var exporter: Account { broker.account("A")! }

  init() throws {
    rig = try Rig()
    broker = Broker(host: rig.host, identity: ServerIdentity(name: "gw", release: "0", entropy: rig.host.entropy))
    var exporter = AccountRule(name: "A")
    exporter.exports = [ExportRule(.stream, ">")]
    var importer = AccountRule(name: "B")
    importer.imports = [ImportRule(.stream, account: "A", subject: ">", localSubject: ">")]
    var rules = AccessRules()
    rules.accounts = [exporter, importer]
    precondition(broker.use(rules).isEmpty)
  }

  private func say(_ subject: String, _ payload: String = "", in account: Account, reply: String = "") {
    account.route(subject, payload, headers: [], reply: reply, from: Outside(account: account))
    rig.settle()
  }

  @Test("an exporter fills the importer's streams, and can neither make, delete, back up nor acknowledge anything in them")
  func streams() throws {
    let store = LogStore(host: rig.host, directory: "other")
    _ = try store.open()
    let jetStream = JetStream(host: rig.host, account: importer, store: store)
    let consumers = ConsumerEngine(jetStream: jetStream)
    jetStream.consumerAPI = consumers
    jetStream.start()
    rig.settle()
    var replies: [String] = []
    importer.subscribe("in") { message, _ in replies.append(message.reply.string) }
    say("$JS.API.STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s.>\"]}", in: importer)
    say(
      "$JS.API.CONSUMER.DURABLE.CREATE.S.C", "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"C\",\"ack_policy\":\"explicit\"}}",
      in: importer)
    say("s.1", "x", in: exporter)
    let stream = try #require(jetStream.streams.first)
    #expect(stream.count == 1)
    say("$JS.API.CONSUMER.MSG.NEXT.S.C", in: importer, reply: "in")
    let ack = try #require(replies.first { $0.hasPrefix("$JS.ACK.S.C.") })
    say("$JS.API.STREAM.CREATE.T", "{\"name\":\"T\",\"subjects\":[\"t\"]}", in: exporter, reply: "in")
    say("$JS.API.STREAM.DELETE.S", in: exporter, reply: "in")
    #expect(jetStream.streams.count == 1 && replies.count == 1)
    // Every subscription of the server's own is one of its services, but for streams' subjects.
    say("$JS.API.STREAM.SNAPSHOT.S", "{\"deliver_subject\":\"backup\"}", in: importer, reply: "in")
    var own: [String] = []
    importer.interest.forEach { _, _, subscription, _ in if subscription.origin == .own { own.append(subscription.subject.string) } }
    #expect(own.sorted() == ["in", "s.>"])
    // The exporter cannot acknowledge what the importer was given.
    var answers: [String] = []
    for account in [exporter, importer] { account.subscribe("acked.>") { message, _ in answers.append(message.subject.string) } }
    say(ack, in: exporter, reply: "acked.exporter")
    #expect(answers == [])
    say(ack, in: importer, reply: "acked.importer")
    #expect(answers == ["acked.importer"])
  }

  @Test("an account without JetStream says so to its own clients alone")
  func absent() {
    let absent = AbsentJetStream(account: importer, isSystem: false)
    var answers = 0
    importer.subscribe("in") { _, _ in answers += 1 }
    say("$JS.API.INFO", in: exporter, reply: "in")
    #expect(answers == 0)
    say("$JS.API.INFO", in: importer, reply: "in")
    #expect(answers == 1)
    absent.stop()
  }
}
