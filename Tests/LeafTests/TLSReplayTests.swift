// The recorded links inside TLS, in the role of each end. Both ends make their keys anew each time, so what was recorded after the hellos
// opens for nobody: replayed are the hellos themselves, each against this server; and the order and the sizes of what came inside, which
// are those of the link that was recorded in the clear with the same settings (01).
import Broker
import Bytes
import CCertificates
import Foundation
import JSON
import Platform
import Testing

@testable import Leaf

/// A record of TLS, as it is on the wire (RFC 8446 section 5.1).
private struct Record {
  static let changeCipher: UInt8 = 20
  static let alert: UInt8 = 21
  static let handshake: UInt8 = 22
  static let application: UInt8 = 23

  let type: UInt8
  let body: [UInt8]
  /// How much TLS 1.3 carries in it: behind that are its true type and a tag (section 5.2).
  var plainCount: Int { body.count - 17 }

  static func all(in bytes: [UInt8]) -> [Record] {
    var records: [Record] = []
    var index = 0
    while index + 5 <= bytes.count {
      let end = index + 5 + Int(bytes[index + 3]) << 8 + Int(bytes[index + 4])
      guard end <= bytes.count else { break }
      records.append(Record(type: bytes[index], body: Array(bytes[index + 5..<end])))
      index = end
    }
    return records
  }
}

/// What is in the clear of a client's or a server's hello (RFC 8446 section 4.1).
private struct Hello {
  let kind: UInt8
  let session: [UInt8]
  let ciphers: [Int]
  private(set) var extensions: [Int: [UInt8]] = [:]

  static let serverName = 0
  static let supportedVersions = 43
  static let tls13: [UInt8] = [3, 4]

  init(_ record: Record) {
    var rest = ArraySlice(record.body)
    func take(_ count: Int) -> [UInt8] {
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    func number(_ size: Int) -> Int { take(size).reduce(0) { $0 << 8 | Int($1) } }
    kind = take(1)[0]
    _ = take(3 + 2 + 32)
    session = take(number(1))
    let isClient = kind == 1
    let suites = take(isClient ? number(2) : 2)
    ciphers = stride(from: 0, to: suites.count, by: 2).map { Int(suites[$0]) << 8 | Int(suites[$0 + 1]) }
    _ = take(isClient ? number(1) : 1)
    _ = number(2)
    while !rest.isEmpty {
      let type = number(2)
      extensions[type] = take(number(2))
    }
  }

  /// The name that a client calls its server by.
  var name: String? { extensions[Self.serverName].map { String(decoding: $0.dropFirst(5), as: UTF8.self) } }
  /// Whether a client offers TLS 1.3, or a server takes it.
  var isTLS13: Bool {
    guard let versions = extensions[Self.supportedVersions] else { return false }
    return kind == 1
      ? stride(from: 1, to: versions.count - 1, by: 2).contains { Array(versions[$0..<$0 + 2]) == Self.tls13 } : versions == Self.tls13
  }
}

@Suite struct TLSReplayTests {
  static let folders = ["11_tls_upgrade", "12_tls_first"]

  private static func isFirst(_ folder: String) -> Bool { folder.hasPrefix("12") }

  private static func chunks(_ folder: String, _ direction: String) throws -> [[UInt8]] {
    try Vectors.chunks(folder).filter { $0.dir == direction }.map { $0.bytes }
  }

  /// What was recorded in the clear in a direction, and the records behind it.
  private static func recorded(_ folder: String, _ direction: String) throws -> (clear: String, records: [Record]) {
    let bytes = try chunks(folder, direction).flatMap { $0 }
    let start = bytes.starts(with: [UInt8]("INFO".utf8)) ? bytes.firstIndex(of: ASCII.lineFeed)! + 1 : 0
    return (String(decoding: bytes[..<start], as: UTF8.self), Record.all(in: Array(bytes[start...])))
  }

  /// A context of a server with a certificate of its own.
  private static func server() -> TLSContext {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("petiole-leaf-\(UUID().uuidString)").path
    let made = "CN=hub".withCString { subject in
      var request = certificate_request(
        subject: subject, names: nil, usage: nil, begins_s: 1_735_689_600, ends_s: 2_051_222_400, is_authority: 0, key: Int32(KEY_P256))
      return certificate_make(&request, nil, path)
    }
    precondition(made == 1, "no certificate")
    var settings = TLSSettings()
    settings.certificateFile = ByteString(path + ".pem")
    settings.keyFile = ByteString(path + ".key")
    return try! TLSContext(.server, settings)
  }

  /// Who the certificate is for is Platform's to test.
  private static let anybody: TLSSettings = {
    var settings = TLSSettings()
    settings.isInsecure = true
    return settings
  }()

