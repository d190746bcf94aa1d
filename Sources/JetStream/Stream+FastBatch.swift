// Fast-ingest batches (allow_batched, section 8): each message is stored at once, acks come now and then, at the client's pace. All of a
// batch's state is in the reply subjects: `<inbox>.<batch id>.<flow>.<gap>.<sequence>.<operation>.$FI`.
import Broker
import Bytes
import JSON
import LogStore
import Platform
import Wire

/// What a reply subject says.
private struct FastReply {
  enum Operation: UInt64 { case start, append, commit, end, ping }

  var id: ByteView
  var flow: Int
  var allowsGaps: Bool
  var sequence: UInt64
  var operation: Operation

  /// Nil when it does not follow the pattern.
  init?(_ reply: ByteView) {
    var rest = reply.prefix(reply.count - 4)
    guard let last = FastReply.take(&rest)?.decimal(), let operation = Operation(rawValue: last),
      let sequence = FastReply.take(&rest)?.decimal(), sequence > 0, sequence < UInt64.max, let gap = FastReply.take(&rest),
      gap.equals("ok") || gap.equals("fail"), let flow = FastReply.take(&rest), let id = FastReply.take(&rest)
    else { return nil }
    switch operation {
    case .start: guard sequence == 1 else { return nil }
    case .append, .end: guard sequence > 1 else { return nil }
    case .commit, .ping: break
    }
    self.operation = operation
    self.sequence = sequence
    allowsGaps = gap.equals("ok")
    let wanted = flow.decimal() ?? 0
    self.flow = wanted == 0 ? 10 : Int(min(wanted, UInt64(UInt16.max)))
    self.id = id
  }

  /// The last token, which goes from `rest`; there must be another before it.
  private static func take(_ rest: inout ByteView) -> ByteView? {
    var dot = rest.count - 1
    while dot >= 0, rest[dot] != ASCII.dot { dot -= 1 }
    guard dot >= 0 else { return nil }
    let token = rest.dropFirst(dot + 1)
    rest = rest.prefix(dot)
    return token
  }
}

extension Stream {
  /// Whether a reply subject is that of a message in a fast-ingest batch.
  @inline(__always) static func isFastBatch(_ reply: ByteView) -> Bool {
    let count = reply.count
    return count > 4 && reply.base[count - 1] == UInt8(ascii: "I") && reply.base[count - 2] == UInt8(ascii: "F")
      && reply.base[count - 3] == UInt8(ascii: "$") && reply.base[count - 4] == ASCII.dot
  }

  /// Takes a message whose reply subject says that it is in a fast batch.
  func receiveInFastBatch(_ message: Message) {
    if let error = receive(message, fast: FastReply(message.reply)) { refuse(message.reply, error) }
  }

  private func receive(_ message: Message, fast: FastReply?) -> APIError? {
    if config.sealed { return .sealed }
    if config.maxMessageSize > 0, message.size > config.maxMessageSize {
      return APIError(400, 10054, "message size exceeds maximum allowed")
    }
    if !config.allowBatched { return APIError(400, 10205, "batch publish is disabled") }
    guard let fast else { return APIError(400, 10206, "batch publish pattern is invalid") }
    if fast.id.count > BatchLimits.idBytesMax { return APIError(400, 10207, "batch publish ID is invalid") }
    let batch: PublishBatch
    if let known = extras.fastBatches[fast.id] {
      batch = known
    } else {
      guard fast.sequence == 1 else { return APIError(400, 10208, "batch publish ID unknown") }
      guard extras.fastBatches.count < BatchLimits.fastPerStreamMax, engine.fastBatchCount < BatchLimits.fastTotalMax else {
        return APIError(429, 10211, "batch publish too many inflight")
      }
      batch = PublishBatch(id: ByteString(fast.id))
      extras.fastBatches.set(batch.id, batch)
      engine.fastBatchCount += 1
      batch.allowsGaps = fast.allowsGaps
      batch.everyMax = fast.flow
      batch.every = extras.fastBatches.count > 1 ? 1 : min(BatchLimits.fastFlowMax, fast.flow)
    }
    let headers = PublishHeaders(message.headers)
    if let level = headers.requiredLevel, !JetStream.isLevelSupported(level) {
      end(batch)
      return .apiLevel
    }
    engine.host.after(BatchLimits.idle_ns, batch.timer) { [unowned(unsafe) self] in end(batch) }
    let reply = ackReply(message)
    if fast.operation == .ping {
      ping(batch, fast, reply)
      return nil
    }
    guard advance(batch, fast, reply) else {
      finish(batch, reply)
      return nil
    }
    if fast.operation == .end {
      batch.sequence -= 1
      finish(batch, reply)
      return nil
    }
    let isCommit = fast.operation == .commit
    if fast.sequence == 1, !isCommit { tell(batch, 0, reply) }
    return store(message, headers, in: batch, isCommit: isCommit, reply)
  }

