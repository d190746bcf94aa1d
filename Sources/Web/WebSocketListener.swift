// Accepting WebSockets: a listener whose connections begin in HTTP, or in TLS and then HTTP. What makes a WebSocket of one is decided in WebSocketUpgrade.
import Bytes
import Platform

/// Listens for connections and hands over those that have become WebSockets.
public final class WebSocketListener {
  /// Connections that are not WebSockets yet, at a time. Beyond that the oldest goes: whoever opens many and says nothing must not keep
  /// others out.
  static let handshakesMax = 1024

  let host: Host
  public let rules: WebSocketRules
  private let accepted: (WebSocketStream, WebSocketUpgrade) -> Void
  private var listener: (any Listener)?
  /// The certificate of connections that are made from now on; nil: they begin in the clear.
  public var tls: TLSContext?
  /// Connections that are not WebSockets yet, oldest first.
  private var handshakes: [WebSocketAcceptor] = []

  /// `accepted` gets each WebSocket and must set its delegate at once.
  public init(host: Host, rules: WebSocketRules, accepted: @escaping (WebSocketStream, WebSocketUpgrade) -> Void) {
    self.host = host
    self.rules = rules
    self.accepted = accepted
  }

  public var address: SocketAddress? { listener?.local }

  public func listen(_ address: SocketAddress) throws(NetworkError) {
    listener = try host.network.listen(address) { [unowned(unsafe) self] stream in self.take(stream) }  // safe: closed before this goes
  }

  /// Begins the handshake on a connection.
  private func take(_ stream: ByteStream) {
    if handshakes.count >= Self.handshakesMax { handshakes[0].giveWay() }
    guard let tls else {
      _ = WebSocketAcceptor(listener: self, stream: stream)
      return
    }
    let secure = TLSStream(over: stream, context: tls, serverName: nil, host: host, timeout_ns: rules.handshakeTimeout_ns)
    _ = WebSocketAcceptor(listener: self, stream: secure)
    secure.start()
  }

  fileprivate func began(_ handshake: WebSocketAcceptor) { handshakes.append(handshake) }
  fileprivate func ended(_ handshake: WebSocketAcceptor) { handshakes.removeAll { $0 === handshake } }

  fileprivate var isOpen: Bool { listener != nil }

  fileprivate func hand(over stream: WebSocketStream, _ upgrade: WebSocketUpgrade) { accepted(stream, upgrade) }

  /// Stops listening; connections that are not WebSockets yet do not become any.
  public func close() {
    listener?.close()
    listener = nil
  }
}

/// A connection until it is a WebSocket. The stream holds it.
private final class WebSocketAcceptor: ByteStreamDelegate {
  private let listener: WebSocketListener
  private let stream: ByteStream
  private let timer = Timer()
  private var isClosing = false

  init(listener: WebSocketListener, stream: ByteStream) {
    self.listener = listener
    self.stream = stream
    listener.began(self)
    stream.delegate = self
    listener.host.after(listener.rules.handshakeTimeout_ns, timer) { [unowned(unsafe) self] in  // safe: cancelled in `end`
      self.giveWay()
    }
  }

  /// Closes a connection that has taken too long, or is the oldest of too many.
  func giveWay() {
    isClosing = true
    listener.ended(self)
    stream.close()
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    if isClosing { return bytes.count }
    switch HTTPRequest.parse(bytes, headMax: WebSocketHandshake.headMax) {
    case .incomplete: return 0
    case .bad: refuse("400 Bad Request", "not a request that can be read")
    case .request(let request, let consumed):
      switch WebSocketHandshake.judge(request, listener.rules) {
      case .refuse(let status, let reason): refuse(status, reason)
      case .upgrade(let upgrade):
        // A client waits for the answer before it goes on (section 4.1).
        if consumed < bytes.count {
          refuse("400 Bad Request", "data before the handshake is complete")
        } else if listener.isOpen {
          become(upgrade, request)
        } else {
          refuse("503 Service Unavailable", "the server stops")
        }
      }
    }
    return bytes.count
  }

  private func become(_ upgrade: WebSocketUpgrade, _ request: HTTPRequest) {
    end()
    stream.output.append(WebSocketHandshake.answer(request, upgrade, listener.rules))
    let socket = WebSocketStream(server: stream, masked: !upgrade.isUnmasked, isBrowser: upgrade.isBrowser)
    socket.wantsFlush()
    listener.hand(over: socket, upgrade)
  }

  private func refuse(_ status: StaticString, _ reason: StaticString) {
    isClosing = true
    listener.host.log.error("\(stream.remote) - websocket handshake error: \(reason)")
    let output = stream.output
    output.append(literal: "HTTP/1.1 ")
    output.append(literal: status)
    output.append(
      literal: "\r\nSec-Websocket-Version: 13\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: ")
    let words = ByteView(status).dropFirst(4)
    Decimal.withDigits(of: words.count + 1) { output.append($0) }
    output.append(literal: "\r\n\r\n")
    output.append(words)
    output.append(literal: "\n")
    stream.closeAfterFlush()
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    if case .tls(let error) = reason { listener.host.log.error("\(stream.remote) - websocket: TLS handshake error: \(error.text)") }
    end()
  }

  private func end() {
    listener.host.timers.cancel(timer)
    listener.ended(self)
  }
}
