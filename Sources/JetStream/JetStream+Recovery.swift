// Streams in the store: what is kept of each, finding them again at the start, creating, changing and dropping them.
//
// The store's metadata holds `stream/<account>/<name>` → {"id":…,"created":…,"config":{…}} and `streams/next` → the next id.
import Broker
import Bytes
import JSON
import LogStore
import Platform
import Wire

extension JetStream {
  private static let nextIDKey: ByteString = "streams/next"

  private var keyPrefix: ByteString { ByteString("stream/") + account.name + ByteString("/") }

  /// The metadata key of a stream.
  func metadataKey(_ stream: ByteString) -> ByteString { keyPrefix + stream }

  /// The names of the streams in a store, by their numbers there, as `account/stream`.
  public static func streamNames(in store: LogStore) -> [(id: UInt32, name: ByteString)] {
    var names: [(id: UInt32, name: ByteString)] = []
    store.metadata.forEach { key, record in
      guard key.hasPrefix("stream/"), let stored = StoredStream.decode(record) else { return }
      names.append((stored.id, key.withView { ByteString($0.dropFirst(7)) }))
    }
    return names
  }

  // MARK: Start

  /// The last stamp that was given here. Those of mirrors are their origins', those of restored streams the backup's: a clock elsewhere
  /// that is ahead must not let what is here grow old.
  var lastOwnStamp_ns: Int64 {
    var last_ns: Int64 = 0
    store.metadata.forEach { key, record in
      guard key.hasPrefix("stream/"), let stored = StoredStream.decode(record), stored.config.mirror == nil else { return }
      let stamp_ns = store.stream(stored.id).lastTimestamp_ns
      // A stream with foreign stamps goes on right behind them, until time has come that far.
      if stored.foreign_ns == 0 || stamp_ns > WaitingPull.later(stored.foreign_ns, second_ns) { last_ns = max(last_ns, stamp_ns) }
    }
    return last_ns
  }

  func recoverStreams(dropsOrphans: Bool) {
    let prefix = keyPrefix
    for key in store.metadata.keys.ordered() {
      guard let name = key.withView({ view in prefix.withView { view.hasPrefix($0) ? ByteString(view.dropFirst($0.count)) : nil } }),
        let record = store.metadata[key]
      else { continue }
      recover(name, record)
    }
    dropOrphanedNotes()
    if dropsOrphans { dropOrphans() }
    for stream in streams {
      consumerAPI?.streamRecovered(stream)
      stream.startFeeds()
    }
    consumerAPI?.allRecovered()
    // At the end of the turn everybody is there who can need a message: forwards come after JetStream.
    host.turn.defer { [self] in for stream in streams { stream.settleRecovered() } }
  }

  private func recover(_ name: ByteString, _ record: [UInt8]) {
    guard let stored = StoredStream.decode(record), stored.config.name == name else {
      host.log.error("JetStream stream '\(name.string)' has an unreadable configuration and is left alone")
      return
    }
    let log = FileLog(store.stream(stored.id))
    let stream = register(stored.config, created_ns: stored.created_ns, logID: stored.id, log: log)
    stream.foreign_ns = stored.foreign_ns
    stream.recover()
    host.log.info("JetStream restored \(stream.count) messages for stream '\(account.name.string) > \(name.string)'")
  }

  /// Drops logs that no stream of any account has: what a crash left between creating a log and recording its stream.
  private func dropOrphans() {
    var known: Set<UInt32> = []
    var isComplete = true
    store.metadata.forEach { key, record in
      guard key.hasPrefix("stream/") else { return }
      if let stored = StoredStream.decode(record) { known.insert(stored.id) } else { isComplete = false }
    }
    dropOrphanedConsumers()
    // With an unreadable record it is not known which log is whose: nothing is dropped.
    guard isComplete else { return }
    for id in store.streamIDs where !known.contains(id) { dropOrphan(id) }
  }

  /// Drops a log that no stream has, unless its stream's record may have been lost: then it is kept from here on.
  private func dropOrphan(_ id: UInt32) {
    var key: [UInt8] = []
    key.append(literal: "kept/")
    key.append(decimal: id)
    let mark = ByteString(key)
    let isKept = store.metadata[mark] != nil
    guard isKept || store.foundDamage else {
      host.log.warning("JetStream drops log \(id), which belongs to no stream")
      store.dropStream(id)
      return
    }
    host.log.error("JetStream keeps log \(id): the record of its stream was lost, its messages were not")
    if !isKept { store.setMetadata(mark, []) }
  }

  /// Drops records of consumers whose stream has none: `consumer[-state]/<account>/<stream>/<name>` without `stream/<account>/<stream>`.
  private func dropOrphanedConsumers() {
    for key in store.metadata.keys.ordered() {
      let bytes = key.bytes
      guard bytes.starts(with: "consumer/".utf8) || bytes.starts(with: "consumer-state/".utf8),
        let begin = bytes.firstIndex(of: ASCII.slash), let end = bytes.lastIndex(of: ASCII.slash), begin < end
      else { continue }
      guard store.metadata[ByteString("stream") + ByteString(Array(bytes[begin..<end]))] == nil else { continue }
      host.log.warning("JetStream drops '\(key.string)', whose stream is gone")
      store.removeMetadata(key)
    }
  }

