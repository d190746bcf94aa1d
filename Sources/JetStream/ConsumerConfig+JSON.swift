// ConsumerConfig and the create request from and to JSON: field names, order and omissions of section 11.1.
import Bytes
import JSON

/// The body of a create request (section 11.2).
struct ConsumerCreateRequest {
  enum Action: Equatable { case createOrUpdate, create, update }

  var stream = ByteString()
  var config = ConsumerConfig()
  var action = Action.createOrUpdate
  var pedantic = false

  private static let path = "CreateConsumerRequest"

  static func decode(_ text: ByteView, strict: Bool) throws(APIError) -> ConsumerCreateRequest {
    var request = ConsumerCreateRequest()
    if text.trimmed.isEmpty { return request }
    try ObjectDecoder.decode(text, path: path, strict: strict) { field throws(APIError) in
      if field.named("stream_name") {
        try field.read(&request.stream)
      } else if field.named("config") {
        guard let members = try field.object(type: "server.ConsumerConfig") else { return true }
        try ObjectDecoder.decode(members, path: path + ".config", strict: strict) { inner throws(APIError) in
          try request.config.read(inner)
        }
      } else if field.named("action") {
        try field.readKnown("consumer action") { text in
          if text.isEmpty {
            request.action = .createOrUpdate
          } else if text.equals("create") {
            request.action = .create
          } else if text.equals("update") {
            request.action = .update
          } else {
            return false
          }
          return true
        }
      } else if field.named("pedantic") {
        try field.read(&request.pedantic)
      } else {
        return false
      }
      return true
    }
    return request
  }
}

extension RequestField {
  /// An enumerated string whose error text names what it is: `unknown consumer action: "zz"`.
  func readKnown(_ what: StaticString, _ choose: (ByteView) -> Bool) throws(APIError) {
    if member.value.isNull { return }
    var json = JSONWriter()
    json.value(member.value)
    guard let text = member.value.string, text.withView({ choose($0) }) else {
      throw .invalidJSON("unknown " + ByteView(what).string + ": " + String(decoding: json.finish(), as: UTF8.self))
    }
  }

  /// A list of durations.
  func read(durations target: inout [Int64]) throws(APIError) {
    if member.value.isNull { return }
    guard let values = member.value.array else {
      throw .invalidJSON(
        "json: cannot unmarshal into Go struct field " + path + "." + member.name.string + " of type []time.Duration")
    }
    var list: [Int64] = []
    for value in values {
      guard let length = value.int64 else {
        throw .invalidJSON(
          "json: cannot unmarshal into Go struct field " + path + "." + member.name.string + " of type time.Duration")
      }
      list.append(length)
    }
    target = list
  }

  /// A point in time; the zero time is none.
  func read(optionalTime target: inout Int64?) throws(APIError) {
    var time_ns: Int64?
    try read(time: &time_ns)
    target = time_ns == Int64.min ? nil : time_ns
  }
}

extension ConsumerConfig {
  /// Reads one member; false when it is no field of a consumer's configuration.
  mutating func read(_ field: RequestField) throws(APIError) -> Bool {
    if try readNames(field) { return true }
    if try readPolicies(field) { return true }
    if try readLimits(field) { return true }
    return try readFlags(field)
  }

  private mutating func readNames(_ field: RequestField) throws(APIError) -> Bool {
    if field.named("durable_name") {
      try field.read(&durable)
    } else if field.named("name") {
      try field.read(&name)
    } else if field.named("description") {
      try field.read(&description)
    } else if field.named("filter_subject") {
      try field.read(&filter)
    } else if field.named("filter_subjects") {
      try field.read(&filterList)
    } else if field.named("sample_freq") {
      try field.read(&sampleFrequency)
    } else if field.named("deliver_subject") {
      try field.read(&deliverSubject)
    } else if field.named("deliver_group") {
      try field.read(&deliverGroup)
    } else if field.named("metadata") {
      try field.read(&metadata)
    } else if field.named("priority_groups") {
      try field.read(&priorityGroups)
    } else {
      return false
    }
    return true
  }

  private mutating func readPolicies(_ field: RequestField) throws(APIError) -> Bool {
    if field.named("deliver_policy") {
      try field.read(enumeration: { text in
        if text.equals("all") || text.equals("undefined") {
          deliverPolicy = .all
        } else if text.equals("last") {
          deliverPolicy = .last
        } else if text.equals("new") {
          deliverPolicy = .new
        } else if text.equals("by_start_sequence") {
          deliverPolicy = .byStartSequence
        } else if text.equals("by_start_time") {
          deliverPolicy = .byStartTime
        } else if text.equals("last_per_subject") {
          deliverPolicy = .lastPerSubject
        } else {
          return false
        }
        return true
      })
    } else if field.named("ack_policy") {
      try field.read(enumeration: { text in
        if text.equals("none") {
          ackPolicy = .none
        } else if text.equals("all") {
          ackPolicy = .all
        } else if text.equals("explicit") {
          ackPolicy = .explicit
        } else if text.equals("flow_control") {
          ackPolicy = .flowControl
        } else {
          return false
        }
        return true
      })
    } else if field.named("replay_policy") {
      try field.read(enumeration: { text in
        guard text.equals("instant") || text.equals("original") else { return false }
        replayPolicy = text.equals("original") ? .original : .instant
        return true
      })
    } else if field.named("priority_policy") {
      try field.readKnown("priority policy") { text in
        if text.equals("none") || text.isEmpty {
          priorityPolicy = .none
        } else if text.equals("overflow") {
          priorityPolicy = .overflow
        } else if text.equals("pinned_client") {
          priorityPolicy = .pinnedClient
        } else if text.equals("prioritized") {
          priorityPolicy = .prioritized
        } else {
          return false
        }
        return true
      }
    } else {
      return false
    }
    return true
  }

