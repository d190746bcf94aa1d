// /metrics: what the other pages show in numbers, for Prometheus. Each family is described in docs/monitoring.md.
import Broker
import Bytes
import Interest
import JetStream
import Leaf
import LogStore
import Platform
import Uplink

extension Monitor {
  private typealias Label = MetricsWriter.Label
  private typealias Value = MetricsWriter.Value

  /// One family with a sample for each of several things.
  private struct Family<Thing> {
    let name: StaticString
    let kind: MetricsWriter.Kind
    let help: StaticString
    let value: (Thing) -> MetricsWriter.Value?

    init(_ name: StaticString, _ kind: MetricsWriter.Kind, _ help: StaticString, _ value: @escaping (Thing) -> MetricsWriter.Value?) {
      self.name = name
      self.kind = kind
      self.help = help
      self.value = value
    }
  }

  private func write<Thing>(
    _ families: [Family<Thing>], _ things: [Thing], _ labels: (Thing) -> [MetricsWriter.Label], _ page: inout MetricsWriter
  ) {
    guard !things.isEmpty else { return }
    for family in families {
      page.family(family.name, family.kind, family.help)
      for thing in things { if let value = family.value(thing) { page.sample(labels(thing), value) } }
    }
  }

  func metrics() -> [UInt8] {
    var page = MetricsWriter()
    writeServer(&page)
    writeJetStreams(source.jetStreams, &page)
    if let store = source.store { writeStore(store, &page) }
    writeLinks(&page)
    if let uplink = source.uplink { writeUplink(uplink.status, &page) }
    writeForwards(&page)
    return page.bytes
  }

  private func writeServer(_ page: inout MetricsWriter) {
    let broker = source.broker
    page.family("info", .gauge, "What runs here; always 1.")
    page.sample(
      [Label("version", broker.identity.release), Label("server_id", broker.identity.id), Label("server_name", broker.identity.name)],
      .number(1))
    page.single("start_time_seconds", .gauge, "When the server started.", .time_ns(source.startedWall_ns))
    page.single("cpu_seconds_total", .counter, "Processor time used.", .time_ns(ProcessStatus.cpu_ns))
    page.single("resident_memory_bytes", .gauge, "Memory in use.", .number(ProcessStatus.residentMemory_bytes))
    page.single("connections", .gauge, "Client connections.", .number(broker.connectionCount))
    page.single("connections_total", .counter, "Client connections since the start.", .number(broker.connectionsTotal))
    page.single("subscriptions", .gauge, "Subscriptions of all kinds.", .number(broker.accounts.reduce(0) { $0 + $1.interest.count }))
    page.single("slow_consumers_total", .counter, "Clients closed because they read too slowly.", .number(broker.slowConsumers))
    page.single("stale_connections_total", .counter, "Clients closed because they did not answer PING.", .number(broker.staleConnections))
    let directions = [(Label("direction", "in"), broker.received), (Label("direction", "out"), broker.sent)]
    page.family("client_messages_total", .counter, "Messages of clients.")
    for (label, traffic) in directions { page.sample([label], .number(traffic.messages)) }
    page.family("client_bytes_total", .counter, "Bytes of clients' messages.")
    for (label, traffic) in directions { page.sample([label], .number(traffic.bytes)) }
  }

  private func writeJetStreams(_ jetStreams: [JetStream], _ page: inout MetricsWriter) {
    let families: [Family<JetStream>] = [
      Family("jetstream_api_requests_total", .counter, "Requests to the JetStream API.") { .number($0.apiTotal) },
      Family("jetstream_api_errors_total", .counter, "Requests that were refused.") { .number($0.apiErrors) },
      Family("jetstream_memory_bytes", .gauge, "Bytes of streams in memory.") { .number($0.usage.memory) },
      Family("jetstream_storage_bytes", .gauge, "Bytes of streams in files.") { .number($0.usage.storage) },
      Family("jetstream_streams", .gauge, "Streams.") { .number($0.streamCount) },
      Family("jetstream_consumers", .gauge, "Consumers.") { .number($0.consumerCount) },
    ]
    write(families, jetStreams, { [Label("account", $0.account.name)] }, &page)
    let ofStreams: [Family<Stream>] = [
      Family("stream_messages", .gauge, "Messages in a stream.") { .number($0.count) },
      Family("stream_bytes", .gauge, "Bytes of them.") { .number($0.bytes) },
      Family("stream_first_sequence", .gauge, "The first message's sequence.") { .number($0.firstSequence) },
      Family("stream_last_sequence", .gauge, "The last message's sequence.") { .number($0.lastSequence) },
      Family("stream_consumers", .gauge, "Consumers of a stream.") { .number($0.consumerCount) },
    ]
    let streams = jetStreams.flatMap { jetStream in jetStream.streams.map { (account: jetStream.account.name, stream: $0) } }
    guard !streams.isEmpty else { return }
    for family in ofStreams {
      page.family(family.name, family.kind, family.help)
      for (account, stream) in streams {
        if let value = family.value(stream) { page.sample([Label("account", account), Label("stream", stream.name)], value) }
      }
    }
  }

