// StreamConfig to and from JSON: field names, order and omissions of section 4.1.
import Bytes
import JSON

extension StreamConfig {
  /// Reads a create or update request, or what the store holds. `pedantic` is the request's own field.
  static func decode(_ text: ByteView, strict: Bool) throws(APIError) -> (config: StreamConfig, pedantic: Bool) {
    var config = StreamConfig()
    var pedantic = false
    if text.trimmed.isEmpty { return (config, false) }
    try ObjectDecoder.decode(text, path: "StreamConfigRequest", strict: strict) { field throws(APIError) in
      if field.named("pedantic") {
        try field.read(&pedantic)
        return true
      }
      return try config.read(field, strict: strict)
    }
    return (config, pedantic)
  }

  /// Reads one member; false when it is no field of a stream's configuration.
  mutating func read(_ field: RequestField, strict: Bool) throws(APIError) -> Bool {
    var fields = ConfigFields(field, strict: strict)
    visit(&fields)
    return try fields.outcome()
  }

  /// Writes the configuration as an object. `serverVersion` adds the keys that answers to CREATE, UPDATE and INFO show (section 4.5).
  func write(to json: inout JSONWriter, serverVersion: ByteString? = nil) {
    let text = json
    json = JSONWriter()  // held once: what was written so far is not copied
    var fields = ConfigFields(text, serverVersion: serverVersion)
    var shown = self
    shown.visit(&fields)
    json = fields.json
  }

  /// All fields, in the order in which they are written.
  private mutating func visit(_ fields: inout ConfigFields) {
    fields.text("name", &name, .always)
    fields.text("description", &description)
    fields.texts("subjects", &subjects)
    var index = retention.rawValue
    fields.choice("retention", &index, "limits interest workqueue")
    retention = Retention(rawValue: index) ?? .limits
    fields.number("max_consumers", &maxConsumers, .always)
    fields.number("max_msgs", &maxMessages, .always)
    fields.number("max_bytes", &maxBytes, .always)
    fields.duration("max_age", &maxAge_ns, .always)
    fields.number("max_msgs_per_subject", &maxMessagesPerSubject, .always)
    fields.number("max_msg_size", &maxMessageSize, type: "int32")
    index = discard.rawValue
    fields.choice("discard", &index, "old new", .always, .ignoringCase)
    discard = Discard(rawValue: index) ?? .old
    index = storage.rawValue
    fields.choice("storage", &index, "file memory")
    storage = Storage(rawValue: index) ?? .file
    fields.number("num_replicas", &replicas, .always)
    fields.flag("no_ack", &noAck)
    fields.duration("duplicate_window", &duplicateWindow_ns)
    visitPlacement(&fields)
    visitOrigins(&fields)
    index = compression ? 1 : 0
    fields.choice("compression", &index, "none s2")
    compression = index == 1
    fields.number("first_seq", &firstSequence)
    visitTransforms(&fields)
    visitFlags(&fields)
    index = asyncPersist ? 1 : 0
    fields.choice("persist_mode", &index, "default async", .unlessZero, .orEmpty)
    asyncPersist = index == 1
    fields.flag("allow_batched", &allowBatched)
    fields.metadata(&metadata)
  }

  private mutating func visitPlacement(_ fields: inout ConfigFields) {
    var placement = placement ?? Placement()
    var isGiven = self.placement != nil
    fields.object("placement", type: "server.Placement", isShown: isGiven) {
      placement = Placement()
      isGiven = true
    } fields: { fields in
      fields.text("cluster", &placement.cluster)
      fields.texts("tags", &placement.tags)
      fields.text("preferred", &placement.preferred)
    }
    self.placement = isGiven ? placement : nil
  }

  private mutating func visitTransforms(_ fields: inout ConfigFields) {
    var transform = subjectTransform
    fields.object("subject_transform", type: "server.SubjectTransformConfig", isShown: transform != nil) {
      transform = Transform()
    } fields: { fields in
      transform?.visit(&fields)
    }
    subjectTransform = transform
    var again = republish
    fields.object("republish", type: "server.RePublish", isShown: again != nil) {
      again = Republish()
    } fields: { fields in
      again?.visit(&fields)
    }
    republish = again
  }

  private mutating func visitOrigins(_ fields: inout ConfigFields) {
    var mirror = mirror ?? StreamSource()
    var isGiven = self.mirror != nil
    fields.object("mirror", type: "server.StreamSource", isShown: isGiven) {
      isGiven = true
    } fields: {
      mirror.visit(&$0)
    }
    self.mirror = isGiven ? mirror : nil
    var all = sources
    fields.objects("sources", type: "[]*server.StreamSource", count: all.count) { count in
      all = Array(repeating: StreamSource(), count: count)
    } fields: {
      all[$0].visit(&$1)
    }
    sources = all
  }

  private mutating func visitFlags(_ fields: inout ConfigFields) {
    fields.flag("allow_direct", &allowDirect, .always)
    fields.flag("mirror_direct", &mirrorDirect, .always)
    fields.flag("discard_new_per_subject", &discardNewPerSubject)
    fields.flag("sealed", &sealed, .always)
    fields.flag("deny_delete", &denyDelete, .always)
    fields.flag("deny_purge", &denyPurge, .always)
    fields.flag("allow_rollup_hdrs", &allowRollup, .always)
    var limits = consumerLimits
    fields.object("consumer_limits", type: "server.StreamConsumerLimits", isShown: true) {
      limits = ConsumerLimits()
    } fields: { fields in
      fields.duration("inactive_threshold", &limits.inactiveThreshold_ns)
      fields.number("max_ack_pending", &limits.maxAckPending)
    }
    consumerLimits = limits
    fields.flag("allow_msg_ttl", &allowMessageTTL, .always)
    fields.duration("subject_delete_marker_ttl", &subjectDeleteMarkerTTL_ns)
    fields.flag("allow_msg_counter", &allowMessageCounter)
    fields.flag("allow_atomic", &allowAtomic)
    fields.flag("allow_msg_schedules", &allowSchedules)
  }
}
