// Comparing what a start found with what a client was told before: nothing acknowledged is lost, nothing that was removed comes back,
// batches are whole, consumers get what they have not acknowledged.
import Bytes
import Interest

@testable import JetStream

/// One comparison, at one moment.
struct CrashCheck {
  let model: CrashModel
  let agent: SimulatedJetStream
  /// So many disk operations were done when the power failed.
  let moment: Int
  /// So many bits were flipped: each may cost a record.
  var flips = 0

  private(set) var problems: [String] = []
  /// Messages that are gone without a reason.
  private(set) var missing: [String] = []
  /// The last of everything that is there, and what is not although it may be: nothing may be there without what came before.
  private var newest = 0
  private var absent: [(order: Int, what: String)] = []

  init(_ model: CrashModel, _ agent: SimulatedJetStream, at moment: Int, flips: Int = 0) {
    self.model = model
    self.agent = agent
    self.moment = moment
    self.flips = flips
  }

  private mutating func fail(_ text: String) { problems.append(text) }

  /// What is wrong; nothing when all is well.
  mutating func run() -> [String] {
    for stream in agent.jetStream.streams where model.streams[stream.name.string] == nil {
      fail("stream \(stream.name.string) was never made")
    }
    for name in model.streams.keys.sorted() { checkStream(name) }
    if flips > 0 {
      if missing.count > flips { fail("\(flips) flipped bits cost \(missing.count) messages: \(missing)") }
    } else {
      for (order, what) in absent where order < newest { fail("\(what) is missing, and something that came later is there") }
    }
    return problems
  }

  /// The step of a timeline that was found. Notes what must not be missing when later things are there.
  private mutating func found<Value>(
    _ timeline: Timeline<Value>, _ what: String, mark: String?, _ markOf: (Value) -> String
  ) -> Value? {
    let possible = timeline.possible(at: moment)
    // A lost record of a deletion lets an earlier step show.
    let first = flips > 0 && timeline.steps[possible.lowerBound].value == nil ? 0 : possible.lowerBound
    let fitting = (first...possible.upperBound).filter { timeline.steps[$0].value.map(markOf) == mark }
    guard let least = fitting.first, let most = fitting.last else {
      let wanted = timeline.steps[possible].map { $0.value.map(markOf) ?? "none" }
      fail("\(what) is '\(mark ?? "none")', not one of \(wanted)")
      return nil
    }
    // It may be none again, or still.
    newest = max(newest, timeline.steps[least].order)
    if most < possible.upperBound { absent.append((timeline.steps[most + 1].order, "a change of \(what)")) }
    return timeline.steps[most].value
  }

  private mutating func checkStream(_ name: String) {
    let stream = agent.stream(name)
    guard
      let version = found(
        model.streams[name]!, "stream \(name)", mark: stream?.config.description.string, { (version: StreamVersion) in version.mark }),
      let stream
    else { return }
    // Where a flipped bit hid that a stream was deleted, it is there again, and empty.
    let timeline = model.streams[name]!
    let mayBeEmpty = flips > 0 && timeline.steps[timeline.possible(at: moment)].contains { $0.value == nil }
    checkMessages(version.facts, stream, mayBeEmpty: mayBeEmpty)
    checkLimits(version, stream)
    for name in version.facts.consumers.keys.sorted() { checkConsumer(name, version.facts, stream) }
    for consumer in agent.consumers.consumers(of: stream) where version.facts.consumers[consumer.name.string] == nil {
      fail("consumer \(name) > \(consumer.name.string) was never made")
    }
  }

  private mutating func checkMessages(_ facts: StreamFacts, _ stream: Stream, mayBeEmpty: Bool) {
    var present = Set<UInt64>()
    for sequence in stream.sequences {
      let place = "message \(sequence) of \(facts.name)"
      guard let message = facts.messages[sequence], message.stored.may(at: moment) else {
        // What was removed in an earlier life is not known any more; when its removal was hit, it is there again.
        if flips == 0 { fail("\(place) was never stored") }
        continue
      }
      if message.mustBeGone(at: moment), flips == 0 { fail("\(place) was removed, and came back") }
      var isSame = false
      let outcome = stream.read(sequence) { isSame = $0.subject.string == message.subject && $0.payload.string == message.payload }
      guard outcome == .found else {
        if flips == 0 || outcome == .failed { fail("\(place) cannot be read: \(outcome)") }
        continue
      }
      if !isSame { fail("\(place) is another one than was stored") }
      present.insert(sequence)
      newest = max(newest, message.order)
    }
    var groups: [Int: (present: Bool, absent: UInt64?)] = [:]
    for sequence in facts.messages.keys.sorted() {
      let message = facts.messages[sequence]!
      let isPresent = present.contains(sequence)
      let isExcused = message.mayBeGone(at: moment) || !message.stored.may(at: moment)
      if message.group > 0, isPresent || !isExcused {
        var group = groups[message.group] ?? (false, nil)
        if isPresent { group.present = true } else { group.absent = sequence }
        groups[message.group] = group
      }
      guard !isPresent, !isExcused else { continue }
      absent.append((message.order, "message \(sequence) of \(facts.name)"))
      guard message.stored.must(at: moment), !mayBeEmpty else { continue }
      missing.append("\(sequence) of \(facts.name)")
      if flips == 0 { fail("message \(sequence) of \(facts.name) was acknowledged, and is lost") }
    }
    guard flips == 0 else { return }
    for group in groups.values where group.present && group.absent != nil {
      fail("message \(group.absent!) of \(facts.name) is missing, and others of its batch are there")
    }
    for (sequence, acked) in facts.lastAcked where acked <= moment && stream.lastSequence < sequence {
      fail("\(facts.name) goes on behind \(stream.lastSequence), and \(sequence) was acknowledged")
    }
  }

