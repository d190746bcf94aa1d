// What one account imports, while it is in force.
import Bytes
import Identity
import Interest
import Platform

/// The imports of one account.
final class AccountSharing: InterestObserver {
  unowned(unsafe) private let account: Account  // safe: the account owns it
  private(set) var streams: [StreamImport] = []
  private(set) var services: [ServiceImport] = []

  init(account: Account) { self.account = account }

  func add(_ service: ServiceImport) {
    services.append(service)
    service.start()
  }

  func add(_ stream: StreamImport) {
    if streams.isEmpty { account.observe(self) }
    streams.append(stream)
    account.interest.forEach { _, _, subscription, _ in stream.added(subscription) }
  }

  func interestChanged(_ subscription: Subscription, added: Bool) {
    for stream in streams { added ? stream.added(subscription) : stream.removed(subscription) }
  }

  func weightChanged(_ subscription: Subscription, by difference: Int) {
    for stream in streams { stream.weightChanged(subscription) }
  }

  // MARK: Change of rules

  /// Each import has to be asked for again by `keeps`, or goes with `dropOthers`.
  func reconsider() {
    for stream in streams { stream.stays = false }
    for service in services { service.stays = false }
  }

  /// Whether the import is in force already, as it is to be.
  func keeps(_ rule: ImportRule, _ subject: SharedSubject) -> Bool {
    if let stream = streams.first(where: { !$0.stays && $0.isLike(rule, subject) }) {
      stream.stays = true
      return true
    }
    guard let service = services.first(where: { !$0.stays && $0.isLike(rule, subject) }) else { return false }
    service.stays = true
    return true
  }

  func dropOthers() {
    for service in services where !service.stays { service.stop() }
    services.removeAll { !$0.stays }
    guard !streams.isEmpty else { return }
    for stream in streams where !stream.stays { stream.stop() }
    streams.removeAll { !$0.stays }
    if streams.isEmpty { account.stopObserving(self) }
  }
}
