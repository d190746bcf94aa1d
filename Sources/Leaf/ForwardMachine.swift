// Forwarding one stream to a hub's JetStream: the decisions, without I/O. What is sent, what is asked, what is remembered.
// How it never loses and never doubles is told in docs/forwarding.md.
import Bytes

/// How far a forward has come; survives restarts.
public struct ForwardProgress: Equatable {
  /// Everything up to this sequence of the edge stream is in the hub's stream, or was not to be forwarded.
  public var acknowledged: UInt64 = 0
  /// The hub's stream; empty before it was found.
  public var hubStream = ByteString()
  /// Messages that were sent but not acknowledged can stand in the hub's stream only behind this sequence.
  public var hubSequence: UInt64 = 0

  public init() {}
}

/// Decides for one forward.
public struct ForwardMachine: ~Copyable {
  /// Most messages in flight: enough to fill a link of 250 ms round trip with 1,000 messages a second many times over, few enough to be
  /// looked up after a break.
  public static let windowDefault = 256
  /// Most bytes in flight.
  public static let windowBytesMax = 1024 * 1024
  /// A hub that neither acknowledges nor refuses for so long is asked what it has.
  public static let ackTimeout_ms: Int64 = 10_000
  /// A request to the hub's API is repeated after so long without an answer.
  public static let requestTimeout_ms: Int64 = 5_000
  /// After a refusal the next attempt comes after this, doubling up to the second number.
  public static let retry_ms: Int64 = 1_000
  public static let retryMax_ms: Int64 = 30_000
  /// Messages of one look into the hub's stream.
  public static let scanBatch = 256

  /// Where the forward stands, for people and monitoring.
  public enum State: Equatable {
    /// No link.
    case offline
    /// Asking which stream of the hub takes the subjects.
    case locating
    /// Looking up which of the messages in doubt the hub has.
    case comparing
    case forwarding
    /// Everything is acknowledged.
    case upToDate
    /// Waiting before the next attempt, and why.
    case refused(String)
  }

  public enum Action: Equatable {
    /// Ask the hub's API for the streams that take the forward's subjects.
    case findStream
    /// Write progress down before anything is sent, and report with `progressSaved`.
    case saveProgress
    /// Make a consumer on the hub's stream behind `after`, for headers only.
    case createScan(stream: ByteString, after: UInt64)
    /// Ask the scan's consumer for the next messages.
    case fetchScan
    /// The scan's consumer is not needed any more.
    case deleteScan
    /// Call `fill` to send messages.
    case send
    /// Call `wake` at this time.
    case wakeUp(at_ms: Int64)
    /// End the batch `number` with a marker as its message `sequence`.
    case closeBatch(number: UInt64, sequence: UInt64)
    /// Put the message, which the hub refuses for good, where dead letters are kept, and report with `isSetAside`.
    case setAside(UInt64, String)
  }

  struct InFlight: Equatable {
    var sequence: UInt64
    /// A hash of the subject; nil for a message that was passed over, or whose batch keeps the order.
    var subject: UInt64?
    /// Its place in the batch; 0 for a message that goes by itself.
    var batchSequence: UInt64 = 0
    var size: Int
    var acknowledged: Bool
    var hubSequence: UInt64
  }

  public private(set) var state = State.offline
  public private(set) var progress: ForwardProgress
  /// The next sequence to look at for sending.
  public private(set) var next: UInt64
  /// The highest sequence that may ever have been sent.
  private var sentMax: UInt64
  private var inFlight: [InFlight] = []
  private var firstInFlight = 0
  private var inFlightBytes = 0
  /// Subjects of messages in flight, and the one that the next message waits for.
  private var busySubjects: Set<UInt64> = []
  private var awaitedSubject: UInt64?
  /// Messages in doubt that the hub turned out to have.
  private var present: Set<UInt64> = []
  /// The highest message that the hub was found to have ahead of others that it lacks. Until everything up to it is acknowledged, the
  /// position of an acknowledged message says nothing of where those stand.
  private var presentMax: UInt64 = 0
  /// The highest position that the hub acknowledged since `begin`.
  private var hubSequenceMax: UInt64 = 0
  private var deadline_ms: Int64?
  private var failures = 0
  /// Whether the stream's position at the hub was written down before the first message went.
  private var located: Bool
  /// The hub stream's last sequence when it was found: the comparison need not go further.
  private var scanUntil: UInt64 = 0
  /// Whether the hub's stream takes batches.
  private var takesBatches = false
  /// Whether the hub has refused batches for good on this link, whatever its stream's configuration says.
  private var refusesBatches = false
  private var batch: ForwardBatch?
  private var batchNumber: UInt64 = 0
  /// Messages through this one go by themselves: the hub cut a batch short at one of them, and will say why.
  private var aloneThrough: UInt64 = 0
  /// One message at first, more once the hub has acknowledged on this link.
  private var window = 1
  private let windowMax: Int
  /// Whether the messages of one subject go one after the other.
  private let isOrdered: Bool
  /// Whether messages that the hub refuses for good are set aside, so that those behind them can go.
  private let setsAside: Bool

