// What the system account is told: who comes, who goes, and who was not let in (monitoring.md section 9). Made only for those who listen.
import Broker
import Bytes
import Identity
import Interest
import JSON
import Platform

extension SystemServices: BrokerObserver {
  public func clientConnected(_ client: ClientConnection) {
    tellConnections(of: client.account)
    tell(accountSubject(client.account, "CONNECT"), "client_connect") { json in
      self.write(client, stop_ns: nil, to: &json)
    }
  }

  public func clientLeft(_ client: ClientConnection, wasAdmitted: Bool) {
    if wasAdmitted { tellConnections(of: client.account) }
    tellOfEnd(client, client.closeReason, on: accountSubject(client.account, "DISCONNECT"))
  }

  public func clientRefused(_ client: ClientConnection, _ cause: CloseCause) {
    tellOfEnd(client, cause.reason, on: ByteString("$SYS.SERVER.") + broker.identity.id + ".CLIENT.AUTH.ERR")
  }

  private func accountSubject(_ account: Account, _ event: ByteString) -> ByteString {
    ByteString("$SYS.ACCOUNT.") + account.name + "." + event
  }

  private func tellOfEnd(_ client: ClientConnection, _ reason: StaticString, on subject: ByteString) {
    let now_ns = monitor.now_ns
    tell(subject, "client_disconnect") { json in
      self.write(client, stop_ns: now_ns, to: &json)
      // As nats-server counts: what the client has sent, and what it has received.
      Self.write(client.received, "sent", to: &json)
      Self.write(client.sent, "received", to: &json)
      json.field("reason", literal: reason)
    }
  }

  /// How many are in an account now, on the subject that tools use and the one that they used before; not for the global one.
  private func tellConnections(of account: Account) {
    guard account !== broker.globalAccount else { return }
    for subject in [ByteString("$SYS.SERVER.ACCOUNT.") + account.name + ".CONNS", accountSubject(account, "SERVER.CONNS")] {
      tell(subject, "account_connections") { json in self.monitor.writeStatistics(of: account, to: &json) }
    }
  }

  /// Publishes an event at the end of the turn, if anybody listens: who reports is not changed by what a listener does.
  private func tell(_ subject: ByteString, _ type: StaticString, _ write: (inout JSONWriter) -> Void) {
    let system = broker.systemAccount
    guard subject.withView({ system.interest.hasInterest(in: $0) }) else { return }
    var json = JSONWriter()
    json.beginObject()
    var name: [UInt8] = []
    name.append(literal: "io.nats.server.advisory.v1.")
    name.append(literal: type)
    name.withView { json.field("type", $0) }
    monitor.host.entropy.name(22).withView { json.field("id", $0) }
    json.field("timestamp", time: monitor.now_ns)
    writeServer(to: &json)
    write(&json)
    json.endObject()
    let body = json.finish()
    monitor.host.turn.defer { system.publish(to: subject, body) }
  }

  private func write(_ client: ClientConnection, stop_ns: Int64?, to json: inout JSONWriter) {
    let grant = client.grant
    json.beginObject("client")
    json.field("start", time: client.started_ns)
    json.field("host", client.stream.remote.hostText)
    json.field("id", client.id)
    json.field("acc", client.account.name)
    json.fieldUnlessEmpty("user", client.shownUser)
    json.fieldUnlessEmpty("name", client.name)
    json.fieldUnlessEmpty("lang", client.lang)
    json.fieldUnlessEmpty("ver", client.version)
    if let stop_ns {
      json.field("rtt", client.rtt_ns ?? max(stop_ns - client.started_ns, 1))
      json.field("stop", time: stop_ns)
    }
    // Who has a bearer's token is its bearer.
    if let token = grant.token, !token.isBearer { json.field("jwt", token.text) }
    json.fieldUnlessEmpty("issuer_key", client.shownIssuer)
    json.fieldUnlessEmpty("name_tag", client.account.claims?.token.name ?? client.account.name)
    json.fieldUnlessEmpty("tags", grant.token?.tags ?? [])
    json.field("kind", literal: "Client")
    json.field("client_type", literal: client.upgrade == nil ? "nats" : "websocket")
    json.endObject()
  }

  private static func write(_ traffic: Traffic, _ name: StaticString, to json: inout JSONWriter) {
    json.beginObject(name)
    json.field("msgs", traffic.messages)
    json.field("bytes", traffic.bytes)
    json.endObject()
  }
}
