// Scheduled messages (allow_msg_schedules, section 9.3, ADR-51): a message that says when and where it is to be published again. Patterns
// are in CronPattern, zones in TimeZoneRules.
import Broker
import Bytes
import Interest
import LogStore
import Platform
import Wire

/// A schedule of a stream.
struct Schedule {
  var sequence: UInt64
  /// By the clock that stamps messages.
  var due_ns: Int64
}

extension Stream {
  /// Schedules in one stream; each takes about 200 bytes of memory.
  private static let schedulesMax = 10_000
  /// So many are published in one turn.
  private static let schedulesStep = 64
  /// A schedule is not looked at more often than this.
  private static let schedulePause_ns = 250 * millisecond_ns

  // MARK: Checks

  /// Checks the headers of a schedule; the plan says what follows from them.
  func checkSchedule(_ message: Message, _ headers: PublishHeaders, _ plan: inout PublishPlan, _ stage: BatchStage?) -> APIError? {
    let block = Headers(message.headers)
    let zone = block.value("Nats-Schedule-Time-Zone")
    if headers.schedule != nil, !config.allowSchedules { return .schedulesDisabled }
    if headers.schedule != nil || zone != nil {
      let error = checkPattern(message.subject, block, headers, zone, &plan)
      if let error { return config.allowSchedules ? error : .schedulesDisabled }
    }
    if let next = block.value("Nats-Schedule-Next"), !next.isEmpty {
      guard next.equals("purge"), let scheduler = headers.scheduler, scheduler != message.subject, Subject.isValidToPublish(scheduler)
      else { return .schedulerInvalid }
      if !config.allowSchedules { return .schedulesDisabled }
      var isSchedule = true
      if let staged = stage?.subjects[scheduler] {
        isSchedule = staged.isSchedule
      } else {
        switch lastForCheck(of: scheduler) {
        case .found(let last): log.read(last) { isSchedule = Headers($0.headers).value("Nats-Schedule").map { !$0.isEmpty } ?? false }
        case .none: break
        case .unfinished, .failed: return .systemUnavailable
        }
      }
      if !isSchedule { return .schedulerInvalid }
      plan.purges = ByteString(scheduler)
    } else if headers.scheduler != nil {
      return .schedulerInvalid
    }
    return nil
  }

  private func checkPattern(
    _ subject: ByteView, _ block: Headers, _ headers: PublishHeaders, _ zone: ByteView?, _ plan: inout PublishPlan
  ) -> APIError? {
    var rules: TimeZoneRules?
    if let zone {
      rules = TimeZoneRules(zone, disk: engine.host.disk)
      if rules == nil { return APIError(400, 10223, "message schedules time zone is invalid") }
    }
    guard let text = headers.schedule else { return nil }
    let now_ns = engine.ages.now_ns()
    guard let pattern = SchedulePattern(text, hasZone: zone != nil), let due_ns = pattern.next(after: now_ns, now_ns: now_ns, zone: rules)
    else { return APIError(400, 10189, "message schedules pattern is invalid") }
    let ttl = block.value("Nats-Schedule-TTL").map { MessageTTL.parse($0) } ?? .none
    if ttl == .invalid { return APIError(400, 10191, "message schedules invalid per-message TTL") }
    if let rollup = block.value("Nats-Schedule-Rollup"), !rollup.isEmpty, !rollup.equals("sub") { return .scheduleRollup }
    if ttl != .none, !config.allowMessageTTL { return APIError(400, 10166, "per-message TTL is disabled") }
    guard let target = block.value("Nats-Schedule-Target"), Subject.isValidToPublish(target), target != subject, takes(target) else {
      return APIError(400, 10190, "message schedules target is invalid")
    }
    if let source = block.value("Nats-Schedule-Source"), !source.isEmpty {
      guard source != target, source != subject, Subject.isValidToPublish(source), takes(source) else {
        return APIError(400, 10203, "message schedules source is invalid")
      }
    }
    if let rollup = headers.rollup {
      if !rollup.equalsIgnoringCase("sub") { return .scheduleRollup }
    } else {
      plan.headers = Stream.adding("Nats-Rollup", ByteView("sub"), to: block.block)
      plan.rollup = .subject
    }
    let isKnown = extras.schedules[subject] != nil
    if !isKnown, extras.schedules.count >= Self.schedulesMax { return .insufficientResources }
    plan.due_ns = due_ns
    return nil
  }

  /// Whether a literal subject is one of the stream's.
  private func takes(_ subject: ByteView) -> Bool {
    for own in config.subjects where Subject.matches(subject, own) { return true }
    return false
  }

  // MARK: Keeping them

