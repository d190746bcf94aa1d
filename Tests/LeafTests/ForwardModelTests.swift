// The forward against a model of an edge stream, a link and a hub that lose things at random: in the end every message is in the hub's
// stream exactly once, in order on each subject, and in order altogether as long as the hub does not drop messages from the middle.
import Bytes
import Platform
import Testing

@testable import Leaf

/// A world of one forward. Requests travel in order to the hub and answers in order back; a broken link loses what is under way.
private final class ForwardWorld {
  enum Request: Equatable {
    case find
    case publish(UInt64)
    case batched(UInt64, number: UInt64, place: UInt64, isLast: Bool)
    case closeBatch(number: UInt64, place: UInt64)
    case scan(after: UInt64)
    case fetch
    case deleteScan
  }
  enum Answer {
    case streams([(name: ByteString, last: UInt64)])
    case failed
    case stored(UInt64, hub: UInt64, duplicate: Bool)
    case batchStored(UInt64, count: UInt64, hub: UInt64)
    case batchGoesOn(UInt64)
    case batchRefused(UInt64)
    case refused(UInt64, ForwardRefusal)
    case scanCreated(UInt64)
    case scanned(UInt64?, pending: UInt64, end: Bool)
  }

  let random: SeededEntropy
  /// Whether the hub may lose or refuse single messages (a change of leader in the middle).
  let hubDrops: Bool
  /// Whether the hub refuses some messages for good, which are then set aside.
  let hubIsPicky: Bool
  /// What was set aside, each message once: the stream there knows their ids.
  var dead: Set<UInt64> = []
  /// Acknowledgements of dead letters that are under way: on this side, so no broken link loses them.
  var deadStored: [UInt64] = []
  var now_ms: Int64 = 0
  var machine: Forward
  /// The edge stream: the subject of each message (from sequence 1), nil for one that is not to be forwarded.
  var edge: [UInt64?] = []
  /// The hub's stream: the edge sequences of ours, nil for others' messages.
  var hub: [UInt64?] = []
  /// What the hub's duplicate window remembers.
  var window: [UInt64: UInt64] = [:]
  var hasLeader = true
  /// The batches that the hub has open, with the place of their last message; none when its stream takes no batches.
  var batches: [UInt64: UInt64]?
  var batchesStored = 0
  var batchesCut = 0
  var linked = false
  var toHub: [Request] = []
  var fromHub: [Answer] = []
  /// Positions that a scan's consumer has still to deliver; nil without a consumer.
  var scan: [Int]?
  var saved = ForwardProgress()
  var saving: ForwardProgress?
  var wakeAt_ms: Int64?
  var acksLost = 0
  var breaks = 0
  var restarts = 0

  init(seed: UInt64, hubDrops: Bool, hubIsPicky: Bool) {
    random = SeededEntropy(seed: seed)
    if seed % 2 == 0 { batches = [:] }
    self.hubDrops = hubDrops
    self.hubIsPicky = hubIsPicky
    machine = Forward(progress: ForwardProgress(), last: 0, window: 1 + random.below(20), setsAside: hubIsPicky)
  }

  func perform(_ actions: [ForwardMachine.Action]) {
    for action in actions {
      switch action {
      case .findStream: toHub.append(.find)
      case .saveProgress: saving = machine.progress
      case .createScan(_, let after): toHub.append(.scan(after: after))
      case .fetchScan: toHub.append(.fetch)
      case .deleteScan: toHub.append(.deleteScan)
      case .send: fill()
      case .wakeUp(let at_ms): wakeAt_ms = at_ms
      case .closeBatch(let number, let place): toHub.append(.closeBatch(number: number, place: place))
      case .setAside(let sequence, _):
        dead.insert(sequence)
        deadStored.append(sequence)
      }
    }
  }

  /// Messages that the hub refuses whenever they come.
  func isRefusedForGood(_ sequence: UInt64) -> Bool { hubIsPicky && sequence % 7 == 3 }
  /// Some of those the link does not even take.
  func isTakenByLink(_ sequence: UInt64) -> Bool { !(hubIsPicky && sequence % 21 == 3) }

  func fill() {
    while machine.maySend, machine.next <= UInt64(edge.count) {
      let sequence = machine.next
      guard let subject = edge[Int(sequence - 1)], machine.wants(sequence) else {
        machine.passed(sequence)
        continue
      }
      guard machine.maySend(subject: subject) else { return }
      let placement = machine.placement(waiting: UInt64(edge.count) - sequence)
      if placement == .later { return }
      guard isTakenByLink(sequence) else {
        perform(machine.notTaken(sequence, subject: subject, "too large", .tooLarge, now_ms: now_ms))
        continue
      }
      if case .batched(let number, let place, let isLast) = placement {
        toHub.append(.batched(sequence, number: number, place: place, isLast: isLast))
      } else {
        toHub.append(.publish(sequence))
      }
      perform(machine.sent(sequence, subject: subject, size: 100, placement, now_ms: now_ms))
    }
    if machine.next > UInt64(edge.count) { perform(machine.exhausted(now_ms: now_ms)) }
  }

