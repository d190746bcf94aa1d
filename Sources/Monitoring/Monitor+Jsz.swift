// /jsz and /healthz: JetStream in numbers, and whether all is well (monitoring.md sections 6 and 8).
import Broker
import Bytes
import Identity
import Interest
import JSON
import JetStream
import LogStore
import Platform
import Web

extension Monitor {
  func writeJetStreamConfig(_ json: inout JSONWriter) {
    let options = source.jetStreamOptions
    json.beginObject("config")
    json.field("max_memory", options?.maxMemory ?? 0)
    json.field("max_storage", options?.maxStore ?? 0)
    if let store = source.store {
      json.field("store_dir", store.directory)
      if let interval_ns = options?.syncInterval_ns {
        json.field("sync_interval", interval_ns)
      } else {
        json.field("sync_always", true)
      }
    }
    json.fieldUnlessEmpty("domain", options?.domain ?? ByteString())
    json.fieldUnlessFalse("strict", options?.strict ?? false)
    json.endObject()
  }

  /// Sums over some JetStreams; `accounts` is how many the answer is about.
  func writeJetStreamStats(_ json: inout JSONWriter, _ jetStreams: [JetStream], accounts: Int) {
    var (memory, storage) = (Int64(0), Int64(0))
    var reserved = (memory: Int64(0), storage: Int64(0))
    var (total, errors) = (UInt64(0), UInt64(0))
    for jetStream in jetStreams {
      let usage = jetStream.usage
      memory += usage.memory
      storage += usage.storage
      reserved.memory = reserved.memory.addingCapped(jetStream.reserved.memory)
      reserved.storage = reserved.storage.addingCapped(jetStream.reserved.storage)
      total += jetStream.apiTotal
      errors += jetStream.apiErrors
    }
    json.field("memory", memory)
    json.field("storage", storage)
    json.field("reserved_memory", reserved.memory)
    json.field("reserved_storage", reserved.storage)
    json.field("accounts", accounts)
    json.field("ha_assets", 0)
    json.beginObject("api")
    json.field("level", JetStream.apiLevel)
    json.field("total", total)
    json.field("errors", errors)
    json.endObject()
  }

  func jsz(_ query: MonitorQuery) -> [UInt8] {
    let jetStreams = source.jetStreams
    let consumers = query.flag("consumers")
    let streams = query.flag("streams") || consumers
    let accounts = query.flag("accounts") || streams || query["acc"] != nil
    var json = JSONWriter(indent: indents)
    json.beginObject()
    writeJetStreamStats(&json, jetStreams, accounts: jetStreams.count)
    json.field("server_id", source.broker.identity.id)
    json.field("now", time: now_ns)
    json.fieldUnlessFalse("disabled", source.jetStreamOptions == nil)
    writeJetStreamConfig(&json)
    json.beginObject("limits")
    json.endObject()
    var (streamCount, consumerCount) = (0, 0)
    var (messages, bytes) = (0 as Int64, 0 as Int64)
    for jetStream in jetStreams {
      streamCount += jetStream.streamCount
      consumerCount += jetStream.consumerCount
      for stream in jetStream.streams {
        messages += Int64(stream.count)
        bytes += stream.bytes
      }
    }
    json.field("streams", streamCount)
    json.field("consumers", consumerCount)
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
    if accounts {
      let asked = jetStreams.filter { jetStream in query["acc"].map { $0 == jetStream.account.name } ?? true }
      if !asked.isEmpty {
        json.beginArray("account_details")
        for jetStream in asked { writeAccount(&json, jetStream, streams: streams, consumers: consumers) }
        json.endArray()
      }
    }
    json.field("total", jetStreams.count)
    json.endObject()
    return json.finish()
  }

  private func writeAccount(_ json: inout JSONWriter, _ jetStream: JetStream, streams: Bool, consumers: Bool) {
    json.beginObject()
    json.field("name", jetStream.account.claims?.token.name ?? jetStream.account.name)
    json.field("id", jetStream.account.name)
    writeJetStreamStats(&json, [jetStream], accounts: 0)
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
  }

  // MARK: /healthz

  /// `withCode` adds the status as a number, as the answer in the system account has it.
  func healthz(_ query: MonitorQuery, withCode: Bool = false) -> HTTPResponse {
    var problem: (status: StaticString, code: Int, text: String)?
    if query.flag("js-enabled-only") || query.flag("js-enabled"), source.jetStreamOptions == nil {
      problem = ("503 Service Unavailable", 503, "JetStream not enabled")
    } else if let store = source.store, case .failed(let text) = store.state {
      problem = ("503 Service Unavailable", 503, "store: \(text)")
    } else if let name = query["stream"] {
      if let account = query["account"] ?? query["acc"] {
        if source.jetStreams.first(where: { $0.account.name == account })?.stream(name) == nil {
          problem = ("404 Not Found", 404, "JetStream stream \"\(name.string)\" not found on account \"\(account.string)\"")
        }
      } else {
        problem = ("400 Bad Request", 400, "\"account\" must not be empty when checking stream health")
      }
    }
    var json = JSONWriter(indent: indents)
    json.beginObject()
    json.field("status", literal: problem == nil ? "ok" : "unavailable")
    if withCode { json.field("status_code", problem?.code ?? 200) }
    if let problem { json.field("error", problem.text) }
    json.endObject()
    return HTTPResponse(status: problem?.status ?? "200 OK", body: json.finish())
  }
}

extension Int64 {
  /// The sum, or the largest number when it is beyond that.
  fileprivate func addingCapped(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
