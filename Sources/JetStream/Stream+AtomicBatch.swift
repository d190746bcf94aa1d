// Atomic batch publish (allow_atomic, section 7, ADR-50): messages wait in memory until the commit, then all of them are checked and
// stored, or none. In the log they are one batch of one segment, so that this holds over a crash, too.
import Broker
import Bytes
import JSON
import LogStore
import Platform
import Wire

extension Stream {
  /// Takes a message with a batch id.
  func receiveInBatch(_ message: Message, _ headers: PublishHeaders, _ id: ByteView) {
    if let error = stage(message, headers, id) { refuse(message.reply, error) }
  }

  private func stage(_ message: Message, _ headers: PublishHeaders, _ id: ByteView) -> APIError? {
    if config.sealed { return .sealed }
    if config.maxMessageSize > 0, message.size > config.maxMessageSize {
      return APIError(400, 10054, "message size exceeds maximum allowed")
    }
    if !config.allowAtomic { return APIError(400, 10174, "atomic publish is disabled") }
    if id.count > BatchLimits.idBytesMax { return APIError(400, 10179, "atomic publish batch ID is invalid") }
    guard let sequence = headers.batchSequence.flatMap({ $0.decimal() }) else {
      return APIError(400, 10175, "atomic publish sequence is missing")
    }
    let isEnd = headers.batchCommit?.equals("eob") ?? false
    // The mark of the end is no message.
    let isTooLarge = isEnd ? sequence > UInt64(BatchLimits.atomicMessagesMax) + 1 : sequence > UInt64(BatchLimits.atomicMessagesMax)
    let batch: PublishBatch
    if let known = extras.atomicBatches[id] {
      batch = known
    } else {
      guard sequence == 1 else { return isTooLarge ? .batchTooLarge : .batchIncomplete }
      guard extras.atomicBatches.count < BatchLimits.atomicPerStreamMax, engine.atomicBatchCount < BatchLimits.atomicTotalMax else {
        return APIError(429, 10210, "atomic publish too many inflight")
      }
      batch = PublishBatch(id: ByteString(id))
      extras.atomicBatches.set(batch.id, batch)
      engine.atomicBatchCount += 1
    }
    if let commit = headers.batchCommit, !isEnd, !commit.equals("1") {
      abandon(batch)
      return APIError(400, 10200, "atomic publish batch commit is invalid")
    }
    if let level = headers.requiredLevel, !JetStream.isLevelSupported(level) {
      abandon(batch, "unsupported")
      return .apiLevel
    }
    batch.sequence += 1
    guard batch.sequence == sequence, !(isEnd && sequence == 1) else {
      abandon(batch, "incomplete")
      return .batchIncomplete
    }
    let size = message.subject.count + message.size
    if isTooLarge || engine.atomicBatchBytes + size > BatchLimits.atomicBytesMax {
      abandon(batch, "large")
      return .batchTooLarge
    }
    if !isEnd {
      let block = Stream.cleaned(message.headers, without: "Nats-Required-Api-Level")
      let staged = StagedMessage(subject: message.subject, headers: block, payload: message.payload)
      batch.messages.append(staged)
      batch.bytes += staged.size
      engine.atomicBatchBytes += staged.size
    }
    guard headers.batchCommit != nil else {
      engine.host.after(BatchLimits.idle_ns, batch.timer) { [unowned(unsafe) self] in abandon(batch, "timeout") }
      if !ackReply(message).isEmpty { engine.answerSoon(message.reply, []) }
      return nil
    }
    abandon(batch)
    return commit(batch, isMarked: !isEnd, reply: ackReply(message))
  }

  /// Forgets a batch: it was committed, or it is given up for a reason that is told to whoever listens.
  func abandon(_ batch: PublishBatch, _ reason: StaticString? = nil) {
    if let reason {
      engine.advise(
        "ADVISORY.STREAM.BATCH_ABANDONED", "advisory.v1.stream_batch_abandoned", stream: name, namesAccount: true
      ) { json in
        json.field("batch", batch.id)
        json.field("reason", literal: reason)
      }
    }
    engine.host.timers.cancel(batch.timer)
    extras.atomicBatches.remove(batch.id)
    engine.atomicBatchCount -= 1
    engine.atomicBatchBytes -= batch.bytes
  }

