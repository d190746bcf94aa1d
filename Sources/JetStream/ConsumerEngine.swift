// All consumers of one JetStream: their table, finding them again at the start, writing their states down, and the dispatch of
// `$JS.API.CONSUMER.>`. The handlers are in API+Consumer….swift.
import Broker
import Bytes
import Interest
import LogStore
import Platform
import Wire

/// The consumers of one account's JetStream.
public final class ConsumerEngine: ConsumerAPI {
  /// States are written down at most so often: redelivery after a crash is legal, a write for every ack would wear out flash.
  static let writeInterval_ns = second_ns

  /// Safe: the JetStream owns its consumers' engine.
  public unowned(unsafe) let jetStream: JetStream
  let account: Account
  /// The account in the long form of ack subjects.
  private let accountHash: ByteString
  /// By `<stream>.<consumer>`, as requests name them.
  private var table = ByteMap<Consumer>()
  private var dirty: [Consumer] = []
  /// Those that were there when it was stopped: what is under way may refer to them.
  private var stopped = ByteMap<Consumer>()
  private let writeTimer = Timer()
  var pushConsumers: [Consumer] = []
  private let watcher = InterestWatcher()
  private(set) lazy var served = ServedOrigins(engine: self)

  /// Set it as `jetStream.consumerAPI` before the JetStream starts.
  public init(jetStream: JetStream) {
    self.jetStream = jetStream
    account = jetStream.account
    accountHash = jetStream.account.name.withView { SHA256.shortName(of: $0) }
    watcher.engine = self
    account.observe(watcher)
  }

  deinit { account.stopObserving(watcher) }

  var host: Host { jetStream.host }
  var store: LogStore { jetStream.store }

  public var count: Int { table.count }

  static func key(stream: ByteString, name: ByteString) -> ByteString { ByteString(stream.bytes + [ASCII.dot] + name.bytes) }

  /// A consumer by `<stream>.<name>`.
  public func consumer(_ path: ByteView) -> Consumer? { table[path] }

  /// A stream's consumers by name; internal ones only when asked for.
  public func consumers(of stream: Stream, includingDirect: Bool = false) -> [Consumer] {
    var all: [Consumer] = []
    for consumer in stream.consumersByName where includingDirect || !consumer.isDirect {
      if let found = table[ConsumerEngine.key(stream: stream.name, name: consumer.name)] { all.append(found) }
    }
    return all
  }

  /// `<space><stream>.<name>.`, or in the long form `<space><domain or _>.<account's hash>.<stream>.<name>.` (section 12).
  func controlPrefix(_ space: StaticString, _ stream: ByteString, _ name: ByteString, isLong: Bool) -> [UInt8] {
    var prefix: [UInt8] = []
    prefix.append(literal: space)
    let domain = jetStream.options.domain.isEmpty ? ByteString("_") : jetStream.options.domain
    for token in isLong ? [domain, accountHash, stream, name] : [stream, name] {
      prefix.append(token)
      prefix.append(ASCII.dot)
    }
    return prefix
  }

  // MARK: Coming and going

  func add(_ consumer: Consumer) {
    table.set(ConsumerEngine.key(stream: consumer.stream.name, name: consumer.name), consumer)
    consumer.stream.add(consumer)
    consumer.start()
  }

  /// Takes a consumer out of the table and the store; it still has to end.
  func forget(_ consumer: Consumer) {
    table.remove(ConsumerEngine.key(stream: consumer.stream.name, name: consumer.name))
    consumer.forgetRecord()
  }

  /// Deletes a consumer, on request or because nobody needs it any more.
  func delete(_ consumer: Consumer) {
    consumer.adviseDeleted()
    forget(consumer)
    consumer.stream.remove(consumer)
    consumer.end("409 Consumer Deleted")
    consumer.stream.interestLost(from: consumer.state.floor.stream + 1)
  }

  /// The process stops in an orderly way: tells every waiting request, and writes all states down.
  public func serverStops() {
    host.timers.cancel(writeTimer)
    table.forEach { _, consumer in
      for pull in consumer.waiting.removeAll() { consumer.sendStatus("409 Server Shutdown", ending: pull) }
    }
    writeStates()
  }

  /// JetStream is taken from the account: no consumer delivers any more, and their states are written down.
  public func stop() {
    serverStops()
    served.stop()
    account.stopObserving(watcher)
    let all = table
    table = ByteMap()
    all.forEach { _, consumer in consumer.end("409 Server Shutdown") }
    stopped = all
  }

  // MARK: The store

  public func streamRecovered(_ stream: Stream) {
    let prefix = StoredConsumer.prefix(account: account.name, stream: stream.name)
    for key in store.metadata.keys.ordered() {
      guard key.withView({ key in prefix.withView { key.hasPrefix($0) } }), let record = store.metadata[key] else { continue }
      let name = ByteString(Array(key.bytes[prefix.count...]))
      guard !name.isEmpty, !name.bytes.contains(ASCII.slash) else { continue }
      guard let stored = StoredConsumer.decode(record) else {
        host.log.error("JetStream consumer '\(stream.name.string) > \(name.string)' has an unreadable configuration and is left alone")
        stream.hasUnreadableConsumer = true
        continue
      }
      guard stored.created_ns >= stream.created_ns else {
        host.log.warning("JetStream consumer '\(stream.name.string) > \(name.string)' is of an earlier stream and is left alone")
        continue
      }
      recover(stored, name, stream)
    }
  }

