// What the other end of a leaf link says: one operation of the leaf protocol, as views into the read buffer.
import Bytes

/// One operation of the leaf protocol (leafnode-protocol.md section 11). All views end with the call that received them.
public struct LeafOperation {
  public enum Kind {
    case info, connect, ping, pong
    /// `LS+` and `LS-`
    case subscribe, unsubscribe
    /// `LMSG` and `HMSG`
    case message
    /// `-ERR`, with its text
    case error
    /// `+OK`
    case ignored
  }

  public var kind: Kind = .ignored
  /// info, connect: the JSON text; error: the text without quotes
  public var text = ByteView()
  /// subscribe, unsubscribe, message
  public var subject = ByteView()
  /// subscribe, unsubscribe; empty when there is none
  public var queue = ByteView()
  /// subscribe with a queue: members of the group, absolute; at most `weightMax`
  public var weight = 0
  /// nats-server sends how many subscriptions of a group its account has, in 32 bits: a million of them would take it a gigabyte. Whoever
  /// says more than this is believed this, so that sums of some links' weights fit everywhere.
  public static let weightMax = 1 << 24
  /// message; empty when there is none
  public var reply = ByteView()
  /// message: the queue groups that get a copy, separated by blanks; empty when none
  public var queues = ByteView()
  /// message: length of the header block at the front of `body`; nil for LMSG
  public var headerSize: Int?
  /// message: headers and payload
  public var body = ByteView()

  public init() {}

  @inline(__always) public var headers: ByteView { headerSize.map { body.prefix($0) } ?? ByteView() }
  @inline(__always) public var payload: ByteView { headerSize.map { body.dropFirst($0) } ?? body }

  /// Calls `body` for each name in `queues`.
  public func forEachQueue(_ body: (ByteView) -> Void) {
    var rest = queues
    while !rest.isEmpty {
      var end = 0
      while end < rest.count, rest[end] != ASCII.space, rest[end] != ASCII.tab { end += 1 }
      if end > 0 { body(rest.prefix(end)) }
      rest = rest.dropFirst(min(end + 1, rest.count))
    }
  }
}
