// The recorded links over WebSocket, in the role of each end. What was recorded differs from what this server does in one thing: hub and
// spoke agreed to compress, with S2 around the frames (plain, nomask) or with permessage-deflate inside of them (compress). This server
// offers neither and asks for neither (docs/decisions/0007), and then a real one says the same without. So the recorded frames are replayed
// with that compression undone, and without the two INFOs that agreed on S2; and as they were recorded, to see them refused.
import Broker
import Bytes
import Compression
import Foundation
import JSON
import Platform
import Testing
import Wire

@testable import Leaf
@testable import Web

/// A frame of a WebSocket.
private struct Frame {
  let opcode: UInt8
  /// Its message is compressed.
  let isDeflated: Bool
  let key: [UInt8]?
  /// Without mask and compression.
  var payload: [UInt8]

  /// The whole frames of a stream of them.
  static func all(in bytes: [UInt8]) throws -> [Frame] {
    var frames: [Frame] = []
    var rest = ArraySlice(bytes)
    func take(_ count: Int) throws -> [UInt8] {
      try #require(count <= rest.count, "a frame was cut")
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    while !rest.isEmpty {
      let head = try take(2)
      let short = Int(head[1] & 0x7F)
      let count = try short < 126 ? short : take(short == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) }
      let key = try head[1] & 0x80 == 0 ? nil : take(4)
      var payload = try masked(take(count), key)
      let isDeflated = head[0] & 0x40 != 0
      if isDeflated { payload = try Inflate.message(payload) }
      frames.append(Frame(opcode: head[0] & 0x0F, isDeflated: isDeflated, key: key, payload: payload))
    }
    return frames
  }

  private static func masked(_ payload: [UInt8], _ key: [UInt8]?) -> [UInt8] {
    guard let key else { return payload }
    return payload.enumerated().map { $1 ^ key[$0 % 4] }
  }

  /// The frame without compression, with its mask.
  var plain: [UInt8] {
    let mask: UInt8 = key == nil ? 0 : 0x80
    let length = payload.count < 126 ? [mask | UInt8(payload.count)] : [mask | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
    return [0x80 | opcode] + length + (key ?? []) + Self.masked(payload, key)
  }

  var text: String { String(decoding: payload, as: UTF8.self) }
}

/// The lines of a head, and what is behind it.
private func head(_ bytes: [UInt8]) throws -> (lines: [String], rest: [UInt8]) {
  let end = try #require(bytes.firstRange(of: [13, 10, 13, 10]))
  let text = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
  return (text.components(separatedBy: "\r\n"), Array(bytes[end.upperBound...]))
}

/// A recorded link over WebSocket, taken apart.
private struct WebSocketCapture {
  struct Step {
    let isSpokes: Bool
    let frame: Frame
    /// As it was on the wire, in S2 from the agreement on.
    let wire: [UInt8]
  }

  let request: [String]
  let answer: [String]
  private(set) var steps: [Step] = []

  init(_ folder: String) throws {
    var chunks = try Vectors.chunks(folder).map { (isSpokes: $0.dir == "S>H", bytes: $0.bytes) }
    (request, chunks[0].bytes) = try head(chunks[0].bytes)
    (answer, chunks[1].bytes) = try head(chunks[1].bytes)
    for chunk in chunks {
      var bytes = chunk.bytes
      if bytes.starts(with: [0xFF, 6, 0, 0]) {
        // Every flush is a stream of its own (leafnode-protocol.md section 15.4).
        let decoder = S2StreamDecoder()
        var plain: [UInt8] = []
        try bytes.withView { view throws(S2Error) in try decoder.decode(view, scratch: S2Scratch(), into: &plain) }
        bytes = plain
      }
      for frame in try Frame.all(in: bytes) { steps.append(Step(isSpokes: chunk.isSpokes, frame: frame, wire: chunk.bytes)) }
    }
  }

  /// Without the two INFOs that agree on S2: the spoke's, and the hub's that answers it.
  var withoutAgreement: [Step] {
    guard let asked = steps.firstIndex(where: { $0.isSpokes && $0.frame.text.hasPrefix("INFO ") }) else { return steps }
    return steps.enumerated().filter { $0.offset != asked && $0.offset != asked + 1 }.map { $0.element }
  }
}

@Suite struct WebSocketReplayTests {
  static let folders = ["13_websocket_plain", "13_websocket_nomask", "13_websocket_compress"]

