// Everything that an agent gets from the outside, in one bundle: made by the Linux event loop or by the simulation.

/// The outside world of one agent.
public final class Host {
  public let clock: any Clock
  public let entropy: any Entropy
  public let disk: any Disk
  public let network: any Network
  public let timers: TimerQueue
  public let turn: TurnQueue
  public let log: Log
  public let passwords: any PasswordChecker

  /// Without `passwords` they are checked on the spot.
  public init(
    clock: any Clock, entropy: any Entropy, disk: any Disk, network: any Network, timers: TimerQueue, turn: TurnQueue, log: Log,
    passwords: (any PasswordChecker)? = nil
  ) {
    self.clock = clock
    self.entropy = entropy
    self.disk = disk
    self.network = network
    self.timers = timers
    self.turn = turn
    self.log = log
    self.passwords = passwords ?? InlinePasswords { turn.defer($0) }
  }

  /// Runs `action` once, `delay_ns` from now.
  @discardableResult
  public func after(_ delay_ns: Int64, _ action: @escaping () -> Void) -> Timer {
    timers.schedule(at: later(delay_ns), action)
  }

  /// (Re)schedules `timer` for `delay_ns` from now.
  public func after(_ delay_ns: Int64, _ timer: Timer, _ action: @escaping () -> Void) {
    timers.schedule(timer, at: later(delay_ns), action)
  }

  /// `delay_ns` from now; a delay that is too long never ends.
  private func later(_ delay_ns: Int64) -> Int64 {
    let (sum, overflow) = clock.monotonic_ns.addingReportingOverflow(delay_ns)
    return overflow ? (delay_ns > 0 ? .max : .min) : sum
  }
}
