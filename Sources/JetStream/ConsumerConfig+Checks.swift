// Defaults and checks of a consumer's configuration in the field's order (section 11.3), and what an update may change.
import Bytes
import Identity
import Interest

extension ConsumerConfig {
  /// Limits of the server, as far as a configuration is checked against them.
  enum Limits {
    static let nameBytesMax = 255
    static let descriptionBytesMax = 4096
    static let metadataBytesMax = 128 << 10
    static let ackWaitDefault_ns: Int64 = 30_000_000_000
    static let maxAckPendingDefault = 1000
    static let maxWaitingDefault = 512
    /// What one consumer may let wait, so that hostile configurations cannot reserve memory.
    static let maxWaitingMax = 1 << 20
    static let inactiveThresholdDefault_ns: Int64 = 5_000_000_000
    static let heartbeatMin_ns: Int64 = 100_000_000
    static let maxExpiresMin_ns: Int64 = 1_000_000
    static let groupNameBytesMax = 16
    static let pinnedTimeoutDefault_ns: Int64 = 120_000_000_000
    static let flowControlHeartbeat_ns: Int64 = 1_000_000_000
  }

  /// Sets what was left out, from the stream's limits where it has them.
  mutating func setDefaults(stream: StreamConfig, account: JetStreamLimits, pedantic: Bool) throws(APIError) {
    try zeroNegatives(pedantic: pedantic)
    if ackPolicy == .flowControl, !pedantic {
      flowControl = true
      heartbeat_ns = Limits.flowControlHeartbeat_ns
    }
    if maxDeliver == 0 { maxDeliver = -1 }
    if ackWait_ns == 0, ackPolicy == .explicit || ackPolicy == .all { ackWait_ns = Limits.ackWaitDefault_ns }
    if let first = backoff_ns.first, ackWait_ns != first {
      if pedantic { throw .pedantic("first backoff value has to equal batch AckWait") }
      ackWait_ns = first
    }
    if maxAckPending == 0, stream.consumerLimits.maxAckPending > 0 {
      if pedantic { throw .pedantic("max_ack_pending must be set if it's configured in stream limits") }
      maxAckPending = stream.consumerLimits.maxAckPending
    }
    if maxAckPending == 0, ackPolicy != .none {
      maxAckPending = account.ackPendingMax > 0 ? min(account.ackPendingMax, Limits.maxAckPendingDefault) : Limits.maxAckPendingDefault
    }
    if !isPush, maxWaiting == 0 { maxWaiting = Limits.maxWaitingDefault }
    maxWaiting = min(maxWaiting, Limits.maxWaitingMax)
    if inactiveThreshold_ns == 0 {
      if stream.consumerLimits.inactiveThreshold_ns > 0 {
        if pedantic { throw .pedantic("inactive_threshold must be set if it's configured in stream limits") }
        inactiveThreshold_ns = stream.consumerLimits.inactiveThreshold_ns
      } else if !isDurable {
        inactiveThreshold_ns = Limits.inactiveThresholdDefault_ns
      }
    }
    if priorityPolicy == .pinnedClient, priorityTimeout_ns == 0 { priorityTimeout_ns = Limits.pinnedTimeoutDefault_ns }
  }

  /// Negative options count as left out; a pedantic request must not have them.
  private mutating func zeroNegatives(pedantic: Bool) throws(APIError) {
    if maxDeliver < -1 {
      if pedantic { throw .pedantic("max_deliver must be set to -1") }
      maxDeliver = -1
    }
    if maxAckPending < -1 {
      if pedantic { throw .pedantic("max_ack_pending must be set to -1") }
      maxAckPending = -1
    }
    if pedantic {
      if maxWaiting < 0 { throw .pedantic("max_waiting must not be negative") }
      if maxBatch < 0 { throw .pedantic("max_batch must not be negative") }
      if maxBytes < 0 { throw .pedantic("max_bytes must not be negative") }
      if maxExpires_ns < 0 { throw .pedantic("max_expires must not be negative") }
      if heartbeat_ns < 0 { throw .pedantic("idle_heartbeat must not be negative") }
      if inactiveThreshold_ns < 0 { throw .pedantic("inactive_threshold must not be negative") }
    }
    maxWaiting = max(maxWaiting, 0)
    maxBatch = max(maxBatch, 0)
    maxBytes = max(maxBytes, 0)
    maxExpires_ns = max(maxExpires_ns, 0)
    heartbeat_ns = max(heartbeat_ns, 0)
    inactiveThreshold_ns = max(inactiveThreshold_ns, 0)
    priorityTimeout_ns = max(priorityTimeout_ns, 0)
  }

