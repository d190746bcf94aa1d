// Getting servers that mirror or source streams of this one to go on at once when the way to them is there again.
//
// Such a server asks for a consumer, waits thirty seconds for the answer, and after each failure ten seconds more, up to two minutes.
// From 2.11.8 on it tries at once when a leaf link comes up, but later versions not while a request of theirs is unanswered: one that was
// sent into the cut. And while it believes its consumer to be alive it waits ten to twenty seconds more. Both can be seen from here, by its
// interest: in an inbox whose request never came, and in the deliver subject of a consumer that is no more. The first gets the error
// that makes it ask again in an older form (14.4.1 of leafnode-protocol.md), the second a heartbeat that does not fit.
//
// Inboxes are also those of requests that go to other edges. So only what a link brings right after it came up is looked at, and only
// while somebody who was served here is missing; who does not come back within minutes of a link is forgotten.
import Broker
import Bytes
import Interest
import JSON
import LogStore
import Platform
import Wire

/// Which consumers of mirrors and sources elsewhere this server has served, over restarts.
final class ServedOrigins: InterestObserver {
  private struct Entry: Equatable {
    let stream: ByteString
    /// Tells the mirrors and sources of one stream apart, as far as requests show it.
    let kind: ByteString
    let deliverSubject: ByteString
  }

  /// More than any hub has of one edge; the oldest go first.
  private static let entriesMax = 256
  private static let inboxesMax = 1024
  /// What a request that was not lost has to come in.
  private static let grace_ns = second_ns
  /// So long after a link came up it brings the interest that was there before.
  private static let burst_ns = second_ns
  /// Who was not heard so long after a link came up does not come back: more than the longest wait of a mirror or source.
  private static let return_ns = 300 * second_ns

  /// Safe: the engine owns this.
  private unowned(unsafe) let engine: ConsumerEngine
  private var entries: [Entry] = []
  /// Inboxes for answers of which no request has come.
  private var inboxes: [ByteString] = []
  private let timer = Timer()
  private let returnTimer = Timer()
  private var isObserving = false
  /// The newest leaf link, and when it came up (monotonic).
  private var newestLink: UInt64 = 0
  private var linkUp_ns = Int64.min

  init(engine: ConsumerEngine) { self.engine = engine }

  private var key: ByteString { ByteString("served/") + engine.account.name }

  /// JetStream is taken from the account.
  func stop() {
    engine.host.timers.cancel(timer)
    engine.host.timers.cancel(returnTimer)
    if isObserving { engine.account.stopObserving(self) }
    isObserving = false
    entries = []
    inboxes = []
  }

  /// Reads what an earlier process served.
  func recover() {
    guard let record = engine.store.metadata[key], let values = (try? JSON.parse(ByteString(record)))?.array else { return }
    for value in values.suffix(Self.entriesMax) {
      guard let stream = value["stream"]?.string, let kind = value["kind"]?.string, let deliver = value["deliver"]?.string,
        Subject.isValidToPublish(deliver), engine.jetStream.stream(stream) != nil
      else { continue }
      entries.append(Entry(stream: stream, kind: kind, deliverSubject: deliver))
    }
    observe()
  }

  private func write() {
    var json = JSONWriter()
    json.beginArray()
    for entry in entries {
      json.beginObject()
      json.field("stream", entry.stream)
      json.field("kind", entry.kind)
      json.field("deliver", entry.deliverSubject)
      json.endObject()
    }
    json.endArray()
    engine.store.setMetadata(key, json.finish())
  }

  private func observe() {
    guard !isObserving, !entries.isEmpty else { return }
    isObserving = true
    engine.account.observe(self)
  }

  // MARK: What is served

