// Which lost requests of mirrors and sources elsewhere are answered, as seen from the interest that a leaf link brings.
import Broker
import Bytes
import Platform
import Testing

@testable import JetStream

/// A leaf link that collects what goes over it.
private final class Link: Endpoint {
  var sent: [(subject: String, payload: String)] = []
  private var subscriptions: [Subscription] = []

  init(_ rig: Rig, id: UInt64) { super.init(kind: .leaf, id: id, account: rig.account) }

  override func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    sent.append((message.subject.string, message.payload.string))
    return true
  }

  override func deliverOnce(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    sent.append((message.subject.string, message.payload.string))
    return true
  }

  func wants(_ subject: String) {
    let subscription = Subscription(subject: ByteString(subject), endpoint: self)
    subscriptions.append(subscription)
    account.add(subscription)
  }

  func goesDown() {
    for subscription in subscriptions { account.remove(subscription) }
    subscriptions = []
  }

  /// Asks for a consumer as a mirror does.
  func asks(_ inbox: String) {
    wants(inbox)
    wants("$JS.M.abc")
    let body =
      #"{"stream_name":"S","config":{"name":"m","deliver_subject":"$JS.M.abc","deliver_policy":"all","ack_policy":"none","#
      + #""max_deliver":1,"flow_control":true,"idle_heartbeat":1000000000,"inactive_threshold":10000000000,"direct":true}}"#
    ByteString("$JS.API.CONSUMER.CREATE.S.m").withView { subject in
      ByteString(inbox).withView { reply in
        ByteString(body).withView { body in
          _ = account.route(Message(subject: subject, reply: reply, headers: ByteView(), payload: body), from: self)
        }
      }
    }
  }

  func answers(_ inbox: String) -> [String] { sent.filter { $0.subject == inbox }.map(\.payload) }
}

@Suite("Lost requests of mirrors and sources elsewhere")
struct ServedOriginsTests {
  /// A stream whose mirror behind link 10 was served; that link is down.
  private func served() throws -> ConsumerRig {
    let agent = try ConsumerRig()
    agent.rig.create(#"{"name":"S","subjects":["s"]}"#)
    let link = Link(agent.rig, id: 10)
    link.asks("$JSC.R.first")
    agent.rig.settle()
    #expect(link.answers("$JSC.R.first").count == 1)
    #expect(link.answers("$JSC.R.first").first?.contains("\"error\"") == false)
    // Somebody else's request, while the mirror is there.
    link.wants("$JSC.R.other")
    agent.rig.pass(5 * second_ns)
    #expect(link.answers("$JSC.R.other").isEmpty)
    link.goesDown()
    agent.rig.pass(60 * second_ns)
    return agent
  }

  @Test("a request that was lost with the link is answered when the link is back")
  func lost() throws {
    let agent = try served()
    let link = Link(agent.rig, id: 11)
    link.wants("$JSC.R.lost")
    agent.rig.pass(3 * second_ns)
    #expect(link.answers("$JSC.R.lost").first?.contains("10185") == true)
  }

  @Test("requests that go elsewhere while the link is up are left alone, though a mirror that was served is missing")
  func elsewhere() throws {
    let agent = try served()
    let link = Link(agent.rig, id: 11)
    link.wants("s.other")
    agent.rig.pass(3 * second_ns)
    link.wants("$JSC.R.elsewhere")
    agent.rig.pass(10 * second_ns)
    #expect(link.answers("$JSC.R.elsewhere").isEmpty)
  }

  @Test("a mirror that did not come back is forgotten, and one whose stream is gone")
  func forgotten() throws {
    for isDeleted in [false, true] {
      let agent = try served()
      if isDeleted {
        _ = agent.rig.call("$JS.API.STREAM.DELETE.S")
      } else {
        let link = Link(agent.rig, id: 11)
        link.wants("s.other")
        agent.rig.pass(400 * second_ns)
        link.goesDown()
      }
      let link = Link(agent.rig, id: 12)
      link.wants("$JSC.R.lost")
      agent.rig.pass(3 * second_ns)
      #expect(link.answers("$JSC.R.lost").isEmpty)
    }
  }
}
