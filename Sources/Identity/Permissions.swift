// What a user may do, as configurations and tokens say it. How it is enforced is Broker's business.
import Bytes

/// What a user may publish and subscribe to (client-protocol.md section 6).
public struct Permissions: Equatable, Sendable {
  public struct Lists: Equatable, Sendable {
    /// nil: everything. Empty: nothing.
    public var allow: [ByteString]?
    /// Outranks `allow`. For subscriptions an entry of either list may be "subject queue".
    public var deny: [ByteString] = []
    public init(allow: [ByteString]? = nil, deny: [ByteString] = []) {
      self.allow = allow
      self.deny = deny
    }
    public var isEmpty: Bool { allow == nil && deny.isEmpty }
  }

  /// Leave to answer requests: each message that is delivered with a reply subject allows some publishes to it.
  public struct Responses: Equatable, Sendable {
    public static let maxDefault = 1
    public static let expiresDefault_ns: Int64 = 120_000_000_000
    /// Answers to one request; below 0 any number.
    public var max = Responses.maxDefault
    /// How long they are allowed; below 0 for ever.
    public var expires_ns = Responses.expiresDefault_ns
    /// 0 stands for the default, as in nats-server.
    public init(max: Int = 0, expires_ns: Int64 = 0) {
      if max != 0 { self.max = max }
      if expires_ns != 0 { self.expires_ns = expires_ns }
    }
  }

  public var publish = Lists()
  public var subscribe = Lists()
  public var responses: Responses?

  public init() {}

  public var isEmpty: Bool { publish.isEmpty && subscribe.isEmpty && responses == nil }

  /// As they are enforced: leave to answer would be no restriction beside leave to publish everything.
  public var completed: Permissions {
    var copy = self
    if responses != nil, publish.allow == nil { copy.publish.allow = [] }
    return copy
  }
}

/// How a client is connected; a user may be bound to some of these.
public struct ConnectionTypes: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let standard = ConnectionTypes(rawValue: 1)
  public static let webSocket = ConnectionTypes(rawValue: 2)
  public static let leafnode = ConnectionTypes(rawValue: 4)
  public static let leafnodeWebSocket = ConnectionTypes(rawValue: 8)
  public static let mqtt = ConnectionTypes(rawValue: 16)
  public static let mqttWebSocket = ConnectionTypes(rawValue: 32)
  public static let inProcess = ConnectionTypes(rawValue: 64)

  private static var names: [(StaticString, ConnectionTypes)] {
    [
      ("STANDARD", .standard), ("WEBSOCKET", .webSocket), ("LEAFNODE", .leafnode), ("LEAFNODE_WS", .leafnodeWebSocket), ("MQTT", .mqtt),
      ("MQTT_WS", .mqttWebSocket), ("IN_PROCESS", .inProcess),
    ]
  }

  /// One type by its name, in any case.
  public init?(named name: ByteView) {
    guard let known = Self.names.first(where: { name.equalsIgnoringCase($0.0) }) else { return nil }
    self = known.1
  }
}
