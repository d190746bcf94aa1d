// Dialling: plain, over WebSocket, through a proxy, and what is said when it does not work.
import Broker
import Bytes
import Platform
import Testing
import Web

@testable import Leaf

@Suite struct DialTests {
  @Test("a link works by every way, and S2 is asked for only where it is not inside out", arguments: [true, false], [true, false])
  func ways(_ webSocket: Bool, _ proxied: Bool) {
    let rig = DialRig()
    let remote = rig.remote(rig.endpoint(webSocket: webSocket, proxied: proxied, user: proxied ? "me" : ""))
    rig.broker.globalAccount.subscribe("here.>") { _, _ in }
    rig.simulation.run(for: second_ns)
    #expect(remote.link?.isEstablished == true && rig.ends.count == 1)
    let said = rig.ends[0].operations
    #expect(said.contains("LS+ here.>") && rig.ends[0].nonsense == nil)
    #expect(said.contains { $0.hasPrefix("INFO {\"compression\":") } == !webSocket)
    #expect(said.contains { $0.hasPrefix("CONNECT") && $0.contains("\"compress_mode\":\"off\"") } == webSocket)
    #expect(rig.asked.count == (proxied ? 1 : 0))
    if proxied {
      let target = "\(SocketAddress(address: rig.hub.address, port: webSocket ? 8080 : 7422))"
      #expect(rig.asked[0] == "CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\nProxy-Authorization: Basic bWU6bWU=\r\n\r\n")
    }
    remote.stop()
  }

  @Test("the time to INFO is the whole way to the hub and back, by every way", arguments: [true, false], [true, false])
  func distance(_ webSocket: Bool, _ proxied: Bool) {
    let rig = DialRig(edgeToProxy_ms: 10, proxyToHub_ms: 30)
    let remote = rig.remote(rig.endpoint(webSocket: webSocket, proxied: proxied))
    _ = rig.simulation.run(timeout_ns: second_ns) { remote.link?.rtt_ns != nil }
    let rtt_ms = (remote.link?.rtt_ns ?? 0) / millisecond_ns
    #expect(rtt_ms >= 80 && rtt_ms < 84, "\(rtt_ms)")
    remote.stop()
  }

