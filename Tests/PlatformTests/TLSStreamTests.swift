// TLS as a stream: what it carries, how it pauses, and how it ends.
import Bytes
import Testing

@testable import Platform

@Suite("TLS streams")
struct TLSStreamTests {
  private func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) } }

  @Test(
    "Both sides are secured and bytes cross in both directions, with every kind of key",
    arguments: ["server", "server-rsa", "server-ed25519"])
  func carries(certificate: String) {
    let pair = TLSPair(TLSCertificates.client(), TLSCertificates.server(certificate)).begin()
    #expect(pair.clientSide.securedCount == 1 && pair.serverSide.securedCount == 1)
    pair.send(pattern(100_000), from: pair.client)
    pair.send(pattern(50_000), from: pair.server)
    pair.run()
    #expect(pair.serverSide.bytes == pattern(100_000))
    #expect(pair.clientSide.bytes == pattern(50_000))
    #expect(pair.client.versionName == "1.3")
    #expect(pair.client.cipherName.hasPrefix("TLS_"))
    #expect(pair.client.peerCertificates.map { $0.subject } == ["CN=hub,O=Example"])
    #expect(pair.client.bytesWritten == pair.clientPipe.bytesWritten && pair.client.bytesRead == pair.clientPipe.bytesRead)
  }

  @Test("Bytes cross in whatever pieces the network makes", arguments: [1, 2, 5, 17, 1000])
  func pieces(size: Int) {
    let pair = TLSPair()
    pair.clientPipe.pieceMax = size
    pair.serverPipe.pieceMax = size
    pair.begin()
    pair.send(pattern(20_000), from: pair.client)
    pair.run()
    #expect(pair.serverSide.bytes == pattern(20_000))
  }

  @Test("TLS 1.2 works where the other side has nothing newer, and not where 1.3 is demanded")
  func versions() {
    // The suites of TLS 1.2 alone do not keep 1.3 away; a demand of 1.3 on one side decides.
    let pair = TLSPair(TLSCertificates.client { $0.onlyTLS13 = true }).begin()
    #expect(pair.client.isSecured && pair.client.versionName == "1.3")
  }

  @Test("What is written before the handshake leaves after it, and what was plain before stays plain")
  func upgrade() {
    let simulation = Simulation(seed: 3)
    let host = simulation.machine("one").host
    let (one, two) = (PipeStream(id: 1, turn: host.turn), PipeStream(id: 2, turn: host.turn))
    one.peer = two
    two.peer = one
    var sent: [UInt8] = []
    two.onSend = { sent += $0 }
    two.output.append(literal: "INFO {}\r\n")
    two.wantsFlush()
    let server = TLSStream(over: two, context: TLSCertificates.server(), serverName: nil, host: host, timeout_ns: second_ns)
    let serverSide = SecureRecorder()
    server.delegate = serverSide
    server.start()
    server.output.append(literal: "secret")
    server.wantsFlush()
    let plain = SecureRecorder()
    let clientSide = SecureRecorder()
    var client: TLSStream?
    plain.onReceive = { stream in
      let upgraded = TLSStream(
        over: stream, context: TLSCertificates.client(), serverName: "hub.example", host: host, timeout_ns: second_ns)
      client = upgraded
      upgraded.delegate = clientSide
      upgraded.start()
      upgraded.output.append(literal: "CONNECT {}\r\n")
      upgraded.wantsFlush()
    }
    one.delegate = plain
    while host.turn.hasWork || one.step() || two.step() { host.turn.end() }
    #expect(plain.bytes == Array("INFO {}\r\n".utf8))
    #expect(client?.isSecured == true)
    #expect(serverSide.bytes == Array("CONNECT {}\r\n".utf8))
    #expect(clientSide.bytes == Array("secret".utf8))
    #expect(!ByteString(sent).withView { $0.contains("secret") })
  }

  @Test("An owner that uses only whole units gets the rest again, and is not called below its minimum")
  func units() {
    let pair = TLSPair().begin()
    pair.serverSide.unit = 1000
    for _ in 0..<25 {
      pair.send(pattern(100), from: pair.client)
      pair.run()
    }
    #expect(pair.serverSide.bytes.count == 2000)
    pair.server.readMinimum = 40_000
    var calls = 0
    pair.serverSide.onReceive = { _ in calls += 1 }
    pair.send(pattern(39_500), from: pair.client)
    pair.run()
    #expect(calls == 1 && pair.serverSide.bytes.count == 42_000)
  }

  @Test("A paused side is shown nothing, and everything after it goes on")
  func pausing() {
    let pair = TLSPair().begin()
    pair.serverPipe.pieceMax = 20_000
    pair.serverSide.onReceive = { $0.setReading(false) }
    pair.send(pattern(100_000), from: pair.client)
    pair.run()
    let first = pair.serverSide.bytes.count
    #expect(first > 0 && first <= 20_000)
    #expect(!pair.serverPipe.isReading)
    pair.serverSide.onReceive = nil
    pair.server.setReading(true)
    pair.run()
    let isWhole = pair.serverSide.bytes == pattern(100_000)
    #expect(isWhole)
  }

  @Test("Plain bytes wait under the owner's limit when the other side does not read; above it the stream ends")
  func backPressure() {
    let pair = TLSPair().begin()
    pair.clientPipe.writes = false
    pair.client.output.limit = 3_000_000
    pair.send(pattern(2_000_000), from: pair.client)
    pair.run()
    #expect(pair.client.output.count > 1_500_000)
    #expect(pair.clientPipe.output.count < 200_000)
    pair.send(pattern(2_000_000), from: pair.client)
    pair.run()
    #expect(pair.clientSide.reasons == [.outputOverflow])
  }

  @Test("A close after the output tells the other side when it has everything")
  func closing() {
    let pair = TLSPair().begin()
    pair.send(pattern(300_000), from: pair.client)
    pair.client.closeAfterFlush()
    pair.run()
    #expect(pair.serverSide.bytes == pattern(300_000))
    #expect(pair.serverSide.reasons == [.peerClosed])
    #expect(pair.clientSide.reasons == [.closedHere])
    #expect(pair.client.isClosed && pair.server.isClosed)
  }

  @Test("A close at once is told as the one that it was, on both sides")
  func closingAtOnce() {
    let pair = TLSPair().begin()
    pair.send(pattern(10), from: pair.server)
    pair.server.close()
    pair.run()
    #expect(pair.clientSide.bytes == pattern(10))
    #expect(pair.clientSide.reasons == [.peerClosed])
    #expect(pair.serverSide.reasons == [.closedHere])
  }

  @Test("A handshake that does not get on ends in time")
  func timeout() {
    let simulation = Simulation(seed: 4)
    let host = simulation.machine("one").host
    let pipe = PipeStream(id: 1, turn: host.turn)
    let stream = TLSStream(over: pipe, context: TLSCertificates.client(), serverName: "hub.example", host: host, timeout_ns: 2 * second_ns)
    let side = SecureRecorder()
    stream.delegate = side
    stream.start()
    simulation.run(for: 3 * second_ns)
    while pipe.step() {}
    #expect(side.error?.kind == .timeout)
  }

  @Test("Over the simulated network with loss and jitter everything arrives whole", arguments: [UInt64(1), 2, 3])
  func simulated(seed: UInt64) {
    let link = SimulatedLink(latency_ns: 5 * millisecond_ns, jitter_ns: 50 * millisecond_ns, bandwidth: 10_000_000, loss_millionths: 20_000)
    let pair = SimulatedPair(seed: seed, link: link)
    let (client, server) = (SecureRecorder(), SecureRecorder())
    _ = try! pair.server.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 4222)!) { stream in
      let secure = TLSStream(
        over: stream, context: TLSCertificates.server(), serverName: nil, host: pair.server.host, timeout_ns: 60 * second_ns)
      secure.delegate = server
      secure.start()
    }
    _ = pair.client.host.network.connect(pair.address, timeout_ns: 60 * second_ns) { result in
      guard case .success(let stream) = result else { return }
      let secure = TLSStream(
        over: stream, context: TLSCertificates.client(), serverName: "10.0.0.2", host: pair.client.host, timeout_ns: 60 * second_ns)
      secure.delegate = client
      secure.start()
      secure.output.append(pattern(1_000_000))
      secure.closeAfterSecured()
    }
    _ = pair.simulation.run(timeout_ns: 600 * second_ns) { !server.reasons.isEmpty && !client.reasons.isEmpty }
    #expect(server.bytes == pattern(1_000_000), "\(pair.simulation.report())")
    #expect(server.reasons == [.peerClosed] && client.reasons == [.closedHere])
  }
}

extension TLSStream {
  /// What waits for the handshake is to be sent, too.
  fileprivate func closeAfterSecured() {
    let owner = delegate as! SecureRecorder
    owner.onSecured = { $0.closeAfterFlush() }
  }
}
