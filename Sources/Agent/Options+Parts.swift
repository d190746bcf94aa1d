// From the operator's options to what each part of the agent wants.
import Broker
import Bytes
import Configuration
import JSON
import JetStream
import Leaf
import LogStore
import Platform
import Uplink
import Web

extension WebSocketOptions {
  /// Of the listener's URL.
  public var scheme: StaticString { tls == nil ? "ws" : "wss" }

  var rules: WebSocketRules {
    var rules = WebSocketRules()
    rules.isSecure = tls != nil
    rules.sameOrigin = sameOrigin
    rules.allowedOrigins = allowedOrigins
    rules.headerLines = headerLines
    rules.handshakeTimeout_ns = handshakeTimeout_ns
    return rules
  }
}

extension Options {
  var brokerLimits: BrokerLimits {
    var limits = BrokerLimits()
    limits.controlLineMax = controlLine_bytes
    limits.payloadMax = payload_bytes
    limits.pendingMax = pending_bytes
    limits.connectionsMax = connectionsMax
    limits.subscriptionsMax = subscriptionsMax
    limits.pingInterval_ns = pingInterval_ns
    limits.pingsMax = pingsOutMax
    limits.writeDeadline_ns = writeDeadline_ns
    limits.headers = !noHeaderSupport
    limits.lameDuckDuration_ns = lameDuckDuration_ns
    limits.lameDuckGrace_ns = lameDuckGracePeriod_ns
    return limits
  }

  /// The store's limit when none is configured: a quarter of what is there, our own files counted as there.
  static let storeShare: Int64 = 4
  /// Below this a store is of no use.
  static let storeMin_bytes: Int64 = 16 << 20

  func storeOptions(free_bytes: Int64, ownFiles_bytes: Int64) -> LogStore.Options {
    var store = LogStore.Options()
    store.segmentBytes = jetStream.segment_bytes
    if let limit = jetStream.fileMax_bytes {
      store.storeBytesMax = limit
    } else {
      store.storeBytesMax = max(free_bytes / Self.storeShare + ownFiles_bytes / Self.storeShare, Self.storeMin_bytes)
    }
    if case .interval_ns(let interval_ns) = jetStream.sync {
      store.promptDelay_ns = interval_ns
      store.lazyDelay_ns = max(store.lazyDelay_ns, interval_ns)
      store.syncsLazily = true
    }
    return store
  }

  /// How often the selector's own probe interval fits into the operator's: all its times follow in proportion, so that a short
  /// interval makes the whole selector quick and a long one makes it calm.
  static func selectorParameters(_ uplink: UplinkOptions) -> ClusterSelector.Parameters {
    var parameters = uplink.isMetered ? ClusterSelector.Parameters.onMeteredUplink : ClusterSelector.Parameters()
    parameters.probe_budget_bytes = uplink.probeBudget_bytes
    guard let interval_ns = uplink.probeInterval_ns else { return parameters }
    let wanted_ms = max(interval_ns / millisecond_ns, 1)
    // Not the metered interval: what is scaled is the same on both kinds of uplink.
    let own_ms = ClusterSelector.Parameters().probe_interval_ms
    parameters.probe_interval_ms = wanted_ms
    guard wanted_ms < own_ms else { return parameters }
    func scaled(_ time_ms: Int64) -> Int64 { max(time_ms * wanted_ms / own_ms, min(time_ms, 100)) }
    parameters.probe_deadline_ms = min(parameters.probe_deadline_ms, max(wanted_ms, 1_000))
    parameters.confirm_interval_ms = min(parameters.confirm_interval_ms, wanted_ms)
    parameters.dwell_ms = scaled(parameters.dwell_ms)
    parameters.failback_dwell_ms = scaled(parameters.failback_dwell_ms)
    parameters.correction_ms = scaled(parameters.correction_ms)
    parameters.hold_down_ms = scaled(parameters.hold_down_ms)
    parameters.hold_down_max_ms = scaled(parameters.hold_down_max_ms)
    parameters.hold_down_window_ms = scaled(parameters.hold_down_window_ms)
    parameters.failback_spread_ms = scaled(parameters.failback_spread_ms)
    parameters.postpone_ms = scaled(parameters.postpone_ms)
    parameters.recovery_interval_ms = min(parameters.recovery_interval_ms, wanted_ms)
    parameters.recovery_interval_max_ms = min(parameters.recovery_interval_max_ms, 2 * wanted_ms)
    parameters.reconnect_cap_ms = min(parameters.reconnect_cap_ms, max(2 * wanted_ms, parameters.reconnect_base_ms))
    parameters.reconnect_late_cap_ms = min(parameters.reconnect_late_cap_ms, max(10 * wanted_ms, parameters.reconnect_base_ms))
    return parameters
  }

  /// The clusters of the uplink, as it dials them.
  public static func clusters(_ uplink: UplinkOptions) -> [Uplink.UplinkCluster] {
    let usual = UsualTLS(uplink.tls)
    return uplink.clusters.map { cluster in
      let description = ClusterDescription(
        name: cluster.name, urlCount: cluster.urls.count, tier: cluster.tier, weight: cluster.weight, pinned: cluster.isPinned)
      return Uplink.UplinkCluster(
        description: description, endpoints: endpoints(cluster.urls, proxy: uplink.proxy, wantsNoMasking: uplink.wantsNoMasking),
        tls: leafTLS(cluster.tls, cluster.urls, usual: usual))
    }
  }
}

extension LeafnodeOptions {
  /// How leaf links are accepted; `cluster` is this server's.
  func listenOptions(cluster: ByteString) -> LeafListenOptions {
    var listen = LeafListenOptions()
    listen.advertised = advertise.map { (host: $0.host, port: $0.port) }
    listen.isUnadvertised = isUnadvertised
    listen.versionMin = versionMin.flatMap { text in text.withView { ReleaseVersion($0) } }
    listen.versionMinText = versionMin ?? ByteString()
    listen.authenticationTimeout_ns =
      authorization.timeout_ns ?? tls.map { ($0.timeout_ns ?? TLSOptions.timeoutDefault_ns) + second_ns } ?? listen.authenticationTimeout_ns
    listen.cluster = cluster
    return listen
  }
}

extension LeafOptions {
  mutating func compress(as configured: Configuration.LeafCompression) {
    switch configured.mode {
    case .notSupported: compression = .notSupported
    case .off: compression = .off
    case .accept: compression = .accept
    case .s2Fast: compression = .s2Fast
    case .s2Better: compression = .s2Better
    case .s2Best: compression = .s2Best
    case .s2Auto: compression = .s2Auto
    case .lz4: compression = .lz4
    }
    compressionThresholds = LeafCompressionThresholds(configured.rttThresholds_ns)
  }
}
