// What receivers say of a message (section 12): the ack subject's numbers and the verbs in the payload.
import Broker
import Bytes
import Interest
import JSON
import Platform

/// What an ack subject says: `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<timestamp>.<left>`.
struct AckSubject: Equatable {
  let deliveries: UInt64
  let sequence: UInt64
  let delivery: UInt64

  init(deliveries: UInt64, sequence: UInt64, delivery: UInt64) {
    self.deliveries = deliveries
    self.sequence = sequence
    self.delivery = delivery
  }

  /// Reads the numbers behind `prefixLength` bytes.
  init?(_ subject: ByteView, prefixLength: Int) {
    guard subject.count > prefixLength else { return nil }
    var tokens = Subject.Tokens(subject.dropFirst(prefixLength))
    guard let deliveries = tokens.next()?.decimal(), let sequence = tokens.next()?.decimal(),
      let delivery = tokens.next()?.decimal(), sequence > 0
    else { return nil }
    self.deliveries = deliveries
    self.sequence = sequence
    self.delivery = delivery
  }
}

/// What a receiver says.
enum AckVerb: Equatable {
  case acknowledge
  /// Deliver it again, now or after a while.
  case refuse(delay_ns: Int64)
  case working
  /// Done with, without success. The reason begins at this index.
  case terminate(reasonAt: Int)
  /// Acknowledge, and the next messages please. The request is what follows at this index.
  case next(requestAt: Int)
  case unknown

  init(_ payload: ByteView) {
    if payload.isEmpty || payload.equals("+ACK") || payload.equals("+OK") {
      self = .acknowledge
    } else if payload.hasPrefix("+NXT") {
      self = .next(requestAt: 4)
    } else if payload.hasPrefix("-NAK") {
      self = .refuse(delay_ns: AckVerb.delay(payload.dropFirst(4).trimmed))
    } else if payload.equals("+WPI") {
      self = .working
    } else if payload.hasPrefix("+TERM") {
      self = .terminate(reasonAt: 5)
    } else {
      self = .unknown
    }
  }

  /// `{"delay":ns}` or a duration as Go writes it; anything else is none.
  private static func delay(_ text: ByteView) -> Int64 {
    guard !text.isEmpty else { return 0 }
    if text[0] == UInt8(ascii: "{") {
      guard let value = try? JSON.parse(text), let delay_ns = value["delay"]?.int64 else { return 0 }
      return max(delay_ns, 0)
    }
    return max(GoDuration.parse(text) ?? 0, 0)
  }
}

extension Consumer {
  /// Deadlines that are looked at before others get their turn.
  private static let expiriesMax = 4096
  /// How soon the next deadline is looked at.
  private static let expiryPause_ns = millisecond_ns
  /// Given up messages that a consumer remembers where they only matter to a count.
  private static let givenUpMax = 65_536

  /// A message to the ack subject, whose numbers begin at `prefixLength`.
  func acknowledged(_ message: Message, from source: Endpoint, _ prefixLength: Int) {
    guard !isEnded, let subject = AckSubject(message.subject, prefixLength: prefixLength) else { return }
    let now_ns = host.clock.monotonic_ns
    lastActivity_ns = now_ns
    switch AckVerb(message.payload) {
    case .acknowledge:
      // Of a message that was not delivered yet nothing can be said.
      guard subject.sequence < state.next else { return }
      acknowledge(subject, now_ns, isSampled: true)
    case .terminate(let start):
      if subject.sequence < state.next { acknowledge(subject, now_ns, isSampled: false) }
      adviseTerminated(subject, reason: message.payload.dropFirst(start).trimmed)
      guard subject.sequence < state.next else { return }
    case .refuse(let delay_ns): refuse(subject, delay_ns, now_ns)
    case .working:
      if let deliveries = state.deliveries(of: subject.sequence) {
        state.extend(subject.sequence, until: deadline(deliveries: deliveries, now_ns))
      }
    case .next(let start):
      if subject.sequence < state.next { acknowledge(subject, now_ns, isSampled: true) }
      // The reply gets the next messages instead of a confirmation.
      return pull(message.payload.dropFirst(start), reply: message.reply, from: source)
    case .unknown: break
    }
    guard !message.reply.isEmpty else { return }
    account.publish(Message(subject: message.reply))
  }

  /// When a delivery that is made now has to be acknowledged.
  func deadline(deliveries: Int, _ now_ns: Int64) -> Int64 {
    guard isTracking, config.ackPolicy != .flowControl else { return Int64.max }
    return WaitingPull.later(now_ns, max(config.ackWait(deliveries: deliveries), Consumer.expiryPause_ns))
  }

  private func acknowledge(_ subject: AckSubject, _ now_ns: Int64, isSampled: Bool) {
    if config.ackPolicy == .explicit {
      if isSampled, samplePercent > 0, let pending = state.pending(subject.sequence) { sample(subject, pending, now_ns) }
      guard state.acknowledge(subject.sequence) else { return }
      changedByAck()
      stream.consumerIsDone(with: subject.sequence)
    } else {
      acknowledge(through: SequencePair(consumer: subject.delivery, stream: subject.sequence))
    }
  }

  /// Everything up to a delivery is acknowledged.
  func acknowledge(through place: SequencePair) {
    var done: [UInt64] = []
    let tells = stream.config.retention != .limits
    guard state.acknowledge(through: place, done: { if tells { done.append($0) } }) else { return }
    changedByAck()
    for sequence in done { stream.consumerIsDone(with: sequence) }
  }

  func changedByAck() {
    lastAck_ns = host.clock.wall_ns
    stateChanged(freed: true)
  }

  private func refuse(_ subject: AckSubject, _ delay_ns: Int64, _ now_ns: Int64) {
    let sequence = subject.sequence
    guard subject.delivery > state.floor.consumer, subject.delivery <= state.delivered.consumer, state.isPending(sequence) else { return }
    adviseRefused(subject)
    guard delay_ns > 0 else {
      if state.refuse(sequence, until: nil) { deliverSoon() }
      return
    }
    let deadline_ns = WaitingPull.later(now_ns, max(delay_ns, Consumer.expiryPause_ns))
    guard state.refuse(sequence, until: deadline_ns), deadline_ns < ackDue_ns else { return }
    ackDue_ns = deadline_ns
    schedule(at: deadline_ns)
  }

  // MARK: No ack in time

  /// Queues what was not acknowledged in time, and gives up what was delivered often enough.
  func expireAcks(_ now_ns: Int64) {
    var gaveUp: [PendingDelivery] = []
    let next_ns = state.expire(now_ns: now_ns, maxDeliver: config.maxDeliver, limit: Consumer.expiriesMax) { gaveUp.append($0) }
    ackDue_ns = next_ns.map { max($0, now_ns + Consumer.expiryPause_ns) } ?? Int64.max
    for delivery in gaveUp { wasGivenUp(delivery.sequence, deliveries: Int(delivery.deliveries)) }
  }

  /// A message was delivered for the last time and not acknowledged.
  func wasGivenUp(_ sequence: UInt64, deliveries: Int) {
    adviseMaxDeliveries(sequence, deliveries)
    if stream.config.retention == .limits { state.forgetGivenUp(keeping: Consumer.givenUpMax) }
    stateChanged(freed: true)
  }

  /// Tells the stream what was delivered without waiting for an ack.
  func tellDone() {
    guard !doneUnread.isEmpty else { return }
    let done = doneUnread
    doneUnread.removeAll(keepingCapacity: true)
    for sequence in done { stream.consumerIsDone(with: sequence) }
  }
}
