// /varz: the server in numbers (monitoring.md section 2).
import Broker
import Bytes
import Interest
import JSON
import JetStream
import Leaf
import LogStore
import Platform
import Uplink
import Web

extension Monitor {
  func varz() -> [UInt8] {
    let broker = source.broker
    let limits = broker.limits
    var leafsIn = Traffic()
    var leafsOut = Traffic()
    for link in source.links {
      leafsIn.add(link.receivedTraffic)
      leafsOut.add(link.sentTraffic)
    }
    var json = begin()
    json.field("server_name", broker.identity.name)
    json.field("version", ServerIdentity.protocolVersion)
    json.field("proto", 1)
    json.field("go", ServerIdentity.compiler)
    json.field("host", broker.address?.hostText ?? "")
    json.field("port", Int(broker.address?.port ?? 0))
    json.fieldUnlessFalse("auth_required", broker.authenticator.isRequired)
    if let tls = broker.tls {
      json.fieldUnlessFalse("tls_required", !tls.isOptional)
      json.fieldUnlessFalse("tls_verify", tls.verifies)
    }
    json.field("max_connections", limits.connectionsMax)
    json.fieldUnlessZero("max_subscriptions", limits.subscriptionsMax)
    json.field("ping_interval", limits.pingInterval_ns)
    json.field("ping_max", limits.pingsMax)
    json.field("http_host", address?.hostText ?? "")
    json.field("http_port", tls == nil ? Int(address?.port ?? 0) : 0)
    json.field("http_base_path", literal: "")
    json.field("https_port", tls == nil ? 0 : Int(address?.port ?? 0))
    json.field("auth_timeout", Double(broker.authenticator.timeout_ns) / Double(second_ns))
    json.field("max_control_line", limits.controlLineMax)
    json.field("max_payload", limits.payloadMax)
    json.field("max_pending", limits.pendingMax)
    for name: StaticString in ["cluster", "gateway"] {
      json.beginObject(name)
      json.endObject()
    }
    json.beginObject("leaf")
    if let address = source.leafListener?.address {
      json.field("host", address.hostText)
      json.field("port", Int(address.port))
    }
    json.endObject()
    json.beginObject("mqtt")
    json.endObject()
    writeWebSocket(&json)
    writeJetStream(&json)
    json.field("tls_timeout", broker.tls.map { Double($0.timeout_ns) / 1e9 } ?? 2)
    json.field("write_deadline", limits.writeDeadline_ns)
    json.field("start", time: source.startedWall_ns)
    json.field("now", time: now_ns)
    json.field("uptime", Self.uptime(host.clock.monotonic_ns - source.startedMonotonic_ns))
    json.field("mem", ProcessStatus.residentMemory_bytes)
    json.field("cores", ProcessStatus.processors)
    json.field("gomaxprocs", 1)
    json.field("cpu", cpuShare)
    json.field("connections", broker.connectionCount)
    json.field("total_connections", broker.connectionsTotal)
    json.field("routes", 0)
    json.field("remotes", 0)
    json.field("leafnodes", source.links.count)
    json.field("in_msgs", broker.received.messages + leafsIn.messages)
    json.field("in_bytes", broker.received.bytes + leafsIn.bytes)
    json.field("in_client_msgs", broker.received.messages)
    json.field("in_client_bytes", broker.received.bytes)
    json.field("out_msgs", broker.sent.messages + leafsOut.messages)
    json.field("out_bytes", broker.sent.bytes + leafsOut.bytes)
    json.field("out_client_msgs", broker.sent.messages)
    json.field("out_client_bytes", broker.sent.bytes)
    json.field("slow_consumers", broker.slowConsumers)
    json.field("stale_connections", broker.staleConnections)
    json.field("stalled_clients", broker.stalledClients)
    json.field("subscriptions", broker.accounts.reduce(0) { $0 + $1.interest.count })
    json.beginObject("http_req_stats")
    for request in requests {
      json.key(request.path)
      json.number(request.count)
    }
    json.endObject()
    json.field("config_load_time", time: source.startedWall_ns)
    json.field("config_digest", literal: "")
    json.field("system_account", broker.systemAccount.name)
    json.beginObject("slow_consumer_stats")
    for (name, count) in [("clients", broker.slowConsumers), ("routes", 0), ("gateways", 0), ("leafs", 0)] {
      json.key(ByteString(name))
      json.number(count)
    }
    json.endObject()
    json.beginObject("stale_connection_stats")
    for (name, count) in [("clients", broker.staleConnections), ("routes", 0), ("gateways", 0), ("leafs", 0)] {
      json.key(ByteString(name))
      json.number(count)
    }
    json.endObject()
    json.beginObject("petiole")
    json.field("version", broker.identity.release)
    json.field("cpu_ns", ProcessStatus.cpu_ns)
    // Of the event loop: within a turn nobody is served.
    let times = host.turn.times
    json.field("turns", times.turns)
    json.field("turns_over_1ms", times.over1ms)
    json.field("turns_over_5ms", times.over5ms)
    json.field("turn_max_us", times.longest_ns / 1000)
    json.endObject()
    json.endObject()
    return json.finish()
  }

