// $JS.API.INFO (section 3).
import Bytes
import JSON

extension JetStream {
  func accountInfo(_ request: APIRequest) {
    let type: StaticString = "account_info"
    do throws(APIError) {
      try checkLevel(request)
      var response = APIResponse(type)
      writeAccount(to: &response.json)
      answer(request, response.finish())
    } catch { fail(request, type, error) }
  }

  /// The members of an account's statistics, as the API and monitoring show them.
  public func writeAccount(to json: inout JSONWriter) {
    let usage = usage
    let reserved = reserved
    json.field("memory", usage.memory)
    json.field("storage", usage.storage)
    json.field("reserved_memory", reserved.memory)
    json.field("reserved_storage", reserved.storage)
    json.field("streams", streamCount)
    json.field("consumers", consumerCount)
    json.beginObject("limits")
    // Limits of the account, of which there are none; the server has its own.
    json.field("max_memory", -1)
    json.field("max_storage", -1)
    json.field("max_streams", options.maxStreams)
    json.field("max_consumers", options.maxConsumers)
    json.field("max_ack_pending", -1)
    json.field("memory_max_stream_bytes", -1)
    json.field("storage_max_stream_bytes", -1)
    json.field("max_bytes_required", false)
    json.endObject()
    json.fieldUnlessEmpty("domain", options.domain)
    json.beginObject("api")
    json.field("level", JetStream.apiLevel)
    json.field("total", apiTotal)
    json.field("errors", apiErrors)
    json.endObject()
  }
}
