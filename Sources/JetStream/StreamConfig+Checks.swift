// The checks and defaults of a stream's configuration (section 4.2, numbers as there) and what an update may change (section 4.4).
import Bytes
import Interest
import JSON
import LogStore

extension StreamConfig {
  /// Limits of the server, as far as a configuration is checked against them.
  enum Limits {
    static let nameBytesMax = 255
    static let descriptionBytesMax = 4096
    static let metadataBytesMax = 128 << 10
    static let replicasMax = 5
    /// Shorter ages and windows are refused (as nats-server does).
    static let durationMin_ns: Int64 = 100_000_000
    static let duplicateWindowDefault_ns: Int64 = 120_000_000_000
    static let markerTTLMin_ns: Int64 = 1_000_000_000
    /// Each subject is compared with each other in one turn: a few milliseconds. nats-server has no limit.
    static let subjectsMax = 1000
  }

  /// Normalises the configuration and checks it in the field's order; the first failure wins.
  mutating func check(pedantic: Bool) throws(APIError) {
    try checkNames()
    if replicas > Limits.replicasMax { throw .invalidConfig(text: "maximum replicas is \(Limits.replicasMax)") }
    if replicas < 0 { throw APIError(400, 10133, "replicas count cannot be negative") }
    if replicas == 0 { replicas = 1 }
    if firstSequence >= StreamLog.sequenceMax { throw .invalidConfig("first sequence is too large") }
    try normaliseLimits(pedantic: pedantic)
    try checkTimes(pedantic: pedantic)
    if denyPurge, allowRollup { throw .invalidConfig("roll-ups require the purge permission") }
    try checkFeatures(pedantic: pedantic)
    try checkMirror()
    try checkSources()
    try checkSubjects()
    try checkTransforms(pedantic: pedantic)
    if let placement {
      if !placement.preferred.isEmpty { throw .invalidConfig("preferred server not permitted in placement") }
      if placement.isEmpty { self.placement = nil }
    }
  }

  private func checkNames() throws(APIError) {
    guard !name.isEmpty, name.bytes.allSatisfy({ !StreamConfig.isForbiddenInName($0) }) else {
      throw .invalidConfig("stream name is required and can not contain '.', '*', '>', '\\', '/'")
    }
    if name.count > Limits.nameBytesMax {
      throw .invalidConfig(text: "stream name is too long, maximum allowed is \(Limits.nameBytesMax)")
    }
    if description.count > Limits.descriptionBytesMax {
      throw .invalidConfig(text: "stream description is too long, maximum allowed is \(Limits.descriptionBytesMax)")
    }
    var size = 0
    for pair in metadata { size += pair.key.count + pair.value.count }
    if size > Limits.metadataBytesMax {
      throw .invalidConfig(text: "stream metadata exceeds maximum size of \(Limits.metadataBytesMax) bytes")
    }
  }

  static func isForbiddenInName(_ byte: UInt8) -> Bool {
    switch byte {
    case ASCII.space, ASCII.tab, ASCII.carriageReturn, ASCII.lineFeed, ASCII.formFeed, ASCII.dot, ASCII.star, ASCII.greater,
      ASCII.backslash, ASCII.slash:
      true
    default: false
    }
  }

  private mutating func normaliseLimits(pedantic: Bool) throws(APIError) {
    if pedantic {
      if maxMessages < -1 { throw .pedantic("max_msgs must be set to -1") }
      if maxMessagesPerSubject < -1 { throw .pedantic("max_msgs_per_subject must be set to -1") }
      if maxBytes < -1 { throw .pedantic("max_bytes must be set to -1") }
      if maxMessageSize < -1 { throw .pedantic("max_msg_size must be set to -1") }
      if maxConsumers < -1 { throw .pedantic("max_consumers must be set to -1") }
    }
    if maxMessages <= 0 { maxMessages = -1 }
    if maxMessagesPerSubject <= 0 { maxMessagesPerSubject = -1 }
    if maxBytes <= 0 { maxBytes = -1 }
    if maxMessageSize <= 0 { maxMessageSize = -1 }
    if maxConsumers <= 0 { maxConsumers = -1 }
  }

  private mutating func checkTimes(pedantic: Bool) throws(APIError) {
    if maxAge_ns < 0 { throw .invalidConfig("max age can not be negative") }
    if maxAge_ns > 0, maxAge_ns < Limits.durationMin_ns { throw .invalidConfig("max age needs to be >= 100ms") }
    if duplicateWindow_ns == 0, mirror == nil, sources.isEmpty {
      duplicateWindow_ns =
        maxAge_ns > 0 && maxAge_ns < Limits.duplicateWindowDefault_ns ? maxAge_ns : Limits.duplicateWindowDefault_ns
    }
    if duplicateWindow_ns < 0 { throw .invalidConfig("duplicates window can not be negative") }
    if maxAge_ns > 0, duplicateWindow_ns > maxAge_ns {
      if pedantic { throw .pedantic("duplicate window cannot be bigger than max age") }
      throw .invalidConfig("duplicates window can not be larger then max age")
    }
    if duplicateWindow_ns > 0, duplicateWindow_ns < Limits.durationMin_ns {
      throw .invalidConfig("duplicates window needs to be >= 100ms")
    }
  }

