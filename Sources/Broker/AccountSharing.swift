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

  func stop() {
    if !streams.isEmpty { account.stopObserving(self) }
    for stream in streams { stream.stop() }
    for service in services { service.stop() }
    streams = []
    services = []
  }
}
