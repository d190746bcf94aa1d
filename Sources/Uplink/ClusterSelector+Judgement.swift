// Comparing clusters: who is preferable, who is nearer in one round, and when that is proven.

extension ClusterSelector {
  // MARK: order

  /// Lower is preferable whatever the distance: the pinned cluster, then the tiers.
  func grade(_ cluster: ClusterID) -> Int {
    let description = candidates[cluster.index].description
    return description.pinned ? Int.min : description.tier
  }

  /// The weighted distance; nil is infinity.
  func score(_ cluster: ClusterID, _ rtt_us: Int64?) -> Int64? {
    rtt_us.map { Int64(Double($0) * candidates[cluster.index].description.weight) }
  }

  /// 0 answered its last probe and has not failed since, 1 is unknown, 2 is not known to be reachable.
  func reachability(_ cluster: ClusterID) -> Int {
    let candidate = candidates[cluster.index]
    if candidate.down || candidate.estimator.lostInRow > 1 { return 2 }
    if candidate.estimator.value_us != nil { return 0 }
    return candidate.estimator.lostInRow == 0 ? 1 : 2
  }

  private func rank(_ cluster: ClusterID) -> (reachability: Int, grade: Int, score: Int64) {
    let value = candidates[cluster.index].estimator.value_us
    return (reachability(cluster), grade(cluster), score(cluster, value) ?? Int64.max)
  }

  /// The order in which clusters are tried and shown.
  func ranksBefore(_ one: ClusterID, _ other: ClusterID) -> Bool {
    let (left, right) = (rank(one), rank(other))
    if left.reachability != right.reachability { return left.reachability < right.reachability }
    if left.grade != right.grade { return left.grade < right.grade }
    if left.score != right.score { return left.score < right.score }
    return one.index < other.index
  }

  /// The best of `among`; between equally near ones the device's identity chooses.
  func best(_ among: [ClusterID]) -> ClusterID? {
    guard var first = among.first else { return nil }
    for cluster in among where ranksBefore(cluster, first) { first = cluster }
    let limit = rank(first)
    var chosen = first
    for cluster in among {
      let other = rank(cluster)
      guard other.reachability == limit.reachability, other.grade == limit.grade else { continue }
      // Two unknown distances are equal; a known one is never equal to infinity.
      guard other.score == limit.score || (limit.score < Int64.max && other.score <= limit.score + parameters.band_us) else { continue }
      if candidates[cluster.index].tie < candidates[chosen.index].tie { chosen = cluster }
    }
    return chosen
  }

  // MARK: one round

  func margin_us(_ current_us: Int64) -> Int64 { max(parameters.margin_us, current_us * parameters.margin_percent / 100) }

  /// Whether `cluster` is preferable to `current` by this round's samples alone.
  private func beats(_ cluster: ClusterID, _ current: ClusterID, current_us: Int64?) -> Bool {
    guard let theirs = score(cluster, candidates[cluster.index].sample_us) else { return false }
    if grade(cluster) != grade(current) { return grade(cluster) < grade(current) }
    // The current cluster's sample was lost: that says nothing for anybody else.
    guard let ours = score(current, current_us) else { return false }
    return theirs + margin_us(ours) < ours
  }

  /// A round has ended while linked to `current`.
  mutating func judge(_ round: Round, _ current: ClusterID) {
    let others = candidates.indices.filter { $0 != current.index && candidates[$0].sample_us != nil }.map { ClusterID($0) }
    if round.kind == .recovery {
      // The current cluster was not asked, so nothing can be compared; who has come back is asked again beside it, now.
      guard let back = best(others) else { return }
      if let challenge, !ranksBefore(back, challenge.cluster) { return }
      challenge = Challenge(cluster: back, rounds: 0, next_ms: now_ms, counted_ms: round.began_ms, confirmed_ms: nil)
      decide(.recovered(back))
      return
    }

    let current_us = candidates[current.index].sample_us ?? freshLive_us
    if let current_us, isCommonlyBloated(current, current_us, others) {
      if postponements < parameters.postponements_max {
        postpone(.bloated(live_us: current_us, floor_us: candidates[current.index].estimator.floor_us ?? current_us))
        return
      }
      for index in candidates.indices { candidates[index].estimator.forgetFloor() }
    }
    postponements = 0

    var winner: ClusterID?
    for cluster in others where beats(cluster, current, current_us: current_us) {
      if let best = winner, !ranksBefore(cluster, best) { continue }
      winner = cluster
    }
    advanceChallenge(round, current, current_us: current_us, winner: winner)
  }

