// Random lives of two machines: whatever happens between them, what arrives is always a prefix of what was sent.
import Bytes
import Testing

@testable import Platform

/// Connects again and again, and sends numbered bytes on each connection.
private final class Talker: ByteStreamDelegate {
  let host: Host
  let address: SocketAddress
  var stream: ByteStream?
  var closedStreams = 0

  init(host: Host, address: SocketAddress) {
    self.host = host
    self.address = address
    connect()
  }

  func connect() {
    _ = host.network.connect(address, timeout_ns: 3 * second_ns) { result in
      guard case .success(let stream) = result else {
        self.host.after(second_ns) { self.connect() }
        return
      }
      stream.delegate = self
      stream.setUserTimeout(10_000)
      self.stream = stream
      self.talk(0)
    }
  }

  func talk(_ position: Int) {
    guard let stream, !stream.isClosed else { return }
    let count = 1 + host.entropy.below(3000)
    stream.output.append((0..<count).map { UInt8(truncatingIfNeeded: (position + $0) % 251) })
    stream.wantsFlush()
    host.after(Int64(host.entropy.below(300)) * millisecond_ns) { if self.stream === stream { self.talk(position + count) } }
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int { bytes.count }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    closedStreams += 1
    self.stream = nil
    host.after(100 * millisecond_ns) { self.connect() }
  }
}

/// Checks the numbers of each connection.
private final class Checker: ByteStreamDelegate {
  var positions: [Int: Int] = [:]
  var wrong = 0
  var total = 0

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    let start = positions[stream.id, default: 0]
    // Sometimes only a part is used.
    let used = bytes.count > 10 && bytes.count % 3 == 0 ? bytes.count / 2 : bytes.count
    for index in 0..<used where bytes[index] != UInt8(truncatingIfNeeded: (start + index) % 251) { wrong += 1 }
    positions[stream.id] = start + used
    total += used
    return used
  }

  func closed(_ stream: ByteStream, reason: CloseReason) { positions[stream.id] = nil }
}

@Suite struct SimulationSoakTests {
  @Test(
    "kills, power cuts, partitions and resets never mix up a stream, and the machines find each other again", arguments: UInt64(100)..<115)
  func soak(seed: UInt64) throws {
    let simulation = Simulation(seed: seed)
    let client = simulation.machine("client")
    let server = simulation.machine("server")
    simulation.defaultLink = SimulatedLink(latency_ns: 10 * millisecond_ns, jitter_ns: 40 * millisecond_ns, loss_millionths: 10_000)
    let checker = Checker()
    // Owners of streams live as long as the test: a stream does not hold its delegate.
    var talkers: [Talker] = []
    let address = SocketAddress(address: server.address, port: 7422)
    func serve() throws { _ = try server.host.network.listen(address) { $0.delegate = checker } }
    func talk() { talkers.append(Talker(host: client.host, address: address)) }
    try serve()
    talk()
    for _ in 0..<40 {
      simulation.run(for: Int64(simulation.entropy.below(5000)) * millisecond_ns)
      switch simulation.entropy.below(5) {
      case 0:
        server.kill()
        simulation.run(for: Int64(simulation.entropy.below(3000)) * millisecond_ns)
        server.start()
        try serve()
      case 1:
        server.powerCut()
        simulation.run(for: Int64(simulation.entropy.below(20_000)) * millisecond_ns)
        server.start()
        try serve()
      case 2:
        client.kill()
        client.start()
        talk()
      case 3:
        simulation.partition(client, server)
        simulation.run(for: Int64(simulation.entropy.below(20_000)) * millisecond_ns)
        simulation.heal(client, server, reset: simulation.entropy.oneIn(2))
      default:
        simulation.cut(client, server)
      }
    }
    #expect(checker.wrong == 0, "\(simulation.report())")
    let before = checker.total
    let found = simulation.run(timeout_ns: 60 * second_ns) { checker.total > before + 10_000 }
    #expect(found, "\(simulation.report())")
  }
}