  /// Stores a message, unless the hub knows it; its position.
  private func store(_ sequence: UInt64) -> (position: UInt64, duplicate: Bool) {
    if let known = window[sequence] { return (known, true) }
    hub.append(sequence)
    window[sequence] = UInt64(hub.count)
    return (UInt64(hub.count), false)
  }

  /// One message of a batch that ends at the first gap, as nats-server does it: the end is told with what was stored.
  private func takeBatched(_ sequence: UInt64, _ number: UInt64, _ place: UInt64, _ isLast: Bool) {
    guard let last = batches?[number] ?? (batches != nil && place == 1 ? 0 : nil) else { return fromHub.append(.batchRefused(number)) }
    guard place == last + 1 else { return endBatch(number, last) }
    if isRefusedForGood(sequence) {
      batches?[number] = nil
      return fromHub.append(place == 1 ? .batchRefused(number) : .batchStored(number, count: last, hub: UInt64(hub.count)))
    }
    _ = store(sequence)
    batches?[number] = place
    if place % 4 == 0 { fromHub.append(.batchGoesOn(number)) }
    if isLast { endBatch(number, place) }
  }

  private func endBatch(_ number: UInt64, _ count: UInt64) {
    batches?[number] = nil
    batchesStored += 1
    // Somebody else's messages came since: the position is that of the batch's last message, at least.
    fromHub.append(.batchStored(number, count: count, hub: UInt64(hub.lastIndex { $0 != nil }.map { $0 + 1 } ?? 0)))
  }

  func hubWorks() {
    guard !toHub.isEmpty else { return }
    let request = toHub.removeFirst()
    switch request {
    case .find: fromHub.append(hasLeader ? .streams([(name: "HUB", last: UInt64(hub.count))]) : random.oneIn(2) ? .streams([]) : .failed)
    case .publish(let sequence):
      if isRefusedForGood(sequence) {
        fromHub.append(.refused(sequence, .notPermitted))
      } else if window[sequence] == nil, hubDrops, random.oneIn(12) {
        if random.oneIn(2) { fromHub.append(.refused(sequence, .other)) }
      } else {
        let (position, duplicate) = store(sequence)
        fromHub.append(.stored(sequence, hub: position, duplicate: duplicate))
      }
    case .batched(let sequence, let number, let place, let isLast):
      if !(hubDrops && random.oneIn(40)) { takeBatched(sequence, number, place, isLast) }
    case .closeBatch(let number, let place):
      if let last = batches?[number] {
        if last + 1 != place { batchesCut += 1 }
        endBatch(number, last)
      } else {
        fromHub.append(.batchRefused(number))
      }
    case .scan(let after):
      guard hasLeader else { return }
      let found = hub.indices.filter { UInt64($0) >= after }
      scan = found
      fromHub.append(.scanCreated(UInt64(found.count)))
    case .fetch:
      guard let waiting = scan, hasLeader else { return }
      let batch = waiting.prefix(3)
      scan = Array(waiting.dropFirst(batch.count))
      for (index, position) in batch.enumerated() {
        fromHub.append(.scanned(hub[position], pending: UInt64(waiting.count - index - 1), end: index == batch.count - 1))
      }
    case .deleteScan: scan = nil
    }
  }

  func edgeHears() {
    guard !fromHub.isEmpty else { return }
    let answer = fromHub.removeFirst()
    switch answer {
    case .streams(let streams): perform(machine.foundStreams(streams, takesBatches: batches != nil, now_ms: now_ms))
    case .failed: perform(machine.requestFailed("no leader", now_ms: now_ms))
    case .stored(let sequence, let position, let duplicate):
      if random.oneIn(25), !settling {
        acksLost += 1
      } else {
        perform(machine.acknowledged(sequence, hubSequence: position, duplicate: duplicate, now_ms: now_ms))
      }
    case .batchStored(let number, let count, let position):
      if random.oneIn(10), !settling {
        acksLost += 1
      } else {
        perform(machine.batchStored(number, count: count, hubSequence: position, now_ms: now_ms))
      }
    case .batchGoesOn(let number): machine.batchGoesOn(number, now_ms: now_ms)
    case .batchRefused(let number): perform(machine.batchRefused(number, now_ms: now_ms))
    case .refused(let sequence, let kind): perform(machine.refused(sequence, "refused", kind, now_ms: now_ms))
    case .scanCreated(let pending): perform(machine.scanCreated(pending: pending, now_ms: now_ms))
    case .scanned(let sequence, let pending, let end):
      perform(machine.scanned(sequence, pending: pending, endOfBatch: end, now_ms: now_ms))
    }
  }

