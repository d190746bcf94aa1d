// The recorded links of one spoke from two of its accounts to two of the hub's, of which one imports from the other: both links at once.
import Broker
import Bytes
import Identity
import Platform
import Testing

@testable import Leaf

@Suite struct TwoAccountsReplayTests {
  private static let folders = ["08_two_accounts_conn0", "08_two_accounts_conn1"]

  private struct Step {
    let link: Int
    let chunk: Vectors.Chunk
  }

  /// What was recorded on both links, in the order of time. Each counts from its own beginning; those were within a millisecond, while what
  /// followed on one link from the other took no less.
  private static func steps() throws -> [Step] {
    var all: [Step] = []
    for (link, folder) in folders.enumerated() { all += try Vectors.chunks(folder).map { Step(link: link, chunk: $0) } }
    return all.sorted { $0.chunk.t < $1.chunk.t }
  }

  /// What was recorded to come from one end of a link, but for what every server has of its own.
  private static func recorded(_ link: Int, _ direction: String) throws -> [String] {
    let reader = RecordedDirection()
    var lines: [String] = []
    for chunk in try Vectors.chunks(folders[link]) where chunk.dir == direction {
      try reader.operations(in: chunk.bytes) { lines.append(described($0)) }
    }
    return lines.filter { !Replay.isOwn($0) }
  }

  private static func account(_ name: ByteString) -> AccountRule { AccountRule(name: name) }

  @Test("as the hub, this server keeps the links of two accounts apart, and says on each what the recorded hub said")
  func hub() throws {
    let rig = AcceptRig()
    var rules = AccessRules()
    for (user, password, account) in [("la", "pa", "A"), ("lb", "pb", "B")] as [(ByteString, ByteString, ByteString)] {
      var rule = UserRule(name: user)
      rule.password = StoredPassword(password)
      rule.account = account
      rules.users.append(rule)
      rules.accounts.append(Self.account(account))
    }
    rig.hub.broker.use(rules)
    let ends = [rig.dial(), rig.dial()]
    let replays = ["A", "B"].map { Replay(account: rig.hub.broker.account(ByteString($0))!) }
    let readers = Self.folders.map { _ in (up: RecordedDirection(), down: RecordedDirection()) }
    for step in try Self.steps() {
      let (end, replay, reader) = (ends[step.link], replays[step.link], readers[step.link])
      if step.chunk.dir == "S>H" {
        end.sendRaw(step.chunk.bytes)
        try reader.up.operations(in: step.chunk.bytes) { replay.willReceive($0) }
      } else {
        try reader.down.operations(in: step.chunk.bytes) { replay.cause($0) }
      }
      rig.run(20 * millisecond_ns)
      for (end, replay) in zip(ends, replays) { replay.heard(end.taken()) }
      if step.chunk.dir == "H>S" { replay.settle() }
    }
    for (end, replay) in zip(ends, replays) {
      #expect(end.nonsense == nil && end.closed == nil)
      #expect(replay.missing == [] && replay.surplus == [])
      #expect(replay.got.sorted() == replay.expected.sorted())
      #expect(replay.introductionDifferences(sameRelease: true) == [])
    }
    // The requester's inbox is the other account's: it was neither told nor given anything.
    #expect(replays[1].got == ["_INBOX.lab26413.1795377417517190302  <- _INBOX.lab26413.1795377417517190302 1"])
  }

  @Test("as the spoke, this server says of its own imports on each link what the recorded spoke said")
  func spoke() throws {
    let simulation = Simulation(seed: 1)
    let edge = LeafServer(simulation.machine("spoke"))
    // As the recorded spoke was configured: EB takes messages and a service from EA.
    var exporter = Self.account("EA")
    exporter.exports = [ExportRule(.stream, "st.>"), ExportRule(.service, "svc.>")]
    var importer = Self.account("EB")
    importer.imports = [
      ImportRule(.stream, account: "EA", subject: "st.>", localSubject: "imp.st.>"),
      ImportRule(.service, account: "EA", subject: "svc.>", localSubject: "svc.>"),
    ]
    var rules = AccessRules()
    rules.accounts = [exporter, importer]
    edge.broker.use(rules)
    let accounts = ["EA", "EB"].map { edge.broker.account(ByteString($0))! }

    let hub = simulation.machine("hub")
    var ends: [HubEnd] = []
    _ = try hub.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 7422)!) { ends.append(HubEnd($0)) }
    for (account, who) in zip(accounts, ["a", "b"]) {
      edge.dial(SocketAddress(address: hub.address, port: 7422), account) { options in
        options.serverName = "spoke"
        options.user = ByteString("l\(who)")
        options.password = ByteString("p\(who)")
      }
      simulation.run(for: 10 * millisecond_ns)
    }
    var got: [String] = []
    var said: [[String]] = [[], []]
    for step in try Self.steps() {
      if step.chunk.dir == "H>S" {
        ends[step.link].sendRaw(step.chunk.bytes)
      } else {
        // What clients of the spoke did; all else that it said follows from that and from the imports.
        let line = String(decoding: step.chunk.bytes, as: UTF8.self)
        if line == "LS+ imp.st.1\r\n" {
          accounts[1].subscribe("imp.st.1") { message, _ in got.append("\(message.subject.string) \(message.payload.string)") }
        } else if line == "LS+ svc.x\r\n" {
          accounts[0].subscribe("svc.x") { message, _ in
            got.append("\(message.subject.string) \(message.payload.string)")
            accounts[0].publish(to: ByteString(message.reply), [UInt8]("R".utf8))
          }
        }
      }
      simulation.run(for: 20 * millisecond_ns)
      for link in 0..<2 { said[link] += ends[link].taken().filter { !Replay.isOwn($0) } }
    }
    #expect(got == ["imp.st.1 hello", "svc.x q"])
    for link in 0..<2 {
      let recorded = try Self.recorded(link, "S>H")
      #expect(ReplayFacts.differences(said[link].first ?? "", recorded[0]) == [])
      // The order of the first burst is nobody's; and the prefix of reply subjects is six letters of each server's own.
      func comparable(_ lines: [String]) -> [String] {
        lines.dropFirst().map { line in line.hasPrefix("LS+ _R_.") ? "LS+ _R_.\(line.dropFirst(8).count).\(line.suffix(2))" : line }
      }
      #expect(comparable(said[link]) == comparable(recorded), "on link \(link)")
      #expect(ends[link].nonsense == nil && ends[link].closed == nil)
    }
    #expect(edge.dialled.allSatisfy { $0.isEstablished })
  }
}
