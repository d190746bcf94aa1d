// Requests for messages that wait, in the order in which they are served: one message each, in turn. Pure.
import Bytes
import Platform

/// A request that waits.
struct WaitingPull {
  let reply: ByteString
  /// Messages still wanted. May be negative in the status when the request was for none; it gets one.
  var remaining: Int
  /// Bytes still wanted; meaningless without `limitsBytes`.
  var remainingBytes: Int
  let limitsBytes: Bool
  let noWait: Bool
  /// When it ends (monotonic); Int64.max is never.
  let deadline_ns: Int64
  let heartbeat_ns: Int64
  /// When the next heartbeat is due; Int64.max is never.
  var nextHeartbeat_ns: Int64
  var delivered = 0
  var group: PriorityGroup?
  /// Until then it counts as wanted although nobody seems to listen (monotonic): interest from a leaf link may come after the request.
  let graceEnds_ns: Int64

  /// As nats-server's: how long interest may take.
  private static let grace_ns = 2 * second_ns

  init(_ request: PullRequest, reply: ByteString, isRemote: Bool = false, now_ns: Int64) {
    group = request.group
    graceEnds_ns = isRemote ? WaitingPull.later(now_ns, Self.grace_ns) : 0
    self.reply = reply
    remaining = request.batch
    remainingBytes = request.maxBytes
    limitsBytes = request.maxBytes > 0
    noWait = request.noWait
    deadline_ns = request.expires_ns > 0 ? WaitingPull.later(now_ns, request.expires_ns) : Int64.max
    heartbeat_ns = request.heartbeat_ns
    nextHeartbeat_ns = request.heartbeat_ns > 0 ? WaitingPull.later(now_ns, request.heartbeat_ns) : Int64.max
  }

  static func later(_ now_ns: Int64, _ wait_ns: Int64) -> Int64 {
    let (time, isTooFar) = now_ns.addingReportingOverflow(wait_ns)
    return isTooFar ? Int64.max : time
  }

  /// When something has to be done about it.
  var nextDue_ns: Int64 { min(deadline_ns, nextHeartbeat_ns) }

  /// One that says nothing of priorities comes last.
  fileprivate var priority: Int64 { group?.priority ?? Int64.max }
}

/// The waiting requests of one consumer.
struct PullQueue {
  private var items: [WaitingPull?] = []
  private var head = 0

  var count: Int { items.count - head }
  var isEmpty: Bool { items.count == head }

  mutating func append(_ pull: WaitingPull) { items.append(pull) }

  /// Puts a request behind all of its priority and before all that are less urgent.
  mutating func insertByPriority(_ pull: WaitingPull) {
    var index = items.count
    while index > head, let before = items[index - 1], before.priority > pull.priority { index -= 1 }
    items.insert(pull, at: index)
  }

  /// The first request waits for another turn.
  mutating func passFirst() {
    guard count > 1, let pull = first else { return }
    removeFirst()
    items.append(pull)
  }

  /// The first request has this pin from now on.
  mutating func setFirstID(_ id: ByteString) {
    guard !isEmpty else { return }
    items[head]?.group?.id = id
  }

  /// The request whose turn it is.
  var first: WaitingPull? { isEmpty ? nil : items[head] }

  mutating func removeFirst() {
    precondition(!isEmpty, "no request waits")
    items[head] = nil
    head += 1
    if head == items.count {
      items.removeAll(keepingCapacity: items.capacity <= 1024)
      head = 0
    } else if head > 64, head * 2 > items.count {
      items.removeFirst(head)
      head = 0
    }
  }

  /// The first request got a message of `size` bytes. It goes to the end of the queue, or leaves when it is satisfied; then it is
  /// returned.
  mutating func serveFirst(size: Int, byPriority: Bool = false, now_ns: Int64) -> WaitingPull? {
    guard !isEmpty, var pull = items[head] else { preconditionFailure("no request waits") }
    pull.remaining -= 1
    pull.delivered += 1
    if pull.limitsBytes { pull.remainingBytes -= size }
    if pull.heartbeat_ns > 0 { pull.nextHeartbeat_ns = WaitingPull.later(now_ns, pull.heartbeat_ns) }
    if pull.remaining <= 0 || (pull.limitsBytes && pull.remainingBytes <= 0) {
      removeFirst()
      return pull
    }
    if count == 1 {
      items[head] = pull
    } else {
      removeFirst()
      if byPriority { insertByPriority(pull) } else { items.append(pull) }
    }
    return nil
  }

  /// Messages that the waiting requests still want.
  var wanted: Int64 {
    var sum: Int64 = 0
    forEach { sum += Int64(max($0.remaining, 1)) }
    return sum
  }

  func forEach(_ body: (WaitingPull) -> Void) {
    for index in head..<items.count { if let pull = items[index] { body(pull) } }
  }

  /// Keeps the requests for which `body` returns true; it may change them.
  mutating func retain(_ body: (inout WaitingPull) -> Bool) {
    guard !isEmpty else { return }
    var kept: [WaitingPull?] = []
    kept.reserveCapacity(count)
    for index in head..<items.count {
      guard var pull = items[index] else { continue }
      if body(&pull) { kept.append(pull) }
    }
    items = kept
    head = 0
  }

  mutating func removeAll() -> [WaitingPull] {
    var all: [WaitingPull] = []
    forEach { all.append($0) }
    items = []
    head = 0
    return all
  }

  /// When something has to be done about one of them.
  var nextDue_ns: Int64? {
    var nearest: Int64?
    forEach { if $0.nextDue_ns != Int64.max { nearest = min(nearest ?? $0.nextDue_ns, $0.nextDue_ns) } }
    return nearest
  }
}
