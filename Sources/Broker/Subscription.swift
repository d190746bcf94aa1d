// One subscription: who wants what.
import Bytes
import Interest

/// A subscription of an endpoint. Kept alive by its endpoint's table and the account's interest tree.
public final class Subscription {
  public let subject: ByteString
  /// The queue group, or nil.
  public let queue: ByteString?
  /// The client's name for it.
  public let sid: ByteString
  /// Safe: an endpoint removes its subscriptions from the account before it goes.
  public unowned(unsafe) let endpoint: Endpoint
  /// Kind and id of the endpoint, beside the subscription so that routing need not look further.
  public let kind: Endpoint.Kind
  /// Deliveries so far, in total.
  public internal(set) var delivered = 0
  /// Removed after so many deliveries; 0 for never.
  public internal(set) var max = 0
  /// For internal subscriptions: what to do with a message.
  let handler: ((Message, Endpoint) -> Void)?
  /// Whether it is still in the account's interest.
  public internal(set) var isActive = false
  /// Where it stands in the account's interest.
  var handle: InterestHandle?
  /// For leaf links: members behind it.
  public internal(set) var weight: Int

  public init(
    subject: ByteString, queue: ByteString? = nil, sid: ByteString = ByteString(), endpoint: Endpoint, weight: Int = 1,
    handler: ((Message, Endpoint) -> Void)? = nil
  ) {
    self.subject = subject
    self.queue = queue
    self.sid = sid
    self.endpoint = endpoint
    self.kind = endpoint.kind
    self.weight = weight
    self.handler = handler
  }
}
