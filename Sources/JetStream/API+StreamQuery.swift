// $JS.API.STREAM.INFO, NAMES and LIST (sections 4.3 and 5).
import Bytes
import Interest
import JSON

extension JetStream {
  /// Entries in one page (section 2).
  enum PageLimit {
    static let names = 1024
    static let list = 256
    static let subjects = 100_000
  }

  func streamInfo(_ request: APIRequest, _ name: ByteView) {
    let type: StaticString = "stream_info"
    var offset = 0
    var filter = ByteString()
    var parts = Stream.InfoParts()
    parts.domain = true
    parts.cluster = true
    do throws(APIError) {
      try checkLevel(request)
      if request.hasJSONBody {
        try ObjectDecoder.decode(request.body, path: "JSApiStreamInfoRequest", strict: options.strict) { field throws(APIError) in
          if field.named("offset") {
            try field.read(&offset)
          } else if field.named("deleted_details") {
            try field.read(&parts.deletedDetails)
          } else if field.named("subjects_filter") {
            try field.read(&filter)
          } else {
            return false
          }
          return true
        }
      }
      guard let stream = table[name] else { throw .streamNotFound }
      offset = max(offset, 0)
      let kept = KeptRequest(request)
      guard !filter.isEmpty else { return answerInfo(kept, stream, parts, total: 0, offset: 0) }
      SubjectListing(stream, filter: filter, offset: offset, limit: PageLimit.subjects) { [unowned(unsafe) self] page in
        parts.subjects = page.subjects  // the engine lives as long as its host
        answerInfo(kept, stream, parts, total: page.total, offset: offset)
      }.run()
    } catch { fail(request, type, error, fields: JetStream.emptyPage) }
  }

  private func answerInfo(_ request: KeptRequest, _ stream: Stream, _ parts: Stream.InfoParts, total: Int, offset: Int) {
    var response = APIResponse("stream_info")
    guard !stream.isDeleted else {
      response.error(.streamNotFound)
      JetStream.emptyPage(&response.json)
      return answer(request, response.finish(), failed: true)
    }
    response.json.field("total", total)
    response.json.field("offset", total > 0 ? offset : 0)
    response.json.field("limit", total > 0 ? PageLimit.subjects : 0)
    stream.writeInfo(to: &response.json, parts)
    answer(request, response.finish())
  }

  /// What stays of a paged response beside an error.
  static func emptyPage(_ json: inout JSONWriter) {
    json.field("total", 0)
    json.field("offset", 0)
    json.field("limit", 0)
  }

  /// Reads the body of NAMES and LIST; streams that match, by name.
  private func select(_ request: APIRequest, path: String) throws(APIError) -> (streams: [Stream], offset: Int) {
    var offset = 0
    var filter = ByteString()
    if request.hasJSONBody {
      try ObjectDecoder.decode(request.body, path: path, strict: options.strict) { field throws(APIError) in
        if field.named("offset") {
          try field.read(&offset)
        } else if field.named("subject") {
          try field.read(&filter)
        } else {
          return false
        }
        return true
      }
    }
    let matching = filter.isEmpty ? streams : streams.filter { $0.overlaps(filter) }
    return (matching, min(max(offset, 0), matching.count))
  }

  func streamNames(_ request: APIRequest) {
    let type: StaticString = "stream_names"
    do throws(APIError) {
      try checkLevel(request)
      let (streams, offset) = try select(request, path: "JSApiStreamNamesRequest")
      let page = streams[offset...].prefix(PageLimit.names)
      var response = APIResponse(type)
      response.json.field("total", streams.count)
      response.json.field("offset", offset)
      response.json.field("limit", PageLimit.names)
      response.json.key(literal: "streams")
      if page.isEmpty {
        response.json.null()
      } else {
        response.json.beginArray()
        for stream in page { response.json.string(stream.name) }
        response.json.endArray()
      }
      answer(request, response.finish())
    } catch {
      fail(request, type, error) { json in
        JetStream.emptyPage(&json)
        json.key(literal: "streams")
        json.null()
      }
    }
  }

  func streamList(_ request: APIRequest) {
    let type: StaticString = "stream_list"
    do throws(APIError) {
      try checkLevel(request)
      let (streams, offset) = try select(request, path: "JSApiStreamListRequest")
      var response = APIResponse(type)
      response.json.field("total", streams.count)
      response.json.field("offset", offset)
      response.json.field("limit", PageLimit.list)
      response.json.beginArray("streams")
      var parts = Stream.InfoParts()
      parts.domain = true
      parts.version = false
      for stream in streams[offset...].prefix(PageLimit.list) {
        response.json.beginObject()
        stream.writeInfo(to: &response.json, parts)
        response.json.endObject()
      }
      response.json.endArray()
      answer(request, response.finish())
    } catch {
      fail(request, type, error) { json in
        JetStream.emptyPage(&json)
        json.beginArray("streams")
        json.endArray()
      }
    }
  }
}
