// Clients over WebSocket: the same clients, told another address, closed with a status.
import Bytes
import Interest
import JSON
import Platform
import Testing
import Web

@testable import Broker

@Suite struct WebSocketClientTests {
  private func rig(_ change: (inout BrokerLimits) -> Void = { _ in }) -> BrokerRig {
    let rig = BrokerRig(change)
    rig.listenForWebSockets()
    return rig
  }

  @Test("a client over WebSocket is told where it connected to, and shares messages with others")
  func messages() throws {
    let rig = rig()
    rig.broker.advertised = (host: "public.example", port: 4222)
    let (client, _) = try #require(rig.webSocketClient(""))
    let info = try JSON.parse(ByteString(String(client.heard().dropFirst(5))))
    #expect(info["port"]?.int == 8080 && info["host"]?.string != "public.example" && info["client_id"]?.int == 1)
    #expect(info["tls_required"] == nil && info["client_ip"]?.string?.isEmpty == false)
    #expect(client.say(BrokerRig.quiet + "SUB up.> 1\r\nPING\r\n") == "PONG\r\n")
    let other = rig.client()
    #expect(other.say("SUB down 7\r\nPUB up.a 2\r\nhi\r\nPING\r\n") == "PONG\r\n")
    #expect(client.say("PUB down 3\r\nyes\r\n") == "MSG up.a 1 2\r\nhi\r\n")
    #expect(other.heard() == "MSG down 7 3\r\nyes\r\n")
    #expect(rig.broker.connectionCount == 2 && rig.broker.clients.values.filter { $0.upgrade != nil }.count == 1)
  }

  @Test("a client that is closed hears why: in NATS where there are words for it, and as the WebSocket's status")
  func statuses() throws {
    let causes: [(String, String, UInt16)] = [
      ("UNSUB\r\n", "-ERR 'Unknown Protocol Operation'\r\n", 1002), ("PUB a 9999999\r\n", "-ERR 'Maximum Payload Violation'\r\n", 1009),
      ("SUB \(String(repeating: "x", count: 5000)) 1\r\n", "-ERR 'maximum control line exceeded'\r\n", 1008), ("SUB a\r\n", "", 1002),
      ("CONNECT {\"protocol\":9}\r\n", "-ERR 'invalid client protocol'\r\n", 1002), ("-ERR 'x'\r\n", "", 1000),
    ]
    let rig = rig()
    for (said, error, status) in causes {
      let (client, socket) = try #require(rig.webSocketClient())
      #expect(client.say(said) == error, "\(said.prefix(20))")
      #expect(socket.closeStatus == status && client.closed == .peerClosed, "\(said.prefix(20))")
    }
    #expect(rig.broker.clients.isEmpty)
    let (client, socket) = try #require(rig.webSocketClient())
    rig.broker.shutdown()
    rig.simulation.run(for: second_ns)
    #expect(socket.closeStatus == 1001 && client.closed == .peerClosed && rig.webSocketClient() == nil)
  }

  @Test("clients over WebSocket count as clients, and are pinged at their own pace")
  func limits() throws {
    let rig = rig { $0.connectionsMax = 1 }
    rig.broker.webSocketPingInterval_ns = second_ns / 2
    let (client, _) = try #require(rig.webSocketClient())
    let (second, socket) = try #require(rig.webSocketClient(""))
    #expect(second.heard().hasSuffix("-ERR 'maximum connections exceeded'\r\n") && socket.closeStatus == 1008)
    client.forget()
    rig.simulation.run(for: 700 * millisecond_ns)
    #expect(client.heard() == "PING\r\n")
    rig.simulation.run(for: 5 * second_ns)
    #expect(client.heard().hasSuffix("-ERR 'Stale Connection'\r\n") && client.closed == .peerClosed)
  }

  @Test("frames that are none end the connection with what was wrong in the log, those before still count")
  func violation() throws {
    let rig = rig()
    let (client, socket) = try #require(rig.webSocketClient())
    socket.inner.output.append([0x82, 0x06] + [UInt8]("PING\r\n".utf8))
    socket.inner.wantsFlush()
    rig.simulation.run(for: second_ns)
    #expect(client.closed == .peerClosed && socket.closeStatus == 1002 && rig.broker.clients.isEmpty)
    #expect(rig.simulation.report().contains("wid:1 - read error: a frame without a mask"))
  }

  @Test("leaf nodes over WebSocket go to whoever accepts them; without anybody they are told so and closed")
  func leafs() throws {
    let rig = rig()
    let (client, socket) = try #require(rig.webSocketClient("", path: "/leafnode"))
    rig.simulation.run(for: second_ns)
    #expect(client.heard() == "-ERR 'Not configured to accept leaf node connections'\r\n")
    #expect(client.closed == .peerClosed && socket.closeStatus == 1008 && rig.broker.connectionsTotal == 0)
    #expect(rig.simulation.report().contains("Not configured to accept leaf node connections: leafnodes has no port"))
    var accepted = 0
    rig.broker.leafAccepted = { socket in
      accepted += 1
      socket.delegate = RawClient(socket, rig)
      socket.output.append(literal: "INFO {}\r\n")
      socket.wantsFlush()
    }
    let (leaf, _) = try #require(rig.webSocketClient("", path: "/site/leafnode"))
    #expect(leaf.heard() == "INFO {}\r\n" && accepted == 1)
    rig.broker.leafAccepted = nil
  }

  @Test("a client whose stream is cut off anywhere is forgotten", arguments: [UInt64(1), 2])
  func truncated(_ seed: UInt64) throws {
    let wire: [UInt8] = [0x82, 0x9B, 0, 0, 0, 0] + [UInt8]("SUB a 1\r\nPUB a 5\r\nhello\r\n\r\n".utf8)
    for length in 0..<wire.count {
      let rig = BrokerRig(seed: seed)
      rig.listenForWebSockets()
      let (_, socket) = try #require(rig.webSocketClient())
      socket.inner.output.append(Array(wire[..<length]))
      socket.inner.closeAfterFlush()
      rig.simulation.run(for: second_ns)
      #expect(rig.broker.clients.isEmpty && rig.account.interest.count == 0, "\(length)")
    }
  }
}
