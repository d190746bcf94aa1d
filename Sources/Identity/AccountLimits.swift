// What an account may use, as configurations and tokens say it.
import Bytes

/// Limits of an account's connections; -1 is none.
public struct AccountLimits: Equatable, Sendable {
  public var connectionsMax = -1
  public var leafnodesMax = -1
  /// Of one connection.
  public var subscriptionsMax = -1
  /// Largest headers and payload together, in bytes.
  public var payloadMax = -1
  public init() {}
}

/// Limits of an account's JetStream; -1 is none (jetstream-api.md section 3).
public struct JetStreamLimits: Equatable, Sendable {
  public var memoryMax_bytes: Int64 = -1
  public var storeMax_bytes: Int64 = -1
  public var streamsMax = -1
  public var consumersMax = -1
  public var ackPendingMax = -1
  /// Of one stream.
  public var memoryStreamMax_bytes: Int64 = -1
  public var storeStreamMax_bytes: Int64 = -1
  /// Whether every stream must say how large it may become.
  public var requiresMaxBytes = false
  public init() {}
}

/// JetStream of an account: limits for all its streams, or for each number of replicas ("R1").
public struct JetStreamGrant: Equatable, Sendable {
  public var limits = JetStreamLimits()
  /// In the order of their names; not empty: `limits` does not count.
  public var tiers: [(name: ByteString, limits: JetStreamLimits)] = []
  public init() {}

  public static func == (left: JetStreamGrant, right: JetStreamGrant) -> Bool {
    left.limits == right.limits && left.tiers.count == right.tiers.count
      && zip(left.tiers, right.tiers).allSatisfy { $0.name == $1.name && $0.limits == $1.limits }
  }
}
