// The interest tree and its cache, against a list of subscriptions that is matched one by one.
import Bytes
import Testing

@testable import Interest

@Suite("InterestTree") struct InterestTreeTests {
  private func names(_ match: InterestMatch<Subscriber>) -> [Int] { match.plain.map(\.name).sorted() }

  @Test("plain subscribers and queue groups of every matching pattern are found")
  func matching() {
    let tree = InterestTree<Subscriber>(seed: 1)
    tree.insert(subject: "orders.*", Subscriber(1))
    tree.insert(subject: "orders.>", Subscriber(2))
    tree.insert(subject: "orders.eu", Subscriber(3))
    tree.insert(subject: "orders.us", Subscriber(4))
    tree.insert(subject: ">", queue: "audit", Subscriber(5))
    tree.insert(subject: "orders.eu", queue: "work", Subscriber(6))
    tree.insert(subject: "orders.*", queue: "work", weight: 3, Subscriber(7))
    let match = tree.match("orders.eu")
    #expect(names(match) == [1, 2, 3])
    #expect(match.queues.count == 2)
    let work = match.queues.first { $0.name == "work" }!
    #expect(work.members.map { [$0.subscriber.name, $0.weight] }.sorted { $0[0] < $1[0] } == [[6, 1], [7, 3]])
    #expect(work.weight == 4)
    #expect(match.fanout == 5)
    #expect(names(tree.match("orders")) == [])
    #expect(tree.match("orders").queues.count == 1)
    #expect(tree.match("orders.").isEmpty)
    #expect(tree.match("").isEmpty)
    #expect(names(tree.match("orders.*")) == [1, 2])
  }

  @Test("subscribers of one subject are served in the order of their subscription")
  func order() {
    let tree = InterestTree<Subscriber>(seed: 1)
    let handles = (0..<5).map { tree.insert(subject: "a", Subscriber($0)) }
    tree.remove(handles[0])
    tree.remove(handles[2])
    tree.insert(subject: "a", Subscriber(9))
    #expect(tree.match("a").plain.map(\.name) == [1, 3, 4, 9])
  }

  @Test("a handle removes once, and never what came after it in the same place")
  func handles() {
    let tree = InterestTree<Subscriber>(seed: 1)
    let one = tree.insert(subject: "a", Subscriber(1))
    #expect(tree.remove(one)?.name == 1)
    #expect(tree.remove(one) == nil)
    let two = tree.insert(subject: "a", Subscriber(2))
    #expect(tree.remove(one) == nil)
    #expect(tree.count == 1)
    tree.removeAll()
    #expect(tree.remove(two) == nil)
    #expect(tree.isEmpty && tree.match("a").isEmpty)
    #expect(tree.inserts == 2 && tree.removes == 2)
  }

  @Test("removal by subject asks for the same queue group and subscriber")
  func removalBySubject() {
    let tree = InterestTree<Subscriber>(seed: 1)
    let subscriber = Subscriber(1)
    tree.insert(subject: "a.*", queue: "q", subscriber)
    #expect(!tree.remove(subject: "a.*", subscriber))
    #expect(!tree.remove(subject: "a.*", queue: "q", Subscriber(1)))
    #expect(!tree.remove(subject: "a.b", queue: "q", subscriber))
    #expect(tree.remove(subject: "a.*", queue: "q", subscriber))
    #expect(tree.isEmpty)
    #expect(tree.nodes.count == 3 && tree.findNode(ByteView("a")) == nil)
  }

