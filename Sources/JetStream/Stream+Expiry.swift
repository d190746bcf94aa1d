// Messages that expire one by one: by their own TTL (section 9.1, ADR-43), and by age where some never expire or a delete marker takes the
// place of a subject's last message (section 9.2). Expiry of whole fronts by age is in Stream+Removal.
import Broker
import Bytes
import Interest
import LogStore
import Platform
import Wire

extension Stream {
  /// So many messages expire in one turn of the loop; the rest follows in the next ones.
  static let expiryStepMax = 256
  /// So many messages, or bytes of them, are read for their TTLs in one turn.
  private static let readStepMax = 512
  private static let readStepBytes = 1 << 20
  /// The next turn comes after what else is due.
  static let expiryStepPause_ns = millisecond_ns

  /// Whether messages have to be looked at one by one.
  var expiresEach: Bool { config.allowMessageTTL }

  // MARK: What is due when

  /// A message was stored.
  func noteTTL(_ sequence: UInt64, stamp_ns: Int64, _ ttl: MessageTTL) {
    guard case .valid(let length_ns?) = ttl, config.allowMessageTTL else { return }
    extras.due.add(sequence, due_ns: WaitingPull.later(engine.ages.life(of: stamp_ns), length_ns))
    scheduleDue()
  }

  /// Looks at all messages again, a few in each turn: after a start, or when TTLs were allowed.
  func readTTLs() {
    extras.due.removeAll()
    extras.unread = nil
    extras.schedules.removeAll()
    guard expiresEach || config.allowSchedules, log.count > 0 else { return }
    extras.unread = log.firstSequence...log.lastSequence
    dueSoon()
  }

  /// Reads the next messages of `unread`.
  private func readSome(_ range: ClosedRange<UInt64>) {
    var left = Self.readStepMax
    var bytes = Self.readStepBytes
    extras.unread = nil
    let isComplete = log.scanHeaders(from: range.lowerBound) { message in
      guard message.sequence <= range.upperBound else { return false }
      guard left > 0, bytes > 0 else {
        extras.unread = message.sequence...range.upperBound
        return false
      }
      left -= 1
      bytes -= message.subject.count + message.headers.count + message.payload.count
      if config.allowSchedules, !message.headers.isEmpty { readSchedule(message) }
      if expiresEach, case .valid(let length_ns?) = MessageTTL.of(message.headers) {
        extras.due.add(message.sequence, due_ns: WaitingPull.later(engine.ages.life(of: message.timestamp_ns), length_ns))
      }
      return true
    }
    if !isComplete { extras.unread = range }
  }

  private func scheduleDue() {
    let next_ns = extras.due.next_ns
    guard next_ns < Int64.max, extras.unread == nil, !isDeleted else { return }
    let wait_ns = max(next_ns &- engine.ages.life_ns(), JetStream.expiryGranularity_ns) &+ millisecond_ns
    let deadline_ns = WaitingPull.later(engine.host.clock.monotonic_ns, wait_ns)
    if extras.dueTimer.isScheduled, extras.dueTimer.deadline_ns <= deadline_ns { return }
    engine.host.after(wait_ns, extras.dueTimer) { [unowned(unsafe) self] in expireDue() }
  }

  private func dueSoon(_ wait_ns: Int64 = Stream.expiryStepPause_ns) {
    guard !isDeleted else { return }
    engine.host.after(wait_ns, extras.dueTimer) { [unowned(unsafe) self] in expireDue() }
  }

  // MARK: Expiring

  private func expireDue() {
    guard expiresEach || config.allowSchedules, !isDeleted else { return }
    if let range = extras.unread {
      readSome(range)
      if extras.unread == nil { scheduleNext() }
      return extras.unread == range ? dueSoon(Stream.expiryRetry_ns) : dueSoon()
    }
    guard engine.ages.isTrusted else { return dueSoon(Stream.expiryRetry_ns) }
    let life_ns = engine.ages.life_ns()
    for _ in 0..<Self.expiryStepMax {
      if let sequence = extras.due.take(now_ns: life_ns) {
        guard expireIfDue(sequence, life_ns: life_ns) else { return dueSoon(Stream.expiryRetry_ns) }
      } else if let block = extras.due.takeBlock(now_ns: life_ns) {
        extras.unread = block
        return dueSoon()
      } else {
        return scheduleDue()
      }
    }
    dueSoon()
  }

