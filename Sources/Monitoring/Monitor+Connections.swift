// /connz, /subsz, /leafz, and the constant /routez and /gatewayz (monitoring.md sections 3 to 5).
import Broker
import Bytes
import Interest
import JSON
import Leaf
import Platform
import Web

/// A query that cannot be answered, as nats-server words it.
struct QueryError: Error {
  let text: String
}

extension Monitor {
  static let limitDefault = 1024

  private func number(_ query: MonitorQuery, _ name: StaticString, _ fallback: Int) throws(QueryError) -> Int {
    guard let text = query[name], !text.isEmpty else { return fallback }
    guard let value = text.withView({ $0.decimalInt() }) else {
      let label = ByteView(name).string
      throw QueryError(
        text: "Error decoding int for '\(label)': strconv.Atoi: parsing \"\(text.string)\": invalid syntax")
    }
    return value
  }

  func connz(_ query: MonitorQuery) -> Result<[UInt8], QueryError> {
    do throws(QueryError) {
      let offset = try number(query, "offset", 0)
      let limit = min(try number(query, "limit", Self.limitDefault), query.limitMax)
      let cid = try number(query, "cid", 0)
      let sort = query["sort"] ?? "cid"
      var clients: [ClientConnection] = []
      switch ByteString((query["state"] ?? "open").bytes.map { ASCII.lowercased($0) }) {
      case "", "open", "any", "all": clients = Array(source.broker.clients.values)
      case "closed": break
      case let state: throw QueryError(text: "Error decoding state for \(state.string)")
      }
      if cid > 0 { clients = clients.filter { $0.id == UInt64(cid) } }
      if let account = query["acc"] { clients = clients.filter { $0.account.name == account } }
      if let user = query["user"] { clients = clients.filter { $0.user == user } }
      guard order(&clients, sort) else { throw QueryError(text: "invalid sorting option: \(sort.string)") }
      return .success(
        write(clients, offset: offset, limit: limit, subscriptions: query.flag("subs"), authentication: query.flag("auth"))
      )
    } catch {
      return .failure(error)
    }
  }

  private func order(_ clients: inout [ClientConnection], _ sort: ByteString) -> Bool {
    // One key for all orders, so that there is one sort: least first.
    let key: (ClientConnection) -> Int64
    switch sort {
    case "", "cid", "start": key = { Int64($0.id) }
    case "subs": key = { -Int64($0.subscriptionCount) }
    case "pending": key = { -Int64($0.stream.output.count) }
    case "msgs_to": key = { -Int64($0.sent.messages) }
    case "msgs_from": key = { -Int64($0.received.messages) }
    case "bytes_to": key = { -Int64($0.sent.bytes) }
    case "bytes_from": key = { -Int64($0.received.bytes) }
    case "last": key = { -$0.lastActivity_ns }
    case "idle": key = { $0.lastActivity_ns }
    case "uptime": key = { $0.started_ns }
    case "rtt": key = { -($0.rtt_ns ?? 0) }
    default: return false
    }
    let keyed = clients.map { (key: key($0), client: $0) }
    clients = keyed.ordered { ($0.key, $0.client.id) < ($1.key, $1.client.id) }.map { $0.client }
    return true
  }

  private func write(_ clients: [ClientConnection], offset: Int, limit: Int, subscriptions: Bool, authentication: Bool) -> [UInt8] {
    // Both numbers are the caller's: they must not be added.
    let page = clients.dropFirst(offset).prefix(limit)
    var json = begin()
    json.field("now", time: now_ns)
    json.field("num_connections", page.count)
    json.field("total", clients.count)
    json.field("offset", offset)
    json.field("limit", limit)
    json.beginArray("connections")
    for client in page {
      json.beginObject()
      json.field("cid", client.id)
      json.field("kind", literal: "Client")
      json.field("type", literal: client.upgrade == nil ? "nats" : "websocket")
      json.field("ip", client.stream.remote.hostText)
      json.field("port", Int(client.stream.remote.port))
      json.field("start", time: client.started_ns)
      json.field("last_activity", time: client.lastActivity_ns)
      if let rtt = client.rtt_ns { json.field("rtt", GoDuration.format(rtt)) }
      json.field("uptime", Self.uptime(now_ns - client.started_ns))
      json.field("idle", Self.uptime(now_ns - client.lastActivity_ns))
      json.field("pending_bytes", client.stream.output.count)
      json.field("in_msgs", client.received.messages)
      json.field("out_msgs", client.sent.messages)
      json.field("in_bytes", client.received.bytes)
      json.field("out_bytes", client.sent.bytes)
      json.field("subscriptions", client.subscriptionCount)
      if let secure = client.secureStream, secure.isSecured { writeTLS(&json, secure, client.saysInfoWhenSecured, authentication) }
      json.fieldUnlessEmpty("name", client.name)
      json.fieldUnlessEmpty("lang", client.lang)
      json.fieldUnlessEmpty("version", client.version)
      if authentication {
        json.fieldUnlessEmpty("authorized_user", client.user)
        json.field("account", client.account.name)
        if let token = client.grant.token {
          // Who has a bearer's token is its bearer.
          if !token.isBearer { json.field("jwt", token.text) }
          json.fieldUnlessEmpty("issuer_key", token.issuer)
          json.fieldUnlessEmpty("name_tag", token.name)
          json.fieldUnlessEmpty("tags", token.tags)
        }
      }
      if subscriptions, client.subscriptionCount > 0 {
        json.beginArray("subscriptions_list")
        client.forEachSubscription { json.string($0.subject) }
        json.endArray()
      }
      json.endObject()
    }
    json.endArray()
    json.endObject()
    return json.finish()
  }