  /// A ping: tells again how far the batch is.
  private func ping(_ batch: PublishBatch, _ fast: FastReply, _ reply: ByteView) {
    if fast.sequence > batch.sequence {
      tellGap(expected: batch.sequence + 1, current: fast.sequence + 1, reply)
      guard batch.allowsGaps else { return finish(batch, reply) }
      batch.sequence = fast.sequence
      if tellIfDue(batch, reply) { return }
    }
    tell(batch, batch.told, reply)
  }

  /// Takes the next sequence. False when the batch ends here: there is a gap.
  private func advance(_ batch: PublishBatch, _ fast: FastReply, _ reply: ByteView) -> Bool {
    let next = batch.sequence + 1
    if fast.sequence > next {
      tellGap(expected: next, current: fast.sequence, reply)
      guard batch.allowsGaps else { return false }
    }
    guard fast.sequence >= next else { return false }
    batch.sequence = fast.sequence
    return true
  }

  private func store(
    _ message: Message, _ headers: PublishHeaders, in batch: PublishBatch, isCommit: Bool, _ reply: ByteView
  ) -> APIError? {
    let isFirst = !batch.allowsGaps && batch.sequence == 1
    var plan = PublishPlan()
    let error: APIError?
    switch check(message, headers, &plan, nil) {
    case .duplicate(let sequence):
      if isCommit, isFirst {
        end(batch)
        var body = ackBody(sequence)
        body.append(literal: ",\"duplicate\": true")
        body.append(contentsOf: Stream.batchEnd(batch.id, count: batch.sequence))
        body.append(UInt8(ascii: "}"))
        engine.answerStored(self, reply, body)
      } else if isCommit {
        finish(batch, reply)
      } else {
        tellIfDue(batch, reply)
      }
      return nil
    case .refuse(let refusal): error = refusal
    case .store:
      if headers.requiredLevel != nil, plan.headers == nil {
        plan.headers = Stream.cleaned(message.headers, without: "Nats-Required-Api-Level")
      }
      plan.isSilent = true
      error = store(message, headers, plan)
    }
    if let error {
      if isFirst {
        end(batch)
        return error
      }
      tell(error, batch.sequence, reply)
      if batch.allowsGaps, !isCommit { return nil }
      batch.sequence -= 1
      finish(batch, reply)
      return nil
    }
    batch.stored = log.lastSequence
    if isCommit { finish(batch, reply) } else { tellIfDue(batch, reply) }
    return nil
  }

  /// The batch is over: what it stored is acknowledged.
  private func finish(_ batch: PublishBatch, _ reply: ByteView) {
    end(batch)
    var body = ackBody(batch.stored)
    body.append(contentsOf: Stream.batchEnd(batch.id, count: batch.sequence))
    body.append(UInt8(ascii: "}"))
    engine.answerStored(self, reply, body)
  }

  func end(_ batch: PublishBatch) {
    engine.host.timers.cancel(batch.timer)
    if extras.fastBatches.remove(batch.id) != nil { engine.fastBatchCount -= 1 }
  }

  // MARK: Flow control

  /// Tells how far the batch is when it is time, and adapts how often that is.
  @discardableResult
  private func tellIfDue(_ batch: PublishBatch, _ reply: ByteView) -> Bool {
    let every = UInt64(batch.every)
    guard batch.sequence >= batch.told + every else { return false }
    batch.told += (batch.sequence - batch.told) / every * every
    let most = min(max(BatchLimits.fastFlowMax / max(extras.fastBatches.count, 1), 1), batch.everyMax)
    batch.every = batch.every < most ? min(batch.every * 2, most) : max(batch.every / 2, most)
    tell(batch, batch.told, reply)
    return true
  }

  private func tell(_ batch: PublishBatch, _ sequence: UInt64, _ reply: ByteView) {
    tell("ack", reply) { json in
      json.field("seq", sequence)
      json.field("msgs", batch.every)
    }
  }

  private func tellGap(expected: UInt64, current: UInt64, _ reply: ByteView) {
    tell("gap", reply) { json in
      json.field("last_seq", expected)
      json.field("seq", current)
    }
  }

  private func tell(_ error: APIError, _ sequence: UInt64, _ reply: ByteView) {
    tell("err", reply) { json in
      json.field("seq", sequence)
      error.write(to: &json)
    }
  }

  private func tell(_ type: StaticString, _ reply: ByteView, _ fields: (inout JSONWriter) -> Void) {
    var json = JSONWriter()
    json.beginObject()
    json.field("type", literal: type)
    fields(&json)
    json.endObject()
    engine.answerStored(self, reply, json.finish())
  }
}

extension Stream {
  /// Ends the batches of a stream, all or those that its configuration does not allow any more.
  func endDisallowedBatches(all: Bool = false) {
    var batches: [PublishBatch] = []
    if all || !config.allowAtomic { extras.atomicBatches.forEach { _, batch in batches.append(batch) } }
    for batch in batches { abandon(batch) }
    batches = []
    if all || !config.allowBatched { extras.fastBatches.forEach { _, batch in batches.append(batch) } }
    for batch in batches { end(batch) }
  }

  /// The stream goes: nothing of it may come any more.
  func endExtras() {
    engine.host.timers.cancel(extras.dueTimer)
    engine.host.timers.cancel(extras.overdueTimer)
    endDisallowedBatches(all: true)
  }
}