  private func firedKey(_ subject: ByteView) -> ByteString {
    ByteString("schedule/") + engine.account.name + ByteString("/") + name + ByteString("/") + ByteString(subject)
  }

  /// A schedule was stored.
  func noteSchedule(_ sequence: UInt64, _ subject: ByteView, due_ns: Int64) {
    if isFile { engine.store.removeMetadata(firedKey(subject)) }
    extras.schedules.set(ByteString(subject), Schedule(sequence: sequence, due_ns: due_ns))
    scheduleNext(due_ns)
  }

  /// A message was found after a start.
  func readSchedule(_ message: LogMessage) {
    let block = Headers(message.headers)
    guard let text = block.value("Nats-Schedule"), !text.isEmpty, let pattern = SchedulePattern(text, hasZone: false) else { return }
    let zone = block.value("Nats-Schedule-Time-Zone").flatMap { TimeZoneRules($0, disk: engine.host.disk) }
    // What was missed meanwhile comes up once, at once.
    var due_ns = pattern.next(after: message.timestamp_ns, now_ns: message.timestamp_ns, zone: zone)
    if let record = engine.store.metadata[firedKey(message.subject)], let kept = record.withView({ $0.decimal() }) {
      due_ns = max(Int64(clamping: kept), due_ns ?? 0)
    }
    guard let due_ns, extras.schedules.count < Self.schedulesMax else { return }
    extras.schedules.set(ByteString(message.subject), Schedule(sequence: message.sequence, due_ns: due_ns))
  }

  /// Sees to it that what is due first comes up in time.
  func scheduleNext(_ due_ns: Int64? = nil) {
    guard config.allowSchedules, !isDeleted, extras.unread == nil else { return }
    var next_ns = due_ns ?? Int64.max
    if due_ns == nil { extras.schedules.forEach { _, schedule in next_ns = min(next_ns, schedule.due_ns) } }
    guard next_ns < Int64.max else { return }
    var wait_ns = max(next_ns &- engine.ages.now_ns(), Self.schedulePause_ns)
    if !engine.ages.isTrusted { wait_ns = min(wait_ns, JetStream.untrustedWait_ns) }
    wait_ns = WaitingPull.later(wait_ns, millisecond_ns)
    let deadline_ns = WaitingPull.later(engine.host.clock.monotonic_ns, wait_ns)
    if extras.scheduleTimer.isScheduled, extras.scheduleTimer.deadline_ns <= deadline_ns { return }
    engine.host.after(wait_ns, extras.scheduleTimer) { [unowned(unsafe) self] in publishDue() }
  }

  /// The wall clock was set: schedules and pauses end by what it says now.
  func clockJumped() {
    engine.host.timers.cancel(extras.scheduleTimer)
    scheduleNext()
    forEachConsumer { $0.clockJumped() }
  }

  // MARK: Publishing

  private func publishDue() {
    guard config.allowSchedules, !isDeleted, !config.sealed else { return }
    let now_ns = engine.ages.now_ns()
    var due: [(subject: ByteString, schedule: Schedule)] = []
    extras.schedules.forEach { subject, schedule in if schedule.due_ns <= now_ns { due.append((subject, schedule)) } }
    due.order { $0.schedule.sequence < $1.schedule.sequence }
    for (subject, schedule) in due.prefix(Self.schedulesStep) { subject.withView { publish($0, schedule, now_ns) } }
    scheduleNext()
  }

  private func forget(_ subject: ByteView) {
    extras.schedules.remove(subject)
    if isFile { engine.store.removeMetadata(firedKey(subject)) }
  }

