// Where messages come from and go to: clients, leaf links, and the agent's own services.
import Bytes

/// One end of the router. Subclasses: `ClientConnection`, `InternalEndpoint`, and the leaf link of module Leaf.
open class Endpoint {
  public enum Kind: UInt8 {
    case client
    /// A leaf link, dialled or accepted.
    case leaf
    /// JetStream, its API, system services.
    case `internal`
  }

  public final let kind: Kind
  /// The connection id (`cid`), unique in the process; 0 for internal endpoints.
  public final let id: UInt64
  /// Changes only when a connection authenticates, or its account does at a reload.
  public final var account: Account
  /// Whether messages of this endpoint are also delivered to its own subscriptions.
  public final var echoes = true

  public init(kind: Kind, id: UInt64, account: Account) {
    self.kind = kind
    self.id = id
    self.account = account
  }

  /// Takes a message for `subscription`. Returns whether it was taken (false: closed or closing, or forbidden).
  open func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    preconditionFailure("an endpoint must say how it delivers")
  }

  /// Asks a publisher to wait a moment, because what it publishes fills somebody's output. Only clients can.
  open func stall() {}

  /// Whether messages of the leaf link `source` may go to this leaf link.
  open func isReachable(from source: Endpoint) -> Bool { source !== self }

  /// The leaf link that this one stands for in an account that imports: itself otherwise.
  open var represented: Endpoint { self }

  /// Whether this leaf link would take `message`: a queue group is not named to one that would not.
  open func takes(_ message: Message) -> Bool { true }

  /// Takes a message once for all plain matches and for the queue groups named in `queues` (leaf links only).
  open func deliverOnce(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    preconditionFailure("only a leaf link gets one copy for many subscriptions")
  }
}

/// The agent's own end of the router: what it publishes is from here, and its services subscribe here.
public final class InternalEndpoint: Endpoint {
  public init(account: Account) { super.init(kind: .internal, id: 0, account: account) }

  public override func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    subscription.handler?(message, source) ?? false
  }
}
