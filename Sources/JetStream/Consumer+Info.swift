// A consumer as the API and monitoring show it: ConsumerInfo (section 11.4).
import Bytes
import JSON
import Platform

extension Consumer {
  /// Writes the members of ConsumerInfo, with the server's version keys in the metadata. Where counting takes long, what is pending is what
  /// was known last, and the next time the count of now.
  public func appendInfo(to json: inout JSONWriter) {
    var left = 0
    if count(left: &left) == .unfinished { countSoon() }
    writeInfo(to: &json, version: true)
  }

  /// The consumer must have been counted (`whenCounted`) for what is pending to be exact.
  func writeInfo(to json: inout JSONWriter, version: Bool) {
    if isCounted {
      // What came since is little, or was never asked for.
      var left = Consumer.countMax
      _ = count(left: &left)
    }
    if !config.isPush, !isDelivering {
      // Who has gone, and whose time is over, waits no more.
      endRequests(host.clock.monotonic_ns)
      dropDeserted()
    }
    json.field("stream_name", stream.name)
    json.field("name", name)
    json.field("created", time: created_ns)
    json.beginObject("config")
    var shown = config
    if config.isPlainSourcing { shown.ackPolicy = .none }  // as it was asked for
    shown.write(to: &json, serverVersion: version ? engine.jetStream.options.serverVersion : nil)
    json.endObject()
    write("delivered", state.delivered, lastDelivery_ns, to: &json)
    write("ack_floor", state.floor, lastAck_ns, to: &json)
    json.field("num_ack_pending", state.pendingCount)
    json.field("num_redelivered", config.maxDeliver == 1 ? 0 : state.redeliveredCount)
    json.field("num_waiting", waiting.count)
    json.field("num_pending", undelivered)
    if config.isPush { json.fieldUnlessFalse("push_bound", isBound) }
    let now_ns = host.clock.wall_ns
    if let until_ns = config.pauseUntil_ns, until_ns > now_ns {
      json.field("paused", true)
      json.field("pause_remaining", until_ns - now_ns)
    }
    json.field("ts", time: now_ns)
    guard let group = config.priorityGroups.first else { return }
    json.beginArray("priority_groups")
    json.beginObject()
    json.field("group", group)
    json.fieldUnlessEmpty("pinned_client_id", pin.id)
    json.field("pinned_ts", time: pin.since_ns > 0 ? pin.since_ns : nil)
    json.endObject()
    json.endArray()
  }

  private func write(_ name: StaticString, _ pair: SequencePair, _ active_ns: Int64, to json: inout JSONWriter) {
    json.beginObject(name)
    json.field("consumer_seq", pair.consumer)
    json.field("stream_seq", pair.stream)
    if active_ns > 0 { json.field("last_active", time: active_ns) }
    json.endObject()
  }
}
