// A client that does everything one can do with streams and consumers, drawn from a seed, and keeps the model up to date with what it did
// and was told. What it does to single messages and batches is in CrashWorkload+Publish, to consumers in CrashWorkload+Consume.
import Bytes
import JSON
import LogStore
import Platform

@testable import JetStream

final class CrashWorkload {
  let simulation: Simulation
  let machine: SimulatedMachine
  let entropy: SeededEntropy
  let model = CrashModel()
  private(set) var agent: SimulatedJetStream
  let options: LogStore.Options
  /// What was delivered and not acknowledged, with where its ack goes.
  var delivered: [(consumer: ConsumerFacts, stream: StreamFacts, sequence: UInt64, ack: String)] = []
  var ids = 0
  /// Things that must never be, and were.
  var problems: [String] = []
  /// What was done and answered, for a failure's message.
  private var history: [(moment: Int, what: String)] = []

  var moment: Int { machine.disk.operationCount }

  /// Segments and store are small, so that segments change, die and are copied forward all the time.
  static func options(_ entropy: SeededEntropy) -> LogStore.Options {
    var options = LogStore.Options()
    options.segmentBytes = [4096, 8192, 16384][entropy.below(3)]
    options.storeBytesMax = [96 << 10, 256 << 10, 1 << 20][entropy.below(3)]
    options.reserveBytes = 24 << 10
    options.batchBytesMax = [2048, 8192, 1 << 20][entropy.below(3)]
    options.indexSpacingBytes = 512
    options.checkpointRatio = 2
    options.hasCheckpoints = !entropy.oneIn(4)
    return options
  }

  init(seed: UInt64) throws {
    simulation = Simulation(seed: seed)
    machine = simulation.machine("gateway")
    machine.logLevel = .warning
    entropy = simulation.entropy.fork()
    options = Self.options(entropy)
    machine.disk.commitLatency_ns = [0, 300_000, 2 * millisecond_ns][entropy.below(3)]
    machine.disk.startRecording()
    agent = try SimulatedJetStream(machine.host, options)
  }

  func note(_ what: String) { history.append((moment, what)) }

  /// What happened last up to a moment.
  func report(before moment: Int = .max) -> String {
    history.filter { $0.moment <= moment }.suffix(60).map { "  \($0.moment): \($0.what)" }.joined(separator: "\n")
  }

  // MARK: Lives

  /// The process is gone, and what the disk kept is what is left.
  func end(_ loss: PowerLoss?) {
    note(loss.map { "power cut: \($0)" } ?? "kill")
    agent.end()
    delivered = delivered.filter { _ in entropy.oneIn(2) }
    note("before: \(files)")
    if let loss { machine.powerCut(loss) } else { machine.kill() }
    note("left: \(files)")
  }

  private var files: String {
    machine.disk.paths.map { "\($0.dropFirst(6)) \(machine.disk.content($0)!.count)/\(machine.disk.durableContent($0)?.count ?? -1)" }
      .joined(separator: ", ")
  }

  func start() throws(StoreError) { agent = try SimulatedJetStream(machine.start(), options) }

  // MARK: Time

  /// Lets everything happen that happens in so much time.
  func pass(_ duration_ns: Int64) {
    let end_ns = simulation.now_ns + duration_ns
    var isOver = false
    simulation.at(end_ns) { isOver = true }
    while !isOver { step() }
  }

  /// Lets one thing happen.
  func step() {
    let before = moment
    simulation.step()
    model.observe(agent, since: before)
  }

  /// Does something at one moment.
  func doing(_ what: String, _ body: (Int) -> Void) {
    note(what)
    let before = moment
    body(before)
    model.observe(agent, since: before)
  }

  // MARK: Actions

  static let names = ["LIMITS", "QUEUE", "INTEREST", "VALUES", "LATER"]

  /// The streams that are there.
  var streams: [StreamVersion] { Self.names.compactMap { model.streams[$0]?.last } }

  func act() {
    let some = streams
    guard !some.isEmpty, !entropy.oneIn(25) else { return createStream() }
    let version = some[entropy.below(some.count)]
    switch entropy.below(100) {
    case 0..<34: publish(version.facts)
    case 34..<40: for _ in 0..<entropy.below(12) { publish(version.facts) }
    case 40..<45: atomicBatch(version.facts)
    case 45..<49: fastBatch(version.facts)
    case 49..<55: deleteMessage(version.facts)
    case 55..<58: purge(version.facts)
    case 58..<60: updateStream(version)
    case 60: deleteStream(version)
    case 61..<67: createConsumer(version.facts)
    case 67: deleteConsumer(version.facts)
    case 68..<80: fetch(version.facts)
    case 80..<90: for _ in 0..<(1 + entropy.below(8)) { acknowledge() }
    default: pass(entropy.within(0...3) * second_ns / 2)
    }
    switch entropy.below(10) {
    case 0..<3: pass(entropy.within(0...5 * millisecond_ns))
    case 3: for _ in 0..<(1 + entropy.below(4)) { step() }
    default: break
    }
  }

  // MARK: Streams

