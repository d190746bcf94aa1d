// What the broker tells of its clients.

/// Told what happens to clients.
public protocol BrokerObserver: AnyObject {
  /// A client has said CONNECT, and was let in.
  func clientConnected(_ client: ClientConnection)
  /// A client's connection is over, whether it had been let in or not.
  func clientLeft(_ client: ClientConnection, wasAdmitted: Bool)
  /// A client said who it is, and was not let in.
  func clientRefused(_ client: ClientConnection, _ cause: CloseCause)
}
