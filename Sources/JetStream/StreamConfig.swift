// The configuration of a stream, as decoded (section 4.1). Reading and writing JSON are in StreamConfig+JSON, checks in
// StreamConfig+Checks.
import Bytes
import JSON

public struct StreamConfig: Equatable, Sendable {
  public enum Retention: Int, Equatable, Sendable { case limits, interest, workqueue }
  public enum Discard: Int, Equatable, Sendable { case old, new }
  public enum Storage: Int, Equatable, Sendable { case file, memory }

  public struct Placement: Equatable, Sendable {
    public var cluster = ByteString()
    public var tags: [ByteString] = []
    public var preferred = ByteString()
    public init() {}
    var isEmpty: Bool { cluster.isEmpty && tags.isEmpty && preferred.isEmpty }
  }

  public struct ConsumerLimits: Equatable, Sendable {
    public var inactiveThreshold_ns: Int64 = 0
    public var maxAckPending = 0
    public init() {}
  }

  public var name: ByteString
  public var description = ByteString()
  public var subjects: [ByteString] = []
  public var retention = Retention.limits
  /// Limits: -1 is none.
  public var maxConsumers = -1
  public var maxMessages: Int64 = -1
  public var maxBytes: Int64 = -1
  /// 0 is none.
  public var maxAge_ns: Int64 = 0
  public var maxMessagesPerSubject: Int64 = -1
  public var maxMessageSize = -1
  public var discard = Discard.old
  public var discardNewPerSubject = false
  public var storage = Storage.file
  public var replicas = 1
  public var noAck = false
  public var duplicateWindow_ns: Int64 = 0
  public var placement: Placement?
  public var compression = false
  public var firstSequence: UInt64 = 0
  public var allowDirect = false
  public var mirrorDirect = false
  public var sealed = false
  public var denyDelete = false
  public var denyPurge = false
  public var allowRollup = false
  public var consumerLimits = ConsumerLimits()
  public var subjectTransform: Transform?
  public var republish: Republish?
  public var mirror: StreamSource?
  public var sources: [StreamSource] = []
  /// Sorted by key; without the keys that the server adds to answers.
  public var metadata: [Metadatum] = []

  // What Petiole does not have yet: decoded so that the checks come in the field's order, refused at their end.
  public var allowMessageTTL = false
  public var subjectDeleteMarkerTTL_ns: Int64 = 0
  public var allowMessageCounter = false
  public var allowAtomic = false
  public var allowSchedules = false
  public var asyncPersist = false
  public var allowBatched = false

  public init(name: ByteString = ByteString()) { self.name = name }

  /// The API level that the configuration needs of a server (section 4.5).
  var requiredLevel: Int {
    if allowBatched { return 4 }
    if allowMessageCounter || allowAtomic || allowSchedules || asyncPersist { return 2 }
    return allowMessageTTL || subjectDeleteMarkerTTL_ns > 0 ? 1 : 0
  }

  /// Keys that only the server sets.
  static func isDynamic(_ key: ByteString) -> Bool {
    key.equals("_nats.ver") || key.equals("_nats.level") || key.equals("_nats.req.level")
  }

  /// Drops what the client says about server keys and records the level that is needed.
  mutating func stampMetadata() {
    metadata.removeAll { StreamConfig.isDynamic($0.key) }
    var level: [UInt8] = []
    level.append(decimal: requiredLevel)
    metadata.set("_nats.req.level", ByteString(level))
  }
}