  private func config(_ version: StreamVersion, more: String) -> String {
    let name = version.facts.name
    return
      #"{"name":"\#(name)","subjects":["\#(name).>"],"description":"\#(version.mark)","retention":"\#(version.facts.retention.rawValue)","max_msgs":\#(version.messagesMax),"max_msgs_per_subject":\#(version.messagesPerSubjectMax),"allow_rollup_hdrs":true,"allow_atomic":true,"allow_batched":true\#(version.facts.isAsync ? #","persist_mode":"async""# : "")\#(more)}"#
  }

  private func limits(_ version: inout StreamVersion) {
    if version.facts.name == "VALUES" {
      version.messagesPerSubjectMax = 1 + entropy.below(3)
    } else if version.facts.retention == .limits {
      version.messagesMax = entropy.oneIn(2) ? -1 : 10 + entropy.below(40)
    }
  }

  private func createStream() {
    let name = Self.names[entropy.below(Self.names.count)]
    guard model.stream(name).last == nil else { return }
    let retention: StreamFacts.Retention = name == "QUEUE" ? .workqueue : name == "INTEREST" ? .interest : .limits
    let facts = StreamFacts(name: name, retention: retention, isAsync: name == "LATER" && entropy.oneIn(2))
    var version = StreamVersion(facts: facts, mark: model.nextMark())
    limits(&version)
    let more = entropy.oneIn(4) ? #","first_seq":100"# : ""
    doing("create \(name) \(version.mark)") { before in
      var step: Timeline<StreamVersion>.Step?
      agent.request("$JS.API.STREAM.CREATE.\(name)", config(version, more: more)) { [unowned self] answer in
        answered("stream \(name)", answer)
        if answer.errorCode == nil { step?.promise.acked = moment }
      }
      guard agent.stream(name)?.config.description.string == version.mark else { return }
      step = model.stream(name).add(version, order: model.nextOrder(), at: before)
    }
  }

  private func updateStream(_ old: StreamVersion) {
    let name = old.facts.name
    var version = StreamVersion(facts: old.facts, mark: model.nextMark())
    limits(&version)
    doing("update \(name) \(version.mark)") { before in
      var step: Timeline<StreamVersion>.Step?
      agent.request("$JS.API.STREAM.UPDATE.\(name)", config(version, more: "")) { [unowned self] answer in
        answered("stream \(name)", answer)
        if answer.errorCode == nil { step?.promise.acked = moment }
      }
      guard agent.stream(name)?.config.description.string == version.mark else { return }
      step = model.stream(name).add(version, order: model.nextOrder(), at: before)
    }
  }

  private func deleteStream(_ version: StreamVersion) {
    let name = version.facts.name
    doing("delete \(name)") { before in
      var step: Timeline<StreamVersion>.Step?
      agent.request("$JS.API.STREAM.DELETE.\(name)", "") { [unowned self] answer in
        answered("stream \(name)", answer)
        if answer.errorCode == nil { step?.promise.acked = moment }
      }
      guard agent.stream(name) == nil else { return }
      step = model.stream(name).add(nil, order: model.nextOrder(), at: before)
      delivered.removeAll { $0.stream === version.facts }
    }
  }

  func answered(_ what: String, _ answer: Received) {
    note("answer to \(what): \(answer.errorText ?? "\(answer.sequence.map { "\($0)" } ?? "ok")")")
  }

  // MARK: Removing

  private func deleteMessage(_ facts: StreamFacts) {
    let sequences = facts.live.keys.sorted()
    guard !sequences.isEmpty else { return }
    let sequence = sequences[entropy.oneIn(4) ? 0 : entropy.below(sequences.count)]
    let message = facts.live[sequence]!
    doing("delete message \(sequence) of \(facts.name)") { before in
      let request = #"{"seq":\#(sequence)\#(entropy.oneIn(2) ? "" : #","no_erase":true"#)}"#
      agent.request("$JS.API.STREAM.MSG.DELETE.\(facts.name)", request) { [unowned self] answer in
        answered("deleting \(sequence) of \(facts.name)", answer)
        if answer.json["success"]?.bool == true { message.goneAcked = moment }
      }
    }
  }

  private func purge(_ facts: StreamFacts) {
    let live = facts.live.values.sorted { $0.sequence < $1.sequence }
    guard let last = live.last else { return }
    let subject = entropy.oneIn(2) ? subject(facts) : nil
    var doomed = live.filter { subject == nil || $0.subject == subject }
    var fields: [String] = []
    if let subject { fields.append(#""filter":"\#(subject)""#) }
    switch entropy.below(3) {
    case 0:
      let keep = entropy.below(6) + 1
      fields.append(#""keep":\#(keep)"#)
      doomed.removeLast(min(keep, doomed.count))
    case 1:
      let end = live[entropy.below(live.count)].sequence + (entropy.oneIn(4) ? last.sequence : 0)
      fields.append(#""seq":\#(end)"#)
      doomed.removeAll { $0.sequence >= end }
    default: break
    }
    doing("purge \(facts.name) \(fields)") { before in
      for message in doomed { message.mayGo(from: before) }
      agent.request("$JS.API.STREAM.PURGE.\(facts.name)", "{\(fields.joined(separator: ","))}") { [unowned self] answer in
        answered("purging \(facts.name)", answer)
        guard answer.json["success"]?.bool == true else { return }
        for message in doomed where facts.live[message.sequence] == nil { message.goneAcked = moment }
      }
    }
  }

  func subject(_ facts: StreamFacts) -> String { "\(facts.name).\(["a", "b", "c", "d"][entropy.below(4)])" }
}
