// PINGs of a leaf link: whether the other end still lives, and how far away it is.
import Bytes
import Platform

extension LeafLink {
  func schedulePing(after delay_ns: Int64) {
    host.after(delay_ns, pingTimer) { [unowned(unsafe) self] in self.ping() }  // safe: cancelled in `end`
  }

  private func ping() {
    if pingsOutstanding >= options.pingsMax { return refuse(.stale, as: .pingsUnanswered) }
    // A peer that is heard lives; a PING is sent only into silence, and now and then for the round trip.
    let now = host.clock.monotonic_ns
    let isDue = pingSent_ns.map { now - $0 >= 4 * options.pingInterval_ns } ?? true
    if !heardSincePing || pingsOutstanding > 0 || isDue {
      pingsOutstanding += 1
      pingSent_ns = now
      output.append(literal: "PING\r\n")
    }
    heardSincePing = false
    schedulePing(after: options.pingInterval_ns)
  }

  func pong() {
    guard pingsOutstanding > 0, let pingSent_ns else { return }
    pingsOutstanding = 0
    let rtt = host.clock.monotonic_ns - pingSent_ns
    rtt_ns = rtt
    if case .s2(.s2Auto)? = compression { output.level = level(.s2Auto) }
    owner?.linkMeasured(self, rtt_ns: rtt)
  }
}
