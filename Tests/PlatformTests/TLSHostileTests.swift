// TLS against a network that cuts, changes and invents bytes.
import Bytes
import Testing

@testable import Platform

@Suite("TLS against a hostile network")
struct TLSHostileTests {
  private let message: [UInt8] = Array("PUB secret 5\r\nhello\r\n".utf8)

  /// A pair whose client's and server's bytes are counted and cut: `sent` of them pass in the given direction.
  private func cut(after limit: Int, fromClient: Bool, _ clientContext: TLSContext, _ serverContext: TLSContext) -> (TLSPair, wasCut: Bool)
  {
    let pair = TLSPair(clientContext, serverContext)
    var left = limit
    var isCut = false
    let (from, _) = fromClient ? (pair.clientPipe, pair.serverPipe) : (pair.serverPipe, pair.clientPipe)
    from.onSend = { bytes in
      if bytes.count > left { isCut = true }
      bytes = [UInt8](bytes.prefix(left))
      left -= bytes.count
    }
    pair.begin()
    pair.send(message, from: fromClient ? pair.client : pair.server)
    pair.run()
    if isCut { pair.clientPipe.cut() } else { pair.client.close() }
    pair.run()
    return (pair, isCut)
  }

  @Test("A connection that is cut after any byte ends once on each side, and shows only what was whole", arguments: [true, false])
  func truncation(fromClient: Bool) {
    let (clientContext, serverContext) = (TLSCertificates.client(), TLSCertificates.server())
    var limit = 0
    while true {
      let (pair, wasCut) = cut(after: limit, fromClient: fromClient, clientContext, serverContext)
      #expect(pair.clientSide.reasons.count == 1 && pair.serverSide.reasons.count == 1, "cut after \(limit) bytes")
      let received = (fromClient ? pair.serverSide : pair.clientSide).bytes
      #expect(received == (wasCut ? [] : message) || received == message, "cut after \(limit) bytes")
      if !wasCut { break }
      limit += 1
    }
    #expect(limit > 200)
  }

  @Test("Nobody is shown a byte that was changed on its way")
  func changedBytes() {
    let entropy = SeededEntropy(seed: 7)
    let (clientContext, serverContext) = (TLSCertificates.client(), TLSCertificates.server())
    var broken = 0
    for round in 0..<200 {
      let pair = TLSPair(clientContext, serverContext)
      var place = entropy.below(1200)
      let bit = UInt8(1 << entropy.below(8))
      (round % 2 == 0 ? pair.clientPipe : pair.serverPipe).onSend = { bytes in
        if place >= 0, place < bytes.count { bytes[place] ^= bit }
        place -= bytes.count
      }
      pair.begin()
      for _ in 0..<20 {
        pair.send(message, from: pair.client)
        pair.send(message, from: pair.server)
        pair.run()
      }
      for side in [pair.clientSide, pair.serverSide] {
        #expect(side.reasons.count <= 1)
        #expect(side.bytes.count % message.count == 0 && side.bytes.count <= 20 * message.count)
        for start in stride(from: 0, to: side.bytes.count, by: message.count) {
          #expect(Array(side.bytes[start..<start + message.count]) == message)
        }
      }
      if !pair.clientSide.reasons.isEmpty || !pair.serverSide.reasons.isEmpty { broken += 1 }
    }
    #expect(broken > 150)
  }

  /// A TLS stream alone, against bytes that a test invents.
  private func attacked(_ context: TLSContext, by bytes: [UInt8], pieceMax: Int = .max) -> SecureRecorder {
    let simulation = Simulation(seed: 1)
    defer { withExtendedLifetime(simulation) {} }
    let host = simulation.machine("one").host
    let (pipe, attacker) = (PipeStream(id: 1, turn: host.turn), PipeStream(id: 2, turn: host.turn))
    pipe.peer = attacker
    attacker.peer = pipe
    pipe.pieceMax = pieceMax
    let stream = TLSStream(over: pipe, context: context, serverName: "hub.example", host: host, timeout_ns: second_ns)
    let side = SecureRecorder()
    stream.delegate = side
    stream.start()
    attacker.output.append(bytes)
    attacker.wantsFlush()
    while host.turn.hasWork || pipe.step() || attacker.step() { host.turn.end() }
    attacker.close()
    while host.turn.hasWork || pipe.step() || attacker.step() { host.turn.end() }
    return side
  }

