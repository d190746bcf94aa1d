// A backup of a stream on its way to a client (section 20): chunks at the pace of the client's acks, a bounded amount in each turn of the
// loop. The request is in API+StreamBackup.
import Broker
import Bytes
import Compression
import Interest
import JSON
import LogStore
import Platform

final class StreamSnapshot {
  enum Limits {
    static let chunkDefault = 128 << 10
    static let windowDefault = 8 << 20
    static let sizeMin = 1024
    static let chunkMax = 1 << 20
    static let windowMax = 32 << 20
    static let ackWait_ns = 5 * second_ns
    /// How long a client that does not listen yet is waited for.
    static let interestWait_ns = 2 * second_ns
    /// Archive bytes that one turn makes, to hold the loop for well under 5 ms.
    static let turnBytes = 256 << 10
  }

  /// Safe: a JetStream ends its snapshots before it goes.
  private unowned(unsafe) let engine: JetStream
  let stream: Stream
  private let deliver: ByteString
  private let chunkBytes: Int
  private let slotsMax: Int
  private let last: UInt64
  private var next: UInt64
  private var encoder = S2StreamEncoder(level: .fast)
  private let scratch = S2Scratch()
  /// Compressed and not sent yet.
  private var output: [UInt8] = []
  private var isRead = false
  private(set) var isEnded = false
  private var slots: Int
  private var index = 1
  private let ackSubject: ByteString
  private var acks: Subscription?
  /// Goes on in the next turn.
  private let stepTimer = Timer()
  private let ackTimer = Timer()
  private var waitsUntil_ns: Int64

  init(_ engine: JetStream, _ stream: Stream, deliver: ByteString, chunkBytes: Int, windowBytes: Int, preamble: [UInt8]) {
    self.engine = engine
    self.stream = stream
    self.deliver = deliver
    let chunk = min(max(Limits.sizeMin, chunkBytes == 0 ? Limits.chunkDefault : chunkBytes), Limits.chunkMax)
    let window = min(max(Limits.sizeMin, windowBytes == 0 ? Limits.windowDefault : windowBytes), Limits.windowMax)
    self.chunkBytes = chunk
    slotsMax = max(window / chunk, 1)
    slots = slotsMax
    last = stream.lastSequence
    next = stream.firstSequence
    var subject: [UInt8] = []
    subject.append(literal: "$JS.SNAPSHOT.ACK.")
    subject.append(stream.name)
    subject.append(ASCII.dot)
    subject.append(contentsOf: engine.host.entropy.name(22))
    ackSubject = ByteString(subject)
    waitsUntil_ns = engine.host.clock.monotonic_ns + Limits.interestWait_ns
    preamble.withView { write($0) }
  }

  func start() {
    acks = engine.account.subscribe(ackSubject + ByteString(".>"), origin: .service) { [unowned(unsafe) self] _, _ in
      slots = min(slots + 1, slotsMax)
      stepSoon()
    }
    stepSoon()
    restartAckTimer()
  }

  private func restartAckTimer() {
    engine.host.after(Limits.ackWait_ns, ackTimer) { [unowned(unsafe) self] in end("408 No Flow Response") }
  }

  private func stepSoon(_ wait_ns: Int64 = millisecond_ns) {
    guard !isEnded, !stepTimer.isScheduled else { return }
    engine.host.after(wait_ns, stepTimer) { [unowned(unsafe) self] in step() }
  }

  private func write(_ bytes: ByteView) { encoder.add(bytes, scratch: scratch) { output.append($0) } }

  /// Reads and sends what one turn allows.
  private func step() {
    if stream.isDeleted { return end("500 stream not found") }
    if engine.account.interest.match(deliver).plain.isEmpty, engine.host.clock.monotonic_ns < waitsUntil_ns {
      return stepSoon(Stream.expiryStepPause_ns * 50)
    }
    guard slots > 0 else { return }
    if !isRead, output.count < chunkBytes, !read() { return end("500 the stream cannot be read") }
    if output.count >= chunkBytes {
      guard sendChunk() else { return end("408 No Interest") }
    } else if isRead {
      if !output.isEmpty { engine.account.publish(to: deliver, output) }
      return end(nil)
    }
    stepSoon()
  }

  /// Adds messages to the output. False when the disk cannot be read.
  private func read() -> Bool {
    var left = Limits.turnBytes
    var entry: [UInt8] = []
    let isComplete = stream.scan(from: next) { message in
      guard message.sequence <= last, left > 0, output.count < chunkBytes else { return false }
      next = message.sequence + 1
      entry.removeAll(keepingCapacity: true)
      BackupArchive.append(
        ArchiveEntry(
          name: message.subject, timestamp_ns: message.timestamp_ns, sequence: message.sequence, headers: message.headers,
          payload: message.payload), to: &entry)
      left -= entry.count
      entry.withView { write($0) }
      return true
    }
    if let following = stream.nextSequence(atOrAfter: next), following <= last { return isComplete }
    isRead = true
    var end: [UInt8] = []
    BackupArchive.append(ArchiveEntry(), to: &end)
    end.withView { write($0) }
    encoder.finish(scratch: scratch) { output.append($0) }
    return isComplete
  }

  private func sendChunk() -> Bool {
    slots -= 1
    var reply = ackSubject.bytes
    reply.append(ASCII.dot)
    reply.append(decimal: chunkBytes)
    reply.append(ASCII.dot)
    reply.append(decimal: index)
    index += 1
    restartAckTimer()
    let isTaken = deliver.withView { deliver in
      reply.withView { reply in
        output.withView { engine.account.publish(Message(subject: deliver, reply: reply, payload: $0.prefix(chunkBytes))) }
      }
    }
    output.removeFirst(chunkBytes)
    return isTaken
  }

  /// Says that this was all; `status` is what went wrong.
  func end(_ status: StaticString?) {
    guard !isEnded else { return }
    isEnded = true
    if let acks { engine.account.remove(acks) }
    engine.host.timers.cancel(stepTimer)
    engine.host.timers.cancel(ackTimer)
    var headers: [UInt8] = []
    if status != nil || index > 1 {
      headers.append(literal: "NATS/1.0 ")
      headers.append(literal: status ?? "204")
      headers.append(literal: "\r\n\r\n")
    }
    engine.account.publish(to: deliver, [], headers: headers)
    engine.ended(self)
  }
}
