// Consumers: made, changed, deleted, read from, and told what was done with a message.
import Bytes
import JSON
import Platform

@testable import JetStream

extension CrashWorkload {
  func createConsumer(_ facts: StreamFacts) {
    let isQueue = facts.retention == .workqueue
    // In a work queue no two may get the same message.
    let names = isQueue ? ["all", "a", "b"] : ["one", "two", "three"]
    let name = names[entropy.below(3)]
    let timeline = facts.consumer(name)
    let old = timeline.last?.facts
    var filter = isQueue ? (name == "all" ? "" : "\(facts.name).\(name)") : entropy.oneIn(2) ? "" : subject(facts)
    if !isQueue, let old, entropy.oneIn(2) { filter = old.filters.last!.filter }
    let waitsForAcks = old?.waitsForAcks ?? (isQueue || !entropy.oneIn(5))
    let policy = isQueue || !entropy.oneIn(4) ? "all" : "new"
    let mark = model.nextMark()
    var config =
      #""durable_name":"\#(name)","description":"\#(mark)","ack_policy":"\#(waitsForAcks ? "explicit" : "none")","deliver_policy":"\#(policy)","ack_wait":1000000000"#
    if !filter.isEmpty { config += #","filter_subject":"\#(filter)""# }
    doing("create consumer \(facts.name) > \(name) \(filter) \(policy) \(mark)") { before in
      guard let stream = agent.stream(facts.name) else { return }
      let last = stream.lastSequence
      var step: Timeline<ConsumerVersion>.Step?
      agent.request(
        "$JS.API.CONSUMER.CREATE.\(facts.name).\(name)", #"{"stream_name":"\#(facts.name)","config":{\#(config)}}"#
      ) { [unowned self] answer in
        answered("consumer \(facts.name) > \(name)", answer)
        if answer.errorCode == nil { step?.promise.acked = moment }
      }
      guard agent.consumer(facts.name, name)?.config.description.string == mark else { return }
      if let old {
        if old.filters.last!.filter != filter { old.filters.append((filter, before)) }
      }
      let consumer =
        old ?? ConsumerFacts(name: name, start: policy == "new" ? last : 0, waitsForAcks: waitsForAcks, filter: filter, at: before)
      step = timeline.add(ConsumerVersion(facts: consumer, mark: mark), order: model.nextOrder(), at: before)
      model.retain(facts, at: before)
    }
  }

  func deleteConsumer(_ facts: StreamFacts) {
    let there = facts.consumers.keys.sorted().filter { facts.consumers[$0]!.last != nil }
    guard !there.isEmpty else { return }
    let name = there[entropy.below(there.count)]
    let timeline = facts.consumers[name]!
    doing("delete consumer \(facts.name) > \(name)") { before in
      var step: Timeline<ConsumerVersion>.Step?
      agent.request("$JS.API.CONSUMER.DELETE.\(facts.name).\(name)", "") { [unowned self] answer in
        answered("deleting consumer \(facts.name) > \(name)", answer)
        if answer.errorCode == nil { step?.promise.acked = moment }
      }
      guard agent.consumer(facts.name, name) == nil else { return }
      delivered.removeAll { $0.consumer === timeline.last!.facts }
      step = timeline.add(nil, order: model.nextOrder(), at: before)
      model.retain(facts, at: before)
      if facts.retention == .interest, facts.liveConsumers.isEmpty { for message in facts.live.values { message.mayGo(from: before) } }
    }
  }

  func fetch(_ facts: StreamFacts) {
    let there = facts.liveConsumers
    guard !there.isEmpty else { return }
    fetch(facts, there[entropy.below(there.count)], count: 1 + entropy.below(20))
  }

  func fetch(_ facts: StreamFacts, _ consumer: ConsumerFacts, count: Int) {
    doing("fetch \(facts.name) > \(consumer.name)") { _ in
      let reply = agent.inbox { [unowned self] message in receive(message, facts, consumer) }
      agent.send("$JS.API.CONSUMER.MSG.NEXT.\(facts.name).\(consumer.name)", #"{"batch":\#(count),"no_wait":true}"#, reply: reply)
    }
    pass(entropy.within(0...millisecond_ns))
  }

  /// A message or a status came.
  private func receive(_ message: Received, _ facts: StreamFacts, _ consumer: ConsumerFacts) {
    let numbers = message.reply.split(separator: ".")
    guard numbers.count == 9, let sequence = UInt64(numbers[5]) else { return }
    let place = "message \(sequence) of \(facts.name)"
    note("\(facts.name) > \(consumer.name) gets \(sequence)")
    guard let known = facts.messages[sequence] else { return problems.append("\(place) was delivered, and never stored") }
    if known.payload != message.payload || known.subject != message.subject { problems.append("\(place) was delivered as another one") }
    // What was delivered is on the medium.
    if !facts.isAsync, known.stored.acked == nil { known.stored.acked = moment }
    if consumer.waitsForAcks {
      delivered.append((consumer, facts, sequence, message.reply))
    } else {
      consumer.done[sequence] = consumer.done[sequence] ?? moment
      model.retain(facts, at: moment)
    }
  }

  /// Says something of a message that was delivered.
  func acknowledge() {
    guard !delivered.isEmpty else { return }
    acknowledge(
      entropy.oneIn(3) ? entropy.below(delivered.count) : 0, entropy.oneIn(10) ? "-NAK" : entropy.oneIn(15) ? "+TERM" : "")
  }

  func acknowledgeFirst() { acknowledge(0, "") }

  private func acknowledge(_ index: Int, _ verb: String) {
    let (consumer, facts, sequence, ack) = delivered.remove(at: index)
    doing("ack \(sequence) of \(facts.name) > \(consumer.name) \(verb)") { before in
      if verb != "-NAK" {
        consumer.done[sequence] = consumer.done[sequence] ?? before
        model.retain(facts, at: before)
      }
      agent.send(ack, verb, reply: entropy.oneIn(2) ? "" : agent.inbox { _ in })
    }
  }
}
