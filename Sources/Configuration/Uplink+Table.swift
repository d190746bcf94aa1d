// The option tables of `uplink`, its clusters, and `forward`.
import Bytes

extension UplinkOptions {
  static var table: [Option<UplinkOptions>] {
    let day_ns: Int64 = 86_400_000_000_000
    return [
      Option(
        "clusters",
        kind: .custom(type: "array of maps") { decoder, uplink, entry in
          uplink.clusters = []
          for (map, location) in decoder.maps(entry.value, field: entry.key) ?? [] {
            var cluster = UplinkCluster()
            cluster.location = location
            decoder.decode(map, by: UplinkCluster.table, into: &cluster)
            uplink.clusters.append(cluster)
          }
        }, doc: "The backbone clusters, at most 64."),
      Option(
        "credentials", "creds", kind: .string { $0.credentials = $1 },
        doc: "A credentials file for all clusters: the user's JWT and seed. It is read for each connection."),
      Option(
        "metered", kind: .boolean { $0.isMetered = $1 }, standard: "false",
        doc: """
          Says that bytes on the link cost money: probing is rarer, an idle link is checked every minute instead of every ten seconds, and small \
          messages wait up to one round trip (a quarter of a second at most) to be sent together.
          """),
      Option(
        "rate_limit", kind: .size(256...10_000_000_000) { $0.rateLimit = $1 }, standard: "no limit",
        doc: """
          Bytes a second that the uplink may send. Interest and live messages go ahead of forwards and consumers; live messages that would wait \
          longer than ten seconds are dropped and counted.
          """),
      Option(
        "probe_budget", kind: .size(0...Int64.max) { $0.probeBudget_bytes = $1 }, standard: "no limit",
        doc: "Bytes a day that measuring may cost."),
      Option(
        "probe_interval", kind: .duration(1_000_000_000...day_ns) { $0.probeInterval_ns = $1 }, standard: "15m; metered 1h",
        doc: "The time between rounds of measuring."),
      Option(
        "compression", kind: .compression { $0.compression = $1 }, standard: "s2_auto",
        doc: LeafCompression.doc),
      Option(
        "tls", kind: .custom(type: "map") { decoder, uplink, entry in uplink.tls = TLSOptions.decode(&decoder, entry, isListener: false) },
        doc: "How links use TLS, which they do for `tls://`, for this block, and wherever the hub requires it."),
      Option(
        "account",
        kind: .string { $0.account = $1 }, standard: "\"$G\"", doc: "The local account of the link; in operator mode its public key."),
      Option(
        "proxy", kind: .custom(type: "map") { $1.proxy = $0.proxyBlock($2) },
        doc: "An HTTP proxy through which all clusters are reached, and measured."),
      Option(
        "ws_no_masking", "websocket_no_masking", kind: .boolean { $0.wantsNoMasking = $1 }, standard: "false",
        doc: "Leaves out the masks of WebSocket frames, where the hub agrees."),
    ]
  }
}

extension UplinkCluster {
  static var table: [Option<UplinkCluster>] {
    [
      Option("name", kind: .string { $0.name = $1 }, doc: "The name by which the cluster is shown and remembered."),
      Option(
        "urls", "url", kind: .custom(type: "string or array of strings") { decoder, cluster, entry in cluster.urls += decoder.urls(entry) },
        doc: "Where the cluster's servers accept leaf connections: `nats://host:port` (port 7422 when left out), or `ws://host:port/path`."),
      Option(
        "tier", kind: .integer(0...100) { $0.tier = Int($1) }, standard: "0",
        doc: "A cluster of a lower tier is preferred whatever its latency."),
      Option(
        "weight", kind: .number(0.01...100, "0.01 and 100") { $0.weight = $1 }, standard: "1",
        doc: "Multiplies the measured latency: 2 makes the cluster seem twice as far."),
      Option(
        "tls",
        kind: .custom(type: "map") { decoder, cluster, entry in cluster.tls = TLSOptions.decode(&decoder, entry, isListener: false) },
        standard: "that of `uplink`", doc: "How links to this cluster use TLS."),
      Option(
        "pin", kind: .boolean { $0.isPinned = $1 }, standard: "false",
        doc: "Uses this cluster whenever it can be reached. One cluster at most."),
    ]
  }
}

extension ForwardDeclaration {
  static var table: [Option<ForwardDeclaration>] {
    [
      Option("stream", kind: .string { $0.stream = $1 }, doc: "The local stream."),
      Option(
        "account", kind: .string { $0.account = $1 }, standard: "$G",
        doc: "The stream's account. It is forwarded over the link of that account: the uplink's, or the first remote's."),
      Option(
        "filter",
        kind: .custom(type: "string") { decoder, forward, entry in
          if let subject = decoder.subject(entry) { forward.filter = subject }
        }, standard: ">", doc: "Only messages whose subject matches."),
      Option(
        "to",
        kind: .custom(type: "string") { decoder, forward, entry in
          if let subject = decoder.subject(entry) { forward.to = subject }
        }, standard: "the same subject", doc: "The subject at the hub, as a subject transform of `filter`."),
      Option(
        "live", kind: .boolean { $0.isLive = $1 }, standard: "false",
        doc: "Also lets the same messages cross the link as they come; the hub would store them twice."),
      Option(
        "window", kind: .integer(1...65536) { $0.window = Int($1) }, standard: "256", doc: "Messages in flight without the hub's ack."),
      Option(
        "ordered", kind: .boolean { $0.isOrdered = $1 }, standard: "true",
        doc:
          "Lets a message wait for the hub's ack of the one before it on its subject, so that a hub which loses or refuses one cannot change their order. Where few subjects carry much over a long way, `false` is faster."
      ),
      Option(
        "dead_letter",
        kind: .custom(type: "string") { decoder, forward, entry in
          guard let subject = decoder.subject(entry) else { return }
          guard subject.withView({ SubjectSyntax.isLiteral($0) }) else {
            return decoder.error(at: entry.value.location, "dead_letter must be one subject, without wildcards, not \"\(subject)\"")
          }
          forward.deadLetter = subject
        }, standard: "none: such a message holds the forward",
        doc: "Where messages go that the hub refuses for good (too large, not permitted): a subject that a stream here keeps."),
      Option(
        "priority", kind: .integer(0...1000) { $0.priority = Int($1) }, standard: "0",
        doc: "Forwards with a lower number go first: others wait while one of those has something to send."),
    ]
  }
}

extension OptionDecoder {
  mutating func subject(_ entry: ConfigurationEntry) -> ByteString? {
    guard let subject = string(entry.value, field: entry.key) else { return nil }
    guard subject.withView({ SubjectSyntax.isValid($0) }) else {
      error(at: entry.value.location, "invalid subject \"\(subject)\"")
      return nil
    }
    return subject
  }
}
