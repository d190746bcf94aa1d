// What leaves a stream: limits, age and deletes. Purges are in Stream+Purge.
import Bytes
import Interest
import LogStore
import Platform

extension Stream {
  // MARK: Limits

  /// Applies the limits after a message was stored (section 6.1, end).
  @inline(__always) func enforceLimits(_ subject: ByteView, subjectCount: Int) {
    if config.maxMessagesPerSubject > 0, Int64(subjectCount) > config.maxMessagesPerSubject {
      trim(subject, to: Int(clamping: config.maxMessagesPerSubject))
    }
    // With discard new the message would have been refused: others do not give way.
    guard config.discard == .old else { return }
    if config.maxMessages > 0, Int64(log.count) > config.maxMessages {
      while Int64(log.count) > config.maxMessages, dropFirst() {}
    }
    if config.maxBytes > 0, log.bytes > config.maxBytes {
      while log.bytes > config.maxBytes, log.count > 0, dropFirst() {}
    }
  }

  /// Applies all limits, when the configuration changed.
  func enforceAllLimits() {
    if config.maxMessagesPerSubject > 0 {
      subjects.forEach(matching: ByteView(">")) { subject, state in
        if Int64(state.count) > config.maxMessagesPerSubject { extras.overdue.set(ByteString(subject), true) }
      }
      trimOverdue()
    }
    enforceTotals()
    expire()
  }

  /// Applies the limits of the whole stream, in later turns as far as it takes long.
  private func enforceTotals() {
    guard config.discard == .old, !isDeleted else { return }
    let end_ns = engine.host.clock.monotonic_ns + Stream.stepMax_ns
    while (config.maxMessages > 0 && Int64(log.count) > config.maxMessages)
      || (config.maxBytes > 0 && log.bytes > config.maxBytes)
    {
      guard dropFirst() else { return }
      guard engine.host.clock.monotonic_ns < end_ns else {
        engine.host.after(0) { [self] in enforceTotals() }
        return
      }
    }
  }

  /// So many messages are looked at for the next one of a subject, about a millisecond: where they are is known a moment later.
  static let searchMax = 4096

  /// Removes the oldest messages of a subject until `limit` are left. False when the next one was not found in the time for it.
  @discardableResult
  private func trim(_ subject: ByteView, to limit: Int) -> Bool {
    var left = Self.searchMax
    while let state = subjects[subject], state.count > limit {
      guard let first = firstSequence(of: subject, left: &left) else {
        if left > 0 { return true }  // the disk cannot be read now
        extras.overdue.set(ByteString(subject), true)
        trimLater()
        return false
      }
      guard removeOne(first) else { return true }
    }
    return true
  }

  private func trimLater() {
    guard !extras.overdueTimer.isScheduled, !isDeleted else { return }
    engine.host.after(Stream.expiryStepPause_ns, extras.overdueTimer) { [unowned(unsafe) self] in trimOverdue() }
  }

  /// Trims the subjects that are overdue, for a while, and goes on in later turns.
  private func trimOverdue() {
    guard !isDeleted, config.maxMessagesPerSubject > 0 else { return extras.overdue.removeAll() }
    let limit = Int(clamping: config.maxMessagesPerSubject)
    let end_ns = engine.host.clock.monotonic_ns + Stream.stepMax_ns
    var place = 0
    while let (subject, _) = extras.overdue.next(from: &place) {
      guard engine.host.clock.monotonic_ns < end_ns, subject.withView({ trim($0, to: limit) }) else { return trimLater() }
      extras.overdue.remove(subject)
      place -= 1  // another one may be there now
    }
    extras.overdue.removeAll()
  }

  /// Removes the first message. Returns false when nothing could be removed.
  private func dropFirst() -> Bool {
    guard log.count > 0 else { return false }
    return removeThrough(log.firstSequence) > 0
  }

  /// Gives up the part of this stream in its oldest segment, once between two commits: space comes back only when the removal and
  /// what was appended after it are on the medium.
  func makeRoom() {
    guard isFile, config.discard == .old, !madeRoom, let last = log.oldestPartLastSequence, last < log.lastSequence else { return }
    madeRoom = true
    removeThrough(min(last, log.firstSequence + Self.roomStep - 1))
  }

  /// So many sequences give way at once, more than what one commit takes and for a few milliseconds at most.
  private static let roomStep: UInt64 = 8192

  // MARK: Age

  /// So many sequences at the front expire in one turn.
  private static let expiryFrontMax: UInt64 = 4096

