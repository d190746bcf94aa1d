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
    var fields = ConfigFields(field, strict: true)
    visit(&fields)
    return try fields.outcome()
  }

  /// Writes the members of the configuration. `serverVersion` adds the keys that answers to CREATE and INFO show (section 4.5).
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
    fields.text("durable_name", &durable)
    fields.text("name", &name)
    fields.text("description", &description)
    var index = deliverPolicy.rawValue
    fields.choice("deliver_policy", &index, "all last new by_start_sequence by_start_time last_per_subject undefined")
    deliverPolicy = DeliverPolicy(rawValue: index) ?? .all
    fields.number("opt_start_seq", &startSequence)
    fields.time("opt_start_time", &startTime_ns)
    index = ackPolicy.rawValue
    fields.choice("ack_policy", &index, "none all explicit flow_control")
    ackPolicy = AckPolicy(rawValue: index) ?? .none
    fields.duration("ack_wait", &ackWait_ns)
    fields.number("max_deliver", &maxDeliver)
    fields.durations("backoff", &backoff_ns)
    fields.text("filter_subject", &filter)
    fields.texts("filter_subjects", &filterList)
    index = replayPolicy.rawValue
    fields.choice("replay_policy", &index, "instant original")
    replayPolicy = ReplayPolicy(rawValue: index) ?? .instant
    fields.number("rate_limit_bps", &rateLimit_bps)
    fields.text("sample_freq", &sampleFrequency)
    fields.number("max_waiting", &maxWaiting)
    fields.number("max_ack_pending", &maxAckPending)
    fields.flag("flow_control", &flowControl)
    fields.flag("headers_only", &headersOnly)
    fields.number("max_batch", &maxBatch)
    fields.duration("max_expires", &maxExpires_ns)
    fields.number("max_bytes", &maxBytes)
    fields.text("deliver_subject", &deliverSubject)
    fields.text("deliver_group", &deliverGroup)
    fields.duration("idle_heartbeat", &heartbeat_ns)
    fields.duration("inactive_threshold", &inactiveThreshold_ns)
    fields.number("num_replicas", &replicas, .always)
    fields.flag("mem_storage", &memoryStorage)
    fields.flag("direct", &direct)
    fields.flag("sourcing", &sourcing)
    fields.metadata(&metadata)
    fields.time("pause_until", &pauseUntil_ns)
    fields.texts("priority_groups", &priorityGroups)
    index = priorityPolicy.rawValue
    fields.choice("priority_policy", &index, "none overflow pinned_client prioritized", .unlessZero, .named("priority policy"))
    priorityPolicy = PriorityPolicy(rawValue: index) ?? .none
    fields.duration("priority_timeout", &priorityTimeout_ns)
  }
}
