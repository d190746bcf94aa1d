import Bytes
import Testing

@testable import JetStream

@Suite("Bookkeeping of consumers")
struct ConsumerStateTests {
  static func delivered(_ sequences: [UInt64], first: UInt64 = 1) -> ConsumerState {
    var state = ConsumerState(first: first)
    for sequence in sequences { _ = state.deliverNew(sequence, tracked: true, deadline_ns: 100) }
    return state
  }

  @Test("the floor follows the first message that is not acknowledged")
  func floor() {
    var state = Self.delivered([1, 2, 5, 6])
    state.acknowledge(2)
    #expect(state.floor == SequencePair())
    state.acknowledge(1)
    #expect(state.floor == SequencePair(consumer: 2, stream: 4))
    state.acknowledge(6)
    state.acknowledge(5)
    #expect(state.floor == SequencePair(consumer: 4, stream: 6))
    #expect(state.pendingCount == 0)
    let wasPending = state.acknowledge(5)
    #expect(!wasPending)
  }

  @Test("an ack of everything before covers what is queued, too")
  func ackThrough() {
    var state = Self.delivered([1, 2, 3, 4])
    state.refuse(2, until: nil)
    state.acknowledge(through: SequencePair(consumer: 3, stream: 3))
    let none = state.firstQueued()
    #expect(none == nil)
    #expect(state.floor == SequencePair(consumer: 3, stream: 3))
    #expect(state.pendingCount == 1)
  }

  @Test("expired messages are queued in the stream's order, and given up after their last delivery")
  func expires() {
    var state = Self.delivered([1, 2, 3])
    state.extend(2, until: 200)
    let next = state.expire(now_ns: 100, maxDeliver: 2, gaveUp: { _ in })
    #expect(next == 200)
    #expect(state.queuedCount == 2)
    let first = state.firstQueued()?.sequence
    #expect(first == 1)
    let number = state.deliverAgain(1, deadline_ns: 300)
    #expect(number == 4)
    #expect(state.redeliveredCount == 1)
    var given: [UInt64] = []
    let later = state.expire(now_ns: 300, maxDeliver: 2, gaveUp: { given.append($0.sequence) })
    #expect(later == nil)
    #expect(given == [1])
    // It was not acknowledged: the floor stays, until an ack moves it on.
    #expect(state.floor == SequencePair())
    #expect(state.redeliveredCount == 1 && state.isGivenUp(1))
    #expect(state.acknowledge(1) && !state.isGivenUp(1) && state.redeliveredCount == 0)
  }

  @Test("deadlines are looked at in their order, a few at a time, and outdated ones do not count")
  func deadlines() {
    var state = ConsumerState(first: 1)
    for sequence in 1...1000 { _ = state.deliverNew(UInt64(sequence), tracked: true, deadline_ns: Int64(5000 - sequence)) }
    for sequence in 1...1000 where sequence % 2 == 0 { state.acknowledge(UInt64(sequence)) }
    for _ in 0..<10_000 { state.extend(999, until: 9000) }
    state.refuse(1, until: 4001)
    var next = state.expire(now_ns: 4500, maxDeliver: -1, limit: 100, gaveUp: { _ in })
    #expect(next! <= 4500)
    while let due = next, due <= 4500 { next = state.expire(now_ns: 4500, maxDeliver: -1, limit: 100, gaveUp: { _ in }) }
    // From 500 on (deadlines up to 4500) without 999, which was extended, and 1.
    #expect(state.queuedCount == 250)
    #expect(next == 4501)
    var queued: [UInt64] = []
    while let first = state.firstQueued() {
      queued.append(first.sequence)
      state.acknowledge(first.sequence)
    }
    #expect(Set(queued) == Set(stride(from: UInt64(501), to: 999, by: 2)).union([1]))
  }

  @Test("a message that has the same deadline twice is given up once")
  func sameDeadlineTwice() {
    var state = Self.delivered([1])
    state.refuse(1, until: nil)
    _ = state.deliverAgain(1, deadline_ns: 100)
    var given: [UInt64] = []
    _ = state.expire(now_ns: 100, maxDeliver: 2, gaveUp: { given.append($0.sequence) })
    #expect(given == [1] && state.redeliveredCount == 1 && state.pendingCount == 0)
  }

  @Test("a record holds everything that matters")
  func records() throws {
    var state = Self.delivered([1, 2, 5, 6, 9])
    state.acknowledge(1)
    state.acknowledge(5)
    state.refuse(6, until: nil)
    _ = state.deliverAgain(6, deadline_ns: 500)
    let copy = try #require(state.record.withView { ConsumerState(record: $0, deadline_ns: 700) })
    #expect(copy.delivered == state.delivered && copy.floor == state.floor && copy.next == state.next)
    var pending: [PendingDelivery] = []
    copy.forEachPending { pending.append($0) }
    #expect(pending.map(\.sequence) == [2, 6, 9])
    #expect(pending.map(\.first) == [2, 4, 5])
    #expect(pending.map(\.deliveries) == [1, 2, 1])
    #expect(pending.allSatisfy { $0.deadline_ns == 700 })
    #expect(copy.redeliveredCount == 1)
    _ = state.expire(now_ns: 900, maxDeliver: 1, gaveUp: { _ in })
    let given = try #require(state.record.withView { ConsumerState(record: $0, deadline_ns: 700) })
    #expect(given.givenUp == state.givenUp && given.givenUp.count == 3 && given.pendingCount == 0)
  }

