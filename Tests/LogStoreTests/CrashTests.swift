// Power cuts at every point: for each prefix of disk operations and for many choices of what unsynced pages and names survived, the
// recovered state must be one that the store had, no older than what it had reported durable.
import Bytes
import Interest
import Platform
import SeedRuns
import Testing

@testable import LogStore

/// What a store holds, in a form that compares.
struct Contents: Equatable {
  struct Stream: Equatable {
    var first: UInt64
    var last: UInt64
    var live: [UInt64]
    /// Tells messages of a dropped stream from those of the one that took its number.
    var generation: Int
    var bytes: Int64
  }
  var streams: [UInt32: Stream] = [:]
  var metadata: [String: [UInt8]] = [:]

  /// As the index of a store has it, checked against what scans and reads give.
  init(of store: LogStore, generations: [UInt32: Int]? = nil) throws {
    for id in store.streamIDs {
      let stream = store.stream(id)
      guard stream.lastSequence > 0 else { continue }
      let live = stream.live
      try Self.agree("messages of stream \(id) counted", stream.count, "in the index", live.count)
      var generation = generations?[id] ?? 0
      var scanned: [UInt64] = []
      var bytes: Int64 = 0
      var subjects: [String: Int] = [:]
      try stream.scan(from: 0) { message in
        scanned.append(message.sequence)
        subjects[message.subject.string, default: 0] += 1
        bytes += Int64(message.bytes)
        if generations == nil { generation = message.payload.count % 10 }
        #expect(message.payload.bytes == StreamLog.payload(message.sequence, message.payload.count))
        return true
      }
      try Self.agree("messages of stream \(id) in the index", live, "found by a scan", scanned)
      var counted: [String: Int] = [:]
      stream.subjects.forEach(matching: ByteView(">")) { subject, state in counted[subject.string] = state.count }
      try Self.agree("subjects of stream \(id) counted", counted, "found by a scan", subjects)
      try Self.agree("bytes of stream \(id) counted", stream.bytes, "found by a scan", bytes)
      if live.isEmpty { generation = 0 }
      streams[id] = Stream(
        first: stream.firstSequence, last: stream.lastSequence, live: live, generation: generation, bytes: stream.bytes)
    }
    store.metadata.forEach { key, value in metadata[key.string] = value }
    try Self.agree(
      "messages counted by segment", store.segments.reduce(0) { $0 + $1.liveMessages }, "by stream",
      streams.values.reduce(0) { $0 + $1.live.count })
  }

  /// An error, so that a random test can say at which seed.
  private static func agree<T: Equatable>(_ what: String, _ one: T, _ where: String, _ other: T) throws {
    if one != other { throw Disagreement(text: "\(what): \(one); \(`where`): \(other)") }
  }
  struct Disagreement: Error, CustomStringConvertible {
    let text: String
    var description: String { text }
    func at(_ place: String) -> Disagreement { Disagreement(text: "\(place): \(text)") }
  }
}

/// Runs a random workload and remembers the contents after every action.
final class Workload {
  let bench: Bench
  var random: Seeded
  var generations: [UInt32: Int] = [:]
  /// After each action: its position, the disk operations before it, the contents.
  var history: [(position: UInt64, operations: Int, contents: Contents)] = []
  /// When which position was reported durable.
  var durable: [(operations: Int, position: UInt64)] = []

  /// Whether writes fail and the disk fills up now and then.
  private let hasFaults: Bool
  /// Nobody waits for this stream's messages, so they are written ahead of their commits.
  private let promptID: UInt32