  /// Publishes what a schedule says and finds when it comes up again.
  private func publish(_ subject: ByteView, _ schedule: Schedule, _ now_ns: Int64) {
    var target = ByteString()
    var source = ByteString()
    var plan = PublishPlan()
    var next_ns: Int64?
    var isRepeated = false
    var added = HeaderBuilder()
    let outcome = log.read(schedule.sequence) { message in
      let block = Headers(message.headers)
      guard message.subject == subject, let text = block.value("Nats-Schedule"), !text.isEmpty else { return }
      let zoneName = block.value("Nats-Schedule-Time-Zone")
      let zone = zoneName.flatMap { TimeZoneRules($0, disk: engine.host.disk) }
      guard let pattern = SchedulePattern(text, hasZone: zoneName != nil), zoneName == nil || zone != nil else { return }
      isRepeated = pattern.repeats
      next_ns = pattern.next(after: schedule.due_ns, now_ns: now_ns, zone: zone)
      target = block.value("Nats-Schedule-Target").map { ByteString($0) } ?? ByteString()
      source = block.value("Nats-Schedule-Source").map { ByteString($0) } ?? ByteString()
      if let ttl = block.value("Nats-Schedule-TTL"), !ttl.isEmpty { added.add("Nats-TTL", ttl) }
      if let rollup = block.value("Nats-Schedule-Rollup"), !rollup.isEmpty { added.add("Nats-Rollup", rollup) }
      plan.headers = message.headers.bytes
      plan.payload = message.payload.bytes
    }
    if outcome == .failed {
      return extras.schedules.set(ByteString(subject), Schedule(sequence: schedule.sequence, due_ns: now_ns + second_ns))
    }
    guard let next_ns, !target.isEmpty else { return forget(subject) }
    if !source.isEmpty {
      switch source.withView({ lastForCheck(of: $0) }) {
      case .found(let last):
        log.read(last) { message in
          plan.headers = message.headers.bytes
          plan.payload = message.payload.bytes
        }
      case .none: break
      case .unfinished, .failed:
        return extras.schedules.set(ByteString(subject), Schedule(sequence: schedule.sequence, due_ns: now_ns + second_ns))
      }
    }
    let head = scheduledHeaders(plan.headers ?? [], subject, isRepeated ? RFC3339.format(next_ns) : "purge", added)
    plan.headers = head
    plan.ttl = head.withView { MessageTTL.of($0) }
    plan.rollup = head.withView { Headers($0).value("Nats-Rollup") } == nil ? .none : .subject
    guard target.withView({ keep(Message(subject: $0), plan, isChecked: false) }) == nil else {
      return extras.schedules.set(ByteString(subject), Schedule(sequence: schedule.sequence, due_ns: now_ns + 10 * second_ns))
    }
    guard isRepeated else {
      forget(subject)
      removeOne(schedule.sequence)
      return
    }
    extras.schedules.set(ByteString(subject), Schedule(sequence: schedule.sequence, due_ns: next_ns))
    var kept: [UInt8] = []
    kept.append(decimal: next_ns)
    if isFile { engine.store.setMetadata(firedKey(subject), kept) }
  }

  /// The headers of a message that a schedule publishes: those of the message, without what speaks to the server.
  private func scheduledHeaders(_ block: [UInt8], _ scheduler: ByteView, _ next: ByteString, _ added: HeaderBuilder) -> [UInt8] {
    var builder = HeaderBuilder()
    block.withView { block in
      Headers(block).forEach { name, value in
        if !name.hasPrefix("Nats-Schedule"), !name.hasPrefix("Nats-Expected-"), !name.equals("Nats-Msg-Id"), !name.equals("Nats-TTL"),
          !name.equals("Nats-Rollup")
        {
          builder.add(name, value)
        }
        return true
      }
    }
    builder.add("Nats-Scheduler", scheduler)
    builder.add("Nats-Schedule-Next", next)
    added.block.withView { block in
      Headers(block).forEach { name, value in
        builder.add(name, value)
        return true
      }
    }
    return builder.block
  }

  /// Removes all messages of a subject, when a client ends its schedule.
  func purgeSchedule(_ subject: ByteView) {
    purge(filter: subject, below: 0, keep: 0) { _ in }
    forget(subject)
  }

  /// The stream is gone, or schedules are.
  func forgetSchedules() {
    engine.host.timers.cancel(extras.scheduleTimer)
    extras.schedules.removeAll()
    guard isFile else { return }
    let prefix = firedKey(ByteView())
    var keys: [ByteString] = []
    engine.store.metadata.forEach { key, _ in
      if key.withView({ key in prefix.withView { key.hasPrefix($0) } }) { keys.append(key) }
    }
    for key in keys { engine.store.removeMetadata(key) }
  }
}

extension APIError {
  fileprivate static var schedulesDisabled: APIError { APIError(400, 10188, "message schedules is disabled") }
  fileprivate static var schedulerInvalid: APIError { APIError(400, 10212, "message schedules invalid scheduler") }
  fileprivate static var scheduleRollup: APIError { APIError(400, 10192, "message schedules invalid rollup") }
}

extension JetStream {
  /// Drops what is kept of schedules and roll-ups whose stream is gone.
  func dropOrphanedNotes() {
    dropOrphanedNotes(ByteString("schedule/") + account.name + ByteString("/"))
    dropOrphanedNotes(ByteString("rollup/") + account.name + ByteString("/"))
  }

  private func dropOrphanedNotes(_ prefix: ByteString) {
    for key in store.metadata.keys.ordered() {
      let isOrphan = key.withView { key in
        prefix.withView { prefix in
          guard key.hasPrefix(prefix) else { return false }
          let rest = key.dropFirst(prefix.count)
          return table[rest.prefix(rest.firstIndex(of: ASCII.slash) ?? rest.count)] == nil
        }
      }
      if isOrphan { store.removeMetadata(key) }
    }
  }
}
