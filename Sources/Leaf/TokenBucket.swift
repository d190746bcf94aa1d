// How fast bytes may leave: a token bucket. Pure.
import Platform

/// Lets so many bytes a second pass on average, and a quarter of a second's at once.
///
/// More than there is may be spent, because operations are not cut; the debt is waited for before the next.
public struct TokenBucket {
  /// Limits of the rate: at less no operation of usual size would pass in useful time; at more sums could overflow.
  public static let rateMin: Int64 = 256
  public static let rateMax: Int64 = 10_000_000_000

  /// Three years; more is not counted at once.
  private static let elapsedMax_s: Int64 = 100_000_000

  /// Bytes a second.
  public let rate: Int64
  private let burst: Int64
  private var tokens: Int64
  private var filled_ns: Int64

  public init(rate: Int64, now_ns: Int64) {
    precondition(rate >= Self.rateMin && rate <= Self.rateMax, "a token bucket's rate is out of its limits")
    self.rate = rate
    burst = max(rate / 4, Self.rateMin)
    tokens = burst
    filled_ns = now_ns
  }

  /// Whether anything may leave now.
  public mutating func isOpen(now_ns: Int64) -> Bool {
    // Whole seconds apart: a long time's bytes a microsecond would not fit.
    let elapsed_s = min((now_ns - filled_ns) / second_ns, Self.elapsedMax_s)
    if elapsed_s > 0 {
      tokens = min(tokens + rate * elapsed_s, burst)
      filled_ns += elapsed_s * second_ns
    }
    let elapsed_us = min((now_ns - filled_ns) / 1000, 1_000_000)
    if elapsed_us > 0 {
      let added = rate * elapsed_us / 1_000_000
      tokens += added
      // The time of the fraction of a byte counts the next time.
      filled_ns += added * 1_000_000 / rate * 1000
    }
    tokens = min(tokens, burst)
    return tokens > 0
  }

  public mutating func spend(_ bytes: Int) { tokens -= Int64(bytes) }

  /// When there is something to spend again; a little, so that whoever waits does not wake for every byte.
  public var opens_ns: Int64 { filled_ns + (max(1 - tokens, 0) + min(burst / 8, 512)) * (second_ns / 1000) / rate * 1000 + 1000 }
}
