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
  /// How many pending messages were delivered more than once.
  private(set) var redeliveredCount = 0
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
    if front < list.count, list[front].sequence == sequence { return front }
    let index = lowerBound(sequence)
    guard index < list.count, list[index].sequence == sequence, !list[index].isGone else { return nil }
    return index
  }

  func isPending(_ sequence: UInt64) -> Bool { find(sequence) != nil }

  /// How often a pending message was delivered.
  func deliveries(of sequence: UInt64) -> Int? { find(sequence).map { Int(list[$0].deliveries) } }

  func forEachPending(_ body: (PendingDelivery) -> Void) {
    for index in front..<list.count where !list[index].isGone { body(list[index]) }
  }

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
    if list[index].deliveries == 1 { redeliveredCount += 1 }
    list[index].deliveries += 1
    list[index].deadline_ns = deadline_ns
    if queueFront < queue.count, queue[queueFront] == sequence { dropQueueFront() }
    return delivered.consumer
  }

  // MARK: Acknowledging

  /// One message is done with. Returns whether it was pending.
  @discardableResult
  mutating func acknowledge(_ sequence: UInt64) -> Bool {
    guard let index = find(sequence) else { return false }
    remove(index)
    settle()
    return true
  }

  /// Everything up to `sequence` is done with. Returns whether anything was pending.
  @discardableResult
  mutating func acknowledge(through sequence: UInt64) -> Bool {
    var any = false
    var index = front
    while index < list.count, list[index].sequence <= sequence {
      if !list[index].isGone {
        remove(index)
        any = true
      }
      index += 1
    }
    if any { settle() }
    return any
  }

  private mutating func remove(_ index: Int) {
    changes &+= 1
    if list[index].isQueued { queuedCount -= 1 }
    if list[index].deliveries > 1 { redeliveredCount -= 1 }
    list[index].isGone = true
    goneCount += 1
  }

  /// Moves the floor and gives memory back after entries went.
  private mutating func settle() {
    while front < list.count, list[front].isGone { front += 1 }
    if front == list.count {
      list.removeAll(keepingCapacity: list.capacity <= 1024)
      front = 0
      goneCount = 0
      floor = delivered
      return
    }
    let first = list[front]
    if first.first > floor.consumer + 1 { floor = SequencePair(consumer: first.first - 1, stream: first.sequence - 1) }
    if goneCount > 64, goneCount * 2 > list.count {
      list.removeAll { $0.isGone }
      goneCount = 0
      front = 0
    }
  }

  /// A pending message shall go out again: now, or at `deadline_ns`. Returns whether it is pending.
  @discardableResult
  mutating func refuse(_ sequence: UInt64, until deadline_ns: Int64?) -> Bool {
    guard let index = find(sequence) else { return false }
    guard !list[index].isQueued else { return true }
    if let deadline_ns {
      list[index].deadline_ns = deadline_ns
    } else {
      enqueue(index)
    }
    return true
  }

  /// Its receiver is still at work: the wait begins anew.
  mutating func extend(_ sequence: UInt64, until deadline_ns: Int64) {
    if let index = find(sequence), !list[index].isQueued { list[index].deadline_ns = deadline_ns }
  }

  private mutating func enqueue(_ index: Int) {
    list[index].isQueued = true
    queuedCount += 1
    queue.append(list[index].sequence)
  }

  /// Queues everything whose deadline has come, unless it was delivered `maxDeliver` times (-1: no limit): that is given up, and
  /// `givenUp` is told. Returns the next deadline, if any.
  mutating func expire(now_ns: Int64, maxDeliver: Int, givenUp: (UInt64) -> Void) -> Int64? {
    var nearest: Int64?
    var gone = false
    for index in front..<list.count where !list[index].isGone && !list[index].isQueued {
      let deadline_ns = list[index].deadline_ns
      if deadline_ns > now_ns {
        nearest = min(nearest ?? deadline_ns, deadline_ns)
      } else if maxDeliver > 0, Int(list[index].deliveries) >= maxDeliver {
        givenUp(list[index].sequence)
        remove(index)
        gone = true
      } else {
        enqueue(index)
      }
    }
    if gone { settle() }
    return nearest
  }

  // MARK: The stream

  /// All messages up to `sequence` are gone from the stream.
  mutating func removed(through sequence: UInt64) {
    acknowledge(through: sequence)
    // Not a change to be written down: after a restart the stream says the same again.
    if sequence >= next { next = sequence + 1 }
  }

  /// The stream ends with `last` now: whatever was said of later sequences is about messages that are no more.
  mutating func cut(after last: UInt64) {
    changes &+= 1
    next = min(next, last + 1)
    delivered.stream = min(delivered.stream, last)
    floor.stream = min(floor.stream, last)
    for index in front..<list.count where list[index].sequence > last && !list[index].isGone { remove(index) }
    if goneCount > 0 { settle() }
  }

  /// Begins anew with `first`: nothing is pending, deliveries are counted from one.
  mutating func reset(first: UInt64) {
    let count = changes
    self = ConsumerState(first: first)
    changes = count &+ 1
  }

  // MARK: Written down

  /// What `ConsumerState+Record` read back. `pending` is ascending by sequence.
  init(delivered: SequencePair, floor: SequencePair, next: UInt64, pending: [PendingDelivery]) {
    self.delivered = delivered
    self.floor = floor
    self.next = next
    list = pending
    for entry in pending where entry.deliveries > 1 { redeliveredCount += 1 }
  }
}
