// The server's own services: what the system account may ask about everything, and every account about itself (monitoring.md section 9).
import Broker
import Bytes
import Identity
import JSON
import Platform

/// Answers `$SYS.REQ.…`.
public final class SystemServices {
  private static let pingPrefix: StaticString = "$SYS.REQ.SERVER.PING."
  private static let accountPrefix: StaticString = "$SYS.REQ.ACCOUNT."

  let monitor: Monitor
  let broker: Broker
  private let idPrefix: ByteString
  private var sequence: UInt64 = 0
  private var accounts: [(account: Account, isSystem: Bool, subscriptions: [Subscription])] = []

  /// A request, and the account in which it was asked.
  private struct Question {
    let message: Message
    let account: Account
    let source: Endpoint
  }

  public init(monitor: Monitor) {
    self.monitor = monitor
    broker = monitor.source.broker
    idPrefix = ByteString("$SYS.REQ.SERVER.") + broker.identity.id + "."
  }

  /// Serves the accounts that there are now, and tells the system account what happens.
  public func serve() {
    broker.observer = self
    for account in broker.accounts {
      let isSystem = account === broker.systemAccount
      if let index = accounts.firstIndex(where: { $0.account === account }) {
        guard accounts[index].isSystem != isSystem else { continue }
        for subscription in accounts[index].subscriptions { account.remove(subscription) }
        accounts.remove(at: index)
      }
      accounts.append((account, isSystem, isSystem ? serveSystem(account) : serveOwn(account)))
    }
  }

  /// What any account may ask: about itself.
  private func serveOwn(_ account: Account) -> [Subscription] {
    let name = account.name
    return [
      offer(account, "$SYS.REQ.USER.INFO") { [unowned(unsafe) self] in userInfo($0) },
      offer(account, "$SYS.REQ.SERVER.PING.CONNZ") { [unowned(unsafe) self] in answer($0, "CONNZ", about: name) },
      offer(account, "$SYS.REQ.ACCOUNT.PING.CONNZ") { [unowned(unsafe) self] in answer($0, "CONNZ", about: name) },
      offer(account, "$SYS.REQ.ACCOUNT.PING.STATZ") { [unowned(unsafe) self] in answer($0, "STATZ", about: name) },
    ]
  }

  /// What the system account may ask.
  private func serveSystem(_ account: Account) -> [Subscription] {
    [
      offer(account, "$SYS.REQ.USER.INFO") { [unowned(unsafe) self] in userInfo($0) },
      offer(account, "$SYS.REQ.SERVER.PING") { [unowned(unsafe) self] in answer($0, "STATSZ", about: nil) },
      offer(account, "$SYS.REQ.SERVER.PING.*") { [unowned(unsafe) self] in
        answer($0, $0.message.subject.dropFirst(Self.pingPrefix.utf8CodeUnitCount), about: nil)
      },
      offer(account, idPrefix + "*") { [unowned(unsafe) self] in command($0) },
      offer(account, "$SYS.REQ.ACCOUNT.*.*") { [unowned(unsafe) self] in aboutAccount($0) },
    ]
  }

  // Safe in the handlers: the agent keeps its services as long as its accounts.
  private func offer(_ account: Account, _ subject: ByteString, _ handler: @escaping (Question) -> Bool) -> Subscription {
    account.offer(subject, origin: .system) { [unowned(unsafe) account] message, source in
      handler(Question(message: message, account: account, source: source))
    }
  }

  // MARK: Questions

  private func aboutAccount(_ asked: Question) -> Bool {
    let rest = asked.message.subject.dropFirst(Self.accountPrefix.utf8CodeUnitCount)
    guard let dot = rest.firstIndex(of: ASCII.dot) else { return false }
    let name = rest.prefix(dot)
    let question = rest.dropFirst(dot + 1)
    if name.equals("PING") {
      guard question.equals("STATZ") || question.equals("CONNZ") else { return false }
      return answer(asked, question.equals("STATZ") ? ByteView("ACCSTATZ") : question, about: nil)
    }
    return answer(asked, question, about: ByteString(name))
  }

