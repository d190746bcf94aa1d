// PINGs of a leaf link: whether the other end still lives, and how far away it is. When that is asked is decided by LeafLiveness.
import Bytes
import Platform

extension LeafLink {
  /// The handshake is done: from now on the other end is watched.
  func startWatching() {
    liveness = LeafLiveness(options.liveness, rtt_ns: rtt_ns ?? 0, now_ns: host.clock.monotonic_ns)
    followRoundTrip()
    // The first PING comes soon, for the round trip.
    look(after: second_ns + second_ns / 5 * Int64(host.entropy.below(100)) / 100) { $0.suspect($1, now_ns: $2) }
  }

  private func look(after delay_ns: Int64, _ ask: @escaping (inout LeafLiveness, WayState?, Int64) -> LeafLiveness.Verdict) {
    host.after(delay_ns, pingTimer) { [unowned(unsafe) self] in self.act(ask) }  // safe: cancelled in `end`
  }

  private func act(_ ask: (inout LeafLiveness, WayState?, Int64) -> LeafLiveness.Verdict) {
    let now_ns = host.clock.monotonic_ns
    let way = stream.way
    liveness.askedEnd = output.pingEnd
    let next_ns: Int64
    switch ask(&liveness, way, now_ns) {
    case .wait(let until_ns): next_ns = until_ns
    case .ping(let until_ns):
      output.ping()
      next_ns = until_ns
    case .dead(let failure): return refuse(.stale, as: failure)
    }
    setPatience(way)
    look(after: next_ns - now_ns) { $0.check($1, now_ns: $2) }
  }

  /// The kernel gives up by itself, and at once, what it sent and nobody acknowledged.
  private func setPatience(_ way: WayState?) {
    let patience_ms = Int(clamping: liveness.patience_ns(way) / millisecond_ns)
    guard patience_ms != kernelPatience_ms else { return }
    kernelPatience_ms = patience_ms
    stream.setUserTimeout(patience_ms)
  }

  func pong() {
    guard let rtt = liveness.answered(now_ns: host.clock.monotonic_ns) else { return }
    rtt_ns = rtt
    followRoundTrip()
    owner?.linkMeasured(self, rtt_ns: rtt)
  }

  /// What depends on how far away the other end is.
  private func followRoundTrip() {
    setPatience(stream.way)
    if case .s2(.s2Auto)? = compression { output.level = level(.s2Auto) }
    // Not more than one small flush in a round trip: what waits so long is answered later by as much at most.
    if options.isMetered { output.coalesce_ns = min(max(rtt_ns ?? 0, Self.coalesceMin_ns), Self.coalesceMax_ns) }
  }

  private static let coalesceMin_ns = 20 * millisecond_ns
  private static let coalesceMax_ns = 250 * millisecond_ns

  /// The machine's network has changed: a link from an address that is gone is dead, any other is asked.
  public func networkChanged(_ change: NetworkChange) {
    guard !isEnded else { return }
    if change.removed.contains(stream.local.address) { return end(.network(.unreachable)) }
    if isEstablished { act { $0.suspect($1, now_ns: $2) } }
  }

  /// What PINGs and their answers have cost on the wire, both ways, with the headers of TCP and IP: three segments each time.
  public var keepaliveBytes: Int64 { (liveness.pings + peerPings) * Self.keepaliveBytesEach }
  private static let keepaliveBytesEach: Int64 = 200
}
