// A stream that a client brings back from a backup (section 20). Its messages go into a log that belongs to no stream until the end: a
// crash before leaves nothing of it. The request is in API+StreamBackup.
import Broker
import Bytes
import Compression
import JSON
import LogStore
import Platform

final class StreamRestore {
  enum Limits {
    static let stall_ns = 5 * second_ns
    /// Bytes that are unpacked (one block of S2 at least) and taken in one turn, to hold the loop for a few milliseconds.
    static let turnBytes = 512 << 10
    /// Removals of one turn, each of which costs about as much as so many bytes.
    static let turnRemovals = 1024
    static let removalCost = 256
    /// What clients may send without waiting for answers, in all restores of an account.
    static let waitingBytes = 32 << 20
    /// What the consumers may take that came and are not made yet, in all restores of an account.
    static let consumerBytes = 32 << 20
    /// Consumers that are made in one turn.
    static let turnConsumers = 64
  }

  private enum Format {
    case unknown
    case archive(ArchiveReader)
    case directory(DirectoryBackup)
  }

  /// Safe: a JetStream ends its restores before it goes.
  private unowned(unsafe) let engine: JetStream
  let config: StreamConfig
  let subject: ByteString
  let logID: UInt32
  let log: any MessageLog
  /// Consumers that came, until their stream is there.
  private(set) var consumers: [ConsumerBackup] = []
  private var lastSequence: UInt64 = 0
  /// When the message of `lastSequence` came, which may be gone.
  private var lastTime_ns: Int64 = 0
  private var hasBegun = false
  private var failure: ByteString?
  private var isEnded = false
  private let decoder = S2StreamDecoder()
  private let scratch = S2Scratch()
  private var unpacked = PieceBuffer()
  private var format = Format.unknown
  /// Sequences that are gone, of messages that came.
  private var removals: [ClosedRange<UInt64>] = []
  /// Chunks that wait, with where their answers go; an empty one is the end.
  private var chunks: [(bytes: [UInt8], reply: ByteString)] = []
  /// Bytes of the first chunk that are unpacked.
  private var taken = 0
  private var waiting = 0
  private var consumerBytes = 0
  /// The stream in the making, how many consumers it has, and where its message ids are read next.
  private var stream: Stream?
  private var adopted = 0
  private var nextID: UInt64?
  private var subscription: Subscription?
  private let stepTimer = Timer()
  private let stallTimer = Timer()

  init(_ engine: JetStream, _ config: StreamConfig, logID: UInt32, log: any MessageLog) {
    self.engine = engine
    self.config = config
    self.logID = logID
    self.log = log
    var name: [UInt8] = []
    name.append(literal: "$JS.SNAPSHOT.RESTORE.")
    name.append(config.name)
    name.append(ASCII.dot)
    name.append(contentsOf: engine.host.entropy.name(22))
    subject = ByteString(name)
  }

  func start() {
    subscription = engine.account.subscribe(subject, origin: .service) { [unowned(unsafe) self] message, _ in receive(message) }
    restartStallTimer()
  }

  private func restartStallTimer() {
    engine.host.after(Limits.stall_ns, stallTimer) { [unowned(unsafe) self] in
      // What is being worked on is no stall.
      if chunks.isEmpty, stream == nil { abandon() } else { restartStallTimer() }
    }
  }

  private func receive(_ message: Message) {
    guard !isEnded, stream == nil else { return }
    guard !message.reply.isEmpty else { return abandon() }
    waiting += message.payload.count
    guard engine.restores.reduce(0, { $0 + $1.waiting }) <= Limits.waitingBytes else { return abandon() }
    chunks.append((message.payload.bytes, ByteString(message.reply)))
    restartStallTimer()
    stepSoon()
  }

  private func stepSoon() {
    guard !isEnded, !stepTimer.isScheduled else { return }
    engine.host.after(millisecond_ns, stepTimer) { [unowned(unsafe) self] in step() }
  }

