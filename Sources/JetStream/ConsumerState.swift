// The bookkeeping of a consumer: what was delivered, what waits for an ack, what has to go out again. Pure: no time of its own, no
// messages, no I/O. How it is written down is in ConsumerState+Record.
import Bytes

/// A place in both countings: of the consumer's deliveries and of the stream.
public struct SequencePair: Equatable, Sendable {
  public var consumer: UInt64
  public var stream: UInt64

  @inline(__always) public init(consumer: UInt64 = 0, stream: UInt64 = 0) {
    self.consumer = consumer
    self.stream = stream
  }
}

/// A delivered message that was not acknowledged.
struct PendingDelivery: Equatable {
  /// Its sequence in the stream.
  let sequence: UInt64
  /// Its first delivery in the consumer's counting.
  let first: UInt64
  /// When it has to go out again (monotonic).
  var deadline_ns: Int64
  var deliveries: Int32
  /// Whether it stands in the queue of those that go out again.
  var isQueued: Bool
  /// Acknowledged: removed from the list when enough of them have come together.
  var isGone: Bool
}

/// Deliveries and acknowledgements of one consumer.
struct ConsumerState {
  /// The last delivery.
  private(set) var delivered: SequencePair
  /// Everything up to here is acknowledged.
  private(set) var floor: SequencePair
  /// Where the search for the next new message begins.
  var next: UInt64
  /// Ascending by sequence, the ones that are gone included.
  private var list: [PendingDelivery] = []
  private var goneCount = 0
  /// Entries in front that are gone.
  private var front = 0
  /// Sequences that go out again, in this order; some may be acknowledged meanwhile.
  private var queue: [UInt64] = []
  private var queueFront = 0
  /// Deadlines of what waits for an ack, some of them outdated.
  private var deadlines = DeadlineHeap()
  /// Delivered for the last time without an ack and not acknowledged since, ascending. They stay in a stream that keeps what is not
  /// acknowledged.
  private(set) var givenUp: [UInt64] = []
  /// How many pending messages were delivered more than once.
  private var redeliveredPending = 0
  /// How many pending messages stand in the queue.
  private(set) var queuedCount = 0
  /// Grows with every change, for whoever writes the state down.
  private(set) var changes: UInt64 = 0

  /// A consumer that begins with `first`.
  init(first: UInt64) {
    let start = first > 0 ? first - 1 : 0
    delivered = SequencePair(consumer: 0, stream: start)
    floor = delivered
    next = max(first, 1)
  }

  var pendingCount: Int { list.count - goneCount }
  var hasQueued: Bool { queuedCount > 0 }
  /// Messages that were delivered more than once, or for the last time, and are not acknowledged.
  var redeliveredCount: Int { redeliveredPending + givenUp.count }

  // MARK: Finding

  /// The index of the first entry at or after `sequence`.
  private func lowerBound(_ sequence: UInt64) -> Int {
    var low = front
    var high = list.count
    while low < high {
      let middle = (low + high) / 2
      if list[middle].sequence < sequence { low = middle + 1 } else { high = middle }
    }
    return low
  }

  @inline(__always) private func find(_ sequence: UInt64) -> Int? {
    // Acks come mostly in the order of delivery.
    if front < list.count, list[front].sequence == sequence { return list[front].isGone ? nil : front }
    let index = lowerBound(sequence)
    guard index < list.count, list[index].sequence == sequence, !list[index].isGone else { return nil }
    return index
  }

  func isPending(_ sequence: UInt64) -> Bool { find(sequence) != nil }

  /// A pending message.
  func pending(_ sequence: UInt64) -> PendingDelivery? { find(sequence).map { list[$0] } }

  /// How often a pending message was delivered.
  func deliveries(of sequence: UInt64) -> Int? { find(sequence).map { Int(list[$0].deliveries) } }

  func forEachPending(_ body: (PendingDelivery) -> Void) {
    for index in front..<list.count where !list[index].isGone { body(list[index]) }
  }

