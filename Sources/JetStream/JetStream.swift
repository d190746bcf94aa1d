// JetStream of one account: its streams, their place in the store, and what monitoring asks. The API's dispatch is in
// JetStream+API, acks in JetStream+Acks, recovery in JetStream+Recovery.
import Broker
import Bytes
import Identity
import Interest
import LogStore
import Platform

/// JetStream of one account on the process's store.
public final class JetStream {
  public struct Options {
    /// The JetStream domain; empty for none.
    public var domain = ByteString()
    /// Shown as the leader of every stream.
    public var serverName = ByteString()
    /// What `_nats.ver` says.
    public var serverVersion: ByteString = "2.15.1"
    /// Limits of the server in bytes; -1 is none.
    public var maxMemory: Int64 = -1
    public var maxStore: Int64 = -1
    /// The largest message that clients may publish.
    public var maxPayload = 1 << 20
    /// Whether ack subjects name the domain and the account (nats-server's feature flag `js_ack_fc_v2`). Both forms are understood.
    public var usesLongAckSubjects = false
    /// File streams acknowledge what they took, and the store syncs at such intervals (it has to be told by itself); nil: what is acknowledged
    /// is on the medium, but for streams with `persist_mode: async`.
    public var syncInterval_ns: Int64?
    /// Whether an unknown field in a request is an error.
    public var strict = true
    public init() {}
  }

  static let apiPrefix: StaticString = "$JS.API."
  /// The API level that is announced (section 1.5).
  public static let apiLevel = 5
  /// A stream's messages expire at most this much late, and together.
  static let expiryGranularity_ns: Int64 = 100 * millisecond_ns
  /// While the wall clock is not set, whatever waits for a wall time looks at it this often.
  static let untrustedWait_ns = 60 * second_ns

  public let host: Host
  public let account: Account
  public let store: LogStore
  public let options: Options
  /// What the JetStreams of all accounts have in common.
  public let server: JetStreamServer
  /// What the account may use.
  public internal(set) var grant: JetStreamGrant
  /// Answers the consumer part of the API.
  public var consumerAPI: (any ConsumerAPI)?
  /// API calls so far (section 3).
  public internal(set) var apiTotal: UInt64 = 0
  public internal(set) var apiErrors: UInt64 = 0

  var table = ByteMap<Stream>()
  /// Streams by slot, for pending acks.
  var slots: [Stream?] = []
  let durableAcks = PendingAcks()
  let promptAcks = PendingAcks()
  let originWatcher = OriginWatcher()
  /// What the memory streams hold.
  let memoryUse: MemoryUse
  /// Bytes that file streams may take before their sum has to be made anew.
  var storeRoom_bytes: Int64 = 0
  /// Stamps messages and tells how old they are.
  private(set) var ages: AgeClock
  /// Batches that are being published to all streams, and what the atomic ones hold.
  var atomicBatchCount = 0
  var atomicBatchBytes = 0
  var fastBatchCount = 0
  /// Backups on their way out and in.
  var snapshots: [StreamSnapshot] = []
  var restores: [StreamRestore] = []
  /// Messages that may still be read in this turn to count and to search; nil when nobody did.
  var readsLeft: Int?
  var isPromptScheduled = false
  var isDraining = false
  var touched: [Stream] = []
  /// Where an ack is put together: fixed memory, so that nothing moves while it is routed.
  var scratch: UnsafeMutableRawPointer
  var scratchBytes: Int
  private var isStarted = false
  /// For requests to the API.
  var apiSubscription: Subscription?

  /// `store` must be open. Nothing is served before `start`.
  public init(
    host: Host, account: Account, store: LogStore, options: Options = Options(), grant: JetStreamGrant = JetStreamGrant(),
    server: JetStreamServer = JetStreamServer()
  ) {
    self.host = host
    self.account = account
    self.store = store
    self.options = options
    self.grant = grant
    self.server = server
    memoryUse = MemoryUse(within: server.memoryUse)
    ages = AgeClock(clock: host.clock)
    scratchBytes = JetStream.scratchInitialBytes
    scratch = .allocate(byteCount: JetStream.scratchInitialBytes, alignment: 8)
    server.join(self)
  }

