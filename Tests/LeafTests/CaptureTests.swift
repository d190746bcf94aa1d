// Captured links of real servers replayed: the hub's bytes as recorded, this side's checked for being legal.
import Broker
import Bytes
import JSON
import Platform
import Testing
import Wire

@testable import Leaf

@Suite struct CaptureTests {
  /// A hub that says what was recorded: the first INFO at once, the answer to a request for compression, and all of the rest as one burst
  /// once CONNECT has come.
  private func replay(_ folder: String, _ mode: LeafCompressionMode, before: (LeafRig) -> Void) throws -> LeafRig {
    let chunks = try Vectors.chunks(folder).filter { $0.dir == "H>S" }.map { $0.bytes }
    let compressed = mode != .off
    let rig = LeafRig { end in
      end.said = { end, kind, _ in
        switch kind {
        case .info: end.sendRaw(chunks[1])
        case .connect: for chunk in chunks.dropFirst(compressed ? 2 : 1) { end.sendRaw(chunk) }
        default: break
        }
      }
      end.sendRaw(chunks[0])
    }
    before(rig)
    rig.dial { options in
      options.compression = mode
      options.serverName = "spoke"
      if folder.hasPrefix("06") {
        options.denyImports = ["di.>", "dix"]
        options.denyExports = ["de.>"]
      }
      if folder.hasPrefix("07") {
        options.user = "leaf"
        options.password = "pw"
      }
    }
    rig.run(second_ns)
    return rig
  }

  static let folders: [(String, LeafCompressionMode, [String])] = [
    ("01_off_plain", .off, ["foo.* <- foo.bar () hello"]),
    ("02_s2_fast", .s2Fast, ["foo.* <- foo.bar () " + String(repeating: "hello ", count: 40)]),
    ("03_s2_auto", .s2Auto, ["foo.* <- foo.bar () " + String(repeating: "hello ", count: 40)]),
    ("05_queues_reqreply_headers", .off, ["w.> <- w.a () dup?", "au.1 <- au.1 () "]),
    ("06_deny_import_export", .off, ["ok.1 <- ok.1 () y"]),
    ("07_hub_user_permissions", .off, ["sub.1 <- sub.1 () x"]),
  ]

  @Test("the link works with the recorded hub, and says only what a hub takes", arguments: folders)
  func replayed(_ folder: String, _ mode: LeafCompressionMode, _ expected: [String]) throws {
    let rig = try replay(folder, mode) { rig in
      for subject: ByteString in [
        "foo.*", "w.>", "au.1", "ok.1", "sub.1", "sub.secret", "di.1", "dix", "$JS.API.>", "$JS.API.INFO", "$KV.bucket.key", "$OBJ.x.y",
        "q.foo",
      ] { rig.subscribe(subject) }
      rig.subscribe("q.foo", "G1")
      rig.subscribe("q.foo", "G2")
      rig.subscribe("q.1", "G1")
    }
    let hub = rig.hub!
    #expect(rig.events.prefix(2) == ["info", "established"])
    #expect(rig.failure == nil)
    #expect(hub.nonsense == nil)
    for message in expected { #expect(rig.got.contains(message), "\(message) in \(rig.got)") }
    let said = hub.operations
    let first = said.firstIndex { $0.hasPrefix("CONNECT") } ?? 0
    #expect(first == (mode == .off ? 0 : 1))
    if mode != .off { #expect(said[0] == "INFO {\"compression\":\"\(mode.name)\"}") }
    let connect = try JSON.parse(ByteString(String(said[first].dropFirst(8))))
    #expect(connect["name"]?.string == "spoke" && connect["cluster"]?.string == "spoke" && connect["headers"]?.bool == true)
    #expect(connect["lang"] == nil && connect["gateway"] == nil && connect["account"] == nil)
    let known = [
      "version", "server_id", "name", "cluster", "domain", "jetstream", "headers", "is_hub", "isolate", "deny_pub", "compress_mode",
      "remote_account", "protocol", "user", "pass",
    ]
    for member in connect.object ?? [] { #expect(known.contains(member.name.string)) }
    let interest = said.filter { $0.hasPrefix("LS+ ") }
    #expect(interest.filter { $0.hasPrefix("LS+ $LDS.") }.count == 1)
    #expect(!interest.contains { $0.hasPrefix("LS+ $JS.API") || $0.hasPrefix("LS+ $KV") || $0.hasPrefix("LS+ $OBJ") })
    #expect(Set(interest).count == interest.count)
    if folder.hasPrefix("06") {
      #expect(connect["deny_pub"]?.array?.map { $0.string! } == ["di.>", "dix"])
      #expect(!interest.contains("LS+ di.1") && !interest.contains("LS+ dix") && interest.contains("LS+ ok.1"))
      #expect(!rig.publish("de.1", "x"))
    }
    if folder.hasPrefix("07") {
      #expect(connect["user"]?.string == "leaf" && connect["pass"]?.string == "pw")
      #expect(Set(interest.filter { !$0.contains("$LDS") }) == ["LS+ sub.1"])
      #expect(rig.publish("pub.1", "x") && !rig.publish("other", "x"))
    }
    if folder.hasPrefix("05") {
      #expect(rig.got.filter { $0.hasPrefix("q.foo <-") }.count == 10)
      #expect(rig.got.filter { $0.hasPrefix("q.foo G1 ") }.count == 6)
      #expect(rig.got.filter { $0.hasPrefix("q.foo G2 ") }.count == 10)
      #expect(rig.got.contains("q.foo G1 <- q.foo (_INBOX.a.1) NATS/1.0\r\nK: v\r\n\r\nx3"))
    }
    #expect(said.filter { $0 == "PONG" }.count == 1)
  }

  @Test("the recorded hub may pause and split anywhere", arguments: ["01_off_plain", "02_s2_fast"], 0..<8)
  func split(_ folder: String, _ seed: Int) throws {
    let mode: LeafCompressionMode = folder.hasPrefix("01") ? .off : .s2Fast
    let chunks = try Vectors.chunks(folder).filter { $0.dir == "H>S" }.map { $0.bytes }
    let random = SeededEntropy(seed: UInt64(seed))
    var rig: LeafRig!
    func trickle(_ bytes: [UInt8], _ end: HubEnd, from start: Int = 0) {
      guard start < bytes.count else { return }
      let count = min(bytes.count - start, 1 + random.below(200))
      end.sendRaw(Array(bytes[start..<start + count]))
      rig.simulation.after(Int64(random.below(5)) * millisecond_ns) { trickle(bytes, end, from: start + count) }
    }
    rig = LeafRig(seed: UInt64(seed)) { end in
      end.said = { end, kind, _ in
        switch kind {
        case .info: trickle(chunks[1], end)
        case .connect: trickle(chunks.dropFirst(mode == .off ? 1 : 2).flatMap { $0 }, end)
        default: break
        }
      }
      trickle(chunks[0], end)
    }
    rig.subscribe("foo.*")
    rig.dial { $0.compression = mode }
    rig.run(3 * second_ns)
    #expect(rig.got.count == 1)
    #expect(rig.failure == nil)
  }
}