  /// Works on the first chunk.
  private func step() {
    guard let (bytes, reply) = chunks.first else { return }
    if bytes.isEmpty {
      chunks.removeFirst()
      return finish(reply)
    }
    var left = Limits.turnBytes
    do throws(BackupError) {
      while left > 0 {
        let cost = try takeNext()
        left -= cost
        if cost > 0 { continue }
        let count = try unpack(bytes)
        if count == 0 { break }
        left -= count
      }
    } catch { failure = error.text }
    if let failure {
      respond(reply, failure: failure)
      return abandon()
    }
    if left > 0 {
      chunks.removeFirst()
      taken = 0
      waiting -= bytes.count
      let account = engine.account
      // Whoever waits for answers never sends more than the disk takes.
      engine.store.whenDurable(engine.store.appendedPosition) { account.publish(to: reply, []) }
    }
    if !chunks.isEmpty { stepSoon() }
  }

  /// Unpacks a block of the first chunk; returns how many bytes that are, 0 at the end of the chunk.
  private func unpack(_ bytes: [UInt8]) throws(BackupError) -> Int {
    try bytes.withView { whole throws(BackupError) in
      var rest = whole.dropFirst(taken)
      defer { taken = whole.count - rest.count }
      do throws(S2Error) {
        // Some blocks are of nothing.
        while let plain = try decoder.next(&rest, scratch: scratch) {
          if plain.isEmpty { continue }
          unpacked.add(plain)
          return plain.count
        }
      } catch { throw BackupError("s2: corrupt input") }
      return 0
    }
  }

  /// Takes the next thing of what is unpacked. Returns what it cost in bytes, 0 when more has to come.
  private func takeNext() throws(BackupError) -> Int {
    if !removals.isEmpty { return removeSome() }
    return try unpacked.use { view throws(BackupError) in
      if case .unknown = format {
        let magic = ByteView(BackupArchive.magic)
        guard view.count >= magic.count else { return 0 }
        format =
          view.hasPrefix(magic)
          ? .archive(ArchiveReader(messageBytesMax: messageBytesMax)) : .directory(DirectoryBackup(stream: config.name))
      }
      switch format {
      case .archive(let archive): return try archive.next(view, self)
      case .directory(let directory): return try directory.next(view, self)
      case .unknown: return 0
      }
    }
  }

  /// Headers and payload of a message.
  private var messageBytesMax: Int {
    if config.maxMessageSize > 0 { return Int(config.maxMessageSize) }
    return min(engine.options.maxPayload + Stream.headerBytesMax, LogStore.Limits.recordBytesMax)
  }

  /// Removes a bounded number of messages that are gone.
  private func removeSome() -> Int {
    var count = 0
    while count < Limits.turnRemovals, let range = removals.popLast() {
      count += 1
      if range.lowerBound <= log.firstSequence {
        log.removeThrough(min(range.upperBound, log.lastSequence))
        continue
      }
      var next = log.nextSequence(atOrAfter: range.lowerBound)
      while let sequence = next, sequence <= range.upperBound {
        guard count < Limits.turnRemovals else {
          removals.append(sequence...range.upperBound)
          break
        }
        _ = log.remove(sequence)
        count += 1
        next = log.nextSequence(atOrAfter: sequence + 1)
      }
    }
    return count * Limits.removalCost
  }

  private func append(_ sequence: UInt64, _ entry: ArchiveEntry) throws(BackupError) {
    do throws(StoreError) {
      _ = try log.append(
        sequence: sequence, timestamp_ns: entry.timestamp_ns, subject: entry.name, headers: entry.headers, payload: entry.payload)
    } catch {
      throw error == .full
        ? BackupError("insufficient storage resources available") : BackupError("the store cannot take the message now")
    }
  }

  /// What has to be there at the end, and the last sequence when its message is gone.
  private func complete() throws(BackupError) {
    var isWhole = false
    switch format {
    case .unknown: throw BackupError("EOF")
    case .archive(let archive): isWhole = archive.hasEnd
    case .directory(let directory): isWhole = directory.hasEnd && directory.hasConfiguration
    }
    guard isWhole else { throw BackupError("backup was truncated") }
    guard lastSequence > log.lastSequence else { return }
    log.skip(before: lastSequence)
    try append(lastSequence, ArchiveEntry(timestamp_ns: max(lastTime_ns, log.lastTimestamp_ns)))
    _ = log.remove(lastSequence)
  }

