// Publishing into a stream: the checks in the order of section 6.1, storing, and the ack.
import Broker
import Bytes
import Interest
import LogStore
import Platform
import Wire

/// The headers that matter to publishing, as views into the message.
struct PublishHeaders {
  var messageID: ByteView?
  var expectedStream: ByteView?
  var expectedLastSequence: ByteView?
  var expectedLastSubjectSequence: ByteView?
  var expectedLastSubject: ByteView?
  var expectedLastMessageID: ByteView?
  var rollup: ByteView?
  var ttl: ByteView?
  var increment: ByteView?
  var schedule: ByteView?
  var scheduler: ByteView?
  var streamSource: ByteView?
  var batchID: ByteView?
  var batchSequence: ByteView?
  var batchCommit: ByteView?
  var requiredLevel: ByteView?
  /// Some header of a schedule is there.
  var hasSchedule = false
  var hasRequestInfo = false

  /// Reads them in one pass. The first of a name counts.
  init(_ block: ByteView) {
    Headers(block).forEach { name, value in
      if name.count > 6, name.hasPrefix("Nats-") { note(name, value) }
      return true
    }
    // An empty value is no value, except where a number is expected.
    messageID = PublishHeaders.present(messageID)
    expectedStream = PublishHeaders.present(expectedStream)
    expectedLastSubject = PublishHeaders.present(expectedLastSubject)
    expectedLastMessageID = PublishHeaders.present(expectedLastMessageID)
    rollup = PublishHeaders.present(rollup)
    ttl = PublishHeaders.present(ttl)
    increment = PublishHeaders.present(increment)
    schedule = PublishHeaders.present(schedule)
    scheduler = PublishHeaders.present(scheduler)
    streamSource = PublishHeaders.present(streamSource)
    batchID = PublishHeaders.present(batchID)
    requiredLevel = PublishHeaders.present(requiredLevel)
  }

  private static func present(_ value: ByteView?) -> ByteView? {
    if let value, !value.isEmpty { return value }
    return nil
  }

  private mutating func note(_ name: ByteView, _ value: ByteView) {
    if name.equals("Nats-Msg-Id") {
      messageID = messageID ?? value
    } else if name.equals("Nats-Expected-Stream") {
      expectedStream = expectedStream ?? value
    } else if name.equals("Nats-Expected-Last-Sequence") {
      expectedLastSequence = expectedLastSequence ?? value
    } else if name.equals("Nats-Expected-Last-Subject-Sequence") {
      expectedLastSubjectSequence = expectedLastSubjectSequence ?? value
    } else if name.equals("Nats-Expected-Last-Subject-Sequence-Subject") {
      expectedLastSubject = expectedLastSubject ?? value
    } else if name.equals("Nats-Expected-Last-Msg-Id") {
      expectedLastMessageID = expectedLastMessageID ?? value
    } else if name.equals("Nats-Rollup") {
      rollup = rollup ?? value
    } else if name.equals("Nats-TTL") {
      ttl = ttl ?? value
    } else if name.equals("Nats-Incr") {
      increment = increment ?? value
    } else if name.hasPrefix("Nats-Schedule") {
      hasSchedule = true
      if name.equals("Nats-Schedule") { schedule = schedule ?? value }
      if name.equals("Nats-Scheduler") { scheduler = scheduler ?? value }
    } else if name.equals("Nats-Stream-Source") {
      streamSource = streamSource ?? value
    } else if name.equals("Nats-Batch-Id") {
      batchID = batchID ?? value
    } else if name.equals("Nats-Batch-Sequence") {
      batchSequence = batchSequence ?? value
    } else if name.equals("Nats-Batch-Commit") {
      batchCommit = batchCommit ?? value
    } else if name.equals("Nats-Required-Api-Level") {
      requiredLevel = requiredLevel ?? value
    } else if name.equals("Nats-Request-Info") {
      hasRequestInfo = true
    }
  }
}

/// What the checks decided about a message that is to be stored.
struct PublishPlan {
  /// What it removes.
  enum Rollup { case none, subject, all }

  var rollup = Rollup.none
  var id: ByteView?
  var ttl = MessageTTL.none
  /// In place of the message's own.
  var headers: [UInt8]?
  var payload: [UInt8]?
  /// When a schedule comes up first.
  var due_ns: Int64?
  /// The subject of a schedule that the message ends.
  var purges = ByteString()
  /// A counter's new value.
  var value: [UInt8]?
  /// What the ack says behind the sequence.
  var ackEnd: [UInt8] = []
  /// Whoever stores it acknowledges it.
  var isSilent = false
}