  deinit {
    server.leave(self)
    scratch.deallocate()
  }

  /// Recovers the account's streams and begins to serve. `isAtBoot`: no other account's JetStream works yet, so that a log in the store that
  /// is no stream's is what a crash has left, and not a stream that is being restored.
  public func start(isAtBoot: Bool = true) {
    precondition(!isStarted, "JetStream is started once")
    isStarted = true
    let previous = store.onDurable
    store.onDurable = { [unowned(unsafe) self] in
      previous?()
      drainDurable()
    }
    recoverAges()
    recoverStreams(dropsOrphans: isAtBoot)
    subscribeAPI()
  }

  /// Goes on with the stamps where they stopped.
  private func recoverAges() {
    let key = ByteString("clock/") + account.name
    let last_ns = lastOwnStamp_ns
    ages = AgeClock(clock: host.clock, last_ns: last_ns, jumps: store.metadata[key].map { AgeClock.jumps(in: $0) } ?? [])
    ages.onJump = { [unowned(unsafe) self] in
      if store.isWritable { store.setMetadata(key, ages.record) }
      // Whoever looked at the clock is in the middle of something.
      host.turn.defer { [unowned(unsafe) self] in for stream in streams { stream.clockJumped() } }  // it lives as long as its host
    }
    if !ages.jumps.isEmpty { store.setMetadata(key, ages.record) }
  }

  // MARK: Streams

  public func stream(_ name: ByteView) -> Stream? { table[name] }
  public func stream(_ name: ByteString) -> Stream? { table[name] }
  public var streamCount: Int { table.count }

  /// All streams by name.
  public var streams: [Stream] {
    var all: [Stream] = []
    all.reserveCapacity(table.count)
    for name in table.keys.ordered() { if let stream = table[name] { all.append(stream) } }
    return all
  }

  /// Bytes of messages in memory and on disk.
  public var usage: (memory: Int64, storage: Int64) {
    var memory: Int64 = 0
    var storage: Int64 = 0
    table.forEach { _, stream in
      if stream.isFile { storage += stream.bytes } else { memory += stream.bytes }
    }
    return (memory, storage)
  }

  /// Sums of the streams' max_bytes.
  public var reserved: (memory: Int64, storage: Int64) {
    var memory: Int64 = 0
    var storage: Int64 = 0
    table.forEach { _, stream in
      guard stream.config.maxBytes > 0 else { return }
      if stream.isFile {
        storage = WaitingPull.later(storage, stream.config.maxBytes)
      } else {
        memory = WaitingPull.later(memory, stream.config.maxBytes)
      }
    }
    return (memory, storage)
  }

  /// All consumers that count.
  public var consumerCount: Int {
    var count = 0
    table.forEach { _, stream in count += stream.consumerCount }
    return count
  }

  /// Whether one of `subjects` overlaps with a stream other than `except`.
  func overlaps(_ subjects: [ByteString], except: ByteString) -> Bool {
    var found = false
    table.forEach { name, stream in
      guard name != except, !found else { return }
      for subject in subjects where stream.overlaps(subject) { found = true }
    }
    return found
  }

  /// Takes a slot for a new stream.
  func takeSlot() -> UInt32 {
    if let free = slots.firstIndex(where: { $0 == nil }), durableAcks.isEmpty, promptAcks.isEmpty { return UInt32(free) }
    slots.append(nil)
    return UInt32(slots.count - 1)
  }

  /// Whether a required API level is one that is there (section 1.5).
  static func isLevelSupported(_ text: ByteView) -> Bool {
    guard let level = text.decimalInt() else { return false }
    return level <= apiLevel
  }
}
