// Rounds of probes: when, whom, what they cost, and taking in their results. What a round means is in +Judgement.
import Bytes

extension ClusterSelector {
  /// A round that compares needs two clusters, and money.
  var probesPay: Bool { candidates.count > 1 && budgetLeft }

  private var budgetLeft: Bool {
    guard let budget = parameters.probe_budget_bytes else { return true }
    return now_ms - budgetSince_ms >= budgetDay_ms || budgetSpent_bytes < budget
  }

  private var budgetDay_ms: Int64 { 86_400_000 }

  mutating func charge(_ bytes: Int64) {
    spent_bytes = max(0, spent_bytes + bytes)
    if now_ms - budgetSince_ms >= budgetDay_ms {
      budgetSince_ms = now_ms
      budgetSpent_bytes = 0
    }
    budgetSpent_bytes = max(0, budgetSpent_bytes + bytes)
  }

  // MARK: beginning

  mutating func beginRound(_ kind: RoundKind, _ participants: [ClusterID], samples: Int, _ actions: inout [Action]) {
    precondition(round == nil || kind == .hunt, "two rounds at once while \(phase.name)")
    for index in candidates.indices {
      candidates[index].pending = false
      candidates[index].sample_us = nil
    }
    roundNumber += 1
    let deadline = now_ms + parameters.probe_deadline_ms
    round = Round(kind: kind, began_ms: now_ms, deadline_ms: deadline, graceUntil_ms: nil)
    for cluster in participants {
      candidates[cluster.index].pending = true
      candidates[cluster.index].charged_bytes = ClusterSelector.sample_bytes * Int64(samples)
      charge(candidates[cluster.index].charged_bytes)
      actions.append(.probe(cluster, samples: samples, round: roundNumber, deadline_ms: deadline))
    }
  }

  /// The next round of a linked agent, nil when there is none to come.
  var nextRoundDue_ms: Int64? {
    guard candidates.count > 1 else { return nil }
    guard budgetLeft else { return budgetSince_ms + budgetDay_ms }
    var due = nextRegular_ms
    if let challenge { due = min(due, challenge.next_ms) }
    if !recovering.isEmpty { due = min(due, nextRecovery_ms) }
    return due
  }

  mutating func startDueRound(_ actions: inout [Action]) -> Bool {
    guard case .linked(let current) = phase, round == nil, probesPay else { return false }
    if let challenge, challenge.next_ms <= now_ms {
      if postponeForBloat() { return true }
      self.challenge?.next_ms = now_ms + parameters.confirm_interval_ms
      beginRound(.confirm, [challenge.cluster, current], samples: parameters.samples, &actions)
      return true
    }
    if nextRegular_ms <= now_ms {
      if postponeForBloat() { return true }
      nextRegular_ms = now_ms + jitter.spread(parameters.probe_interval_ms, percent: parameters.interval_jitter_percent)
      beginRound(.regular, regularParticipants(current), samples: parameters.samples, &actions)
      return true
    }
    let absent = recovering
    if !absent.isEmpty, nextRecovery_ms <= now_ms {
      nextRecovery_ms = now_ms + jitter.spread(recoveryInterval_ms, percent: parameters.interval_jitter_percent)
      recoveryInterval_ms = min(recoveryInterval_ms * 2, parameters.recovery_interval_max_ms)
      beginRound(.recovery, absent, samples: 1, &actions)
      return true
    }
    return false
  }

  /// Everybody; on a metered uplink the current cluster, the two others that rank best, and one of the rest by chance.
  private mutating func regularParticipants(_ current: ClusterID) -> [ClusterID] {
    let all = candidates.indices.map { ClusterID($0) }
    guard parameters.metered, all.count > 4 else { return all }
    var chosen = [current]
    var others = all.filter { $0 != current }
    others.order { ranksBefore($0, $1) }
    chosen += others.prefix(2)
    others.removeFirst(2)
    chosen.append(others[Int(jitter.between(0, Int64(others.count - 1)))])
    return chosen
  }

  /// Preferable clusters that do not answer: asked more often than the rest, because a failback waits for them.
  var recovering: [ClusterID] {
    guard case .linked(let current) = phase else { return [] }
    var absent: [ClusterID] = []
    for index in candidates.indices where index != current.index {
      let candidate = candidates[index]
      guard candidate.down || candidate.estimator.lostInRow > 0 else { continue }
      let cluster = ClusterID(index)
      if grade(cluster) < grade(current) {
        absent.append(cluster)
      } else if grade(cluster) == grade(current) {
        // Never heard of is a reason to ask, not to give up.
        let far = score(cluster, candidate.estimator.latest_us).map { known in
          score(current, candidates[current.index].estimator.latest_us).map { known >= $0 } ?? false
        }
        if far != true { absent.append(cluster) }
      }
    }
    return absent
  }

  // MARK: bloat

  func isBloated(_ rtt_us: Int64, floor_us: Int64) -> Bool { rtt_us > 2 * floor_us + parameters.bloat_us }

  /// While the live link's own queue is full, a round would measure the queue and lengthen it. Puts everything off, a bounded number
  /// of times: a path that stays long is no queue.
  private mutating func postponeForBloat() -> Bool {
    guard let live, now_ms - live.at_ms <= parameters.live_fresh_ms, isBloated(live.latest_us, floor_us: live.floor_us) else {
      return false
    }
    guard postponements < parameters.postponements_max else {
      self.live?.floor_us = live.latest_us
      return false
    }
    postpone(.bloated(live_us: live.latest_us, floor_us: live.floor_us))
    return true
  }

  mutating func postpone(_ reason: Reason) {
    postponements += 1
    let until = now_ms + jitter.between(parameters.postpone_ms, 2 * parameters.postpone_ms)
    nextRegular_ms = max(nextRegular_ms, until)
    if challenge != nil { challenge?.next_ms = until }
    decide(reason)
  }

  // MARK: results

  mutating func record(_ cluster: ClusterID, _ result: ProbeResult) {
    let index = cluster.index
    candidates[index].pending = false
    switch result {
    case .answered(let rtt_us_min, let connect_us):
      if candidates[index].down || candidates[index].estimator.lostInRow > 1 {
        candidates[index].spreadUntil_ms = now_ms + jitter.between(0, parameters.failback_spread_ms)
      }
      candidates[index].down = false
      candidates[index].probeFailure = nil
      candidates[index].estimator.answered(rtt_us: rtt_us_min, connect_us: connect_us, now_ms: now_ms)
      candidates[index].sample_us = candidates[index].estimator.latest_us
      if round?.kind == .hunt, round?.graceUntil_ms == nil, !candidates[index].tried {
        round?.graceUntil_ms = now_ms + parameters.grace_ms
      }
    case .failed(let failure):
      if candidates[index].estimator.lostInRow == 0, case .linked(let current) = phase, current != cluster {
        recoveryInterval_ms = parameters.recovery_interval_ms
        nextRecovery_ms = now_ms + jitter.spread(recoveryInterval_ms, percent: parameters.interval_jitter_percent)
      }
      candidates[index].probeFailure = failure
      candidates[index].estimator.lost(now_ms: now_ms)
    }
  }

  /// Ends the round when all have reported or its time is up; false when it goes on or there is none.
  mutating func endRoundIfOver() -> Bool {
    guard let ending = round else { return false }
    if ending.deadline_ms <= now_ms {
      for index in candidates.indices where candidates[index].pending { record(ClusterID(index), .failed(.overdue)) }
    }
    for candidate in candidates where candidate.pending { return false }
    round = nil
    if case .linked(let current) = phase { judge(ending, current) }
    return true
  }
}
