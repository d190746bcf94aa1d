// What happens at the end of a loop turn: deferred work, then one write for each stream that has output.

/// How long loop turns took: nobody is served within one.
public struct TurnTimes {
  public private(set) var turns: UInt64 = 0
  public private(set) var over1ms: UInt64 = 0
  public private(set) var over5ms: UInt64 = 0
  public private(set) var longest_ns: Int64 = 0

  @inline(__always) mutating func note(_ length_ns: Int64) {
    turns += 1
    if length_ns > millisecond_ns { noteLong(length_ns) }
  }

  private mutating func noteLong(_ length_ns: Int64) {
    over1ms += 1
    if length_ns > 5 * millisecond_ns { over5ms += 1 }
    longest_ns = max(longest_ns, length_ns)
  }
}

/// The end of a loop turn. The event loop and the simulation call `end()` after each batch of events.
public final class TurnQueue {
  /// Of the loop; the simulation, whose time does not pass within a turn, has none.
  public internal(set) var times = TurnTimes()
  private var deferred: [() -> Void] = []
  private var flushing: [ByteStream] = []

  public init() {}

  /// Whether the next turn must come without waiting for an event.
  public var hasWork: Bool { !deferred.isEmpty || !flushing.isEmpty }

  /// Runs `work` at the end of this turn, before streams are flushed.
  public func `defer`(_ work: @escaping () -> Void) { deferred.append(work) }

  @inline(__always) func flush(_ stream: ByteStream) { flushing.append(stream) }

  /// Forgets everything, when a simulated process ends.
  func removeAll() {
    deferred = []
    flushing = []
  }

  /// Ends the turn: runs deferred work (also what that work defers, up to a limit; the rest waits for the next turn), then flushes.
  public func end() {
    var rounds = 0
    while !deferred.isEmpty, rounds < 100 {
      let work = deferred
      deferred.removeAll(keepingCapacity: true)
      for item in work { item() }
      rounds += 1
    }
    let streams = flushing
    flushing.removeAll(keepingCapacity: true)
    for stream in streams {
      stream.delegate?.willFlush(stream)
      stream.flushQueued = false
      stream.flush()
    }
  }
}