  private func writeTLS(_ json: inout JSONWriter, _ secure: TLSStream, _ isFirst: Bool, _ authentication: Bool) {
    json.field("tls_version", secure.versionName)
    json.field("tls_cipher_suite", secure.cipherName)
    json.fieldUnlessFalse("tls_first", isFirst)
    let certificates = authentication ? secure.peerCertificates : []
    guard !certificates.isEmpty else { return }
    json.beginArray("tls_peer_certs")
    for certificate in certificates {
      json.beginObject()
      json.field("subject", certificate.subject)
      json.field("spki_sha256", certificate.keyHash.hexadecimal)
      json.field("cert_sha256", certificate.hash.hexadecimal)
      json.endObject()
    }
    json.endArray()
  }

  func subsz(_ query: MonitorQuery) -> [UInt8] {
    let accounts = source.broker.accounts.filter { account in query["acc"].map { $0 == account.name } ?? true }
    var json = begin()
    json.field("now", time: now_ns)
    Self.writeInterest(accounts.map { $0.interest }, to: &json)
    json.field("total", 0)
    json.field("offset", 0)
    json.field("limit", Self.limitDefault)
    json.endObject()
    return json.finish()
  }

  func leafz(_ query: MonitorQuery) -> [UInt8] {
    var links = source.links
    if let account = query["acc"], !account.isEmpty { links = links.filter { $0.account.name == account } }
    let showsSubscriptions = query.flag("subs")
    var json = begin()
    json.field("now", time: now_ns)
    json.field("leafnodes", links.count)
    json.beginArray("leafs")
    for link in links {
      json.beginObject()
      json.field("id", link.id)
      json.field("name", link.peer.displayName)
      json.field("is_spoke", link.role.isSpoke)
      json.fieldUnlessFalse("is_isolated", link.isIsolated)
      json.field("account", link.account.name)
      json.field("ip", link.remote.hostText)
      json.field("port", Int(link.remote.port))
      if let rtt = link.rtt_ns { json.field("rtt", GoDuration.format(rtt)) }
      json.field("in_msgs", link.receivedTraffic.messages)
      json.field("out_msgs", link.sentTraffic.messages)
      json.field("in_bytes", link.receivedTraffic.bytes)
      json.field("out_bytes", link.sentTraffic.bytes)
      json.field("subscriptions", link.remoteInterestCount)
      if showsSubscriptions, link.remoteInterestCount > 0 {
        json.beginArray("subscriptions_list")
        link.forEachRemoteInterest { json.string($0.subject) }
        json.endArray()
      }
      json.field("compression", literal: link.compressionName)
      // Ours: by which way the other end is reached, and what the link really costs.
      json.fieldUnlessFalse("websocket", link.options.isWebSocket)
      json.field("wire_in_bytes", link.bytesRead)
      json.field("wire_out_bytes", link.bytesWritten)
      json.field("plain_in_bytes", link.plainBytesRead)
      json.field("plain_out_bytes", link.plainBytesWritten)
      json.field("keepalive_bytes", link.keepaliveBytes)
      json.field("pending_bytes", link.pending)
      json.field("backlog_bytes", link.backlogPending)
      if let rate = link.options.rateLimit { json.field("rate_limit", rate) }
      json.field("dropped", link.dropped)
      json.endObject()
    }
    json.endArray()
    json.endObject()
    return json.finish()
  }

  func routez() -> [UInt8] {
    var json = begin()
    json.field("server_name", source.broker.identity.name)
    json.field("now", time: now_ns)
    json.field("num_routes", 0)
    json.beginArray("routes")
    json.endArray()
    json.endObject()
    return json.finish()
  }

  func gatewayz() -> [UInt8] {
    var json = begin()
    json.field("now", time: now_ns)
    json.beginObject("outbound_gateways")
    json.endObject()
    json.beginObject("inbound_gateways")
    json.endObject()
    json.endObject()
    return json.finish()
  }
}
