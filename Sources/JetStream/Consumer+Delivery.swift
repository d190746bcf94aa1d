// Messages on their way out: what goes next, to whom, with which ack subject.
import Broker
import Bytes
import Interest
import Platform
import Wire

extension Consumer {
  /// Messages delivered at a stretch before others get their turn.
  private static let burstMax = 256
  /// Messages that are searched through for those that match before others get their turn: a few milliseconds' worth.
  private static let searchMax = 4096
  /// How long delivery waits after the disk could not be read.
  private static let readRetry_ns = second_ns

  /// What an attempt to deliver one message came to.
  private enum Attempt {
    case delivered
    /// There is none, or none may be delivered now.
    case nothing
    /// There is one, and nobody to take it.
    case noTaker
    /// Something moved on without a delivery.
    case again
    /// The disk could not be read: nothing moved, and it is tried again.
    case failed
    /// There is one that may not go out yet; the timer is set.
    case later
    /// Many did not match: the search goes on after others had their turn.
    case searching
  }

  /// Delivers at the end of the turn, together with whatever else happens in it.
  func deliverSoon() {
    guard !shallDeliverAgain, !isEnded else { return }
    shallDeliverAgain = true
    host.turn.defer { [self] in
      guard shallDeliverAgain else { return }
      shallDeliverAgain = false
      deliver()
    }
  }

  /// Delivers what can be delivered.
  func deliver() {
    guard !isEnded else { return }
    guard !isDelivering else { return deliverSoon() }
    guard config.isPush ? canPush : !waiting.isEmpty else { return }
    guard !isPaused else { return endNoWaitRequests() }
    isDelivering = true
    var budget = Consumer.burstMax
    searchLeft = Consumer.searchMax
    var isExhausted = false
    attempts: while budget > 0, !isEnded, config.isPush ? canPush : !waiting.isEmpty {
      budget -= 1
      let attempt = prepared() ?? (state.hasQueued ? deliverQueued() : deliverNew())
      tellEnded()
      switch attempt {
      case .delivered, .again: continue
      case .noTaker:
        // Those that wait may not have it; who does not wait is told so.
        endNoWaitRequests()
        break attempts
      case .later: break attempts
      case .searching:
        budget = 0
        break attempts
      case .failed:
        schedule(at: WaitingPull.later(host.clock.monotonic_ns, Consumer.readRetry_ns))
        break attempts
      case .nothing:
        isExhausted = true
        break attempts
      }
    }
    isDelivering = false
    tellDone()
    if budget == 0 {
      // Others first: the rest in the loop's next round.
      host.after(0, burstTimer) { [self] in deliver() }
    } else if isExhausted, !isStalled {
      pace.caughtUp(to: state.next)
      endNoWaitRequests()
    }
  }

  /// What stands in the way of a delivery, which has to say how many are left.
  private func prepared() -> Attempt? {
    switch count(left: &searchLeft) {
    case .complete: return isEnded || (config.isPush ? !canPush : waiting.isEmpty) ? .nothing : nil
    case .unfinished: return .searching
    case .failed: return .failed
    }
  }

  /// Whether no new message may go out before an ack comes.
  var isStalled: Bool { isTracking && config.maxAckPending > 0 && state.pendingCount >= config.maxAckPending }

  /// Whether acks are waited for.
  var isTracking: Bool { config.ackPolicy != .none }

  private func deliverQueued() -> Attempt {
    guard let queued = state.firstQueued() else { return .again }
    if config.maxDeliver > 0, queued.deliveries >= config.maxDeliver {
      state.giveUp(queued.sequence)
      wasGivenUp(queued.sequence, deliveries: queued.deliveries)
      return .again
    }
    var attempt = Attempt.again
    let outcome = stream.read(queued.sequence) { message in
      attempt = send(message, deliveries: queued.deliveries + 1)
    }
    switch outcome {
    case .found: return attempt
    case .failed: return .failed
    case .damaged(let sequence): passDamaged(sequence)
    case .none: break
    }
    // Gone from the stream, or damaged for good.
    state.acknowledge(queued.sequence)
    engine.markDirty(self)
    return .again
  }

  private func passDamaged(_ sequence: UInt64) {
    host.log.warning("JetStream consumer '\(stream.name.string) > \(name.string)' passes over message \(sequence), which is damaged")
  }

  private func deliverNew() -> Attempt {
    guard !isStalled else { return .nothing }
    var attempt = Attempt.nothing
    while selectedNext < selected.count {
      let sequence = selected[selectedNext]
      guard sequence <= stream.lastDeliverable else { return .nothing }
      switch stream.read(sequence, { attempt = send($0, deliveries: 1) }) {
      case .found:
        // Whoever got it can have made the stream drop it.
        if attempt == .delivered, selectedNext < selected.count, selected[selectedNext] == sequence { selectedNext += 1 }
        return attempt
      case .failed: return .failed
      case .damaged(let sequence): passDamaged(sequence)
      case .none: break
      }
      selectedNext += 1
      isCounted = false
    }
    if !selected.isEmpty {
      // The selection is through: from here on everything new.
      selected = []
      selectedNext = 0
      state.next = max(state.next, resumeAfter + 1)
      isCounted = false
    }
    var reached: UInt64 = 0
    let outcome = stream.next(
      from: state.next, through: stream.lastDeliverable, matching: filters, left: &searchLeft, reached: &reached
    ) { message in
      attempt = send(message, deliveries: 1)
    }
    switch outcome {
    case .found: break
    case .failed: return .failed
    case .damaged(let sequence):
      passDamaged(sequence)
      state.next = sequence + 1
      isCounted = false
      engine.markDirty(self)
      return .again
    case .none:
      if stream.lastDeliverable >= state.next {
        // Nothing up to here matches: it need not be searched again.
        state.next = max(state.next, reached + 1)
        if reached < stream.lastDeliverable { return .searching }
      }
    }
    return attempt
  }