extension Stream {
  /// What the header checks found.
  enum Verdict {
    case store
    case duplicate(of: UInt64)
    case refuse(APIError)
  }

  /// Largest header block (section 6.1, 13).
  static let headerBytesMax = 65_535

  /// Takes a message of one of the stream's subjects.
  @inline(__always) func receive(_ message: borrowing Message) {
    if transform != nil { return receiveTransformed(copy message) }
    accept(message)
  }

  @inline(__always) func accept(_ message: borrowing Message) {
    if message.headers.isEmpty, !config.allowMessageCounter, !Stream.isFastBatch(message.reply) {
      if let error = store(message, headers: ByteView(), payload: message.payload, PublishPlan()) { refuse(message.reply, error) }
    } else {
      receiveWithHeaders(message)
    }
  }

  private func receiveWithHeaders(_ message: Message) {
    let headers = PublishHeaders(message.headers)
    // What comes from an origin was put together there.
    if origin == nil {
      if Stream.isFastBatch(message.reply) { return receiveInFastBatch(message) }
      if let id = headers.batchID { return receiveInBatch(message, headers, id) }
    }
    var plan = PublishPlan()
    switch origin == nil ? check(message, headers, &plan, nil) : checkOrigin(message, headers, &plan) {
    case .refuse(let error): refuse(message.reply, error)
    case .duplicate(let sequence): engine.acknowledgeDuplicate(self, sequence, reply: ackReply(message))
    case .store: if let error = store(message, headers, plan) { refuse(message.reply, error) }
    }
  }

  /// Stores a message that passed the header checks; nil when it is stored.
  func store(_ message: Message, _ headers: PublishHeaders, _ plan: PublishPlan) -> APIError? {
    var plan = plan
    if headers.hasRequestInfo || !message.headers.isEmpty && !message.headers.hasPrefix("NATS/1.0\r\n") {
      plan.headers = plan.headers ?? Stream.cleaned(message.headers)
    }
    return keep(message, plan, isChecked: false)
  }

  /// Stores a message with what its plan puts in the place of headers and payload. `isChecked`: the limits were looked at.
  func keep(_ message: Message, _ plan: PublishPlan, isChecked: Bool = true) -> APIError? {
    guard plan.headers != nil || plan.payload != nil else {
      return store(message, headers: message.headers, payload: message.payload, plan, isChecked: isChecked)
    }
    let headers = plan.headers ?? message.headers.bytes
    let payload = plan.payload ?? message.payload.bytes
    return headers.withView { headers in
      payload.withView { store(message, headers: headers, payload: $0, plan, isChecked: isChecked) }
    }
  }

  /// The header block as it is stored: without a status text, the request info and the headers called `name`.
  static func cleaned(_ block: ByteView, without name: StaticString = "Nats-Request-Info") -> [UInt8] {
    var builder = HeaderBuilder()
    Headers(block).forEach { key, value in
      if !key.equals("Nats-Request-Info"), !key.equals(name) { builder.add(key, value) }
      return true
    }
    return builder.block
  }

  /// The header block with another header at its end, in place of those with its name.
  static func adding(_ name: StaticString, _ value: ByteView, to block: ByteView) -> [UInt8] {
    var headers = cleaned(block, without: name)
    headers.removeLast(2)
    headers.append(literal: name)
    headers.append(literal: ": ")
    headers.append(value)
    headers.append(literal: "\r\n\r\n")
    return headers
  }

  /// The reply subject when the stream acknowledges.
  @inline(__always) func ackReply(_ message: borrowing Message) -> ByteView { config.noAck ? ByteView() : message.reply }