  public private(set) var delivered: UInt64 = 0
  public private(set) var duplicates: UInt64 = 0
  public private(set) var refusals = ForwardRefusals()
  /// Messages that were set aside because the hub refuses them for good.
  public private(set) var setAside: UInt64 = 0
  public private(set) var resent: UInt64 = 0

  /// `last` is the edge stream's last sequence at start: anything up to it may have been sent before a crash.
  public init(
    progress: ForwardProgress, last: UInt64, window: Int = ForwardMachine.windowDefault, isOrdered: Bool = true, setsAside: Bool = false
  ) {
    precondition(window > 0, "a forward sends something")
    windowMax = window
    self.isOrdered = isOrdered
    self.setsAside = setsAside
    self.progress = progress
    next = progress.acknowledged + 1
    located = !progress.hubStream.isEmpty
    sentMax = located ? max(last, progress.acknowledged) : progress.acknowledged
  }

  public var inFlightCount: Int { inFlight.count - firstInFlight }
  private var inDoubt: Bool { sentMax > progress.acknowledged }

  // MARK: The link

  public mutating func linkUp(now_ms: Int64) -> [Action] {
    forgetFlight()
    window = 1
    failures = 0
    refusesBatches = false
    return locate(now_ms)
  }

  public mutating func linkDown() {
    state = .offline
    deadline_ms = nil
    forgetFlight()
  }

  /// Nothing is in flight any more; what was is in doubt until the hub was asked.
  private mutating func forgetFlight() {
    inFlight.removeAll(keepingCapacity: false)
    firstInFlight = 0
    inFlightBytes = 0
    busySubjects.removeAll(keepingCapacity: false)
    awaitedSubject = nil
    batch = nil
    present = []
    next = progress.acknowledged + 1
  }

  private mutating func locate(_ now_ms: Int64) -> [Action] {
    state = .locating
    return [.findStream, expect(now_ms, Self.requestTimeout_ms)]
  }

  private mutating func expect(_ now_ms: Int64, _ delay_ms: Int64) -> Action {
    deadline_ms = now_ms + delay_ms
    return .wakeUp(at_ms: now_ms + delay_ms)
  }

  /// Waits, then begins again from asking the hub.
  private mutating func refuse(_ text: String, _ kind: ForwardRefusal = .other, now_ms: Int64) -> [Action] {
    refusals.count(kind)
    forgetFlight()
    state = .refused(text)
    let delay = min(Self.retry_ms << Int64(min(failures, 5)), Self.retryMax_ms)
    failures += 1
    return [expect(now_ms, delay)]
  }

  // MARK: Finding the hub's stream

  /// The hub's streams that take the forward's subjects, with their last sequences, and whether they take batches.
  public mutating func foundStreams(_ streams: [(name: ByteString, last: UInt64, takesBatches: Bool)], now_ms: Int64) -> [Action] {
    guard state == .locating else { return [] }
    guard streams.count == 1, let stream = streams.first else {
      if streams.isEmpty { return refuse("no stream at the hub takes these subjects: create one there", now_ms: now_ms) }
      let names = streams.map { $0.name.string }.joined(separator: ", ")
      return refuse("several streams at the hub take these subjects (\(names)): make `to` fit one of them", now_ms: now_ms)
    }
    scanUntil = stream.last
    takesBatches = stream.takesBatches && !refusesBatches
    // A sequence below ours: the stream was removed and made anew. What is in doubt can stand anywhere in it.
    if stream.last < progress.hubSequence { located = false }
    if located, stream.name == progress.hubStream { return compare(now_ms) }
    // A stream that is new to us holds nothing of ours, except what is in doubt from an earlier time with it. Say where to look from
    // durably before the first message goes, or a crash would leave no place to begin.
    located = false
    progress.hubStream = stream.name
    progress.hubSequence = inDoubt ? 0 : stream.last
    deadline_ms = nil
    return [.saveProgress]
  }