  private mutating func checkLimits(_ version: StreamVersion, _ stream: Stream) {
    if version.messagesMax > 0, stream.count > version.messagesMax { fail("\(version.facts.name) has \(stream.count) messages") }
    guard version.messagesPerSubjectMax > 0 else { return }
    stream.subjects.forEach(matching: ByteView(">")) { subject, state in
      if state.count > version.messagesPerSubjectMax { problems.append("\(subject.string) has \(state.count) messages") }
    }
  }

  private mutating func checkConsumer(_ name: String, _ facts: StreamFacts, _ stream: Stream) {
    let what = "consumer \(facts.name) > \(name)"
    let consumer = agent.consumer(facts.name, name)
    guard
      let version = found(
        facts.consumers[name]!, what, mark: consumer?.config.description.string, { (version: ConsumerVersion) in version.mark }),
      let consumer
    else { return }
    if consumer.state.next > stream.lastSequence + 1 { fail("\(what) is ahead of its stream") }
    for message in facts.messages.values where stream.contains(message.sequence) {
      guard version.facts.gets(message, at: moment), !version.facts.isDone(with: message.sequence, at: moment) else { continue }
      // A message whose removal was hit is there again, and the consumer has let it go.
      if flips > 0, message.mayBeGone(at: moment) { continue }
      if message.sequence < consumer.state.next, !consumer.state.isPending(message.sequence) {
        fail("\(what) will not get message \(message.sequence), which it has not acknowledged")
      }
    }
  }

  /// What must hold when nothing is left to be done after a start: messages that nobody needs are gone.
  static func unneeded(_ agent: SimulatedJetStream) -> [String] {
    var problems: [String] = []
    for stream in agent.jetStream.streams where stream.config.retention != .limits && !stream.consumers.isEmpty {
      for sequence in stream.sequences {
        var isNeeded = false
        _ = stream.read(sequence) { message in
          isNeeded = stream.config.retention == .workqueue && !stream.hasInterest(in: message.subject)
          stream.consumers.forEach { _, consumer in if consumer.needs(sequence, subject: message.subject) { isNeeded = true } }
        }
        if !isNeeded { problems.append("nobody needs message \(sequence) of \(stream.name.string), and it stays") }
      }
    }
    return problems
  }
}

extension CrashModel {
  /// Goes on from what was found: what is there is certain, what is not never was.
  func settle(on agent: SimulatedJetStream) {
    for name in streams.keys.sorted() {
      let timeline = streams[name]!
      let mark = agent.stream(name)?.config.description.string
      guard let index = timeline.possible(at: .max).last(where: { timeline.steps[$0].value?.mark == mark }) else { continue }
      timeline.settle(on: index)
      guard let facts = timeline.last?.facts, let stream = agent.stream(name) else { continue }
      for consumer in facts.consumers.keys.sorted() { settle(facts.consumers[consumer]!, agent.consumer(name, consumer)) }
      let all = facts.messages
      facts.messages = [:]
      for sequence in stream.sequences {
        guard let message = all[sequence] else { continue }
        message.stored = .always
        message.goneIssued = nil
        message.goneAcked = nil
        facts.messages[sequence] = message
      }
      facts.live = facts.messages
      facts.lastAcked = [(stream.lastSequence, -1)]
      facts.seen = (0, 0, 0)
      retain(facts, at: -1)
    }
  }

  private func settle(_ timeline: Timeline<ConsumerVersion>, _ consumer: Consumer?) {
    let mark = consumer?.config.description.string
    guard let index = timeline.possible(at: .max).last(where: { timeline.steps[$0].value?.mark == mark }) else { return }
    timeline.settle(on: index)
    guard let facts = timeline.last?.facts, let consumer else { return }
    // An ack that was not written down is void: the message comes again, and has to.
    facts.done = facts.done.filter { $0.key < consumer.state.next && !consumer.state.isPending($0.key) }.mapValues { _ in -1 }
    let filter = consumer.config.filters.first?.string ?? ""
    while let last = facts.filters.last, facts.filters.count > 1, last.filter != filter { facts.filters.removeLast() }
    // What was there before the change of a filter is known as such.
    for index in facts.filters.indices { facts.filters[index].from = index == 0 ? -1 : 0 }
  }
}
