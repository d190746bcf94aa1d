// Asks the monitoring port of a running agent.
import Bytes
import JSON
import Platform

/// One GET over HTTP/1.0-style: the answer ends with the connection.
final class MonitoringClient: ByteStreamDelegate {
  /// No answer of an agent is longer.
  private static let answerMax = 16 * 1024 * 1024
  private static let timeout_ns = 5 * second_ns

  private var answer: [UInt8] = []
  private var isDone = false
  private var failure: String?

  /// The JSON at `path`, or what went wrong.
  static func get(_ address: SocketAddress, _ path: String, tls: TLSContext?) -> Result<JSONValue, MonitoringFailure> {
    let (loop, host) = LinuxLoop.makeHost(log: Log(level: .fatal) { _, _ in })
    let client = MonitoringClient()
    func ask(_ stream: ByteStream) {
      stream.delegate = client
      stream.output.append([UInt8]("GET \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n".utf8))
      stream.wantsFlush()
    }
    let attempt = host.network.connect(address, timeout_ns: timeout_ns) { result in
      switch result {
      case .failure(let error): client.finish("\(error)")
      case .success(let stream):
        guard let tls else { return ask(stream) }
        let secure = TLSStream(over: stream, context: tls, serverName: nil, host: host, timeout_ns: timeout_ns)
        ask(secure)
        secure.start()
      }
    }
    guard loop.run(timeout_ns: timeout_ns, until: { client.isDone }) else {
      attempt.cancel()
      return .failure(MonitoringFailure(text: "no answer within 5 s"))
    }
    if let failure = client.failure { return .failure(MonitoringFailure(text: failure)) }
    return client.answer.withView { view in
      guard let body = Self.body(view), let json = try? JSON.parse(body, nodesMax: 1_000_000) else {
        return .failure(MonitoringFailure(text: "the answer is not that of a petiole agent"))
      }
      return .success(json)
    }
  }

  private static func body(_ answer: ByteView) -> ByteView? {
    guard answer.hasPrefix("HTTP/1.1 200") else { return nil }
    for index in 0..<max(answer.count - 3, 0) where answer.slice(index, index + 4).equals("\r\n\r\n") {
      return answer.dropFirst(index + 4)
    }
    return nil
  }

  private func finish(_ failure: String? = nil) {
    if let failure { self.failure = failure }
    isDone = true
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    answer.append(bytes)
    if answer.count > Self.answerMax {
      finish("the answer is too long")
      stream.close()
    }
    return bytes.count
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    if case .tls(let error) = reason { finish("TLS: \(error.text.string)") } else { finish() }
  }
}

struct MonitoringFailure: Error { let text: String }
