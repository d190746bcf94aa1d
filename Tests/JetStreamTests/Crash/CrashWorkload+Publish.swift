// Publishing: one by one, with ids and roll-ups, in atomic and in fast batches.
import Bytes
import JSON
import Platform

@testable import JetStream

extension CrashWorkload {
  /// A text of its own; some are larger than a sector or a page.
  private func payload(_ facts: StreamFacts) -> String {
    ids += 1
    let size = entropy.oneIn(12) ? entropy.below(3000) : entropy.below(200)
    return "\(facts.name) \(ids) " + String(repeating: String(ids % 10), count: size)
  }

  /// What a stream has stored since its last sequence was `last`.
  private func noteStored(_ facts: StreamFacts, behind last: UInt64, _ subject: String, _ payload: String, group: Int = 0, at before: Int)
    -> MessageFacts?
  {
    guard let stream = agent.stream(facts.name), stream.lastSequence > last else { return nil }
    let sequence = stream.lastSequence
    if sequence != last + 1 { problems.append("one message took sequences \(last + 1) to \(sequence)") }
    // Nobody is interested: it has a sequence, and is not there.
    if facts.retention == .interest,
      !facts.liveConsumers.contains(where: { $0.filters.last!.filter.isEmpty || $0.filters.last!.filter == subject })
    {
      if stream.contains(sequence) { problems.append("message \(sequence) of \(facts.name) was stored for nobody") }
      return nil
    }
    let message = MessageFacts(order: model.nextOrder(), sequence: sequence, subject: subject, payload: payload, group: group, at: before)
    facts.messages[sequence] = message
    facts.live[sequence] = message
    return message
  }

  /// An answer says that a message is stored.
  private func acknowledged(_ facts: StreamFacts, _ message: MessageFacts?, _ sequence: UInt64) {
    guard !facts.isAsync else { return }
    facts.lastAcked.append((sequence, moment))
    guard let message, message.stored.acked == nil else { return }
    message.stored.acked = moment
  }

  func publish(_ facts: StreamFacts) {
    let subject = subject(facts)
    let payload = payload(facts)
    var headers: [(String, String)] = []
    var rolled: [MessageFacts] = []
    if entropy.oneIn(4) {
      // Now and then one that was used before.
      headers.append(("Nats-Msg-Id", entropy.oneIn(3) ? "id \(entropy.below(ids + 1))" : "id \(ids)"))
    }
    if entropy.oneIn(facts.name == "VALUES" ? 5 : 20) {
      let all = entropy.oneIn(3)
      headers.append(("Nats-Rollup", all ? "all" : "sub"))
      rolled = facts.live.values.filter { all || $0.subject == subject }
    }
    doing("publish \(subject) \(headers.map { $0.1 })") { before in
      guard let stream = agent.stream(facts.name) else { return }
      let last = stream.lastSequence
      var message: MessageFacts?
      agent.request(subject, payload, headers: headers) { [unowned self] answer in
        answered("publishing to \(facts.name)", answer)
        guard answer.errorCode == nil, let sequence = answer.sequence.map({ UInt64($0) }) else { return }
        if answer.json["duplicate"]?.bool == true { return acknowledged(facts, facts.messages[sequence], sequence) }
        acknowledged(facts, message, sequence)
        guard !facts.isAsync else { return }
        for gone in rolled where gone !== message { gone.goneAcked = gone.goneAcked ?? moment }
      }
      message = noteStored(facts, behind: last, subject, payload, at: before)
      guard stream.lastSequence > last else {
        rolled = []
        return
      }
      for gone in rolled { gone.mayGo(from: before) }
    }
  }

  // MARK: Batches

  func atomicBatch(_ facts: StreamFacts) {
    ids += 1
    let id = "batch \(ids)"
    let count = 1 + entropy.below(10)
    let isGivenUp = entropy.oneIn(8)
    var messages: [MessageFacts] = []
    let subjects = (0..<count).map { _ in subject(facts) }
    let payloads = (0..<count).map { _ in payload(facts) }
    doing("batch of \(count) to \(facts.name)") { before in
      guard let stream = agent.stream(facts.name) else { return }
      let last = stream.lastSequence
      for index in 0..<count {
        let isCommit = index == count - 1 && !isGivenUp
        var headers = [("Nats-Batch-Id", id), ("Nats-Batch-Sequence", "\(index + 1)")]
        if isCommit { headers.append(("Nats-Batch-Commit", "1")) }
        agent.request(subjects[index], payloads[index], headers: headers) { [unowned self] answer in
          if isCommit { answered("batch of \(count) to \(facts.name)", answer) }
          guard isCommit, answer.errorCode == nil, let sequence = answer.sequence else { return }
          acknowledged(facts, nil, UInt64(sequence))
          for message in messages { acknowledged(facts, message, message.sequence) }
        }
      }
      guard stream.lastSequence > last else { return }
      let group = model.nextGroup()
      if stream.lastSequence != last + UInt64(count) { problems.append("a batch of \(count) took \(stream.lastSequence - last) sequences") }
      for index in 0..<count {
        let sequence = last + UInt64(index) + 1
        let message = MessageFacts(
          order: model.nextOrder(), sequence: sequence, subject: subjects[index], payload: payloads[index], group: group, at: before)
        // Those that nobody is interested in, and those that its own successors have driven out.
        if !stream.contains(sequence) { message.mayGo(from: before) } else { facts.live[sequence] = message }
        facts.messages[sequence] = message
        messages.append(message)
      }
    }
  }

  func fastBatch(_ facts: StreamFacts) {
    ids += 1
    let name = "fast\(ids)"
    let count = 2 + entropy.below(10)
    let flow = 1 + entropy.below(5)
    // By their numbers in the batch.
    var messages: [Int: MessageFacts] = [:]
    for number in 1...count {
      let subject = subject(facts)
      let payload = payload(facts)
      let operation = number == 1 ? 0 : number == count ? 2 : 1
      doing("number \(number) of \(count) in \(name) to \(facts.name)") { before in
        guard let stream = agent.stream(facts.name) else { return }
        let last = stream.lastSequence
        agent.send(
          subject, payload,
          reply: agent.inbox(".\(name).\(flow).ok.\(number).\(operation).$FI") { [unowned self] answer in
            answered(name, answer)
            let json = answer.json
            guard answer.errorCode == nil else { return }
            var through = 0
            if json["type"]?.string?.string == "ack" {
              through = json["seq"]?.int ?? 0
            } else if json["batch"] != nil {
              through = count
            }
            for (number, message) in messages where number <= through { acknowledged(facts, message, message.sequence) }
          })
        messages[number] = noteStored(facts, behind: last, subject, payload, at: before)
      }
      if entropy.oneIn(6) { pass(entropy.within(0...3 * millisecond_ns)) }
    }
  }
}