  @Test("a match is kept at the second look-up, and only a change that concerns its subject ends it")
  func currency() {
    let tree = InterestTree<Subscriber>(seed: 1)
    tree.insert(subject: "a.b", Subscriber(1))
    #expect(!tree.match("a.b").isCurrent)
    let match = tree.match("a.b")
    #expect(match.isCurrent && match.isCurrent(for: ByteView("a.b")) && !match.isCurrent(for: ByteView("a.c")))
    #expect(tree.match("a.b") === match && tree.cacheHits == 1 && tree.matches == 3)
    tree.insert(subject: "a.c", Subscriber(2))
    tree.insert(subject: "b.*", Subscriber(2))
    let wide = tree.insert(subject: "a.*.c", Subscriber(2))
    tree.remove(wide)
    #expect(match.isCurrent)
    let star = tree.insert(subject: "a.*", Subscriber(3))
    #expect(!match.isCurrent && names(match) == [1])
    let next = tree.match("a.b")
    #expect(names(next) == [1, 3] && next.isCurrent)
    tree.remove(star)
    #expect(!next.isCurrent)
    let group = tree.insert(subject: "a.b", queue: "q", Subscriber(4))
    let weighted = tree.match("a.b")
    tree.setWeight(5, of: group)
    #expect(!weighted.isCurrent && tree.match("a.b").queues[0].weight == 5)
  }

  @Test("subjects that come in turn are kept after a few rounds")
  func inTurn() {
    let tree = InterestTree<Subscriber>(cacheLimit: 1024, seed: 1)
    tree.insert(subject: "s.*", Subscriber(1))
    for _ in 0..<8 {
      for index in 0..<500 { _ = tree.match(ByteString("s.\(index)")) }
    }
    #expect(tree.cacheCount > 450)
    #expect(tree.cacheHits > 2000)
  }

