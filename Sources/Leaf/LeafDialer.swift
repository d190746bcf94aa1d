// From a hub's configured address to a leaf link: resolve, connect, hand over to LeafLink.
import Broker
import Bytes
import Platform

/// Where a hub listens for leafs.
public struct LeafEndpoint: Equatable {
  public var hostName: String
  public var port: UInt16
  public var user = ByteString()
  public var password = ByteString()
  /// What the server's certificate must be for; empty: the host name.
  public var certificateName = ByteString()

  public init(hostName: String, port: UInt16, user: ByteString = ByteString(), password: ByteString = ByteString()) {
    self.hostName = hostName
    self.port = port
    self.user = user
    self.password = password
  }

  /// Who the server's certificate must name.
  public var secureName: ByteString { certificateName.isEmpty ? ByteString(hostName) : certificateName }

  public var text: String { "\(hostName):\(port)" }
}

/// One attempt to reach a hub, at one of its addresses. Give it up with `cancel`.
public final class LeafDial {
  /// Shorter than this no connection attempt is given up (RFC 6298 starts with a second, LTE takes its time).
  public static let timeoutMin_ns = 3 * second_ns

  private let host: Host
  private var attempt: (any ConnectAttempt)?
  private var done: ((Result<ByteStream, NetworkError>) -> Void)?
  /// When the connection was asked for: behind resolving.
  public private(set) var connecting_ns: Int64

  /// Resolves and connects; `turn` chooses among several addresses. `done` is called once, unless cancelled.
  public init(
    host: Host, endpoint: LeafEndpoint, turn: Int, timeout_ns: Int64, done: @escaping (Result<ByteStream, NetworkError>) -> Void
  ) {
    self.host = host
    self.done = done
    connecting_ns = host.clock.monotonic_ns
    host.network.resolve(endpoint.hostName, port: endpoint.port) { result in
      guard self.done != nil else { return }
      switch result {
      case .failure(let error): self.finish(.failure(error))
      case .success(let addresses):
        precondition(!addresses.isEmpty, "a name that resolves has an address")
        self.connecting_ns = host.clock.monotonic_ns
        self.attempt = host.network.connect(addresses[turn % addresses.count], timeout_ns: timeout_ns) { self.finish($0) }
      }
    }
  }

  private func finish(_ result: Result<ByteStream, NetworkError>) {
    attempt = nil
    let done = self.done
    self.done = nil
    done?(result)
  }

  public func cancel() {
    done = nil
    attempt?.cancel()
    attempt = nil
  }
}
