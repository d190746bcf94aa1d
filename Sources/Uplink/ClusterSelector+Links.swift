// Links: finding a first one, replacing a lost one at once, moving, waiting when nobody answers.

extension ClusterSelector {
  /// The cluster of the established link, nil when there is none.
  public var current: ClusterID? {
    switch phase {
    case .linked(let cluster): cluster
    case .moving(let from, _): from
    case .stopped, .hunting, .connecting, .offline: nil
    }
  }

  // MARK: finding one

  /// Asks all clusters at once, and connects to the best that answers.
  mutating func hunt(_ actions: inout [Action]) {
    hunted = true
    phase = .hunting
    guard probesPay else {
      round = nil
      for index in candidates.indices { candidates[index].sample_us = nil }
      return
    }
    let samples = everLinked == nil && backoff.attempts == 0 ? parameters.first_samples : 1
    beginRound(.hunt, candidates.indices.map { ClusterID($0) }, samples: samples, &actions)
  }

  /// Ends the hunt when everybody or the grace after the first answer allows it; false while it goes on.
  mutating func concludeHunt(_ actions: inout [Action]) -> Bool {
    let over = round == nil
    guard over || (round?.graceUntil_ms ?? Int64.max) <= now_ms else { return false }
    let answered = untried.filter { candidates[$0.index].sample_us != nil }
    if let chosen = best(answered) {
      var answers = 0
      for candidate in candidates where candidate.sample_us != nil { answers += 1 }
      connect(chosen, .nearest(chosen, rtt_us: candidates[chosen.index].sample_us ?? 0, answers: answers), &actions)
      return true
    }
    guard over else {
      // Only clusters answered that have been dialled in vain: wait for the rest.
      round?.graceUntil_ms = nil
      return false
    }
    nextOrOffline(&actions)
    return true
  }

  private var untried: [ClusterID] { candidates.indices.filter { !candidates[$0].tried }.map { ClusterID($0) } }

  mutating func forgetTried() {
    for index in candidates.indices { candidates[index].tried = false }
  }

  /// Without a link: dials the next in rank, else asks all, else waits.
  private mutating func nextOrOffline(_ actions: inout [Action], after lost: ClusterID? = nil, _ failure: LinkFailure? = nil) {
    let direct = untried.filter { cluster in
      // Without probes everybody is dialled in turn. With them only who is not known to be gone, and who may want TLS before INFO.
      !probesPay || reachability(cluster) < 2 || candidates[cluster.index].probeFailure == .noInfo
    }
    if let next = best(direct) {
      let rtt_us = candidates[next.index].estimator.value_us
      if let lost, let failure {
        let neverUp = departed != lost
        connect(
          next,
          neverUp
            ? .next(after: lost, failure: failure, to: next, rtt_us: rtt_us)
            : .failover(from: lost, failure: failure, to: next, rtt_us: rtt_us), &actions)
      } else {
        connect(next, .inTurn(next), &actions)
      }
    } else if !hunted, probesPay {
      if let lost, let failure { decide(.lost(lost, failure: failure)) }
      hunt(&actions)
    } else {
      departed = nil
      let wait_ms = backoff.next(now_ms: now_ms, jitter: &jitter)
      phase = .offline(until_ms: now_ms + wait_ms)
      decide(.offline(wait_ms: wait_ms, attempts: backoff.attempts))
    }
  }

  private mutating func connect(_ cluster: ClusterID, _ reason: Reason, _ actions: inout [Action]) {
    candidates[cluster.index].tried = true
    phase = .connecting(cluster)
    change(reason)
    actions.append(.connect(cluster, reason: reason))
  }

  mutating func move(_ from: ClusterID, _ to: ClusterID, _ reason: Reason, _ actions: inout [Action]) {
    challenge = nil
    lameDuckAt_ms = nil
    _ = endOutageIfStable()
    // Judged against the others a moment ago: should it fail, they may be dialled at once.
    forgetTried()
    phase = .moving(from: from, to: to)
    change(reason)
    actions.append(.move(from: from, to: to, reason: reason))
  }

  // MARK: what became of it

  /// A link that has lasted ends the outage before it: everybody may be dialled anew, and waits begin small. One that breaks at once
  /// (a box that accepts for a dead hub) does not, so it cannot make the agent dial in a tight circle.
  private mutating func endOutageIfStable() -> Bool {
    guard now_ms - linkedSince_ms >= parameters.stable_ms else { return false }
    forgetTried()
    hunted = false
    backoff.reset()
    return true
  }

