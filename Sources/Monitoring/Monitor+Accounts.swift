// /accountz and /accstatz: accounts and what they use (monitoring.md section 7).
import Broker
import Bytes
import Identity
import Interest
import JSON
import JetStream
import Platform

extension Monitor {
  func accountz(_ query: MonitorQuery) -> [UInt8] {
    var json = begin()
    json.field("now", time: now_ns)
    json.field("system_account", source.broker.systemAccount.name)
    if let name = query["acc"], !name.isEmpty {
      if let account = source.broker.account(name) {
        json.beginObject("account_detail")
        writeDetail(of: account, to: &json)
        json.endObject()
      }
    } else {
      json.field("accounts", source.broker.accounts.map { $0.name })
    }
    json.endObject()
    return json.finish()
  }

  /// The members of an account's details.
  func writeDetail(of account: Account, to json: inout JSONWriter) {
    let claims = account.claims
    json.field("account_name", account.name)
    json.field("update_time", time: account.updated_ns)
    json.fieldUnlessFalse("is_system", account === source.broker.systemAccount)
    json.field("expired", claims.map { !$0.token.isValid(at: now_ns / second_ns) } ?? false)
    json.field("complete", true)
    json.field("jetstream_enabled", source.jetStreams.contains { $0.account === account })
    json.field("leafnode_connections", account.leafnodeCount)
    json.field("client_connections", account.clientCount)
    json.field("subscriptions", account.interest.count)
    if !account.exports.isEmpty {
      json.beginArray("exports")
      for export in account.exports { Self.write(export, to: &json) }
      json.endArray()
    }
    if !account.imports.isEmpty {
      json.beginArray("imports")
      for rule in account.imports { write(rule, of: account, to: &json) }
      json.endArray()
    }
    if let claims {
      json.field("issuer_key", claims.token.issuer.text)
      json.fieldUnlessEmpty("name_tag", claims.token.name)
      json.fieldUnlessEmpty("tags", claims.token.tags)
    } else {
      json.field("name_tag", account.name)
    }
    json.beginObject("sublist_stats")
    Self.writeInterest([account.interest], to: &json)
    json.endObject()
  }

  private static func write(_ export: ExportRule, to json: inout JSONWriter) {
    json.beginObject()
    json.field("subject", export.subject)
    json.field("type", literal: export.kind == .stream ? "stream" : "service")
    if export.kind == .service {
      json.field("response_type", literal: export.response == .single ? "Singleton" : export.response == .stream ? "Stream" : "Chunked")
    }
    json.fieldUnlessZero("account_token_position", export.accountTokenPosition)
    json.fieldUnlessEmpty("approved_accounts", export.accounts ?? [])
    json.endObject()
  }

  private func write(_ rule: ImportRule, of account: Account, to json: inout JSONWriter) {
    json.beginObject()
    json.field("subject", rule.subject)
    json.field("account", rule.account)
    json.field("local_subject", rule.localSubject)
    json.field("type", literal: rule.kind == .stream ? "stream" : "service")
    json.field("invalid", !account.hasInForce(rule))
    json.field("share", rule.sharesRequester)
    json.field("tracking", false)
    json.endObject()
  }

  // MARK: Statistics

  func accstatz(_ query: MonitorQuery) -> [UInt8] {
    let includesUnused = query.flag("unused")
    var json = begin()
    json.field("now", time: now_ns)
    json.beginArray("account_statz")
    for account in source.broker.accounts {
      if let name = query["acc"], name != account.name { continue }
      guard includesUnused || account.clientCount + account.leafnodeCount > 0 else { continue }
      json.beginObject()
      writeStatistics(of: account, to: &json)
      json.endObject()
    }
    json.endArray()
    json.endObject()
    return json.finish()
  }

  /// The members of an account's statistics.
  func writeStatistics(of account: Account, to json: inout JSONWriter) {
    json.field("acc", account.name)
    json.field("name", account.claims?.token.name ?? account.name)
    json.field("conns", account.clientCount)
    json.field("leafnodes", account.leafnodeCount)
    json.field("total_conns", account.clientCount + account.leafnodeCount)
    json.field("num_subscriptions", account.interest.count)
    Self.write(account.sent, "sent", to: &json)
    Self.write(account.received, "received", to: &json)
    json.field("slow_consumers", account.slowConsumers)
  }

  private static func write(_ traffic: Traffic, _ name: StaticString, to json: inout JSONWriter) {
    json.beginObject(name)
    json.field("msgs", traffic.messages)
    json.field("bytes", traffic.bytes)
    for kind: StaticString in ["gateways", "routes", "leafs"] {
      json.beginObject(kind)
      json.field("msgs", 0)
      json.field("bytes", 0)
      json.endObject()
    }
    json.endObject()
  }

  /// What interest trees count, together.
  static func writeInterest(_ trees: [InterestTree<Subscription>], to json: inout JSONWriter) {
    var (count, cached, inserts, removes, matches, hits) = (0, 0, UInt64(0), UInt64(0), UInt64(0), UInt64(0))
    var fanoutMax = 0
    var fanoutSum = 0.0
    for tree in trees {
      count += tree.count
      cached += tree.cacheCount
      inserts += tree.inserts
      removes += tree.removes
      matches += tree.matches
      hits += tree.cacheHits
      let fanout = tree.fanout
      fanoutMax = max(fanoutMax, fanout.max)
      fanoutSum += fanout.average * Double(tree.cacheCount)
    }
    json.field("num_subscriptions", count)
    json.field("num_cache", cached)
    json.field("num_inserts", inserts)
    json.field("num_removes", removes)
    json.field("num_matches", matches)
    json.field("cache_hit_rate", matches == 0 ? 0 : Double(hits) / Double(matches))
    json.field("max_fanout", fanoutMax)
    json.field("avg_fanout", cached == 0 ? 0 : fanoutSum / Double(cached))
  }
}