  @Test("a record that would be too long leaves the end to be delivered again")
  func longRecords() throws {
    var state = ConsumerState(first: 1)
    for sequence in 1...100_000 { _ = state.deliverNew(UInt64(sequence), tracked: true, deadline_ns: 1) }
    #expect(state.record.count < ConsumerState.recordBytesMax + 100)
    let copy = try #require(state.record.withView { ConsumerState(record: $0, deadline_ns: 1) })
    #expect(copy.next < state.next)
    #expect(copy.next == copy.delivered.stream + 1)
    #expect(copy.pendingCount == Int(copy.delivered.consumer))
  }

  @Test("damaged records are refused or harmless")
  func damagedRecords() {
    let record = Self.delivered([1, 2, 5, 600, 70_000]).record
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var damaged = record
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if Bool.random(using: &random) { damaged.removeLast(Int.random(in: 0...damaged.count, using: &random)) }
      guard var state = damaged.withView({ ConsumerState(record: $0, deadline_ns: 0) }) else { continue }
      _ = state.expire(now_ns: 1, maxDeliver: 3, gaveUp: { _ in })
      while let queued = state.firstQueued() { state.acknowledge(queued.sequence) }
      #expect(state.pendingCount == 0)
    }
  }

  @Test("a stream that lost its end takes what was delivered of it along")
  func cuts() {
    var state = Self.delivered([1, 2, 3, 4])
    state.cut(after: 2)
    #expect(state.pendingCount == 2)
    #expect(state.next == 3)
    let number = state.deliverNew(3, tracked: true, deadline_ns: 1)
    #expect(number == 5)
  }

  @Test("random deliveries and acks agree with a plain model")
  func model() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var state = ConsumerState(first: 1)
      var pending: [UInt64: Int] = [:]
      var next: UInt64 = 1
      var acked: Set<UInt64> = []
      for _ in 0..<400 {
        switch Int.random(in: 0..<5, using: &random) {
        case 0, 1:
          next += UInt64.random(in: 0...2, using: &random)
          _ = state.deliverNew(next, tracked: true, deadline_ns: 10)
          pending[next] = 1
          next += 1
        case 2:
          guard let sequence = pending.keys.randomElement(using: &random) else { continue }
          let wasPending = state.acknowledge(sequence)
          #expect(wasPending)
          pending[sequence] = nil
          acked.insert(sequence)
        case 3:
          guard let sequence = pending.keys.randomElement(using: &random) else { continue }
          state.refuse(sequence, until: nil)
        default:
          guard let queued = state.firstQueued() else { continue }
          #expect(pending[queued.sequence] == queued.deliveries)
          _ = state.deliverAgain(queued.sequence, deadline_ns: 10)
          pending[queued.sequence, default: 0] += 1
        }
        #expect(state.pendingCount == pending.count)
        #expect(state.redeliveredCount == pending.values.filter { $0 > 1 }.count)
        // The floor is never ahead of what was acknowledged.
        if let lowest = pending.keys.min() { #expect(state.floor.stream < lowest) }
      }
    }
  }
}

@Suite("What pulls and acks say")
struct ConsumerParsingTests {
  static func pull(_ body: String) throws -> PullRequest {
    try ByteString(body).withView { view throws(RefusedPull) in try PullRequest.decode(view) }
  }

  static func verb(_ payload: String) -> AckVerb { ByteString(payload).withView { AckVerb($0) } }

  @Test("a body is nothing, a number or an object; unknown members are passed over")
  func pulls() throws {
    #expect(try Self.pull("") == PullRequest())
    #expect(try Self.pull("7").batch == 7)
    #expect(try Self.pull("junk") == PullRequest())
    let request = try Self.pull(#"{"batch":3,"expires":5,"no_wait":true,"max_bytes":9,"idle_heartbeat":2,"other":{}}"#)
    #expect(request.batch == 3 && request.expires_ns == 5 && request.noWait && request.maxBytes == 9)
    #expect(throws: RefusedPull.self) { try Self.pull(#"{"batch":"3"}"#) }
  }

  @Test("verbs are told apart by their exact prefix")
  func verbs() {
    #expect(Self.verb("") == .acknowledge)
    #expect(Self.verb("+ACK") == .acknowledge)
    #expect(Self.verb("+OK") == .acknowledge)
    #expect(Self.verb("-NAK") == .refuse(delay_ns: 0))
    #expect(Self.verb(#"-NAK {"delay":5}"#) == .refuse(delay_ns: 5))
    #expect(Self.verb("-NAK 2s") == .refuse(delay_ns: 2_000_000_000))
    #expect(Self.verb("-NAK rubbish") == .refuse(delay_ns: 0))
    #expect(Self.verb("+WPI") == .working)
    #expect(Self.verb("+TERM because") == .terminate(reasonAt: 5))
    #expect(Self.verb("+NXT 5") == .next(requestAt: 4))
    #expect(Self.verb("+ack") == .unknown)
  }

  @Test("whatever comes as a request or an ack is read without harm")
  func fuzz() {
    var random = SystemRandomNumberGenerator()
    let seeds = [
      #"{"batch":3,"expires":5000000000,"no_wait":true,"max_bytes":9,"idle_heartbeat":2,"id":"x","priority":1}"#,
      #"-NAK {"delay":5000}"#, "+NXT {\"batch\":2}", "-NAK 1h2m3.5s", "+TERM x", "9999999999999999999",
    ]
    for _ in 0..<20_000 {
      var bytes = [UInt8](seeds.randomElement(using: &random)!.utf8)
      for _ in 0..<Int.random(in: 0...5, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
      bytes.withView { view in
        if var request = try? PullRequest.decode(view) {
          try? request.check(ConsumerConfig())
          let pull = WaitingPull(request, reply: "x", now_ns: 5)
          #expect(pull.nextDue_ns >= 5)
        }
        _ = AckVerb(view)
        _ = AckSubject(view, prefixLength: 0)
      }
    }
  }
}
