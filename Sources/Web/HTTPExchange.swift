// One request on a connection that becomes something else by the answer: a tunnel through a proxy, a WebSocket.
import Bytes
import Platform

/// Why a connection did not become what was asked for.
public enum WebFailure: Error, Equatable {
  /// The connection ended without an answer.
  case closed
  case network(NetworkError)
  case timedOut
  /// What came is no HTTP answer, or has a longer head than any.
  case notHTTP
  /// The status that was answered, with its text.
  case refused(Int, String)
  /// The answer says that this is a WebSocket, but not that it is the one asked for.
  case notWebSocket
}

/// Sends a request, waits for the head of its answer, and lets go of the stream.
public final class HTTPExchange: ByteStreamDelegate {
  private let host: Host
  private let stream: ByteStream
  private let timer = Timer()
  /// Called once: whoever gets an answer must set the stream's delegate, or close it.
  private var done: ((Result<HTTPAnswer, WebFailure>) -> Void)?

  /// Takes `stream` over until `done` is called, which happens once unless cancelled. A failure closes the stream.
  public init(
    host: Host, stream: ByteStream, request: [UInt8], timeout_ns: Int64, done: @escaping (Result<HTTPAnswer, WebFailure>) -> Void
  ) {
    self.host = host
    self.stream = stream
    self.done = done
    stream.delegate = self
    stream.output.append(request)
    stream.wantsFlush()
    host.after(timeout_ns, timer) { self.fail(.timedOut) }
  }

  /// Gives up: the stream is closed, `done` is not called any more.
  public func cancel() {
    done = nil
    host.timers.cancel(timer)
    stream.close()
  }

  public func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard let done else { return bytes.count }
    switch HTTPAnswer.parse(bytes) {
    case .incomplete: return 0
    case .bad:
      fail(.notHTTP)
      return bytes.count
    case .answer(let answer):
      self.done = nil
      host.timers.cancel(timer)
      done(.success(answer))
      // What the peer sent behind its answer is for whoever has the stream now.
      let rest = bytes.dropFirst(answer.head.count)
      guard let next = stream.delegate, next !== self, !stream.isClosed, !rest.isEmpty else { return bytes.count - rest.count }
      return answer.head.count + next.received(rest, on: stream)
    }
  }

  public func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    if case .failed(let error) = reason { fail(.network(error)) } else { fail(.closed) }
  }

  private func fail(_ failure: WebFailure) {
    let done = self.done
    cancel()
    done?(.failure(failure))
  }
}

extension HTTPExchange {
  /// Asks the proxy at the other end of `stream` for a tunnel to `target`, `host:port` (RFC 9110 section 9.3.6). After success the
  /// stream's bytes are those of the target.
  public static func tunnel(
    host: Host, stream: ByteStream, target: ByteString, user: ByteString, password: ByteString, timeout_ns: Int64,
    done: @escaping (Result<ByteStream, WebFailure>) -> Void
  ) -> HTTPExchange {
    var request: [UInt8] = []
    request.append(literal: "CONNECT ")
    request.append(target)
    request.append(literal: " HTTP/1.1\r\nHost: ")
    request.append(target)
    if !user.isEmpty || !password.isEmpty {
      request.append(literal: "\r\nProxy-Authorization: Basic ")
      (user + ":" + password).withView { Base64.encode($0, into: &request) }
    }
    request.append(literal: "\r\n\r\n")
    return HTTPExchange(host: host, stream: stream, request: request, timeout_ns: timeout_ns) { result in
      switch result {
      case .failure(let failure): done(.failure(failure))
      case .success(let answer):
        if answer.status / 100 == 2 {
          done(.success(stream))
        } else {
          stream.close()
          done(.failure(.refused(answer.status, answer.shownStatus)))
        }
      }
    }
  }

  /// Asks the server at the other end of `stream` for a WebSocket at `path`. With `wantsNoMasking` frames go without masks, if the
  /// server is a NATS server that agrees.
  public static func webSocket(
    host: Host, stream: ByteStream, authority: ByteString, path: ByteString, wantsNoMasking: Bool, timeout_ns: Int64,
    done: @escaping (Result<WebSocketStream, WebFailure>) -> Void
  ) -> HTTPExchange {
    var secret: [UInt8] = []
    for _ in 0..<2 {
      let word = host.entropy.next()
      for shift in stride(from: UInt64(0), through: 56, by: 8) { secret.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    var key: [UInt8] = []
    secret.withView { Base64.encode($0, into: &key) }
    var request: [UInt8] = []
    request.append(literal: "GET ")
    request.append(path)
    request.append(literal: " HTTP/1.1\r\nHost: ")
    request.append(authority)
    request.append(literal: "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ")
    request += key
    if wantsNoMasking { request.append(literal: "\r\nNats-No-Masking: true") }
    request.append(literal: "\r\n\r\n")
    let expected = key.withView { WebSocketHandshake.accept($0) }
    return HTTPExchange(host: host, stream: stream, request: request, timeout_ns: timeout_ns) { result in
      switch result {
      case .failure(let failure): done(.failure(failure))
      case .success(let answer):
        if let failure = problem(answer, expected: expected) {
          stream.close()
          return done(.failure(failure))
        }
        let isUnmasked = wantsNoMasking && answer.head.first(WebSocketHandshake.noMasking)?.equals("true") ?? false
        done(.success(WebSocketStream(client: stream, masks: isUnmasked ? nil : host.entropy)))
      }
    }
  }

  /// Why an answer does not make a WebSocket (RFC 6455 section 4.1). Nothing was offered that the server could choose.
  private static func problem(_ answer: HTTPAnswer, expected: [UInt8]) -> WebFailure? {
    guard answer.status == 101 else { return .refused(answer.status, answer.shownStatus) }
    let head = answer.head
    let accept = head.first("sec-websocket-accept") ?? ByteView()
    let isOurs = expected.withView { $0 == accept }
    guard isOurs, head.has("upgrade", token: "websocket"), head.has("connection", token: "upgrade"),
      head.first("sec-websocket-extensions") == nil, head.first("sec-websocket-protocol") == nil
    else { return .notWebSocket }
    return nil
  }
}
