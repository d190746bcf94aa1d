// Interest of a client on one side of a leaf link, and whether what is published on the other side reaches it: each subscription once,
// each queue group once.
import Platform

final class InterestAcross {
  private static let subjects = 8
  private static let most = 24

  private struct Entry {
    let id: Int
    let subject: Int
    let pattern: String
    let queue: String?
  }

  private let subscriber: CoreClient
  private let publisher: CoreClient
  private let prefix: String
  private var entries: [Entry] = []
  private var round = 0
  /// What of this round's messages came for which subscription.
  private var arrived: [Int: Int] = [:]

  init(prefix: String, subscriber: CoreClient, publisher: CoreClient) {
    self.prefix = prefix
    self.subscriber = subscriber
    self.publisher = publisher
    subscriber.received = { [unowned self] id, payload in
      if payload == "\(round)" { arrived[id, default: 0] += 1 }
    }
  }

  var count: Int { entries.count }

  /// Subscribes to something, or ends a subscription.
  func change(_ entropy: SeededEntropy) {
    if !entries.isEmpty, entries.count >= Self.most || entropy.oneIn(3) {
      subscriber.unsubscribe(entries.remove(at: entropy.below(entries.count)).id)
      return
    }
    let subject = entropy.below(Self.subjects)
    let form = entropy.below(3)
    let pattern = "\(prefix).\(subject)." + ["x", "*", ">"][form]
    // Members of a group have one pattern.
    let queue = entropy.oneIn(3) ? "q\(form)" : nil
    entries.append(Entry(id: subscriber.subscribe(pattern, queue: queue), subject: subject, pattern: pattern, queue: queue))
  }

  /// Publishes to every subject, from the other side.
  func probe() {
    round += 1
    arrived = [:]
    for subject in 0..<Self.subjects { publisher.publish("\(prefix).\(subject).x", "\(round)") }
  }

  /// Something that may or may not get through, now.
  func chatter(_ entropy: SeededEntropy) { publisher.publish("\(prefix).\(entropy.below(Self.subjects)).x", "chatter") }

  private func came(_ queue: String?, _ pattern: String) -> Int {
    entries.reduce(0) { $0 + ($1.queue == queue && $1.pattern == pattern ? arrived[$1.id] ?? 0 : 0) }
  }

  /// Whether all of the round's messages came.
  var isComplete: Bool { entries.allSatisfy { $0.queue == nil ? (arrived[$0.id] ?? 0) > 0 : came($0.queue, $0.pattern) > 0 } }

  /// What came too often, or nil.
  var excess: String? {
    for entry in entries {
      let count = entry.queue == nil ? arrived[entry.id] ?? 0 : came(entry.queue, entry.pattern)
      if count > 1 { return "\(count) copies of one message for \(entry.pattern) \(entry.queue ?? "")" }
    }
    return nil
  }

  var missing: String {
    entries.filter { $0.queue == nil ? arrived[$0.id] == nil : came($0.queue, $0.pattern) == 0 }.map { "\($0.pattern) \($0.queue ?? "")" }
      .joined(separator: ", ")
  }

  /// What the other end of the link has to know, "subject" or "subject queue", and no more.
  var keys: Set<String> { Set(entries.map { $0.pattern + ($0.queue.map { " " + $0 } ?? "") }) }
}
