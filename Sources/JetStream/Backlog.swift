// How many messages a forward has before it, as monitoring shows it: counted in the background where that takes reading.
import Bytes
import Platform

/// How far somebody is behind who looks now and then: nobody waits for it, so where it takes reading it is the count that was begun when
/// it was asked for the last time.
public final class Backlog {
  private let stream: Stream
  private var counting: PendingCount?
  private var known: Int?
  private let timer = Timer()

  public init(of stream: Stream) { self.stream = stream }

  /// The messages at or behind `sequence` that match one of `filters` (none: all).
  public func count(matching filters: [ByteString], from sequence: UInt64) -> Int {
    let fresh = PendingCount(stream.log, matching: filters, from: sequence)
    if fresh.isComplete { return fresh.count }
    if counting == nil {
      counting = fresh
      goOnSoon(0)
    }
    return min(known ?? fresh.atMost, fresh.atMost)
  }

  private func goOnSoon(_ wait_ns: Int64) {
    stream.engine.host.after(wait_ns, timer) { [self] in
      guard !stream.isDeleted else { return }
      var left = stream.engine.readShare(Consumer.countMax)
      let before = left
      let progress = counting?.goOn(stream.log, left: &left) ?? .complete
      stream.engine.hasRead(before - left)
      switch progress {
      case .complete:
        known = counting?.count
        counting = nil
      case .unfinished: goOnSoon(0)
      case .failed: goOnSoon(second_ns)
      }
    }
  }
}