  @Test("a proxy or server that does not do what it should is named, with what can be done")
  func failures() {
    let rig = DialRig()
    func proxied(_ answer: String, user: ByteString = "") -> String? {
      rig.refusal = answer
      return rig.failure(rig.endpoint(webSocket: false, proxied: true, user: user))?.text
    }
    let unauthenticated = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    #expect(proxied(unauthenticated) == "the proxy wants authentication (407): set username and password in its `proxy` block")
    #expect(proxied(unauthenticated, user: "me") == "the proxy does not accept the username and password (407)")
    #expect(proxied("HTTP/1.1 403 Forbidden\r\n\r\n") == "the proxy refuses the tunnel: 403 Forbidden")
    #expect(proxied("") == "the proxy closed the connection without an answer")
    #expect(proxied("SSH-2.0-x\r\n") == "what answers at the proxy's address is not an HTTP proxy")
    var elsewhere = rig.endpoint(webSocket: false, proxied: true)
    elsewhere.proxy!.port = 1
    #expect(rig.failure(elsewhere)?.text == "the proxy: connection refused")
    elsewhere.proxy!.hostName = "nowhere"
    #expect(rig.failure(elsewhere)?.text == "the proxy: no such host nowhere")
    // A leaf listener that is none for WebSockets.
    var plain = rig.endpoint(webSocket: true, proxied: false)
    plain.port = 7422
    #expect(
      rig.failure(plain)?.text == "the server does not speak HTTP (check the port and ws:// or wss://: this needs a WebSocket listener)")
    plain.port = 1
    #expect(rig.failure(plain) == .network(.refused))
  }

  @Test("a proxy or server that accepts and says nothing is given up in time")
  func silence() {
    let rig = DialRig()
    let holes: [(SimulatedMachine, UInt16)] = [(rig.proxy, 81), (rig.hub, 82)]
    for (machine, port) in holes {
      _ = try! machine.host.network.listen(SocketAddress(literal: "0.0.0.0", port: port)!) { $0.delegate = Hole() }
    }
    var endpoint = rig.endpoint(webSocket: false, proxied: true)
    endpoint.proxy!.port = 81
    endpoint.proxy!.timeout_ns = 300 * millisecond_ns
    let start_ns = rig.simulation.now_ns
    #expect(rig.failure(endpoint)?.text == "the proxy did not answer in time")
    #expect(rig.simulation.now_ns - start_ns < 400 * millisecond_ns)
    endpoint = rig.endpoint(webSocket: true, proxied: false)
    endpoint.port = 82
    #expect(rig.failure(endpoint)?.text == "the server did not answer in time")
    let hasty = LeafTLS(isRequired: true, timeout_ns: 300 * millisecond_ns)
    let second_start_ns = rig.simulation.now_ns
    #expect(rig.failure(endpoint, tls: hasty)?.text.hasPrefix("TLS: ") == true)
    #expect(rig.simulation.now_ns - second_start_ns < 400 * millisecond_ns)
  }

  @Test("a WebSocket that must be inside TLS is asked for nowhere else", arguments: [true, false])
  func inTheClear(_ proxied: Bool) {
    let rig = DialRig()
    let failure = rig.failure(rig.endpoint(webSocket: true, proxied: proxied), tls: LeafTLS(isRequired: true, timeout_ns: second_ns))
    guard case .tls? = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(rig.ends.isEmpty)
  }

  private final class Hole: ByteStreamDelegate {
    func received(_ bytes: ByteView, on stream: ByteStream) -> Int { bytes.count }
    func closed(_ stream: ByteStream, reason: CloseReason) { stream.delegate = nil }
  }

  @Test("a network that changes all the time does not keep a slow dial from ending")
  func restlessNetwork() {
    let rig = DialRig(edgeToProxy_ms: 200, proxyToHub_ms: 200)
    let remote = rig.remote(rig.endpoint(webSocket: false, proxied: false))
    for _ in 0..<60 {
      rig.simulation.run(for: 250 * millisecond_ns)
      remote.networkChanged(NetworkChange(hasGained: true))
    }
    #expect(remote.link?.isEstablished == true)
    remote.stop()
    var restarts = DialRestarts()
    var permitted: [Bool] = []
    for now_ns in [Int64(5), 104, 105] { permitted.append(restarts.permit(now_ns: now_ns, timeout_ns: 100)) }
    #expect(permitted == [true, false, true])
  }

  @Test("a dial that is given up while its name is asked for hears nothing of it")
  func cancelledName() {
    let rig = DialRig()
    var endpoint = rig.endpoint(webSocket: false, proxied: false)
    endpoint.hostName = "hub"
    let dial = LeafDial(host: rig.edge.host, endpoint: endpoint, tls: LeafTLS(), turn: 0, timeout_ns: second_ns) { _ in
      Issue.record("the dial was given up")
    }
    dial.cancel()
    rig.simulation.run(for: second_ns)
    #expect(rig.ends.isEmpty)
  }

  @Test("a dial that was given up at any step ends nowhere", arguments: 0..<24)
  func cancelled(_ step: Int) {
    let rig = DialRig(edgeToProxy_ms: 2, proxyToHub_ms: 2)
    var outcomes = 0
    let tls = LeafTLS(isRequired: step % 2 == 1)
    let endpoint = rig.endpoint(webSocket: true, proxied: true)
    let dial = LeafDial(host: rig.edge.host, endpoint: endpoint, tls: tls, turn: 0, timeout_ns: second_ns) { _ in outcomes += 1 }
    rig.simulation.run(for: Int64(step) * millisecond_ns)
    let before = outcomes
    dial.cancel()
    rig.simulation.run(for: 5 * second_ns)
    #expect(outcomes == before)
  }

  @Test("a link that is cut after any byte of the hub's comes back, with its interest", arguments: [true, false], [UInt64(1), 2])
  func truncated(_ webSocket: Bool, _ seed: UInt64) {
    let whole = DialRig(seed: seed)
    let unharmed = whole.remote(whole.endpoint(webSocket: webSocket, proxied: true))
    whole.simulation.run(for: 500 * millisecond_ns)
    unharmed.stop()
    // The answer to the handshake, both INFOs, the first interest.
    #expect(whole.fromHub > 600)
    for length in stride(from: Int(seed), to: whole.fromHub, by: 7) {
      let rig = DialRig(seed: seed)
      rig.cuts = [length]
      rig.broker.globalAccount.subscribe("here") { _, _ in }
      let remote = rig.remote(rig.endpoint(webSocket: webSocket, proxied: true))
      rig.simulation.run(for: 6 * second_ns)
      #expect(rig.asked.count == 2 && remote.link?.isEstablished == true, "\(length)")
      #expect(rig.ends.last?.operations.contains("LS+ here") == true && rig.ends.allSatisfy { $0.nonsense == nil }, "\(length)")
      remote.stop()
      rig.simulation.run(for: second_ns)
    }
  }
}
