// How fast a consumer delivers: the rate limit's bucket, and the original speed of messages that are replayed. Pure.
import Platform

/// When the next message may go out.
struct DeliveryPace {
  /// The bucket holds this much when the stream has no largest message: nats-server's max_payload.
  static let burstDefault_bytes = 1 << 20
  /// More than that at once no machine of ours sends; it keeps sums far from overflowing.
  private static let burstMax_bytes: Int64 = 1 << 31
  /// Gaps that are shorter are not waited for.
  private static let gapMin_ns = millisecond_ns

  /// Bytes per second; 0 is no limit.
  private var rate: Int64 = 0
  private var burst: Int64 = 0
  private var credit: Int64 = 0
  private var filled_ns: Int64 = 0
  /// Messages up to this sequence are delivered with the gaps in which they came; 0 when that is over.
  private(set) var replayThrough: UInt64 = 0
  private var lastStamp_ns: Int64 = 0
  private var lastSent_ns: Int64 = 0

  var isFree: Bool { rate == 0 && replayThrough == 0 }

  /// Limits to `bits` per second (0: no limit) with bursts of `burst` bytes.
  mutating func limit(bits: UInt64, burst bytes: Int, now_ns: Int64) {
    rate = Int64(clamping: bits / 8)
    if bits > 0 { rate = max(rate, 1) }
    burst = min(Int64(max(bytes, 1)), Self.burstMax_bytes)
    credit = burst
    filled_ns = now_ns
  }

  mutating func replay(through sequence: UInt64) { replayThrough = sequence }

  /// How long a message of `size` bytes that came at `stamp_ns` has to wait; 0 when it may go out.
  mutating func wait_ns(size: Int, stamp_ns: Int64, now_ns: Int64) -> Int64 {
    var wait_ns: Int64 = 0
    if replayThrough > 0, lastStamp_ns > 0, stamp_ns - lastStamp_ns > Self.gapMin_ns {
      wait_ns = max(0, stamp_ns - lastStamp_ns - (now_ns - lastSent_ns))
    }
    guard rate > 0 else { return wait_ns }
    let (filled, isFull) = (now_ns - filled_ns).multipliedReportingOverflow(by: rate)
    let gained = isFull ? burst : filled / second_ns
    if gained > 0 {
      credit = min(burst, credit + min(gained, burst))
      filled_ns = isFull ? now_ns : filled_ns + gained * second_ns / rate
    }
    let needed = min(Int64(size), burst)
    if credit < needed { wait_ns = max(wait_ns, ((needed - credit) * second_ns + rate - 1) / rate) }
    return wait_ns
  }

  /// A message went out.
  mutating func sent(size: Int, stamp_ns: Int64, now_ns: Int64) {
    lastStamp_ns = stamp_ns
    lastSent_ns = now_ns
    if rate > 0 { credit -= min(Int64(size), burst) }
  }

  /// Everything up to `next` was delivered and there is nothing more now.
  mutating func caughtUp(to next: UInt64) { if next > replayThrough { replayThrough = 0 } }
}
