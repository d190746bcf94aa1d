// /uplinkz: which cluster and why, and how far the forwards are. Ours.
import Broker
import Bytes
import JSON
import Leaf
import Platform
import Uplink

extension Monitor {
  func uplinkz() -> [UInt8] {
    var json = begin()
    json.field("server_name", source.broker.identity.name)
    json.field("now", time: now_ns)
    if let uplink = source.uplink {
      let status = uplink.status
      json.field("state", status.stateName)
      json.field("cluster", status.clusters.first { $0.isCurrent }?.name ?? ByteString())
      json.field("decision", status.lastDecision)
      json.field("decision_age_ms", status.lastDecisionAge_ms)
      json.field("change", status.lastChange)
      json.field("switches", status.switches)
      json.field("probe_bytes", status.probeBytes)
      json.beginArray("clusters")
      for cluster in status.clusters { write(cluster, &json) }
      json.endArray()
    } else {
      json.field("state", literal: "none")
      json.beginArray("clusters")
      json.endArray()
    }
    json.beginArray("forwards")
    for forwarder in source.forwarders { write(forwarder, &json) }
    json.endArray()
    json.endObject()
    return json.finish()
  }

  private func write(_ cluster: RankedCluster, _ json: inout JSONWriter) {
    json.beginObject()
    json.field("name", cluster.name)
    json.field("state", cluster.isCurrent ? "linked" : cluster.health.text)
    json.field("tier", cluster.tier)
    json.field("weight", cluster.weight)
    json.fieldUnlessFalse("pinned", cluster.pinned)
    // Microseconds; absent without an answer. No answer is infinity, never zero.
    if let rtt = cluster.rtt_us { json.field("rtt_us", rtt) }
    if let floor = cluster.floor_us { json.field("rtt_min_us", floor) }
    if let connect = cluster.connect_us { json.field("connect_us", connect) }
    json.field("jitter_us", cluster.jitter_us)
    if let age = cluster.probeAge_ms { json.field("probe_age_ms", age) }
    json.field("probes_lost", cluster.probesLostInRow)
    if let failure = cluster.probeFailure { json.field("probe_error", failure.text) }
    if let failure = cluster.linkFailure { json.field("link_error", failure.text) }
    json.fieldUnlessZero("held_ms", cluster.heldFor_ms)
    json.endObject()
  }

  private func write(_ forwarder: Forwarder, _ json: inout JSONWriter) {
    json.beginObject()
    json.field("stream", forwarder.streamName)
    if let filter = forwarder.options.filter { json.field("filter", filter) }
    if let to = forwarder.options.to { json.field("to", to) }
    if forwarder.options.priority != 0 { json.field("priority", forwarder.options.priority) }
    if forwarder.isPaused {
      json.field("state", literal: "paused")
    } else {
      write(forwarder.state, &json)
    }
    json.field("backlog", forwarder.backlog)
    json.field("in_flight", forwarder.inFlight)
    json.field("acknowledged_seq", forwarder.progress.acknowledged)
    json.field("hub_stream", forwarder.progress.hubStream)
    json.field("hub_seq", forwarder.progress.hubSequence)
    json.field("delivered", forwarder.delivered)
    json.field("duplicates", forwarder.duplicates)
    json.field("resent", forwarder.resent)
    let refusals = forwarder.refusals
    json.field("refusals", refusals.total)
    json.field("refused_too_large", refusals.tooLarge)
    json.field("refused_not_permitted", refusals.notPermitted)
    json.field("refused_stream_full", refusals.streamFull)
    json.field("set_aside", forwarder.setAside)
    json.field("dropped_before", forwarder.droppedBefore)
    json.endObject()
  }

  private func write(_ state: ForwardMachine.State, _ json: inout JSONWriter) {
    switch state {
    case .offline: json.field("state", literal: "offline")
    case .locating: json.field("state", literal: "locating")
    case .comparing: json.field("state", literal: "comparing")
    case .forwarding: json.field("state", literal: "forwarding")
    case .upToDate: json.field("state", literal: "up to date")
    case .refused(let text):
      json.field("state", literal: "refused")
      json.field("error", text)
    }
  }
}
