// Who gets a copy of a message: plain subscriptions, queue groups, leaf links, mappings (client-protocol.md section 2.2,
// leafnode-protocol.md section 13).
import Bytes
import Interest
import Testing

@testable import Broker

@Suite struct RoutingTests {
  let account = Account(name: "$G", seed: 7)

  @Test("every matching plain subscription gets a copy, one for each, and others none")
  func plain() {
    let publisher = TestEndpoint(.client, account)
    let one = TestEndpoint(.client, account)
    let two = TestEndpoint(.client, account)
    one.subscribe("a.b")
    one.subscribe("a.*")
    two.subscribe(">")
    two.subscribe("c")
    #expect(publisher.publish("a.b"))
    #expect(one.got.sorted() == ["a.* <- a.b", "a.b <- a.b"])
    #expect(two.got == ["> <- a.b"])
    two.unsubscribeAll()
    #expect(!publisher.publish("x"))
  }

  @Test("an endpoint hears its own messages unless it asked not to")
  func echo() {
    let client = TestEndpoint(.client, account)
    client.subscribe("a")
    #expect(client.publish("a"))
    #expect(client.taken() == ["a <- a"])
    client.echoes = false
    #expect(!client.publish("a"))
    #expect(client.taken() == [])
  }

  @Test("one member of each queue group gets a message, and over time all of them do")
  func queueGroups() {
    let publisher = TestEndpoint(.client, account)
    let members = (0..<4).map { _ in TestEndpoint(.client, account) }
    for member in members { member.subscribe("a", "g") }
    let other = TestEndpoint(.client, account)
    other.subscribe("*", "h")
    for _ in 0..<400 { #expect(publisher.publish("a")) }
    #expect(members.map { $0.got.count }.reduce(0, +) == 400)
    for member in members { #expect(member.got.count > 50) }
    #expect(other.got.count == 400)
  }

  @Test("when the chosen member does not take a message another one gets it")
  func memberFails() {
    let publisher = TestEndpoint(.client, account)
    let broken = TestEndpoint(.client, account)
    let working = TestEndpoint(.client, account)
    broken.refuses = true
    broken.subscribe("a", "g")
    working.subscribe("a", "g")
    publisher.subscribe("a", "g")
    publisher.echoes = false
    for _ in 0..<30 { #expect(publisher.publish("a")) }
    #expect(working.got.count == 30)
    working.refuses = true
    #expect(!publisher.publish("a"))
  }

  @Test("a subscription ends after its last delivery")
  func maxDeliveries() {
    let publisher = TestEndpoint(.client, account)
    let subscriber = TestEndpoint(.client, account)
    let subscription = subscriber.subscribe("a", max: 2)
    for _ in 0..<2 { #expect(publisher.publish("a")) }
    #expect(!publisher.publish("a"))
    #expect(subscriber.got.count == 2)
    #expect(!subscription.isActive)
    #expect(account.interest.count == 0)
  }

  @Test("a subscription that is removed while a message is being delivered gets no copy any more")
  func removedDuringDelivery() {
    let publisher = TestEndpoint(.client, account)
    let later = TestEndpoint(.client, account)
    account.subscribe("a") { _, _ in later.unsubscribeAll() }
    later.subscribe("a")
    #expect(publisher.publish("a"))
    #expect(later.got.count <= 1)
    #expect(publisher.publish("a"))
    #expect(later.got.count <= 1)
  }

  @Test("a handler that publishes while it is called does not disturb who gets the message")
  func publishesInside() {
    let publisher = TestEndpoint(.client, account)
    let link = TestEndpoint(.leaf, account)
    let other = TestEndpoint(.leaf, account)
    account.subscribe("a") { _, _ in _ = self.account.publish(to: "b", []) }
    for subject: ByteString in ["a", ">", "*"] { link.subscribe(subject) }
    other.subscribe("b")
    other.subscribe("a", "g")
    #expect(publisher.publish("a"))
    #expect(link.got.sorted() == ["a []", "b []"])
    #expect(other.got.sorted() == ["a [g]", "b []"])
  }

  // MARK: Leaf links

  @Test("a leaf link gets one copy for many matches, with the names of the groups that were chosen for it")
  func oneCopy() {
    let publisher = TestEndpoint(.client, account)
    let link = TestEndpoint(.leaf, account)
    link.subscribe("a")
    link.subscribe(">")
    link.subscribe("a", "g1")
    link.subscribe("*", "g2")
    #expect(publisher.publish("a"))
    #expect(link.taken() == ["a [g1,g2]"])
    link.unsubscribeAll()
    link.subscribe("a", "g1")
    #expect(publisher.publish("a"))
    #expect(link.taken() == ["a [g1]"])
  }

  @Test("a local member beats members behind a leaf link")
  func localFirst() {
    let publisher = TestEndpoint(.client, account)
    let link = TestEndpoint(.leaf, account)
    let local = TestEndpoint(.client, account)
    link.subscribe("a", "g", weight: 1000)
    local.subscribe("a", "g")
    for _ in 0..<50 { #expect(publisher.publish("a")) }
    #expect(local.got.count == 50)
    #expect(link.got == [])
    local.refuses = true
    #expect(publisher.publish("a"))
    #expect(link.got == ["a [g]"])
  }

  @Test("links share a group by the weights that they announced; weight 0 is never chosen")
  func weights() {
    let publisher = TestEndpoint(.client, account)
    let light = TestEndpoint(.leaf, account)
    let heavy = TestEndpoint(.leaf, account)
    let none = TestEndpoint(.leaf, account)
    light.subscribe("a", "g", weight: 1)
    let subscription = heavy.subscribe("a", "g", weight: 1)
    none.subscribe("a", "g", weight: 0)
    account.setWeight(5, of: subscription)
    for _ in 0..<600 { #expect(publisher.publish("a")) }
    #expect(light.got.count + heavy.got.count == 600)
    #expect((60...140).contains(light.got.count))
    #expect(none.got == [])
  }

  @Test("a message from a leaf link never goes back to it, and reaches queue groups only where they are named")
  func fromLeaf() {
    let link = TestEndpoint(.leaf, account)
    let other = TestEndpoint(.leaf, account)
    let plain = TestEndpoint(.client, account)
    let member = TestEndpoint(.client, account)
    link.subscribe(">")
    other.subscribe("a")
    plain.subscribe("a")
    member.subscribe("a", "g")
    #expect(link.publishAsLeaf("a"))
    #expect(link.got == [])
    #expect(other.taken() == ["a []"])
    #expect(plain.taken() == ["a <- a"])
    #expect(member.taken() == [])
    #expect(link.publishAsLeaf("a", queues: ["g", "unknown"]))
    #expect(member.taken() == ["a g <- a"])
    #expect(link.publishAsLeaf("a", queues: ["h"]))
    #expect(member.taken() == [])
    #expect(!link.publishAsLeaf("nobody"))
  }

  // MARK: Mappings

  @Test("the domain's API subjects are rewritten before routing, for clients and leafs; queue groups behind them are served")
  func mapping() {
    account.map(SubjectPrefixMapping(source: "$JS.d.API.STREAM.>", destination: "$JS.API.STREAM.>"))
    account.map(SubjectPrefixMapping(source: "$JS.d.API.INFO", destination: "$JS.API.INFO"))
    var asked: [String] = []
    account.subscribe("$JS.API.>") { message, _ in asked.append(message.subject.string) }
    let member = TestEndpoint(.client, account)
    member.subscribe("$JS.API.INFO", "api")
    let client = TestEndpoint(.client, account)
    let link = TestEndpoint(.leaf, account)
    #expect(client.publish("$JS.d.API.STREAM.INFO.S"))
    #expect(link.publishAsLeaf("$JS.d.API.INFO"))
    #expect(!client.publish("$JS.d.API.INFO.x"))
    #expect(!client.publish("$JS.d.API.STREAM"))
    #expect(!client.publish("$JS.d.API.STREAM."))
    #expect(!client.publish("$JS.dd.API.INFO"))
    #expect(asked == ["$JS.API.STREAM.INFO.S", "$JS.API.INFO"])
    #expect(member.got == ["$JS.API.INFO api <- $JS.API.INFO"])
  }

  // MARK: Observers

  final class Observer: InterestObserver {
    var seen: [String] = []
    func interestChanged(_ subscription: Subscription, added: Bool) { seen.append("\(added ? "+" : "-")\(subscription.subject.string)") }
  }

  @Test("observers hear of each change once, also of one that a last delivery makes")
  func observers() {
    let observer = Observer()
    account.observe(observer)
    let client = TestEndpoint(.client, account)
    client.subscribe("a", max: 1)
    let subscription = client.subscribe("b")
    #expect(client.publish("a"))
    account.remove(subscription)
    account.remove(subscription)
    #expect(observer.seen == ["+a", "+b", "-a", "-b"])
    account.stopObserving(observer)
    client.subscribe("c")
    #expect(observer.seen.count == 4)
  }

  @Test("random interest and messages: exactly those get a copy who a plain model says")
  func model() {
    var state: UInt64 = 11
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    let subjects: [ByteString] = ["a", "a.b", "a.c", "b", "b.c", "b.c.d"]
    let patterns: [(ByteString, (String) -> Bool)] = [
      ("a", { $0 == "a" }), ("a.*", { $0 == "a.b" || $0 == "a.c" }), (">", { _ in true }), ("b.>", { $0.hasPrefix("b.") }),
      ("*", { !$0.contains(".") }), ("*.c", { $0 == "a.c" || $0 == "b.c" }),
    ]
    for _ in 0..<100 {
      let account = Account(name: "$G", seed: UInt64(random(1000)))
      let publisher = TestEndpoint(.client, account)
      var plain: [(TestEndpoint, (String) -> Bool)] = []
      var groups: [String: [(TestEndpoint, (String) -> Bool)]] = [:]
      for _ in 0..<random(12) {
        let endpoint = TestEndpoint(random(4) == 0 ? .leaf : .client, account)
        let (pattern, matches) = patterns[random(patterns.count)]
        if random(2) == 0 {
          endpoint.subscribe(pattern)
          plain.append((endpoint, matches))
        } else {
          let name = ["g", "h"][random(2)]
          endpoint.subscribe(pattern, ByteString(name))
          groups[name, default: []].append((endpoint, matches))
        }
      }
      for subject in subjects {
        let taken = publisher.publish(subject)
        var expected = 0
        for (endpoint, matches) in plain {
          let count = endpoint.taken().count
          #expect(count == (matches(subject.string) ? 1 : 0))
          expected += count
        }
        for members in groups.values {
          let matching = members.filter { $0.1(subject.string) }
          let got = members.map { $0.0.taken().count }.reduce(0, +)
          #expect(got == (matching.isEmpty ? 0 : 1))
          expected += got
        }
        #expect(taken == (expected > 0))
      }
    }
  }
}
