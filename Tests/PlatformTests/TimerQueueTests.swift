import Testing

@testable import Platform

@Suite struct TimerQueueTests {
  @Test("a timer queue agrees with a sorted list through random schedules, reschedules, cancels and firings")
  func model() {
    var generator = SystemRandomNumberGenerator()
    let queue = TimerQueue()
    let timers = (0..<60).map { _ in Timer() }
    var model: [(deadline_ns: Int64, order: Int, index: Int)] = []
    var fired: [Int] = []
    var now_ns: Int64 = 0
    for order in 0..<5_000 {
      let index = Int.random(in: 0..<timers.count, using: &generator)
      switch Int.random(in: 0..<4, using: &generator) {
      case 0, 1:
        let deadline_ns = now_ns + Int64.random(in: 0..<50, using: &generator)
        model.removeAll { $0.index == index }
        model.append((deadline_ns, order, index))
        queue.schedule(timers[index], at: deadline_ns) { fired.append(index) }
      case 2:
        model.removeAll { $0.index == index }
        queue.cancel(timers[index])
      default:
        now_ns += Int64.random(in: 0..<10, using: &generator)
        model.sort { ($0.deadline_ns, $0.order) < ($1.deadline_ns, $1.order) }
        let due = model.prefix { $0.deadline_ns <= now_ns }.map(\.index)
        model.removeFirst(due.count)
        fired = []
        #expect(queue.fire(now_ns: now_ns) == due.count)
        #expect(fired == due)
      }
      #expect(queue.count == model.count)
      #expect(queue.nextDeadline_ns == model.map(\.deadline_ns).min())
      #expect(timers[index].isScheduled == model.contains { $0.index == index })
    }
  }

  @Test("a timer that re-arms itself for now cannot hold the loop")
  func rearming() {
    let queue = TimerQueue()
    let timer = Timer()
    func arm() { queue.schedule(timer, at: 0) { arm() } }
    arm()
    #expect(queue.fire(now_ns: 1, limit: 100) == 100)
    #expect(timer.isScheduled)
  }
}