  private static func hub(_ folder: String) -> AcceptRig {
    let rig = AcceptRig()
    rig.hub.listener.tls = ClientTLS(context: server(), first: isFirst(folder) ? .yes : .no, isOptional: false, timeout_ns: 2 * second_ns)
    return rig
  }

  private static func spoke(_ folder: String, _ accepted: @escaping (ByteStream, Platform.Host) -> Void) throws -> (LeafServer, Simulation)
  {
    let simulation = Simulation(seed: 1)
    let edge = LeafServer(simulation.machine("spoke"))
    let hub = simulation.machine("hub")
    let host = hub.host
    _ = try host.network.listen(SocketAddress(literal: "0.0.0.0", port: 7422)!) { accepted($0, host) }
    edge.dial(SocketAddress(address: hub.address, port: 7422), edge.account) { options in
      options.serverName = "spoke"
      options.hubName = "localhost"
      options.tls = LeafTLS(settings: anybody, isRequired: isFirst(folder), isFirst: isFirst(folder))
    }
    simulation.run(for: 50 * millisecond_ns)
    return (edge, simulation)
  }

  // MARK: The hellos

  @Test("as the hub, this server begins TLS where the recorded one did, and takes what the recorded spoke offered", arguments: folders)
  func serverHello(_ folder: String) throws {
    let rig = Self.hub(folder)
    let wire = rig.wire()
    let theirs = try Self.recorded(folder, "H>S")
    let clear = String(decoding: wire.bytes, as: UTF8.self)
    if Self.isFirst(folder) {
      #expect(clear == "" && theirs.clear == "")
    } else {
      #expect(ReplayFacts.differences(clear, theirs.clear) == [])
      #expect(fields(clear)?["tls_required"]?.bool == true)
    }
    let flights = try Self.chunks(folder, "S>H")
    wire.send(flights[0])
    rig.run()
    let records = Record.all(in: Array(wire.bytes[clear.utf8.count...]))
    let (hello, recorded, offer) = (Hello(records[0]), Hello(theirs.records[0]), Hello(Record.all(in: flights[0])[0]))
    #expect(records.prefix(3).map { $0.type } == theirs.records.prefix(3).map { $0.type })
    #expect(hello.kind == 2 && hello.isTLS13 && recorded.isTLS13 && hello.session == recorded.session)
    #expect(offer.ciphers.contains(hello.ciphers[0]))
    // What follows was encrypted for the recorded hub.
    for flight in flights.dropFirst() { wire.send(flight) }
    rig.run()
    #expect(wire.isClosed && rig.hub.listener.isEmpty && rig.simulation.report().contains("Leafnode connection closed: TLS: "))
    #expect(Record.all(in: Array(wire.bytes[clear.utf8.count...])).last?.type != Record.handshake)
  }

  @Test("as the spoke, this server begins TLS where the recorded one did, and offers what the recorded hub takes", arguments: folders)
  func clientHello(_ folder: String) throws {
    var wire: Wire!
    let (edge, simulation) = try Self.spoke(folder) { stream, _ in wire = Wire(stream) }
    let flights = try Self.chunks(folder, "H>S")
    if !Self.isFirst(folder) {
      #expect(wire.bytes.isEmpty)
      wire.send(flights[0])
      simulation.run(for: 50 * millisecond_ns)
    }
    let theirs = try Self.recorded(folder, "S>H")
    let records = Record.all(in: wire.bytes)
    #expect(theirs.clear == "" && records.map { $0.type } == [Record.handshake] && records[0].type == theirs.records[0].type)
    let (hello, recorded) = (Hello(records[0]), Hello(theirs.records[0]))
    #expect(hello.kind == 1 && hello.isTLS13 && recorded.isTLS13 && hello.name == "localhost" && recorded.name == "localhost")
    #expect(hello.ciphers.contains(try Hello(Self.recorded(folder, "H>S").records[0]).ciphers[0]))
    // The recorded hub answered another hello.
    for flight in flights.dropFirst(Self.isFirst(folder) ? 0 : 1) { wire.send(flight) }
    simulation.run(for: 50 * millisecond_ns)
    guard case .tls? = edge.failures.first else {
      Issue.record("\(String(describing: edge.failures))")
      return
    }
    // Nothing but that was said, if what was still under way let it through: alerts of two bytes, in the clear or as the hello's keys
    // encrypt them.
    let last = Record.all(in: wire.bytes).dropFirst().filter { $0.type != Record.changeCipher }
    #expect(last.allSatisfy { $0.type == Record.alert || $0.type == Record.application && $0.plainCount == 2 })
  }

  // MARK: What came inside

  private static let twin = "01_off_plain"

