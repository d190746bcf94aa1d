// Listening and connecting on the event loop. Names are resolved in LinuxResolver.
import Bytes
import CLinux

/// TCP by the kernel.
public final class LinuxNetwork: Network {
  /// Connections that the kernel holds ready for `accept`; the kernel caps it at net.core.somaxconn.
  static let backlog: Int32 = 4096
  private let loop: LinuxLoop
  private let resolver: LinuxResolver
  private var watch: LinuxNetworkWatch?

  public init(loop: LinuxLoop) {
    self.loop = loop
    resolver = LinuxResolver(loop: loop)
  }

  public func listen(_ address: SocketAddress, accepted: @escaping (ByteStream) -> Void) throws(NetworkError) -> any Listener {
    var raw = address.raw
    let fd = linux_listen(&raw, Self.backlog)
    if fd < 0 { throw NetworkError(errno: linux_errno()) }
    _ = linux_local_address(fd, &raw)
    // The port may be new, the address stays as it was asked for ("::" would come back as 0.0.0.0 if it were IPv4-mapped).
    let local = SocketAddress(address: address.address, port: raw.port)
    let listener = LinuxListener(loop: loop, fd: fd, local: local, accepted: accepted)
    guard loop.watch(fd, Epoll.input, listener) else {
      let error = NetworkError(errno: linux_errno())
      _ = CLinux.close(fd)
      throw error
    }
    return listener
  }

  public func connect(
    _ address: SocketAddress, timeout_ns: Int64, done: @escaping (Result<ByteStream, NetworkError>) -> Void
  ) -> any ConnectAttempt {
    let attempt = LinuxConnectAttempt(loop: loop, remote: address, done: done)
    attempt.start(timeout_ns: timeout_ns)
    return attempt
  }

  public func resolve(_ host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) -> any ConnectAttempt {
    resolver.resolve(host, port: port, done: done)
  }

  public func watchChanges(_ changed: @escaping (NetworkChange) -> Void) -> Bool {
    precondition(watch == nil, "the network has one watcher")
    watch = LinuxNetworkWatch(loop: loop, changed: changed)
    return watch != nil
  }
}

/// A listening socket on the event loop.
final class LinuxListener: Listener, EventSource {
  /// Connections taken in one turn, so that a flood of them cannot starve those that are there.
  static let acceptBudget = 64
  /// How long to wait when there is no descriptor or memory left: the connection stays in the kernel's queue meanwhile.
  static let pause_ns = 100 * millisecond_ns

  let local: SocketAddress
  private let loop: LinuxLoop
  private let fd: Int32
  private var isOpen = true
  private let accepted: (ByteStream) -> Void
  private let resume = Timer()

  init(loop: LinuxLoop, fd: Int32, local: SocketAddress, accepted: @escaping (ByteStream) -> Void) {
    self.loop = loop
    self.fd = fd
    self.local = local
    self.accepted = accepted
  }

  deinit {
    if isOpen { _ = CLinux.close(fd) }
  }

  func ready(_ events: UInt32) {
    for _ in 0..<Self.acceptBudget where isOpen {
      var raw = linux_address()
      let connection = linux_accept(fd, &raw)
      if connection >= 0 {
        take(connection, remote: raw)
        continue
      }
      switch linux_errno() {
      case EAGAIN: return
      // Errors of the connection that was to be accepted, not of the listener (accept(2)).
      case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENOPROTOOPT, ENONET, EOPNOTSUPP, EPERM: continue
      default:
        pause()
        return
      }
    }
  }

  private func take(_ connection: Int32, remote: linux_address) {
    var address = local
    if local.isWildcard {
      var raw = linux_address()
      if linux_local_address(connection, &raw) == 0 { address = SocketAddress(raw) }
    }
    let stream = LinuxStream(loop: loop, fd: connection, remote: SocketAddress(remote), local: address)
    // When the kernel cannot watch it, the stream is dropped, which closes the connection.
    if loop.watch(connection, Epoll.input, stream) { accepted(stream) }
  }

  private func pause() {
    loop.change(fd, 0)
    loop.timers.schedule(resume, at: loop.clock.monotonic_ns + Self.pause_ns) {
      if self.isOpen { self.loop.change(self.fd, Epoll.input) }
    }
  }

  func close() {
    guard isOpen else { return }
    isOpen = false
    loop.timers.cancel(resume)
    loop.unwatch(fd)
    _ = CLinux.close(fd)
  }
}

/// A connection that is being made.
final class LinuxConnectAttempt: ConnectAttempt, EventSource {
  private let loop: LinuxLoop
  private let remote: SocketAddress
  private var done: ((Result<ByteStream, NetworkError>) -> Void)?
  private var fd: Int32 = -1
  private let timer = Timer()

  init(loop: LinuxLoop, remote: SocketAddress, done: @escaping (Result<ByteStream, NetworkError>) -> Void) {
    self.loop = loop
    self.remote = remote
    self.done = done
  }

  deinit {
    if fd >= 0 { _ = CLinux.close(fd) }
  }

  func start(timeout_ns: Int64) {
    var raw = remote.raw
    fd = linux_connect(&raw)
    if fd < 0 {
      failLater(NetworkError(errno: linux_errno()))
    } else if !loop.watch(fd, Epoll.output, self) {
      failLater(NetworkError(errno: linux_errno()))
    } else {
      loop.timers.schedule(timer, at: loop.clock.monotonic_ns + timeout_ns) { self.fail(.timedOut) }
    }
  }

  func ready(_ events: UInt32) {
    let error = linux_socket_error(fd)
    if error != 0 {
      fail(NetworkError(errno: error))
      return
    }
    guard let done else { return }
    loop.timers.cancel(timer)
    var raw = linux_address()
    _ = linux_local_address(fd, &raw)
    let stream = LinuxStream(loop: loop, fd: fd, remote: remote, local: SocketAddress(raw))
    loop.replace(fd, stream)
    loop.change(fd, Epoll.input)
    fd = -1
    self.done = nil
    done(.success(stream))
  }

  private func failLater(_ error: NetworkError) { loop.nextTurn { self.fail(error) } }

  private func fail(_ error: NetworkError) {
    let done = self.done
    cancel()
    done?(.failure(error))
  }

  func cancel() {
    done = nil
    loop.timers.cancel(timer)
    if fd >= 0 {
      loop.unwatch(fd)
      _ = CLinux.close(fd)
      fd = -1
    }
  }
}