  /// The place of a message among those that were given up.
  private func findGivenUp(_ sequence: UInt64) -> (index: Int, isThere: Bool) {
    var low = 0
    var high = givenUp.count
    while low < high {
      let middle = (low + high) / 2
      if givenUp[middle] < sequence { low = middle + 1 } else { high = middle }
    }
    return (low, low < givenUp.count && givenUp[low] == sequence)
  }

  func isGivenUp(_ sequence: UInt64) -> Bool { !givenUp.isEmpty && findGivenUp(sequence).isThere }

  // MARK: Delivering

  /// A new message goes out; returns its number in the consumer's counting. `tracked` when an ack is waited for.
  mutating func deliverNew(_ sequence: UInt64, tracked: Bool, deadline_ns: Int64) -> UInt64 {
    precondition(sequence > delivered.stream || delivered.consumer == 0, "new messages are delivered in the stream's order")
    changes &+= 1
    delivered = SequencePair(consumer: delivered.consumer + 1, stream: sequence)
    next = sequence + 1
    if tracked {
      list.append(
        PendingDelivery(
          sequence: sequence, first: delivered.consumer, deadline_ns: deadline_ns, deliveries: 1, isQueued: false, isGone: false))
      remember(deadline_ns, sequence)
    } else {
      floor = delivered
    }
    return delivered.consumer
  }

  /// The next message to go out again; it stays in the queue until `deliverAgain` or `acknowledge`.
  mutating func firstQueued() -> (sequence: UInt64, deliveries: Int)? {
    while queueFront < queue.count {
      let sequence = queue[queueFront]
      if let index = find(sequence), list[index].isQueued { return (sequence, Int(list[index].deliveries)) }
      dropQueueFront()
    }
    return nil
  }

  private mutating func dropQueueFront() {
    queueFront += 1
    if queueFront == queue.count {
      queue.removeAll(keepingCapacity: true)
      queueFront = 0
    } else if queueFront > 64, queueFront * 2 > queue.count {
      queue.removeFirst(queueFront)
      queueFront = 0
    }
  }

  /// The queue's first message goes out; returns its number in the consumer's counting.
  mutating func deliverAgain(_ sequence: UInt64, deadline_ns: Int64) -> UInt64 {
    guard let index = find(sequence), list[index].isQueued else { preconditionFailure("only what is queued goes out again") }
    changes &+= 1
    delivered.consumer += 1
    list[index].isQueued = false
    queuedCount -= 1
    if list[index].deliveries == 1 { redeliveredPending += 1 }
    list[index].deliveries += 1
    list[index].deadline_ns = deadline_ns
    remember(deadline_ns, sequence)
    if queueFront < queue.count, queue[queueFront] == sequence { dropQueueFront() }
    return delivered.consumer
  }

  // MARK: Acknowledging

  /// One message is done with. Returns whether it waited for that.
  @discardableResult
  mutating func acknowledge(_ sequence: UInt64) -> Bool {
    guard let index = find(sequence) else {
      let place = findGivenUp(sequence)
      guard place.isThere else { return false }
      changes &+= 1
      givenUp.remove(at: place.index)
      return true
    }
    remove(index)
    settle()
    return true
  }

  /// Everything up to `place.stream` is done with: an ack for the delivery `place`. `done` is told each that waited. Returns whether
  /// anything did.
  @discardableResult
  mutating func acknowledge(through place: SequencePair, done: (UInt64) -> Void = { _ in }) -> Bool {
    guard place.stream > floor.stream || (front < list.count && list[front].sequence <= place.stream) else { return false }
    changes &+= 1
    removeAll(through: place.stream, done: done)
    trim()
    floor = SequencePair(
      consumer: max(floor.consumer, min(place.consumer, delivered.consumer)), stream: max(floor.stream, min(place.stream, delivered.stream))
    )
    return true
  }

