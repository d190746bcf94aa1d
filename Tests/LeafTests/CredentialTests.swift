// What a dialled link proves itself with: against recorded links of real servers, whose signatures have to come out byte by byte.
import Bytes
import Identity
import JSON
import Platform
import Testing
import Wire

@testable import Leaf

@Suite struct CredentialTests {
  private func write(_ text: [UInt8], _ path: String, _ machine: SimulatedMachine) throws {
    let disk = machine.host.disk
    try? disk.remove(path)
    let file = try disk.open(path, create: true)
    try text.withView { try disk.write(file, at: 0, $0) }
    disk.close(file)
  }

  /// The members of the recorded CONNECT.
  private func recorded(_ folder: String) throws -> JSONValue {
    for chunk in try Vectors.chunks(folder) where chunk.dir == "S>H" {
      let text = String(decoding: chunk.bytes, as: UTF8.self)
      if text.hasPrefix("CONNECT ") { return try JSON.parse(ByteString(String(text.dropFirst(8).prefix { $0 != "\r\n" }))) }
    }
    throw TokenProblem.malformed
  }

  /// What the link says when the hub says what was recorded.
  private func replay(_ folder: String, _ prepare: (LeafRig) throws -> LeafCredentials) throws -> (rig: LeafRig, connect: JSONValue?) {
    let chunks = try Vectors.chunks(folder).filter { $0.dir == "H>S" }.map { $0.bytes }
    let rig = LeafRig { end in
      end.said = { end, kind, _ in if kind == .connect { for chunk in chunks.dropFirst() { end.sendRaw(chunk) } } }
      end.sendRaw(chunks[0])
    }
    let credentials = try prepare(rig)
    rig.dial {
      $0.compression = .off
      $0.credentials = credentials
    }
    rig.run(second_ns)
    let connect = rig.hub!.operations.first { $0.hasPrefix("CONNECT") }
    return (rig, try connect.map { try JSON.parse(ByteString(String($0.dropFirst(8)))) })
  }

  @Test("the nonce is signed with the seed, as the recorded server did")
  func seed() throws {
    // Its public key stands in the line below.
    let seed = try Vectors.bytes("09_auth_nkey/seed.txt").withView { ByteString($0.prefix(Seed.textLength)) }
    let (rig, connect) = try replay("09_auth_nkey") { _ in .seed(seed) }
    let recorded = try recorded("09_auth_nkey")
    #expect(rig.link?.isEstablished == true)
    #expect(connect?["nkey"] == recorded["nkey"] && connect?["sig"] == recorded["sig"] && recorded["sig"] != nil)
    #expect(connect?["jwt"] == nil && connect?["user"] == nil)
  }

  @Test("the token of a credentials file is sent and the nonce signed with its seed, as the recorded server did")
  func file() throws {
    let (rig, connect) = try replay("10_auth_jwt") { rig in
      try write(Vectors.bytes("10_auth_jwt/user.creds"), "/a.creds", rig.edge)
      return .file("/a.creds")
    }
    let recorded = try recorded("10_auth_jwt")
    #expect(rig.link?.isEstablished == true)
    #expect(connect?["jwt"] == recorded["jwt"] && connect?["sig"] == recorded["sig"] && recorded["sig"] != nil)
    #expect(connect?["nkey"] == nil)
  }

  @Test("without a file that can be read nothing is said, and the reason is told without what is in the file")
  func unreadable() throws {
    for (text, reason) in [(nil, "not found"), ("", ""), ("hunter2\n", ""), (String(repeating: "x", count: 1 << 20), "")]
      as [(String?, String)]
    {
      let (rig, connect) = try replay("10_auth_jwt") { rig in
        if let text { try write([UInt8](text.utf8), "/a.creds", rig.edge) }
        return .file("/a.creds")
      }
      #expect(connect == nil && rig.link?.isEnded == true)
      guard case .credentials(let words)? = rig.failure else {
        Issue.record("\(String(describing: rig.failure))")
        continue
      }
      #expect(words.contains("/a.creds") && words.contains(reason) && !words.contains("hunter2"), "\(words)")
    }
  }

  @Test("the file is read for each connection")
  func renewed() throws {
    let rig = LeafRig { GoodHub().attach($0) }
    let old = try Vectors.bytes("10_auth_jwt/user.creds")
    try write(old, "/a.creds", rig.edge)
    func token() throws -> ByteString? {
      rig.dial {
        $0.compression = .off
        $0.credentials = .file("/a.creds")
      }
      let connect = rig.hub!.operations.first { $0.hasPrefix("CONNECT") }
      defer { rig.link!.end(.closedHere) }
      return try connect.flatMap { try JSON.parse(ByteString(String($0.dropFirst(8))))["jwt"]?.string }
    }
    let first = try token()
    // Another token with the same seed: here only its signature is changed.
    let renewed = ByteString(first!.bytes.dropLast() + [UInt8(ascii: "A")])
    try write([UInt8](String(decoding: old, as: UTF8.self).replacing(first!.string, with: renewed.string).utf8), "/a.creds", rig.edge)
    #expect(try token() == renewed && first != renewed)
  }
}
