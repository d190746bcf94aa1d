// WebSockets as streams, over the simulated network: order and content, back-pressure, every way to end.
import Bytes
import Platform
import Testing

@testable import Web

@Suite struct WebSocketStreamTests {
  @Test("bytes arrive whole and in order both ways, masked or not", arguments: [true, false], [UInt64(1), 2, 3])
  func integrity(_ masked: Bool, _ seed: UInt64) {
    let link = SimulatedLink(latency_ns: 5 * millisecond_ns, jitter_ns: 20 * millisecond_ns, loss_millionths: 10_000)
    let pair = SocketPair(seed: seed, link: link, masked: masked)
    let random = SeededEntropy(seed: seed)
    let sent = pattern(900_000)
    var start = 0
    while start < sent.count {
      let end = min(sent.count, start + 1 + random.below(random.oneIn(3) ? 200_000 : 300))
      let piece = Array(sent[start..<end])
      pair.line.simulation.after(Int64(start) * 100) {
        pair.client.say(piece)
        pair.server.say(piece)
      }
      start = end
    }
    #expect(pair.run { pair.clientSide.bytes.count == sent.count && pair.serverSide.bytes.count == sent.count })
    #expect(pair.clientSide.bytes == sent && pair.serverSide.bytes == sent)
    #expect(pair.client.bytesWritten > sent.count && pair.client.bytesWritten == pair.line.clientSide.bytesWritten)
    // Headers cost little: 14 bytes at most, of frames that are as large as what was written at once.
    #expect(pair.server.bytesRead < sent.count + 14 * 2 * start / 150)
  }

  @Test("an owner that needs so many bytes is not shown fewer, and what it leaves is shown again")
  func minimum() {
    let pair = SocketPair()
    pair.serverSide.unit = 10
    pair.server.readMinimum = 25
    for _ in 0..<24 { pair.client.say("x") }
    pair.run()
    #expect(pair.serverSide.calls == 0)
    pair.client.say("y")
    pair.run()
    #expect(pair.serverSide.calls == 1 && pair.serverSide.bytes.count == 20)
    pair.server.readMinimum = 1
    pair.client.say("01234")
    pair.run()
    #expect(pair.serverSide.text == String(repeating: "x", count: 24) + "y01234")
  }

  @Test("a server that does not read holds the client's output back, and both go on when it reads again")
  func backPressure() {
    let pair = SocketPair()
    let sent = pattern(2_000_000)
    pair.server.setReading(false)
    pair.client.say(sent)
    pair.run(second_ns)
    #expect(pair.serverSide.bytes.isEmpty && pair.client.output.count > 1_000_000 && pair.clientSide.drainedCount == 0)
    #expect(pair.line.clientSide.output.count < LayeredStream.innerOutputMax + WebSocketStream.frameMax)
    pair.server.setReading(true)
    #expect(pair.run { pair.serverSide.bytes.count == sent.count })
    #expect(pair.serverSide.bytes == sent && pair.client.output.isEmpty && pair.clientSide.drainedCount == 1)
  }

  @Test("an owner that pauses while it is shown something gets the rest when it resumes")
  func pauses() {
    let pair = SocketPair()
    pair.serverSide.unit = 4
    pair.serverSide.onReceive = { stream in
      guard pair.serverSide.calls == 1 else { return }
      stream.setReading(false)
      pair.line.simulation.after(50 * millisecond_ns) { stream.setReading(true) }
    }
    pair.client.say("abcdef")
    pair.run(10 * millisecond_ns)
    pair.client.say("gh")
    pair.client.closeAfterFlush()
    pair.run(20 * millisecond_ns)
    #expect(pair.serverSide.text == "abcd")
    pair.run(second_ns)
    #expect(pair.serverSide.text == "abcdefgh" && pair.serverSide.reasons == [.peerClosed])
  }