  init(seed: UInt64, storeBytesMax: Int64 = 1 << 20, checkpoints: Bool = true, hasFaults: Bool = false) throws {
    self.hasFaults = hasFaults
    var options = Bench.small(storeBytesMax: storeBytesMax, checkpoints: checkpoints)
    options.aheadDelay_ns = 150_000
    // Checkpoints of many frames, with subjects of many pages: much happens while they are written.
    if seed % 5 < 3 { (options.checkpointFrameBytes, options.subjectsPerPage) = (48, 2) }
    promptID = seed % 3 == 0 ? 0 : 2
    bench = Bench(options: options, seed: seed)
    random = Seeded(seed)
    _ = try bench.store.open()
    bench.store.onDurable = { [unowned self] in
      durable.append((bench.disk.operations.count, bench.store.durablePosition))
    }
    history.append((0, 0, try Contents(of: bench.store, generations: [:])))
  }

  /// Goes on from what a power cut left of another one's store.
  init(continuing old: Workload, on image: MemoryDisk, seed: UInt64) throws {
    hasFaults = old.hasFaults
    promptID = old.promptID
    bench = Bench(image, options: old.bench.store.options, seed: seed)
    random = Seeded(seed)
    generations = old.generations
    _ = try bench.store.open()
    let found = try Contents(of: bench.store)
    for (id, stream) in found.streams {
      generations[id] = stream.live.isEmpty ? (generations[id, default: 0] + 1) % 10 : stream.generation
    }
    bench.store.onDurable = { [unowned self] in
      durable.append((bench.disk.operations.count, bench.store.durablePosition))
    }
    history.append((bench.store.appendedPosition, 0, found))
  }

  func run(actions: Int) throws {
    for _ in 0..<actions {
      if hasFaults { misfortune() }
      let operations = bench.disk.operations.count
      act()
      do {
        history.append((bench.store.appendedPosition, operations, try Contents(of: bench.store, generations: generations)))
      } catch let error as Contents.Disagreement { throw error.at("after \(history.count) actions") }
      switch Int.random(in: 0..<12, using: &random) {
      case 0..<3: bench.turn()
      case 3: bench.turn(commit: false)
      case 4: if Bool.random(using: &random) { bench.rest() }
      default: break
      }
    }
    heal()
    (bench.disk.failingCommits, bench.disk.failingSyncs) = ([:], [])
    bench.rest()
    if hasFaults { for _ in 0..<3 { bench.rest(40 * second_ns) } }
    try beAlive()
  }

  /// On a disk that is well again, what the store is told becomes durable.
  private func beAlive() throws {
    let operations = bench.disk.operations.count
    let stream = bench.store.stream(1)
    do throws(StoreError) { try stream.put(stream.lastSequence + 1, size: 10 + generations[1, default: 0]) } catch {
      guard error == .full else { throw error }
    }
    history.append((bench.store.appendedPosition, operations, try Contents(of: bench.store, generations: generations)))
    bench.store.setMetadata("alive", [1])
    history.append((bench.store.appendedPosition, operations, try Contents(of: bench.store, generations: generations)))
    bench.rest()
    guard bench.store.durablePosition == bench.store.appendedPosition, !bench.store.isFailed else { throw Lifeless() }
  }

  /// The store took something that never became durable.
  struct Lifeless: Error {}

  /// Now and then commits fail, at their write or their sync, files cannot be made, or the file system is full; or all is well again.
  private func misfortune() {
    guard Int.random(in: 0..<15, using: &random) == 0 else { return }
    let disk = bench.disk
    let commit = disk.commits + Int.random(in: 0..<4, using: &random)
    switch Int.random(in: 0..<7, using: &random) {
    case 6: disk.failNames = .inputOutput
    case 0: disk.failingCommits[commit] = Bool.random(using: &random) ? .inputOutput : .noSpace
    case 1: disk.failingSyncs.insert(commit)
    case 2: disk.failCreate = Bool.random(using: &random) ? .inputOutput : .noSpace
    case 3: disk.space = Int64.random(in: 0..<30_000, using: &random)
    default: heal()
    }
  }

  private func heal() {
    (bench.disk.failCreate, bench.disk.failNames) = (nil, nil)
    bench.disk.space = .max
  }

