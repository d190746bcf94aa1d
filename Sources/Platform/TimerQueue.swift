// Timers of one reactor: a heap ordered by deadline. Pure: the event loop and the simulation ask it for the next deadline and
// tell it the time.

/// Something to be done at a time. Kept by whoever may want to cancel it.
public final class Timer {
  /// Called once at the deadline. Released when the timer fired or was cancelled.
  fileprivate var action: (() -> Void)?
  fileprivate(set) public var deadline_ns: Int64 = 0
  fileprivate var order: UInt64 = 0
  /// Position in the heap, or -1 when not scheduled.
  fileprivate var index = -1

  public init() {}

  public var isScheduled: Bool { index >= 0 }
}

/// Timers ordered by deadline; equal deadlines fire in the order of scheduling.
public final class TimerQueue {
  private var heap: [Timer] = []
  private var scheduled: UInt64 = 0

  public init() {}

  /// The earliest deadline (monotonic), or nil when nothing is due ever.
  public var nextDeadline_ns: Int64? { heap.first?.deadline_ns }
  public var count: Int { heap.count }

  /// Schedules `timer`, or reschedules it when it is already waiting.
  public func schedule(_ timer: Timer, at deadline_ns: Int64, _ action: @escaping () -> Void) {
    cancel(timer)
    scheduled += 1
    timer.deadline_ns = deadline_ns
    timer.order = scheduled
    timer.action = action
    timer.index = heap.count
    heap.append(timer)
    up(timer.index)
  }

  /// Schedules a new timer.
  @discardableResult
  public func schedule(at deadline_ns: Int64, _ action: @escaping () -> Void) -> Timer {
    let timer = Timer()
    schedule(timer, at: deadline_ns, action)
    return timer
  }

  /// Cancels `timer`; nothing happens when it is not waiting.
  public func cancel(_ timer: Timer) {
    let index = timer.index
    guard index >= 0 else { return }
    precondition(heap[index] === timer, "a timer belongs to another queue")
    let last = heap.removeLast()
    timer.index = -1
    timer.action = nil
    if last !== timer {
      heap[index] = last
      last.index = index
      up(index)
      down(last.index)
    }
  }

  /// Cancels every timer.
  public func removeAll() {
    while let timer = heap.last { cancel(timer) }
  }

  /// Fires every timer whose deadline is at or before `now_ns`, including those that fired timers add for now.
  /// At most `limit` are fired, so that a timer that always re-arms itself for now cannot hold the loop.
  @discardableResult
  public func fire(now_ns: Int64, limit: Int = 10_000) -> Int {
    var fired = 0
    while fired < limit, let first = heap.first, first.deadline_ns <= now_ns {
      let action = first.action
      cancel(first)
      action?()
      fired += 1
    }
    return fired
  }

  private func before(_ left: Timer, _ right: Timer) -> Bool {
    left.deadline_ns == right.deadline_ns ? left.order < right.order : left.deadline_ns < right.deadline_ns
  }

  private func swap(_ one: Int, _ other: Int) {
    heap.swapAt(one, other)
    heap[one].index = one
    heap[other].index = other
  }

  private func up(_ start: Int) {
    var index = start
    while index > 0, before(heap[index], heap[(index - 1) / 2]) {
      swap(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  private func down(_ start: Int) {
    var index = start
    while true {
      var least = index
      let left = 2 * index + 1
      let right = left + 1
      if left < heap.count, before(heap[left], heap[least]) { least = left }
      if right < heap.count, before(heap[right], heap[least]) { least = right }
      if least == index { return }
      swap(index, least)
      index = least
    }
  }
}
