// $JS.API.CONSUMER.INFO, NAMES and LIST (sections 11.4 and 11.5).
import Bytes
import JSON
import Platform

extension ConsumerEngine {
  /// The consumer of a request's `<stream>.<consumer>`, by the field's order of errors.
  func find(_ path: ByteView, _ request: APIRequest) throws(APIError) -> Consumer {
    guard let streamName = request.token(2), jetStream.stream(streamName) != nil else { throw .streamNotFound }
    guard let consumer = consumer(path) else { throw .consumerNotFound }
    return consumer
  }

  func info(_ request: APIRequest, _ path: ByteView) {
    let type: StaticString = "consumer_info"
    do throws(APIError) {
      guard request.isEmptyRequest else { throw .emptyRequestExpected }
      try jetStream.checkLevel(request)
      let consumer = try find(path, request)
      let kept = KeptRequest(request)
      consumer.whenCounted { [unowned(unsafe) self] in  // the engine lives as long as its consumers
        var response = APIResponse(type)
        if consumer.isEnded {
          response.error(.consumerNotFound)
        } else {
          consumer.writeInfo(to: &response.json, version: true)
        }
        jetStream.answer(kept, response.finish(), failed: consumer.isEnded)
      }
    } catch { jetStream.fail(request, type, error) }
  }

  /// Reads the body of NAMES and LIST; the stream's consumers by name, and where the page begins.
  private func select(
    _ request: APIRequest, _ streamName: ByteView, path: String
  ) throws(APIError) -> (consumers: [Consumer], offset: Int) {
    var offset = 0
    if request.hasJSONBody {
      try ObjectDecoder.decode(request.body, path: path, strict: jetStream.options.strict) { field throws(APIError) in
        guard field.named("offset") else { return false }
        try field.read(&offset)
        return true
      }
    }
    guard let stream = jetStream.stream(streamName) else { throw .streamNotFound }
    let all = consumers(of: stream)
    return (all, min(max(offset, 0), all.count))
  }

  func names(_ request: APIRequest, _ streamName: ByteView) {
    let type: StaticString = "consumer_names"
    do throws(APIError) {
      try jetStream.checkLevel(request)
      let (all, offset) = try select(request, streamName, path: "JSApiConsumersRequest")
      var response = APIResponse(type)
      response.json.field("total", all.count)
      response.json.field("offset", offset)
      response.json.field("limit", JetStream.PageLimit.names)
      response.json.beginArray("consumers")
      for consumer in all[offset...].prefix(JetStream.PageLimit.names) { response.json.string(consumer.name) }
      response.json.endArray()
      jetStream.answer(request, response.finish())
    } catch { jetStream.fail(request, type, error, fields: ConsumerEngine.emptyPage) }
  }

  func list(_ request: APIRequest, _ streamName: ByteView) {
    let type: StaticString = "consumer_list"
    do throws(APIError) {
      try jetStream.checkLevel(request)
      let (all, offset) = try select(request, streamName, path: "JSApiConsumersRequest")
      var response = APIResponse(type)
      response.json.field("total", all.count)
      response.json.field("offset", offset)
      response.json.field("limit", JetStream.PageLimit.list)
      response.json.beginArray("consumers")
      ConsumerListing(self, KeptRequest(request), Array(all[offset...].prefix(JetStream.PageLimit.list)), response).run()
    } catch { jetStream.fail(request, type, error, fields: ConsumerEngine.emptyPage) }
  }

  /// What stays of a page beside an error.
  private static func emptyPage(_ json: inout JSONWriter) {
    JetStream.emptyPage(&json)
    json.beginArray("consumers")
    json.endArray()
  }
}

/// A page of consumers on its way to who asked: each is written when what it has yet to deliver is counted, which may be in a later turn.
private final class ConsumerListing {
  private unowned(unsafe) let engine: ConsumerEngine  // safe: it outlives what its host runs
  private let request: KeptRequest
  private let page: [Consumer]
  private var response: APIResponse
  private var next = 0
  private let timer = Timer()

  init(_ engine: ConsumerEngine, _ request: KeptRequest, _ page: [Consumer], _ response: APIResponse) {
    self.engine = engine
    self.request = request
    self.page = page
    self.response = response
  }

  func run() {
    var left = Consumer.countMax
    while next < page.count {
      let consumer = page[next]
      if !consumer.isEnded {
        if consumer.count(left: &left) == .unfinished {
          engine.host.after(0, timer) { [self] in run() }
          return
        }
        response.json.beginObject()
        consumer.writeInfo(to: &response.json, version: false)
        response.json.endObject()
      }
      next += 1
    }
    response.json.endArray()
    engine.jetStream.answer(request, response.finish())
  }
}
