// Interest over a link that breaks all the time: whatever broke when, in the end the hub knows what there is, no more and no less.
import Broker
import Bytes
import Platform
import Testing
import Wire

@testable import Leaf

@Suite struct RestoredInterestTests {
  /// A hub that forgets with each connection, and what the last connection was told.
  private final class Hub {
    var hub: GoodHub
    private(set) var end: HubEnd?
    private var known: [String: Int] = [:]
    var accepted = 0
    /// Ends the connection after so many operations of the other side.
    var closesAfter: Int?

    init(_ hub: GoodHub) { self.hub = hub }

    func accept(_ stream: ByteStream) {
      accepted += 1
      let end = HubEnd(stream)
      self.end = end
      known = [:]
      hub.attach(end)
      let answer = end.said
      var said = 0
      end.said = { [unowned self] end, kind, text in
        said += 1
        if let limit = closesAfter, said >= limit { return end.stream.close() }
        answer(end, kind, text)
        if end === self.end { learn(kind, text) }
      }
    }

    private func learn(_ kind: LeafOperation.Kind, _ text: String) {
      let words = text.split(separator: " ").map(String.init)
      switch kind {
      case .subscribe where words.count == 2:
        // A plain subject is never told twice (section 11.1): a real hub would count it twice.
        if known[words[1]] != nil { Issue.record("LS+ \(words[1]) again") }
        known[words[1]] = 0
      case .subscribe: known[words[1] + " " + words[2]] = Int(words[3])
      case .unsubscribe:
        if known.removeValue(forKey: words.dropFirst().joined(separator: " ")) == nil { Issue.record("\(text), which was not told") }
      default: break
      }
    }

    /// What the hub knows, without the mark against loops.
    var interest: [String: Int] { known.filter { !$0.key.hasPrefix("$LDS.") } }
  }

  @Test("after every kind of break the hub knows the interest that is there", arguments: Array(UInt64(1)...16))
  func restored(seed: UInt64) {
    let simulation = Simulation(seed: seed)
    let entropy = simulation.entropy
    let edge = simulation.machine("edge")
    let hubMachine = simulation.machine("hub")
    let hub = Hub(GoodHub(compression: ["off", "s2_auto", "s2_best"][entropy.below(3)], extended: entropy.oneIn(3) ? "lz4" : nil))
    do {
      _ = try hubMachine.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 7422)!) { hub.accept($0) }
    } catch { preconditionFailure("\(error)") }
    simulation.setLink(
      edge, hubMachine,
      SimulatedLink(latency_ns: entropy.within(1...80) * millisecond_ns, jitter_ns: 5 * millisecond_ns, loss_millionths: 10_000))
    let broker = Broker(host: edge.host, identity: ServerIdentity(name: "edge", release: "0.1.0", entropy: edge.host.entropy))
    let account = broker.globalAccount
    var options = LeafOptions()
    options.serverName = "edge"
    options.compression = [.off, .s2Auto, .s2Better, .lz4][entropy.below(4)]
    options.isMetered = entropy.oneIn(3)
    if entropy.oneIn(4) { options.rateLimit = 20_000 }
    options.liveness = LeafLiveness.Parameters(idle_ns: 2 * second_ns, patience_ns: 3 * second_ns)
    let remote = LeafRemote(
      broker: broker, account: account, endpoints: [LeafEndpoint(hostName: "hub", port: 7422)], options: options, shared: LeafShared(),
      reconnect_ns: 200 * millisecond_ns)
    remote.start()

    var subscriptions: [Subscription] = []
    for _ in 0..<400 {
      switch entropy.below(14) {
      case 0...5:
        let subject = ByteString("s.\(entropy.below(30))")
        let queue = entropy.oneIn(3) ? ByteString("q\(entropy.below(2))") : nil
        subscriptions.append(account.subscribe(subject, queue: queue) { _, _ in })
      case 6...9:
        if !subscriptions.isEmpty { account.remove(subscriptions.remove(at: entropy.below(subscriptions.count))) }
      case 10: simulation.cut(edge, hubMachine)
      case 11:
        simulation.partition(edge, hubMachine)
        simulation.run(for: entropy.within(0...6000) * millisecond_ns)
        simulation.heal(edge, hubMachine, reset: entropy.oneIn(2))
      case 12: hub.end?.stream.close()
      default: hub.closesAfter = entropy.oneIn(2) ? nil : 1 + entropy.below(40)
      }
      simulation.run(for: entropy.within(0...400) * millisecond_ns)
    }
    hub.closesAfter = nil
    simulation.run(for: 90 * second_ns)

    var expected: [String: Int] = [:]
    for subscription in subscriptions {
      if let queue = subscription.queue {
        expected["\(subscription.subject.string) \(queue.string)", default: 0] += 1
      } else {
        expected[subscription.subject.string] = 0
      }
    }
    let own = hub.interest.filter { $0.key.hasPrefix("s.") }
    #expect(own == expected, "\(simulation.report())")
    #expect(hub.accepted > 5 && hub.end?.nonsense == nil && remote.link?.isEstablished == true)
    remote.stop()
    simulation.run(for: second_ns)
  }
}
