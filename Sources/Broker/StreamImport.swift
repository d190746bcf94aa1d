// Messages that an importing account sees of what is published in the exporting one: each subscription there that may match gets one
// beside it here (nats-server calls them shadow subscriptions), so that only what somebody wants is looked at.
import Bytes
import Identity
import Interest

/// The messages of another account that an account imports.
final class StreamImport {
  let rule: ImportRule
  /// Whether it outlives a change of the rules.
  var stays = true
  private let pairing: SubjectPairing
  unowned(unsafe) let importer: Account  // safe: the broker keeps accounts
  unowned(unsafe) let exporter: Account  // likewise
  private let sharing: SharingContext
  /// The subscriptions in the exporting account, by those in the importing one that they stand for.
  private var shadows: [ObjectIdentifier: Subscription] = [:]
  private var leafs: [ObjectIdentifier: ImportedLeaf] = [:]

  init(_ rule: ImportRule, pairing: SubjectPairing, importer: Account, exporter: Account, sharing: SharingContext) {
    self.rule = rule
    self.pairing = pairing
    self.importer = importer
    self.exporter = exporter
    self.sharing = sharing
  }

  func isLike(_ rule: ImportRule, _ subject: SharedSubject) -> Bool {
    rule == self.rule && subject.pairing.exportedPattern == pairing.exportedPattern
      && subject.pairing.localPattern == pairing.localPattern
  }

  func added(_ subscription: Subscription) {
    guard subscription.origin == .own,
      let within = subscription.subject.withView({ subject in pairing.localPattern.withView { Subject.intersection(subject, $0) } }),
      let subject = within.withView({ pairing.exported(of: $0) })
    else { return }
    let shadow: Subscription
    if subscription.kind == .leaf {
      let leaf = leaf(subscription.endpoint)
      leaf.shadowCount += 1
      shadow = Subscription(subject: subject, queue: subscription.queue, endpoint: leaf, weight: subscription.weight, origin: .shared)
    } else {
      // Safe: a shadow goes before what it stands for.
      shadow = Subscription(subject: subject, queue: subscription.queue, endpoint: exporter.services, origin: .shared) {
        [unowned(unsafe) self, unowned(unsafe) subscription] message, source in
        guard !sharing.isPassing else { return false }
        // The last delivery that was asked for removes it, and this shadow.
        let kept = subscription
        return withExtendedLifetime(kept) { asImported(message) { importer.give($0, kept, source) } }
      }
    }
    shadows[ObjectIdentifier(subscription)] = shadow
    exporter.add(shadow)
  }

  func removed(_ subscription: Subscription) {
    guard let shadow = shadows.removeValue(forKey: ObjectIdentifier(subscription)) else { return }
    exporter.remove(shadow)
    guard subscription.kind == .leaf, let leaf = leafs[ObjectIdentifier(subscription.endpoint)] else { return }
    leaf.shadowCount -= 1
    if leaf.shadowCount == 0 { leafs[ObjectIdentifier(subscription.endpoint)] = nil }
  }

  func weightChanged(_ subscription: Subscription) {
    if let shadow = shadows[ObjectIdentifier(subscription)] { exporter.setWeight(subscription.weight, of: shadow) }
  }

  func stop() {
    for shadow in shadows.values { exporter.remove(shadow) }
    shadows = [:]
    leafs = [:]
  }

  /// Passes `message` to `give` as the importing account sees it. It goes where the subject that it was published on leads: what a stream's
  /// delivery shows beside that is the exporting account's choice, and only shown.
  fileprivate func asImported(_ message: Message, _ give: (Message) -> Bool) -> Bool {
    guard let subject = pairing.local(of: message.subject) else { return false }
    let shown = message.presentedSubject.isEmpty ? nil : pairing.local(of: message.presentedSubject)
    return subject.withView { subject in
      var copy = message
      copy.subject = subject
      guard let shown else { return give(copy) }
      return shown.withView { shown in
        copy.presentedSubject = shown
        return give(copy)
      }
    }
  }

  fileprivate var isPassing: Bool { sharing.isPassing }

  private func leaf(_ endpoint: Endpoint) -> ImportedLeaf {
    if let known = leafs[ObjectIdentifier(endpoint)] { return known }
    let made = ImportedLeaf(endpoint, self, exporter)
    leafs[ObjectIdentifier(endpoint)] = made
    return made
  }
}

/// A leaf link of the importing account, as the exporting one sees it: it too gets each message once.
private final class ImportedLeaf: Endpoint {
  unowned(unsafe) private let leaf: Endpoint  // safe: it takes its subscriptions away before it goes, and with them the shadows
  unowned(unsafe) private let stream: StreamImport  // safe: the shadows go with it
  var shadowCount = 0

  init(_ leaf: Endpoint, _ stream: StreamImport, _ account: Account) {
    self.leaf = leaf
    self.stream = stream
    super.init(kind: .leaf, id: leaf.id, account: account)
  }

  override var represented: Endpoint { leaf.represented }

  override func isReachable(from source: Endpoint) -> Bool { leaf.isReachable(from: source) }

  override func takes(_ message: Message) -> Bool {
    !stream.isPassing && stream.asImported(message) { Self.mayCross($0) && leaf.takes($0) }
  }

  override func deliverOnce(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    !stream.isPassing && stream.asImported(message) { Self.mayCross($0) && leaf.deliverOnce($0, queues: queues, from: source) }
  }

  /// The JetStream of a server behind the link is no more the exporter's to administer than this one's.
  private static func mayCross(_ message: Message) -> Bool {
    !(message.subject.hasPrefix("$JS.") && message.subject.contains(".API."))
  }
}
