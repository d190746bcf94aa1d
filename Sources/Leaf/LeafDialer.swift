// From a leaf listener's address to a stream of the leaf protocol's bytes: resolve, connect, a tunnel through a proxy, a WebSocket
// and the TLS around it. TLS of a plain link is the link's own, since it may follow INFO.
import Bytes
import Platform
import Web

/// A connection on which the hub will say INFO.
public struct LeafConnection {
  public let stream: ByteStream
  /// INFO comes one round trip to the hub after this.
  public let asked_ns: Int64
  /// How long the kernel took to connect, to the proxy where there is one.
  public let connect_us: Int64
}

/// How often a dial that is under way may be given up because the network has changed: a network that changes all the time must not keep
/// every dial from ending.
public struct DialRestarts {
  private var last_ns: Int64?

  public init() {}

  /// Whether it may be now; `timeout_ns` is how long a dial may take.
  public mutating func permit(now_ns: Int64, timeout_ns: Int64) -> Bool {
    if let last_ns, now_ns - last_ns < timeout_ns { return false }
    last_ns = now_ns
    return true
  }
}

/// One attempt to reach a hub, at one of its addresses. Give it up with `cancel`.
public final class LeafDial {
  /// Shorter than this no connection attempt is given up: over a satellite the answer takes two seconds, and three when the first segment
  /// was lost.
  public static let timeoutMin_ns = 5 * second_ns

  private let host: Host
  private let endpoint: LeafEndpoint
  private let tls: LeafTLS
  private let timeout_ns: Int64
  private var question: (any ConnectAttempt)?
  private var attempt: (any ConnectAttempt)?
  private var opening: LeafTLSOpening?
  private var exchange: HTTPExchange?
  private var done: ((Result<LeafConnection, LeafFailure>) -> Void)?
  private var connecting_ns: Int64 = 0
  private var connect_us: Int64 = 0

  /// `turn` chooses among several addresses of the host; each step may take `timeout_ns`. `done` is called once, unless cancelled.
  public init(
    host: Host, endpoint: LeafEndpoint, tls: LeafTLS, turn: Int, timeout_ns: Int64,
    done: @escaping (Result<LeafConnection, LeafFailure>) -> Void
  ) {
    self.host = host
    self.endpoint = endpoint
    self.tls = tls
    self.timeout_ns = timeout_ns
    self.done = done
    let proxy = endpoint.proxy
    question = host.network.resolve(proxy?.hostName ?? endpoint.hostName, port: proxy?.port ?? endpoint.port) { result in
      self.question = nil
      switch result {
      case .failure(let error): self.failed(error)
      case .success(let addresses):
        precondition(!addresses.isEmpty, "a name that resolves has an address")
        self.connect(addresses[turn % addresses.count])
      }
    }
  }

  private func connect(_ address: SocketAddress) {
    connecting_ns = host.clock.monotonic_ns
    attempt = host.network.connect(address, timeout_ns: endpoint.proxy?.timeout_ns ?? timeout_ns) { result in
      self.attempt = nil
      switch result {
      case .failure(let error): self.failed(error)
      case .success(let stream): self.connected(stream)
      }
    }
  }

  private func connected(_ stream: ByteStream) {
    let now_ns = host.clock.monotonic_ns
    connect_us = stream.kernelRTT_us.map { Int64($0) } ?? (now_ns - connecting_ns) / 1000
    guard let proxy = endpoint.proxy else {
      // A busy loop hears late that the connection is there; the kernel knows how long it took.
      return reached(stream, asked_ns: min(now_ns, connecting_ns + connect_us * 1000))
    }
    exchange = HTTPExchange.tunnel(
      host: host, stream: stream, target: endpoint.authority, user: proxy.user, password: proxy.password,
      timeout_ns: proxy.timeout_ns ?? timeout_ns
    ) { result in
      self.exchange = nil
      switch result {
      case .failure(.refused(407, _)): self.finish(.failure(.proxyAuthentication(wasGiven: !proxy.user.isEmpty)))
      case .failure(let failure): self.finish(.failure(.proxy(failure)))
      case .success(let stream):
        // The proxy says that it is connected, and INFO follows after its round trip to the hub; ours to the proxy comes on top.
        self.reached(stream, asked_ns: self.host.clock.monotonic_ns - self.connect_us * 1000)
      }
    }
  }

  /// The stream leads to the hub.
  private func reached(_ stream: ByteStream, asked_ns: Int64) {
    guard let webSocket = endpoint.webSocket else { return finish(stream, asked_ns: asked_ns) }
    guard tls.isRequired else { return request(webSocket, stream) }
    do throws(TLSError) {
      opening = LeafTLSOpening(try tls.secured(stream, name: endpoint.secureName, host: host)) { result in
        self.opening = nil
        switch result {
        case .failure(let failure): self.finish(.failure(failure))
        case .success(let secure): self.request(webSocket, secure)
        }
      }
    } catch {
      stream.close()
      finish(.failure(.tls(error)))
    }
  }

  /// HTTP begins on the stream.
  private func request(_ webSocket: LeafWebSocket, _ stream: ByteStream) {
    let asked_ns = host.clock.monotonic_ns
    exchange = HTTPExchange.webSocket(
      host: host, stream: stream, authority: endpoint.authority, path: webSocket.leafPath, wantsNoMasking: webSocket.wantsNoMasking,
      timeout_ns: timeout_ns
    ) { result in
      self.exchange = nil
      switch result {
      case .failure(.network(let error)): self.finish(.failure(.network(error)))
      case .failure(let failure): self.finish(.failure(.webSocket(failure)))
      case .success(let socket): self.finish(socket, asked_ns: asked_ns)
      }
    }
  }

  private func failed(_ error: NetworkError) {
    finish(.failure(endpoint.proxy == nil ? .network(error) : .proxy(.network(error))))
  }

  private func finish(_ stream: ByteStream, asked_ns: Int64) {
    finish(.success(LeafConnection(stream: stream, asked_ns: asked_ns, connect_us: connect_us)))
  }

  private func finish(_ result: Result<LeafConnection, LeafFailure>) {
    let done = self.done
    self.done = nil
    done?(result)
  }

  public func cancel() {
    done = nil
    question?.cancel()
    question = nil
    attempt?.cancel()
    attempt = nil
    opening?.cancel()
    opening = nil
    exchange?.cancel()
    exchange = nil
  }
}