  /// Removes what is too old, and sees to it that the next message is looked at in time.
  func expire() {
    guard config.maxAge_ns > 0, !isDeleted else {
      engine.host.timers.cancel(ageTimer)
      return
    }
    // By a clock that was never set nothing is too old.
    guard engine.ages.isTrusted else { return expireLater() }
    guard log.count > 0 else { return }
    let limit_ns = engine.ages.stamp(ofAge: config.maxAge_ns)
    if expiresEach { return expireEach(through: limit_ns) }
    let step = log.firstSequence + Self.expiryFrontMax
    do throws(StoreError) {
      if let keep = try log.sequence(atOrAfter: WaitingPull.later(limit_ns, 1)) {
        if keep > log.firstSequence { removeThrough(min(keep, step) - 1) }
        if keep > step { return expireSoon() }
      } else if log.lastTimestamp_ns <= limit_ns {
        removeThrough(min(log.lastSequence, step - 1))
        if log.count > 0 { return expireSoon() }
      } else {
        // The young ones at the end are damaged: how much before them is old is known again when they are.
        return expireLater()
      }
    } catch {
      engine.host.log.warning("JetStream stream '\(name.string)' cannot be read now, its old messages stay for a while")
      return expireLater()
    }
    scheduleExpiry()
  }

  /// How long expiry waits when the stream could not be read or the wall clock is not trusted.
  static let expiryRetry_ns = 60 * second_ns

  func expireLater() { expire(after: Stream.expiryRetry_ns) }

  /// Goes on when others had their turn.
  func expireSoon() { expire(after: Stream.expiryStepPause_ns) }

  private func expire(after wait_ns: Int64) {
    engine.host.after(wait_ns, ageTimer) { [unowned(unsafe) self] in expire() }
  }

  /// The timer runs while there are messages that can become too old.
  func scheduleExpiry() {
    guard config.maxAge_ns > 0, log.count > 0, !isDeleted else { return }
    guard !ageTimer.isScheduled else { return }
    guard engine.ages.isTrusted else { return expireLater() }
    var stamp_ns: Int64 = 0
    _ = log.read(log.firstSequence) { stamp_ns = $0.timestamp_ns }
    scheduleExpiry(stamp_ns: stamp_ns)
  }

  /// The same for the oldest message that can expire, whose stamp is known.
  func scheduleExpiry(stamp_ns: Int64) {
    // Not more often than every few milliseconds: expiry takes many at once.
    let due_ns = WaitingPull.later(engine.ages.life(of: stamp_ns), config.maxAge_ns)
    guard due_ns < Int64.max else { return }  // an age that no message reaches
    let wait_ns = max(due_ns &- engine.ages.life_ns(), JetStream.expiryGranularity_ns)
    expire(after: WaitingPull.later(wait_ns, millisecond_ns))
  }

  // MARK: Removing

  /// Removes one message and tells consumers. Returns whether it was there.
  @discardableResult
  public func removeOne(_ sequence: UInt64) -> Bool {
    var subject = ByteString()
    if !consumers.isEmpty { _ = log.read(sequence) { message in subject = ByteString(message.subject) } }
    return removeOne(sequence, subject: subject)
  }

  /// Likewise, and overwrites it on the medium. `done` is told whether it could be written.
  func eraseOne(_ sequence: UInt64, done: @escaping (Bool) -> Void) -> Bool {
    if !feeds.isEmpty { sourcesLose(from: sequence, through: sequence) }
    var subject = ByteString()
    if !consumers.isEmpty { _ = log.read(sequence) { message in subject = ByteString(message.subject) } }
    guard log.erase(sequence, done: done) else { return false }
    subject.withView { subject in forEachConsumer { $0.messageRemoved(sequence, subject: subject) } }
    return true
  }

  /// Likewise, of a message whose subject is known.
  func removeOne(_ sequence: UInt64, subject: ByteString) -> Bool {
    if !feeds.isEmpty { sourcesLose(from: sequence, through: sequence) }
    guard log.remove(sequence) else { return false }
    subject.withView { subject in forEachConsumer { $0.messageRemoved(sequence, subject: subject) } }
    return true
  }

  /// Removes all messages up to `sequence` and tells consumers. Returns how many there were.
  @discardableResult
  public func removeThrough(_ sequence: UInt64) -> Int {
    let before = log.count
    // Consumers must not be moved past what the stream has given out: those sequences are yet to come.
    let sequence = min(sequence, log.lastSequence)
    guard before > 0, sequence >= log.firstSequence else { return 0 }
    if !feeds.isEmpty { sourcesLose(from: log.firstSequence, through: sequence) }
    log.removeThrough(sequence)
    forEachConsumer { $0.messagesRemoved(through: sequence) }
    return before - log.count
  }
}