  private func act() {
    let store = bench.store
    let id = UInt32.random(in: 1...3, using: &random)
    let stream = store.stream(id)
    stream.isPrompt = id == promptID
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<4: group(stream, id)
    case 4..<62:
      let gap = UInt64(Int.random(in: 0..<20, using: &random) == 0 ? 3 : 1)
      let size = Int.random(in: 0..<20, using: &random) == 0 ? 1500 : Int.random(in: 1...30, using: &random)
      do {
        try stream.put(
          stream.lastSequence + gap, size: size * 10 + generations[id, default: 0],
          headers: Bool.random(using: &random) ? "" : "NATS/1.0\r\n\r\n")
      } catch {
        if let through = stream.oldestSegmentLastSequence { stream.removeThrough(through) }
      }
    case 62..<78:
      if stream.count > 0 {
        let from = UInt64.random(in: stream.firstSequence...stream.lastSequence, using: &random)
        let sequence = stream.nextSequence(atOrAfter: from) ?? stream.firstSequence
        if Bool.random(using: &random) { stream.remove(sequence) } else { _ = stream.erase(sequence) { _ in } }
      }
    case 78..<82: if stream.count > 0 { stream.remove(stream.firstSequence) }
    case 82..<87:
      if stream.count > 10 { stream.removeThrough(stream.firstSequence + UInt64.random(in: 0...9, using: &random)) }
    case 87: stream.removeThrough(stream.lastSequence)
    case 88..<96:
      store.setMetadata(ByteString("key \(Int.random(in: 0..<5, using: &random))"), [UInt8(truncatingIfNeeded: random.next())])
    case 96..<98: store.removeMetadata(ByteString("key \(Int.random(in: 0..<5, using: &random))"))
    default:
      store.dropStream(id)
      generations[id] = (generations[id, default: 0] + 1) % 10
    }
  }

  /// Messages that are found again as a whole or not at all, often more than a segment or a batch takes.
  private func group(_ stream: StreamLog, _ id: UInt32) {
    let sizes = (0..<Int.random(in: 1...12, using: &random)).map { _ in Int.random(in: 1...120, using: &random) * 10 }
    let bytes = sizes.reduce(0) { $0 + LogStore.groupBytes(subject: 10, headers: 12, payload: $1 + 9) }
    do { try bench.store.beginGroup(bytes: bytes) } catch {
      if let through = stream.oldestSegmentLastSequence { stream.removeThrough(through) }
      return
    }
    for size in sizes {
      do {
        try stream.put(
          stream.lastSequence + 1, size: size + generations[id, default: 0],
          headers: Bool.random(using: &random) ? "" : "NATS/1.0\r\n\r\n")
      } catch { Issue.record("a message of a group was refused: \(error)") }
      if Bool.random(using: &random) { stream.remove(stream.firstSequence) }
    }
    bench.store.endGroup()
  }

  /// The actions that a power cut after `operations` operations may have preserved last.
  func allowed(_ operations: Int) -> ClosedRange<Int> {
    let position = durable.last { $0.operations <= operations }?.position ?? 0
    // What a start found is where a workload that goes on begins, whatever position it has.
    let lower = history.lastIndex { $0.position <= position } ?? 0
    let upper = history.lastIndex { $0.operations <= operations }!
    // Actions that change nothing share a position with those before.
    let first = history.firstIndex { $0.position == history[lower].position }!
    return min(first, upper)...max(lower, upper)
  }
}

@Suite struct CrashTests {
  @Test(
    "whatever a power cut leaves of unsynced pages and names, the state is one that was, and nothing acknowledged is missing",
    arguments: [UInt64(2), 3, 4, 5])
  func everyPrefix(seed: UInt64) throws {
    // The even ones are short of space, so that segments are copied forward; some of each kind do without checkpoints.
    let workload = try Workload(seed: seed, storeBytesMax: seed % 2 == 0 ? 56 << 10 : 1 << 20, checkpoints: seed % 8 < 4)
    try workload.run(actions: 300)
    var cut = PowerCut()
    var random = Seeded(seed &+ 100)
    let operations = workload.bench.disk.operations
    for done in 0...operations.count {
      if done > 0 { cut.apply(operations[done - 1]) }
      let allowed = workload.allowed(done)
      for choices in Self.choices(cut.uncertainties, &random) {
        let image = cut.image({ choices[$0] }, random: &random)
        let ok = try check(image, workload, allowed, "seed \(seed), after \(done) operations, \(choices)", again: done % 16 == 0)
        if !ok { return }
      }
    }
  }