  func cut() {
    linked = false
    breaks += 1
    // What the kernels had on the way: some of it still arrives at the hub, no answer does.
    for _ in 0..<random.below(toHub.count + 1) { hubWorks() }
    toHub = []
    fromHub = []
    scan = nil
    wakeAt_ms = nil
    machine.linkDown()
  }

  /// The agent dies; what it knows afterwards is what it had written down last.
  func restart() {
    restarts += 1
    cut()
    if let saving, random.oneIn(2) { saved = saving }
    saving = nil
    deadStored = []
    if batches != nil { batches = [:] }  // a process names its batches by chance
    machine = Forward(progress: saved, last: UInt64(edge.count), window: 1 + random.below(20), setsAside: hubIsPicky)
  }

  func connect() {
    linked = true
    perform(machine.linkUp(now_ms: now_ms))
  }

  var settling = false

  func step() {
    switch random.below(settling ? 6 : 24) {
    case 0, 1: hubWorks()
    case 2: edgeHears()
    case 3:
      if !deadStored.isEmpty { perform(machine.isSetAside(deadStored.removeFirst(), now_ms: now_ms)) } else { edgeHears() }
    case 4:
      now_ms += Int64(random.below(800))
      if let at_ms = wakeAt_ms, now_ms >= at_ms {
        wakeAt_ms = nil
        perform(machine.wake(now_ms: now_ms))
      }
    case 5:
      if let progress = saving {
        saving = nil
        saved = progress
        perform(machine.progressSaved(now_ms: now_ms))
      }
    case 6...9:
      if edge.count < 120 { edge.append(random.oneIn(5) ? nil : UInt64(random.below(12))) }
      if machine.maySend { fill() }
    case 10: hub.append(nil)
    case 11: if random.oneIn(6), linked { cut() }
    case 12: if random.oneIn(15) { restart() }
    case 13:
      if saving == nil, !machine.progress.hubStream.isEmpty, saved.hubStream == machine.progress.hubStream { saved = machine.progress }
    case 14: if random.oneIn(10) { window = [:] }
    case 15: if toHub.isEmpty, fromHub.isEmpty { hasLeader = !random.oneIn(3) }
    default: if !linked, random.oneIn(4) { connect() }
    }
  }

  /// No more trouble: everything gets where it should.
  func settle() {
    settling = true
    hasLeader = true
    if !linked { connect() }
    var quiet = 0
    for _ in 0..<200_000 where quiet < 200 {
      if machine.maySend { fill() }
      step()
      quiet = machine.state == .upToDate && toHub.isEmpty && fromHub.isEmpty ? quiet + 1 : 0
    }
  }
}

@Suite struct ForwardModelTests {
  @discardableResult private func run(_ seed: UInt64, hubDrops: Bool, hubIsPicky: Bool = false) -> ForwardWorld {
    let world = ForwardWorld(seed: seed, hubDrops: hubDrops, hubIsPicky: hubIsPicky)
    world.connect()
    for _ in 0..<3000 { world.step() }
    world.settle()
    let forwarded = world.edge.indices.filter { world.edge[$0] != nil }.map { UInt64($0 + 1) }
    let expected = forwarded.filter { !world.isRefusedForGood($0) }
    let ours = world.hub.compactMap { $0 }
    let story = "seed \(seed): \(world.breaks) breaks, \(world.restarts) restarts, \(world.acksLost) lost acks"
    let state = world.machine.state
    #expect(state == .upToDate, "\(story)")
    if hubDrops {
      #expect(ours.sorted() == expected, "\(story)")
      for subject in UInt64(0)..<12 {
        let onSubject = ours.filter { world.edge[Int($0 - 1)] == subject }
        #expect(onSubject == onSubject.sorted(), "\(story)")
      }
    } else {
      #expect(ours == expected, "\(story)")
    }
    #expect(world.dead == Set(forwarded.filter { world.isRefusedForGood($0) }), "\(story)")
    #expect(world.machine.progress.acknowledged == UInt64(world.edge.count), "\(story)")
    #expect(world.machine.inFlightCount == 0, "\(story)")
    return world
  }

  @Test("lost acks, broken links, restarts with old progress, a hub without leader: every message once and in order")
  func onceAndInOrder() {
    var batches = 0
    for seed in 0..<400 { batches += run(UInt64(seed), hubDrops: false).batchesStored }
    #expect(batches > 100, "every second of these hubs takes batches")
  }

  @Test("a hub that refuses some messages for good: those are set aside, all others are there once and in order")
  func setAside() { for seed in 2000..<2400 { run(UInt64(seed), hubDrops: false, hubIsPicky: true) } }

  @Test("a hub that also drops and refuses single messages: every message once, and in order on each subject")
  func once() { for seed in 1000..<1400 { run(UInt64(seed), hubDrops: true) } }
}
