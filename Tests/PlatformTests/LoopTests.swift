// The Linux event loop over real loopback sockets: every test waits for a condition with a deadline, none sleeps.
import Bytes
import Testing

@testable import Platform

/// A delegate that collects what happens to a stream.
final class Recorder: ByteStreamDelegate {
  var bytes: [UInt8] = []
  var calls = 0
  var reasons: [CloseReason] = []
  var drainedCount = 0
  var minimum = 1
  /// Uses only whole units of this size.
  var unit = 1
  var echo = false
  var keeps = true
  var onReceive: ((ByteStream) -> Void)?

  func received(_ view: ByteView, on stream: ByteStream) -> Int {
    calls += 1
    let used = view.count / unit * unit
    if keeps { bytes.append(view.prefix(used)) }
    if echo {
      stream.output.append(view.prefix(used))
      stream.wantsFlush()
    }
    onReceive?(stream)
    return used
  }
  func closed(_ stream: ByteStream, reason: CloseReason) { reasons.append(reason) }
  func drained(_ stream: ByteStream) { drainedCount += 1 }
  var onMore: ((ByteStream) -> Void)?
  func mayGiveMore(_ stream: ByteStream) { onMore?(stream) }
}

/// A layer that carries bytes as they are.
final class PlainLayer: LayeredStream {
  override func unwrap(_ bytes: ByteView) -> Int {
    carried(bytes.count) { target in
      for index in 0..<bytes.count { target[index] = bytes[index] }
      return bytes.count
    }
    return bytes.count
  }
  override func wrap() {
    while !output.isEmpty, inner.output.count < Self.innerOutputMax {
      var size = 0
      output.forEachPiece(limit: 1) { piece in
        size = min(piece.count, 50_000)
        inner.output.append(piece.prefix(size))
      }
      output.consume(size)
    }
  }
}

/// Two connected streams on one loop.
struct Pair {
  let loop: LinuxLoop
  let network: LinuxNetwork
  let listener: any Listener
  let client: ByteStream
  let server: ByteStream
  let clientSide = Recorder()
  let serverSide = Recorder()

  init(_ host: String = "127.0.0.1") throws {
    let loop = LinuxLoop()
    let network = LinuxNetwork(loop: loop)
    var accepted: ByteStream?
    var connected: ByteStream?
    let serverSide = self.serverSide
    let clientSide = self.clientSide
    let listener = try network.listen(SocketAddress(literal: host, port: 0)!) { stream in
      stream.delegate = serverSide
      accepted = stream
    }
    _ = network.connect(listener.local, timeout_ns: 5 * second_ns) { result in
      if case .success(let stream) = result {
        stream.delegate = clientSide
        connected = stream
      }
    }
    let made = loop.run(timeout_ns: 5 * second_ns) { accepted != nil && connected != nil }
    try #require(made)
    self.loop = loop
    self.network = network
    self.listener = listener
    client = connected!
    server = accepted!
  }

  func wait(_ condition: () -> Bool) -> Bool { loop.run(timeout_ns: 10 * second_ns, until: condition) }
}

@Suite struct LoopTests {
  @Test("timers fire in order, and a turn without anything due does not wait for them")
  func timers() {
    let loop = LinuxLoop()
    var fired: [Int] = []
    let start_ns = loop.clock.monotonic_ns
    loop.timers.schedule(at: start_ns + 3 * millisecond_ns) { fired.append(2) }
    loop.timers.schedule(at: start_ns + 1 * millisecond_ns) { fired.append(1) }
    let cancelled = loop.timers.schedule(at: start_ns + 2 * millisecond_ns) { fired.append(9) }
    loop.timers.cancel(cancelled)
    #expect(loop.run(timeout_ns: second_ns) { fired.count == 2 })
    #expect(fired == [1, 2])
    #expect(loop.clock.monotonic_ns - start_ns >= 3 * millisecond_ns)
  }