  /// Hub and spoke had the standard mode.
  private static func hub(_ folder: String) throws -> (rig: AcceptRig, wire: Wire, capture: WebSocketCapture) {
    let rig = AcceptRig { _, link in link.compression = .s2Auto }
    rig.hub.listenForWebSockets()
    let capture = try WebSocketCapture(folder)
    let wire = rig.wire(port: 8080)
    wire.send([UInt8]((capture.request + ["", ""]).joined(separator: "\r\n").utf8))
    rig.run()
    return (rig, wire, capture)
  }

  /// Every operation in `frames`.
  private static func operations(_ frames: [Frame], _ reader: RecordedDirection, _ body: (LeafOperation) -> Void) throws {
    for frame in frames where frame.opcode == 2 { try reader.operations(in: frame.payload, body) }
  }

  @Test("what is undone of the recorded compression leaves frames that are the recorded ones", arguments: folders)
  func undone(_ folder: String) throws {
    let steps = try WebSocketCapture(folder).steps
    #expect(steps.contains { $0.frame.isDeflated } == folder.hasSuffix("compress"))
    for step in steps where !step.frame.isDeflated { #expect(step.wire.suffix(step.frame.plain.count).elementsEqual(step.frame.plain)) }
    #expect(steps.contains { $0.frame.text.hasPrefix("CONNECT {\"version\":\"2.15.1\"") })
    #expect(steps.allSatisfy { ($0.frame.key != nil) == ($0.isSpokes && !folder.hasSuffix("nomask")) })
  }

  @Test("as the hub, this server answers the recorded spoke in HTTP and in frames as the recorded hub did", arguments: folders)
  func hub(_ folder: String) throws {
    let (rig, wire, capture) = try Self.hub(folder)
    let (lines, first) = try head(wire.take())
    #expect(lines == capture.answer.filter { !$0.hasPrefix("Sec-WebSocket-Extensions: ") })
    let replay = Replay(account: rig.hub.account)
    let (own, up, down) = (RecordedDirection(), RecordedDirection(), RecordedDirection())
    func hear(_ bytes: [UInt8]) throws {
      let frames = try Frame.all(in: bytes)
      #expect(frames.allSatisfy { $0.key == nil && !$0.isDeflated && $0.opcode == 2 })
      try Self.operations(frames, own) { replay.heard([described($0)]) }
    }
    try hear(first)
    for step in capture.withoutAgreement {
      if step.isSpokes {
        wire.send(step.frame.plain)
        try Self.operations([step.frame], up) { replay.willReceive($0) }
      } else {
        try Self.operations([step.frame], down) { replay.cause($0) }
      }
      rig.run(20 * millisecond_ns)
      try hear(wire.take())
      if !step.isSpokes { replay.settle() }
    }
    #expect(replay.missing == [] && replay.surplus == [] && replay.got.sorted() == replay.expected.sorted())
    #expect(replay.introductionDifferences(sameRelease: true, except: ["compression"]) == [])
    #expect(fields(replay.introductions[0])?["compression"]?.string == "off")
    #expect(!wire.isClosed && rig.hub.accepted.map { $0.peer.serverName } == ["spoke"] && rig.hub.accepted[0].isEstablished)
  }

  /// This server as the spoke, and its request.
  private struct Spoke {
    let capture: WebSocketCapture
    let simulation = Simulation(seed: 1)
    let server: LeafServer
    let remote: LeafRemote
    let wire: Wire
    let request: [String]

    init(_ folder: String) throws {
      capture = try WebSocketCapture(folder)
      server = LeafServer(simulation.machine("spoke"))
      let machine = simulation.machine("hub")
      var wire: Wire!
      _ = try machine.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 8080)!) { wire = Wire($0) }
      remote = server.keepWebSocket(to: machine, LeafWebSocket(wantsNoMasking: folder.hasSuffix("nomask"))) { $0.compression = .s2Auto }
      simulation.run(for: 50 * millisecond_ns)
      self.wire = wire
      let (lines, early) = try head(wire.take())
      request = lines
      #expect(early.isEmpty)
    }