  private mutating func checkFeatures(pedantic: Bool) throws(APIError) {
    if allowMessageCounter {
      if discard == .new { throw .invalidConfig("counter stream cannot use discard new") }
      if allowMessageTTL { throw .invalidConfig("counter stream cannot use message TTLs") }
      if allowSchedules { throw .invalidConfig("counter stream cannot use message schedules") }
      if retention != .limits { throw .invalidConfig("counter stream can only use limits retention") }
    }
    if discardNewPerSubject {
      if discard != .new { throw .invalidConfig("discard new per subject requires discard new policy to be set") }
      if maxMessagesPerSubject <= 0 { throw .invalidConfig("discard new per subject requires max msgs per subject > 0") }
    }
    if subjectDeleteMarkerTTL_ns < 0 { throw .invalidConfig("subject delete marker TTL must not be negative") }
    if subjectDeleteMarkerTTL_ns > 0 {
      if subjectDeleteMarkerTTL_ns < Limits.markerTTLMin_ns {
        throw .invalidConfig("subject delete marker TTL must be at least 1 second")
      }
      if pedantic, !allowMessageTTL { throw .pedantic("subject delete marker cannot be set if message TTLs are disabled") }
      if pedantic, !allowRollup { throw .pedantic("subject delete marker cannot be set if roll-ups are disabled") }
      allowMessageTTL = true
      allowRollup = true
      denyPurge = false
    }
    if allowSchedules {
      if discard == .new { throw .invalidConfig("message scheduling cannot use discard new") }
      if pedantic, !allowRollup { throw .pedantic("message scheduling cannot be set if roll-ups are disabled") }
      allowRollup = true
      denyPurge = false
    }
    if asyncPersist {
      if storage != .file { throw .invalidConfig("async persist mode is only supported on file storage") }
      if replicas > 1 { throw .invalidConfig("async persist mode is not supported on replicated streams") }
      if allowAtomic { throw .invalidConfig("async persist mode is not supported with atomic batch publish") }
    }
  }

  private mutating func checkSubjects() throws(APIError) {
    if subjects.isEmpty, mirror == nil, sources.isEmpty { subjects = [name] }
    if subjects.count > Limits.subjectsMax { throw .invalidConfig("more than 1000 subjects") }
    for (index, subject) in subjects.enumerated() {
      guard Subject.isValid(subject) else { throw .invalidConfig("invalid subject") }
      if !noAck {
        if subject.equals(">") { throw .invalidConfig("capturing all subjects requires no-ack to be true") }
        if StreamConfig.reaches(subject, ["$JS.>", "$JSC.>", "$NRG.>"], except: "$JS.EVENT.>") {
          throw .invalidConfig("subjects that overlap with jetstream api require no-ack to be true")
        }
        if StreamConfig.reaches(subject, ["$SYS.>"], except: "$SYS.ACCOUNT.>") {
          throw .invalidConfig("subjects that overlap with system api require no-ack to be true")
        }
      }
      for earlier in subjects[..<index] where Subject.overlap(earlier, subject) {
        throw .invalidConfig(text: "subject \"" + earlier.string + "\" overlaps with \"" + subject.string + "\"")
      }
    }
  }

  private static func reaches(_ subject: ByteString, _ spaces: [ByteString], except: ByteString) -> Bool {
    if Subject.isSubset(subject, of: except) { return false }
    for space in spaces where Subject.overlap(subject, space) { return true }
    return false
  }

  /// Checks the change from `self` to `new` and fixes what follows from it.
  func checkUpdate(to new: inout StreamConfig) throws(APIError) {
    if new.name != name { throw .invalidConfig("stream configuration name must match original") }
    if let target = new.mirror, target != mirror { throw APIError(400, 10055, "stream mirror configuration can not be updated") }
    if new.storage != storage { throw .invalidConfig("stream configuration update can not change storage type") }
    if new.retention != retention, new.retention == .workqueue || retention == .workqueue {
      throw .invalidConfig("stream configuration update can not change retention policy to/from workqueue")
    }
    if sealed, !new.sealed { throw .invalidConfig("stream configuration update can not unseal a sealed stream") }
    if denyDelete, !new.denyDelete {
      throw .invalidConfig("stream configuration update can not cancel deny message deletes")
    }
    if denyPurge, !new.denyPurge { throw .invalidConfig("stream configuration update can not cancel deny purge") }
    if allowMessageTTL, !new.allowMessageTTL { throw .invalidConfig("message TTL status can not be disabled") }
    if allowMessageCounter != new.allowMessageCounter {
      throw .invalidConfig("stream configuration update can not change message counter setting")
    }
    if allowSchedules, !new.allowSchedules { throw .invalidConfig("message schedules can not be disabled") }
    if asyncPersist != new.asyncPersist { throw .invalidConfig("stream configuration update can not change persist mode") }
    if new.sealed {
      new.maxAge_ns = 0
      new.discard = .new
      new.denyDelete = true
      new.denyPurge = true
      new.allowRollup = false
    }
    if new.replicas > 1 { throw .replicas }
  }
}