  /// Looks up what is in doubt, if anything is.
  private mutating func compare(_ now_ms: Int64) -> [Action] {
    guard inDoubt, scanUntil > progress.hubSequence else { return begin(now_ms) }
    state = .comparing
    return [.createScan(stream: progress.hubStream, after: progress.hubSequence), expect(now_ms, Self.requestTimeout_ms)]
  }

  public mutating func requestFailed(_ text: String, now_ms: Int64) -> [Action] {
    switch state {
    case .locating, .comparing: refuse(text, now_ms: now_ms)
    case .offline, .forwarding, .upToDate, .refused: []
    }
  }

  public mutating func progressSaved(now_ms: Int64) -> [Action] {
    guard state == .locating else { return [] }
    located = true
    return compare(now_ms)
  }

  // MARK: Comparing

  /// The scan's consumer is there, with so many messages to look at.
  public mutating func scanCreated(pending: UInt64, now_ms: Int64) -> [Action] {
    guard state == .comparing else { return [] }
    if pending == 0 { return [.deleteScan] + begin(now_ms) }
    return [.fetchScan, expect(now_ms, Self.requestTimeout_ms)]
  }

  /// One message of the hub's stream: ours with `sequence`, or somebody else's (nil), at the hub's `position`. `pending` more follow.
  public mutating func scanned(
    _ sequence: UInt64?, at position: UInt64 = 0, pending: UInt64, endOfBatch: Bool, now_ms: Int64
  ) -> [Action] {
    guard state == .comparing else { return [] }
    if let sequence, sequence > progress.acknowledged, sequence <= sentMax { present.insert(sequence) }
    // What came to the hub after it was asked is not ours: nothing was sent meanwhile.
    if pending == 0 || position >= scanUntil { return [.deleteScan] + begin(now_ms) }
    if endOfBatch { return [.fetchScan, expect(now_ms, Self.requestTimeout_ms)] }
    deadline_ms = now_ms + Self.requestTimeout_ms
    return []
  }

  private mutating func begin(_ now_ms: Int64) -> [Action] {
    state = .forwarding
    deadline_ms = nil
    next = progress.acknowledged + 1
    presentMax = present.max() ?? 0
    hubSequenceMax = 0
    return [.send]
  }

  // MARK: Sending

  /// Whether another message may go now.
  public var maySend: Bool {
    switch state {
    case .forwarding, .upToDate:
      if let batch {
        !batch.isClosed && awaitedSubject == nil
      } else {
        awaitedSubject == nil && inFlightCount < window && inFlightBytes < Self.windowBytesMax
      }
    case .offline, .locating, .comparing, .refused: false
    }
  }

  /// What to do with the message `sequence`, the next one of the edge stream: send it (true), or pass over it because the hub has it.
  public func wants(_ sequence: UInt64) -> Bool { !present.contains(sequence) }

  /// Whether a message on `subject` (a hash) may go, or must wait for an earlier one of its subject. A hub drops and refuses single
  /// messages: while its stream has no leader, or no room. Were a later message of the subject already under way and stored, the
  /// repeated one would come behind it.
  public mutating func maySend(subject: UInt64) -> Bool {
    guard isOrdered, busySubjects.contains(subject) else { return true }
    awaitedSubject = subject
    return false
  }

  /// How the next message goes, of about `size` bytes, with so many `waiting` behind it. A batch is begun when nothing is in flight: what
  /// goes by itself may be dropped by the hub, and would come to stand behind.
  public func placement(size: Int, waiting: UInt64) -> ForwardPlacement {
    if let batch {
      let sequence = batch.count + 1
      let isLast = waiting == 0 || sequence >= ForwardBatch.messagesMax || inFlightBytes + size >= Self.windowBytesMax
      return .batched(number: batch.number, sequence: sequence, isLast: isLast)
    }
    guard takesBatches, windowMax > 1, window == windowMax, next > aloneThrough, waiting >= ForwardBatch.messagesMin else { return .alone }
    return inFlightCount == 0 ? .batched(number: batchNumber + 1, sequence: 1, isLast: false) : .later
  }

  /// Nothing more is put into the batch, if there is one: what comes next waits for another forward, or is not there yet.
  public mutating func closeBatch(now_ms: Int64) -> [Action] {
    guard let open = batch, !open.isClosed else { return [] }
    batch?.isClosed = true
    return [.closeBatch(number: open.number, sequence: open.count + 1), expect(now_ms, Self.ackTimeout_ms)]
  }