  private mutating func removeAll(through sequence: UInt64, done: (UInt64) -> Void) {
    var index = front
    while index < list.count, list[index].sequence <= sequence {
      if !list[index].isGone {
        done(list[index].sequence)
        remove(index)
      }
      index += 1
    }
    let place = givenUp.isEmpty ? 0 : findGivenUp(sequence == .max ? sequence : sequence + 1).index
    guard place > 0 else { return }
    for index in 0..<place { done(givenUp[index]) }
    givenUp.removeFirst(place)
  }

  private mutating func remove(_ index: Int) {
    changes &+= 1
    if list[index].isQueued { queuedCount -= 1 }
    if list[index].deliveries > 1 { redeliveredPending -= 1 }
    list[index].isGone = true
    goneCount += 1
  }

  /// Moves the floor and gives memory back after entries went.
  private mutating func settle() {
    trim()
    if front == list.count {
      floor = delivered
    } else if list[front].first > floor.consumer + 1 {
      floor = SequencePair(consumer: list[front].first - 1, stream: list[front].sequence - 1)
    }
  }

  /// Gives memory back after entries went.
  private mutating func trim() {
    while front < list.count, list[front].isGone { front += 1 }
    if front == list.count {
      list.removeAll(keepingCapacity: list.capacity <= 1024)
      front = 0
      goneCount = 0
      deadlines.removeAll()
    } else if goneCount > 64, goneCount * 2 > list.count {
      list.removeAll { $0.isGone }
      goneCount = 0
      front = 0
    }
  }

  /// A pending message shall go out again: now, or at `deadline_ns`. Returns whether it is pending.
  @discardableResult
  mutating func refuse(_ sequence: UInt64, until deadline_ns: Int64?) -> Bool {
    guard let index = find(sequence) else { return false }
    if let deadline_ns {
      if list[index].isQueued {
        list[index].isQueued = false
        queuedCount -= 1
      }
      list[index].deadline_ns = deadline_ns
      remember(deadline_ns, sequence)
    } else if !list[index].isQueued {
      list[index].isQueued = true
      queuedCount += 1
      queue.append(sequence)
    }
    return true
  }

  /// Its receiver is still at work: the wait begins anew.
  mutating func extend(_ sequence: UInt64, until deadline_ns: Int64) {
    guard let index = find(sequence), !list[index].isQueued else { return }
    list[index].deadline_ns = deadline_ns
    remember(deadline_ns, sequence)
  }

  /// Everything that waits goes out again, unless it was delivered `maxDeliver` times.
  mutating func refuseAll(maxDeliver: Int) {
    for index in front..<list.count where !list[index].isGone && !list[index].isQueued {
      guard maxDeliver <= 0 || Int(list[index].deliveries) < maxDeliver else { continue }
      list[index].isQueued = true
      queuedCount += 1
      queue.append(list[index].sequence)
    }
  }

  // MARK: Deadlines

  /// The last deadline of what waits for an ack; 0 when nothing does.
  var lastDeadline_ns: Int64 {
    var last_ns: Int64 = 0
    forEachPending { if !$0.isQueued { last_ns = max(last_ns, $0.deadline_ns) } }
    return last_ns
  }

  @inline(__always) private mutating func remember(_ deadline_ns: Int64, _ sequence: UInt64) {
    guard deadline_ns < Int64.max else { return }
    if deadlines.count > 128, deadlines.count > 4 * pendingCount { forgetOutdatedDeadlines() }
    deadlines.insert(deadline_ns, sequence)
  }

  private mutating func forgetOutdatedDeadlines() {
    deadlines.removeAll()
    forEachPending { if !$0.isQueued, $0.deadline_ns < Int64.max { deadlines.insert($0.deadline_ns, $0.sequence) } }
  }

  /// The pending message that a deadline is about, unless the deadline is outdated.
  private func index(of due: DeadlineHeap.Entry) -> Int? {
    guard let index = find(due.sequence), !list[index].isQueued, list[index].deadline_ns == due.deadline_ns else { return nil }
    return index
  }

