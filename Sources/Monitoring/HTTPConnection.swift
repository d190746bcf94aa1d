// One HTTP connection of the monitoring port.
import Bytes
import Platform
import Web

/// An answer of a monitoring endpoint.
struct HTTPResponse {
  var status: StaticString = "200 OK"
  var contentType: StaticString = "application/json"
  var body: [UInt8]

  static func text(_ status: StaticString, _ text: String) -> HTTPResponse {
    HTTPResponse(status: status, contentType: "text/plain; charset=utf-8", body: [UInt8](text.utf8))
  }
}

final class HTTPConnection: ByteStreamDelegate {
  /// A connection that asks nothing for so long is closed.
  private static let idle_ns = 60 * second_ns
  /// Who asks on while more than so many bytes of answers wait to be read is not served further.
  private static let pendingMax = 1 << 20

  private unowned(unsafe) let monitor: Monitor  // safe: the monitor holds its connections and closes them before it goes
  let stream: ByteStream
  private let timer = Timer()
  private var isClosing = false

  init(monitor: Monitor, stream: ByteStream) {
    self.monitor = monitor
    self.stream = stream
    stream.delegate = self
    armTimer()
  }

  private func armTimer() {
    monitor.host.after(Self.idle_ns, timer) { [unowned(unsafe) self] in self.close() }  // safe: cancelled in `closed`
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    var used = 0
    while used < bytes.count, !isClosing {
      switch HTTPRequest.parse(bytes.dropFirst(used)) {
      case .incomplete: return used
      case .bad:
        send(.text("400 Bad Request", "400 Bad Request"), keepAlive: false, head: false)
        return bytes.count
      case .request(let request, let consumed):
        guard stream.output.count <= Self.pendingMax else {
          close()
          return bytes.count
        }
        used += consumed
        armTimer()
        let response =
          request.isGet || request.isHead
          ? monitor.answer(request) : HTTPResponse.text("405 Method Not Allowed", "405 method not allowed: use GET")
        send(response, keepAlive: request.keepAlive, head: request.isHead)
      }
    }
    return isClosing ? bytes.count : used
  }

  private func send(_ response: HTTPResponse, keepAlive: Bool, head: Bool) {
    let output = stream.output
    output.append(literal: "HTTP/1.1 ")
    output.append(literal: response.status)
    output.append(literal: "\r\nContent-Type: ")
    output.append(literal: response.contentType)
    output.append(literal: "\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: ")
    Decimal.withDigits(of: response.body.count) { output.append($0) }
    output.append(literal: keepAlive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n")
    if !head { output.append(response.body) }
    stream.wantsFlush()
    if !keepAlive { close() }
  }

  func close() {
    guard !isClosing else { return }
    isClosing = true
    stream.closeAfterFlush()
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    isClosing = true
    stream.delegate = nil
    monitor.host.timers.cancel(timer)
    monitor.forget(self)
  }
}
