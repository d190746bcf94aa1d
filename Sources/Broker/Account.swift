// An account: one subject space. Interest, JetStream, links and limits hang off an account, never off a global.
import Bytes
import Identity
import Interest

/// Told when interest of an account appears or goes: leaf links, which pass it on.
public protocol InterestObserver: AnyObject {
  /// `subscription` was added (true) to or removed (false) from the account.
  func interestChanged(_ subscription: Subscription, added: Bool)
  /// The queue subscription of a leaf link stands for so many members more (or, negative, fewer).
  func weightChanged(_ subscription: Subscription, by difference: Int)
}

extension InterestObserver {
  public func weightChanged(_ subscription: Subscription, by difference: Int) {}
}

/// One isolated subject space (client-protocol.md section 7).
public final class Account {
  public let name: ByteString
  /// Who wants what.
  public let interest: InterestTree<Subscription>
  /// Subjects that are rewritten when a message comes in (`$JS.<domain>.API…`).
  public private(set) var mappings: [SubjectPrefixMapping] = []
  /// Told of every change of interest.
  private var observers: [any InterestObserver] = []
  /// Where the agent's own messages come from and its services subscribe.
  public private(set) lazy var services = InternalEndpoint(account: self)
  /// Where consumers' deliveries come from: on a leaf link they are backlog, behind what is said now.
  public private(set) lazy var deliveries = InternalEndpoint(account: self)
  /// A random number for choosing members of queue groups; any non-zero value is a fine seed.
  private var choice: UInt64

  /// Messages and bytes that came into and left this account, for monitoring.
  public var received = Traffic()
  public var sent = Traffic()

  /// What its connections may be and do.
  public internal(set) var limits = AccountLimits()
  /// Operator mode: what the account's token says.
  public internal(set) var claims: AccountClaims?
  /// Clients that are in it now, and all that ever were.
  public internal(set) var clientCount = 0
  public internal(set) var connectionsTotal = 0
  public var leafnodeCount = 0
  public internal(set) var slowConsumers = 0
  /// When its rules were taken over last.
  public internal(set) var updated_ns: Int64?
  /// What it exports and imports, as configured.
  public internal(set) var exports: [ExportRule] = []
  public internal(set) var imports: [ImportRule] = []
  /// The imports that are in force.
  private(set) lazy var sharing = AccountSharing(account: self)
  /// Answers that its services owe to other accounts.
  private(set) lazy var responses: ServiceResponses = {
    guard let context else { preconditionFailure("only accounts of one broker share anything") }
    return ServiceResponses(account: self, sharing: context)
  }()
  private let context: SharingContext?

  public init(name: ByteString, seed: UInt64, context: SharingContext? = nil) {
    self.name = name
    self.context = context
    choice = seed | 1
    interest = InterestTree()
  }

  /// Whether an import is in force.
  public func hasInForce(_ rule: ImportRule) -> Bool {
    sharing.streams.contains { $0.rule == rule } || sharing.services.contains { $0.rule == rule }
  }

  /// Whether one more client may come in.
  public var hasRoomForClient: Bool { limits.connectionsMax < 0 || clientCount + leafnodeCount < limits.connectionsMax }
  /// Whether one more leaf link may come in.
  public var hasRoomForLeafnode: Bool { limits.leafnodesMax < 0 || leafnodeCount < limits.leafnodesMax }

  /// A number in 0..<bound, cheap and uniform enough for sharing load.
  func choose(below bound: Int) -> Int {
    choice ^= choice << 13
    choice ^= choice >> 7
    choice ^= choice << 17
    return Int(truncatingIfNeeded: choice.multipliedFullWidth(by: UInt64(bound)).high)
  }

  // MARK: Interest

  public func add(_ subscription: Subscription) {
    subscription.handle = interest.insert(
      subject: subscription.subject, queue: subscription.queue, weight: subscription.weight, subscription)
    subscription.isActive = true
    for observer in observers { observer.interestChanged(subscription, added: true) }
  }

  /// Removes a subscription; nothing happens when it was removed before.
  public func remove(_ subscription: Subscription) {
    guard subscription.isActive else { return }
    subscription.isActive = false
    if let handle = subscription.handle { interest.remove(handle) }
    subscription.handle = nil
    for observer in observers { observer.interestChanged(subscription, added: false) }
  }

  /// Replaces the weight of a leaf link's queue subscription.
  public func setWeight(_ weight: Int, of subscription: Subscription) {
    guard subscription.isActive, subscription.weight != weight, let handle = subscription.handle else { return }
    let difference = weight - subscription.weight
    subscription.weight = weight
    interest.setWeight(weight, of: handle)
    for observer in observers { observer.weightChanged(subscription, by: difference) }
  }