  @Test("what was recorded inside TLS has the sizes of what was recorded in the clear, in this order", arguments: folders)
  func sizes(_ folder: String) throws {
    let plain = try Vectors.chunks(Self.twin)
    let (up, down) = (plain.filter { $0.dir == "S>H" }, plain.filter { $0.dir == "H>S" })
    let records = try Self.recorded(folder, "S>H").records.filter { $0.type == Record.application }
    // Finished; CONNECT; the first interest.
    #expect(records[1].plainCount == up[0].bytes.count && records[2].plainCount == up[1].bytes.count)
    #expect(
      String(decoding: up[0].bytes, as: UTF8.self).hasPrefix("CONNECT ") && String(decoding: up[1].bytes, as: UTF8.self).hasPrefix("LS+ "))
    // EncryptedExtensions, Certificate, CertificateVerify, Finished; INFO where TLS came first; the answer to CONNECT with the first interest.
    let answers = try Self.recorded(folder, "H>S").records.filter { $0.type == Record.application }.dropFirst(4).map { $0.plainCount }
    let required = "\"tls_required\":true,".utf8.count
    let (info, answer) = (down[0].bytes.count + required, down[1].bytes.count + required)
    #expect(
      Array(answers.prefix(Self.isFirst(folder) ? 3 : 2)) == (Self.isFirst(folder) ? [info, 512, answer - 512] : [512, answer - 512]))
  }

  @Test("as the hub, this server says inside TLS what it says in the clear, in the recorded order", arguments: folders)
  func hubInside(_ folder: String) throws {
    let rig = Self.hub(folder)
    let wire = rig.wire()
    let clear = String(decoding: wire.bytes, as: UTF8.self)
    let secure = TLSStream(
      over: wire.stream, context: try TLSContext(.client, Self.anybody), serverName: "localhost",
      host: rig.simulation.machine("client").host,
      timeout_ns: second_ns)
    let end = HubEnd(secure, isHub: false)
    secure.start()
    rig.run()
    #expect(secure.isSecured && end.operations.count == (Self.isFirst(folder) ? 1 : 0))
    let replay = Replay(account: rig.hub.account)
    if !Self.isFirst(folder) { replay.heard([clear]) }
    let (up, down) = (RecordedDirection(), RecordedDirection())
    for chunk in try Vectors.chunks(Self.twin) {
      if chunk.dir == "S>H" {
        end.send(chunk.bytes)
        try up.operations(in: chunk.bytes) { replay.willReceive($0) }
      } else {
        try down.operations(in: chunk.bytes) { replay.cause($0) }
      }
      rig.run(20 * millisecond_ns)
      replay.heard(end.taken())
      if chunk.dir == "H>S" { replay.settle() }
    }
    #expect(replay.missing == [] && replay.surplus == [] && replay.got.sorted() == replay.expected.sorted())
    // Recorded without TLS: there INFO says nothing of it.
    #expect(replay.introductionDifferences(sameRelease: true, except: ["tls_required"]) == [])
    #expect(replay.introductions.allSatisfy { fields($0)?["tls_required"]?.bool == true })
    #expect(end.nonsense == nil && rig.hub.accepted.first?.isEstablished == true)
  }

  @Test("as the spoke, this server says inside TLS what it says in the clear, in the recorded order", arguments: folders)
  func spokeInside(_ folder: String) throws {
    var end: HubEnd!
    // The recorded INFO of TLS itself, in the clear where it was; then what the twin's hub said.
    let info = try Self.chunks(folder, "H>S")[0]
    let (edge, simulation) = try Self.spoke(folder) { stream, host in
      if !Self.isFirst(folder) { stream.output.append(info) }
      stream.wantsFlush()
      let secure = TLSStream(over: stream, context: Self.server(), serverName: nil, host: host, timeout_ns: second_ns)
      end = HubEnd(secure)
      secure.start()
    }
    #expect((end.stream as! TLSStream).isSecured)
    let replay = Replay(account: edge.account)
    let (up, down) = (RecordedDirection(), RecordedDirection())
    for (index, chunk) in try Vectors.chunks(Self.twin).enumerated() {
      if chunk.dir == "H>S" {
        if index > 0 || Self.isFirst(folder) { end.send(chunk.bytes) }
        try down.operations(in: chunk.bytes) { replay.willReceive($0) }
      } else {
        try up.operations(in: chunk.bytes) { replay.cause($0) }
      }
      simulation.run(for: 20 * millisecond_ns)
      replay.heard(end.taken())
      if chunk.dir == "S>H" { replay.settle() }
    }
    #expect(replay.missing == [] && replay.surplus == [] && replay.got.sorted() == replay.expected.sorted())
    #expect(replay.introductionDifferences(sameRelease: true) == [])
    #expect(end.nonsense == nil && edge.dialled.first?.isEstablished == true)
  }
}
