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
    if try readBasics(field) { return true }
    if try readLimits(field) { return true }
    return try readFeatures(field, strict: strict)
  }

  private mutating func readBasics(_ field: RequestField) throws(APIError) -> Bool {
    if field.named("name") {
      try field.read(&name)
    } else if field.named("description") {
      try field.read(&description)
    } else if field.named("subjects") {
      try field.read(&subjects)
    } else if field.named("retention") {
      try field.read(enumeration: { text in
        if text.equalsIgnoringCase("limits") {
          retention = .limits
        } else if text.equalsIgnoringCase("interest") {
          retention = .interest
        } else if text.equalsIgnoringCase("workqueue") {
          retention = .workqueue
        } else {
          return false
        }
        return true
      })
    } else if field.named("discard") {
      try field.read(enumeration: { text in
        guard text.equalsIgnoringCase("old") || text.equalsIgnoringCase("new") else { return false }
        discard = text.equalsIgnoringCase("new") ? .new : .old
        return true
      })
    } else if field.named("storage") {
      try field.read(enumeration: { text in
        guard text.equalsIgnoringCase("file") || text.equalsIgnoringCase("memory") else { return false }
        storage = text.equalsIgnoringCase("memory") ? .memory : .file
        return true
      })
    } else if field.named("compression") {
      try field.read(enumeration: { text in
        guard text.equalsIgnoringCase("none") || text.equalsIgnoringCase("s2") else { return false }
        compression = text.equalsIgnoringCase("s2")
        return true
      })
    } else if field.named("persist_mode") {
      try field.read(enumeration: { text in
        guard text.isEmpty || text.equalsIgnoringCase("default") || text.equalsIgnoringCase("async") else { return false }
        asyncPersist = text.equalsIgnoringCase("async")
        return true
      })
    } else if field.named("metadata") {
      try field.read(&metadata)
    } else {
      return false
    }
    return true
  }

  private mutating func readLimits(_ field: RequestField) throws(APIError) -> Bool {
    if field.named("max_consumers") {
      try field.read(&maxConsumers)
    } else if field.named("max_msgs") {
      try field.read(&maxMessages)
    } else if field.named("max_bytes") {
      try field.read(&maxBytes)
    } else if field.named("max_age") {
      try field.read(duration: &maxAge_ns)
    } else if field.named("max_msgs_per_subject") {
      try field.read(&maxMessagesPerSubject)
    } else if field.named("max_msg_size") {
      try field.read(int32: &maxMessageSize)
    } else if field.named("num_replicas") {
      try field.read(&replicas)
    } else if field.named("duplicate_window") {
      try field.read(duration: &duplicateWindow_ns)
    } else if field.named("first_seq") {
      try field.read(&firstSequence)
    } else if field.named("subject_delete_marker_ttl") {
      try field.read(duration: &subjectDeleteMarkerTTL_ns)
    } else {
      return false
    }
    return true
  }

  private mutating func readFeatures(_ field: RequestField, strict: Bool) throws(APIError) -> Bool {
    if try readFlags(field) { return true }
    if field.named("placement") {
      guard let members = try field.object(type: "server.Placement") else { return true }
      var placement = Placement()
      try ObjectDecoder.decode(members, path: field.path + ".placement", strict: strict) { inner throws(APIError) in
        if inner.named("cluster") {
          try inner.read(&placement.cluster)
        } else if inner.named("tags") {
          try inner.read(&placement.tags)
        } else if inner.named("preferred") {
          try inner.read(&placement.preferred)
        } else {
          return false
        }
        return true
      }
      self.placement = placement
    } else if field.named("consumer_limits") {
      guard let members = try field.object(type: "server.StreamConsumerLimits") else { return true }
      var limits = ConsumerLimits()
      try ObjectDecoder.decode(members, path: field.path + ".consumer_limits", strict: strict) { inner throws(APIError) in
        if inner.named("inactive_threshold") {
          try inner.read(duration: &limits.inactiveThreshold_ns)
        } else if inner.named("max_ack_pending") {
          try inner.read(&limits.maxAckPending)
        } else {
          return false
        }
        return true
      }
      consumerLimits = limits
    } else if field.named("mirror") {
      mirror = field.member.value.isNull ? nil : field.member.value
    } else if field.named("sources") {
      sources = field.member.value.array ?? []
    } else if field.named("subject_transform") {
      subjectTransform = field.member.value.isNull ? nil : field.member.value
    } else if field.named("republish") {
      republish = field.member.value.isNull ? nil : field.member.value
    } else {
      return false
    }
    return true
  }

  private mutating func readFlags(_ field: RequestField) throws(APIError) -> Bool {
    if field.named("no_ack") {
      try field.read(&noAck)
    } else if field.named("allow_direct") {
      try field.read(&allowDirect)
    } else if field.named("mirror_direct") {
      try field.read(&mirrorDirect)
    } else if field.named("discard_new_per_subject") {
      try field.read(&discardNewPerSubject)
    } else if field.named("sealed") {
      try field.read(&sealed)
    } else if field.named("deny_delete") {
      try field.read(&denyDelete)
    } else if field.named("deny_purge") {
      try field.read(&denyPurge)
    } else if field.named("allow_rollup_hdrs") {
      try field.read(&allowRollup)
    } else if field.named("allow_msg_ttl") {
      try field.read(&allowMessageTTL)
    } else if field.named("allow_msg_counter") {
      try field.read(&allowMessageCounter)
    } else if field.named("allow_atomic") {
      try field.read(&allowAtomic)
    } else if field.named("allow_msg_schedules") {
      try field.read(&allowSchedules)
    } else if field.named("allow_batched") {
      try field.read(&allowBatched)
    } else {
      return false
    }
    return true
  }

  /// Writes the configuration as an object. `serverVersion` adds the keys that answers to CREATE, UPDATE and INFO show (section 4.5).
  func write(to json: inout JSONWriter, serverVersion: ByteString? = nil) {
    json.field("name", name)
    json.fieldUnlessEmpty("description", description)
    json.fieldUnlessEmpty("subjects", subjects)
    json.field("retention", literal: retention == .limits ? "limits" : retention == .interest ? "interest" : "workqueue")
    json.field("max_consumers", maxConsumers)
    json.field("max_msgs", maxMessages)
    json.field("max_bytes", maxBytes)
    json.field("max_age", maxAge_ns)
    json.field("max_msgs_per_subject", maxMessagesPerSubject)
    json.fieldUnlessZero("max_msg_size", maxMessageSize)
    json.field("discard", literal: discard == .old ? "old" : "new")
    json.field("storage", literal: storage == .file ? "file" : "memory")
    json.field("num_replicas", replicas)
    json.fieldUnlessFalse("no_ack", noAck)
    json.fieldUnlessZero("duplicate_window", duplicateWindow_ns)
    if let placement {
      json.beginObject("placement")
      json.fieldUnlessEmpty("cluster", placement.cluster)
      json.fieldUnlessEmpty("tags", placement.tags)
      json.fieldUnlessEmpty("preferred", placement.preferred)
      json.endObject()
    }
    json.field("compression", literal: compression ? "s2" : "none")
    json.fieldUnlessZero("first_seq", firstSequence)
    json.field("allow_direct", allowDirect)
    json.field("mirror_direct", mirrorDirect)
    json.fieldUnlessFalse("discard_new_per_subject", discardNewPerSubject)
    json.field("sealed", sealed)
    json.field("deny_delete", denyDelete)
    json.field("deny_purge", denyPurge)
    json.field("allow_rollup_hdrs", allowRollup)
    json.beginObject("consumer_limits")
    json.fieldUnlessZero("inactive_threshold", consumerLimits.inactiveThreshold_ns)
    json.fieldUnlessZero("max_ack_pending", consumerLimits.maxAckPending)
    json.endObject()
    json.field("allow_msg_ttl", allowMessageTTL)
    writeMetadata(to: &json, serverVersion: serverVersion)
  }

  private func writeMetadata(to json: inout JSONWriter, serverVersion: ByteString?) {
    var shown = self
    if let serverVersion {
      shown.setMetadata("_nats.ver", serverVersion)
      var level: [UInt8] = []
      level.append(decimal: JetStream.apiLevel)
      shown.setMetadata("_nats.level", ByteString(level))
    }
    guard !shown.metadata.isEmpty else { return }
    json.beginObject("metadata")
    for pair in shown.metadata {
      json.key(pair.key)
      json.string(pair.value)
    }
    json.endObject()
  }
}
