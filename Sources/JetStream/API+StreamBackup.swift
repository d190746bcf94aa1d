// $JS.API.STREAM.SNAPSHOT and RESTORE (section 20). The transfers are StreamSnapshot and StreamRestore.
import Bytes
import Interest
import JSON
import LogStore
import Platform

extension JetStream {
  /// Backups in transfer at a time, either way: each takes up to a few megabytes.
  static let transfersMax = 8

  func snapshotStream(_ request: APIRequest, _ name: ByteView) {
    let type: StaticString = "stream_snapshot"
    var deliver = ByteString()
    var withoutConsumers = false
    var chunkBytes = 0
    var windowBytes = 0
    var isChecked = false
    do throws(APIError) {
      try checkLevel(request)
      guard !request.isEmptyRequest else { throw .badRequest }
      guard let stream = table[name] else { throw .streamNotFound }
      try ObjectDecoder.decode(request.body, path: "JSApiStreamSnapshotRequest", strict: options.strict) { field throws(APIError) in
        if field.named("deliver_subject") {
          try field.read(&deliver)
        } else if field.named("no_consumers") {
          try field.read(&withoutConsumers)
        } else if field.named("chunk_size") {
          try field.read(&chunkBytes)
        } else if field.named("window_size") {
          try field.read(&windowBytes)
        } else if field.named("jsck") {
          try field.read(&isChecked)
        } else {
          return false
        }
        return true
      }
      guard deliver.withView({ Subject.isValidToPublish($0) }) else { throw APIError(400, 10015, "deliver subject not valid") }
      guard snapshots.count < JetStream.transfersMax else { throw APIError(500, 10064, "snapshot failed: too many at a time") }
      let consumers = withoutConsumers ? [] : try consumerAPI?.snapshot(of: stream) ?? []
      let snapshot = StreamSnapshot(
        self, stream, deliver: deliver, chunkBytes: chunkBytes, windowBytes: windowBytes, preamble: preamble(stream, consumers))
      snapshots.append(snapshot)
      var response = APIResponse(type)
      response.json.beginObject("config")
      stream.config.write(to: &response.json)
      response.json.endObject()
      stream.appendState(to: &response.json)
      answer(request, response.finish())
      snapshot.start()
    } catch { fail(request, type, error) }
  }

  /// What stands before the messages.
  private func preamble(_ stream: Stream, _ consumers: [(name: ByteString, record: [UInt8])]) -> [UInt8] {
    var archive: [UInt8] = []
    archive.append(literal: BackupArchive.magic)
    let now_ns = host.clock.wall_ns
    var state = JSONWriter()
    state.beginObject()
    stream.writeState(to: &state, Stream.InfoParts(), consumers: consumers.count)
    state.endObject()
    state.finish().withView {
      BackupArchive.append(ArchiveEntry(name: ByteView("state.json"), timestamp_ns: now_ns, payload: $0), to: &archive)
    }
    for consumer in consumers {
      (ByteString("consumers/") + consumer.name).withView { name in
        consumer.record.withView {
          BackupArchive.append(ArchiveEntry(name: name, timestamp_ns: now_ns, payload: $0), to: &archive)
        }
      }
    }
    return archive
  }

  func restoreStream(_ request: APIRequest, _ name: ByteView) {
    let type: StaticString = "stream_restore"
    do throws(APIError) {
      try checkLevel(request)
      guard !request.isEmptyRequest else { throw .badRequest }
      var config = StreamConfig()
      let strict = options.strict
      try ObjectDecoder.decode(request.body, path: "JSApiStreamRestoreRequest", strict: strict) { field throws(APIError) in
        if field.named("config") {
          guard let members = try field.object(type: "server.StreamConfig") else { return true }
          try ObjectDecoder.decode(members, path: "JSApiStreamRestoreRequest.config", strict: strict) { inner throws(APIError) in
            try config.read(inner, strict: strict)
          }
          return true
        }
        return field.named("state")
      }
      if config.name.isEmpty { config.name = ByteString(name) }
      guard config.name.withView({ $0 == name }) else { throw .nameMismatch }
      for byte in config.name.bytes where byte == ASCII.slash || byte == ASCII.backslash { throw .pathSeparator }
      try config.check(pedantic: false)
      if config.replicas > 1 { throw .replicas }
      try checkAccountLimits(config, replacing: nil)
      try checkFree(config)
      guard restores.count < JetStream.transfersMax else { throw .insufficientResources }
      config.stampMetadata()
      let restore = try makeRestore(config)
      restores.append(restore)
      restore.start()
      var response = APIResponse(type)
      response.json.field("deliver_subject", restore.subject)
      answer(request, response.finish())
    } catch { fail(request, type, error) { $0.field("deliver_subject", literal: "") } }
  }

  /// Whether a restored stream may take its place.
  private func checkFree(_ config: StreamConfig) throws(APIError) {
    if table[config.name] != nil { throw APIError(400, 10130, "stream name already in use, cannot restore") }
    if overlaps(config.subjects, except: config.name) { throw .subjectsOverlap }
  }

  /// Begins to make a stream of what a restore brought.
  func beginAdopting(_ restore: StreamRestore) throws(APIError) -> Stream {
    try checkFree(restore.config)
    return register(restored: restore)
  }

  func ended(_ snapshot: StreamSnapshot) { host.turn.defer { [self] in snapshots.removeAll { $0 === snapshot } } }
  func ended(_ restore: StreamRestore) { host.turn.defer { [self] in restores.removeAll { $0 === restore } } }
}
