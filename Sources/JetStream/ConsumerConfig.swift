// The configuration of a consumer, as decoded (jetstream-api.md section 11.1). Reading and writing JSON are in ConsumerConfig+JSON,
// checks and defaults in ConsumerConfig+Checks.
import Bytes
import JSON

public struct ConsumerConfig: Equatable, Sendable {
  public enum DeliverPolicy: Int, Equatable, Sendable { case all, last, new, byStartSequence, byStartTime, lastPerSubject }
  public enum AckPolicy: Int, Equatable, Sendable { case none, all, explicit, flowControl }
  public enum ReplayPolicy: Int, Equatable, Sendable { case instant, original }
  public enum PriorityPolicy: Int, Equatable, Sendable { case none, overflow, pinnedClient, prioritized }

  /// Empty for an ephemeral consumer.
  public var durable = ByteString()
  /// As echoed: empty for an ephemeral one whose name the server chose.
  public var name = ByteString()
  public var description = ByteString()
  public var deliverPolicy = DeliverPolicy.all
  public var startSequence: UInt64 = 0
  public var startTime_ns: Int64?
  public var ackPolicy = AckPolicy.none
  public var ackWait_ns: Int64 = 0
  /// -1 is none.
  public var maxDeliver = 0
  public var backoff_ns: [Int64] = []
  public var filter = ByteString()
  public var filterList: [ByteString] = []
  public var replayPolicy = ReplayPolicy.instant
  public var rateLimit_bps: UInt64 = 0
  public var sampleFrequency = ByteString()
  public var maxWaiting = 0
  /// -1 is none.
  public var maxAckPending = 0
  public var flowControl = false
  public var headersOnly = false
  public var maxBatch = 0
  public var maxExpires_ns: Int64 = 0
  public var maxBytes = 0
  /// Empty for a pull consumer.
  public var deliverSubject = ByteString()
  public var deliverGroup = ByteString()
  public var heartbeat_ns: Int64 = 0
  public var inactiveThreshold_ns: Int64 = 0
  public var replicas = 0
  public var memoryStorage = false
  /// Internal consumers of mirrors and sources.
  public var direct = false
  public var sourcing = false
  /// Sorted by key; without the keys that the server adds to answers.
  public var metadata: [Metadatum] = []
  public var pauseUntil_ns: Int64?
  public var priorityGroups: [ByteString] = []
  public var priorityPolicy = PriorityPolicy.none
  public var priorityTimeout_ns: Int64 = 0

  public init() {}

  public var isPush: Bool { !deliverSubject.isEmpty }
  public var isDurable: Bool { !durable.isEmpty }

  /// What the consumer delivers; empty for everything.
  public var filters: [ByteString] { filterList.isEmpty ? (filter.isEmpty ? [] : [filter]) : filterList }

  /// The API level that the configuration needs of a server (section 4.5).
  var requiredLevel: Int {
    if ackPolicy == .flowControl { return 4 }
    return pauseUntil_ns != nil || !priorityGroups.isEmpty || priorityPolicy != .none ? 1 : 0
  }

  /// Drops what the client says about server keys and records the level that is needed.
  mutating func stampMetadata() {
    metadata.removeAll { StreamConfig.isDynamic($0.key) }
    var level: [UInt8] = []
    level.append(decimal: requiredLevel)
    metadata.set("_nats.req.level", ByteString(level))
  }

  /// How long to wait for the ack of delivery number `deliveries`.
  @inline(__always) func ackWait(deliveries: Int) -> Int64 {
    backoff_ns.isEmpty ? ackWait_ns : backoff_ns[min(max(deliveries - 1, 0), backoff_ns.count - 1)]
  }
}
