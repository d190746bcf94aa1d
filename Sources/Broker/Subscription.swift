// One subscription: who wants what.
import Bytes
import Interest

/// A subscription of an endpoint. Kept alive by its endpoint's table and the account's interest tree.
public final class Subscription {
  /// Why it is there.
  public enum Origin: UInt8 {
    /// Somebody wants it.
    case own
    /// A service of the server for those in the account, such as its JetStream's: what other accounts publish is not imported for it.
    case service
    /// It stands for what another account wants or offers. Nothing is imported for it again.
    case shared
    /// A service of the server that every account has, here and on the other side of a leaf link: it does not cross.
    case system
  }

  public let subject: ByteString
  /// The queue group, or nil.
  public let queue: ByteString?
  /// The client's name for it.
  public let sid: ByteString
  /// Safe: an endpoint removes its subscriptions from the account before it goes.
  public unowned(unsafe) let endpoint: Endpoint
  /// Kind and id of the endpoint, beside the subscription so that routing need not look further.
  public let kind: Endpoint.Kind
  public let origin: Origin
  /// Deliveries so far, in total.
  public internal(set) var delivered = 0
  /// Removed after so many deliveries; 0 for never.
  public internal(set) var max = 0
  /// For internal subscriptions: what to do with a message. Returns whether it was taken.
  let handler: ((Message, Endpoint) -> Bool)?
  /// Whether it is still in the account's interest.
  public internal(set) var isActive = false
  /// Where it stands in the account's interest.
  var handle: InterestHandle?
  /// For leaf links: members behind it.
  public internal(set) var weight: Int

  public init(
    subject: ByteString, queue: ByteString? = nil, sid: ByteString = ByteString(), endpoint: Endpoint, weight: Int = 1,
    origin: Origin = .own, handler: ((Message, Endpoint) -> Bool)? = nil
  ) {
    self.subject = subject
    self.queue = queue
    self.sid = sid
    self.endpoint = endpoint
    self.kind = endpoint.kind
    self.weight = weight
    self.origin = origin
    self.handler = handler
  }
}