  private func writeStore(_ store: LogStore, _ page: inout MetricsWriter) {
    page.single("store_bytes", .gauge, "Bytes of the store's files.", .number(store.bytesOnDisk))
    page.single("store_segments", .gauge, "Files of the store.", .number(store.segmentCount))
    page.single("store_written_bytes_total", .counter, "Bytes written to the disk.", .number(store.bytesWritten))
    page.single("store_compacted_bytes_total", .counter, "Bytes written again to make room.", .number(store.bytesCompacted))
    page.single("store_syncs_total", .counter, "Times that the disk was synchronised.", .number(store.syncs))
    page.single("store_batches_total", .counter, "Batches made durable together.", .number(store.batches))
    var healthy: Int64 = 1
    if case .failed = store.state { healthy = 0 }
    page.single("store_healthy", .gauge, "1 while the store takes messages.", .number(healthy))
  }

  private func writeLinks(_ page: inout MetricsWriter) {
    page.single("leaf_links", .gauge, "Leaf links that work.", .number(source.links.count))
    let links = source.links
    guard !links.isEmpty else { return }
    func labels(_ link: LeafLink, _ more: [Label] = []) -> [Label] {
      [Label("peer", link.peer.serverName), Label("account", link.account.name), Label("id", ByteString("\(link.id)"))] + more
    }
    let (inward, outward) = (Label("direction", "in"), Label("direction", "out"))
    func both(_ name: StaticString, _ help: StaticString, _ values: (LeafLink) -> (Int64, Int64)) {
      page.family(name, .counter, help)
      for link in links {
        let (received, sent) = values(link)
        page.sample(labels(link, [inward]), .number(received))
        page.sample(labels(link, [outward]), .number(sent))
      }
    }
    both("leaf_messages_total", "Messages over a link.") { ($0.receivedTraffic.messages, $0.sentTraffic.messages) }
    both("leaf_message_bytes_total", "Bytes of those messages.") { ($0.receivedTraffic.bytes, $0.sentTraffic.bytes) }
    both("leaf_plain_bytes_total", "Bytes of the leaf protocol before compression.") { ($0.plainBytesRead, $0.plainBytesWritten) }
    both("leaf_wire_bytes_total", "Bytes on the wire, without the headers of TCP and IP.") { ($0.bytesRead, $0.bytesWritten) }
    let families: [Family<LeafLink>] = [
      Family("leaf_keepalive_bytes_total", .counter, "What PINGs and their answers cost, with the headers of TCP and IP.") {
        .number($0.keepaliveBytes)
      },
      Family("leaf_dropped_total", .counter, "Messages that were not sent: too large for the other end, or too many for the link.") {
        .number($0.dropped)
      },
      Family("leaf_pending_bytes", .gauge, "Bytes that wait to be sent.") { .number($0.pending) },
      Family("leaf_backlog_bytes", .gauge, "Bytes of stored messages among them.") { .number($0.backlogPending) },
      Family("leaf_rtt_seconds", .gauge, "Round trip of the last PING.") { link in link.rtt_ns.map { .time_ns($0) } },
      Family("leaf_subscriptions", .gauge, "Interest of the other end.") { .number($0.remoteInterestCount) },
    ]
    write(families, links, { labels($0) }, &page)
  }

  private func writeUplink(_ status: UplinkSupervisor.Status, _ page: inout MetricsWriter) {
    page.single("uplink_switches_total", .counter, "How often the uplink came to be on another cluster.", .number(status.switches))
    page.single("uplink_probe_bytes_total", .counter, "What measuring distances has cost.", .number(status.probeBytes))
    let families: [Family<RankedCluster>] = [
      Family("uplink_cluster_linked", .gauge, "1 for the cluster that the uplink is on.") { .number($0.isCurrent ? 1 : 0) },
      Family("uplink_cluster_rtt_seconds", .gauge, "Measured distance of a cluster; absent while it does not answer.") { cluster in
        cluster.rtt_us.map { .time_ns($0 * 1000) }
      },
      Family("uplink_cluster_probes_lost", .gauge, "Probes in a row without an answer.") { .number($0.probesLostInRow) },
    ]
    write(families, status.clusters, { [Label("cluster", $0.name)] }, &page)
  }

  private func writeForwards(_ page: inout MetricsWriter) {
    let families: [Family<Forwarder>] = [
      Family("forward_backlog_messages", .gauge, "Messages that the hub has yet to acknowledge.") { .number($0.backlog) },
      Family("forward_in_flight_messages", .gauge, "Messages sent and not acknowledged.") { .number($0.inFlight) },
      Family("forward_acknowledged_sequence", .gauge, "Up to where the hub has the stream.") { .number($0.progress.acknowledged) },
      Family("forward_delivered_total", .counter, "Messages that the hub stored.") { .number($0.delivered) },
      Family("forward_duplicates_total", .counter, "Messages that it had already.") { .number($0.duplicates) },
      Family("forward_resent_total", .counter, "Messages that were sent again.") { .number($0.resent) },
      Family("forward_refusals_total", .counter, "Times that the hub refused, or did not answer.") { .number($0.refusals.total) },
      Family("forward_dropped_total", .counter, "Messages that left the stream before they were forwarded.") { .number($0.droppedBefore) },
    ]
    write(
      families, source.forwarders,
      { [Label("account", $0.account.name), Label("stream", $0.streamName), Label("filter", $0.options.filter ?? ">")] }, &page)
  }
}