  /// `PETIOLE_SEEDS` asks for more of them (`make simulate`).
  @Test(
    "random workloads on a failing disk, cut off at random places, leave a state that was; a flipped bit costs a message at most",
    arguments: SeedRuns.seeds(150))
  func randomCuts(seeds: [UInt64]) {
    SeedRuns.run("power cuts of the store", seeds, of: 150, { randomCuts($0) }, failed: { Issue.record("\($0)") })
  }

  @Test(
    "power cuts that once hid a message, took more than the flipped bit hit, were told of as losses, or left a store waiting",
    arguments: [UInt64(125), 1259, 1343, 1923, 3546, 7322])
  func randomCutsOnce(seed: UInt64) { #expect(randomCuts(seed) == nil) }

  private func randomCuts(_ seed: UInt64) -> String? {
    do {
      let workload = try Workload(
        seed: seed, storeBytesMax: seed % 2 == 0 ? 56 << 10 : 1 << 20, checkpoints: seed % 4 != 3, hasFaults: seed % 3 != 0)
      try workload.run(actions: 120)
      var random = Seeded(seed)
      let operations = workload.bench.disk.operations
      var places: [Int] = []
      for _ in 0..<6 { places.append(Int.random(in: 0...operations.count, using: &random)) }
      var cut = PowerCut()
      for done in 0...operations.count {
        if done > 0 { cut.apply(operations[done - 1]) }
        guard places.contains(done) else { continue }
        for choices in Self.choices(cut.uncertainties, &random) {
          let place = "after \(done) operations, \(choices)"
          let image = cut.image({ choices[$0] }, random: &random)
          if try !check(image, workload, workload.allowed(done), "seed \(seed), \(place)", again: true) { return "seed \(seed), \(place)" }
          if let failure = try checkSecond(cut, choices, workload, &random) { return "seed \(seed), \(place), \(failure)" }
          let flipped = cut.image({ choices[$0] == 2 ? 1 : choices[$0] }, random: &random)
          if let failure = try checkFlip(flipped, workload, workload.allowed(done), &random) { return "seed \(seed), \(place): \(failure)" }
        }
      }
      return nil
    } catch { return "seed \(seed): \(error)" }
  }

  /// Works on after a power cut, and has another one.
  private func checkSecond(_ first: PowerCut, _ choices: [Int], _ old: Workload, _ random: inout Seeded) throws -> String? {
    let image = first.image({ choices[$0] }, random: &random)
    var cut = PowerCut(continuing: image)
    let workload = try Workload(continuing: old, on: image, seed: random.next())
    try workload.run(actions: 20)
    let operations = workload.bench.disk.operations
    let places = (0..<3).map { _ in Int.random(in: 0...operations.count, using: &random) }
    for done in 0...operations.count {
      if done > 0 { cut.apply(operations[done - 1]) }
      guard places.contains(done) else { continue }
      for choices in Self.choices(cut.uncertainties, &random).prefix(3) {
        let image = cut.image({ choices[$0] }, random: &random)
        let place = "again after \(done) operations, \(choices)"
        if try !check(image, workload, workload.allowed(done), place, again: false) { return place }
      }
    }
    return nil
  }

  /// Flips one bit: of one of the states that may be there, one message may be missing.
  private func checkFlip(
    _ image: MemoryDisk, _ workload: Workload, _ allowed: ClosedRange<Int>, _ random: inout Seeded
  ) throws -> String? {
    let names = image.names.filter { !image.nodes[$0.value].data.isEmpty }.keys.sorted()
    guard let name = names.randomElement(using: &random) else { return nil }
    let node = image.nodes[image.names[name]!]
    let at = Int.random(in: 0..<node.data.count, using: &random)
    node.data[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    let bench = Bench(image, options: workload.bench.store.options, seed: 9)
    do { _ = try bench.store.open() } catch { return "a flipped bit at \(at) of \(name): \(error)" }
    var found: [UInt32: Set<UInt64>] = [:]
    for id in bench.store.streamIDs { found[id] = Set(try bench.store.stream(id).scanned()) }
    let missing = workload.history[allowed].map { entry in
      entry.contents.streams.reduce(0) { $0 + Set($1.value.live).subtracting(found[$1.key] ?? []).count }
    }
    let least = missing.min() ?? 0
    return least <= 1 ? nil : "a flipped bit at \(at) of \(name) cost \(least) messages"
  }

  @Test("a start takes over a checkpoint and reads only what the log got since")
  func checkpointIsUsed() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    for sequence in UInt64(1)...2000 {
      try stream.put(sequence, headers: sequence == 900 ? "NATS/1.0\r\n\r\n" : "")
      if sequence % 9 == 0 { stream.remove(sequence - 4) }
      if sequence % 20 == 0 { bench.settle() }
    }
    bench.rest()
    #expect(bench.store.checkpoints > 2)
    let before = try Contents(of: bench.store)
    bench.disk.bytesRead = 0
    let image = MemoryDisk()
    image.names = bench.disk.names
    image.nodes = bench.disk.nodes
    let again = Bench(image, seed: 2)
    let report = try again.store.open()
    #expect(report.hasCheckpoint && report.bytesRead * 5 < bench.store.bytesOnDisk, "\(report)")
    #expect(try Contents(of: again.store) == before)
    // Where messages have headers is known, too.
    var seen: [UInt64] = []
    try again.store.stream(1).scan(from: 0, withHeaders: true) { message in
      if !message.headers.isEmpty { seen.append(message.sequence) }
      return true
    }
    #expect(seen == [900])
  }

  @Test("a purge gives its space back soon, also when a checkpoint still counts the messages")
  func purgeGivesBack() throws {
    let bench = Bench()
    _ = try bench.store.open()
    for sequence in UInt64(1)...2000 {
      try bench.store.stream(1).put(sequence)
      if sequence % 20 == 0 { bench.settle() }
    }
    bench.rest()
    let full = bench.store.bytesOnDisk
    bench.store.stream(1).removeThrough(2000)
    bench.rest()
    bench.rest(11 * second_ns)
    bench.rest()
    #expect(bench.store.bytesOnDisk < full / 5, "\(full) \(bench.store.bytesOnDisk)")
  }

  @Test("messages of a stream that nobody waits for are on the disk after the delay, together with others at once")
  func promptStream() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let prompt = bench.store.stream(1)
    prompt.isPrompt = true
    try prompt.put(1)
    bench.settle()
    let syncs = bench.store.syncs
    let position = try prompt.put(2)
    for _ in 0..<50 { bench.turn() }
    #expect(bench.store.syncs == syncs && bench.store.durablePosition < position)
    bench.rest(bench.store.options.promptDelay_ns + 1)
    #expect(bench.store.durablePosition >= position)
    let another = try prompt.put(3)
    try bench.store.stream(2).put(1)
    for _ in 0..<5 { bench.turn() }
    #expect(bench.store.durablePosition >= another)
  }