  public func observe(_ observer: any InterestObserver) { observers.append(observer) }

  public func stopObserving(_ observer: any InterestObserver) { observers.removeAll { $0 === observer } }

  // MARK: Services

  /// Subscribes the agent itself. `handler` gets each message and where it came from; its views end with the call.
  @discardableResult @inline(__always)
  public func subscribe(
    _ subject: ByteString, queue: ByteString? = nil, origin: Subscription.Origin = .own, handler: @escaping (Message, Endpoint) -> Void
  ) -> Subscription {
    let subscription = Subscription(subject: subject, queue: queue, endpoint: services, origin: origin) { message, source in
      handler(message, source)
      return true
    }
    add(subscription)
    return subscription
  }

  /// Likewise, with a handler that says whether it took the message: whoever asks what nobody takes hears that there is nobody.
  public func offer(
    _ subject: ByteString, origin: Subscription.Origin = .own, handler: @escaping (Message, Endpoint) -> Bool
  ) -> Subscription {
    let subscription = Subscription(subject: subject, endpoint: services, origin: origin, handler: handler)
    add(subscription)
    return subscription
  }

  /// Publishes for the agent itself. Returns whether anybody took it.
  @discardableResult
  public func publish(_ message: Message) -> Bool { route(message, from: services) }

  /// Publishes what a consumer has for its receiver: messages and all that must stay in order with them.
  @discardableResult
  public func deliver(_ message: Message) -> Bool { route(message, from: deliveries) }

  /// The same for a message that is a header block only.
  @discardableResult
  public func deliver(to subject: ByteString, headers: [UInt8]) -> Bool {
    subject.withView { subject in headers.withView { headers in deliver(Message(subject: subject, headers: headers)) } }
  }

  /// Publishes an answer.
  @discardableResult
  public func publish(to subject: ByteString, _ payload: [UInt8], headers: [UInt8] = []) -> Bool {
    subject.withView { subjectView in
      payload.withView { payloadView in
        headers.withView { headerView in
          route(Message(subject: subjectView, headers: headerView, payload: payloadView), from: services)
        }
      }
    }
  }

  // MARK: Mappings

  /// Rewrites subjects that begin with `from` to begin with `to`.
  public func map(_ mapping: SubjectPrefixMapping) {
    if !mappings.contains(where: { $0.source == mapping.source }) { mappings.append(mapping) }
  }

  /// Whether a mapping may rewrite this subject; the answer yes may be wrong, no is right.
  @inline(__always) func isMapped(_ subject: ByteView) -> Bool {
    !mappings.isEmpty && subject.count > 4 && subject.base[0] == UInt8(ascii: "$")
  }

  /// The subject as routed: rewritten by the first mapping that applies, or nil when none does.
  @inline(__always) public func mapped(_ subject: ByteView) -> ByteString? {
    // All mappings so far are JetStream's; most subjects leave here.
    guard isMapped(subject) else { return nil }
    for mapping in mappings {
      if let result = mapping.apply(subject) { return result }
    }
    return nil
  }
}

/// Messages and their bytes.
public struct Traffic {
  public var messages: Int64 = 0
  public var bytes: Int64 = 0
  public init() {}
  @inline(__always) public mutating func count(_ size: Int) {
    messages &+= 1
    bytes &+= Int64(size)
  }
}

/// A mapping from one subject prefix to another: `$JS.edge.API.STREAM.>` to `$JS.API.STREAM.>`.
public struct SubjectPrefixMapping {
  /// As it is advertised to leaf links: `$JS.edge.API.STREAM.>`, or a literal.
  public let source: ByteString
  private let from: ByteString
  private let to: ByteString
  private let literal: Bool

  /// `source` and `destination` are literals, or both end in `.>`.
  public init(source: ByteString, destination: ByteString) {
    self.source = source
    literal = source.bytes.last != ASCII.greater
    precondition(literal == (destination.bytes.last != ASCII.greater), "a prefix maps to a prefix, a literal to a literal")
    from = literal ? source : ByteString(Array(source.bytes.dropLast()))
    to = literal ? destination : ByteString(Array(destination.bytes.dropLast()))
  }

  public func apply(_ subject: ByteView) -> ByteString? {
    from.withView { prefix in
      guard literal ? subject == prefix : subject.count > prefix.count && subject.hasPrefix(prefix) else { return nil }
      return ByteString(to.bytes + subject.dropFirst(prefix.count).bytes)
    }
  }
}
