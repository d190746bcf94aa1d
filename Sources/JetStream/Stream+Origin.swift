// Storing what comes from an origin: a mirror keeps sequence and time, a source's message gets its own. The way of a message is that of
// a publish (Stream+Publish); here is what is different for it.
import Broker
import Bytes
import LogStore
import Platform
import Wire

/// Sequence and time that a mirror keeps; 0 for a source.
struct OriginMessage {
  let sequence: UInt64
  let timestamp_ns: Int64
  /// The stream's last sequence before it.
  fileprivate(set) var last: UInt64 = 0
  /// Why it was not stored.
  var error: APIError?

  init(sequence: UInt64, timestamp_ns: Int64) {
    self.sequence = sequence
    self.timestamp_ns = timestamp_ns
  }

  /// What a mirror keeps of both; nil for a source.
  var ownSequence: UInt64? { sequence > 0 ? sequence : nil }
  var time_ns: Int64? { sequence > 0 ? timestamp_ns : nil }
}

extension Stream {
  enum OriginOutcome {
    case stored(UInt64)
    /// A duplicate, or nobody is interested.
    case passed
    case refused(APIError)
  }

  /// The latest time that another server's message can have: in the year 2116, far from where sums of times end.
  static let foreignStampMax_ns: Int64 = 1 << 62

  /// Takes a message of an origin.
  func take(_ message: Message, from origin: OriginMessage) -> OriginOutcome {
    guard origin.timestamp_ns <= Stream.foreignStampMax_ns else {
      return .refused(APIError(500, 10077, "message time is out of range"))
    }
    if origin.sequence > 0 {
      guard origin.sequence > log.lastSequence else { return .passed }
      if origin.sequence > log.lastSequence + 1, let error = passOver(before: origin.sequence) { return .refused(error) }
    }
    let last = log.lastSequence
    self.origin = origin
    self.origin?.last = last
    receive(message)
    let error = self.origin?.error
    self.origin = nil
    if let error { return .refused(error) }
    return log.lastSequence > last && log.contains(log.lastSequence) ? .stored(log.lastSequence) : .passed
  }

  /// The header checks that are left for a message that its origin has checked (section 18): duplicates, but not in a mirror, whose
  /// sequences are given; a rollup where this stream allows it; the size.
  func checkOrigin(_ message: Message, _ headers: PublishHeaders, _ plan: inout PublishPlan) -> Verdict {
    let isMirror = config.mirror != nil
    if !isMirror, let id = headers.messageID, config.duplicateWindow_ns > 0 {
      dedupe.expire(before: engine.host.clock.monotonic_ns - config.duplicateWindow_ns)
      if let sequence = dedupe.sequence(of: id) { return .duplicate(of: sequence) }
    }
    if message.headers.count > Stream.headerBytesMax {
      return .refuse(APIError(400, 10097, "header size exceeds maximum allowed of 64k"))
    }
    if let value = headers.rollup, config.allowRollup, !config.denyPurge {
      if value.equalsIgnoringCase("sub") { plan.rollup = .subject } else if value.equalsIgnoringCase("all") { plan.rollup = .all }
    }
    if config.allowMessageCounter, !isMirror, let error = countSourced(message, headers, &plan) { return .refuse(error) }
    if config.allowMessageTTL { plan.ttl = headers.ttl.map { MessageTTL.parse($0) } ?? .none }
    if !isMirror { plan.id = headers.messageID }
    return .store
  }

  /// Makes the log ready for a sequence that is not the next one.
  private func passOver(before sequence: UInt64) -> APIError? {
    guard sequence < StreamLog.sequenceMax else { return .insufficientResources }
    if log.count == 0 {
      log.begin(at: sequence)
    } else {
      log.skip(before: sequence)
    }
    return nil
  }

  /// The origin has nothing up to `sequence`: a mirror without messages begins behind it.
  func mirrorBegins(behind sequence: UInt64) {
    guard log.count == 0, sequence > log.lastSequence else { return }
    log.begin(at: sequence + 1)
    lastDeliverable = max(lastDeliverable, sequence)
  }
}
