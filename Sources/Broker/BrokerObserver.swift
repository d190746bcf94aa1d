// What the broker tells of its clients.

/// Told what happens to clients.
public protocol BrokerObserver: AnyObject {
  /// A client said who it is, and was not believed.
  func clientRefused(_ client: ClientConnection)
}
