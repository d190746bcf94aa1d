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
  case terminate
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
      self = .terminate
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
  /// A message to the ack subject.
  func acknowledged(_ message: Message) {
    guard !isEnded, let subject = AckSubject(message.subject, prefixLength: ackPrefix.count),
      subject.sequence <= state.delivered.stream
    else { return }
    let now_ns = host.clock.monotonic_ns
    lastActivity_ns = now_ns
    switch AckVerb(message.payload) {
    case .acknowledge: acknowledge(subject)
    case .terminate:
      if state.acknowledge(subject.sequence) { changedByAck() }
    case .refuse(let delay_ns): refuse(subject.sequence, delay_ns, now_ns)
    case .working:
      if let deliveries = state.deliveries(of: subject.sequence) {
        state.extend(subject.sequence, until: WaitingPull.later(now_ns, config.ackWait(deliveries: deliveries)))
      }
    case .next(let start):
      acknowledge(subject)
      // The reply gets the next messages instead of a confirmation.
      return pull(message.payload.dropFirst(start), reply: message.reply)
    case .unknown: break
    }
    guard !message.reply.isEmpty else { return }
    account.publish(Message(subject: message.reply))
  }

  private func acknowledge(_ subject: AckSubject) {
    let changed = config.ackPolicy == .all ? state.acknowledge(through: subject.sequence) : state.acknowledge(subject.sequence)
    if changed { changedByAck() }
  }

  private func changedByAck() {
    lastAck_ns = host.clock.wall_ns
    stateChanged(freed: true)
  }

  private func refuse(_ sequence: UInt64, _ delay_ns: Int64, _ now_ns: Int64) {
    guard delay_ns > 0 else {
      if state.refuse(sequence, until: nil) { deliverSoon() }
      return
    }
    let deadline_ns = WaitingPull.later(now_ns, delay_ns)
    guard state.refuse(sequence, until: deadline_ns), deadline_ns < ackDue_ns else { return }
    ackDue_ns = deadline_ns
    schedule(at: deadline_ns)
  }
}
