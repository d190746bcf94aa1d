// Priority groups of pull consumers (section 16): which waiting request may have a message. Overflow waits for a backlog, pinned_client
// serves one client at a time, prioritized keeps the queue in the order of priorities (PullQueue).
import Broker
import Bytes
import Interest
import JSON
import Platform
import Wire

/// Which client is pinned. There is one pin for all groups, as in nats-server.
struct PinState {
  /// Empty when nobody is.
  var id = ByteString()
  var group = ByteString()
  /// When it was pinned (wall); 0 for never.
  var since_ns: Int64 = 0
  /// When it loses the pin (monotonic).
  var ends_ns = Int64.max
}

extension Consumer {
  /// Whether a waiting request may have the next message.
  enum Turn { case serve, pass, wrongPin }

  func turn(of pull: WaitingPull) -> Turn {
    switch config.priorityPolicy {
    case .none, .prioritized: return .serve
    case .overflow:
      guard let group = pull.group, group.minPending > 0 || group.minAckPending > 0 else { return .serve }
      if group.minPending > 0, group.minPending <= Int64(undelivered) { return .serve }
      return group.minAckPending > 0 && group.minAckPending <= Int64(state.pendingCount) ? .serve : .pass
    case .pinnedClient:
      let id = pull.group?.id ?? ByteString()
      if id.isEmpty { return pin.id.isEmpty ? .serve : .pass }
      return id == pin.id ? .serve : .wrongPin
    }
  }

  /// The first waiting request gets a message and, when nobody is pinned, the pin with it.
  func pinFirst() {
    guard config.priorityPolicy == .pinnedClient, pin.id.isEmpty, let group = waiting.first?.group else { return }
    pin = PinState(id: ByteString(host.entropy.name(22)), group: group.name, since_ns: host.clock.wall_ns)
    waiting.setFirstID(pin.id)
    keepPin()
    advisePin("ADVISORY.CONSUMER.PINNED", "advisory.v1.consumer_group_pinned", group.name, "pinned_id", pin.id.bytes)
  }

  /// The pinned client asked: it stays pinned for the configured time.
  func keepPin() {
    pin.ends_ns = WaitingPull.later(host.clock.monotonic_ns, config.priorityTimeout_ns)
    schedule(at: pin.ends_ns)
  }

  /// Takes the pin away. `reason` is `admin` or `timeout`.
  func unpin(_ group: ByteString, _ reason: StaticString) {
    pin = PinState()
    advisePin("ADVISORY.CONSUMER.UNPINNED", "advisory.v1.consumer_group_unpinned", group, "reason", ByteView(reason).bytes)
    deliverSoon()
  }

  private func advisePin(_ event: StaticString, _ type: StaticString, _ group: ByteString, _ member: StaticString, _ value: [UInt8]) {
    engine.jetStream.advise(event, type, stream: stream.name, consumer: name, namesAccount: true) { json in
      json.field("group", group)
      value.withView { json.field(member, $0) }
    }
  }

  /// Takes the pin away when its time is over.
  func endPin(_ now_ns: Int64) { if now_ns >= pin.ends_ns { unpin(pin.group, "timeout") } }

  /// Checks what a request says of groups; throws the status line.
  func checkGroup(_ group: PriorityGroup?) throws(RefusedPull) {
    guard let group else { return }
    let policy = config.priorityPolicy
    if policy != .overflow, group.minPending != 0 || group.minAckPending != 0 {
      throw .text("400 Bad Request - Not a Overflow Priority consumer")
    }
    if policy != .pinnedClient, !group.id.isEmpty { throw .text("400 Bad Request - Not a Pinned Client Priority consumer") }
    if group.priority < 0 || group.priority > 9 { throw .text("400 Bad Request - Priority must be between 0 and 9") }
    guard policy != .none else { return }
    if group.name.isEmpty { throw .text("400 Bad Request - Priority Group missing") }
    if !config.priorityGroups.contains(group.name) { throw .text("400 Bad Request - Invalid Priority Group") }
    guard !pin.id.isEmpty else { return }
    if group.id == pin.id { keepPin() } else if !group.id.isEmpty { throw .text("423 Nats-Pin-Id mismatch") }
  }
}