  @Test("an echo comes back over IPv4 and IPv6", arguments: ["127.0.0.1", "::1"])
  func echo(host: String) throws {
    let pair = try Pair(host)
    pair.serverSide.echo = true
    pair.client.output.append(literal: "hello")
    pair.client.wantsFlush()
    #expect(pair.wait { pair.clientSide.bytes.count == 5 })
    #expect(String(decoding: pair.clientSide.bytes, as: UTF8.self) == "hello")
    #expect(pair.client.bytesWritten == 5 && pair.client.bytesRead == 5)
    #expect(pair.client.remote == pair.server.local && pair.client.local == pair.server.remote)
    #expect(pair.client.kernelRTT_us != nil)
  }

  @Test("a large output arrives whole and in order, and the sender hears that it drained")
  func large() throws {
    let pair = try Pair()
    let size = 20_000_000
    var sent = [UInt8](repeating: 0, count: size)
    for index in 0..<size { sent[index] = UInt8(truncatingIfNeeded: index &* 31 ^ index >> 9) }
    pair.client.output.append(sent)
    pair.client.wantsFlush()
    #expect(pair.wait { pair.serverSide.bytes.count == size && pair.clientSide.drainedCount == 1 })
    #expect(pair.serverSide.bytes == sent)
    #expect(pair.client.output.isEmpty)
  }

  @Test("an owner that keeps output back is asked for more whenever all is written, through a layer too", arguments: [false, true])
  func givesMore(isLayered: Bool) throws {
    let pair = try Pair()
    let stream = isLayered ? PlainLayer(over: pair.client) : pair.client
    stream.delegate = pair.clientSide
    stream.limitUnsent(16_384)
    var rounds = 0
    var mostWaiting = 0
    pair.clientSide.onMore = { stream in
      mostWaiting = max(mostWaiting, stream.waiting)
      guard rounds < 200 else { return }
      rounds += 1
      stream.output.append([UInt8](repeating: UInt8(rounds), count: 30_000))
      stream.wantsToGiveMore = true
    }
    stream.wantsToGiveMore = true
    stream.output.append(literal: "x")
    stream.wantsFlush()
    #expect(pair.wait { pair.serverSide.bytes.count == 6_000_001 })
    #expect(rounds == 200 && mostWaiting == 0)
    #expect(pair.serverSide.bytes.last == 200)
    #expect(pair.wait { stream.way?.isWaiting == false })
    let way = try #require(stream.way)
    #expect(way.rtt_us > 0 && way.sinceSign_ms < 5000 && way.acknowledged >= 6_000_001)
  }

