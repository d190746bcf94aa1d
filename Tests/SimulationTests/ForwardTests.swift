// Single cases of forwarding with a whole agent: what a stop, other accounts and other hubs must not do to it.
import Agent
import Broker
import Bytes
import Leaf
import LogStore
import Platform
import Testing

@testable import JetStream

@Suite struct ForwardTests {
  @Test("an orderly stop keeps what one forward of a stream has yet to send, though another is done with it")
  func stopKeeps() {
    // The hub has no stream for the first forward, which ends first.
    let rig = ForwardRig(
      """
      streams: [ { name: T, subjects: ["a.>", "b.>"], retention: interest } ]
      leafnodes { remotes: [ { url: "nats-leaf://hub:7422" } ] }
      forward: [ { stream: T, filter: "b.>", to: "nowhere.>" }, { stream: T, filter: "a.>", to: "site.a.>" } ]
      """, hubs: ["hub"])
    defer { rig.end() }
    rig.publish("a.1")
    rig.publish("b.1")
    rig.publish("a.2")
    #expect(rig.run { rig.forward(1).state == .upToDate && rig.forward(1).progress.acknowledged == 3 })
    rig.restart()
    #expect(rig.stream("T").log.count == 1)
    #expect(rig.forward(0).backlog == 1 && rig.forward(1).backlog == 0)
  }

  @Test("forwards of streams of one name in two accounts keep their progress apart")
  func accountsApart() {
    let rig = ForwardRig(
      """
      accounts { A: { jetstream: enabled }, B: { jetstream: enabled } }
      streams: [ { name: T, subjects: ["t.>"], account: A }, { name: T, subjects: ["t.>"], account: B } ]
      leafnodes { remotes: [ { url: "nats-leaf://one:7422", account: A }, { url: "nats-leaf://two:7422", account: B } ] }
      forward: [ { stream: T, to: "site.t.>", filter: "t.>", account: A }, { stream: T, to: "site.t.>", filter: "t.>", account: B } ]
      """, hubs: ["one", "two"])
    defer { rig.end() }
    for number in 1...5 { rig.publish("t.1", account: "A", "a\(number)") }
    for number in 1...3 { rig.publish("t.1", account: "B", "b\(number)") }
    #expect(rig.run { rig.forward(0).progress.acknowledged == 5 && rig.forward(1).progress.acknowledged == 3 })
    rig.restart()
    #expect(rig.forward(0).progress.acknowledged == 5 && rig.forward(1).progress.acknowledged == 3)
    // Beyond the hub's memory of message ids nothing else keeps them from being stored twice.
    rig.run(for_ms: 200_000)
    #expect(rig.hubs.map { $0.stream.messages.count } == [5, 3] && rig.hubs.map { $0.stream.duplicates } == [0, 0])
  }

  @Test("progress that was written down before its key said the account is found, and moves")
  func oldKey() {
    let rig = ForwardRig(
      """
      accounts { A: { jetstream: enabled } }
      streams: [ { name: T, subjects: ["t.>"], account: A } ]
      leafnodes { remotes: [ { url: "nats-leaf://one:7422", account: A } ] }
      forward: [ { stream: T, to: "site.t.>", filter: "t.>", account: A } ]
      """, hubs: ["one"])
    defer { rig.end() }
    rig.publish("t.1", account: "A")
    #expect(rig.run { rig.forward(0).progress.acknowledged == 1 })
    rig.run(for_ms: 2_000)
    let new: ByteString = "forward/A/forward T t.> site.t.>"
    let old: ByteString = "forward/forward T t.> site.t.>"
    let store = rig.stream("T", account: "A").engine.store
    let value = store.metadata[new]
    #expect(value != nil && store.metadata[old] == nil)
    guard let value else { return }
    store.setMetadata(old, value)
    store.removeMetadata(new)
    rig.restart()
    #expect(rig.forward(0).progress.acknowledged == 1)
    rig.publish("t.1", account: "A")
    #expect(rig.run { rig.forward(0).progress.acknowledged == 2 })
    rig.run(for_ms: 2_000)
    let after = rig.stream("T", account: "A").engine.store.metadata
    #expect(after[new] != nil && after[old] == nil)
    #expect(rig.hubs[0].stream.messages.count == 2)
  }

  @Test("with two remotes in its account a forward keeps to the first of the configuration, however long that is away")
  func firstRemote() {
    let rig = ForwardRig(
      """
      streams: [ { name: T, subjects: ["t.>"] } ]
      leafnodes { reconnect: "1s", remotes: [ { url: "nats-leaf://one:7422" }, { url: "nats-leaf://two:7422" } ] }
      forward: [ { stream: T, to: "site.t.>", filter: "t.>" } ]
      """, hubs: ["one", "two"])
    defer { rig.end() }
    rig.publish("t.1")
    #expect(rig.run { rig.forward(0).progress.acknowledged == 1 && rig.agent.links.count == 2 })
    rig.hubs[0].server.kill()
    #expect(rig.run { rig.agent.links.count == 1 })
    rig.publish("t.1")
    rig.run(for_ms: 20_000)
    #expect(rig.forward(0).state == .offline && rig.hubs[1].stream.messages.isEmpty)
    rig.hubs[0].server.start()
    #expect(rig.run { rig.forward(0).progress.acknowledged == 2 })
    #expect(rig.hubs.map { $0.stream.messages.count } == [2, 0])
  }

  @Test("when the subjects of a forwarded stream change, hubs are told which interest they must not have any more, and which they may")
  func subjectsChange() {
    let rig = ForwardRig(
      """
      streams: [ { name: T, subjects: ["a.>"] } ]
      leafnodes { remotes: [ { url: "nats-leaf://hub:7422" } ] }
      forward: [ { stream: T } ]
      """, hubs: ["hub"], subjects: ["a.>", "b.>"])
    defer { rig.end() }
    rig.agent.broker.globalAccount.subscribe("b.x") { _, _ in }
    rig.agent.broker.globalAccount.subscribe("a.x") { _, _ in }
    #expect(rig.run { rig.hubs[0].server.interest.contains("b.x") })
    #expect(!rig.hubs[0].server.interest.contains("a.x"))
    rig.publish("$JS.API.STREAM.UPDATE.T", #"{"name":"T","subjects":["b.>"]}"#)
    #expect(rig.run { rig.stream("T").config.subjects == ["b.>"] && rig.hubs[0].server.interest.contains("a.x") })
    #expect(!rig.hubs[0].server.interest.contains("b.x"))
  }
}
