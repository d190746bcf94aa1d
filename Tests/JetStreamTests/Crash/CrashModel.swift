// What a client knows of a JetStream: what it asked for, what it was told, and when. Moments are counts of disk operations, so for each
// place at which the power may be cut it is known what must be there, what may be, and what must not.
//
// What is compared with it after a cut is in CrashModel+Check.
import Bytes

@testable import JetStream

/// Since when something may have happened and since when it must have.
struct Promise {
  /// Nothing that was written up to this moment can know of it.
  let issued: Int
  /// It was acknowledged when so much was done.
  var acked: Int?

  static let always = Promise(issued: -1, acked: -1)

  func may(at moment: Int) -> Bool { issued < moment }
  func must(at moment: Int) -> Bool { acked.map { $0 <= moment } ?? false }
}

/// What became of something, step by step. The last step that must have happened is the least that a cut leaves, the last that may have is
/// the most.
final class Timeline<Value> {
  final class Step {
    /// Nil: it is not there.
    let value: Value?
    /// Its place among all that happened.
    let order: Int
    var promise: Promise
    init(_ value: Value?, order: Int, _ promise: Promise) {
      self.value = value
      self.order = order
      self.promise = promise
    }
  }
  var steps = [Step(nil, order: 0, .always)]

  var last: Value? { steps[steps.count - 1].value }

  @discardableResult
  func add(_ value: Value?, order: Int, at moment: Int) -> Step {
    let step = Step(value, order: order, Promise(issued: moment))
    steps.append(step)
    return step
  }

  func possible(at moment: Int) -> ClosedRange<Int> {
    let least = steps.lastIndex { $0.promise.must(at: moment) }!
    let most = steps.lastIndex { $0.promise.may(at: moment) }!
    return least...max(least, most)
  }

  /// This is how it was found: what was after is undone, and this is certain.
  func settle(on index: Int) {
    steps.removeSubrange((index + 1)...)
    steps[index].promise = .always
  }
}

/// A message that was stored.
final class MessageFacts {
  /// Its place among all that was stored.
  let order: Int
  let sequence: UInt64
  let subject: String
  let payload: String
  var stored: Promise
  /// The atomic batch that it belongs to; 0 for none.
  let group: Int
  /// No earlier moment can see it gone.
  var goneIssued: Int?
  /// From here on it must be.
  var goneAcked: Int?

  init(order: Int, sequence: UInt64, subject: String, payload: String, group: Int, at moment: Int) {
    self.order = order
    self.sequence = sequence
    self.subject = subject
    self.payload = payload
    self.group = group
    stored = Promise(issued: moment)
  }

  func mayGo(from moment: Int) { goneIssued = min(goneIssued ?? moment, moment) }
  func mayBeGone(at moment: Int) -> Bool { goneIssued.map { $0 < moment } ?? false }
  func mustBeGone(at moment: Int) -> Bool { goneAcked.map { $0 <= moment } ?? false }
}

/// One consumer from its creation to its end.
final class ConsumerFacts {
  let name: String
  /// It gets what is behind this sequence.
  let start: UInt64
  let waitsForAcks: Bool
  /// What it filtered, and since when; empty: nothing.
  var filters: [(filter: String, from: Int)]
  /// When the client said that it is done with a message; or when it got it, where no ack is waited for.
  var done: [UInt64: Int] = [:]

  init(name: String, start: UInt64, waitsForAcks: Bool, filter: String, at moment: Int) {
    self.name = name
    self.start = start
    self.waitsForAcks = waitsForAcks
    filters = [(filter, moment)]
  }

  func isDone(with sequence: UInt64, at moment: Int) -> Bool { done[sequence].map { $0 < moment } ?? false }