  /// A consumer of a mirror or source was made, or goes on under another deliver subject.
  func serves(_ consumer: Consumer, over link: UInt64) {
    if !isObserving { newestLink = max(newestLink, link) }  // that one did not come up now
    let config = consumer.config
    guard config.isPush, config.direct || config.sourcing else { return }
    var kind = consumer.config.filters.reduce(into: [UInt8]()) { kind, filter in
      kind.append(filter)
      kind.append(ASCII.space)
    }
    // `$JS.S.…` and `$JS.M.…`, also behind a prefix.
    config.deliverSubject.withView { subject in
      if let dot = subject.bytes.lastIndex(of: ASCII.dot), dot > 0 { kind.append(subject[dot - 1]) }
    }
    let entry = Entry(stream: consumer.stream.name, kind: ByteString(kind), deliverSubject: config.deliverSubject)
    entries.removeAll { $0.stream == entry.stream && $0.kind == entry.kind && !isHeard($0) }
    entries.append(entry)
    if entries.count > Self.entriesMax { entries.removeFirst(entries.count - Self.entriesMax) }
    write()
    observe()
  }

  /// A consumer was deleted on purpose: nobody waits for it.
  func forgets(_ deliverSubject: ByteString) {
    guard entries.contains(where: { $0.deliverSubject == deliverSubject }) else { return }
    entries.removeAll { $0.deliverSubject == deliverSubject }
    write()
  }

  private func isHeard(_ entry: Entry) -> Bool { entry.deliverSubject.withView { engine.account.interest.hasInterest(in: $0) } }

  // MARK: What others want

  /// A request came whose answer goes to `reply`.
  func asked(reply: ByteView) { if !inboxes.isEmpty { inboxes.removeAll { $0 == reply } } }

  func interestChanged(_ subscription: Subscription, added: Bool) {
    guard subscription.kind == .leaf, subscription.queue == nil else { return }
    let subject = subscription.subject
    if added, subscription.endpoint.id > newestLink { linkCameUp(subscription.endpoint.id) }
    if subject.hasPrefix("$JSC.R.") {
      if !added { return inboxes.removeAll { $0 == subject } }
      guard subscription.endpoint.id == newestLink, engine.host.clock.monotonic_ns <= WaitingPull.later(linkUp_ns, Self.burst_ns) else {
        return
      }
      guard inboxes.count < Self.inboxesMax, Subject.isLiteral(subject) else { return }
      inboxes.append(subject)
      if !timer.isScheduled { engine.host.after(Self.grace_ns, timer) { [unowned(unsafe) self] in answerLost() } }
    } else if added, entries.contains(where: { $0.deliverSubject == subject }), !engine.delivers(to: subject) {
      // As if it had missed everything: it asks for a new consumer behind what it has.
      var headers = HeaderBuilder(status: "100 Idle Heartbeat")
      headers.add("Nats-Last-Consumer", decimal: Int64.max)
      let block = headers.block
      let account = engine.account
      engine.host.turn.defer { account.publish(to: subject, [], headers: block) }
    }
  }

  private func linkCameUp(_ link: UInt64) {
    newestLink = link
    linkUp_ns = engine.host.clock.monotonic_ns
    engine.host.after(Self.return_ns, returnTimer) { [unowned(unsafe) self] in forgetMissing() }
  }

  /// Forgets who did not come back.
  private func forgetMissing() {
    let before = entries.count
    entries.removeAll { !isHeard($0) }
    if entries.count < before { write() }
  }

  /// Answers requests that were lost, when somebody who was served before is not yet back.
  private func answerLost() {
    let lost = inboxes
    inboxes = []
    guard entries.contains(where: { engine.jetStream.stream($0.stream) != nil && !isHeard($0) }) else { return }
    for inbox in lost {
      var response = APIResponse("consumer_create")
      response.error(.apiLevel)
      engine.account.publish(to: inbox, response.finish())
    }
  }
}

extension ConsumerEngine {
  /// Whether a consumer delivers there.
  func delivers(to subject: ByteString) -> Bool { pushConsumers.contains { $0.config.deliverSubject == subject && !$0.push.isBroken } }
}