  public func allRecovered() { served.recover() }

  private func recover(_ stored: StoredConsumer, _ name: ByteString, _ stream: Stream) {
    let now_ns = host.clock.monotonic_ns
    let key = StoredConsumer.statePrefix(account: account.name, stream: stream.name) + name
    // What was delivered before gets its time to be acknowledged; with a short wait it goes out again soon.
    let deadline_ns = WaitingPull.later(now_ns, stored.config.ackWait_ns)
    var state: ConsumerState?
    if let record = store.metadata[key] {
      state = record.withView { ConsumerState(record: $0, deadline_ns: deadline_ns) }
      if state == nil {
        host.log.error("JetStream consumer '\(stream.name.string) > \(name.string)' has an unreadable state and begins anew")
      }
    }
    // A start in the future is not ahead of the stream, it waits for it.
    let isWaiting = state?.delivered.consumer == 0 && stored.config.deliverPolicy == .byStartSequence
    if !isWaiting, let next = state?.next, next > stream.lastSequence + 1 {
      // The stream lost its end. What comes under those sequences now is new to the consumer.
      state?.cut(after: stream.lastSequence)
      host.log.warning("JetStream consumer '\(stream.name.string) > \(name.string)' was ahead of its stream")
    }
    let consumer = Consumer(
      engine: self, stream: stream, name: name, config: stored.config, created_ns: stored.created_ns,
      state: state ?? ConsumerState(first: (try? stored.config.firstSequence(in: stream)) ?? max(stream.firstSequence, 1)))
    consumer.resumeAfter = stored.resumeAfter
    if stored.resumeAfter >= consumer.state.next { consumer.select() }
    // Its counting may be older than what it delivered last, and the other side would take the numbers for others: it has to ask anew.
    consumer.push.isBroken = stored.config.sourcing || stored.config.isPlainSourcing
    add(consumer)
  }

  func markDirty(_ consumer: Consumer) {
    guard !consumer.isDirty, consumer.isPersistent else { return }
    consumer.isDirty = true
    dirty.append(consumer)
    guard !writeTimer.isScheduled else { return }
    host.after(ConsumerEngine.writeInterval_ns, writeTimer) { [unowned(unsafe) self] in writeStates() }
  }

  private func writeStates() {
    let changed = dirty
    dirty.removeAll(keepingCapacity: true)
    for consumer in changed { consumer.writeState() }
  }

  // MARK: Interest

  fileprivate func interestChanged(_ subject: ByteString) {
    guard !pushConsumers.isEmpty else { return }
    for consumer in pushConsumers where Subject.matches(consumer.config.deliverSubject, subject) { consumer.bindingChanged() }
  }

  // MARK: Requests

  public func handleConsumerRequest(_ request: APIRequest) {
    guard let verb = request.token(1) else { return }
    let count = request.tokenCount
    if verb.equals("MSG") {
      // Consumers answer these themselves: whatever stands there, nobody does when it is not the name of one.
      guard count > 3, let next = request.token(2), next.equals("NEXT"), let path = request.rest(from: 3) else { return }
      serveNext(request, path)
    } else if verb.equals("CREATE") {
      if count >= 3 { create(request) }
    } else if verb.equals("DURABLE") {
      if count == 5, let create = request.token(2), create.equals("CREATE") { createDurable(request) }
    } else if count == 4, let path = request.rest(from: 2) {
      if verb.equals("INFO") {
        info(request, path)
      } else if verb.equals("DELETE") {
        delete(request, path)
      } else if verb.equals("PAUSE") {
        pause(request, path)
      } else if verb.equals("UNPIN") {
        unpin(request, path)
      } else if verb.equals("RESET") {
        reset(request, path)
      }
    } else if count == 3, let stream = request.token(2) {
      if verb.equals("NAMES") {
        names(request, stream)
      } else if verb.equals("LIST") {
        list(request, stream)
      }
    } else if count == 5, verb.equals("LEADER"), let stepDown = request.token(2), stepDown.equals("STEPDOWN") {
      jetStream.fail(request, "consumer_leader_stepdown", .clusteringRequired)
    }
  }

  private func serveNext(_ request: APIRequest, _ path: ByteView) {
    guard let consumer = table[path] else { return jetStream.noResponders(request) }
    guard !request.reply.isEmpty else { return }
    if !request.message.headers.isEmpty, let level = request.headers.value("Nats-Required-Api-Level"),
      !JetStream.isLevelSupported(level)
    {
      return consumer.sendStatus("412 Required Api Level", to: request.replySubject)
    }
    consumer.pull(request.body, reply: request.reply, from: request.source)
  }
}

/// Tells the engine of changed interest, so that push consumers notice their receivers.
private final class InterestWatcher: InterestObserver {
  /// Safe: the engine owns the watcher.
  unowned(unsafe) var engine: ConsumerEngine!

  func interestChanged(_ subscription: Subscription, added: Bool) { engine.interestChanged(subscription.subject) }
}
