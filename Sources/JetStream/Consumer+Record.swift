// What the store's metadata holds of a consumer: `consumer/<account>/<stream>/<name>` → {"created":…,"resume":…,"config":{…}} and
// `consumer-state/<account>/<stream>/<name>` → ConsumerState's record.
import Broker
import Bytes
import JSON
import LogStore

/// A consumer's configuration as it is kept.
struct StoredConsumer {
  let created_ns: Int64
  /// See `Consumer.resumeAfter`.
  let resumeAfter: UInt64
  let config: ConsumerConfig

  var encoded: [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    json.field("created", created_ns)
    json.fieldUnlessZero("resume", resumeAfter)
    json.beginObject("config")
    config.write(to: &json)
    json.endObject()
    json.endObject()
    return json.finish()
  }

  static func decode(_ record: [UInt8]) -> StoredConsumer? {
    guard let value = try? JSON.parse(ByteString(record)), let created_ns = value["created"]?.int64,
      let members = value["config"]?.object
    else { return nil }
    var config = ConsumerConfig()
    do throws(APIError) {
      try ObjectDecoder.decode(members, path: "ConsumerConfig", strict: false) { field throws(APIError) in try config.read(field) }
    } catch { return nil }
    return StoredConsumer(created_ns: created_ns, resumeAfter: value["resume"]?.uint64 ?? 0, config: config)
  }

  static func prefix(account: ByteString, stream: ByteString) -> ByteString {
    ByteString("consumer/") + account + ByteString("/") + stream + ByteString("/")
  }

  static func statePrefix(account: ByteString, stream: ByteString) -> ByteString {
    ByteString("consumer-state/") + account + ByteString("/") + stream + ByteString("/")
  }
}

extension Consumer {
  private var configKey: ByteString { StoredConsumer.prefix(account: account.name, stream: stream.name) + name }
  private var stateKey: ByteString { StoredConsumer.statePrefix(account: account.name, stream: stream.name) + name }

  /// Writes the configuration down; durable with what the store commits next.
  func writeConfig() {
    guard isPersistent else { return }
    let stored = StoredConsumer(created_ns: created_ns, resumeAfter: resumeAfter, config: config)
    engine.store.setMetadata(configKey, stored.encoded, isVital: true)
  }

  /// Writes both down for the first time: none is found again without the other.
  func writeNew() {
    let wasTogether = engine.store.beginTogether()
    writeConfig()
    writeState()
    engine.store.endTogether(wasTogether)
  }

  /// Writes the state down if it changed since it last was.
  func writeState() {
    isDirty = false
    guard isPersistent, !isEnded, state.changes != writtenChanges else { return }
    writtenChanges = state.changes
    engine.store.setMetadata(stateKey, state.record, mayWait: true)
  }

  /// Forgets what is written down.
  func forgetRecord() {
    guard isPersistent else { return }
    let wasTogether = engine.store.beginTogether()
    engine.store.removeMetadata(configKey, isVital: true)
    engine.store.removeMetadata(stateKey)
    engine.store.endTogether(wasTogether)
  }
}