  @Test("messages that nobody waits for outlive the process some milliseconds after they came, and a power cut leaves a part of them")
  func writtenAhead() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    try stream.put(1)
    bench.settle()
    stream.isPrompt = true
    let syncs = bench.store.syncs
    for sequence in UInt64(2)...9 {
      try stream.put(sequence, size: 200)
      for _ in 0..<60 { bench.turn() }
    }
    #expect(bench.store.syncs == syncs && bench.store.durablePosition < bench.store.appendedPosition)
    // Killed: everything is there, and what comes then, too.
    func killed(_ bench: Bench) -> Bench {
      let image = MemoryDisk()
      image.names = bench.disk.names
      image.nodes = bench.disk.nodes.map { MemoryDisk.Node($0.data) }
      return Bench(image, seed: 2)
    }
    let again = killed(bench)
    let report = try again.store.open()
    #expect(again.store.stream(1).live == Array(1...9) && report.damagedRegions == 0)
    try again.store.stream(1).put(10)
    again.settle()
    let third = killed(again)
    #expect(try third.store.open().damagedRegions == 0 && third.store.stream(1).live == Array(1...10))
    // A lost page takes what is behind it.
    let cut = killed(bench)
    let log = try #require(cut.disk.names.first { $0.key.hasSuffix(".log") }?.value)
    for at in 1536..<2048 { cut.disk.nodes[log].data[at] = 0 }
    #expect(try cut.store.open().damagedRegions == 0)
    let left = cut.store.stream(1).live
    #expect(left.count > 1 && left.count < 9 && left == Array(1...UInt64(left.count)))
  }

  @Test("a write ahead that fails is made good in a new segment")
  func aheadFails() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    try stream.put(1)
    bench.settle()
    stream.isPrompt = true
    bench.disk.failingCommits = [1: .inputOutput]
    for sequence in UInt64(2)...5 { try stream.put(sequence) }
    for _ in 0..<100 { bench.turn() }
    #expect(bench.store.segmentCount == 2)
    bench.rest()
    #expect(bench.store.durablePosition == bench.store.appendedPosition)
    let image = MemoryDisk()
    image.names = bench.disk.names
    image.nodes = bench.disk.nodes
    let again = Bench(image, seed: 2)
    _ = try again.store.open()
    #expect(again.store.stream(1).live == Array(1...5))
  }

  /// All combinations when they are few, else the extremes and some at random.
  static func choices(_ count: Int, _ random: inout Seeded) -> [[Int]] {
    if count == 0 { return [[]] }
    if count == 1 { return [[0], [1], [2]] }
    var all = [[Int](repeating: 0, count: count), [Int](repeating: 1, count: count)]
    for _ in 0..<3 { all.append((0..<count).map { _ in Int.random(in: 0...2, using: &random) }) }
    return all
  }

  private func check(
    _ image: MemoryDisk, _ workload: Workload, _ allowed: ClosedRange<Int>, _ place: String, again: Bool
  ) throws -> Bool {
    let bench = Bench(image, options: workload.bench.store.options, seed: 9)
    let report = try bench.store.open()
    let found: Contents
    do { found = try Contents(of: bench.store) } catch let error as Contents.Disagreement { throw error.at(place) }
    let fits = workload.history[allowed].contains { $0.contents == found }
    #expect(fits, "\(place): not a state between actions \(allowed)")
    if !report.unreadableFiles.isEmpty || !report.lost.isEmpty { throw Contents.Disagreement(text: "\(place): \(report)") }
    guard fits else {
      print(found, "\nEXPECTED", workload.history[allowed.upperBound].contents, "\nOR", workload.history[allowed.lowerBound].contents)
      return false
    }
    guard again else { return true }
    // The store works on: what it takes now is there after another restart.
    let stream = bench.store.stream(1)
    stream.removeThrough(stream.lastSequence)
    do throws(StoreError) { try stream.put(stream.lastSequence + 1, size: 13) } catch { #expect(error == .full) }
    bench.store.setMetadata("after", [1])
    bench.rest()
    let before = try Contents(of: bench.store)
    bench.store.close {}
    bench.settle()
    let next = Bench(image, options: workload.bench.store.options, seed: 10)
    _ = try next.store.open()
    let after = try Contents(of: next.store)
    #expect(after == before, "\(place), and restarted")
    return after == before
  }
}
