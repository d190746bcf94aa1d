// $JS.API.STREAM.DELETE and PURGE (section 5).
import Bytes
import JSON
import LogStore

extension JetStream {
  func deleteStream(_ request: APIRequest, _ name: ByteView) {
    let type: StaticString = "stream_delete"
    do throws(APIError) {
      try checkLevel(request)
      guard request.isEmptyRequest else { throw .emptyRequestExpected }
      guard let stream = table[name] else { throw .streamNotFound }
      delete(stream)
      var response = APIResponse(type)
      response.json.field("success", true)
      answerWhenDurable(request, response.finish())
    } catch { fail(request, type, error) }
  }

  func purgeStream(_ request: APIRequest, _ name: ByteView) {
    let type: StaticString = "stream_purge"
    var filter = ByteString()
    var sequence: UInt64 = 0
    var keep: UInt64 = 0
    do throws(APIError) {
      try checkLevel(request)
      if request.hasJSONBody {
        try ObjectDecoder.decode(request.body, path: "JSApiStreamPurgeRequest", strict: options.strict) { field throws(APIError) in
          if field.named("seq") {
            try field.read(&sequence)
          } else if field.named("filter") {
            try field.read(&filter)
          } else if field.named("keep") {
            try field.read(&keep)
          } else {
            return false
          }
          return true
        }
        if sequence > 0, keep > 0 { throw .badRequest }
      }
      guard let stream = table[name] else { throw .streamNotFound }
      if stream.config.sealed { throw .sealed }
      if stream.config.denyPurge { throw APIError(500, 10110, "stream purge not permitted") }
      guard sequence < StreamLog.sequenceMax else { throw .badRequest }
      let kept = KeptRequest(request)
      filter.withView { filter in
        stream.purge(filter: filter, below: sequence, keep: Int(clamping: keep)) { [unowned(unsafe) self] purged in
          var response = APIResponse(type)
          response.json.field("success", true)
          response.json.field("purged", purged)
          answerWhenDurable(kept, response.finish())  // the engine lives as long as its host
        }
      }
    } catch { fail(request, type, error) { $0.field("purged", 0) } }
  }
}
