// Interest over a leaf link, both ways, and what JetStream keeps from crossing.
import Broker
import Bytes
import Interest
import Wire

extension LeafLink: InterestObserver {
  // MARK: Ours to the hub

  /// Everything this side has, in one burst (leafnode-protocol.md section 12.1): local subscriptions, the sources of subject
  /// mappings, the mark against loops.
  func advertiseAll() {
    account.interest.forEach { _, _, subscription, _ in
      if subscription.kind != .leaf { self.advertise(subscription.subject, subscription.queue, added: true) }
    }
    for mapping in account.mappings { advertise(mapping.source, nil, added: true) }
    output.interest(loopSubject, nil, .add(weight: 0))
  }

  public func interestChanged(_ subscription: Subscription, added: Bool) {
    guard isEstablished, subscription.kind != .leaf else { return }
    advertise(subscription.subject, subscription.queue, added: added)
  }

  private func advertise(_ subject: ByteString, _ queue: ByteString?, added: Bool) {
    // Counted whatever the hub permits now: its permissions may change while the subscription lives.
    let change = added ? localInterest.add(subject, queue) : localInterest.remove(subject, queue)
    guard mayAdvertise(subject) else { return }
    output.interest(subject, queue, change)
  }

  /// Tells the hub what `change` of its permissions lets in or shuts out of the interest that is there.
  func advertiseChanges(_ change: () -> Void) {
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
    if subject.bytes.first == UInt8(ascii: "$") {
      if subject.withView({ Self.isJetStreamPrivate($0) }) { return false }
      if !peer.domain.isEmpty, subject.hasPrefix("$JS."), subject.withView({ isAPI($0, of: peer.domain) }) { return false }
    }
    for held in shared.heldInboundSubjects where Subject.isSubset(subject, of: held) { return false }
    return receivePermission.isUnrestricted || receivePermission.permits(interest: subject)
  }

  // MARK: The hub's to us

  func receiveInterest(_ operation: LeafOperation) {
    guard isEstablished, Subject.isValid(operation.subject) else { return }
    if operation.subject.hasPrefix("$LDS.") {
      if operation.kind == .subscribe, loopMarks.contains(operation.subject) {
        output.append(literal: "-ERR 'Loop detected for leafnode account=\"")
        output.append(account.name)
        output.append(literal: "\". Delaying attempt to reconnect for 30s'\r\n")
        end(.loop)
      }
      return
    }
    let queue = operation.queue.isEmpty ? nil : ByteString(operation.queue)
    let subject = ByteString(operation.subject)
    let key = LeafInterest.key(subject, queue)
    if operation.kind == .unsubscribe {
      if let subscription = remoteInterest.remove(key) { account.remove(subscription) }
    } else if let known = remoteInterest[key] {
      if queue != nil { account.setWeight(operation.weight, of: known) }
    } else {
      guard remoteInterest.count < Self.remoteInterestMax else { return end(.protocolViolation) }
      let subscription = Subscription(
        subject: subject, queue: queue, endpoint: self, weight: queue == nil ? 1 : operation.weight)
      remoteInterest.set(key, subscription)
      account.add(subscription)
    }
  }

  /// A hub that advertises more than this would exhaust a gateway's memory.
  static let remoteInterestMax = 100_000

  func dropRemoteInterest() {
    remoteInterest.forEach { _, subscription in account.remove(subscription) }
    remoteInterest.removeAll()
  }

  // MARK: What crosses

  /// Whether a message may be sent to the hub: JetStream's private subjects and this side's own domain never, the rest as the hub
  /// permits.
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