  /// Stores all messages of a batch. `isMarked`: its last message says that it is the last.
  private func commit(_ batch: PublishBatch, isMarked: Bool, reply: ByteView) -> APIError? {
    var plans: [PublishPlan] = []
    plans.reserveCapacity(batch.messages.count)
    let stage = BatchStage()
    var size = 0
    for staged in batch.messages {
      var plan = PublishPlan()
      var failure: APIError?
      staged.withViews { subject, headers, payload in
        failure = examine(Message(subject: subject, headers: headers, payload: payload), &plan, stage)
        size += LogStore.groupBytes(
          subject: subject.count, headers: plan.headers?.count ?? headers.count, payload: plan.payload?.count ?? payload.count)
      }
      if let failure { return failure }
      plans.append(plan)
    }
    let last = plans.count - 1
    if !isMarked {
      var block: [UInt8] = []
      batch.messages[last].withViews { _, headers, _ in
        block = (plans[last].headers ?? headers.bytes).withView { Stream.adding("Nats-Batch-Commit", ByteView("1"), to: $0) }
      }
      plans[last].headers = block
      size += block.count
    }
    if isFile {
      do throws(StoreError) { try engine.store.beginGroup(bytes: size) } catch {
        if error == .full { makeRoom() }
        return engine.apiError(error)
      }
    }
    plans[last].ackEnd = Stream.batchEnd(batch.id, count: UInt64(plans.count))
    var failure: APIError?
    for (index, staged) in batch.messages.enumerated() where failure == nil {
      staged.withViews { subject, headers, payload in
        var plan = plans[index]
        plan.id = Headers(headers).value("Nats-Msg-Id").flatMap { $0.isEmpty ? nil : $0 }
        failure = keep(
          Message(subject: subject, reply: index == last ? reply : ByteView(), headers: headers, payload: payload), plan)
      }
    }
    if isFile { engine.store.endGroup() }
    return failure
  }

  /// Checks one message of a batch as if those before it were stored.
  private func examine(_ message: Message, _ plan: inout PublishPlan, _ stage: BatchStage) -> APIError? {
    let headers = PublishHeaders(message.headers)
    if headers.expectedLastMessageID != nil {
      return APIError(400, 10177, "atomic publish unsupported header used: Nats-Expected-Last-Msg-Id")
    }
    switch check(message, headers, &plan, stage) {
    case .refuse(let error): return error
    case .duplicate: return APIError(400, 10201, "atomic publish batch contains duplicate message id")
    case .store: break
    }
    plan.id = nil  // a view that ends with this call
    let headersLength = plan.headers?.count ?? message.headers.count
    let contentSize = headersLength + (plan.payload?.count ?? message.payload.count)
    let size = accountedSize(contentSize + message.subject.count, hasHeaders: headersLength > 0)
    if let error = checkLimits(message.subject, contentSize: contentSize, size: size, plan.rollup, stage) { return error }
    if let id = headers.messageID { stage.ids.set(ByteString(id), true) }
    stage.add(message.subject, size: size, isSchedule: headers.schedule != nil, value: plan.value)
    return nil
  }

  /// What an ack says of a batch behind the sequence.
  static func batchEnd(_ id: ByteString, count: UInt64) -> [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    json.field("batch", id)
    json.field("count", count)
    json.endObject()
    var end = json.finish()
    end[0] = UInt8(ascii: ",")
    end.removeLast()
    return end
  }
}

extension APIError {
  static var batchIncomplete: APIError { APIError(400, 10176, "atomic publish batch is incomplete") }
  static var batchTooLarge: APIError { APIError(400, 10199, "atomic publish batch is too large: 1000") }
}
