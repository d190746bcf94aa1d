// A stream: its state and what others see of it. Publishing into it is in Stream+Publish, limits and removal in Stream+Removal,
// reading in Stream+Reading, the API's view in Stream+Info.
import Broker
import Bytes
import Interest
import LogStore
import Platform

/// One stream of an account.
public final class Stream {
  /// Safe: a JetStream outlives its streams.
  public unowned(unsafe) let engine: JetStream
  public let name: ByteString
  public internal(set) var config: StreamConfig
  public let created_ns: Int64
  /// Its number in the store, never used again; 0 in memory.
  let logID: UInt32
  /// Its place in the engine's table, for pending acks.
  let slot: UInt32
  let log: any MessageLog
  var subjects: SubjectTable { SubjectTable(log: log) }
  var dedupe: DedupeWindow
  /// `Nats-Msg-Id` of the last stored message; empty when it had none.
  var lastMessageID = ByteString()
  var subscriptions: [Subscription] = []
  /// `{"stream":"S",` with the domain, up to the sequence's digits.
  let ackPrefix: [UInt8]

  /// The last sequence that is on the medium (that was stored, in memory): consumers deliver up to here.
  public internal(set) var lastDeliverable: UInt64 = 0
  public internal(set) var isDeleted = false
  var consumers = ByteMap<any StreamConsumer>()
  /// A consumer was found that could not be read: what it needs is not known.
  var hasUnreadableConsumer = false
  /// What a mirror or the sources follow.
  var feeds: [SourceFeed] = []
  let sourceScan = SourceScan()
  /// Moves of sources since their places were last written down.
  var unrecordedMoves = 0
  /// The last stamp from before the stream was its own: of a mirror's origin or a backup. 0 for none.
  var foreign_ns: Int64 = 0
  /// The message of an origin that is being taken.
  var origin: OriginMessage?
  /// Expires messages by age.
  let ageTimer = Timer()
  let extras = StreamExtras()
  /// What becomes of the subjects of incoming messages, and where stored ones go out again.
  var transform: SubjectTransform?
  var republisher: SubjectTransform?
  /// What consumers are done with (interest and workqueue retention).
  var releases = ReleaseQueue()
  /// Whether the drain of acks has this stream on its list already.
  var isTouched = false
  /// Whether room was made since the last commit.
  var madeRoom = false

  init(engine: JetStream, config: StreamConfig, created_ns: Int64, logID: UInt32, slot: UInt32, log: any MessageLog) {
    self.engine = engine
    self.config = config
    self.created_ns = created_ns
    self.logID = logID
    self.slot = slot
    self.log = log
    name = config.name
    dedupe = DedupeWindow(budget: engine.server.dedupeBudget)
    ackPrefix = Stream.ackPrefix(stream: config.name, domain: engine.options.domain)
    chooseTransforms()
  }

  public var firstSequence: UInt64 { log.firstSequence }
  public var lastSequence: UInt64 { log.lastSequence }
  public var count: Int { log.count }
  public var bytes: Int64 { log.bytes }
  public var lastTimestamp_ns: Int64 { log.lastTimestamp_ns }
  public var subjectCount: Int { subjects.count }
  /// Whether messages are kept on disk.
  public var isFile: Bool { config.storage == .file }

  // MARK: Interest

  /// Takes messages from the account.
  func subscribe() {
    for subject in config.subjects {
      subscriptions.append(engine.account.subscribe(subject) { [unowned(unsafe) self] message, _ in receive(message) })
    }
  }

  func unsubscribe() {
    for subscription in subscriptions { engine.account.remove(subscription) }
    subscriptions = []
  }

  /// Whether one of its subjects can be a message that `filter` matches.
  public func overlaps(_ filter: ByteString) -> Bool {
    for subject in config.subjects where Subject.overlap(subject, filter) { return true }
    return false
  }

  /// Whether `filter` lets through everything that can be in the stream.
  public func isCovered(by filter: ByteView) -> Bool {
    if filter.isEmpty || filter.equals(">") { return true }
    // Other subjects than its own can be in it.
    if transform != nil || !config.sources.isEmpty { return false }
    for subject in config.subjects where !subject.withView({ Subject.isSubset($0, of: filter) }) { return false }
    return !config.subjects.isEmpty
  }

  // MARK: Consumers

  /// Consumers that count (not direct ones).
  public var consumerCount: Int {
    var count = 0
    consumers.forEach { _, consumer in if !consumer.isDirect { count += 1 } }
    return count
  }

  public func consumer(_ name: ByteView) -> (any StreamConsumer)? { consumers[name] }

  /// All consumers, by name.
  public var consumersByName: [any StreamConsumer] {
    var all: [any StreamConsumer] = []
    for name in consumers.keys.ordered() { if let consumer = consumers[name] { all.append(consumer) } }
    return all
  }

  /// Consumers that are there must fit limits that are new.
  func checkConsumers(_ limits: StreamConfig.ConsumerLimits) throws(APIError) {
    var names: [ByteString] = []
    for consumer in consumersByName where consumer.violates(limits) { names.append(consumer.name) }
    guard !names.isEmpty else { return }
    let text = names.map { $0.string }.joined(separator: ", ")
    throw APIError(500, 10069, text: "change to limits violates consumers: " + text)
  }

  public func add(_ consumer: any StreamConsumer) { consumers.set(consumer.name, consumer) }

  public func remove(_ consumer: any StreamConsumer) {
    guard let present = consumers[consumer.name], present === consumer else { return }
    if releases.first != nil { release() }  // while it can be asked
    consumers.remove(consumer.name)
  }

  /// Calls `body` with each consumer; consumers may come and go meanwhile.
  func forEachConsumer(_ body: (any StreamConsumer) -> Void) {
    guard !consumers.isEmpty else { return }
    let all = consumers
    all.forEach { _, consumer in body(consumer) }
  }
}