  private func writeWebSocket(_ json: inout JSONWriter) {
    let broker = source.broker
    json.beginObject("websocket")
    if let listener = broker.webSockets, let address = listener.address {
      json.field("host", address.hostText)
      json.field("port", Int(address.port))
      json.fieldUnlessEmpty("advertise", broker.webSocketAdvertised)
      json.field("handshake_timeout", listener.rules.handshakeTimeout_ns)
      json.fieldUnlessFalse("no_tls", !listener.rules.isSecure)
      json.fieldUnlessFalse("same_origin", listener.rules.sameOrigin)
      if !listener.rules.allowedOrigins.isEmpty { json.field("allowed_origins", listener.rules.allowedOrigins) }
    }
    json.endObject()
  }

  /// Per cent of one processor since the start.
  private var cpuShare: Double {
    let elapsed = host.clock.monotonic_ns - source.startedMonotonic_ns
    guard elapsed > 0 else { return 0 }
    return Double(ProcessStatus.cpu_ns * 1000 / elapsed) / 10
  }

  /// What a server says of itself every now and then, and when it is asked (section 9).
  func writeStatsz(to json: inout JSONWriter) {
    let broker = source.broker
    json.beginObject("statsz")
    json.field("start", time: source.startedWall_ns)
    json.field("mem", ProcessStatus.residentMemory_bytes)
    json.field("cores", ProcessStatus.processors)
    json.field("cpu", cpuShare)
    json.field("connections", broker.connectionCount)
    json.field("total_connections", broker.connectionsTotal)
    json.field("active_accounts", broker.accounts.filter { $0.clientCount + $0.leafnodeCount > 0 }.count)
    json.field("subscriptions", broker.accounts.reduce(0) { $0 + $1.interest.count })
    var received = broker.received
    var sent = broker.sent
    for link in source.links {
      received.add(link.receivedTraffic)
      sent.add(link.sentTraffic)
    }
    for (name, traffic) in [
      ("sent", sent), ("sent_to_clients", broker.sent), ("received", received), ("received_from_clients", broker.received),
    ] as [(StaticString, Traffic)] {
      json.beginObject(name)
      json.field("msgs", traffic.messages)
      json.field("bytes", traffic.bytes)
      json.endObject()
    }
    json.field("slow_consumers", broker.slowConsumers)
    json.field("active_servers", 1)
    if source.jetStreamOptions != nil { writeJetStream(&json) }
    json.field("gomaxprocs", 1)
    json.endObject()
  }

  private func writeJetStream(_ json: inout JSONWriter) {
    json.beginObject("jetstream")
    if source.jetStreamOptions != nil {
      writeJetStreamConfig(&json)
      json.beginObject("stats")
      writeJetStreamStats(&json, source.jetStreams, accounts: source.jetStreams.count)
      json.endObject()
      json.beginObject("limits")
      json.endObject()
    }
    json.endObject()
  }
}

extension Traffic {
  mutating func add(_ other: Traffic) {
    messages += other.messages
    bytes += other.bytes
  }
}
