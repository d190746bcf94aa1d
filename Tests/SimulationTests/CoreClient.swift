// A client of core NATS in the simulation, with a parser of its own: subscribes, publishes, and says what came for which subscription.
import Bytes
import Platform

final class CoreClient: ByteStreamDelegate {
  let machine: SimulatedMachine
  private var stream: ByteStream?
  private var lastID = 0
  /// What is said before the server has answered CONNECT.
  private var early = ""
  private(set) var isReady = false
  /// What the server said that none should say to this client, and the end of the connection.
  private(set) var violations: [String] = []
  /// Gets the subscription's id and the payload of each message.
  var received: (Int, String) -> Void = { _, _ in }

  init(machine: SimulatedMachine, server: SocketAddress) {
    self.machine = machine
    _ = machine.host.network.connect(server, timeout_ns: 2 * second_ns) { [self] result in
      guard case .success(let stream) = result else { return violations.append("the server does not listen") }
      self.stream = stream
      stream.delegate = self
    }
  }

  func subscribe(_ subject: String, queue: String?) -> Int {
    lastID += 1
    say("SUB \(subject) \(queue.map { $0 + " " } ?? "")\(lastID)\r\n")
    return lastID
  }

  func unsubscribe(_ id: Int) { say("UNSUB \(id)\r\n") }

  func publish(_ subject: String, _ payload: String) { say("PUB \(subject) \(payload.utf8.count)\r\n\(payload)\r\n") }

  private func say(_ text: String) {
    guard isReady else {
      early += text
      return
    }
    write(text)
  }

  private func write(_ text: String) {
    stream?.output.append([UInt8](text.utf8))
    stream?.wantsFlush()
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    var used = 0
    while let end = bytes.firstIndex(of: ASCII.lineFeed, from: used) {
      let line = bytes.slice(used, end).trimmed.string
      let words = line.split(separator: " ")
      if words.first == "MSG" {
        guard let size = words.last.flatMap({ Int($0) }), let id = Int(words[2]) else {
          violations.append(line)
          return bytes.count
        }
        guard bytes.count >= end + 1 + size + 2 else { return used }
        received(id, bytes.slice(end + 1, end + 1 + size).string)
        used = end + 1 + size + 2
      } else {
        used = end + 1
        control(line)
      }
    }
    return used
  }

  private func control(_ line: String) {
    if line.hasPrefix("INFO ") {
      if !isReady { write("CONNECT {\"verbose\":false,\"lang\":\"simulation\",\"version\":\"1\",\"protocol\":1}\r\nPING\r\n") }
    } else if line == "PONG" {
      guard !isReady else { return }
      isReady = true
      write(early)
      early = ""
    } else if line == "PING" {
      write("PONG\r\n")
    } else {
      violations.append(line)
    }
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    violations.append("the connection ended")
  }
}
