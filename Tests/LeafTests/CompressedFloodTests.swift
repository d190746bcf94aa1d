// What a few compressed bytes may make of a server: of its time, its memory and its log.
import Broker
import Bytes
import Platform
import Testing
import Wire

@testable import Compression
@testable import Leaf

/// A chunk of an S2 stream that says `text` again and again, `size` bytes of it.
private func repeated(_ text: String, size: Int) -> [UInt8] {
  let pattern = [UInt8](text.utf8)
  let plain = (0..<size).map { pattern[$0 % pattern.count] }
  let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 1024)
  defer { memory.deallocate() }
  var elements = S2Elements(base: memory, limit: 1024)
  elements.appendLength(size)
  _ = plain.withUnsafeBufferPointer { elements.appendLiteral($0.baseAddress!, pattern.count) }
  elements.appendCopy(size - pattern.count, offset: pattern.count)
  let body = elements.count + 4
  let checksum = plain.withView { S2Format.maskedChecksum($0) }
  var chunk = [0, UInt8(body & 0xFF), UInt8(body >> 8 & 0xFF), UInt8(body >> 16)]
  for shift in [UInt32(0), 8, 16, 24] { chunk.append(UInt8(truncatingIfNeeded: checksum >> shift)) }
  return chunk + [UInt8](UnsafeBufferPointer(start: memory, count: elements.count))
}

private let identifier: [UInt8] = [0xFF, 6, 0, 0] + [UInt8]("S2sTwO".utf8)

@Suite struct CompressedFloodTests {
  /// Asked the hub for compression, and been answered.
  private func compressed(_ rig: AcceptRig) -> HubEnd {
    let end = rig.dial()
    end.send("INFO {\"compression\":\"s2_fast\"}\r\n")
    end.compress()
    rig.run()
    precondition(end.closed == nil, "the hub refused")
    return end
  }

  @Test("before CONNECT a chunk that makes more than a line of little ends the link, unread")
  func bombBeforeConnect() {
    for size in [4 << 20, 128 << 10] {
      let rig = AcceptRig { _, link in link.compression = .s2Auto }
      let end = compressed(rig)
      let bomb = repeated("INFO {}\r\n", size: size)
      #expect(bomb.count < 40)
      end.sendRaw(identifier + bomb + bomb)
      rig.run()
      #expect(end.closed != nil && end.operations.contains { $0.hasPrefix("INFO") } && rig.hub.accepted.isEmpty)
    }
  }

  @Test("a solicitor that says INFO again and again before CONNECT is sent away")
  func manyInfos() {
    let rig = AcceptRig { _, link in link.compression = .s2Auto }
    let end = compressed(rig)
    end.send("INFO {}\r\n")
    rig.run()
    #expect(end.closed == nil)
    end.send(String(repeating: "INFO {}\r\n", count: 4))
    rig.run()
    #expect(end.closed != nil)
    #expect(end.operations.last == "-ERR Authorization Violation")
  }

  @Test("a turn decompresses so much and no more; the rest follows by itself, and is all there in the end")
  func turns() throws {
    var hub = GoodHub()
    hub.compression = "s2_fast"
    let rig = hub.rig({ $0.compression = .s2Fast })
    let link = try #require(rig.link)
    #expect(link.isEstablished)
    rig.subscribe("a")
    let chunk = 1 << 20
    let text = repeated("LMSG a 8\r\n12345678\r\n", size: chunk / 20 * 20)
    let before = link.plainBytesRead
    let flood = [[UInt8]](repeating: text, count: 8).flatMap { $0 }
    let used = flood.withView { link.received($0, on: link.stream) }
    #expect(used == flood.count && link.plainBytesRead - before <= chunk)
    rig.run()
    #expect(link.plainBytesRead - before == 8 * (chunk / 20 * 20) && link.isEstablished)
    #expect(rig.got.count == 8 * (chunk / 20))
    // The stream is read again.
    rig.hub!.send("LMSG a 1\r\nx\r\n")
    rig.run()
    #expect(rig.got.last?.hasSuffix("x") == true)
  }

  @Test("many PINGs in a turn get one PONG")
  func pings() throws {
    var hub = GoodHub()
    hub.compression = "s2_fast"
    let rig = hub.rig({ $0.compression = .s2Fast })
    _ = rig.hub!.taken()
    rig.hub!.sendRaw([[UInt8]](repeating: repeated("PING\r\n", size: 6 << 17), count: 4).flatMap { $0 })
    rig.run()
    let pongs = rig.hub!.taken().filter { $0 == "PONG" }.count
    #expect((1...20).contains(pongs) && rig.link!.isEstablished, "\(pongs)")
  }

  @Test("what few bytes make this side say ends the link when it is too much")
  func answers() {
    var hub = GoodHub()
    hub.compression = "s2_fast"
    let rig = hub.rig({
      $0.compression = .s2Fast
      $0.pendingMax = 1 << 20
    })
    rig.hub!.sendRaw(repeated("LS+ a..b\r\n", size: 4 << 20))
    rig.run()
    #expect(rig.failure == .outputOverflow)
  }

  @Test("interest before the answer to CONNECT is a violation, as no message could be about it yet")
  func interestTooEarly() {
    let rig = LeafRig { end in
      end.said = { end, kind, _ in
        if kind == .connect { end.send("LS+ early\r\n" + GoodHub().info(",\"connect_info\":true")) }
      }
      end.send(GoodHub().info())
    }
    rig.dial { $0.compression = .off }
    #expect(rig.failure == .protocolViolation && rig.account.leafnodeCount == 0)
  }

  @Test("a hub that takes its leave with the very answer to CONNECT was no link of the account")
  func leavesAtOnce() {
    var hub = GoodHub()
    hub.answer = ",\"ldm\":true"
    let rig = hub.rig(before: { $0.endsOnLameDuck = true })
    #expect(rig.failure == .closedByPeer && rig.account.leafnodeCount == 0)
  }

  @Test("a hub cannot administer this side's JetStream, nor write into its buckets; by the domain it can ask")
  func privateSubjects() {
    let rig = GoodHub().rig({
      $0.compression = .off
      $0.domain = "gw"
    })
    rig.subscribe(">")
    for subject in ["$JS.API.STREAM.DELETE.T", "$KV.b.k", "$OBJ.b.C.k", "$JS.gw.API.INFO", "$JS.ACK.T.c.1.1.1.1.0", "a"] {
      rig.hub!.send("LMSG \(subject) 1\r\nx\r\n")
    }
    rig.run()
    #expect(rig.takeGot().map { String($0.split(separator: " ")[2]) } == ["$JS.gw.API.INFO", "$JS.ACK.T.c.1.1.1.1.0", "a"])
  }
}
