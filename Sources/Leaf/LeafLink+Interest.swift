// Interest over a leaf link, both ways, and what JetStream keeps from crossing.
import Broker
import Bytes
import Interest
import Wire

extension LeafLink: InterestObserver {
  // MARK: Ours to the other end

  /// Everything that the other end gets to know, in one burst (leafnode-protocol.md section 12.1): subscriptions, the sources of
  /// subject mappings, the mark against loops.
  func advertiseAll() {
    account.interest.forEach { _, _, subscription, _ in
      guard self.concerns(subscription) else { return }
      _ = self.localInterest.add(subscription.subject, subscription.queue, weight: subscription.weight)
    }
    for mapping in account.mappings { _ = localInterest.add(mapping.source, nil) }
    localInterest.forEach { subject, queue, count in
      if mayAdvertise(subject) { output.interest(subject, queue, .add(weight: queue == nil ? 0 : count)) }
    }
    output.interest(loopSubject, nil, .add(weight: 0))
  }

  public func interestChanged(_ subscription: Subscription, added: Bool) {
    guard isEstablished, concerns(subscription) else { return }
    advertise(subscription.subject, subscription.queue, by: added ? subscription.weight : -subscription.weight)
  }

  public func weightChanged(_ subscription: Subscription, by difference: Int) {
    guard isEstablished, concerns(subscription) else { return }
    advertise(subscription.subject, subscription.queue, by: difference)
  }

  /// Whether the other end gets to know of a subscription (sections 1, 9.2, 9.6, 12.4). What is local here always; that of another leaf
  /// not when it is of the same cluster, nor on an isolated link, nor from one hub to another.
  private func concerns(_ subscription: Subscription) -> Bool {
    if subscription.origin == .system { return false }
    guard subscription.kind == .leaf else { return true }
    let other = unsafeDowncast(subscription.endpoint.represented, to: LeafLink.self)
    return other !== self && !isIsolated && !(role.isSpoke && other.role.isSpoke) && !isSameCluster(other)
  }

  /// Whether both links lead to one cluster, whose members pass everything on among themselves.
  func isSameCluster(_ other: LeafLink) -> Bool { !peer.cluster.isEmpty && peer.cluster == other.peer.cluster }

  private func advertise(_ subject: ByteString, _ queue: ByteString?, by members: Int) {
    // Counted whatever may be said now: permissions may change while the subscription lives.
    let change =
      members > 0 ? localInterest.add(subject, queue, weight: members) : localInterest.remove(subject, queue, weight: -members)
    guard change != .none, mayAdvertise(subject) else { return }
    output.interest(subject, queue, change)
  }

  /// Tells the other end what `change`, of its permissions or of what forwards hold, lets in or shuts out of the interest that is there.
  public func advertiseChanges(_ change: () -> Void) {
    var wasTold: [Bool] = []
    localInterest.forEach { subject, _, _ in wasTold.append(mayAdvertise(subject)) }
    change()
    guard isEstablished else { return }
    var index = 0
    localInterest.forEach { subject, queue, count in
      let isTold = mayAdvertise(subject)
      if isTold != wasTold[index] {
        output.interest(subject, queue, isTold ? .add(weight: queue == nil ? 0 : count) : .remove)
      }
      index += 1
    }
  }

  /// JetStream's API and the data of KV and object stores stay on their side of the link (section 14.2); a literal of those makes
  /// a real hub close it.
  private func mayAdvertise(_ subject: ByteString) -> Bool {
    if subject.withView({ Self.isExempt($0) }) { return true }
    if subject.bytes.first == UInt8(ascii: "$") {
      if subject.withView({ Self.isJetStreamPrivate($0) }) { return false }
      if !peer.domain.isEmpty, subject.hasPrefix("$JS."), subject.withView({ isAPI($0, of: peer.domain) }) { return false }
    }
    if carriesForwards {
      for forwarded in held.inbound where Subject.isSubset(subject, of: forwarded) { return false }
    }
    return receivePermission.isUnrestricted || receivePermission.permits(interest: subject)
  }

  /// Loop marks and the replies of gateways pass whatever the permissions are (section 10.2).
  private static func isExempt(_ subject: ByteView) -> Bool {
    subject.hasPrefix("$LDS.") || subject.hasPrefix("_GR_.") || subject.hasPrefix("$GR.")
  }

  // MARK: The other end's to us

  func receiveInterest(_ operation: LeafOperation) {
    guard Subject.isValid(operation.subject) else { return operation.kind == .subscribe ? say(.invalidSubscription) : () }
    if operation.kind == .subscribe {
      if operation.subject.hasPrefix("$LDS."), shared.isLoopMark(operation.subject, of: account) {
        return refuse(.loop(account: account.name), as: .loop)
      }
      // A spoke may tell more than it may have in patterns; those are filtered message by message.
      if !role.isSpoke, !maySend(operation.subject), !Self.isExempt(operation.subject), Subject.isLiteral(operation.subject) {
        return refuse(.subscription(ByteString(operation.subject)))
      }
    }
    let queue = operation.queue.isEmpty ? nil : ByteString(operation.queue)
    let subject = ByteString(operation.subject)
    let key = LeafInterest.key(subject, queue)
    if operation.kind == .unsubscribe {
      if let subscription = remoteInterest.remove(key) { account.remove(subscription) }
    } else if let known = remoteInterest[key] {
      if queue != nil { account.setWeight(operation.weight, of: known) }
    } else {
      guard remoteInterest.count < interestMax else {
        return role.isSpoke ? end(.protocolViolation) : say(.subscriptionsExceeded)
      }
      let subscription = Subscription(
        subject: subject, queue: queue, endpoint: self, weight: queue == nil ? 1 : operation.weight)
      remoteInterest.set(key, subscription)
      account.add(subscription)
    }
  }

  /// Who advertises more than this would exhaust a gateway's memory.
  static let remoteInterestMax = 100_000

  private var interestMax: Int { access?.grant?.subscriptionsMax(within: Self.remoteInterestMax) ?? Self.remoteInterestMax }

  func dropRemoteInterest() {
    remoteInterest.forEach { _, subscription in account.remove(subscription) }
    remoteInterest.removeAll()
  }

  // MARK: What crosses

  /// Whether a message may be sent to the other end: JetStream's private subjects and this side's own domain never, the rest as
  /// permitted.
  func maySend(_ subject: ByteView) -> Bool {
    if subject.count > 0, subject.base[0] == UInt8(ascii: "$") {
      if Self.isJetStreamPrivate(subject) { return false }
      if !options.domain.isEmpty, isAPI(subject, of: options.domain) { return false }
    }
    return sendPermission.isUnrestricted || sendPermission.permits(message: subject)
  }

  static func isJetStreamPrivate(_ subject: ByteView) -> Bool {
    subject.hasPrefix("$JS.API.") || subject.hasPrefix("$KV.") || subject.hasPrefix("$OBJ.")
  }

  /// `$JS.<domain>.API.…`
  private func isAPI(_ subject: ByteView, of domain: ByteString) -> Bool {
    guard subject.hasPrefix("$JS.") else { return false }
    return domain.withView { name in
      let rest = subject.dropFirst(4)
      return rest.hasPrefix(name) && rest.dropFirst(name.count).hasPrefix(".API.")
    }
  }
}
