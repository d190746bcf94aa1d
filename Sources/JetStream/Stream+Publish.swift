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
  var requiredLevel: ByteView?
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
    } else if name.equals("Nats-Schedule") {
      schedule = schedule ?? value
    } else if name.equals("Nats-Scheduler") {
      scheduler = scheduler ?? value
    } else if name.equals("Nats-Stream-Source") {
      streamSource = streamSource ?? value
    } else if name.equals("Nats-Batch-Id") {
      batchID = batchID ?? value
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
  /// In place of the message's own headers.
  var headers: [UInt8]?
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
    if message.headers.isEmpty {
      store(message, headers: ByteView(), PublishPlan())
    } else {
      receiveWithHeaders(message)
    }
  }

  private func receiveWithHeaders(_ message: Message) {
    let headers = PublishHeaders(message.headers)
    var plan = PublishPlan()
    switch origin == nil ? check(message, headers, &plan) : checkOrigin(message, headers, &plan) {
    case .refuse(let error): refuse(message.reply, error)
    case .duplicate(let sequence): engine.acknowledgeDuplicate(self, sequence, reply: ackReply(message))
    case .store:
      if headers.hasRequestInfo || !message.headers.hasPrefix("NATS/1.0\r\n"), plan.headers == nil {
        plan.headers = Stream.cleaned(message.headers)
      }
      if let rewritten = plan.headers {
        _ = rewritten.withView { store(message, headers: $0, plan) }
      } else {
        store(message, headers: message.headers, plan)
      }
    }
  }

  /// The header block as it is stored: without a status text and without the request info.
  private static func cleaned(_ block: ByteView) -> [UInt8] {
    var builder = HeaderBuilder()
    Headers(block).forEach { name, value in
      if !name.equals("Nats-Request-Info") { builder.add(name, value) }
      return true
    }
    return builder.block
  }

  /// The reply subject when the stream acknowledges.
  @inline(__always) private func ackReply(_ message: borrowing Message) -> ByteView { config.noAck ? ByteView() : message.reply }

  private func check(_ message: borrowing Message, _ headers: PublishHeaders, _ plan: inout PublishPlan) -> Verdict {
    if config.sealed { return .refuse(.sealed) }
    if let level = headers.requiredLevel, !JetStream.isLevelSupported(level) { return .refuse(.apiLevel) }
    if let increment = headers.increment {
      return .refuse(
        Stream.isIncrement(increment)
          ? APIError(400, 10168, "message counters is disabled") : APIError(400, 10171, "message counter increment is invalid"))
    }
    if let expected = headers.expectedStream, name.withView({ $0 != expected }) {
      return .refuse(APIError(400, 10060, "expected stream does not match"))
    }
    if headers.batchID != nil { return .refuse(APIError(400, 10174, "atomic publish is disabled")) }
    plan.ttl = headers.ttl.map { MessageTTL.parse($0) } ?? .none
    if case .valid = plan.ttl, !config.allowMessageTTL { return .refuse(APIError(400, 10166, "per-message TTL is disabled")) }
    if let error = checkSequences(message.subject, headers) { return .refuse(error) }
    if headers.schedule != nil { return .refuse(APIError(400, 10188, "message schedules is disabled")) }
    if headers.scheduler != nil { return .refuse(APIError(400, 10212, "message schedules invalid scheduler")) }
    if headers.streamSource != nil { return .refuse(APIError(400, 10227, "message stream source header is not allowed")) }
    if let id = headers.messageID, config.duplicateWindow_ns > 0 {
      dedupe.expire(before: engine.host.clock.monotonic_ns - config.duplicateWindow_ns)
      if let sequence = dedupe.sequence(of: id) { return .duplicate(of: sequence) }
    }
    if let expected = headers.expectedLastMessageID, lastMessageID.withView({ $0 != expected }) {
      return .refuse(APIError(400, 10070, text: "wrong last msg ID: " + lastMessageID.string))
    }
    if let value = headers.rollup {
      guard config.allowRollup, !config.denyPurge else { return .refuse(APIError(500, 10111, "rollup not permitted")) }
      if value.equalsIgnoringCase("sub") {
        plan.rollup = .subject
      } else if value.equalsIgnoringCase("all") {
        plan.rollup = .all
      } else {
        return .refuse(APIError(500, 10111, text: "rollup value invalid: \"" + Stream.lowercased(value) + "\""))
      }
    }
    if message.headers.count > Stream.headerBytesMax {
      return .refuse(APIError(400, 10097, "header size exceeds maximum allowed of 64k"))
    }
    if case .invalid = plan.ttl { return .refuse(APIError(400, 10165, "invalid per-message TTL")) }
    // A shorter TTL could end before that of a marker which is there already.
    if case .valid(let length_ns?) = plan.ttl, length_ns < config.subjectDeleteMarkerTTL_ns, config.maxMessagesPerSubject != 1 {
      plan.ttl = .valid(config.subjectDeleteMarkerTTL_ns - config.subjectDeleteMarkerTTL_ns % second_ns)
      plan.headers = Stream.withTTL(message.headers, config.subjectDeleteMarkerTTL_ns / second_ns)
    }
    plan.id = headers.messageID
    return .store
  }

  /// The header block with another TTL, at its end.
  private static func withTTL(_ block: ByteView, _ ttl_s: Int64) -> [UInt8] {
    var builder = HeaderBuilder()
    Headers(block).forEach { name, value in
      if !name.equals("Nats-Request-Info"), !name.equals("Nats-TTL") { builder.add(name, value) }
      return true
    }
    builder.add("Nats-TTL", decimal: ttl_s)
    return builder.block
  }

  private static func lowercased(_ text: ByteView) -> String {
    var lower = text.bytes
    for index in lower.indices { lower[index] = ASCII.lowercased(lower[index]) }
    return String(decoding: lower, as: UTF8.self)
  }

  /// Whether a counter's increment is one: a decimal number of any size with an optional sign.
  private static func isIncrement(_ text: ByteView) -> Bool {
    let signed = !text.isEmpty && (text[0] == ASCII.plus || text[0] == ASCII.minus)
    let digits = signed ? text.dropFirst(1) : text
    return !digits.isEmpty && digits.bytes.allSatisfy { ASCII.isDigit($0) }
  }

  private func checkSequences(_ subject: ByteView, _ headers: PublishHeaders) -> APIError? {
    if let expected = headers.expectedLastSubjectSequence {
      let last = lastSequence(matching: headers.expectedLastSubject ?? subject) ?? 0
      if expected.decimal() != last { return APIError(400, 10071, text: "wrong last sequence: \(last)") }
    } else if headers.expectedLastSubject != nil {
      return APIError(400, 10193, "missing sequence for expected last sequence per subject")
    }
    if let expected = headers.expectedLastSequence, expected.decimal() != log.lastSequence {
      return APIError(400, 10071, text: "wrong last sequence: \(log.lastSequence)")
    }
    return nil
  }

  /// The discard-new limits that a message would break (section 6.1, 17).
  private func checkDiscardNew(_ message: borrowing Message, size: Int, rollup: PublishPlan.Rollup) -> APIError? {
    if config.maxMessagesPerSubject > 0, rollup == .none, let state = subjects[message.subject],
      Int64(state.count) >= config.maxMessagesPerSubject
    {
      if config.discardNewPerSubject { return APIError(503, 10077, "maximum messages per subject exceeded") }
      // The oldest message of the subject gives way, so the stream gets no more messages. It may get larger.
      if config.maxBytes > 0, Int64(log.bytes + size) > config.maxBytes {
        let replaced = firstSequence(of: message.subject).map { accountedSize($0) } ?? 0
        if Int64(log.bytes + size - replaced) > config.maxBytes { return APIError(503, 10077, "maximum bytes exceeded") }
      }
      return nil
    }
    if config.maxMessages > 0, Int64(log.count) >= config.maxMessages { return APIError(503, 10077, "maximum messages exceeded") }
    if config.maxBytes > 0, Int64(log.bytes + size) > config.maxBytes { return APIError(503, 10077, "maximum bytes exceeded") }
    return nil
  }

  /// What a message counts for in `log.bytes` (section 4.3).
  private func accountedSize(_ contentSize: Int, hasHeaders: Bool) -> Int { contentSize + (isFile ? (hasHeaders ? 34 : 30) : 16) }

  /// The same of a stored message; 0 when it cannot be read.
  private func accountedSize(_ sequence: UInt64) -> Int {
    var size = 0
    log.read(sequence) { message in
      size = accountedSize(
        message.subject.count + message.headers.count + message.payload.count, hasHeaders: !message.headers.isEmpty)
    }
    return size
  }

  /// How many bytes the stream's own limits free when a message of `size` bytes is stored.
  private func giveWay(_ subject: ByteView, size: Int) -> Int {
    var freed = 0
    if config.maxMessagesPerSubject > 0, let state = subjects[subject], Int64(state.count) >= config.maxMessagesPerSubject {
      freed = firstSequence(of: subject).map { accountedSize($0) } ?? 0
    }
    guard config.discard == .old else { return freed }
    if config.maxMessages > 0, Int64(log.count) >= config.maxMessages { freed = max(freed, accountedSize(log.firstSequence)) }
    if config.maxBytes > 0 { freed = max(freed, Int(clamping: Int64(log.bytes + size) - config.maxBytes)) }
    return freed
  }

  /// Stores a message whose headers were checked, after the limits; answers. Returns whether it is stored.
  @discardableResult
  func store(_ message: borrowing Message, headers: ByteView, _ plan: PublishPlan) -> Bool {
    if config.sealed { return refuse(message.reply, .sealed) }
    if Stream.isFastBatch(message.reply) { return refuse(message.reply, APIError(400, 10205, "batch publish is disabled")) }
    let contentSize = headers.count + message.payload.count
    if config.maxMessageSize > 0, contentSize > config.maxMessageSize {
      return refuse(message.reply, APIError(400, 10054, "message size exceeds maximum allowed"))
    }
    var skips = false
    if config.retention == .interest { skips = !hasInterest(in: message.subject) }
    if config.discard == .new, !skips {
      let size = accountedSize(contentSize + message.subject.count, hasHeaders: !headers.isEmpty)
      if let error = checkDiscardNew(message, size: size, rollup: plan.rollup) { return refuse(message.reply, error) }
    }
    if !isFile, engine.options.maxMemory >= 0 {
      let size = accountedSize(contentSize + message.subject.count, hasHeaders: !headers.isEmpty)
      let use_bytes = Int64(engine.memoryUse.bytes + size)
      if use_bytes > engine.options.maxMemory, use_bytes - Int64(giveWay(message.subject, size: size)) > engine.options.maxMemory {
        return refuse(message.reply, .insufficientResources)
      }
    }
    let again = skips ? nil : republishTarget(message.subject)
    let sequence = origin?.ownSequence ?? log.lastSequence + 1
    let time_ns = max(origin?.time_ns ?? engine.ages.now_ns(), log.lastTimestamp_ns + (origin?.time_ns == nil ? 1 : 0))
    let stored =
      skips
      ? skip(time_ns: time_ns, reply: message.reply)
      : append(
        sequence: sequence, time_ns: time_ns, subject: message.subject, headers: headers, payload: message.payload, reply: message.reply)
    guard let position = stored else { return false }
    let subjectCount = skips ? 0 : log.appendedSubjectCount
    if let id = plan.id {
      lastMessageID = ByteString(id)
      if config.duplicateWindow_ns > 0 { dedupe.add(id, sequence: sequence, time_ns: engine.host.clock.monotonic_ns) }
    } else if !lastMessageID.isEmpty {
      lastMessageID = ByteString()
    }
    engine.acknowledge(self, sequence: sequence, position: position, reply: ackReply(message))
    switch plan.rollup {
    case .none: break
    case .subject: rollUp(message.subject, before: sequence)
    case .all: if sequence > 1 { removeThrough(sequence - 1) }
    }
    if plan.ttl != .none, !skips { noteTTL(sequence, stamp_ns: time_ns, plan.ttl) }
    enforceLimits(message.subject, subjectCount: subjectCount)
    if let again {
      let stored = LogMessage(
        sequence: sequence, timestamp_ns: time_ns, subject: message.subject, headers: headers, payload: message.payload)
      republish(to: again, stored, position: position)
    }
    if config.maxAge_ns > 0, !ageTimer.isScheduled { scheduleExpiry(stamp_ns: time_ns) }
    return true
  }

  /// Appends; answers and returns nil when it cannot be stored. Room is made ahead of need (`JetStream.isRoomShort`).
  func append(
    sequence: UInt64, time_ns: Int64, subject: ByteView, headers: ByteView, payload: ByteView, reply: ByteView
  ) -> UInt64? {
    do throws(StoreError) {
      return try log.append(sequence: sequence, timestamp_ns: time_ns, subject: subject, headers: headers, payload: payload)
    } catch {
      if error == .full { makeRoom() }
      refuse(reply, engine.apiError(error))
    }
    return nil
  }

  private func rollUp(_ subject: ByteView, before sequence: UInt64) {
    while let first = firstSequence(of: subject), first < sequence, removeOne(first) {}
  }

  /// Whether a reply subject is that of a message in a fast-ingest batch (section 8).
  @inline(__always) private static func isFastBatch(_ reply: ByteView) -> Bool {
    let count = reply.count
    return count > 4 && reply.base[count - 1] == UInt8(ascii: "I") && reply.base[count - 2] == UInt8(ascii: "F")
      && reply.base[count - 3] == UInt8(ascii: "$") && reply.base[count - 4] == ASCII.dot
  }

  /// Answers a publish with an error, at the end of the turn. Returns false, for the message that is not stored.
  @discardableResult
  func refuse(_ reply: ByteView, _ error: APIError) -> Bool {
    if origin != nil { origin?.error = error }
    guard !reply.isEmpty, !config.noAck else { return false }
    var body: [UInt8] = []
    body.append(literal: "{")
    body.append(contentsOf: error.json)
    body.append(literal: ",")
    body.append(contentsOf: ackPrefix.dropFirst())
    body.append(literal: "0}")
    engine.answerSoon(reply, body)
    return false
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
