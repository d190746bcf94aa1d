// The simulated network does what a real one does, only when told to, and always the same for the same seed.
import Bytes
import Testing

@testable import Platform

/// Two machines with a listener on the second, and helpers to connect.
final class SimulatedPair {
  let simulation: Simulation
  let client: SimulatedMachine
  let server: SimulatedMachine
  var clientSide = Recorder()
  var serverSide = Recorder()
  var accepted: ByteStream?
  var connected: ByteStream?
  var failure: NetworkError?

  init(seed: UInt64, link: SimulatedLink = SimulatedLink()) {
    simulation = Simulation(seed: seed)
    client = simulation.machine("client")
    server = simulation.machine("server")
    simulation.setLink(client, server, link)
  }

  var address: SocketAddress { SocketAddress(address: server.address, port: 4222) }

  func listen() {
    _ = try! server.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 4222)!) { [unowned self] stream in
      stream.delegate = serverSide
      accepted = stream
    }
  }

  @discardableResult
  func connect(timeout_ns: Int64 = 5 * second_ns) -> any ConnectAttempt {
    client.host.network.connect(address, timeout_ns: timeout_ns) { [unowned self] result in
      switch result {
      case .success(let stream):
        stream.delegate = clientSide
        connected = stream
      case .failure(let error): failure = error
      }
    }
  }

  func connectAndWait() {
    connect()
    let made = simulation.run(timeout_ns: 60 * second_ns) { accepted != nil && connected != nil }
    #expect(made, "\(simulation.report())")
  }

  func send(_ text: String) {
    connected!.output.append(ByteString(text))
    connected!.wantsFlush()
  }
}

@Suite struct SimulatedNetworkTests {
  private func connected(seed: UInt64, link: SimulatedLink = SimulatedLink()) -> SimulatedPair {
    let pair = SimulatedPair(seed: seed, link: link)
    pair.listen()
    pair.connectAndWait()
    return pair
  }

  /// A run with much of everything; returns its trace's hash.
  private func story(seed: UInt64) -> (hash: UInt64, calls: Int, time_ns: Int64, sums: [Int]) {
    let pair = connected(
      seed: seed, link: SimulatedLink(latency_ns: 20 * millisecond_ns, jitter_ns: 30 * millisecond_ns, loss_millionths: 50_000))
    pair.serverSide.echo = true
    for round in 0..<20 {
      pair.simulation.after(Int64(round) * 100 * millisecond_ns) {
        guard let stream = pair.connected, !stream.isClosed else { return }
        stream.output.append([UInt8](repeating: UInt8(round), count: 1 + pair.simulation.entropy.below(5000)))
        stream.wantsFlush()
      }
    }
    pair.simulation.after(700 * millisecond_ns) { pair.simulation.partition(pair.client, pair.server) }
    pair.simulation.after(3 * second_ns) { pair.simulation.heal(pair.client, pair.server) }
    pair.simulation.run(for: 20 * second_ns)
    pair.server.kill()
    pair.simulation.run(for: 20 * second_ns)
    pair.simulation.note("received \(pair.clientSide.bytes.count) in \(pair.clientSide.calls)")
    #expect(pair.clientSide.bytes == pair.serverSide.bytes)
    return (pair.simulation.traceHash, pair.clientSide.calls, pair.simulation.now_ns, [pair.clientSide.bytes.count])
  }

  @Test("the same seed gives the same run, another seed another one")
  func determinism() {
    var hashes = Set<UInt64>()
    for seed in UInt64(1)...10 {
      let first = story(seed: seed)
      #expect(story(seed: seed) == first)
      hashes.insert(first.hash)
    }
    #expect(hashes.count == 10)
  }