  /// Whether what a stream acknowledges is on the medium.
  private func isDurable(_ config: StreamConfig) -> Bool { !config.asyncPersist && options.syncInterval_ns == nil }

  @discardableResult
  private func register(
    _ config: StreamConfig, created_ns: Int64, logID: UInt32, log: any MessageLog, isOpen: Bool = true
  ) -> Stream {
    let stream = Stream(engine: self, config: config, created_ns: created_ns, logID: logID, slot: takeSlot(), log: log)
    slots[Int(stream.slot)] = stream
    log.isDurable = isDurable(config)
    log.keepsHistory = config.maxMessagesPerSubject > 1
    table.set(config.name, stream)
    if isOpen { stream.subscribe() }
    return stream
  }

  // MARK: Changes

  /// Makes a stream whose configuration was checked.
  func create(_ config: StreamConfig) throws(APIError) -> Stream {
    let created_ns = host.clock.wall_ns
    guard config.storage == .file else {
      let log = MemoryLog(use: memoryUse)
      log.begin(at: config.firstSequence)
      let stream = register(config, created_ns: created_ns, logID: 0, log: log)
      stream.startFeeds(isNew: true)
      return stream
    }
    if case .failed = store.state { throw APIError(500, 10049, "error creating store for stream") }
    let wasTogether = store.beginTogether()
    defer { store.endTogether(wasTogether) }
    let id = takeLogID()
    store.setMetadata(metadataKey(config.name), StoredStream(id: id, created_ns: created_ns, config: config).encoded, isVital: true)
    let log = FileLog(store.stream(id))
    log.begin(at: config.firstSequence)
    let stream = register(config, created_ns: created_ns, logID: id, log: log)
    stream.startFeeds(isNew: true)
    return stream
  }

  /// A log for a stream that is being restored. Nothing refers to it yet: after a crash it is dropped.
  func makeRestore(_ config: StreamConfig) throws(APIError) -> StreamRestore {
    guard config.storage == .file else { return StreamRestore(self, config, logID: 0, log: MemoryLog(use: memoryUse)) }
    if case .failed = store.state { throw APIError(500, 10049, "error creating store for stream") }
    let id = takeLogID()
    return StreamRestore(self, config, logID: id, log: FileLog(store.stream(id)))
  }

  /// Makes a stream of what was restored. Nothing comes in and nothing is written down of it before `open`: after a crash it is dropped, with
  /// the consumers that it got meanwhile.
  func register(restored restore: StreamRestore) -> Stream {
    let stream = register(
      restore.config, created_ns: host.clock.wall_ns, logID: restore.logID, log: restore.log, isOpen: false)
    stream.foreign_ns = restore.log.lastTimestamp_ns
    return stream
  }

  /// A stream that was restored is complete.
  func open(restored stream: Stream) {
    if stream.isFile {
      let record = StoredStream(
        id: stream.logID, created_ns: stream.created_ns, config: stream.config, foreign_ns: stream.foreign_ns)
      store.setMetadata(metadataKey(stream.name), record.encoded, isVital: true)
    }
    stream.recover(withIDs: false)
    stream.subscribe()
    stream.startFeeds()
    stream.forEachConsumer { $0.messagesArrived() }
  }

  private func takeLogID() -> UInt32 {
    var id: UInt32 = 1
    if let text = store.metadata[JetStream.nextIDKey], let next = text.withView({ $0.decimal() }) {
      id = UInt32(truncatingIfNeeded: next)
    }
    for used in store.streamIDs { id = max(id, used &+ 1) }
    var next: [UInt8] = []
    next.append(decimal: id + 1)
    store.setMetadata(JetStream.nextIDKey, next)
    return id
  }

  /// Gives a stream another configuration, which was checked.
  func update(_ stream: Stream, _ config: StreamConfig) {
    if stream.config.mirror != nil, config.mirror == nil { stream.foreign_ns = stream.lastTimestamp_ns }
    if stream.isFile {
      let record = StoredStream(
        id: stream.logID, created_ns: stream.created_ns, config: config, foreign_ns: stream.foreign_ns)
      store.setMetadata(metadataKey(stream.name), record.encoded, isVital: true)
    }
    let subjectsChanged = stream.config.subjects != config.subjects
    let allowsTTLs = config.allowMessageTTL && !stream.config.allowMessageTTL
    let allowsSchedules = config.allowSchedules && !stream.config.allowSchedules
    let retentionChanged = stream.config.retention != config.retention
    stream.config = config
    stream.log.isDurable = isDurable(config)
    stream.log.keepsHistory = config.maxMessagesPerSubject > 1
    stream.chooseTransforms()
    if subjectsChanged {
      stream.unsubscribe()
      stream.subscribe()
    }
    stream.startFeeds()
    stream.endDisallowedBatches()
    if config.duplicateWindow_ns == 0 { stream.dedupe.removeAll() }
    host.timers.cancel(stream.ageTimer)
    if allowsTTLs || allowsSchedules { stream.readTTLs() }
    stream.enforceAllLimits()
    stream.forEachConsumer { $0.streamUpdated() }
    if retentionChanged, !stream.consumers.isEmpty { stream.interestLost(from: 0) }
    advise(.modify, stream.name)
  }