    /// The recorded answer, but for what it says to the recorded key, and to the offer to compress unless that is `kept`.
    func answer(offerIsKept: Bool) throws {
      let name = "Sec-WebSocket-Key: "
      let key = ByteString(String(try #require(request.first { $0.hasPrefix(name) }).dropFirst(name.count)))
      let accept = String(decoding: key.withView { WebSocketHandshake.accept($0) }, as: UTF8.self)
      var lines = capture.answer.map { $0.hasPrefix("Sec-WebSocket-Accept: ") ? "Sec-WebSocket-Accept: \(accept)" : $0 }
      if !offerIsKept { lines.removeAll { $0.hasPrefix("Sec-WebSocket-Extensions: ") } }
      wire.send([UInt8]((lines + ["", ""]).joined(separator: "\r\n").utf8))
    }
  }

  @Test("as the spoke, this server says to the recorded hub in HTTP and in frames what the recorded spoke said", arguments: folders)
  func spoke(_ folder: String) throws {
    let spoke = try Spoke(folder)
    let (edge, simulation, wire) = (spoke.server, spoke.simulation, spoke.wire)
    let isUnmasked = folder.hasSuffix("nomask")
    // But for where it is, what it is called, its key; and what it does not offer.
    func comparable(_ lines: [String]) -> Set<String> {
      Set(
        lines.filter { line in !["Host:", "User-Agent:", "Sec-WebSocket-Key:", "Sec-Websocket-Extensions:"].contains { line.hasPrefix($0) }
        })
    }
    #expect(comparable(spoke.request) == comparable(spoke.capture.request))
    try spoke.answer(offerIsKept: false)
    let replay = Replay(account: edge.account)
    let (own, up, down) = (RecordedDirection(), RecordedDirection(), RecordedDirection())
    for step in spoke.capture.withoutAgreement {
      if step.isSpokes {
        try Self.operations([step.frame], up) { replay.cause($0) }
      } else {
        wire.send(step.frame.plain)
        try Self.operations([step.frame], down) { replay.willReceive($0) }
      }
      simulation.run(for: 20 * millisecond_ns)
      let frames = try Frame.all(in: wire.take())
      #expect(frames.allSatisfy { ($0.key == nil) == isUnmasked && !$0.isDeflated && $0.opcode == 2 })
      try Self.operations(frames, own) { replay.heard([described($0)]) }
      if step.isSpokes { replay.settle() }
    }
    #expect(replay.missing == [] && replay.surplus == [] && replay.got.sorted() == replay.expected.sorted())
    #expect(replay.introductionDifferences(sameRelease: true, except: ["compress_mode"]) == [])
    // The hub whose messages were compressed otherwise said nothing of S2.
    #expect(fields(replay.introductions[0])?["compress_mode"]?.string == (folder.hasSuffix("compress") ? "not supported" : "off"))
    #expect(!wire.isClosed && spoke.remote.link?.isEstablished == true)
    spoke.remote.stop()
  }

  @Test("a spoke that compresses as the recorded one, although nothing was offered, is refused", arguments: folders)
  func hubRefuses(_ folder: String) throws {
    let (rig, wire, capture) = try Self.hub(folder)
    _ = wire.take()
    // Its first frame is enough: what follows in S2 is no frame at all.
    wire.send(try #require(capture.steps.first { $0.isSpokes }).wire)
    rig.run(second_ns)
    let said = wire.take()
    if folder.hasSuffix("compress") {
      // Already its head is refused; what is still under way then may cost the end of the answer.
      #expect(said.first == 0x88 && rig.simulation.report().contains("read error: a compressed frame, which was not agreed on"))
    } else {
      // As a real hub answers INFO where it said that it does not compress.
      let frames = try Frame.all(in: said)
      #expect(frames.map { $0.opcode } == [2, 8] && frames[0].text == "-ERR 'Authorization Violation'\r\n")
    }
    #expect(wire.isClosed && rig.hub.listener.isEmpty)
  }

  @Test("a hub that compresses as the recorded one, although nobody asked, is left", arguments: folders)
  func spokeLeaves(_ folder: String) throws {
    let spoke = try Spoke(folder)
    try spoke.answer(offerIsKept: true)
    for step in spoke.capture.steps where !step.isSpokes { spoke.wire.send(step.wire) }
    spoke.simulation.run(for: 500 * millisecond_ns)
    let says = folder.hasSuffix("compress") ? "the server's answer is not that of a WebSocket" : "read error: a reserved bit is set"
    #expect(spoke.wire.isClosed && spoke.remote.link == nil && spoke.simulation.report().contains(says))
    spoke.remote.stop()
  }
}