  /// Lets one message expire if it is there and old enough. False when that could not be done now.
  private func expireIfDue(_ sequence: UInt64, life_ns: Int64) -> Bool {
    var subject = ByteString()
    var isMarker = false
    var due_ns: Int64?
    let outcome = log.read(sequence) { message in
      guard case .valid(let length_ns?) = MessageTTL.of(message.headers) else { return }
      due_ns = WaitingPull.later(engine.ages.life(of: message.timestamp_ns), length_ns)
      subject = ByteString(message.subject)
      isMarker = Stream.isMarker(message.headers)
    }
    if outcome == .failed {
      extras.due.add(sequence, due_ns: life_ns)
      return false
    }
    guard let due_ns else { return true }
    guard due_ns <= life_ns else {
      extras.due.add(sequence, due_ns: due_ns)
      return true
    }
    if subject.withView({ removeExpired(sequence, subject: $0, isMarker: isMarker) }) { return true }
    extras.due.add(sequence, due_ns: life_ns)
    return false
  }

  /// Removes an expired message, or puts a delete marker in the place of its subject's last. False when the marker could not be stored.
  private func removeExpired(_ sequence: UInt64, subject: ByteView, isMarker: Bool) -> Bool {
    guard config.subjectDeleteMarkerTTL_ns > 0, !isMarker, !config.sealed, subjects[subject]?.count == 1 else {
      removeOne(sequence)
      return true
    }
    var headers = HeaderBuilder()
    headers.add("Nats-Marker-Reason", ByteView("MaxAge"))
    let ttl_ns = config.subjectDeleteMarkerTTL_ns - config.subjectDeleteMarkerTTL_ns % second_ns
    headers.add("Nats-TTL", GoDuration.format(ttl_ns))
    headers.add("Nats-Rollup", ByteView("sub"))
    var plan = PublishPlan()
    plan.rollup = .subject
    plan.ttl = .valid(ttl_ns)
    plan.headers = headers.block
    return keep(Message(subject: subject), plan, isChecked: false) == nil
  }

  /// Whether a message says that its subject was deleted: such a one leaves no marker behind.
  static func isMarker(_ block: ByteView) -> Bool {
    let headers = Headers(block)
    if let reason = headers.value("Nats-Marker-Reason"), !reason.isEmpty { return true }
    return headers.value("KV-Operation")?.equals("PURGE") ?? false
  }

  /// Lets messages with stamps up to `limit_ns` expire by age, some in each turn.
  func expireEach(through limit_ns: Int64) {
    var doomed: [(sequence: UInt64, subject: ByteString, isMarker: Bool)] = []
    var young_ns: Int64?
    var left = Self.readStepMax
    var next = max(extras.ageFloor, log.firstSequence)
    let isComplete = log.scan(from: next) { message in
      guard message.timestamp_ns <= limit_ns else {
        young_ns = message.timestamp_ns
        return false
      }
      guard left > 0, doomed.count < Self.expiryStepMax else { return false }
      left -= 1
      next = message.sequence + 1
      if case .valid(nil) = MessageTTL.of(message.headers) { return true }
      doomed.append((message.sequence, ByteString(message.subject), Stream.isMarker(message.headers)))
      return true
    }
    for message in doomed {
      guard message.subject.withView({ removeExpired(message.sequence, subject: $0, isMarker: message.isMarker) }) else {
        extras.ageFloor = message.sequence
        return expireLater()
      }
    }
    extras.ageFloor = next
    guard isComplete else { return expireLater() }
    if let young_ns {
      scheduleExpiry(stamp_ns: young_ns)
    } else if next <= log.lastSequence {
      expireSoon()
    }
  }
}
