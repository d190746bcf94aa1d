// Routing: from a published message to everybody who gets a copy.
import Bytes
import Interest

extension Account {
  /// Delivers a message that came in from `source`. Returns whether anybody took it.
  @discardableResult
  public func route(_ message: Message, from source: Endpoint) -> Bool {
    if let mapped = mapped(message.subject) {
      var rewritten = message
      return mapped.withView { subject in
        rewritten.subject = subject
        return route(rewritten, through: interest.match(subject), from: source)
      }
    }
    return route(message, through: interest.match(message.subject), from: source)
  }

  /// Delivers a message to what `match` holds: every plain subscription, one member of each queue group.
  @inline(__always)
  func route(_ message: Message, through match: InterestMatch<Subscription>, from source: Endpoint) -> Bool {
    if match.queues.isEmpty, match.plain.count == 1 {
      // One subscriber: most of all messages.
      let subscription = match.plain[0]
      guard allowed(subscription, source) else { return false }
      return subscription.kind == .leaf
        ? subscription.endpoint.deliverOnce(message, queues: [], from: source)
        : give(message, subscription, source)
    }
    return routeToMany(message, match, from: source)
  }

  @inline(__always) private func allowed(_ subscription: Subscription, _ source: Endpoint) -> Bool {
    guard subscription.isActive else { return false }
    guard source.kind == .leaf else { return subscription.endpoint !== source || source.echoes }
    return subscription.kind != .leaf || subscription.endpoint.isReachable(from: source)
  }

  @inline(__always) func give(_ message: Message, _ subscription: Subscription, _ source: Endpoint) -> Bool {
    guard subscription.endpoint.deliver(message, to: subscription, from: source) else { return false }
    subscription.delivered &+= 1
    if subscription.max > 0, subscription.delivered >= subscription.max { remove(subscription) }
    return true
  }

  private func routeToMany(_ message: Message, _ match: InterestMatch<Subscription>, from source: Endpoint) -> Bool {
    var taken = false
    var leafs: [LeafCopy] = []
    for subscription in match.plain where allowed(subscription, source) {
      if subscription.kind == .leaf {
        add(subscription.endpoint, queue: nil, to: &leafs)
      } else if give(message, subscription, source) {
        taken = true
      }
    }
    for queue in match.queues {
      if let leaf = routeToQueue(message, queue, from: source, &taken) { add(leaf, queue: queue.name, to: &leafs) }
    }
    for leaf in leafs where leaf.endpoint.deliverOnce(message, queues: leaf.queues, from: source) { taken = true }
    return taken
  }

  private func add(_ endpoint: Endpoint, queue: ByteString?, to leafs: inout [LeafCopy]) {
    // A server has few links, so a look at those collected is cheap; a mark on the endpoint would not survive a handler that publishes.
    if let index = leafs.firstIndex(where: { $0.endpoint === endpoint }) {
      if let queue { leafs[index].queues.append(queue) }
    } else {
      leafs.append(LeafCopy(endpoint: endpoint, queues: queue.map { [$0] } ?? []))
    }
  }

  /// Gives a message to one member of a queue group: a local one if any takes it (leafnode-protocol.md section 13.3). Otherwise
  /// returns the leaf link to name the group to.
  private func routeToQueue(
    _ message: Message, _ queue: InterestMatch<Subscription>.QueueMatch, from source: Endpoint, _ taken: inout Bool
  ) -> Endpoint? {
    let members = queue.members
    let start = choose(below: members.count)
    var leafWeight = 0
    for offset in 0..<members.count {
      var index = start + offset
      if index >= members.count { index -= members.count }
      let subscription = members[index].subscriber
      guard allowed(subscription, source) else { continue }
      if subscription.kind == .leaf {
        if subscription.endpoint.takes(message) { leafWeight += min(subscription.weight, .max - leafWeight) }
      } else if give(message, subscription, source) {
        taken = true
        return nil
      }
    }
    guard leafWeight > 0 else { return nil }
    var ticket = choose(below: leafWeight)
    for member in members where member.subscriber.kind == .leaf && allowed(member.subscriber, source) {
      guard member.subscriber.endpoint.takes(message) else { continue }
      ticket -= member.subscriber.weight
      if ticket < 0 { return member.subscriber.endpoint }
    }
    return nil
  }

  /// Delivers a message that came from a leaf link: plain subscriptions get it, queue groups only where `queues` names them
  /// (section 11.4). A subject that a mapping rewrote is served as if all groups were named.
  @discardableResult
  public func routeFromLeaf(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    if let mapped = mapped(message.subject) {
      var rewritten = message
      return mapped.withView { subject in
        rewritten.subject = subject
        return route(rewritten, through: interest.match(subject), from: source)
      }
    }
    let match = interest.match(message.subject)
    if match.queues.isEmpty { return route(message, through: match, from: source) }
    var taken = false
    var leafs: [LeafCopy] = []
    for subscription in match.plain where allowed(subscription, source) {
      if subscription.kind == .leaf {
        add(subscription.endpoint, queue: nil, to: &leafs)
      } else if give(message, subscription, source) {
        taken = true
      }
    }
    for queue in match.queues where queues.contains(queue.name) {
      if let leaf = routeToQueue(message, queue, from: source, &taken) { add(leaf, queue: queue.name, to: &leafs) }
    }
    for leaf in leafs where leaf.endpoint.deliverOnce(message, queues: leaf.queues, from: source) { taken = true }
    return taken
  }

  private struct LeafCopy {
    let endpoint: Endpoint
    var queues: [ByteString]
  }
}