  /// Everything came.
  private func finish(_ reply: ByteString) {
    if failure == nil { do throws(BackupError) { try complete() } catch { failure = error.text } }
    if let failure {
      respond(reply, failure: failure)
      return abandon()
    }
    do throws(APIError) {
      stream = try engine.beginAdopting(self)
      try adopt(reply)
    } catch { fail(reply, error) }
  }

  /// Makes some of the consumers, then goes through the message ids; the stream is open when all is there.
  private func adopt(_ reply: ByteString) throws(APIError) {
    guard let stream else { return }
    guard !stream.isDeleted else { throw .streamNotFound }
    var made = 0
    while adopted < consumers.count, made < Limits.turnConsumers {
      try engine.consumerAPI?.restore(consumers[adopted], of: stream)
      adopted += 1
      made += 1
    }
    var left = Stream.searchMax
    if adopted < consumers.count || !stream.recoverIDs(from: &nextID, left: &left) {
      engine.host.after(0, stepTimer) { [unowned(unsafe) self] in
        do throws(APIError) { try adopt(reply) } catch { fail(reply, error) }
      }
      return
    }
    engine.open(restored: stream)
    end()
    var response = APIResponse("stream_create")
    stream.writeInfo(to: &response.json, Stream.InfoParts())
    let answer = response.finish()
    let account = engine.account
    engine.store.whenDurable(engine.store.appendedPosition) { account.publish(to: reply, answer) }
  }

  private func fail(_ reply: ByteString, _ error: APIError) {
    respond(reply, failure: error.text)
    if let stream, !stream.isDeleted { engine.delete(stream) }
    abandon()
  }

  private func respond(_ reply: ByteString, failure: ByteString) {
    var response = APIResponse("stream_create")
    response.error(APIError(500, 10062, text: "restore failed: " + failure.string))
    engine.account.publish(to: reply, response.finish())
  }

  private func end() {
    isEnded = true
    if let subscription { engine.account.remove(subscription) }
    engine.host.timers.cancel(stepTimer)
    engine.host.timers.cancel(stallTimer)
    engine.ended(self)
  }

  /// Gives up, with all that came.
  func abandon() {
    guard !isEnded else { return }
    end()
    if let stream {
      // What came of it goes with the stream.
      if !stream.isDeleted { engine.delete(stream) }
      return
    }
    if config.storage == .file { engine.store.dropStream(logID) } else { log.removeThrough(log.lastSequence) }
  }
}

extension StreamRestore: BackupSink {
  func begin(at sequence: UInt64) {
    hasBegun = true
    log.begin(at: sequence)
  }

  func take(given sequence: UInt64, timestamp_ns: Int64) {
    guard sequence >= lastSequence else { return }
    lastSequence = sequence
    lastTime_ns = min(max(timestamp_ns, 0), Stream.foreignStampMax_ns)
  }

  func take(removed sequences: ClosedRange<UInt64>) { removals.append(sequences) }

  func take(consumer: ConsumerBackup) throws(BackupError) {
    consumerBytes += consumer.bytes
    guard engine.restores.reduce(0, { $0 + $1.consumerBytes }) <= Limits.consumerBytes else {
      throw BackupError("the consumers take too much memory")
    }
    consumers.append(consumer)
  }

  func take(message: ArchiveEntry) throws(BackupError) {
    guard message.sequence < StreamLog.sequenceMax else { throw BackupError("message sequence is out of range") }
    if !hasBegun { begin(at: message.sequence) }
    guard message.sequence > log.lastSequence else { throw BackupError("message sequence out of order") }
    guard message.timestamp_ns >= 0, message.timestamp_ns <= Stream.foreignStampMax_ns else {
      throw BackupError("message time is out of range")
    }
    let size = message.headers.count + message.payload.count
    if config.maxMessageSize > 0, size > config.maxMessageSize { throw BackupError("message exceeds maximum message size") }
    if config.storage == .memory {
      let use_bytes = Int64(engine.server.memoryUse.bytes + size + message.name.count)
      if engine.options.maxMemory >= 0, use_bytes > engine.options.maxMemory {
        throw BackupError("insufficient memory resources available")
      }
    }
    guard engine.hasRoom(for: size + message.name.count, isFile: config.storage == .file) else {
      throw BackupError("resource limits exceeded for account")
    }
    log.skip(before: message.sequence)
    try append(message.sequence, message)
  }
}