  @Test("bytes that the delegate leaves are shown again with what follows", arguments: [7, 1000, 20_000, 100_000])
  func leftovers(unit: Int) throws {
    let pair = try Pair()
    pair.serverSide.unit = unit
    let size = 1_000_000 / unit * unit
    let sent = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 13 ^ $0 >> 7) }
    var next = 0
    // Pieces of odd sizes, one for each turn.
    while next < size {
      let end = min(size, next + 1 + next % 30_011)
      sent[next..<end].withUnsafeBytes { pair.client.output.append(ByteView($0)) }
      pair.client.wantsFlush()
      pair.loop.runTurn(wait: false)
      next = end
    }
    #expect(pair.wait { pair.serverSide.bytes.count == size })
    #expect(pair.serverSide.bytes == sent)
  }

  @Test("a delegate that asks for a whole payload is called once for it")
  func readMinimum() throws {
    let pair = try Pair()
    pair.server.readMinimum = 1_000_000
    pair.client.output.append([UInt8](repeating: 7, count: 1_000_000))
    pair.client.wantsFlush()
    #expect(pair.wait { pair.serverSide.bytes.count == 1_000_000 })
    #expect(pair.serverSide.calls == 1)
  }

  @Test("a stream whose reading is paused holds its sender back, and goes on where it stopped")
  func backPressure() throws {
    let pair = try Pair()
    pair.server.setReading(false)
    let size = 30_000_000
    pair.client.output.append([UInt8](repeating: 1, count: size))
    pair.client.wantsFlush()
    for _ in 0..<50 { pair.loop.runTurn(wait: false) }
    #expect(pair.serverSide.bytes.isEmpty)
    #expect(pair.client.output.count > 0)
    pair.server.setReading(true)
    #expect(pair.wait { pair.serverSide.bytes.count == size })
  }

  @Test("what a delegate left when it paused reading is shown when reading resumes, without new bytes")
  func pauseWithLeftover() throws {
    let pair = try Pair()
    pair.serverSide.unit = 4
    pair.serverSide.onReceive = { $0.setReading(false) }
    pair.client.output.append(literal: "abcdef")
    pair.client.wantsFlush()
    #expect(pair.wait { pair.serverSide.calls == 1 })
    pair.serverSide.unit = 1
    pair.serverSide.onReceive = nil
    pair.server.setReading(true)
    #expect(pair.wait { pair.serverSide.bytes.count == 6 })
    #expect(String(decoding: pair.serverSide.bytes, as: UTF8.self) == "abcdef")
  }

  @Test("more waiting output than the limit closes the stream as a slow consumer")
  func overflow() throws {
    let pair = try Pair()
    pair.server.setReading(false)
    pair.client.output.limit = 1_000_000
    pair.client.output.append([UInt8](repeating: 1, count: 40_000_000))
    pair.client.wantsFlush()
    #expect(pair.wait { !pair.clientSide.reasons.isEmpty })
    #expect(pair.clientSide.reasons == [.outputOverflow])
    #expect(pair.client.isClosed)
  }

  @Test("a peer that takes no byte for the write deadline is closed")
  func writeDeadline() throws {
    let pair = try Pair()
    pair.server.setReading(false)
    pair.client.writeDeadline_ns = 20 * millisecond_ns
    pair.client.output.append([UInt8](repeating: 1, count: 40_000_000))
    pair.client.wantsFlush()
    #expect(pair.wait { !pair.clientSide.reasons.isEmpty })
    #expect(pair.clientSide.reasons == [.writeDeadline])
  }

  @Test("closing writes what is waiting, tells each side once, and never from within the call")
  func closing() throws {
    let pair = try Pair()
    pair.client.output.append(literal: "last words")
    pair.client.close()
    pair.client.close()
    #expect(pair.clientSide.reasons.isEmpty)
    #expect(pair.wait { !pair.clientSide.reasons.isEmpty && !pair.serverSide.reasons.isEmpty })
    #expect(String(decoding: pair.serverSide.bytes, as: UTF8.self) == "last words")
    #expect(pair.clientSide.reasons == [.closedHere])
    #expect(pair.serverSide.reasons == [.peerClosed])
  }

  @Test("closing after the flush waits until a slow peer has everything")
  func closeAfterFlush() throws {
    let pair = try Pair()
    pair.server.setReading(false)
    pair.client.output.append([UInt8](repeating: 5, count: 15_000_000))
    pair.client.closeAfterFlush()
    for _ in 0..<20 { pair.loop.runTurn(wait: false) }
    #expect(pair.clientSide.reasons.isEmpty)
    pair.server.setReading(true)
    #expect(pair.wait { !pair.clientSide.reasons.isEmpty && !pair.serverSide.reasons.isEmpty })
    #expect(pair.serverSide.bytes.count == 15_000_000)
    #expect(pair.clientSide.reasons == [.closedHere])
  }

  @Test("a reply written while the peer's last bytes are read still leaves when the peer has closed its side")
  func closingFromWithinReceive() throws {
    let pair = try Pair()
    pair.serverSide.onReceive = { stream in
      stream.output.append(literal: "-ERR 'no'\r\n")
      stream.close()
    }
    pair.client.output.append([UInt8](repeating: 65, count: 100_000))
    pair.client.wantsFlush()
    #expect(pair.wait { !pair.clientSide.reasons.isEmpty && !pair.serverSide.reasons.isEmpty })
    #expect(pair.serverSide.reasons == [.closedHere])
  }

  @Test("connecting to a closed port is refused, and a given up attempt says nothing")
  func refused() throws {
    let loop = LinuxLoop()
    let network = LinuxNetwork(loop: loop)
    let listener = try network.listen(SocketAddress(literal: "127.0.0.1", port: 0)!) { _ in }
    let address = listener.local
    listener.close()
    var outcomes: [Result<ByteStream, NetworkError>] = []
    let given = network.connect(address, timeout_ns: second_ns) { outcomes.append($0) }
    given.cancel()
    _ = network.connect(address, timeout_ns: second_ns) { outcomes.append($0) }
    #expect(outcomes.isEmpty)
    #expect(loop.run(timeout_ns: 5 * second_ns) { !outcomes.isEmpty })
    for _ in 0..<5 { loop.runTurn(wait: false) }
    #expect(outcomes.count == 1)
    if case .failure(let error) = outcomes[0] { #expect(error == .refused) } else { Issue.record("connected to a closed port") }
  }

  @Test("a loop that is closed lets go of its connections, and their peers notice")
  func closedLoop() throws {
    let outside = LinuxLoop()
    let side = Recorder()
    var connected: ByteStream?
    var address: SocketAddress?
    func inner() throws -> LinuxLoop {
      let loop = LinuxLoop()
      var accepted = 0
      let inside = Recorder()
      address = try LinuxNetwork(loop: loop).listen(SocketAddress(literal: "127.0.0.1", port: 0)!) { stream in
        stream.delegate = inside
        accepted += 1
      }.local
      _ = LinuxNetwork(loop: outside).connect(address!, timeout_ns: 5 * second_ns) { result in
        if case .success(let stream) = result {
          stream.delegate = side
          connected = stream
        }
      }
      #expect(outside.run(timeout_ns: 5 * second_ns) { connected != nil })
      #expect(loop.run(timeout_ns: 5 * second_ns) { accepted == 1 })
      loop.timers.schedule(at: 0) { accepted = 99 }
      loop.close()
      loop.runTurn(wait: false)
      #expect(accepted == 1)
      return loop
    }
    _ = try inner()
    #expect(outside.run(timeout_ns: 5 * second_ns) { !side.reasons.isEmpty })
    var outcome: Result<ByteStream, NetworkError>?
    _ = LinuxNetwork(loop: outside).connect(address!, timeout_ns: second_ns) { outcome = $0 }
    #expect(outside.run(timeout_ns: 5 * second_ns) { outcome != nil })
    if case .success? = outcome { Issue.record("a closed loop still listens") }
  }

  @Test("a port that is taken cannot be listened on")
  func taken() throws {
    let loop = LinuxLoop()
    let network = LinuxNetwork(loop: loop)
    let listener = try network.listen(SocketAddress(literal: "127.0.0.1", port: 0)!) { _ in }
    #expect(throws: NetworkError.addressInUse) { _ = try network.listen(listener.local) { _ in } }
  }

  @Test("address literals are answered without asking, localhost comes from the hosts file, nonsense is an error")
  func resolving() {
    let loop = LinuxLoop()
    let network = LinuxNetwork(loop: loop)
    var answers: [String: Result<[SocketAddress], NetworkError>] = [:]
    for name in ["192.0.2.7", "::1", "[2001:db8::1]", "localhost", "", String(repeating: "a", count: 300)] {
      _ = network.resolve(name, port: 4222) { answers[name] = $0 }
    }
    #expect(answers.isEmpty)
    #expect(loop.run(timeout_ns: 20 * second_ns) { answers.count == 6 })
    #expect(answers["192.0.2.7"] == .success([SocketAddress(literal: "192.0.2.7", port: 4222)!]))
    #expect(answers["::1"] == .success([SocketAddress(literal: "::1", port: 4222)!]))
    #expect(answers["[2001:db8::1]"] == .success([SocketAddress(literal: "2001:db8::1", port: 4222)!]))
    if case .success(let addresses)? = answers["localhost"] {
      #expect(addresses.contains(SocketAddress(literal: "127.0.0.1", port: 4222)!) || addresses.contains(SocketAddress("[::1]:4222")!))
    } else {
      Issue.record("localhost has no address")
    }
    #expect(answers[""] == .failure(.nameNotFound("")))
    // Idle again: nothing is scheduled and nothing wants another turn.
    for _ in 0..<3 { loop.runTurn(wait: false) }
    #expect(loop.timers.nextDeadline_ns == nil)
  }

  @Test("a name that nobody waits for any more leaves the queue, and when too many wait the rest is told that there is no answer")
  func cancelledNames() {
    let loop = LinuxLoop()
    let resolver = LinuxResolver(loop: loop)
    var answered = 0
    var refused = 0
    var questions: [any ConnectAttempt] = []
    let room = LinuxResolver.lookupsMax + LinuxResolver.waitingMax
    for _ in 0..<room + 3 {
      questions.append(
        resolver.resolve("localhost", port: 1) { result in
          if case .failure(.nameServerFailed) = result { refused += 1 } else { answered += 1 }
        })
    }
    #expect(resolver.waitingCount == LinuxResolver.waitingMax)
    for question in questions[4..<room - 4] { question.cancel() }
    #expect(resolver.waitingCount == 4)
    #expect(loop.run(timeout_ns: 20 * second_ns) { answered == 8 })
    for _ in 0..<3 { loop.runTurn(wait: false) }
    #expect(refused == 3 && answered == 8 && resolver.waitingCount == 0)
    questions[0].cancel()
  }

  @Test(
    "a peer that takes a little at a time gets the write deadline once a stream closes, and not for each little", arguments: [false, true])
  func trickle(isLayered: Bool) throws {
    let pair = try Pair()
    pair.server.setReading(false)
    let stream = isLayered ? PlainLayer(over: pair.client) : pair.client
    if isLayered { stream.delegate = pair.clientSide }
    stream.writeDeadline_ns = 300 * millisecond_ns
    stream.output.append([UInt8](repeating: 1, count: 60_000_000))
    let start_ns = pair.loop.clock.monotonic_ns
    stream.closeAfterFlush()
    var next_ns = start_ns
    #expect(
      pair.wait {
        if pair.loop.clock.monotonic_ns >= next_ns {
          next_ns += 30 * millisecond_ns
          pair.server.setReading(true)
        } else {
          pair.server.setReading(false)
        }
        return !pair.clientSide.reasons.isEmpty
      })
    #expect(pair.clientSide.reasons == [.writeDeadline])
    let took_ns = pair.loop.clock.monotonic_ns - start_ns
    #expect(took_ns >= 300 * millisecond_ns && pair.serverSide.bytes.count > 0)
  }

  @Test("addresses are written and read as people do")
  func addressText() {
    let odd = [
      "[::]:1", "[1::]:1", "[1:0:0:2::3]:1", "[1::2:0:0:3:4]:1", "[1:0:2:0:3:0:4:5]:1", "[::ffff:192.0.2.1]:1", "[fe80::ff:fe00:1]:1",
    ]
    for text in ["127.0.0.1:4222", "[::1]:4222", "[2001:db8::5]:65535", "0.0.0.0:0", "255.10.100.9:1"] + odd {
      #expect(SocketAddress(text)?.description == text)
    }
    for text in ["", ":", "127.0.0.1", "127.0.0.1:65536", "::1:4222", "[::1]", "localhost:4222", "1.2.3.4:-1", "1.2.3:4"] {
      #expect(SocketAddress(text) == nil)
    }
  }
}