  @Test("a peer that reads too slowly is cut off at the limit, and one that takes nothing at the deadline")
  func overflow() {
    let pair = SocketPair()
    pair.client.setReading(false)
    pair.server.output.limit = 500_000
    pair.server.say(pattern(2_000_000))
    pair.run(second_ns)
    #expect(pair.serverSide.reasons == [.outputOverflow])
    let other = SocketPair()
    other.client.setReading(false)
    other.server.writeDeadline_ns = 2 * second_ns
    other.server.say(pattern(2_000_000))
    other.run(second_ns)
    #expect(other.serverSide.reasons.isEmpty)
    other.run(5 * second_ns)
    #expect(other.serverSide.reasons == [.writeDeadline])
  }

  /// What the client's raw end gets when the server's end is treated to `bytes`.
  private func answer(_ bytes: [UInt8], _ change: (WebSocketStream) -> Void = { _ in }) -> (bytes: [UInt8], server: Recorder, raw: Recorder)
  {
    let line = Line()
    let server = WebSocketStream(server: line.serverSide, masked: false, isBrowser: false)
    let side = Recorder()
    server.delegate = side
    let raw = Recorder()
    line.clientSide.delegate = raw
    line.clientSide.say(bytes)
    line.run()
    change(server)
    line.run()
    return (raw.bytes, side, raw)
  }

  @Test("a ping is answered with its payload, a pong not at all")
  func pings() {
    let (bytes, server, _) = answer([0x89, 0x02, 0x68, 0x69, 0x8A, 0x01, 0x00, 0x89, 0x00])
    #expect(bytes == [0x8A, 0x02, 0x68, 0x69, 0x8A, 0x00] && server.calls == 0 && server.reasons.isEmpty)
  }

  @Test("who sends pings and reads nothing gets a bounded number of pongs")
  func pingFlood() {
    let line = Line()
    let server = WebSocketStream(server: line.serverSide, masked: false, isBrowser: false)
    server.delegate = Recorder()
    line.clientSide.setReading(false)
    var flood: [UInt8] = []
    for _ in 0..<20_000 { flood += [0x89, 100] + pattern(100) }
    line.clientSide.say(flood)
    line.run(5 * second_ns)
    #expect(line.serverSide.bytesRead == flood.count)
    #expect(line.serverSide.output.count < 80_000 && !server.isClosed)
  }

  @Test("a close is answered with its status and ends the stream as the peer's; what came before it is used first")
  func peerCloses() {
    let (bytes, server, raw) = answer([0x82, 0x02, 0x68, 0x69, 0x88, 0x06, 0x03, 0xE9, 0x62, 0x79, 0x65, 0x21, 0x82, 0x01, 0x00])
    #expect(bytes == [0x88, 0x02, 0x03, 0xE9] && server.text == "hi" && server.reasons == [.peerClosed] && raw.reasons == [.peerClosed])
    #expect(answer([0x88, 0x00]).bytes == [0x88, 0x00])
    // A status that nobody may send is an error.
    for status in [[0x03, 0xED], [0x03, 0xEE], [0x00, 0x01], [0x03, 0xF8], [0x13, 0x88]] as [[UInt8]] {
      #expect(answer([0x88, 0x02] + status).bytes.starts(with: [0x88, 48, 0x03, 0xEA]), "\(status)")
    }
    #expect(answer([0x88, 0x01, 0x03]).bytes.starts(with: [0x88, 27, 0x03, 0xEA]))
  }

  @Test("what is no frame ends the stream with status 1002, behind the answers to what came before")
  func violation() {
    let line = Line()
    let server = WebSocketStream(server: line.serverSide, masked: false, isBrowser: false)
    let side = Recorder()
    side.onReceive = { $0.say("answer") }
    server.delegate = side
    let raw = Recorder()
    line.clientSide.delegate = raw
    line.clientSide.say([0x82, 0x01, 0x61, 0x83, 0x00, 0x61])
    line.run()
    #expect(side.text == "a" && side.reasons == [.failed(.malformed)])
    #expect(raw.bytes == [0x82, 6] + "answer".utf8 + [0x88, 16, 0x03, 0xEA] + "unknown opcode".utf8)
    #expect(raw.reasons == [.peerClosed])
    #expect(String(describing: server.violation) == "Optional(\"unknown opcode\")")
  }

