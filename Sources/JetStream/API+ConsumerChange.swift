// $JS.API.CONSUMER.DELETE, PAUSE, UNPIN and RESET (section 11.5).
import Bytes
import JSON
import LogStore
import Platform

extension ConsumerEngine {
  func delete(_ request: APIRequest, _ path: ByteView) {
    let type: StaticString = "consumer_delete"
    do throws(APIError) {
      try jetStream.checkLevel(request)
      guard request.isEmptyRequest else { throw .emptyRequestExpected }
      let consumer = try find(path, request)
      delete(consumer)
      served.forgets(consumer.config.deliverSubject)
      var response = APIResponse(type)
      response.json.field("success", true)
      if consumer.isPersistent {
        jetStream.answerWhenDurable(request, response.finish())
      } else {
        jetStream.answer(request, response.finish())
      }
    } catch { jetStream.fail(request, type, error) }
  }

  func pause(_ request: APIRequest, _ path: ByteView) {
    let type: StaticString = "consumer_pause"
    var until_ns: Int64?
    do throws(APIError) {
      if request.hasJSONBody {
        let strict = jetStream.options.strict
        try ObjectDecoder.decode(request.body, path: "JSApiConsumerPauseRequest", strict: strict) { field throws(APIError) in
          guard field.named("pause_until") else { return false }
          try field.read(optionalTime: &until_ns)
          return true
        }
      }
      try jetStream.checkLevel(request)
      let consumer = try find(path, request)
      let now_ns = host.clock.wall_ns
      consumer.pause(until_ns)
      var response = APIResponse(type)
      let rest_ns = max(until_ns ?? now_ns, now_ns) - now_ns
      response.json.field("paused", rest_ns > 0)
      response.json.field("pause_until", time: until_ns)
      if rest_ns > 0 { response.json.field("pause_remaining", rest_ns) }
      jetStream.answerWhenDurable(request, response.finish())
    } catch {
      jetStream.fail(request, type, error) { json in
        json.field("paused", false)
        json.field("pause_until", time: nil)
      }
    }
  }

  func unpin(_ request: APIRequest, _ path: ByteView) {
    let type: StaticString = "consumer_unpin"
    var group = ByteString()
    do throws(APIError) {
      try jetStream.checkLevel(request)
      if request.body.isEmpty { throw .invalidJSON("unexpected end of JSON input") }
      let strict = jetStream.options.strict
      try ObjectDecoder.decode(request.body, path: "JSApiConsumerUnpinRequest", strict: strict) { field throws(APIError) in
        guard field.named("group") else { return false }
        try field.read(&group)
        return true
      }
      if group.isEmpty { throw .invalidJSON("consumer group not specified") }
      if !ConsumerConfig.isGroupName(group) { throw .groupName }
      let consumer = try find(path, request)
      if !consumer.config.priorityGroups.contains(group) {
        throw APIError(400, 10160, "Provided priority group does not exist for this consumer")
      }
      consumer.unpin(group, "admin")
      jetStream.answer(request, APIResponse(type).finish())
    } catch { jetStream.fail(request, type, error) }
  }

  func reset(_ request: APIRequest, _ path: ByteView) {
    let type: StaticString = "consumer_reset"
    // A missing consumer is silent (section 1.1).
    guard let consumer = consumer(path), !request.reply.isEmpty else { return }
    var sequence: UInt64 = 0
    do throws(APIError) {
      try jetStream.checkLevel(request)
      if !request.body.isEmpty {
        try ObjectDecoder.decode(request.body, path: "JSApiConsumerResetRequest", strict: false) { field throws(APIError) in
          guard field.named("seq") else { return false }
          try field.read(&sequence)
          return true
        }
      }
      let first = try consumer.reset(to: sequence)
      let kept = KeptRequest(request)
      consumer.whenCounted { [unowned(unsafe) self] in  // the engine lives as long as its consumers
        var response = APIResponse(type)
        consumer.writeInfo(to: &response.json, version: true)
        response.json.field("reset_seq", first)
        jetStream.answerWhenDurable(kept, response.finish())
      }
    } catch { jetStream.fail(request, type, error) { $0.field("reset_seq", 0) } }
  }
}

extension Consumer {
  /// Delivers nothing until a wall time; nil ends a pause.
  func pause(_ until_ns: Int64?) {
    let isChanged = until_ns != config.pauseUntil_ns
    config.pauseUntil_ns = until_ns
    config.stampMetadata()
    writeConfig()
    tellsPauseEnd = isPaused
    if isChanged { advisePause() }
    schedule(at: nextDue_ns)
    if !isPaused { deliverSoon() }
  }

  /// Begins again behind the ack floor (0), or at a sequence where the deliver policy allows it. Returns where.
  func reset(to sequence: UInt64) throws(APIError) -> UInt64 {
    var first = state.floor.stream + 1
    if sequence > 0 {
      switch config.deliverPolicy {
      case .all: break
      case .byStartSequence:
        if sequence < config.startSequence { throw APIError(400, 10204, "invalid reset: below start seq") }
      case .byStartTime:
        let start = try engine.jetStream.firstSequence(config, stream)
        if sequence < start { throw APIError(400, 10204, "invalid reset: below start time") }
      default: throw APIError(400, 10204, "invalid reset: not allowed")
      }
      first = min(sequence, StreamLog.sequenceMax)
    }
    state.reset(first: first)
    push.isBroken = false
    if resumeAfter > 0 { select() }
    isCounted = false
    ackDue_ns = Int64.max
    (lastDelivery_ns, lastAck_ns) = (0, 0)
    writeState()
    stream.interestLost(from: 0)
    deliverSoon()
    return first
  }
}
