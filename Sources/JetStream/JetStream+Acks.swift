// Acks of publishes: kept until their message is on the medium, then sent in order.
import Broker
import Bytes
import CLinux
import LogStore
import Platform

extension JetStream {
  static let scratchInitialBytes = 4096

  /// A message was stored; its ack goes to `reply` (empty: nobody wants one) when `position` is durable.
  @inline(__always) func acknowledge(_ stream: Stream, sequence: UInt64, position: UInt64, reply: ByteView) {
    if position > 0 {
      durableAcks.append(position: position, sequence: sequence, slot: stream.slot, kind: .stored, reply: reply)
    } else {
      promptAcks.append(position: 0, sequence: sequence, slot: stream.slot, kind: .stored, reply: reply)
      schedulePrompt()
    }
  }

  /// The message was there already. It may not be on the medium yet, so the ack waits for all that was appended.
  func acknowledgeDuplicate(_ stream: Stream, _ sequence: UInt64, reply: ByteView) {
    guard !reply.isEmpty else { return }
    if stream.isFile, stream.log.isDurable, store.durablePosition < store.appendedPosition {
      durableAcks.append(position: store.appendedPosition, sequence: sequence, slot: stream.slot, kind: .duplicate, reply: reply)
    } else {
      promptAcks.append(position: 0, sequence: sequence, slot: stream.slot, kind: .duplicate, reply: reply)
      schedulePrompt()
    }
  }

  /// Sends `body` to `reply` when all that was appended is on the medium.
  func answerStored(_ stream: Stream, _ reply: ByteView, _ body: [UInt8]) {
    guard !reply.isEmpty else { return }
    guard stream.isFile, store.durablePosition < store.appendedPosition else { return answerSoon(reply, body) }
    body.withView {
      durableAcks.append(
        position: store.appendedPosition, sequence: 0, slot: stream.slot, kind: .answer, reply: reply, body: $0)
    }
  }

  /// Sends `body` to `reply` at the end of this turn.
  func answerSoon(_ reply: ByteView, _ body: [UInt8]) {
    body.withView { promptAcks.append(position: 0, sequence: 0, slot: 0, kind: .answer, reply: reply, body: $0) }
    schedulePrompt()
  }

  @inline(__always) private func schedulePrompt() {
    guard !isPromptScheduled else { return }
    isPromptScheduled = true
    host.turn.defer { [unowned(unsafe) self] in
      isPromptScheduled = false
      drain(promptAcks, through: 0)
    }
  }

  /// Sends what became durable.
  func drainDurable() { drain(durableAcks, through: store.durablePosition) }

  private func drain(_ acks: PendingAcks, through position: UInt64) {
    // Routing an ack can store a message (a stream may listen on inboxes), never drain again.
    guard !isDraining else { return }
    isDraining = true
    while let ack = acks.first(through: position) {
      if ack.kind == .answer {
        let (reply, body) = compose(reply: ack.reply, body: ack.body)
        acks.removeFirst(ack)
        account.publish(Message(subject: reply, payload: body))
        continue
      }
      guard let stream = slots[Int(ack.slot)] else {
        acks.removeFirst(ack)
        continue
      }
      if ack.kind == .stored {
        stream.lastDeliverable = max(stream.lastDeliverable, ack.sequence)
        if !stream.isTouched {
          stream.isTouched = true
          touched.append(stream)
        }
      }
      guard !ack.reply.isEmpty else {
        acks.removeFirst(ack)
        continue
      }
      let (reply, body) = compose(ack, stream)
      acks.removeFirst(ack)
      account.publish(Message(subject: reply, payload: body))
    }
    isDraining = false
    tellConsumers()
  }

  private func tellConsumers() {
    guard !touched.isEmpty else { return }
    let streams = touched
    touched.removeAll(keepingCapacity: true)
    let isRoomShort = isRoomShort
    for stream in streams {
      stream.isTouched = false
      stream.madeRoom = false
      if isRoomShort { stream.makeRoom() }
      if !stream.isDeleted { stream.forEachConsumer { $0.messagesArrived() } }
    }
  }

  /// Segments that are kept free, so that streams that discard old messages never have to refuse new ones.
  private static let roomSegments = 4

  /// Whether the store comes near its limit: streams that discard old messages and are being written to give up their oldest part.
  private var isRoomShort: Bool {
    let limit = store.options.storeBytesMax - Int64(store.options.reserveBytes)
    return store.bytesOnDisk + min(Int64(JetStream.roomSegments * store.options.segmentBytes), limit / 4) > limit
  }

  /// Copies reply and ack into the scratch, from where they are routed.
  @inline(__always) private func compose(_ ack: PendingAcks.Item, _ stream: Stream) -> (reply: ByteView, body: ByteView) {
    reserveScratch(ack.reply.count + stream.ackPrefix.count + 64)
    let start = scratch.assumingMemoryBound(to: UInt8.self)
    var cursor = ByteCursor(start)
    cursor.put(ack.reply)
    let bodyStart = cursor.next
    cursor.put(stream.ackPrefix)
    Decimal.withDigits(of: ack.sequence) { cursor.put($0) }
    if ack.kind == .duplicate { cursor.put(literal: ",\"duplicate\": true") }
    cursor.put(UInt8(ascii: "}"))
    return (
      ByteView(base: UnsafePointer(start), count: ack.reply.count),
      ByteView(base: UnsafePointer(bodyStart), count: cursor.next - bodyStart)
    )
  }

  private func compose(reply: ByteView, body: ByteView) -> (reply: ByteView, body: ByteView) {
    reserveScratch(reply.count + body.count)
    let start = scratch.assumingMemoryBound(to: UInt8.self)
    var cursor = ByteCursor(start)
    cursor.put(reply)
    let bodyStart = cursor.next
    cursor.put(body)
    return (
      ByteView(base: UnsafePointer(start), count: reply.count), ByteView(base: UnsafePointer(bodyStart), count: body.count)
    )
  }

  @inline(__always) private func reserveScratch(_ size: Int) {
    guard size > scratchBytes else { return }
    scratch.deallocate()
    scratchBytes = size * 2
    scratch = .allocate(byteCount: scratchBytes, alignment: 8)
  }

  /// How a publisher sees that the store refused (section 6.1, 14).
  func apiError(_ error: StoreError) -> APIError {
    switch error {
    case .full: .insufficientResources
    case .busy: APIError(429, 10167, "too many requests")
    case .tooLarge: APIError(503, 10077, "message too large")
    default: .insufficientResources
    }
  }

  static func text(_ error: StoreError) -> String {
    switch error {
    case .full: "the store is full"
    case .busy: "too much waits to be written"
    case .tooLarge: "the message is too large"
    case .failed: "the store cannot write"
    case .damaged(let sequence): "the record of sequence \(sequence) is damaged"
    case .outOfOrder(let sequence, let last): "sequence \(sequence) is not behind \(last)"
    default: "the store refused"
    }
  }
}