  /// Queues what has to go out again by `now_ns`, in the stream's order, unless it was delivered `maxDeliver` times (-1: no limit): that
  /// is given up, and `gaveUp` is told. Looks at `limit` deadlines at most. Returns the next deadline, if any: it may have come already.
  mutating func expire(now_ns: Int64, maxDeliver: Int, limit: Int = .max, gaveUp: (PendingDelivery) -> Void) -> Int64? {
    var expired: [UInt64] = []
    var looked = 0
    while looked < limit, let due = deadlines.first, due.deadline_ns <= now_ns {
      looked += 1
      deadlines.removeFirst()
      guard let index = index(of: due) else { continue }
      if maxDeliver > 0, Int(list[index].deliveries) >= maxDeliver {
        gaveUp(list[index])
        remove(index)
        noteGivenUp(due.sequence)
      } else {
        list[index].isQueued = true
        queuedCount += 1
        expired.append(due.sequence)
      }
    }
    expired.order { $0 < $1 }
    queue += expired
    trim()
    while looked < limit, let due = deadlines.first, due.deadline_ns > now_ns, index(of: due) == nil {
      looked += 1
      deadlines.removeFirst()
    }
    return deadlines.first?.deadline_ns
  }

  /// The queue's first message was delivered for the last time.
  mutating func giveUp(_ sequence: UInt64) {
    guard let index = find(sequence) else { return }
    remove(index)
    noteGivenUp(sequence)
    trim()
  }

  private mutating func noteGivenUp(_ sequence: UInt64) {
    let place = findGivenUp(sequence)
    if !place.isThere { givenUp.insert(sequence, at: place.index) }
  }

  /// Forgets the oldest of those that were given up, where it matters to nobody but a count.
  mutating func forgetGivenUp(keeping limit: Int) { if givenUp.count > limit { givenUp.removeFirst(givenUp.count - limit) } }

  // MARK: The stream

  /// All messages up to `sequence` are gone from the stream. `terminated` is told of those that waited for an ack.
  mutating func removed(through sequence: UInt64, terminated: (PendingDelivery) -> Void = { _ in }) {
    if front < list.count, list[front].sequence <= sequence {
      forEachPending { if $0.sequence <= sequence { terminated($0) } }
      removeAll(through: sequence) { _ in }
      settle()
    } else if let first = givenUp.first, first <= sequence {
      removeAll(through: sequence) { _ in }
    }
    // Not a change to be written down: after a restart the stream says the same again.
    if sequence >= next { next = sequence + 1 }
  }

  /// All messages up to `sequence` were purged: the consumer stands behind them.
  mutating func purged(through sequence: UInt64) {
    guard sequence > floor.stream || sequence >= next else { return }
    changes &+= 1
    removed(through: sequence)
    delivered.stream = max(delivered.stream, next - 1)
    floor.stream = max(floor.stream, sequence)
    if pendingCount == 0 { floor = delivered }
  }

  /// The stream ends with `last` now: whatever was said of later sequences is about messages that are no more.
  mutating func cut(after last: UInt64) {
    changes &+= 1
    next = min(next, last + 1)
    delivered.stream = min(delivered.stream, last)
    floor.stream = min(floor.stream, last)
    for index in front..<list.count where list[index].sequence > last && !list[index].isGone { remove(index) }
    givenUp.removeAll { $0 > last }
    if goneCount > 0 { settle() }
  }

  /// Begins anew with `first`: nothing is pending, deliveries are counted from one.
  mutating func reset(first: UInt64) {
    let count = changes
    self = ConsumerState(first: first)
    changes = count &+ 1
  }

  // MARK: Written down

  /// What `ConsumerState+Record` read back. `pending` and `givenUp` are ascending by sequence.
  init(delivered: SequencePair, floor: SequencePair, next: UInt64, pending: [PendingDelivery], givenUp: [UInt64]) {
    self.delivered = delivered
    self.floor = floor
    self.next = next
    list = pending
    self.givenUp = givenUp
    for entry in pending where entry.deliveries > 1 { redeliveredPending += 1 }
    forgetOutdatedDeadlines()
  }
}