  private mutating func advanceChallenge(_ round: Round, _ current: ClusterID, current_us: Int64?, winner: ClusterID?) {
    if let running = challenge {
      if beats(running.cluster, current, current_us: current_us) {
        if let winner, winner != running.cluster, clearlyBetter(winner, running.cluster) {
          begin(challenge: winner, round)
        } else {
          if running.rounds == 0 || round.began_ms - running.counted_ms >= parameters.confirm_interval_ms {
            challenge?.rounds += 1
            challenge?.counted_ms = round.began_ms
            challenge?.next_ms = round.began_ms + parameters.confirm_interval_ms
          }
          challenge?.confirmed_ms = now_ms
        }
      } else if current_us == nil, candidates[running.cluster.index].sample_us != nil {
        // The current cluster's sample alone was lost: this round neither confirms nor refutes.
        decide(.noComparison(current))
        return
      } else {
        challenge = nil
        if let winner { begin(challenge: winner, round) }
      }
    } else if let winner {
      begin(challenge: winner, round)
    }

    if let challenge {
      decide(.confirming(challenge.cluster, rounds: challenge.rounds, of: parameters.confirm_rounds))
    } else {
      explainKeeping(current, current_us: current_us)
    }
  }

  private mutating func begin(challenge cluster: ClusterID, _ round: Round) {
    challenge = Challenge(
      cluster: cluster, rounds: 1, next_ms: round.began_ms + parameters.confirm_interval_ms, counted_ms: round.began_ms,
      confirmed_ms: now_ms)
  }

  /// Better by more than noise: reason enough to prove another challenger from the beginning.
  private func clearlyBetter(_ one: ClusterID, _ other: ClusterID) -> Bool {
    if grade(one) != grade(other) { return grade(one) < grade(other) }
    guard let near = score(one, candidates[one.index].sample_us) else { return false }
    guard let far = score(other, candidates[other.index].sample_us) else { return true }
    return near + margin_us(far) < far
  }

  private mutating func explainKeeping(_ current: ClusterID, current_us: Int64?) {
    var nearest: (cluster: ClusterID, score: Int64)?
    for index in candidates.indices where index != current.index {
      let cluster = ClusterID(index)
      guard grade(cluster) == grade(current), let theirs = score(cluster, candidates[index].sample_us) else { continue }
      if theirs < nearest?.score ?? Int64.max { nearest = (cluster, theirs) }
    }
    guard let ours = score(current, current_us) else { return decide(.noComparison(current)) }
    if let nearest, nearest.score < ours {
      decide(.belowMargin(current, nearer: nearest.cluster, gain_us: ours - nearest.score, margin_us: margin_us(ours)))
    } else {
      decide(.keptBest(current, rtt_us: current_us ?? 0))
    }
  }

  private var freshLive_us: Int64? {
    guard let live, now_ms - live.at_ms <= parameters.live_fresh_ms else { return nil }
    return live.latest_us
  }

  /// The current cluster and most of the others are far above their floors at once: the path they share is full.
  private func isCommonlyBloated(_ current: ClusterID, _ current_us: Int64, _ others: [ClusterID]) -> Bool {
    guard let floor = candidates[current.index].estimator.floor_us, isBloated(current_us, floor_us: floor) else { return false }
    var bloated = 0
    for cluster in others {
      let candidate = candidates[cluster.index]
      if let sample = candidate.sample_us, let floor = candidate.estimator.floor_us, isBloated(sample, floor_us: floor) { bloated += 1 }
    }
    return bloated > 0 && bloated * 2 >= others.count
  }

  // MARK: proof

  /// When `cluster` may be moved to at the earliest.
  func movableFrom_ms(_ cluster: ClusterID) -> Int64 {
    let candidate = candidates[cluster.index]
    return max(dwellUntil_ms, max(candidate.heldUntil_ms, candidate.spreadUntil_ms))
  }

  /// Moves to a challenger that is proven and whose time has come; one that must wait is proven once more at the end of the wait.
  mutating func moveIfProven(from current: ClusterID, _ actions: inout [Action]) -> Bool {
    guard let proven = challenge, proven.rounds >= parameters.confirm_rounds, proven.confirmed_ms == now_ms else { return false }
    let to = proven.cluster
    let earliest = movableFrom_ms(to)
    guard now_ms >= earliest else {
      challenge?.next_ms = earliest
      let held = candidates[to.index].heldUntil_ms == earliest
      decide(held ? .held(to, wait_ms: earliest - now_ms) : .dwelling(to, wait_ms: earliest - now_ms))
      return false
    }
    let reason: Reason
    if candidates[to.index].description.pinned {
      reason = .pinned(from: current, to: to)
    } else if grade(to) < grade(current) {
      reason = .betterTier(from: current, to: to)
    } else {
      reason = .nearer(
        from: current, to: to, from_us: candidates[current.index].sample_us ?? live?.latest_us ?? 0,
        to_us: candidates[to.index].sample_us ?? 0, rounds: proven.rounds)
    }
    move(current, to, reason, &actions)
    return true
  }
}