  /// Checks the configuration of a consumer named `name`; the first failure wins.
  func check(name: ByteString, stream: StreamConfig, account: JetStreamLimits) throws(APIError) {
    for byte in name.bytes where StreamConfig.isForbiddenInName(byte) {
      throw .invalidConfig("consumer name can not contain '.', '*', '>', '\\', '/'")
    }
    for byte in durable.bytes where StreamConfig.isForbiddenInName(byte) {
      throw .invalidConfig("consumer durable name can not contain '.', '*', '>', '\\', '/'")
    }
    if replicas > 1 { throw APIError(400, 10126, "consumer config replica count exceeds parent stream") }
    if replicas < 0 { throw APIError(400, 10133, "replicas count cannot be negative") }
    for wait in backoff_ns where wait < 0 { throw APIError(400, 10184, "consumer backoff needs to be positive") }
    if ackWait_ns < 0 { throw APIError(400, 10183, "consumer ack wait needs to be positive") }
    if ackPolicy == .flowControl { try checkFlowControlPolicy() }
    if maxDeliver != -1, backoff_ns.count > maxDeliver {
      throw APIError(400, 10116, "max deliver is required to be > length of backoff values")
    }
    if description.count > Limits.descriptionBytesMax {
      throw APIError(400, 10107, text: "consumer description is too long, maximum allowed is \(Limits.descriptionBytesMax)")
    }
    if isPush { try checkPush(stream) } else { try checkPull(stream) }
    try checkLimits(stream, account)
    try checkFilters()
    try checkStart()
    try checkSampling()
    if flowControl, heartbeat_ns == 0 { throw APIError(400, 10108, "consumer with flow control also needs heartbeats") }
    var size = 0
    for pair in metadata { size += pair.key.count + pair.value.count }
    if size > Limits.metadataBytesMax {
      throw APIError(400, 10135, text: "consumer metadata exceeds maximum size of \(Limits.metadataBytesMax)")
    }
    try checkPriority()
    if name.count > Limits.nameBytesMax {
      throw APIError(400, 10102, text: "consumer name is too long, maximum allowed is \(Limits.nameBytesMax)")
    }
  }

  private func checkFlowControlPolicy() throws(APIError) {
    if !isPush { throw APIError(400, 10218, "flow control ack policy requires a push based consumer") }
    if !flowControl { throw APIError(400, 10219, "flow control ack policy requires flow control") }
    if heartbeat_ns != Limits.flowControlHeartbeat_ns { throw .invalidConfig("flow control ack policy heartbeat needs to be 1s") }
    if maxAckPending <= 0 { throw APIError(400, 10220, "flow control ack policy requires max ack pending") }
    if ackWait_ns != 0 || !backoff_ns.isEmpty { throw APIError(400, 10221, "flow control ack policy requires unset ack wait") }
    if maxDeliver > 0 { throw APIError(400, 10222, "flow control ack policy requires unset max deliver") }
  }

  private func checkPush(_ stream: StreamConfig) throws(APIError) {
    if !Subject.isLiteral(deliverSubject) { throw APIError(400, 10079, "consumer deliver subject has wildcards") }
    if !Subject.isValid(deliverSubject) { throw APIError(400, 10112, "invalid push consumer deliver subject") }
    for subject in stream.subjects where Subject.isSubset(deliverSubject, of: subject) {
      throw APIError(400, 10081, "consumer deliver subject forms a cycle")
    }
    if maxWaiting != 0 { throw APIError(400, 10080, "consumer in push mode can not set max waiting") }
    if maxAckPending > 0, ackPolicy == .none {
      throw APIError(400, 10082, "consumer requires ack policy for max ack pending")
    }
    if heartbeat_ns > 0, heartbeat_ns < Limits.heartbeatMin_ns {
      throw APIError(400, 10083, "consumer idle heartbeat needs to be >= 100ms")
    }
  }