  @Test("the cache is bounded, and what leaves it is not current")
  func bounded() {
    let tree = InterestTree<Subscriber>(cacheLimit: 64, seed: 1)
    tree.insert(subject: ">", Subscriber(1))
    var held: [InterestMatch<Subscriber>] = []
    for index in 0..<500 {
      _ = tree.match(ByteString("s.\(index)"))
      held.append(tree.match(ByteString("s.\(index)")))
    }
    #expect(tree.cacheCount <= 64 && tree.cacheCount > 16)
    #expect(held.filter(\.isCurrent).count == tree.cacheCount)
    tree.insert(subject: "s.*", Subscriber(2))
    #expect(held.filter(\.isCurrent).isEmpty && tree.cacheCount == 0)
    let none = InterestTree<Subscriber>(cacheLimit: 0, seed: 1)
    for _ in 0..<4 { #expect(!none.match("a").isCurrent) }
  }

  @Test("many patterns that come and go are not compared with every match that is kept: those are found again when they are wanted")
  func manyPatterns() {
    let tree = InterestTree<Subscriber>(cacheLimit: 1024, seed: 1)
    tree.insert(subject: "s.*", Subscriber(1))
    for _ in 0..<2 { for index in 0..<100 { _ = tree.match(ByteString("s.\(index)")) } }
    let kept = tree.cacheCount
    let match = tree.match("s.1")
    #expect(kept > 90 && match.isCurrent)
    for index in 0..<64 { tree.insert(subject: ByteString("z.\(index).*"), Subscriber(2)) }
    #expect(tree.cacheCount == kept && match.isCurrent)
    tree.insert(subject: "z.64.*", Subscriber(2))
    #expect(tree.cacheCount == 0 && !match.isCurrent)
    // Without anything to compare patterns cost nothing, and a subject that was seen is kept at its next look.
    for index in 0..<200 { tree.insert(subject: ByteString("y.\(index).*"), Subscriber(2)) }
    #expect(tree.match("s.1").isCurrent && names(tree.match("s.1")) == [1])
  }

  @Test("a tree that changes all the time answers as the list of its subscriptions does")
  func againstModel() {
    let words = ["a", "b", "c"]
    let literals = Model.literals(words: words + [""], depth: 3)
    let groups: [ByteString?] = [nil, nil, "q1", "q2"]
    for seed in 0..<6 {
      var random = TestRandom(seed: UInt64(seed))
      let tree = InterestTree<Subscriber>(cacheLimit: 32, seed: UInt64(seed))
      var list: [(pattern: String, queue: ByteString?, subscriber: Subscriber, handle: InterestHandle)] = []
      var held: [InterestMatch<Subscriber>] = []
      for step in 0..<1500 {
        switch Int.random(in: 0..<10, using: &random) {
        case 0...2 where list.count < 60:
          let pattern = Model.pattern(&random, words: words, depth: 4)
          let queue = groups.randomElement(using: &random)!
          let subscriber = Subscriber(step)
          list.append((pattern, queue, subscriber, tree.insert(subject: ByteString(pattern), queue: queue, subscriber)))
        case 3...4 where !list.isEmpty:
          let gone = list.remove(at: Int.random(in: 0..<list.count, using: &random))
          if step % 2 == 0 {
            #expect(tree.remove(gone.handle) === gone.subscriber)
          } else {
            #expect(tree.remove(subject: ByteString(gone.pattern), queue: gone.queue, gone.subscriber))
          }
        default:
          let literal = literals.randomElement(using: &random)!
          let match = tree.match(ByteString(literal))
          check(match, literal, list.map { ($0.pattern, $0.queue, $0.subscriber) })
          #expect(ByteString(literal).withView { tree.hasInterest(in: $0) } == !match.isEmpty)
          if match.isCurrent { held.append(match) }
        }
        if step % 50 == 0 {
          for match in held where match.isCurrent {
            check(match, match.subject.string, list.map { ($0.pattern, $0.queue, $0.subscriber) })
          }
          let pattern = Model.pattern(&random, words: words, depth: 4)
          var found: [Int] = []
          ByteString(pattern).withView { view in
            tree.forEachOverlapping(view) { _, _, subscriber, _ in found.append(subscriber.name) }
            #expect(tree.hasInterest(overlapping: view) == !found.isEmpty)
          }
          let wanted = list.filter { Subject.overlap(ByteString($0.pattern), ByteString(pattern)) }
          #expect(found.sorted() == wanted.map(\.subscriber.name).sorted())
        }
        #expect(tree.count == list.count)
      }
      var all: [String] = []
      tree.forEach { subject, _, subscriber, _ in all.append("\(subject.string) \(subscriber.name)") }
      #expect(all.sorted() == list.map { "\($0.pattern) \($0.subscriber.name)" }.sorted())
      for entry in list { tree.remove(entry.handle) }
      #expect(tree.isEmpty && tree.findNode(ByteView("a")) == nil && tree.nodes[0].firstChild == 0)
    }
  }

  private func check(_ match: InterestMatch<Subscriber>, _ literal: String, _ list: [(String, ByteString?, Subscriber)]) {
    let wanted = list.filter { Model.matches(literal, $0.0) }
    #expect(names(match) == wanted.filter { $0.1 == nil }.map(\.2.name).sorted())
    for group in match.queues {
      #expect(group.members.map(\.subscriber.name).sorted() == wanted.filter { $0.1 == group.name }.map(\.2.name).sorted())
    }
    #expect(match.queues.count == Set(wanted.compactMap(\.1)).count)
  }

  @Test("hundreds of queue groups on one subject stay apart")
  func manyGroups() {
    let tree = InterestTree<Subscriber>(seed: 1)
    for index in 0..<600 { tree.insert(subject: "a.*", queue: ByteString("q\(index % 200)"), Subscriber(index)) }
    let match = tree.match("a.b")
    #expect(match.queues.count == 200)
    #expect(match.queues.allSatisfy { $0.members.count == 3 && $0.weight == 3 })
  }

  @Test("a subject of thousands of tokens is only long")
  func deep() {
    let tree = InterestTree<Subscriber>(seed: 1)
    let long = ByteString(Array(repeating: "*", count: 20_000).joined(separator: "."))
    let handle = tree.insert(subject: long, Subscriber(1))
    #expect(tree.match(ByteString(Array(repeating: "x", count: 20_000).joined(separator: "."))).plain.count == 1)
    tree.remove(handle)
    #expect(tree.isEmpty)
  }
}