  // MARK: One message

  /// Delivers one message to whoever's turn it is.
  private func send(_ message: LogMessage, deliveries: Int) -> Attempt {
    let isNew = deliveries == 1
    let left = isNew ? max(undelivered - 1, 0) : undelivered
    writeAckSubject(message, deliveries: deliveries, left: left)
    var size = message.subject.count + ackSubject.count
    // The header block when it is not the stored one.
    var block: [UInt8] = []
    if config.headersOnly {
      var headers = HeaderBuilder(continuing: message.headers)
      headers.add("Nats-Msg-Size", decimal: message.payload.count)
      block = headers.block
      size += block.count
    } else {
      size += message.headers.count + message.payload.count
    }
    if !pace.isFree, mustWait(message, size) { return .later }
    let reply: ByteString
    if config.isPush {
      reply = config.deliverSubject
    } else {
      guard let pull = taker(size: size) else { return .noTaker }
      reply = pull
      if config.priorityPolicy == .pinnedClient {
        pinFirst()
        var headers = block.isEmpty ? HeaderBuilder(continuing: message.headers) : block.withView { HeaderBuilder(continuing: $0) }
        headers.add("Nats-Pin-Id", pin.id)
        block = headers.block
      }
    }
    if !pace.isFree { pace.sent(size: size, stamp_ns: message.timestamp_ns, now_ns: host.clock.monotonic_ns) }
    note(message.sequence, isNew: isNew, deliveries: deliveries)
    ackSubject.withView { ack in
      reply.withView { target in
        _ = block.withView { block in
          account.deliver(
            Message(
              subject: target, reply: ack, headers: block.isEmpty ? message.headers : block,
              payload: config.headersOnly ? ByteView() : message.payload, presentedSubject: message.subject))
        }
      }
    }
    if config.isPush { pushed(size) } else { served(size: size) }
    return .delivered
  }

  /// Whether a message must wait for its time; then delivery goes on at that time.
  private func mustWait(_ message: LogMessage, _ size: Int) -> Bool {
    let wait_ns = pace.wait_ns(size: size, stamp_ns: message.timestamp_ns, now_ns: host.clock.monotonic_ns)
    guard wait_ns > 0 else { return false }
    host.after(wait_ns, burstTimer) { [unowned(unsafe) self] in deliver() }
    return true
  }

  /// Sets the pace anew, from the configuration.
  func setPace() {
    let burst = stream.config.maxMessageSize > 0 ? Int(stream.config.maxMessageSize) : DeliveryPace.burstDefault_bytes
    pace.limit(bits: config.rateLimit_bps, burst: burst, now_ns: host.clock.monotonic_ns)
  }

  /// Books one delivery.
  private func note(_ sequence: UInt64, isNew: Bool, deliveries: Int) {
    let now_ns = host.clock.monotonic_ns
    lastDelivery_ns = host.clock.wall_ns
    lastActivity_ns = now_ns
    let deadline_ns = deadline(deliveries: deliveries, now_ns)
    if isNew {
      _ = state.deliverNew(sequence, tracked: isTracking, deadline_ns: deadline_ns)
      undelivered = max(undelivered - 1, 0)
    } else {
      _ = state.deliverAgain(sequence, deadline_ns: deadline_ns)
    }
    if !isTracking, stream.config.retention != .limits { doneUnread.append(sequence) }
    if deadline_ns < ackDue_ns {
      ackDue_ns = deadline_ns
      schedule(at: deadline_ns)
    }
    engine.markDirty(self)
  }

  /// `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<timestamp>.<left>` (section 12).
  private func writeAckSubject(_ message: LogMessage, deliveries: Int, left: Int) {
    ackSubject.removeAll(keepingCapacity: true)
    ackSubject.append(contentsOf: ackPrefix)
    ackSubject.append(decimal: deliveries)
    ackSubject.append(ASCII.dot)
    ackSubject.append(decimal: message.sequence)
    ackSubject.append(ASCII.dot)
    ackSubject.append(decimal: state.delivered.consumer + 1)
    ackSubject.append(ASCII.dot)
    ackSubject.append(decimal: message.timestamp_ns)
    ackSubject.append(ASCII.dot)
    ackSubject.append(decimal: left)
  }

  // MARK: Status messages

  /// Sends an empty message with nothing but a status line.
  func sendStatus(_ status: StaticString, to reply: ByteString) {
    account.deliver(to: reply, headers: HeaderBuilder(status: status).block)
  }

  /// Sends a status with what the request had yet to get.
  func sendStatus(_ status: StaticString, ending pull: WaitingPull) {
    var headers = HeaderBuilder(status: status)
    headers.add("Nats-Pending-Messages", decimal: pull.remaining)
    headers.add("Nats-Pending-Bytes", decimal: max(pull.remainingBytes, 0))
    account.deliver(to: pull.reply, headers: headers.block)
  }

  /// `100 Idle Heartbeat`: where the consumer stands.
  func sendHeartbeat(to reply: ByteString, stalled: ByteString = ByteString()) {
    var headers = HeaderBuilder(status: "100 Idle Heartbeat")
    headers.add("Nats-Last-Consumer", decimal: state.delivered.consumer)
    // Up to here nothing is left to deliver, whether it was delivered or did not match.
    headers.add("Nats-Last-Stream", decimal: state.next - 1)
    if !stalled.isEmpty { headers.add("Nats-Consumer-Stalled", stalled) }
    account.deliver(to: reply, headers: headers.block)
  }
}
