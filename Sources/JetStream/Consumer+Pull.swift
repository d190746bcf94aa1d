// Requests for messages (section 14): taking them, serving them in turn, ending them.
import Broker
import Bytes
import Interest
import Platform
import Wire

extension Consumer {
  /// Takes a request to MSG.NEXT.
  func pull(_ body: ByteView, reply: ByteView, from source: Endpoint) {
    guard !reply.isEmpty else { return }
    let target = ByteString(reply)
    if config.isPush { return sendStatus("409 Consumer is push based", to: target) }
    let now_ns = host.clock.monotonic_ns
    lastActivity_ns = now_ns
    do throws(RefusedPull) {
      var request = try PullRequest.decode(body)
      try request.check(config)
      try checkGroup(request.group)
      guard isAcceptable(request, reply: target) else { return }
      let pull = WaitingPull(request, reply: target, isRemote: source.kind == .leaf, now_ns: now_ns)
      if config.priorityPolicy == .prioritized {
        waiting.insertByPriority(pull)
        // A more urgent request may come right behind it.
        deliverSoon()
      } else {
        waiting.append(pull)
        deliver()
      }
      if !waiting.isEmpty { schedule(at: pull.nextDue_ns) }
    } catch {
      switch error {
      case .text(let status):
        [UInt8](status.utf8).withView { status in
          _ = account.deliver(to: target, headers: HeaderBuilder(status: status).block)
        }
      }
    }
  }

  /// Whether a request may wait. If not, it was answered.
  private func isAcceptable(_ request: PullRequest, reply: ByteString) -> Bool {
    if request.noWait {
      var left = Consumer.countMax
      // Where counting takes longer, the request waits for that like one that may wait.
      let isKnown = isPaused || count(left: &left) == .complete
      let available = (isPaused ? 0 : undelivered) + state.queuedCount
      if isKnown, available == 0, request.expires_ns == 0 {
        sendStatus("404 No Messages", to: reply)
        return false
      }
      if isKnown, available > 0, !waiting.isEmpty, Int64(available) < waiting.wanted {
        sendStatus("408 Requests Pending", to: reply)
        return false
      }
    }
    if waiting.count >= config.maxWaiting {
      let now_ns = host.clock.monotonic_ns
      if now_ns >= nextSweep_ns {
        nextSweep_ns = now_ns + Consumer.sweepInterval_ns
        dropDeserted()
      }
    }
    guard waiting.count >= config.maxWaiting else { return true }
    if request.heartbeat_ns == 0 { sendStatus("409 Exceeded MaxWaiting", to: reply) }
    return false
  }

  /// A full queue is searched for room this often.
  private static let sweepInterval_ns = second_ns

  /// Whether somebody listens for what a request asked for.
  func isWanted(_ pull: WaitingPull) -> Bool {
    pull.reply.withView { account.interest.hasInterest(in: $0) } || pull.graceEnds_ns > host.clock.monotonic_ns
  }

  /// Drops requests whose reply nobody listens to any more.
  func dropDeserted() { waiting.retain { isWanted($0) } }

  /// Where a message of `size` bytes goes: the reply of the request whose turn it is. Ends requests that cannot take it; nil when
  /// none is left. They are told so by `tellEnded`.
  func taker(size: Int) -> ByteString? {
    let now_ns = host.clock.monotonic_ns
    var passed = 0
    while let pull = waiting.first {
      if pull.deadline_ns <= now_ns {
        waiting.removeFirst()
        ended.append(("408 Request Timeout", pull))
        continue
      }
      if !isWanted(pull) {
        waiting.removeFirst()
        continue
      }
      switch turn(of: pull) {
      case .serve: break
      case .pass:
        passed += 1
        // All of them in turn: when nobody takes it, the order is the old one.
        waiting.passFirst()
        guard passed < waiting.count else { return nil }
        continue
      case .wrongPin:
        waiting.removeFirst()
        ended.append(("423 Nats-Wrong-Pin-Id", pull))
        continue
      }
      if pull.limitsBytes, size > pull.remainingBytes {
        waiting.removeFirst()
        ended.append(("409 Message Size Exceeds MaxBytes", pull))
      } else {
        return pull.reply
      }
    }
    return nil
  }

  /// The request whose turn it was got its message.
  func served(size: Int) {
    guard !waiting.isEmpty else { return }
    let byPriority = config.priorityPolicy == .prioritized
    if let done = waiting.serveFirst(size: size, byPriority: byPriority, now_ns: host.clock.monotonic_ns), done.limitsBytes,
      done.remainingBytes > 0
    {
      ended.append(("409 Batch Completed", done))
    }
  }

  /// Tells requests that a delivery ended. Their replies can be subjects of the stream, which then stores and drops messages: never in
  /// the middle of a delivery.
  func tellEnded() {
    guard !ended.isEmpty else { return }
    let told = ended
    ended.removeAll(keepingCapacity: true)
    for (status, pull) in told { sendStatus(status, ending: pull) }
  }

  /// Nothing is left to deliver: ends the requests that do not wait for more.
  func endNoWaitRequests() {
    var answered: [ByteString] = []
    waiting.retain { pull in
      guard pull.noWait, pull.delivered > 0 || pull.deadline_ns == Int64.max else { return true }
      answered.append(pull.reply)
      return false
    }
    for reply in answered { sendStatus("404 No Messages", to: reply) }
  }

  /// Ends requests whose time is over and sends the heartbeats that are due.
  func endRequests(_ now_ns: Int64) {
    guard !waiting.isEmpty else { return }
    // Too many unacknowledged messages are the end for those that do not wait, too, once a heartbeat would be due (as nats-server does it).
    if isStalled, let due_ns = waiting.nextDue_ns, due_ns <= now_ns { endNoWaitRequests() }
    var over: [WaitingPull] = []
    var beats: [ByteString] = []
    waiting.retain { pull in
      if pull.deadline_ns <= now_ns {
        over.append(pull)
        return false
      }
      if pull.nextHeartbeat_ns <= now_ns {
        beats.append(pull.reply)
        pull.nextHeartbeat_ns = WaitingPull.later(now_ns, pull.heartbeat_ns)
      }
      return true
    }
    if !over.isEmpty { lastActivity_ns = now_ns }
    for pull in over { sendStatus("408 Request Timeout", ending: pull) }
    for reply in beats { sendHeartbeat(to: reply) }
  }
}
