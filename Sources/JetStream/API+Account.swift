// $JS.API.INFO (section 3).
import Bytes
import Identity
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
    Self.write(grant.tiers.isEmpty ? grant.limits : Self.noLimits, to: &json)
    json.fieldUnlessEmpty("domain", options.domain)
    json.beginObject("api")
    json.field("level", JetStream.apiLevel)
    json.field("total", apiTotal)
    json.field("errors", apiErrors)
    json.endObject()
    guard !grant.tiers.isEmpty else { return }
    json.beginObject("tiers")
    for tier in grant.tiers {
      // All streams have one replica.
      let isUsed = tier.name.equals("R1")
      json.key(tier.name)
      json.beginObject()
      json.field("memory", isUsed ? usage.memory : 0)
      json.field("storage", isUsed ? usage.storage : 0)
      json.field("reserved_memory", isUsed ? reserved.memory : 0)
      json.field("reserved_storage", isUsed ? reserved.storage : 0)
      json.field("streams", isUsed ? streamCount : 0)
      json.field("consumers", isUsed ? consumerCount : 0)
      Self.write(tier.limits, to: &json)
      json.endObject()
    }
    json.endObject()
  }

  /// What stands there for an account whose limits are those of its tiers.
  private static var noLimits: JetStreamLimits {
    var limits = JetStreamLimits()
    limits.memoryMax_bytes = 0
    limits.storeMax_bytes = 0
    limits.streamsMax = 0
    limits.consumersMax = 0
    limits.ackPendingMax = 0
    limits.memoryStreamMax_bytes = 0
    limits.storeStreamMax_bytes = 0
    return limits
  }

  private static func write(_ limits: JetStreamLimits, to json: inout JSONWriter) {
    json.beginObject("limits")
    json.field("max_memory", limits.memoryMax_bytes)
    json.field("max_storage", limits.storeMax_bytes)
    json.field("max_streams", limits.streamsMax)
    json.field("max_consumers", limits.consumersMax)
    json.field("max_ack_pending", limits.ackPendingMax)
    json.field("memory_max_stream_bytes", limits.memoryStreamMax_bytes)
    json.field("storage_max_stream_bytes", limits.storeStreamMax_bytes)
    json.field("max_bytes_required", limits.requiresMaxBytes)
    json.endObject()
  }
}
