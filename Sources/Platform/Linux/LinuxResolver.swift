// Names to addresses: the C library's resolver on threads of its own (CLinux/resolver.c), its answers on the event loop.
import Bytes
import CLinux

/// Asynchronous name resolution. Nothing is kept between questions: neither threads nor a cache.
final class LinuxResolver {
  /// Questions that are asked at the same time; more wait for their turn.
  static let lookupsMax = 8
  /// Questions that may wait; any more are answered as if there were no name server.
  static let waitingMax = 1024
  /// The longest name that DNS allows (RFC 1035, 2.3.4).
  static let nameMax = 253

  private let loop: LinuxLoop
  private var lookups: [Lookup] = []
  private var waiting: [Question] = []
  var waitingCount: Int { waiting.count }

  init(loop: LinuxLoop) { self.loop = loop }

  func resolve(_ host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) -> any ConnectAttempt {
    let question = Question(resolver: self, host: host, port: port, done: done)
    if let address = SocketAddress(literal: host, port: port) {
      loop.nextTurn { question.answer(.success([address])) }
      return question
    }
    let length = host.utf8.count
    guard length > 0, length <= Self.nameMax, !host.utf8.contains(0) else {
      loop.nextTurn { question.answer(.failure(.nameNotFound(host))) }
      return question
    }
    guard waiting.count < Self.waitingMax else {
      loop.nextTurn { question.answer(.failure(.nameServerFailed(host))) }
      return question
    }
    waiting.append(question)
    startWaiting()
    return question
  }

  private func startWaiting() {
    while !waiting.isEmpty, lookups.count < Self.lookupsMax {
      let question = waiting.removeFirst()
      guard let handle = question.host.withCString({ linux_lookup_start($0) }) else {
        loop.nextTurn { question.answer(.failure(.nameServerFailed(question.host))) }
        continue
      }
      let lookup = Lookup(resolver: self, question: question, handle: handle)
      guard loop.watch(linux_lookup_fd(handle), Epoll.input, lookup) else {
        linux_lookup_end(handle)
        loop.nextTurn { question.answer(.failure(.nameServerFailed(question.host))) }
        continue
      }
      lookups.append(lookup)
    }
  }

  /// Nobody waits for the answer any more. One that is being asked for keeps its place until the C library is done with it.
  fileprivate func forget(_ question: Question) { waiting.removeAll { $0 === question } }

  fileprivate func ended(_ lookup: Lookup) {
    loop.unwatch(linux_lookup_fd(lookup.handle))
    linux_lookup_end(lookup.handle)
    lookups.removeAll { $0 === lookup }
    startWaiting()
  }
}

/// A name whose addresses somebody wants.
private final class Question: ConnectAttempt {
  private let resolver: LinuxResolver
  let host: String
  let port: UInt16
  private var done: ((Result<[SocketAddress], NetworkError>) -> Void)?

  init(resolver: LinuxResolver, host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) {
    self.resolver = resolver
    self.host = host
    self.port = port
    self.done = done
  }

  func answer(_ result: Result<[SocketAddress], NetworkError>) {
    let done = self.done
    self.done = nil
    done?(result)
  }

  func cancel() {
    guard done != nil else { return }
    done = nil
    resolver.forget(self)
  }
}

/// A name that is being asked for.
private final class Lookup: EventSource {
  private let resolver: LinuxResolver
  private let question: Question
  let handle: OpaquePointer

  init(resolver: LinuxResolver, question: Question, handle: OpaquePointer) {
    self.resolver = resolver
    self.question = question
    self.handle = handle
  }

  func ready(_ events: UInt32) {
    var count: Int32 = 0
    var found: [SocketAddress] = []
    let result = withUnsafeTemporaryAllocation(of: linux_host_address.self, capacity: Int(LINUX_LOOKUP_ADDRESSES_MAX)) { room in
      let result = linux_lookup_result(handle, room.baseAddress!, &count)
      for address in room.prefix(Int(count)) {
        found.append(
          SocketAddress(address: withUnsafeBytes(of: address.bytes) { [UInt8]($0.prefix(Int(address.size))) }, port: question.port))
      }
      return result
    }
    if result == LINUX_LOOKUP_PENDING { return }
    resolver.ended(self)
    if !found.isEmpty {
      question.answer(.success(found))
    } else {
      question.answer(.failure(result == LINUX_LOOKUP_FAILED ? .nameServerFailed(question.host) : .nameNotFound(question.host)))
    }
  }
}
