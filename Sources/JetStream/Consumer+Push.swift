// Push (section 15): messages to a deliver subject while somebody listens, heartbeats, flow control.
import Broker
import Bytes
import Interest
import Platform
import Wire

/// What a push consumer knows of its receiver.
struct PushState {
  /// Bytes that may be on their way before the receiver has to answer.
  static let windowFirst = 2 << 20
  static let windowMax = 32 << 20

  var window = PushState.windowFirst
  /// Bytes sent since the receiver last answered.
  var outstanding = 0
  /// Where the receiver shall answer; empty when nothing was asked.
  var asked = ByteString()
  /// What was delivered when it was asked.
  var askedPlace = SequencePair()
  /// A sourcing consumer that must not go on as it is: a plain one whose receiver was gone, because what was on its way is lost;
  /// any one after a restart. Over when it is reset.
  var isBroken = false
  /// Bytes that the answer stands for.
  var askedBytes = 0
  var nextHeartbeat_ns = Int64.max
  var wasBound = false
}

extension Consumer {
  func startPush() {
    guard config.isPush else { return }
    engine.pushConsumers.append(self)
    push.wasBound = isBound
    if push.wasBound, config.heartbeat_ns > 0 {
      push.nextHeartbeat_ns = WaitingPull.later(host.clock.monotonic_ns, config.heartbeat_ns)
    }
    guard config.flowControl else { return }
    listen(to: "$JS.FC.", "*", long: "*") { [unowned(unsafe) self] message, _, _ in flowControlAnswered(message) }
  }

  func stopPush() { engine.pushConsumers.removeAll { $0 === self } }

  /// Whether somebody listens to the deliver subject as the configuration wants it: with a deliver group in that group, without one
  /// on a plain subscription.
  var isBound: Bool {
    let match = account.interest.match(config.deliverSubject)
    if config.deliverGroup.isEmpty { return !match.plain.isEmpty }
    for queue in match.queues where queue.name == config.deliverGroup { return true }
    return false
  }

  /// Whether a message may be pushed now.
  var canPush: Bool { push.wasBound && !push.isBroken && (!config.flowControl || push.outstanding <= push.window) }

  /// Somebody came to the deliver subject, or went.
  func bindingChanged() {
    let bound = isBound
    guard bound != push.wasBound else { return }
    push.wasBound = bound
    lastActivity_ns = host.clock.monotonic_ns
    push.window = PushState.windowFirst
    push.outstanding = 0
    push.asked = ByteString()
    if !bound, config.isPlainSourcing { push.isBroken = true }
    if bound {
      deliverSoon()
      restartHeartbeat()
    } else {
      // Nobody to say it to: no timer for it either.
      push.nextHeartbeat_ns = Int64.max
      schedule(at: nextDue_ns)
    }
  }

  private func restartHeartbeat() {
    guard config.heartbeat_ns > 0 else { return }
    push.nextHeartbeat_ns = WaitingPull.later(host.clock.monotonic_ns, config.heartbeat_ns)
    schedule(at: push.nextHeartbeat_ns)
  }

  /// A message of `size` bytes went out.
  func pushed(_ size: Int) {
    if config.heartbeat_ns > 0 {
      push.nextHeartbeat_ns = WaitingPull.later(host.clock.monotonic_ns, config.heartbeat_ns)
    }
    guard config.flowControl else { return }
    push.outstanding += size
    if push.asked.isEmpty, push.outstanding > push.window / 2 || (config.ackPolicy == .flowControl && isStalled) { askForFlow() }
  }

  /// Asks the receiver to say that it has taken what was sent.
  private func askForFlow() {
    let isLong = engine.jetStream.options.usesLongAckSubjects
    let asked = ByteString(engine.controlPrefix("$JS.FC.", stream.name, name, isLong: isLong) + host.entropy.name(4))
    push.asked = asked
    push.askedBytes = push.outstanding
    push.askedPlace = state.delivered
    HeaderBuilder(status: "100 FlowControl Request").block.withView { headers in
      config.deliverSubject.withView { target in
        asked.withView { reply in
          _ = account.deliver(Message(subject: target, reply: reply, headers: headers))
        }
      }
    }
  }

  private func flowControlAnswered(_ message: Message) {
    guard !isEnded, push.asked == message.subject else { return }
    push.outstanding = max(0, push.outstanding - push.askedBytes)
    push.asked = ByteString()
    push.window = min(push.window * 2, PushState.windowMax)
    deliverSoon()
    if config.isPlainSourcing, message.headers.isEmpty { return acknowledge(through: push.askedPlace) }
    guard config.ackPolicy == .flowControl, !message.headers.isEmpty else { return }
    // The answer says what was taken.
    let headers = Headers(message.headers)
    guard let sequence = headers.value("Nats-Last-Stream")?.decimal(), sequence > 0 else { return }
    acknowledge(through: SequencePair(consumer: headers.value("Nats-Last-Consumer")?.decimal() ?? 0, stream: sequence))
  }

  /// Says where the consumer stands when nothing went out for a while.
  func heartbeat(_ now_ns: Int64) {
    guard now_ns >= push.nextHeartbeat_ns else { return }
    guard !push.isBroken else {
      push.nextHeartbeat_ns = Int64.max
      return
    }
    push.nextHeartbeat_ns = WaitingPull.later(now_ns, config.heartbeat_ns)
    lastActivity_ns = now_ns
    sendHeartbeat(to: config.deliverSubject, stalled: push.asked)
    if config.ackPolicy == .flowControl, state.pendingCount > 0, push.asked.isEmpty { askForFlow() }
  }
}