  @Test("bytes arrive whole and in order in whatever pieces, with loss and jitter", arguments: [UInt64(1), 2, 3, 4])
  func integrity(seed: UInt64) {
    let link = SimulatedLink(latency_ns: 5 * millisecond_ns, jitter_ns: 50 * millisecond_ns, bandwidth: 10_000_000, loss_millionths: 20_000)
    let pair = connected(seed: seed, link: link)
    let sent = (0..<1_500_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
    pair.connected!.output.append(sent)
    pair.connected!.wantsFlush()
    let arrived = pair.simulation.run(timeout_ns: 600 * second_ns) { pair.serverSide.bytes.count == sent.count }
    #expect(arrived, "\(pair.simulation.report())")
    #expect(pair.serverSide.bytes == sent)
    #expect(pair.serverSide.calls > 5)
    #expect(pair.clientSide.drainedCount == 1)
  }

  @Test("bandwidth bounds the rate and latency the first byte")
  func bandwidth() {
    let pair = connected(seed: 5, link: SimulatedLink(latency_ns: 100 * millisecond_ns, jitter_ns: 0, bandwidth: 100_000))
    #expect(pair.simulation.now_ns >= 200 * millisecond_ns)
    let start_ns = pair.simulation.now_ns
    pair.connected!.output.append([UInt8](repeating: 1, count: 200_000))
    pair.connected!.wantsFlush()
    #expect(pair.simulation.run(timeout_ns: 60 * second_ns) { pair.serverSide.bytes.count == 200_000 })
    let took_ns = pair.simulation.now_ns - start_ns
    #expect(took_ns >= 2 * second_ns && took_ns < 3 * second_ns)
    #expect(pair.connected!.kernelRTT_us == 200_000)
  }

  @Test("a partition stalls a connection silently, and healing it delivers what waited")
  func partition() {
    let pair = connected(seed: 6)
    pair.simulation.partition(pair.client, pair.server)
    pair.send("through")
    pair.simulation.run(for: 60 * second_ns)
    #expect(pair.serverSide.bytes.isEmpty && pair.clientSide.reasons.isEmpty && pair.serverSide.reasons.isEmpty)
    pair.simulation.heal(pair.client, pair.server)
    pair.send(" the wall")
    pair.simulation.run(for: 3 * second_ns)
    #expect(String(decoding: pair.serverSide.bytes, as: UTF8.self) == "through the wall")
  }

  @Test("with a user timeout a stalled connection ends, and the other side finds out when it speaks")
  func userTimeout() {
    let pair = connected(seed: 7)
    pair.connected!.setUserTimeout(5000)
    pair.simulation.partition(pair.client, pair.server)
    pair.send("lost")
    pair.simulation.run(for: 4 * second_ns)
    #expect(pair.clientSide.reasons.isEmpty)
    pair.simulation.run(for: 2 * second_ns)
    #expect(pair.clientSide.reasons == [.failed(.timedOut)])
    pair.simulation.heal(pair.client, pair.server)
    pair.simulation.run(for: 5 * second_ns)
    pair.accepted!.output.append(literal: "PING\r\n")
    pair.accepted!.wantsFlush()
    pair.simulation.run(for: 5 * second_ns)
    #expect(pair.serverSide.reasons.count == 1)
  }

  @Test("cut connections are reset on both sides, and new ones can be made")
  func cut() {
    let pair = connected(seed: 8)
    pair.simulation.cut(pair.client, pair.server)
    pair.simulation.run(for: second_ns)
    #expect(pair.clientSide.reasons == [.failed(.reset)] && pair.serverSide.reasons == [.failed(.reset)])
    pair.connected = nil
    pair.accepted = nil
    pair.connectAndWait()
    pair.simulation.partition(pair.client, pair.server)
    pair.simulation.heal(pair.client, pair.server, reset: true)
    pair.simulation.run(for: second_ns)
    #expect(pair.clientSide.reasons.count == 2 && pair.serverSide.reasons.count == 2)
  }

  @Test("connecting is refused without a listener or by a firewall, and times out behind a partition or at nobody's address")
  func connectFailures() {
    let pair = SimulatedPair(seed: 9)
    func outcome() -> NetworkError? {
      pair.failure = nil
      pair.connect()
      pair.simulation.run(for: 10 * second_ns)
      return pair.failure
    }
    #expect(outcome() == .refused)
    pair.listen()
    pair.simulation.partition(pair.client, pair.server)
    #expect(outcome() == .timedOut)
    pair.simulation.heal(pair.client, pair.server)
    var link = SimulatedLink()
    link.refuses = true
    pair.simulation.setLink(pair.client, pair.server, link)
    #expect(outcome() == .refused)
    pair.server.powerCut()
    pair.simulation.setLink(pair.client, pair.server, SimulatedLink())
    #expect(outcome() == .timedOut)
    #expect(pair.connected == nil)
    let attempt = pair.connect()
    attempt.cancel()
    #expect(outcome() == .timedOut)
  }

  @Test("a SYN that is lost is sent again")
  func synRetry() {
    let pair = SimulatedPair(seed: 10)
    pair.listen()
    pair.simulation.partition(pair.client, pair.server)
    pair.connect()
    pair.simulation.run(for: 500 * millisecond_ns)
    pair.simulation.heal(pair.client, pair.server)
    pair.simulation.run(for: 2 * second_ns)
    #expect(pair.connected != nil && pair.accepted != nil)
  }

  @Test("a killed process closes its connections; a machine without current says nothing until it is back")
  func deaths() {
    let pair = connected(seed: 11)
    pair.server.kill()
    pair.simulation.run(for: second_ns)
    #expect(pair.clientSide.reasons == [.peerClosed])
    #expect(pair.serverSide.reasons.isEmpty)
    pair.server.start()
    pair.listen()
    pair.accepted = nil
    pair.connected = nil
    pair.connectAndWait()
    pair.server.powerCut()
    pair.send("hello?")
    pair.simulation.run(for: 100 * second_ns)
    #expect(pair.clientSide.reasons.count == 1)
    pair.server.start()
    pair.simulation.run(for: 5 * second_ns)
    #expect(pair.clientSide.reasons == [.peerClosed, .failed(.reset)])
  }

  @Test("a paused reader holds the sender back, an overflow and a write deadline close it")
  func slowReader() {
    for expected in [CloseReason.outputOverflow, .writeDeadline] {
      let pair = connected(seed: 12)
      pair.accepted!.setReading(false)
      if expected == .outputOverflow { pair.connected!.output.limit = 100_000 }
      pair.connected!.output.append([UInt8](repeating: 1, count: 2_000_000))
      pair.connected!.wantsFlush()
      pair.simulation.run(for: 60 * second_ns)
      #expect(pair.serverSide.bytes.isEmpty)
      #expect(pair.clientSide.reasons == [expected])
    }
    let pair = connected(seed: 13)
    pair.accepted!.setReading(false)
    pair.connected!.output.append([UInt8](repeating: 1, count: 2_000_000))
    pair.connected!.closeAfterFlush()
    pair.simulation.run(for: 5 * second_ns)
    pair.accepted!.setReading(true)
    pair.simulation.run(for: 60 * second_ns)
    #expect(pair.serverSide.bytes.count == 2_000_000)
    #expect(pair.clientSide.reasons == [.closedHere] && pair.serverSide.reasons == [.peerClosed])
  }

  @Test("names resolve to machines, unknown ones do not, and silent name servers fail late")
  func names() {
    let pair = SimulatedPair(seed: 14)
    var answers: [String: Result<[SocketAddress], NetworkError>] = [:]
    func ask(_ name: String) {
      pair.client.host.network.resolve(name, port: 7422) { answers[name] = $0 }
      pair.simulation.run(for: 10 * second_ns)
    }
    for name in ["server", "nowhere", "192.0.2.1", "localhost"] { ask(name) }
    #expect(answers["server"] == .success([SocketAddress(address: pair.server.address, port: 7422)]))
    #expect(answers["nowhere"] == .failure(.nameNotFound("nowhere")))
    #expect(answers["192.0.2.1"] == .success([SocketAddress("192.0.2.1:7422")!]))
    #expect(answers["localhost"] == .success([SocketAddress("127.0.0.1:7422")!]))
    pair.client.canResolve = false
    ask("server")
    #expect(answers["server"] == .failure(.nameServerFailed("server")))
  }

  @Test("timers of a process fire in simulated time, and never after its death")
  func timers() {
    let simulation = Simulation(seed: 15)
    let machine = simulation.machine("one")
    var fired = 0
    machine.host.after(3600 * second_ns) { fired += 1 }
    simulation.run(for: 3599 * second_ns)
    #expect(fired == 0)
    simulation.run(for: 2 * second_ns)
    #expect(fired == 1)
    machine.host.after(second_ns) { fired += 1 }
    machine.kill()
    machine.start()
    simulation.run(for: 10 * second_ns)
    #expect(fired == 1)
  }

  @Test("a machine without a real-time clock wakes up in 1970 until its clock is set")
  func clocks() {
    let simulation = Simulation(seed: 16)
    let machine = simulation.machine("one")
    simulation.run(for: 5 * second_ns)
    #expect(machine.host.clock.wall_ns == simulation.wallStart_ns + 5 * second_ns)
    machine.hasRealTimeClock = false
    machine.powerCut()
    simulation.run(for: 60 * second_ns)
    machine.start()
    #expect(machine.host.clock.wall_ns < 20 * second_ns)
    machine.synchroniseWallClock()
    #expect(machine.host.clock.wall_ns == simulation.wallStart_ns + 65 * second_ns)
  }
}