  /// Checks the headers, in the order of section 6.1; `stage` is what comes before in the same atomic batch.
  func check(_ message: Message, _ headers: PublishHeaders, _ plan: inout PublishPlan, _ stage: BatchStage?) -> Verdict {
    if config.sealed { return .refuse(.sealed) }
    if let error = checkIncrement(message.payload, headers) { return .refuse(error) }
    if let expected = headers.expectedStream, name.withView({ $0 != expected }) {
      return .refuse(APIError(400, 10060, "expected stream does not match"))
    }
    plan.ttl = headers.ttl.map { MessageTTL.parse($0) } ?? .none
    if case .valid = plan.ttl, !config.allowMessageTTL { return .refuse(APIError(400, 10166, "per-message TTL is disabled")) }
    if let error = checkSequences(message.subject, headers, stage) { return .refuse(error) }
    if headers.hasSchedule, let error = checkSchedule(message, headers, &plan, stage) { return .refuse(error) }
    if headers.streamSource != nil { return .refuse(APIError(400, 10227, "message stream source header is not allowed")) }
    if let id = headers.messageID, config.duplicateWindow_ns > 0 {
      dedupe.expire(before: engine.host.clock.monotonic_ns - config.duplicateWindow_ns)
      if let sequence = dedupe.sequence(of: id) { return .duplicate(of: sequence) }
      if let stage, stage.ids[id] != nil { return .duplicate(of: 0) }
    }
    if let expected = headers.expectedLastMessageID, lastMessageID.withView({ $0 != expected }) {
      return .refuse(APIError(400, 10070, text: "wrong last msg ID: " + lastMessageID.string))
    }
    if let value = headers.rollup {
      guard config.allowRollup, !config.denyPurge else { return .refuse(APIError(500, 10111, "rollup not permitted")) }
      if value.equalsIgnoringCase("sub") {
        if stage?.subjects[message.subject] != nil { return .refuse(APIError(500, 10111, "batch rollup sub invalid")) }
        plan.rollup = .subject
      } else if value.equalsIgnoringCase("all") {
        if stage?.count ?? 0 > 0 { return .refuse(APIError(500, 10111, "batch rollup all invalid")) }
        plan.rollup = .all
      } else {
        return .refuse(APIError(500, 10111, text: "rollup value invalid: \"" + Stream.lowercased(value) + "\""))
      }
    }
    if config.allowMessageCounter, let error = count(message.subject, message.headers, headers, &plan, stage) { return .refuse(error) }
    if plan.headers?.count ?? message.headers.count > Stream.headerBytesMax {
      return .refuse(APIError(400, 10097, "header size exceeds maximum allowed of 64k"))
    }
    if case .invalid = plan.ttl { return .refuse(APIError(400, 10165, "invalid per-message TTL")) }
    // A shorter TTL could end before that of a marker which is there already.
    if case .valid(let length_ns?) = plan.ttl, length_ns < config.subjectDeleteMarkerTTL_ns, config.maxMessagesPerSubject != 1 {
      plan.ttl = .valid(config.subjectDeleteMarkerTTL_ns - config.subjectDeleteMarkerTTL_ns % second_ns)
      var ttl_s: [UInt8] = []
      ttl_s.append(decimal: config.subjectDeleteMarkerTTL_ns / second_ns)
      plan.headers = ttl_s.withView { ttl in
        plan.headers?.withView { Stream.adding("Nats-TTL", ttl, to: $0) } ?? Stream.adding("Nats-TTL", ttl, to: message.headers)
      }
    }
    plan.id = headers.messageID
    return .store
  }

  private static func lowercased(_ text: ByteView) -> String {
    var lower = text.bytes
    for index in lower.indices { lower[index] = ASCII.lowercased(lower[index]) }
    return String(decoding: lower, as: UTF8.self)
  }

  private func checkSequences(_ subject: ByteView, _ headers: PublishHeaders, _ stage: BatchStage?) -> APIError? {
    if let expected = headers.expectedLastSubjectSequence {
      let filter = headers.expectedLastSubject ?? subject
      if stage?.subjects[filter] != nil { return APIError(400, 10164, "wrong last sequence") }
      var last: UInt64 = 0
      switch lastForCheck(matching: filter) {
      case .none: break
      case .found(let sequence): last = sequence
      // Known when it is tried again.
      case .unfinished, .failed: return .systemUnavailable
      }
      if expected.decimal() != last { return APIError(400, 10071, text: "wrong last sequence: \(last)") }
    } else if headers.expectedLastSubject != nil {
      return APIError(400, 10193, "missing sequence for expected last sequence per subject")
    }
    if let expected = headers.expectedLastSequence {
      let last = log.lastSequence + UInt64(stage?.count ?? 0)
      if expected.decimal() != last { return APIError(400, 10071, text: "wrong last sequence: \(last)") }
      if last != log.lastSequence { return APIError(400, 10164, "wrong last sequence") }
    }
    return nil
  }

  /// The discard-new limits that a message would break (section 6.1, 17).
  private func checkDiscardNew(_ subject: ByteView, size: Int, rollup: PublishPlan.Rollup, _ stage: BatchStage?) -> APIError? {
    if let stage { return checkDiscardNew(subject, size: size, rollup: rollup, in: stage) }
    if config.maxMessagesPerSubject > 0, rollup == .none, let state = subjects[subject],
      Int64(state.count) >= config.maxMessagesPerSubject
    {
      if config.discardNewPerSubject { return APIError(503, 10077, "maximum messages per subject exceeded") }
      // The oldest message of the subject gives way, so the stream gets no more messages. It may get larger.
      if config.maxBytes > 0, log.bytes + Int64(size) > config.maxBytes {
        let replaced = sizeOfFirst(subject)
        if log.bytes + Int64(size - replaced) > config.maxBytes { return APIError(503, 10077, "maximum bytes exceeded") }
      }
      return nil
    }
    if config.maxMessages > 0, Int64(log.count) >= config.maxMessages { return APIError(503, 10077, "maximum messages exceeded") }
    if config.maxBytes > 0, log.bytes + Int64(size) > config.maxBytes { return APIError(503, 10077, "maximum bytes exceeded") }
    return nil
  }