  /// To this server by its id: what can be asked, and what it can be told to do.
  private func command(_ asked: Question) -> Bool {
    let name = asked.message.subject.dropFirst(idPrefix.count)
    if name.equals("KICK") {
      guard let options = try? JSON.parse(asked.message.payload, depthMax: 4, nodesMax: 16), let id = options["cid"]?.uint64 else {
        return reply(asked) { json in Self.writeError("no connection id", to: &json) }
      }
      guard let client = broker.clients[id] else {
        return reply(asked) { json in Self.writeError("no such client or leafnode id", to: &json) }
      }
      // After the answer: it may be the client's own.
      monitor.host.turn.defer { client.close(.kicked) }
      return reply(asked) { _ in }
    }
    return answer(asked, name, about: nil)
  }

  private func answer(_ asked: Question, _ name: StaticString, about account: ByteString?) -> Bool {
    answer(asked, ByteView(name), about: account)
  }

  /// Answers question `name`; false when there is none of that name. `account` narrows the answer to one account.
  private func answer(_ asked: Question, _ name: ByteView, about account: ByteString?) -> Bool {
    if account == nil, !isMeant(asked.message.payload) { return true }
    guard var query = MonitorQuery(path: ByteString(name), options: asked.message.payload, account: account) else {
      return reply(asked) { json in Self.writeError("invalid options", to: &json) }
    }
    // One small request of a tenant is no reason for an answer of any size.
    if asked.account !== broker.systemAccount { query.limitMax = Monitor.limitDefault }
    if let account {
      guard
        name.equals("CONNZ") || name.equals("SUBSZ") || name.equals("LEAFZ") || name.equals("JSZ") || name.equals("INFO")
          || name.equals("STATZ")
      else { return false }
      if name.equals("INFO") || name.equals("STATZ") {
        guard let found = broker.account(account) else {
          return reply(asked) { json in Self.writeError("account \(account) not found", to: &json) }
        }
        return reply(asked) { json in
          if name.equals("STATZ") { return Self.write(self.compact { self.monitor.accstatz(query) }, to: &json) }
          json.beginObject("data")
          self.monitor.writeDetail(of: found, to: &json)
          json.endObject()
        }
      }
    }
    if name.equals("STATSZ") { return reply(asked) { json in self.monitor.writeStatsz(to: &json) } }
    if name.equals("IDZ") {
      var json = JSONWriter()
      json.beginObject()
      json.field("name", broker.identity.name)
      json.field("host", broker.address?.hostText ?? "")
      json.field("id", broker.identity.id)
      json.endObject()
      return send(asked, json.finish())
    }
    guard let body = body(of: name, query) else { return false }
    switch body {
    case .success(let bytes): return reply(asked) { json in Self.write(bytes, to: &json) }
    case .failure(let error): return reply(asked) { json in Self.writeError(Words(error.text), to: &json) }
    }
  }

  private func body(of name: ByteView, _ query: MonitorQuery) -> Result<[UInt8], QueryError>? {
    switch ByteString(name) {
    case "VARZ": .success(compact { monitor.varz() })
    case "CONNZ": compactly { monitor.connz(query) }
    case "SUBSZ": .success(compact { monitor.subsz(query) })
    case "LEAFZ": .success(compact { monitor.leafz(query) })
    case "JSZ": .success(compact { monitor.jsz(query) })
    case "ROUTEZ": .success(compact { monitor.routez() })
    case "GATEWAYZ": .success(compact { monitor.gatewayz() })
    case "ACCOUNTZ": .success(compact { monitor.accountz(query) })
    case "ACCSTATZ": .success(compact { monitor.accstatz(query) })
    case "HEALTHZ": .success(compact { monitor.healthz(query, withCode: true).body })
    default: nil
    }
  }

  private func compact(_ make: () -> [UInt8]) -> [UInt8] { compactly(make) }