  @Test("who closes says why, behind everything that was written")
  func closes() {
    let expected: [UInt8] = [0x82, 3] + "end".utf8 + [0x88, 6, 0x03, 0xF0] + "late".utf8
    for atOnce in [false, true] {
      let (bytes, server, raw) = answer([]) { stream in
        stream.output.append(literal: "end")
        stream.closeStatus = WebSocketStream.Status.policyViolation
        stream.closeText = "late"
        if atOnce { stream.close() } else { stream.closeAfterFlush() }
      }
      #expect(bytes == expected && server.reasons == [.closedHere] && raw.reasons == [.peerClosed])
    }
  }

  @Test("a large output is written whole before the close")
  func closesAfterFlush() {
    let pair = SocketPair()
    let sent = pattern(3_000_000)
    pair.client.output.append(sent)
    pair.client.closeAfterFlush()
    pair.client.closeAfterFlush()
    #expect(pair.run { !pair.serverSide.reasons.isEmpty && !pair.clientSide.reasons.isEmpty })
    #expect(pair.serverSide.bytes == sent && pair.serverSide.reasons == [.peerClosed] && pair.clientSide.reasons == [.closedHere])
  }

  @Test("a connection that ends without a close, anywhere, ends the stream once", arguments: [UInt64(1), 2])
  func truncated(_ seed: UInt64) {
    let pair = SocketPair(seed: seed)
    pair.client.output.append(pattern(300))
    pair.client.wrap()
    var wire: [UInt8] = []
    pair.line.clientSide.output.forEachPiece(limit: 10) { wire.append($0) }
    for length in 0..<wire.count {
      let line = Line(seed: seed)
      let server = WebSocketStream(server: line.serverSide, masked: true, isBrowser: false)
      let side = Recorder()
      server.delegate = side
      line.clientSide.say(Array(wire[..<length]))
      line.run()
      if length % 2 == 0 { line.clientSide.closeAfterFlush() } else { line.client.kill() }
      line.run(second_ns)
      #expect(side.reasons.count == 1 && side.bytes == Array(pattern(300).prefix(max(0, length - 8))), "\(length)")
      #expect(line.serverSide.delegate == nil && server.delegate == nil)
    }
  }

  @Test("a browser gets small frames")
  func browser() {
    let pair = SocketPair(isBrowser: true)
    let raw = Recorder()
    pair.line.clientSide.delegate = raw
    pair.server.say(pattern(10_000))
    pair.run()
    #expect(raw.bytes.prefix(4) == [0x82, 126, 0x0F, 0xF2] && raw.bytes.count == 10_000 + 3 * 4)
  }

  @Test("a WebSocket within a WebSocket is a stream like any other: layers stack")
  func stacked() {
    let pair = SocketPair(link: SimulatedLink(latency_ns: 2 * millisecond_ns, jitter_ns: 3 * millisecond_ns))
    let client = WebSocketStream(client: pair.client, masks: pair.line.client.host.entropy)
    let server = WebSocketStream(server: pair.server, masked: true, isBrowser: false)
    let side = Recorder()
    let clientSide = Recorder()
    server.delegate = side
    client.delegate = clientSide
    let sent = pattern(1_500_000)
    client.say(sent)
    #expect(pair.run { side.bytes.count == sent.count })
    #expect(side.bytes == sent && clientSide.drainedCount == 1)
    #expect(client.kernelRTT_us == pair.line.clientSide.kernelRTT_us && client.bytesWritten == pair.line.clientSide.bytesWritten)
    server.closeText = "inner"
    server.close()
    pair.run(second_ns)
    #expect(side.reasons == [.closedHere] && clientSide.reasons == [.peerClosed])
    #expect(pair.line.clientSide.delegate == nil && pair.client.delegate == nil)
  }
}