  /// Whether every filter that it had since a message was stored, and before `moment`, lets it through.
  func gets(_ message: MessageFacts, at moment: Int = .max) -> Bool {
    guard message.sequence > start else { return false }
    for (index, (filter, from)) in filters.enumerated() where index == 0 || from < moment {
      let isOver = index + 1 < filters.count && filters[index + 1].from <= message.stored.issued
      if !isOver, !filter.isEmpty, filter != message.subject { return false }
    }
    return true
  }
}

/// What a client knows of a stream's or a consumer's configuration: the mark that it gave it.
struct ConsumerVersion {
  let facts: ConsumerFacts
  let mark: String
}

/// One stream from its creation to its end.
final class StreamFacts {
  enum Retention: String { case limits, workqueue, interest }

  let name: String
  let retention: Retention
  /// Acknowledged before it is on the medium.
  let isAsync: Bool
  /// By sequence.
  var messages: [UInt64: MessageFacts] = [:]
  /// Those of them that are in the stream as it runs.
  var live: [UInt64: MessageFacts] = [:]
  /// Sequences that were acknowledged, and when.
  var lastAcked: [(sequence: UInt64, moment: Int)] = []
  var consumers: [String: Timeline<ConsumerVersion>] = [:]
  /// First, last and count when `live` was compared last.
  var seen: (UInt64, UInt64, Int) = (0, 0, 0)

  init(name: String, retention: Retention, isAsync: Bool) {
    self.name = name
    self.retention = retention
    self.isAsync = isAsync
  }

  func consumer(_ name: String) -> Timeline<ConsumerVersion> {
    if let known = consumers[name] { return known }
    let new = Timeline<ConsumerVersion>()
    consumers[name] = new
    return new
  }

  /// The consumers that are there as it runs.
  var liveConsumers: [ConsumerFacts] { consumers.keys.sorted().compactMap { consumers[$0]!.last?.facts } }

  /// Whether somebody is not done with a message, as the client sees it.
  func isNeeded(_ message: MessageFacts) -> Bool {
    switch retention {
    case .limits: return true
    case .workqueue:
      var hasReader = false
      for consumer in liveConsumers where consumer.gets(message) {
        hasReader = true
        if consumer.done[message.sequence] == nil { return true }
      }
      return !hasReader
    case .interest: return liveConsumers.contains { $0.gets(message) && $0.done[message.sequence] == nil }
    }
  }
}

struct StreamVersion {
  let facts: StreamFacts
  let mark: String
  var messagesMax = -1
  var messagesPerSubjectMax = -1
}

final class CrashModel {
  var streams: [String: Timeline<StreamVersion>] = [:]
  private var orders = 0
  private var groups = 0
  private var marks = 0

  func stream(_ name: String) -> Timeline<StreamVersion> {
    if let known = streams[name] { return known }
    let new = Timeline<StreamVersion>()
    streams[name] = new
    return new
  }

  func nextOrder() -> Int {
    orders += 1
    return orders
  }

  func nextGroup() -> Int {
    groups += 1
    return groups
  }

  /// A text that nothing else has.
  func nextMark() -> String {
    marks += 1
    return "mark \(marks)"
  }

  // MARK: As it runs

  /// Looks which messages went since it last looked; that began at `moment`.
  func observe(_ agent: SimulatedJetStream, since moment: Int) {
    for name in streams.keys.sorted() {
      guard let facts = streams[name]!.last?.facts, let stream = agent.stream(name) else { continue }
      let now = (stream.firstSequence, stream.lastSequence, stream.count)
      guard facts.seen != now else { continue }
      facts.seen = now
      for (sequence, message) in facts.live where !stream.contains(sequence) {
        message.mayGo(from: moment)
        facts.live[sequence] = nil
      }
    }
  }

  /// A consumer came, went, changed or was told something: messages that nobody needs any more may go from here on.
  func retain(_ facts: StreamFacts, at moment: Int) {
    guard facts.retention != .limits else { return }
    for message in facts.messages.values where !facts.isNeeded(message) { message.mayGo(from: moment) }
  }
}
