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
    /// Bytes that are unpacked in one turn (one block of S2 at least), to hold the loop for a few milliseconds.
    static let turnBytes = 512 << 10
    /// What a client may send without waiting for answers.
    static let waitingBytes = 32 << 20
  }

  /// Safe: a JetStream ends its restores before it goes.
  private unowned(unsafe) let engine: JetStream
  let config: StreamConfig
  let subject: ByteString
  let logID: UInt32
  let log: any MessageLog
  /// Consumers that came, until their stream is there.
  private(set) var consumers: [(name: ByteString, record: JSONValue)] = []
  private var consumersLeft: UInt64 = 0
  private var lastSequence: UInt64 = 0
  /// When the message of `lastSequence` came, which may be gone.
  private var lastTime_ns: Int64 = 0
  private var hasState = false
  private var hasEnd = false
  private var failure: ByteString?
  private var isEnded = false
  private let decoder = S2StreamDecoder()
  private let scratch = S2Scratch()
  private var reader = ArchiveReader()
  /// Chunks that wait, with where their answers go; an empty one is the end.
  private var chunks: [(bytes: [UInt8], reply: ByteString)] = []
  /// Bytes of the first chunk that are unpacked.
  private var taken = 0
  private var waiting = 0
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
    subscription = engine.account.subscribe(subject) { [unowned(unsafe) self] message, _ in receive(message) }
    restartStallTimer()
  }

  private func restartStallTimer() {
    engine.host.after(Limits.stall_ns, stallTimer) { [unowned(unsafe) self] in
      // What is being worked on is no stall.
      if chunks.isEmpty { abandon() } else { restartStallTimer() }
    }
  }

  private func receive(_ message: Message) {
    guard !isEnded else { return }
    guard !message.reply.isEmpty else { return abandon() }
    waiting += message.payload.count
    guard waiting <= Limits.waitingBytes else { return abandon() }
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
    bytes.withView { whole in
      var rest = whole.dropFirst(taken)
      do throws(S2Error) {
        while left > 0, failure == nil, let plain = try decoder.next(&rest, scratch: scratch) {
          left -= plain.count
          take(plain)
        }
      } catch { fail("s2: corrupt input") }
      taken = whole.count - rest.count
    }
    if let failure {
      respond(reply, failure: failure)
      return abandon()
    }
    if left > 0 || taken == bytes.count {
      chunks.removeFirst()
      taken = 0
      waiting -= bytes.count
      let account = engine.account
      // Whoever waits for answers never sends more than the disk takes.
      engine.store.whenDurable(engine.store.appendedPosition) { account.publish(to: reply, []) }
    }
    if !chunks.isEmpty { stepSoon() }
  }

  private func fail(_ text: StaticString) { if failure == nil { failure = ByteString(ByteView(text)) } }

  private func take(_ plain: ByteView) {
    reader.add(plain)
    do throws(ArchiveReader.Failure) {
      while failure == nil, !hasEnd, try reader.next({ take($0) }) {}
    } catch { fail("archive: invalid archive stream") }
  }

  private func take(_ entry: ArchiveEntry) {
    if !hasState {
      takeState(entry)
    } else if consumersLeft > 0 {
      let prefix = ByteView("consumers/")
      guard entry.name.hasPrefix(prefix), let record = try? JSON.parse(entry.payload) else { return fail("expected consumer") }
      consumersLeft -= 1
      consumers.append((ByteString(entry.name.dropFirst(prefix.count)), record))
    } else if entry.sequence == 0 {
      if entry.isEnd { hasEnd = true } else { fail("expected message sequence") }
    } else {
      takeMessage(entry)
    }
  }

  private func takeState(_ entry: ArchiveEntry) {
    guard entry.name.equals("state.json"), let state = try? JSON.parse(entry.payload) else { return fail("expected state.json first") }
    hasState = true
    lastSequence = state["last_seq"]?.uint64 ?? 0
    if let time = state["last_ts"]?.string { lastTime_ns = time.withView { try? RFC3339.parse($0) } ?? 0 }
    lastTime_ns = min(lastTime_ns, Stream.foreignStampMax_ns)
    consumersLeft = UInt64(clamping: state["consumer_count"]?.int64 ?? 0)
    let first = state["first_seq"]?.uint64 ?? 0
    guard first < StreamLog.sequenceMax, lastSequence < StreamLog.sequenceMax, consumersLeft <= 100_000 else {
      return fail("error in state.json")
    }
    log.begin(at: max(first, 1))
  }

  private func takeMessage(_ entry: ArchiveEntry) {
    guard entry.sequence > log.lastSequence else { return fail("message sequence out of order") }
    guard entry.timestamp_ns >= 0, entry.timestamp_ns <= Stream.foreignStampMax_ns else { return fail("message time is out of range") }
    let size = entry.headers.count + entry.payload.count
    if config.maxMessageSize > 0, size > config.maxMessageSize { return fail("message exceeds maximum message size") }
    if config.storage == .memory {
      let use_bytes = Int64(engine.memoryUse.bytes + size + entry.name.count)
      if engine.options.maxMemory >= 0, use_bytes > engine.options.maxMemory { return fail("insufficient memory resources available") }
    }
    log.skip(before: entry.sequence)
    append(entry.sequence, entry)
  }

  private func append(_ sequence: UInt64, _ entry: ArchiveEntry) {
    do throws(StoreError) {
      _ = try log.append(
        sequence: sequence, timestamp_ns: entry.timestamp_ns, subject: entry.name, headers: entry.headers, payload: entry.payload)
    } catch { fail(error == .full ? "insufficient storage resources available" : "the store cannot take the message now") }
  }

  /// Uses up a sequence.
  private func skip(_ sequence: UInt64) {
    let time_ns = sequence == lastSequence ? lastTime_ns : 0
    append(sequence, ArchiveEntry(timestamp_ns: max(time_ns, log.lastTimestamp_ns)))
    _ = log.remove(sequence)
  }

  /// Everything came.
  private func finish(_ reply: ByteString) {
    if failure == nil {
      if !hasState { fail("EOF") } else if !hasEnd { fail("backup was truncated") }
    }
    if failure == nil, lastSequence > log.lastSequence {
      log.skip(before: lastSequence)
      skip(lastSequence)
    }
    if let failure {
      respond(reply, failure: failure)
      return abandon()
    }
    do throws(APIError) {
      let stream = try engine.adopt(self)
      end()
      var response = APIResponse("stream_create")
      stream.writeInfo(to: &response.json, Stream.InfoParts())
      let answer = response.finish()
      let account = engine.account
      engine.store.whenDurable(engine.store.appendedPosition) { account.publish(to: reply, answer) }
    } catch {
      respond(reply, failure: error.text)
      abandon()
    }
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
    if config.storage == .file { engine.store.dropStream(logID) } else { log.removeThrough(log.lastSequence) }
  }
}