  /// The message was handed to the link.
  public mutating func sent(
    _ sequence: UInt64, subject: UInt64, size: Int, _ placement: ForwardPlacement = .alone, now_ms: Int64
  ) -> [Action] {
    precondition(sequence >= next, "messages are forwarded in order")
    if sequence <= sentMax { resent += 1 }
    sentMax = max(sentMax, sequence)
    next = sequence + 1
    state = .forwarding
    var entry = InFlight(sequence: sequence, subject: subject, size: size, acknowledged: false, hubSequence: 0)
    if case .batched(let number, let place, let isLast) = placement {
      precondition(place == (batch?.count ?? 0) + 1, "messages are put into a batch in order")
      batchNumber = number
      batch = ForwardBatch(number: number, count: place, isClosed: isLast)
      entry.batchSequence = place
      entry.subject = nil
    } else if isOrdered {
      precondition(busySubjects.insert(subject).inserted, "messages of one subject are forwarded one after the other")
    }
    inFlight.append(entry)
    inFlightBytes += size
    return inFlightCount == 1 ? [expect(now_ms, Self.ackTimeout_ms)] : []
  }

  /// The link does not take `sequence`, the next message, on `subject` (a hash). One that is refused for good is set aside; for others
  /// acknowledgements come first: after each it is tried again.
  public mutating func notTaken(
    _ sequence: UInt64, subject: UInt64, _ text: String, _ kind: ForwardRefusal = .other, now_ms: Int64
  ) -> [Action] {
    switch state {
    case .offline, .locating, .comparing, .refused: return []
    case .forwarding, .upToDate:
      guard setsAside, kind.isForGood else { return inFlightCount == 0 ? refuse(text, kind, now_ms: now_ms) : [] }
      refusals.count(kind)
      let expectation = sent(sequence, subject: subject, size: 0, now_ms: now_ms)
      return expectation + [.setAside(sequence, text)]
    }
  }

  /// The message need not be sent: its subject is not forwarded, or the hub has it.
  public mutating func passed(_ sequence: UInt64) {
    precondition(sequence >= next, "messages are forwarded in order")
    next = sequence + 1
    present.remove(sequence)
    if inFlightCount == 0 {
      progress.acknowledged = sequence
    } else {
      inFlight.append(InFlight(sequence: sequence, subject: nil, size: 0, acknowledged: true, hubSequence: 0))
    }
  }

  /// There is nothing more in the edge stream.
  public mutating func exhausted(now_ms: Int64) -> [Action] {
    guard batch == nil else { return closeBatch(now_ms: now_ms) }
    if inFlightCount == 0, state == .forwarding {
      state = .upToDate
      deadline_ms = nil
    }
    return []
  }

  // MARK: Acknowledgements

  /// The hub has stored `sequence` as its `hubSequence`.
  public mutating func acknowledged(_ sequence: UInt64, hubSequence: UInt64, duplicate: Bool, now_ms: Int64) -> [Action] {
    guard let index = find(sequence), !inFlight[index].acknowledged else { return [] }
    if duplicate { duplicates += 1 } else { delivered += 1 }
    failures = 0
    window = windowMax
    return settle(index, hubSequence: hubSequence, now_ms)
  }

  /// The message stands where dead letters are kept, durably.
  public mutating func isSetAside(_ sequence: UInt64, now_ms: Int64) -> [Action] {
    guard let index = find(sequence), !inFlight[index].acknowledged else { return [] }
    setAside += 1
    return settle(index, hubSequence: 0, now_ms)
  }

  /// Nothing more is to be done for the message at `index`.
  private mutating func settle(_ index: Int, hubSequence: UInt64, _ now_ms: Int64) -> [Action] {
    inFlight[index].acknowledged = true
    inFlight[index].hubSequence = hubSequence
    if let subject = inFlight[index].subject {
      busySubjects.remove(subject)
      if awaitedSubject == subject { awaitedSubject = nil }
    }
    let wasFirst = index == firstInFlight
    advance()
    // The timeout counts from the last progress.
    if wasFirst { deadline_ms = inFlightCount > 0 || batch != nil ? now_ms + Self.ackTimeout_ms : nil }
    return [.send]
  }