  /// The same within an atomic batch: nothing gives way.
  private func checkDiscardNew(
    _ subject: ByteView, size: Int, rollup: PublishPlan.Rollup, in stage: BatchStage
  ) -> APIError? {
    if config.maxMessages > 0, Int64(log.count + stage.count) >= config.maxMessages {
      return APIError(503, 10077, "maximum messages exceeded")
    }
    if config.maxBytes > 0, log.bytes + Int64(stage.bytes + size) > config.maxBytes {
      return APIError(503, 10077, "maximum bytes exceeded")
    }
    let count = (subjects[subject]?.count ?? 0) + (stage.subjects[subject]?.count ?? 0)
    if config.discardNewPerSubject, rollup == .none, Int64(count) >= config.maxMessagesPerSubject {
      return APIError(503, 10077, "maximum messages per subject exceeded")
    }
    return nil
  }

  /// What a message counts for in `log.bytes` (section 4.3).
  func accountedSize(_ contentSize: Int, hasHeaders: Bool) -> Int { contentSize + (isFile ? (hasHeaders ? 34 : 30) : 16) }

  /// The same of a stored message; 0 when it cannot be read.
  private func accountedSize(_ sequence: UInt64) -> Int {
    var size = 0
    log.read(sequence) { message in
      size = accountedSize(
        message.subject.count + message.headers.count + message.payload.count, hasHeaders: !message.headers.isEmpty)
    }
    return size
  }

  /// The same of a subject's first message; 0 when that is not found in the time for it.
  private func sizeOfFirst(_ subject: ByteView) -> Int {
    var left = Stream.searchMax
    return firstSequence(of: subject, left: &left).map { accountedSize($0) } ?? 0
  }

  /// How many bytes the stream's own limits free when a message of `size` bytes is stored.
  private func giveWay(_ subject: ByteView, size: Int) -> Int {
    var freed = 0
    if config.maxMessagesPerSubject > 0, let state = subjects[subject], Int64(state.count) >= config.maxMessagesPerSubject {
      freed = sizeOfFirst(subject)
    }
    guard config.discard == .old else { return freed }
    if config.maxMessages > 0, Int64(log.count) >= config.maxMessages { freed = max(freed, accountedSize(log.firstSequence)) }
    if config.maxBytes > 0 { freed = max(freed, Int(clamping: log.bytes + Int64(size) - config.maxBytes)) }
    return freed
  }

  /// The limits that a message of `size` accounted bytes may break.
  func checkLimits(
    _ subject: ByteView, contentSize: Int, size: Int, _ rollup: PublishPlan.Rollup, _ stage: BatchStage?
  ) -> APIError? {
    if config.maxMessageSize > 0, contentSize > config.maxMessageSize {
      return APIError(400, 10054, "message size exceeds maximum allowed")
    }
    if skips(subject) { return nil }
    if config.discard == .new, let error = checkDiscardNew(subject, size: size, rollup: rollup, stage) { return error }
    if !isFile, engine.options.maxMemory >= 0 {
      let use_bytes = Int64(engine.server.memoryUse.bytes + (stage?.bytes ?? 0) + size)
      if use_bytes > engine.options.maxMemory, use_bytes - Int64(giveWay(subject, size: size)) > engine.options.maxMemory {
        return .insufficientResources
      }
    }
    if !engine.hasRoom(for: (stage?.bytes ?? 0) + size, isFile: isFile) { return .accountExceeded }
    return nil
  }

  /// Whether a message of `subject` gets a sequence and is not stored: nobody wants it.
  @inline(__always) private func skips(_ subject: ByteView) -> Bool { config.retention == .interest && !hasInterest(in: subject) }

