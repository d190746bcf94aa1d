// Two machines of the simulation with connections between them, and delegates that write down what happens.
import Bytes
import Platform

@testable import Web

final class Recorder: ByteStreamDelegate {
  var bytes: [UInt8] = []
  var calls = 0
  var reasons: [CloseReason] = []
  var drainedCount = 0
  /// Uses only whole units of this size.
  var unit = 1
  var onReceive: ((ByteStream) -> Void)?

  func received(_ view: ByteView, on stream: ByteStream) -> Int {
    calls += 1
    let used = view.count / unit * unit
    bytes.append(view.prefix(used))
    onReceive?(stream)
    return used
  }
  func closed(_ stream: ByteStream, reason: CloseReason) { reasons.append(reason) }
  func drained(_ stream: ByteStream) { drainedCount += 1 }

  var text: String { String(decoding: bytes, as: UTF8.self) }
}

extension ByteStream {
  func say(_ bytes: [UInt8]) {
    output.append(bytes)
    wantsFlush()
  }
  func say(_ text: String) { say([UInt8](text.utf8)) }
}

/// A connection between two machines.
final class Line {
  let simulation: Simulation
  let client: SimulatedMachine
  let server: SimulatedMachine
  let clientSide: ByteStream
  let serverSide: ByteStream

  init(seed: UInt64 = 1, link: SimulatedLink = SimulatedLink()) {
    simulation = Simulation(seed: seed)
    client = simulation.machine("client")
    server = simulation.machine("server")
    simulation.setLink(client, server, link)
    var accepted: ByteStream?
    var connected: ByteStream?
    do {
      _ = try server.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 80)!) {
        $0.delegate = Recorder()
        accepted = $0
      }
    } catch { preconditionFailure("\(error)") }
    _ = client.host.network.connect(SocketAddress(address: server.address, port: 80), timeout_ns: second_ns) { result in
      guard case .success(let stream) = result else { preconditionFailure("no connection") }
      stream.delegate = Recorder()
      connected = stream
    }
    precondition(simulation.run(timeout_ns: 10 * second_ns) { accepted != nil && connected != nil }, "no connection in time")
    clientSide = connected!
    serverSide = accepted!
  }

  func run(_ duration_ns: Int64 = 100 * millisecond_ns) { simulation.run(for: duration_ns) }
}

/// Both ends of a WebSocket on a line, without a handshake.
final class SocketPair {
  let line: Line
  let client: WebSocketStream
  let server: WebSocketStream
  let clientSide = Recorder()
  let serverSide = Recorder()

  init(seed: UInt64 = 1, link: SimulatedLink = SimulatedLink(), masked: Bool = true, isBrowser: Bool = false) {
    line = Line(seed: seed, link: link)
    client = WebSocketStream(client: line.clientSide, masks: masked ? line.client.host.entropy : nil)
    server = WebSocketStream(server: line.serverSide, masked: masked, isBrowser: isBrowser)
    client.delegate = clientSide
    server.delegate = serverSide
  }

  func run(_ duration_ns: Int64 = 100 * millisecond_ns) { line.run(duration_ns) }
  func run(until condition: () -> Bool) -> Bool { line.simulation.run(timeout_ns: 600 * second_ns, until: condition) }
}

/// Bytes that no two places have in common.
func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) } }
