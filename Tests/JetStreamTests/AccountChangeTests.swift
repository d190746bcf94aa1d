// JetStream that accounts get and lose while the server runs.
import Broker
import Bytes
import JSON
import LogStore
import Platform
import Testing

@testable import JetStream

@Suite("accounts that get and lose JetStream")
struct AccountChangeTests {
  /// JetStream on the rig's store that begins while others work.
  private func begin(_ account: Account, on rig: Rig) -> JetStream {
    let made = JetStream(host: rig.host, account: account, store: rig.store, options: rig.jetStream.options, server: rig.jetStream.server)
    made.start(isAtBoot: false)
    return made
  }

  /// More than one piece of a backup, however well it is packed.
  private func archive(messages: UInt64) -> MadeArchive {
    let entropy = TestEntropy()
    var archive = MadeArchive(last: messages)
    for sequence in 1...messages {
      archive.add("s", sequence: sequence, payload: (0..<512).map { _ in String(entropy.next(), radix: 36) }.joined())
    }
    archive.end()
    return archive
  }

  @Test("JetStream that one account gets leaves alone what is being restored in another")
  func restoreElsewhere() throws {
    let rig = try Rig()
    var other: JetStream?
    let answer = rig.restore(#"{"name":"S","subjects":["s"]}"#, archive(messages: 60), pieces: 128 << 10) {
      // Some of it is in the store, and no stream has it yet.
      #expect(rig.store.streamIDs.count == 1 && rig.jetStream.streamCount == 0)
      other = begin(Account(name: "B", seed: 8), on: rig)
      rig.settle()
    }
    #expect(answer.errorCode == nil)
    #expect(other != nil)
    #expect(rig.state("S")["messages"]?.int == 60)
    #expect(rig.call("$JS.API.STREAM.MSG.GET.S", #"{"seq":1}"#).errorCode == nil)
    let again = try rig.restarted()
    #expect(again.state("S")["messages"]?.int == 60)
    #expect(again.state("S")["first_seq"]?.int == 1)
  }

  @Test("JetStream that is taken from an account answers no more, acknowledges what it took, and goes on where it was")
  func takenAndGivenBack() throws {
    let rig = try Rig()
    rig.create(#"{"name":"S","subjects":["s"]}"#)
    rig.create(#"{"name":"M","subjects":["m"],"storage":"memory"}"#)
    #expect(rig.call("s", "1", headers: [("Nats-Msg-Id", "a")]).sequence == 1)
    #expect(rig.call("m", "1").sequence == 1)
    let waiting = rig.send("s", "2")
    #expect(rig.jetStream.stop() == ["M"])
    #expect(rig.jetStream.streamCount == 0 && rig.jetStream.server.memoryUse.bytes == 0)
    rig.settle()
    #expect(rig.take(waiting).first?.sequence == 2)
    #expect(rig.ask("s", "3").isEmpty && rig.ask("$JS.API.STREAM.NAMES").isEmpty)
    let next = begin(rig.account, on: rig)
    rig.settle()
    #expect(next.streamCount == 1)
    #expect(rig.call("s", "1", headers: [("Nats-Msg-Id", "a")]).json["duplicate"]?.bool == true)
    #expect(rig.call("s", "3").sequence == 3)
  }

  @Test("what is being restored goes when its account loses JetStream")
  func restoreEnds() throws {
    let rig = try Rig()
    _ = rig.restore(#"{"name":"S","subjects":["s"]}"#, archive(messages: 60), pieces: 128 << 10) {
      #expect(rig.store.streamIDs.count == 1)
      _ = rig.jetStream.stop()
    }
    rig.settle()
    #expect(rig.store.streamIDs.isEmpty && rig.jetStream.restores.isEmpty)
  }
}