  /// Drops a stream with its consumers and messages.
  func delete(_ stream: Stream) {
    advise(.delete, stream.name)
    // One change: after a crash the stream is there with its consumers, or gone.
    let wasTogether = stream.isFile && store.beginTogether()
    defer { if stream.isFile { store.endTogether(wasTogether) } }
    stream.unsubscribe()
    stream.endFeeds(isDropped: true)
    host.timers.cancel(stream.ageTimer)
    stream.endExtras()
    stream.forgetSchedules()
    stream.forgetRollUps()
    stream.isDeleted = true
    table.remove(stream.name)
    stream.forEachConsumer { $0.streamDeleted() }
    stream.consumers.removeAll()
    if stream.isFile {
      store.removeMetadata(metadataKey(stream.name), isVital: true)
      store.dropStream(stream.logID)
    } else {
      // The memory is free at once, also when somebody still holds the stream.
      stream.log.removeThrough(stream.log.lastSequence)
    }
    // The subscriptions' handlers may be on the stack now: the object goes at the end of the turn.
    host.turn.defer { [self] in if let held = slots[Int(stream.slot)], held === stream { slots[Int(stream.slot)] = nil } }
  }
}

/// What the store's metadata holds of a stream.
struct StoredStream {
  let id: UInt32
  let created_ns: Int64
  let config: StreamConfig
  /// The last stamp that somebody else gave; 0 for none.
  var foreign_ns: Int64 = 0

  var encoded: [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    json.field("id", id)
    json.field("created", created_ns)
    json.fieldUnlessZero("foreign", foreign_ns)
    json.beginObject("config")
    config.write(to: &json)
    json.endObject()
    json.endObject()
    return json.finish()
  }

  static func decode(_ record: [UInt8]) -> StoredStream? {
    guard let value = try? JSON.parse(ByteString(record)), let id = value["id"]?.uint64, let narrow = UInt32(exactly: id),
      let created_ns = value["created"]?.int64, let members = value["config"]?.object
    else { return nil }
    var config = StreamConfig()
    do throws(APIError) {
      try ObjectDecoder.decode(members, path: "StreamConfig", strict: false) { field throws(APIError) in
        try config.read(field, strict: false)
      }
    } catch { return nil }
    return StoredStream(id: narrow, created_ns: created_ns, config: config, foreign_ns: value["foreign"]?.int64 ?? 0)
  }
}

extension Stream {
  /// Rebuilds what is kept in memory of the messages in the log.
  func recover(withIDs: Bool = true) {
    lastDeliverable = log.lastSequence
    if withIDs {
      var next: UInt64?
      var left = Int.max
      _ = recoverIDs(from: &next, left: &left)
    }
    _ = log.read(log.lastSequence) { message in
      if let id = Headers(message.headers).value("Nats-Msg-Id") { lastMessageID = ByteString(id) }
    }
    readTTLs()
    resumeRollUps()
    enforceAllLimits()
  }

  /// So many of the last ids count as new at least, whatever their stamps say: a wall clock that jumped between two of them makes the
  /// earlier ones look old. More than a client has in flight.
  private static let recoveredIDsMin: UInt64 = 1_000

  /// The window goes on where it stopped: how long the server was down says nothing about what publishers still wait for, and the wall
  /// clock, which may have been set meanwhile or be wrong, says nothing about how long that was. Reads `left` messages at most, from `next`
  /// on (nil: the first that counts); returns whether those were all.
  func recoverIDs(from next: inout UInt64?, left: inout Int) -> Bool {
    guard config.duplicateWindow_ns > 0, log.count > 0 else { return true }
    let last_ns = log.lastTimestamp_ns
    let now_ns = engine.host.clock.monotonic_ns
    let recent = log.lastSequence - min(log.lastSequence, Self.recoveredIDsMin) + 1
    let first = next ?? min((try? log.sequence(atOrAfter: last_ns - config.duplicateWindow_ns)) ?? recent, recent)
    var rest = left
    var reached: UInt64?
    log.scanHeaders(from: first) { message in
      guard rest > 0 else {
        reached = message.sequence
        return false
      }
      rest -= 1
      if !message.headers.isEmpty, let id = Headers(message.headers).value("Nats-Msg-Id"), !id.isEmpty {
        let age_ns = message.sequence >= recent ? 0 : last_ns - message.timestamp_ns
        dedupe.add(id, sequence: message.sequence, time_ns: now_ns - age_ns)
      }
      return true
    }
    left = rest
    next = reached
    return reached == nil
  }
}