  private func checkPull(_ stream: StreamConfig) throws(APIError) {
    if ackPolicy == .none, stream.retention == .workqueue {
      throw APIError(400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream")
    }
    if direct { throw APIError(400, 10090, "consumer direct requires a push based consumer") }
    if rateLimit_bps > 0 { throw APIError(400, 10086, "consumer in pull mode can not have rate limit set") }
    if heartbeat_ns > 0 { throw APIError(400, 10088, "consumer idle heartbeat requires a push based consumer") }
    if flowControl { throw APIError(400, 10089, "consumer flow control requires a push based consumer") }
    if maxExpires_ns > 0, maxExpires_ns < Limits.maxExpiresMin_ns {
      throw APIError(400, 10115, "consumer max request expires needs to be >= 1ms")
    }
  }

  private func checkLimits(_ stream: StreamConfig, _ account: JetStreamLimits) throws(APIError) {
    let limits = stream.consumerLimits
    for limit in [account.ackPendingMax, limits.maxAckPending] where limit > 0 && maxAckPending > limit {
      throw APIError(400, 10121, text: "consumer max ack pending exceeds system limit of \(limit)")
    }
    if exceedsThreshold(limits) {
      let limit = GoDuration.format(limits.inactiveThreshold_ns).string
      throw APIError(400, 10153, text: "consumer inactive threshold exceeds system limit of " + limit)
    }
    if direct, isDurable { throw APIError(400, 10091, "consumer direct requires an ephemeral consumer") }
  }

  /// Whether it is beyond limits that its stream is to have.
  func exceeds(_ limits: StreamConfig.ConsumerLimits) -> Bool { exceedsAcks(limits) || exceedsThreshold(limits) }

  private func exceedsAcks(_ limits: StreamConfig.ConsumerLimits) -> Bool {
    limits.maxAckPending > 0 && maxAckPending > limits.maxAckPending
  }

  private func exceedsThreshold(_ limits: StreamConfig.ConsumerLimits) -> Bool {
    limits.inactiveThreshold_ns > 0 && inactiveThreshold_ns > limits.inactiveThreshold_ns
  }

  private func checkFilters() throws(APIError) {
    if !filter.isEmpty, !filterList.isEmpty {
      throw APIError(400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified")
    }
    if !filter.isEmpty, !Subject.isValid(filter) { throw .invalidConfig("invalid subject") }
    if filterList.count > StreamConfig.Limits.subjectsMax { throw .invalidConfig("more than 1000 filter subjects") }
    for (index, subject) in filterList.enumerated() {
      if subject.isEmpty { throw APIError(400, 10139, "consumer filter in FilterSubjects cannot be empty") }
      if !Subject.isValid(subject) { throw .invalidConfig("invalid subject") }
      for other in filterList[..<index] where Subject.overlap(subject, other) {
        throw APIError(400, 10138, "consumer subject filters cannot overlap")
      }
    }
  }

  private func checkStart() throws(APIError) {
    switch deliverPolicy {
    case .all:
      try refuseStart(
        sequence: "consumer delivery policy is deliver all, but optional start sequence is also set",
        time: "consumer delivery policy is deliver all, but optional start time is also set")
    case .last:
      try refuseStart(
        sequence: "consumer delivery policy is deliver last, but optional start sequence is also set",
        time: "consumer delivery policy is deliver last, but optional start time is also set")
    case .new:
      try refuseStart(
        sequence: "consumer delivery policy is deliver new, but optional start sequence is also set",
        time: "consumer delivery policy is deliver new, but optional start time is also set")
    case .lastPerSubject:
      try refuseStart(
        sequence: "consumer delivery policy is deliver last per subject, but optional start sequence is also set",
        time: "consumer delivery policy is deliver last per subject, but optional start time is also set")
      if filters.isEmpty {
        throw .consumerStart("consumer delivery policy is deliver last per subject, but optional filter subject is not set")
      }
    case .byStartSequence:
      if startSequence == 0 {
        throw .consumerStart("consumer delivery policy is deliver by start sequence, but optional start sequence is not set")
      }
      if startTime_ns != nil {
        throw .consumerStart("consumer delivery policy is deliver by start sequence, but optional start time is also set")
      }
    case .byStartTime:
      if startTime_ns == nil {
        throw .consumerStart("consumer delivery policy is deliver by start time, but optional start time is not set")
      }
      if startSequence != 0 {
        throw .consumerStart("consumer delivery policy is deliver by start time, but optional start sequence is also set")
      }
    }
  }

  private func refuseStart(sequence: StaticString, time: StaticString) throws(APIError) {
    if startSequence > 0 { throw .consumerStart(sequence) }
    if startTime_ns != nil { throw .consumerStart(time) }
  }

  private func checkSampling() throws(APIError) {
    guard !sampleFrequency.isEmpty else { return }
    let isNumber = sampleFrequency.withView { text -> Bool in
      let digits = text[text.count - 1] == UInt8(ascii: "%") ? text.prefix(text.count - 1) : text
      return digits.decimalInt() != nil
    }
    guard !isNumber else { return }
    let text = sampleFrequency.withView { $0[$0.count - 1] == UInt8(ascii: "%") ? $0.prefix($0.count - 1).string : $0.string }
    throw APIError(
      400, 10095,
      text: "failed to parse consumer sampling configuration: strconv.Atoi: parsing \"" + text + "\": invalid syntax")
  }

  private func checkPriority() throws(APIError) {
    guard priorityPolicy != .none else {
      if !priorityGroups.isEmpty { throw APIError(400, 10196, "consumer can not have priority groups when policy is none") }
      if priorityTimeout_ns > 0 { throw APIError(400, 10197, "PinnedTTL cannot be set when PriorityPolicy is none") }
      return
    }
    if isPush { throw APIError(400, 10178, "priority groups can not be used with push consumers") }
    if priorityGroups.isEmpty {
      throw APIError(400, 10159, "Setting PriorityPolicy requires at least one PriorityGroup to be set")
    }
    for group in priorityGroups {
      if group.isEmpty { throw APIError(400, 10161, "Group name cannot be an empty string") }
      if !ConsumerConfig.isGroupName(group) { throw .groupName }
    }
  }

  static func isGroupName(_ name: ByteString) -> Bool {
    name.count <= Limits.groupNameBytesMax && name.bytes.allSatisfy { isAllowedInGroup($0) }
  }

  private static func isAllowedInGroup(_ byte: UInt8) -> Bool {
    ASCII.isDigit(byte) || ASCII.isLetter(byte) || byte == ASCII.slash || byte == ASCII.minus || byte == UInt8(ascii: "_")
      || byte == UInt8(ascii: "=")
  }

  /// What an update of this configuration to `new` must not change.
  func checkUpdate(to new: ConsumerConfig) throws(APIError) {
    if deliverPolicy != new.deliverPolicy { throw .consumerUpdate("deliver policy can not be updated") }
    if startSequence != new.startSequence { throw .consumerUpdate("start sequence can not be updated") }
    if startTime_ns != new.startTime_ns { throw .consumerUpdate("start time can not be updated") }
    if ackPolicy != new.ackPolicy { throw .consumerUpdate("ack policy can not be updated") }
    if replayPolicy != new.replayPolicy { throw .consumerUpdate("replay policy can not be updated") }
    if heartbeat_ns != new.heartbeat_ns { throw .consumerUpdate("heart beats can not be updated") }
    if flowControl != new.flowControl { throw .consumerUpdate("flow control can not be updated") }
    if memoryStorage != new.memoryStorage { throw .consumerUpdate("storage type can not be updated") }
    if direct != new.direct { throw .consumerUpdate("direct can not be updated") }
    if sourcing != new.sourcing { throw .consumerUpdate("sourcing can not be updated") }
    if !isPush, new.isPush { throw .consumerUpdate("can not update pull consumer to push based") }
    if isPush, !new.isPush { throw .consumerUpdate("can not update push consumer to pull based") }
    if maxWaiting != new.maxWaiting { throw .consumerUpdate("max waiting can not be updated") }
  }
}