  private func compactly<Made>(_ make: () -> Made) -> Made {
    monitor.indents = false
    defer { monitor.indents = true }
    return make()
  }

  /// Whether the filters of a question to all servers let this one answer.
  private func isMeant(_ options: ByteView) -> Bool {
    guard !options.trimmed.isEmpty, let json = try? JSON.parse(options, depthMax: 8, nodesMax: 256) else { return true }
    let isExact = json["exact_match"]?.bool ?? false
    func fits(_ wanted: JSONValue?, _ own: ByteString) -> Bool {
      guard let wanted = wanted?.string, !wanted.isEmpty else { return true }
      return isExact ? wanted == own : own.withView { own in wanted.withView { own.contains($0) } }
    }
    return fits(json["server_name"], broker.identity.name) && fits(json["host"], ByteString(broker.address?.hostText ?? ""))
      && fits(json["cluster"], ByteString()) && fits(json["domain"], broker.domain)
  }

  // MARK: Who asks

  private func userInfo(_ asked: Question) -> Bool {
    guard let client = asked.source as? ClientConnection else { return false }
    let grant = client.grant
    return reply(asked) { json in
      json.beginObject("data")
      json.field("user", grant.user)
      json.field("account", grant.account.name)
      json.fieldUnlessEmpty("account_name", grant.account.claims?.token.name ?? grant.account.name)
      json.fieldUnlessEmpty("user_name", grant.token?.name ?? ByteString())
      if let permissions = grant.permissions?.permissions { Self.write(permissions, to: &json) }
      if let left_ns = grant.left_ns(at: self.monitor.now_ns) { json.field("expires", left_ns) }
      json.endObject()
    }
  }

  private static func write(_ permissions: Permissions, to json: inout JSONWriter) {
    json.beginObject("permissions")
    for (name, lists) in [("publish", permissions.publish), ("subscribe", permissions.subscribe)] as [(StaticString, Permissions.Lists)] {
      json.beginObject(name)
      json.fieldUnlessEmpty("allow", lists.allow ?? [])
      json.fieldUnlessEmpty("deny", lists.deny)
      json.endObject()
    }
    if let responses = permissions.responses {
      json.beginObject("responses")
      json.field("max", responses.max)
      json.field("ttl", responses.expires_ns)
      json.endObject()
    }
    json.endObject()
  }

  // MARK: Answers

  /// Answers with what this server says of itself and what `write` adds.
  private func reply(_ asked: Question, _ write: (inout JSONWriter) -> Void) -> Bool {
    guard !asked.message.reply.isEmpty else { return true }
    var json = JSONWriter()
    json.beginObject()
    writeServer(to: &json)
    write(&json)
    json.endObject()
    return send(asked, json.finish())
  }

  private func send(_ asked: Question, _ body: [UInt8]) -> Bool {
    if !asked.message.reply.isEmpty { asked.account.publish(to: ByteString(asked.message.reply), body) }
    return true
  }

  func writeServer(to json: inout JSONWriter) {
    sequence += 1
    json.beginObject("server")
    json.field("name", broker.identity.name)
    json.field("host", broker.address?.hostText ?? "")
    json.field("id", broker.identity.id)
    json.fieldUnlessEmpty("domain", broker.domain)
    json.field("ver", ServerIdentity.protocolVersion)
    json.field("jetstream", broker.jetStream)
    // JetStream, and backups in the binary format.
    json.field("flags", broker.jetStream ? 3 : 0)
    json.field("seq", sequence)
    json.field("time", time: monitor.now_ns)
    json.endObject()
  }

  private static func write(_ data: [UInt8], to json: inout JSONWriter) {
    json.key(literal: "data")
    data.withView { json.raw($0.trimmed) }
  }

  private static func writeError(_ text: Words, to json: inout JSONWriter) {
    json.beginObject("error")
    json.field("code", 400)
    json.field("description", text.text)
    json.endObject()
  }
}
