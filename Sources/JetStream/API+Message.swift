// $JS.API.STREAM.MSG.GET and DELETE (sections 10.1 and 10.3).
import Broker
import Bytes
import JSON

/// What MSG.GET and DIRECT.GET ask for.
struct GetRequest {
  var sequence: UInt64 = 0
  var lastBySubject = ByteString()
  var nextBySubject = ByteString()
  var startTime_ns: Int64?
  var batch = 0
  var maxBytes = 0
  var multiLast: [ByteString] = []
  var upToSequence: UInt64 = 0
  var upToTime_ns: Int64?
  var noHeaders = false

  static func decode(_ text: ByteView, strict: Bool) throws(APIError) -> GetRequest {
    var request = GetRequest()
    try ObjectDecoder.decode(text, path: "JSApiMsgGetRequest", strict: strict) { field throws(APIError) in
      if field.named("seq") {
        try field.read(&request.sequence)
      } else if field.named("last_by_subj") {
        try field.read(&request.lastBySubject)
      } else if field.named("next_by_subj") {
        try field.read(&request.nextBySubject)
      } else if field.named("start_time") {
        try field.read(time: &request.startTime_ns)
      } else if field.named("batch") {
        try field.read(&request.batch)
      } else if field.named("max_bytes") {
        try field.read(&request.maxBytes)
      } else if field.named("multi_last") {
        try field.read(&request.multiLast)
      } else if field.named("up_to_seq") {
        try field.read(&request.upToSequence)
      } else if field.named("up_to_time") {
        try field.read(time: &request.upToTime_ns)
      } else if field.named("no_hdr") {
        try field.read(&request.noHeaders)
      } else {
        return false
      }
      return true
    }
    return request
  }

  /// Whether nothing is asked for.
  var isEmpty: Bool {
    sequence == 0 && lastBySubject.isEmpty && nextBySubject.isEmpty && startTime_ns == nil && multiLast.isEmpty
  }

  /// Whether what is asked for contradicts itself.
  var isContradictory: Bool {
    (sequence > 0 && !lastBySubject.isEmpty) || (sequence > 0 && startTime_ns != nil)
      || (startTime_ns != nil && !lastBySubject.isEmpty) || (!lastBySubject.isEmpty && !nextBySubject.isEmpty)
      || (!lastBySubject.isEmpty && batch > 0) || (!multiLast.isEmpty && (!lastBySubject.isEmpty || !nextBySubject.isEmpty))
      || (upToSequence > 0 && upToTime_ns != nil)
  }
}

extension JetStream {
  func getMessage(_ request: APIRequest, _ name: ByteView) {
    let type: StaticString = "stream_msg_get"
    do throws(APIError) {
      try checkLevel(request)
      guard !request.body.isEmpty else { throw .badRequest }
      let wanted = try GetRequest.decode(request.body, strict: options.strict)
      guard let stream = table[name] else { throw .streamNotFound }
      guard !wanted.isEmpty, !wanted.isContradictory, wanted.batch == 0, wanted.maxBytes == 0, wanted.multiLast.isEmpty else {
        throw .badRequest
      }
      let kept = KeptRequest(request)
      MessageSearch.find(wanted, in: stream) { [unowned(unsafe) self] sequence in  // the engine lives as long as its host
        var response = APIResponse(type)
        do throws(APIError) {
          try write(stream, sequence, wanted, &response)
          // Not counted as an API call (section 3).
          if !kept.reply.isEmpty { account.publish(to: kept.reply, response.finish()) }
        } catch {
          response = APIResponse(type)
          response.error(error)
          answer(kept, response.finish(), failed: true)
        }
      }
    } catch { fail(request, type, error) }
  }

  private func write(_ stream: Stream, _ sequence: UInt64?, _ wanted: GetRequest, _ response: inout APIResponse) throws(APIError) {
    guard let sequence else { throw .noMessageFound }
    var json = response.json
    let outcome = stream.read(sequence) { message in
      json.beginObject("message")
      json.field("subject", message.subject)
      json.field("seq", message.sequence)
      if !message.headers.isEmpty, !wanted.noHeaders { json.field("hdrs", base64: message.headers) }
      if !message.payload.isEmpty { json.field("data", base64: message.payload) }
      json.field("time", time: message.timestamp_ns)
      json.endObject()
    }
    response.json = json
    if outcome == .none { throw .noMessageFound }
    guard outcome.isFound else { throw APIError(500, 10051, "the message cannot be read from the disk") }
  }

  func deleteMessage(_ request: APIRequest, _ name: ByteView) {
    let type: StaticString = "stream_msg_delete"
    var sequence: UInt64 = 0
    var noErase = false
    do throws(APIError) {
      try checkLevel(request)
      guard !request.isEmptyRequest else { throw .badRequest }
      try ObjectDecoder.decode(request.body, path: "JSApiMsgDeleteRequest", strict: options.strict) { field throws(APIError) in
        if field.named("seq") {
          try field.read(&sequence)
        } else if field.named("no_erase") {
          try field.read(&noErase)
        } else {
          return false
        }
        return true
      }
      guard let stream = table[name] else { throw .streamNotFound }
      if stream.config.sealed { throw .sealed }
      if stream.config.denyDelete { throw APIError(500, 10057, "message delete not permitted") }
      let kept = KeptRequest(request)
      let answer: (Bool) -> Void = { [unowned(unsafe) self] isErased in  // the engine lives as long as its host
        var response = APIResponse(type)
        if isErased {
          response.json.field("success", true)
        } else {
          response.error(APIError(500, 10057, "message deleted, but it could not be overwritten"))
        }
        answerWhenDurable(kept, response.finish())
      }
      guard noErase ? stream.removeOne(sequence) : stream.eraseOne(sequence, done: answer) else {
        if stream.isFile, sequence > stream.lastSequence { throw APIError(500, 10057, "stream store EOF") }
        if stream.isFile, sequence < stream.firstSequence { throw APIError(500, 10057, "no message found") }
        throw .sequenceNotFound(sequence)
      }
      if noErase { answer(true) }
    } catch { fail(request, type, error) }
  }
}
