// The selector's numbers. Reasons and evidence: docs/decisions/0002-cluster-selection.md.

extension ClusterSelector {
  /// Every number that a decision depends on. Times are milliseconds unless the name says otherwise.
  public struct Parameters: Sendable {
    /// Between probe rounds of a linked agent, ± `interval_jitter_percent`. Five clusters cost some 13 MB in 30 days at this.
    public var probe_interval_ms: Int64 = 900_000
    public var interval_jitter_percent: Int64 = 20
    /// A probe that has not reported by then counts as lost.
    public var probe_deadline_ms: Int64 = 5_000
    /// Samples per cluster in an ordinary round; the round's value is their minimum.
    public var samples = 1
    /// Samples per cluster in the very first round, when there is no history to take minima over.
    public var first_samples = 2
    /// Without a link, how long after the first answer nearer clusters may still answer.
    public var grace_ms: Int64 = 600

    /// A cluster must be nearer by the greater of these two to be worth a move: less is noise, or not felt.
    public var margin_us: Int64 = 10_000
    public var margin_percent: Int64 = 15
    /// How many rounds in a row, the one that found it included, must show the gain.
    public var confirm_rounds = 3
    /// Between them; they probe the challenger and the current cluster only.
    public var confirm_interval_ms: Int64 = 60_000
    /// After a move, the time before another.
    public var dwell_ms: Int64 = 900_000
    /// The same after a link that was made because another was lost or none was there.
    public var failback_dwell_ms: Int64 = 300_000
    /// From the start: when the first choice, made in haste, may be corrected.
    public var correction_ms: Int64 = 300_000
    /// A cluster that was left twice within `hold_down_window_ms` is not moved to for this long; doubled for each further time.
    public var hold_down_ms: Int64 = 900_000
    public var hold_down_max_ms: Int64 = 21_600_000
    public var hold_down_window_ms: Int64 = 3_600_000
    /// A cluster that has come back is not moved to before a random part of this has passed, so that a fleet does not return at once.
    public var failback_spread_ms: Int64 = 600_000
    /// A link told that its server goes away moves within a random part of this.
    public var lame_duck_spread_ms: Int64 = 10_000
    /// Clusters within this of the nearest are as near: the device's identity chooses, which spreads a fleet over them.
    public var band_us: Int64 = 5_000

    /// The link or the common path is bloated when its round trip passes twice its floor plus this: nobody is judged then.
    public var bloat_us: Int64 = 30_000
    /// How long a round is put off for that, once to twice.
    public var postpone_ms: Int64 = 600_000
    /// How often in a row. Afterwards it is no queue but a longer path.
    public var postponements_max = 2
    /// A round trip measured on the live link counts for this long.
    public var live_fresh_ms: Int64 = 120_000

    /// A preferable cluster that does not answer is probed after this, then ever more rarely up to the maximum.
    public var recovery_interval_ms: Int64 = 10_000
    public var recovery_interval_max_ms: Int64 = 600_000

    /// Waits of an agent that reaches nobody (ReconnectBackoff).
    public var reconnect_base_ms: Int64 = 1_000
    public var reconnect_cap_ms: Int64 = 30_000
    public var reconnect_patience_ms: Int64 = 600_000
    public var reconnect_late_cap_ms: Int64 = 30_000
    /// A link that lasted this long ends an outage: the waits begin anew with the next one.
    public var stable_ms: Int64 = 60_000

    /// Probe the current cluster, the two best others and one more per round, not all.
    public var metered = false
    /// Bytes that probes may cost in 24 hours; nil for no limit. When it is spent, only links are dialled.
    public var probe_budget_bytes: Int64?

    public init() {}

    /// The defaults for an uplink that is paid by the byte: rounds every hour, slower recovery probes and reconnects.
    public static var onMeteredUplink: Parameters {
      var parameters = Parameters()
      parameters.metered = true
      parameters.probe_interval_ms = 3_600_000
      parameters.recovery_interval_ms = 60_000
      parameters.recovery_interval_max_ms = 3_600_000
      parameters.reconnect_late_cap_ms = 120_000
      return parameters
    }

    /// Says which number is out of its limits, or nil. For the configuration; the selector itself insists.
    public var fault: StaticString? {
      if probe_interval_ms < 100 { return "probe_interval must be at least 100 ms" }
      if !(0...90).contains(interval_jitter_percent) { return "interval jitter must be 0 to 90 percent" }
      if probe_deadline_ms < 50 { return "probe_deadline must be at least 50 ms" }
      if !(1...8).contains(samples) || !(1...8).contains(first_samples) { return "samples must be 1 to 8" }
      if margin_us < 0 || margin_percent < 0 || margin_percent > 1_000 { return "margin must not be negative" }
      if !(1...100).contains(confirm_rounds) { return "confirm_rounds must be 1 to 100" }
      if confirm_interval_ms < 50 { return "confirm_interval must be at least 50 ms" }
      if grace_ms < 0 || dwell_ms < 0 || failback_dwell_ms < 0 || correction_ms < 0 { return "dwell times must not be negative" }
      if hold_down_ms < 0 || hold_down_max_ms < hold_down_ms || hold_down_window_ms < 0 { return "hold_down limits must be in order" }
      if failback_spread_ms < 0 || lame_duck_spread_ms < 0 || band_us < 0 { return "spreads must not be negative" }
      if bloat_us < 0 || postpone_ms < 50 || postponements_max < 0 || live_fresh_ms < 0 { return "postponing needs at least 50 ms" }
      if recovery_interval_ms < 50 || recovery_interval_max_ms < recovery_interval_ms { return "recovery intervals must be in order" }
      if reconnect_base_ms < 10 || reconnect_cap_ms < reconnect_base_ms || reconnect_late_cap_ms < reconnect_base_ms {
        return "reconnect waits must be in order"
      }
      if reconnect_patience_ms < 0 || stable_ms < 0 { return "reconnect times must not be negative" }
      if let budget = probe_budget_bytes, budget < 0 { return "probe_budget must not be negative" }
      // A year, so that sums stay far from overflow.
      let longest: Int64 = 31_536_000_000
      for time in [
        probe_interval_ms, probe_deadline_ms, grace_ms, confirm_interval_ms, dwell_ms, failback_dwell_ms, correction_ms, hold_down_max_ms,
        hold_down_window_ms, failback_spread_ms, lame_duck_spread_ms, postpone_ms, live_fresh_ms, recovery_interval_max_ms,
        reconnect_cap_ms, reconnect_patience_ms, reconnect_late_cap_ms, stable_ms,
      ] where time > longest { return "no time may be longer than a year" }
      return nil
    }
  }
}
