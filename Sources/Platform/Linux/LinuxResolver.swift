// Names to addresses by c-ares, whose sockets and timeouts live on the event loop. glibc's resolver is never asked: it blocks,
// and a static binary cannot load its modules.
import Bytes
import CAres
import CLinux

/// Asynchronous name resolution. The c-ares channel exists only while something is asked, so that a changed /etc/resolv.conf
/// counts from the next question on, and an idle agent holds no memory for it.
final class LinuxResolver {
  /// Addresses of one name that are used; more would only be a way to make an agent knock at many doors.
  static let addressesMax = 16
  /// Wait for the first answer of one server; c-ares lengthens it from try to try.
  static let timeout_ms: Int32 = 2000
  static let tries: Int32 = 3
  /// The longest name that DNS allows (RFC 1035, 2.3.4).
  static let nameMax = 253
  /// SOCK_STREAM, which one C library spells as an enumeration and the other as a macro.
  static let streamSocket: Int32 = 1

  private let loop: LinuxLoop
  private var channel: ares_channel?
  private var sockets: [ResolverSocket] = []
  private var pending = 0
  private let timer = Timer()

  init(loop: LinuxLoop) { self.loop = loop }

  func resolve(_ host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) {
    if let address = SocketAddress(literal: host, port: port) {
      loop.nextTurn { done(.success([address])) }
      return
    }
    let length = host.utf8.count
    guard length > 0, length <= Self.nameMax, !host.utf8.contains(0) else {
      loop.nextTurn { done(.failure(.nameNotFound(host))) }
      return
    }
    guard let channel = openChannel() else {
      loop.nextTurn { done(.failure(.nameServerFailed(host))) }
      return
    }
    let question = Question(resolver: self, host: host, port: port, done: done)
    pending += 1
    var hints = ares_addrinfo_hints()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = LinuxResolver.streamSocket
    // c-ares calls back exactly once, with the question that is retained here.
    host.withCString { name in
      ares_getaddrinfo(
        channel, name, nil, &hints,
        { argument, status, _, result in
          Unmanaged<Question>.fromOpaque(argument!).takeRetainedValue().answered(status, result)
        }, Unmanaged.passRetained(question).toOpaque())
    }
    rearm()
  }

  private func openChannel() -> ares_channel? {
    if let channel { return channel }
    var options = ares_options()
    options.timeout = Self.timeout_ms
    options.tries = Self.tries
    options.sock_state_cb = { argument, fd, readable, writable in
      // Safe: the channel is destroyed before the resolver goes; the resolver lives as long as the network.
      Unmanaged<LinuxResolver>.fromOpaque(argument!).takeUnretainedValue().watch(fd, readable: readable != 0, writable: writable != 0)
    }
    options.sock_state_cb_data = Unmanaged.passUnretained(self).toOpaque()
    let made = "fb".withCString { lookups in
      options.lookups = UnsafeMutablePointer(mutating: lookups)  // c-ares copies it: files, then DNS
      return ares_init_options(&channel, &options, LinuxResolver.optionMask)
    }
    if made != 0 { channel = nil }
    return channel
  }

  // ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS
  private static let optionMask: Int32 = 1 << 13 | 1 << 2 | 1 << 9 | 1 << 8

  private func watch(_ fd: Int32, readable: Bool, writable: Bool) {
    let events = (readable ? Epoll.input : 0) | (writable ? Epoll.output : 0)
    if let index = sockets.firstIndex(where: { $0.fd == fd }) {
      if events == 0 {
        loop.unwatch(fd)
        sockets.remove(at: index)
      } else {
        loop.change(fd, events)
      }
    } else if events != 0 {
      let socket = ResolverSocket(resolver: self, fd: fd)
      if loop.watch(fd, events, socket) { sockets.append(socket) }
    }
  }