  mutating func established(_ cluster: ClusterID) {
    let chosenAtLeisure: Bool
    switch phase {
    case .connecting(let expected) where expected == cluster: chosenAtLeisure = false
    case .moving(let from, let to) where to == cluster:
      chosenAtLeisure = true
      if from != to { leave(from) }
    case .stopped, .hunting, .connecting, .linked, .moving, .offline: preconditionFailure("linkUp while \(phase.name)")
    }
    if let departed, departed != cluster { leave(departed) }
    departed = nil
    phase = .linked(cluster)
    linkedSince_ms = now_ms
    candidates[cluster.index].down = false
    candidates[cluster.index].linkFailure = nil
    candidates[cluster.index].tried = true
    live = nil
    challenge = nil
    postponements = 0
    lameDuckAt_ms = nil
    if let last = everLinked {
      dwellUntil_ms = now_ms + (chosenAtLeisure ? parameters.dwell_ms : parameters.failback_dwell_ms)
      if last != cluster { switches += 1 }
    } else {
      dwellUntil_ms = started_ms + parameters.correction_ms
    }
    everLinked = cluster

    recoveryInterval_ms = parameters.recovery_interval_ms
    nextRecovery_ms = now_ms + jitter.spread(recoveryInterval_ms, percent: parameters.interval_jitter_percent)
    // A choice made in haste is looked at again soon when another seems better already.
    let better = best(candidates.indices.filter { reachability(ClusterID($0)) == 0 }.map { ClusterID($0) })
    let interval_ms =
      chosenAtLeisure || better == nil || better == cluster ? parameters.probe_interval_ms : parameters.confirm_interval_ms
    nextRegular_ms = now_ms + jitter.spread(interval_ms, percent: parameters.interval_jitter_percent)
  }

  mutating func lost(_ cluster: ClusterID, _ failure: LinkFailure, _ actions: inout [Action]) {
    candidates[cluster.index].linkFailure = failure
    challenge = nil
    live = nil
    lameDuckAt_ms = nil
    switch phase {
    case .linked(let expected) where expected == cluster:
      let wasStable = endOutageIfStable()
      // One of several servers closing says little about the others; silence says that the way there is gone.
      let mayRetry = wasStable && failure == .closed && candidates[cluster.index].description.urlCount > 1
      candidates[cluster.index].down = !mayRetry
      departed = cluster
      nextOrOffline(&actions, after: cluster, failure)
    case .moving(let from, let to) where from == cluster:
      _ = endOutageIfStable()
      if from != to {
        candidates[from.index].down = true
        departed = from
      }
      // The dial to `to` is on its way already.
      candidates[to.index].tried = true
      phase = .connecting(to)
      change(
        .failover(from: from, failure: failure, to: to, rtt_us: candidates[to.index].estimator.value_us))
    case .stopped, .hunting, .connecting, .linked, .moving, .offline: preconditionFailure("linkDown while \(phase.name)")
    }
  }

  mutating func notEstablished(_ cluster: ClusterID, _ failure: LinkFailure, _ actions: inout [Action]) {
    candidates[cluster.index].linkFailure = failure
    switch phase {
    case .connecting(let expected) where expected == cluster:
      if failure.isRejection {
        // It answers probes, so only this keeps a later round from moving there again and again.
        hold(cluster)
      } else {
        candidates[cluster.index].down = true
      }
      nextOrOffline(&actions, after: cluster, failure)
    case .moving(let from, let to) where to == cluster:
      hold(cluster)
      if from != to, !failure.isRejection { candidates[to.index].down = true }
      phase = .linked(from)
      decide(.moveFailed(to, failure: failure, kept: from))
    case .stopped, .hunting, .connecting, .linked, .moving, .offline:
      preconditionFailure("linkFailedToConnect while \(phase.name)")
    }
  }

  mutating func leaveLameDuck(_ cluster: ClusterID, _ actions: inout [Action]) {
    lameDuckAt_ms = nil
    if candidates[cluster.index].description.urlCount > 1 {
      move(cluster, cluster, .lameDuck(from: cluster, to: cluster), &actions)
      return
    }
    let others = candidates.indices.filter { $0 != cluster.index && reachability(ClusterID($0)) == 0 }.map { ClusterID($0) }
    // With nobody else in sight the link is used until it ends.
    guard let next = best(others) else { return decide(.lameDuckAlone(cluster)) }
    move(cluster, next, .lameDuck(from: cluster, to: next), &actions)
  }

  // MARK: hold-down

  /// The uplink has left `cluster` for another. Leaving it again soon makes it wait, and longer each time.
  private mutating func leave(_ cluster: ClusterID) {
    let index = cluster.index
    let before = candidates[index].leftAt_ms
    let window_ms = max(parameters.hold_down_window_ms, 2 * holdDown_ms(candidates[index].holdLevel))
    candidates[index].leftAt_ms = now_ms
    guard let before, now_ms - before < window_ms else {
      candidates[index].holdLevel = 0
      return
    }
    hold(cluster)
  }

  private mutating func hold(_ cluster: ClusterID) {
    let index = cluster.index
    candidates[index].leftAt_ms = now_ms
    candidates[index].holdLevel = min(candidates[index].holdLevel + 1, 32)
    candidates[index].heldUntil_ms = now_ms + holdDown_ms(candidates[index].holdLevel)
  }

  /// Nothing the first time, then doubling.
  private func holdDown_ms(_ level: Int) -> Int64 {
    var hold_ms = level == 0 ? 0 : parameters.hold_down_ms
    for _ in 1..<max(level, 2) where level > 1 {
      hold_ms = min(hold_ms * 2, parameters.hold_down_max_ms)
    }
    return hold_ms
  }
}