  /// Stores a message whose headers were checked, after the limits, and acknowledges it. Returns why it is not stored.
  func store(
    _ message: borrowing Message, headers: ByteView, payload: ByteView, _ plan: PublishPlan, isChecked: Bool = false
  ) -> APIError? {
    if config.sealed { return .sealed }
    let contentSize = headers.count + payload.count
    if !isChecked {
      let size = accountedSize(contentSize + message.subject.count, hasHeaders: !headers.isEmpty)
      if let error = checkLimits(message.subject, contentSize: contentSize, size: size, plan.rollup, nil) { return error }
    }
    let skips = skips(message.subject)
    var again: (subject: ByteString, last: UInt64)?
    if !skips, republisher != nil {
      switch republishTarget(message.subject) {
      case .known(let target): again = target
      case .unknown: return .systemUnavailable
      }
    }
    let sequence = origin?.ownSequence ?? log.lastSequence + 1
    let time_ns = max(origin?.time_ns ?? engine.ages.now_ns(), WaitingPull.later(log.lastTimestamp_ns, origin?.time_ns == nil ? 1 : 0))
    // A roll-up is one change with what it removes.
    let isTogether = isFile && plan.rollup != .none
    let wasTogether = isTogether && engine.store.beginTogether()
    var position: UInt64
    do throws(StoreError) {
      position =
        skips
        ? try skip(time_ns: time_ns)
        : try log.append(sequence: sequence, timestamp_ns: time_ns, subject: message.subject, headers: headers, payload: payload)
    } catch {
      if isTogether { engine.store.endTogether(wasTogether) }
      // Room is made ahead of need (`JetStream.isRoomShort`).
      if error == .full { makeRoom() }
      return engine.apiError(error)
    }
    let subjectCount = skips ? 0 : log.appendedSubjectCount
    if let id = plan.id {
      lastMessageID = ByteString(id)
      if config.duplicateWindow_ns > 0 {
        let now_ns = engine.host.clock.monotonic_ns
        if engine.server.dedupeBudget.isFull { engine.server.forgetOldIDs(now_ns) }
        dedupe.add(id, sequence: sequence, time_ns: now_ns)
      }
    } else if !lastMessageID.isEmpty {
      lastMessageID = ByteString()
    }
    if plan.rollup != .none { rollUp(plan.rollup, message.subject, before: sequence) }
    if isTogether {
      engine.store.endTogether(wasTogether)
      if position > 0 { position = engine.store.appendedPosition }
    }
    acknowledge(message, sequence, position, plan)
    if plan.ttl != .none, !skips { noteTTL(sequence, stamp_ns: time_ns, plan.ttl) }
    if let due_ns = plan.due_ns, !skips { noteSchedule(sequence, message.subject, due_ns: due_ns) }
    if !plan.purges.isEmpty { plan.purges.withView { purgeSchedule($0) } }
    if !feeds.isEmpty, origin == nil { sourceMoved() }
    enforceLimits(message.subject, subjectCount: subjectCount)
    if let again {
      let stored = LogMessage(
        sequence: sequence, timestamp_ns: time_ns, subject: message.subject, headers: headers, payload: payload)
      republish(to: again, stored, position: position)
    }
    if config.maxAge_ns > 0, !ageTimer.isScheduled { scheduleExpiry(stamp_ns: time_ns) }
    return nil
  }

  @inline(__always) private func acknowledge(_ message: borrowing Message, _ sequence: UInt64, _ position: UInt64, _ plan: PublishPlan) {
    if plan.ackEnd.isEmpty, !plan.isSilent {
      return engine.acknowledge(self, sequence: sequence, position: position, reply: ackReply(message))
    }
    engine.acknowledge(self, sequence: sequence, position: position, reply: ByteView())
    if plan.isSilent { return }
    var body = ackBody(sequence)
    body.append(contentsOf: plan.ackEnd)
    body.append(UInt8(ascii: "}"))
    engine.answerStored(self, ackReply(message), body)
  }

  /// An ack up to the sequence.
  func ackBody(_ sequence: UInt64) -> [UInt8] {
    var body = ackPrefix
    body.append(decimal: sequence)
    return body
  }

  /// Answers a publish with an error, at the end of the turn.
  func refuse(_ reply: ByteView, _ error: APIError) {
    if origin != nil { origin?.error = error }
    guard !reply.isEmpty, !config.noAck else { return }
    var body: [UInt8] = []
    body.append(literal: "{")
    body.append(contentsOf: error.json)
    body.append(literal: ",")
    body.append(contentsOf: ackPrefix.dropFirst())
    body.append(literal: "0}")
    engine.answerSoon(reply, body)
  }

  /// What every ack of the stream begins with.
  static func ackPrefix(stream: ByteString, domain: ByteString) -> [UInt8] {
    var prefix: [UInt8] = []
    prefix.append(literal: "{\"stream\":\"")
    prefix.append(stream)
    if !domain.isEmpty {
      prefix.append(literal: "\",\"domain\":\"")
      prefix.append(domain)
    }
    prefix.append(literal: "\",\"seq\":")
    return prefix
  }
}