  fileprivate func ready(_ fd: Int32, _ events: UInt32) {
    guard let channel else { return }
    let failed = events & (Epoll.error | Epoll.hangUp) != 0
    let none = ares_socket_t(-1)
    ares_process_fd(channel, failed || events & Epoll.input != 0 ? fd : none, failed || events & Epoll.output != 0 ? fd : none)
    rearm()
  }

  /// Sets the timer to what c-ares waits for, or closes the channel when nothing is asked any more.
  private func rearm() {
    guard let channel else { return }
    if pending == 0 {
      loop.timers.cancel(timer)
      // Not from within a callback of c-ares.
      loop.nextTurn { self.closeIfIdle() }
      return
    }
    var wait = timeval()
    guard ares_timeout(channel, nil, &wait) != nil else { return }
    let wait_ns = Int64(wait.tv_sec) * second_ns + Int64(wait.tv_usec) * 1000
    loop.timers.schedule(timer, at: loop.clock.monotonic_ns + wait_ns) {
      if let channel = self.channel { ares_process_fd(channel, -1, -1) }
      self.rearm()
    }
  }

  private func closeIfIdle() {
    guard pending == 0, let channel else { return }
    ares_destroy(channel)
    self.channel = nil
  }

  fileprivate func answered() { pending -= 1 }

  /// Answers in the next turn: c-ares may call back from within `resolve`.
  fileprivate func tell(_ answer: @escaping () -> Void) { loop.nextTurn(answer) }
}

/// One of c-ares' sockets.
private final class ResolverSocket: EventSource {
  let fd: Int32
  private let resolver: LinuxResolver

  init(resolver: LinuxResolver, fd: Int32) {
    self.resolver = resolver
    self.fd = fd
  }

  func ready(_ events: UInt32) { resolver.ready(fd, events) }
}

/// A name that is being asked for.
private final class Question {
  private let resolver: LinuxResolver
  private let host: String
  private let port: UInt16
  private let done: (Result<[SocketAddress], NetworkError>) -> Void

  init(resolver: LinuxResolver, host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) {
    self.resolver = resolver
    self.host = host
    self.port = port
    self.done = done
  }

  func answered(_ status: Int32, _ result: UnsafeMutablePointer<ares_addrinfo>?) {
    resolver.answered()
    let addresses = addresses(of: result)
    if let result { ares_freeaddrinfo(result) }
    let answer: Result<[SocketAddress], NetworkError>
    if !addresses.isEmpty {
      answer = .success(addresses)
    } else if status == 0 || status == ARES_ENODATA || status == ARES_ENOTFOUND {
      answer = .failure(.nameNotFound(host))
    } else {
      answer = .failure(.nameServerFailed(host))
    }
    let done = done
    resolver.tell { done(answer) }
  }

  private func addresses(of result: UnsafeMutablePointer<ares_addrinfo>?) -> [SocketAddress] {
    var addresses: [SocketAddress] = []
    var node = result?.pointee.nodes
    while let entry = node, addresses.count < LinuxResolver.addressesMax {
      node = entry.pointee.ai_next
      guard let raw = entry.pointee.ai_addr else { continue }
      let bytes = UnsafeRawPointer(raw)
      var address: SocketAddress?
      if entry.pointee.ai_family == AF_INET, Int(entry.pointee.ai_addrlen) >= MemoryLayout<sockaddr_in>.size {
        address = withUnsafeBytes(of: bytes.loadUnaligned(as: sockaddr_in.self).sin_addr) {
          SocketAddress(address: [UInt8]($0), port: port)
        }
      } else if entry.pointee.ai_family == AF_INET6, Int(entry.pointee.ai_addrlen) >= MemoryLayout<sockaddr_in6>.size {
        address = withUnsafeBytes(of: bytes.loadUnaligned(as: sockaddr_in6.self).sin6_addr) {
          SocketAddress(address: [UInt8]($0), port: port)
        }
      }
      if let address, !addresses.contains(address) { addresses.append(address) }
    }
    return addresses
  }
}