  /// Progress comes as far as everything is acknowledged.
  private mutating func advance() {
    while firstInFlight < inFlight.count, inFlight[firstInFlight].acknowledged {
      let done = inFlight[firstInFlight]
      progress.acknowledged = done.sequence
      hubSequenceMax = max(hubSequenceMax, done.hubSequence)
      if progress.acknowledged >= presentMax { progress.hubSequence = max(progress.hubSequence, hubSequenceMax) }
      inFlightBytes -= done.size
      firstInFlight += 1
    }
    if firstInFlight == inFlight.count || firstInFlight > Self.windowDefault {
      inFlight.removeFirst(firstInFlight)
      firstInFlight = 0
    }
  }

  // MARK: Batches

  /// The hub says that it goes on with the batch. What it has of it counts when its stream says so, by its name: in `batchStored`.
  public mutating func batchGoesOn(_ number: UInt64, now_ms: Int64) {
    if batch?.number == number, deadline_ms != nil { deadline_ms = now_ms + Self.ackTimeout_ms }
  }

  /// The hub's stream has the first `count` messages of the batch, the last of them as its `hubSequence`, and takes no more of it.
  public mutating func batchStored(_ number: UInt64, count: UInt64, hubSequence: UInt64, now_ms: Int64) -> [Action] {
    guard let ended = batch, ended.number == number else { return [] }
    for index in firstInFlight..<inFlight.count where (1...max(1, count)).contains(inFlight[index].batchSequence) && count > 0 {
      inFlight[index].acknowledged = true
      inFlight[index].hubSequence = inFlight[index].batchSequence == min(count, ended.count) ? hubSequence : 0
      delivered += 1
    }
    advance()
    guard count >= ended.count, ended.isClosed else { return cutShort(now_ms) }
    failures = 0
    batch = nil
    deadline_ms = inFlightCount > 0 ? now_ms + Self.ackTimeout_ms : nil
    return [.send]
  }

  /// The hub does not take the batch. Its messages go by themselves: then it says what is wrong with which. `isForGood`: it takes none.
  public mutating func batchRefused(_ number: UInt64, isForGood: Bool, now_ms: Int64) -> [Action] {
    guard batch?.number == number else { return [] }
    if isForGood { refusesBatches = true }
    return cutShort(now_ms)
  }

  /// Which of the rest the hub has is asked, as after a break.
  private mutating func cutShort(_ now_ms: Int64) -> [Action] {
    aloneThrough = next - 1
    forgetFlight()
    window = 1
    return locate(now_ms)
  }

  // MARK: Refusals

  /// The hub has refused `sequence`.
  public mutating func refused(_ sequence: UInt64, _ text: String, _ kind: ForwardRefusal = .other, now_ms: Int64) -> [Action] {
    guard let index = find(sequence), !inFlight[index].acknowledged else { return [] }
    guard setsAside, kind.isForGood else { return refuse(text, kind, now_ms: now_ms) }
    refusals.count(kind)
    return [.setAside(sequence, text)]
  }

  /// The dead letter was not taken either: the message is held.
  public mutating func notSetAside(_ sequence: UInt64, _ text: String, now_ms: Int64) -> [Action] {
    guard let index = find(sequence), !inFlight[index].acknowledged else { return [] }
    return refuse(text, now_ms: now_ms)
  }

  private func find(_ sequence: UInt64) -> Int? {
    var low = firstInFlight
    var high = inFlight.count
    while low < high {
      let middle = (low + high) / 2
      if inFlight[middle].sequence < sequence { low = middle + 1 } else { high = middle }
    }
    return low < inFlight.count && inFlight[low].sequence == sequence ? low : nil
  }

  // MARK: Time

  /// What was sent has not left yet: the time for its acknowledgement has not begun.
  public mutating func wait(now_ms: Int64) {
    if state == .forwarding, let due_ms = deadline_ms { deadline_ms = max(due_ms, now_ms + Self.ackTimeout_ms) }
  }

  public mutating func wake(now_ms: Int64) -> [Action] {
    guard let deadline_ms else { return [] }
    guard now_ms >= deadline_ms else { return [.wakeUp(at_ms: deadline_ms)] }
    self.deadline_ms = nil
    switch state {
    case .offline, .upToDate: return []
    case .refused: return locate(now_ms)
    case .locating: return refuse("the hub's JetStream does not answer", now_ms: now_ms)
    case .comparing: return [.deleteScan] + refuse("the hub's JetStream does not answer", now_ms: now_ms)
    case .forwarding:
      guard inFlightCount > 0 || batch != nil else { return [] }
      // Neither acknowledged nor refused: nothing may be assumed, so ask what is there.
      forgetFlight()
      window = 1
      return locate(now_ms)
    }
  }
}