  @Test("What is no TLS is said to be none")
  func plainText() {
    let client = attacked(TLSCertificates.client(), by: Array("-ERR 'Authorization Violation'\r\n".utf8))
    #expect(client.error?.kind == .notTLS)
    #expect(client.error?.text.withView { $0.contains("the server does not speak TLS here") } == true)
    for text in ["CONNECT {\"verbose\":false}\r\nPING\r\n", "GET / HTTP/1.1\r\n\r\n"] {
      let server = attacked(TLSCertificates.server(), by: Array(text.utf8))
      #expect(server.error?.kind == .notTLS, "\(server.error?.text.string ?? "")")
    }
  }

  @Test("Records and messages that are too large are refused before they are taken in")
  func oversized() {
    let server = TLSCertificates.server()
    // A record of 65535 bytes, where 16384 and some is the most.
    #expect(attacked(server, by: [22, 3, 1, 0xFF, 0xFF] + [UInt8](repeating: 1, count: 65535)).error?.kind == .protocolViolation)
    // A hello that says it has 16 MB, in whole records.
    var hello: [UInt8] = []
    for index in 0..<200 {
      hello += [22, 3, 1, 0x40, 0] + (index == 0 ? [1, 0xFF, 0xFF, 0xFF] : [0, 0, 0, 0]) + [UInt8](repeating: 0, count: 16380)
    }
    #expect(attacked(server, by: hello).error?.kind == .protocolViolation)
    // Empty records and warnings without an end.
    #expect(attacked(server, by: (0..<1000).flatMap { _ in [22, 3, 1, 0, 0] as [UInt8] }).error != nil)
    #expect(attacked(server, by: (0..<1000).flatMap { _ in [21, 3, 1, 0, 2, 1, 90] as [UInt8] }).error != nil)
  }

  @Test("Random bytes end the stream once and never secure it")
  func randomBytes() {
    let entropy = SeededEntropy(seed: 11)
    let contexts = [TLSCertificates.server(), TLSCertificates.client()]
    for round in 0..<1000 {
      var bytes = (0..<entropy.below(600)).map { _ in UInt8(truncatingIfNeeded: entropy.next()) }
      // Some that look like the beginning of a handshake.
      if round % 3 != 0, bytes.count > 9 {
        let size = entropy.below(400)
        bytes.replaceSubrange(
          0..<9,
          with: [
            22, 3, UInt8(entropy.below(4)), UInt8(size >> 8), UInt8(size & 255), round % 2 == 0 ? 1 : 2, 0, 0, UInt8(entropy.below(256)),
          ])
      }
      let side = attacked(contexts[round % 2], by: bytes, pieceMax: 1 + entropy.below(100))
      #expect(side.reasons.count == 1 && side.securedCount == 0 && side.bytes.isEmpty)
    }
  }

  @Test("Random bytes after the handshake end the stream")
  func randomBytesAfterwards() {
    let entropy = SeededEntropy(seed: 12)
    let (clientContext, serverContext) = (TLSCertificates.client(), TLSCertificates.server())
    for _ in 0..<200 {
      let pair = TLSPair(clientContext, serverContext).begin()
      let size = 1 + entropy.below(300)
      pair.clientPipe.output.append(
        [23, 3, 3, UInt8(size >> 8), UInt8(size & 255)] + (0..<size).map { _ in UInt8(truncatingIfNeeded: entropy.next()) })
      pair.clientPipe.wantsFlush()
      pair.run()
      #expect(pair.serverSide.reasons.count == 1 && pair.serverSide.bytes.isEmpty)
    }
  }
}