  private mutating func readLimits(_ field: RequestField) throws(APIError) -> Bool {
    if field.named("opt_start_seq") {
      try field.read(&startSequence)
    } else if field.named("opt_start_time") {
      try field.read(optionalTime: &startTime_ns)
    } else if field.named("ack_wait") {
      try field.read(duration: &ackWait_ns)
    } else if field.named("max_deliver") {
      try field.read(&maxDeliver)
    } else if field.named("backoff") {
      try field.read(durations: &backoff_ns)
    } else if field.named("rate_limit_bps") {
      try field.read(&rateLimit_bps)
    } else if field.named("max_waiting") {
      try field.read(&maxWaiting)
    } else if field.named("max_ack_pending") {
      try field.read(&maxAckPending)
    } else if field.named("max_batch") {
      try field.read(&maxBatch)
    } else if field.named("max_expires") {
      try field.read(duration: &maxExpires_ns)
    } else if field.named("max_bytes") {
      try field.read(&maxBytes)
    } else if field.named("idle_heartbeat") {
      try field.read(duration: &heartbeat_ns)
    } else if field.named("inactive_threshold") {
      try field.read(duration: &inactiveThreshold_ns)
    } else if field.named("num_replicas") {
      try field.read(&replicas)
    } else if field.named("pause_until") {
      try field.read(optionalTime: &pauseUntil_ns)
    } else if field.named("priority_timeout") {
      try field.read(duration: &priorityTimeout_ns)
    } else {
      return false
    }
    return true
  }

  private mutating func readFlags(_ field: RequestField) throws(APIError) -> Bool {
    if field.named("flow_control") {
      try field.read(&flowControl)
    } else if field.named("headers_only") {
      try field.read(&headersOnly)
    } else if field.named("mem_storage") {
      try field.read(&memoryStorage)
    } else if field.named("direct") {
      try field.read(&direct)
    } else if field.named("sourcing") {
      try field.read(&sourcing)
      // Answered as a server that does not know it: the other side then asks in the way that every server understands (section 18).
      if sourcing { throw .invalidJSON("json: unknown field \"sourcing\"") }
    } else {
      return false
    }
    return true
  }

  /// Writes the members of the configuration. `serverVersion` adds the keys that answers to CREATE and INFO show (section 4.5).
  func write(to json: inout JSONWriter, serverVersion: ByteString? = nil) {
    json.fieldUnlessEmpty("durable_name", durable)
    json.fieldUnlessEmpty("name", name)
    json.fieldUnlessEmpty("description", description)
    json.field("deliver_policy", literal: deliverPolicyText)
    json.fieldUnlessZero("opt_start_seq", startSequence)
    if let startTime_ns { json.field("opt_start_time", time: startTime_ns) }
    json.field("ack_policy", literal: ackPolicyText)
    json.fieldUnlessZero("ack_wait", ackWait_ns)
    json.fieldUnlessZero("max_deliver", maxDeliver)
    if !backoff_ns.isEmpty {
      json.beginArray("backoff")
      for length in backoff_ns { json.number(length) }
      json.endArray()
    }
    json.fieldUnlessEmpty("filter_subject", filter)
    json.fieldUnlessEmpty("filter_subjects", filterList)
    json.field("replay_policy", literal: replayPolicy == .instant ? "instant" : "original")
    json.fieldUnlessZero("rate_limit_bps", rateLimit_bps)
    json.fieldUnlessEmpty("sample_freq", sampleFrequency)
    json.fieldUnlessZero("max_waiting", maxWaiting)
    json.fieldUnlessZero("max_ack_pending", maxAckPending)
    json.fieldUnlessFalse("flow_control", flowControl)
    json.fieldUnlessFalse("headers_only", headersOnly)
    json.fieldUnlessZero("max_batch", maxBatch)
    json.fieldUnlessZero("max_expires", maxExpires_ns)
    json.fieldUnlessZero("max_bytes", maxBytes)
    json.fieldUnlessEmpty("deliver_subject", deliverSubject)
    json.fieldUnlessEmpty("deliver_group", deliverGroup)
    json.fieldUnlessZero("idle_heartbeat", heartbeat_ns)
    json.fieldUnlessZero("inactive_threshold", inactiveThreshold_ns)
    json.field("num_replicas", replicas)
    json.fieldUnlessFalse("mem_storage", memoryStorage)
    json.fieldUnlessFalse("direct", direct)
    json.fieldUnlessFalse("sourcing", sourcing)
    writeMetadata(to: &json, serverVersion: serverVersion)
    if let pauseUntil_ns { json.field("pause_until", time: pauseUntil_ns) }
    json.fieldUnlessEmpty("priority_groups", priorityGroups)
    if priorityPolicy != .none { json.field("priority_policy", literal: priorityPolicyText) }
    json.fieldUnlessZero("priority_timeout", priorityTimeout_ns)
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

  private var deliverPolicyText: StaticString {
    switch deliverPolicy {
    case .all: "all"
    case .last: "last"
    case .new: "new"
    case .byStartSequence: "by_start_sequence"
    case .byStartTime: "by_start_time"
    case .lastPerSubject: "last_per_subject"
    }
  }

  private var ackPolicyText: StaticString {
    switch ackPolicy {
    case .none: "none"
    case .all: "all"
    case .explicit: "explicit"
    case .flowControl: "flow_control"
    }
  }

  private var priorityPolicyText: StaticString {
    switch priorityPolicy {
    case .none: "none"
    case .overflow: "overflow"
    case .pinnedClient: "pinned_client"
    case .prioritized: "prioritized"
    }
  }
}
