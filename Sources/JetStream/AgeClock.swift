// The time by which messages are stamped and grow old: follows the wall clock, never goes back, and knows where the wall clock jumped.
// What expires when is in Stream+Expiry and Stream+Removal.
import Bytes
import Platform

/// Stamps for messages, and their age in time that really passed.
///
/// Two scales. *Stamps* are the wall clock's time as long as that goes forward; while it is behind what was stamped already, stamps go on
/// a little slower than time does, until it has caught up. *Life* is the time in which messages grow old: stamps without the jumps that
/// the wall clock made forward while the process ran. A message is never older than it lived, whatever the clock was set to; it may
/// live longer than it should (by 1/64 while stamps are ahead, and by the time the machine was suspended).
final class AgeClock {
  /// The wall clock was set forward.
  struct Jump: Equatable {
    /// The last stamp before it.
    var before_ns: Int64
    var length_ns: Int64
  }

  /// A wall clock that is further ahead than this, and a thousandth of the time since it was looked at, was set.
  static let tolerance_ns = second_ns
  /// More jumps than these are not told apart: the oldest two become one.
  static let jumpsMax = 32

  private let clock: any Clock
  private(set) var jumps: [Jump]
  private var stamp_ns: Int64
  private var read_ns: Int64
  /// The sum of `jumps`.
  private var jumped_ns: Int64 = 0
  /// Called when `jumps` changed.
  var onJump: (() -> Void)?

  /// `last_ns` is the last stamp that was ever given, 0 for none; `jumps` those that were known then.
  init(clock: any Clock, last_ns: Int64 = 0, jumps: [Jump] = []) {
    self.clock = clock
    self.jumps = jumps
    for jump in jumps { jumped_ns = jumped_ns &+ jump.length_ns }
    let wall_ns = clock.wall_ns
    read_ns = clock.monotonic_ns
    stamp_ns = max(wall_ns, last_ns)
    // Stamped by a clock that was never set: how long ago nobody knows.
    if last_ns > 0, last_ns < earliestTrustedWall_ns, wall_ns >= earliestTrustedWall_ns { jump(from: last_ns, by: wall_ns - last_ns) }
  }

  /// Whether ages mean anything: by a clock that was never set nothing is too old.
  var isTrusted: Bool { clock.isWallTrusted }

  /// The stamp for now.
  func now_ns() -> Int64 {
    let monotonic_ns = clock.monotonic_ns
    let wall_ns = clock.wall_ns
    let elapsed_ns = max(monotonic_ns - read_ns, 0)
    read_ns = monotonic_ns
    let due_ns = WaitingPull.later(stamp_ns, elapsed_ns)
    if wall_ns > WaitingPull.later(due_ns, Self.tolerance_ns + elapsed_ns >> 10) {
      jump(from: due_ns, by: wall_ns - due_ns)
      stamp_ns = wall_ns
    } else {
      stamp_ns = max(wall_ns, due_ns - elapsed_ns >> 6)
    }
    return stamp_ns
  }

  private func jump(from before_ns: Int64, by length_ns: Int64) {
    jumps.append(Jump(before_ns: before_ns, length_ns: length_ns))
    jumped_ns = jumped_ns &+ length_ns
    if jumps.count > Self.jumpsMax {
      // What was stamped between the two counts as younger than it is.
      jumps[1].length_ns = WaitingPull.later(jumps[0].length_ns, jumps[1].length_ns)
      jumps.removeFirst()
    }
    onJump?()
  }

  /// Now on the scale of life.
  func life_ns() -> Int64 { now_ns() &- jumped_ns }

  /// A stamp on the scale of life.
  func life(of stamp_ns: Int64) -> Int64 {
    var life_ns = stamp_ns
    for jump in jumps where jump.before_ns < stamp_ns { life_ns = life_ns &- jump.length_ns }
    return life_ns
  }

  /// The latest stamp of a message that is `age_ns` old or older.
  func stamp(ofAge age_ns: Int64) -> Int64 {
    var limit_ns = Self.earlier(now_ns(), age_ns)
    var index = jumps.count - 1
    while index >= 0, limit_ns < WaitingPull.later(jumps[index].before_ns, jumps[index].length_ns) {
      limit_ns = Self.earlier(limit_ns, jumps[index].length_ns)
      index -= 1
    }
    return limit_ns
  }

  private static func earlier(_ time_ns: Int64, _ by_ns: Int64) -> Int64 {
    let (difference, isTooFar) = time_ns.subtractingReportingOverflow(by_ns)
    return isTooFar ? Int64.min : difference
  }

  // MARK: What is kept over a restart

  /// Decimal numbers, two for each jump.
  var record: [UInt8] {
    var text: [UInt8] = []
    for jump in jumps {
      text.append(decimal: jump.before_ns)
      text.append(ASCII.space)
      text.append(decimal: jump.length_ns)
      text.append(ASCII.space)
    }
    return text
  }

  static func jumps(in record: [UInt8]) -> [Jump] {
    var numbers: [Int64] = []
    record.withView { text in
      var start = 0
      while numbers.count < 2 * jumpsMax, let end = text.firstIndex(of: ASCII.space, from: start) {
        guard let number = text.slice(start, end).decimal(), let narrow = Int64(exactly: number) else { return }
        numbers.append(narrow)
        start = end + 1
      }
    }
    var jumps: [Jump] = []
    for index in 0..<numbers.count / 2 { jumps.append(Jump(before_ns: numbers[2 * index], length_ns: numbers[2 * index + 1])) }
    return jumps
  }
}
