// /jsz and /healthz: JetStream in numbers, and whether all is well (monitoring.md sections 6 and 8).
import Broker
import Bytes
import Interest
import JSON
import JetStream
import LogStore
import Platform
import Web

extension Monitor {
  func writeJetStreamConfig(_ json: inout JSONWriter) {
    json.beginObject("config")
    json.field("max_memory", source.jetStream?.options.maxMemory ?? 0)
    json.field("max_storage", source.jetStream?.options.maxStore ?? 0)
    if let store = source.store {
      json.field("store_dir", store.directory)
      json.field("sync_always", true)
    }
    json.fieldUnlessEmpty("domain", source.jetStream?.options.domain ?? ByteString())
    json.fieldUnlessFalse("strict", source.jetStream?.options.strict ?? false)
    json.endObject()
  }

  func writeJetStreamStats(_ json: inout JSONWriter) {
    let usage = source.jetStream?.usage ?? (memory: 0, storage: 0)
    let reserved = source.jetStream?.reserved ?? (memory: 0, storage: 0)
    json.field("memory", usage.memory)
    json.field("storage", usage.storage)
    json.field("reserved_memory", reserved.memory)
    json.field("reserved_storage", reserved.storage)
    json.field("accounts", source.jetStream == nil ? 0 : 1)
    json.field("ha_assets", 0)
    json.beginObject("api")
    json.field("level", JetStream.apiLevel)
    json.field("total", source.jetStream?.apiTotal ?? 0)
    json.field("errors", source.jetStream?.apiErrors ?? 0)
    json.endObject()
  }

  private func flag(_ request: HTTPRequest, _ name: StaticString) -> Bool {
    guard let value = request[name] else { return false }
    switch value {
    case "1", "t", "T", "true", "TRUE", "True": return true
    default: return false
    }
  }

  func jsz(_ request: HTTPRequest) -> [UInt8] {
    let jetStream = source.jetStream
    let consumers = flag(request, "consumers")
    let streams = flag(request, "streams") || consumers
    let accounts = flag(request, "accounts") || streams
    var json = JSONWriter(indent: true)
    json.beginObject()
    writeJetStreamStats(&json)
    json.field("server_id", source.broker.identity.id)
    json.field("now", time: now_ns)
    json.fieldUnlessFalse("disabled", jetStream == nil)
    writeJetStreamConfig(&json)
    json.beginObject("limits")
    json.endObject()
    json.field("streams", jetStream?.streamCount ?? 0)
    json.field("consumers", jetStream?.consumerCount ?? 0)
    var messages = 0
    var bytes = 0
    for stream in jetStream?.streams ?? [] {
      messages += stream.count
      bytes += stream.bytes
    }
    json.field("messages", messages)
    json.field("bytes", bytes)
    if let store = source.store {
      // Ours: what the store costs the flash.
      json.beginObject("store")
      json.field("bytes", store.bytesOnDisk)
      json.field("segments", store.segmentCount)
      json.field("bytes_written", store.bytesWritten)
      json.field("bytes_compacted", store.bytesCompacted)
      json.field("syncs", store.syncs)
      json.field("batches", store.batches)
      json.endObject()
    }
    let named = request["acc"].map { $0 == source.broker.globalAccount.name } ?? true
    if accounts, named, let jetStream { writeAccount(&json, jetStream, streams: streams, consumers: consumers) }
    json.field("total", jetStream == nil ? 0 : 1)
    json.endObject()
    return json.finish()
  }

  private func writeAccount(
    _ json: inout JSONWriter, _ jetStream: JetStream, streams: Bool, consumers: Bool
  ) {
    json.beginArray("account_details")
    json.beginObject()
    json.field("name", source.broker.globalAccount.name)
    json.field("id", source.broker.globalAccount.name)
    writeJetStreamStats(&json)
    if streams {
      json.beginArray("stream_detail")
      for stream in jetStream.streams {
        json.beginObject()
        json.field("name", stream.name)
        json.beginObject("cluster")
        json.field("leader", source.broker.identity.name)
        json.endObject()
        stream.appendDetail(to: &json)
        if consumers {
          json.beginArray("consumer_detail")
          for consumer in stream.consumersByName where !consumer.isDirect {
            json.beginObject()
            consumer.appendInfo(to: &json)
            json.endObject()
          }
          json.endArray()
        }
        json.endObject()
      }
      json.endArray()
    }
    json.endObject()
    json.endArray()
  }

  // MARK: /healthz

  func healthz(_ request: HTTPRequest) -> HTTPResponse {
    var problem: (status: StaticString, text: String)?
    if flag(request, "js-enabled-only") || flag(request, "js-enabled"), source.jetStream == nil {
      problem = ("503 Service Unavailable", "JetStream not enabled")
    } else if let store = source.store, case .failed(let text) = store.state {
      problem = ("503 Service Unavailable", "store: \(text)")
    } else if let name = request["stream"] {
      if let account = request["account"] {
        if source.jetStream?.stream(name) == nil || account != source.broker.globalAccount.name {
          problem = ("404 Not Found", "JetStream stream \"\(name.string)\" not found on account \"\(account.string)\"")
        }
      } else {
        problem = ("400 Bad Request", "\"account\" must not be empty when checking stream health")
      }
    }
    var json = JSONWriter(indent: true)
    json.beginObject()
    json.field("status", literal: problem == nil ? "ok" : "unavailable")
    if let problem { json.field("error", problem.text) }
    json.endObject()
    return HTTPResponse(status: problem?.status ?? "200 OK", body: json.finish())
  }
}
