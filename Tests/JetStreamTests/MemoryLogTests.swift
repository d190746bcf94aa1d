// The memory log against a plain dictionary, and that what is not there takes no room.
import Bytes
import LogStore
import Testing

@testable import JetStream

@Suite("Memory log")
struct MemoryLogTests {
  private func append(_ log: MemoryLog, _ sequence: UInt64) throws {
    _ = try ByteString("s.\(sequence % 7)").withView { subject throws(StoreError) in
      try log.append(
        sequence: sequence, timestamp_ns: Int64(sequence) * 10, subject: subject, headers: ByteView(), payload: ByteView())
    }
  }

  @Test("messages are found whatever was removed and passed over", arguments: 1...8)
  func model(seed: Int) throws {
    let log = MemoryLog()
    var state = UInt64(seed)
    func random(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    var present: Set<UInt64> = []
    var last: UInt64 = 0
    for step in 1...12_000 {
      switch random(20) {
      case 0:
        last += 1 + random(1000)
        log.skip(before: last + 1)
      case 1...12:
        last += 1
        try append(log, last)
        present.insert(last)
      case 13...18:
        guard let some = log.nextSequence(atOrAfter: random(last + 1)) else { break }
        #expect(log.remove(some) && !log.remove(some))
        present.remove(some)
      default:
        guard step % 50 == 0, let first = present.min() else { break }
        let through = first + random(200)
        log.removeThrough(through)
        present = present.filter { $0 > through }
      }
      guard step % 400 == 0 else { continue }
      let sorted = present.sorted()
      let first = sorted.first ?? last + 1
      #expect(log.firstSequence == first && log.lastSequence == last && log.count == sorted.count)
      #expect(log.deletedCount == Int(last + 1 - first) - sorted.count)
      let place = random(last + 2)
      #expect(log.previousSequence(atOrBefore: place) == sorted.last { $0 <= place })
      #expect(log.count(from: place) == sorted.count { $0 >= place })
      let before = Int(random(UInt64(sorted.count + 2)))
      #expect(log.sequence(behind: before) == (before < sorted.count ? sorted[before] : nil))
      var seen: [UInt64] = []
      _ = log.scan(from: 0) { message in
        seen.append(message.sequence)
        return true
      }
      #expect(seen == sorted)
      let at = random(last + 2)
      #expect(log.nextSequence(atOrAfter: at) == sorted.first { $0 >= at })
      #expect(log.contains(at) == present.contains(at))
      #expect(try log.sequence(atOrAfter: Int64(at) * 10) == sorted.first { $0 >= at })
      #expect(log.deletedSequences(limit: 40) == (first..<last + 1).lazy.filter { !present.contains($0) }.prefix(40).map { $0 })
    }
  }

  @Test("a gap of a billion sequences is passed over at once, and removed messages do not pile up")
  func room() throws {
    let log = MemoryLog()
    try append(log, 1)
    log.skip(before: 1_000_000_000)
    try append(log, 1_000_000_000)
    #expect(log.count == 2 && log.deletedCount == 999_999_998)
    #expect(log.deletedSequences(limit: 3) == [2, 3, 4])
    for sequence in UInt64(1_000_000_001)...1_000_100_000 {
      try append(log, sequence)
      #expect(log.remove(sequence))
    }
    #expect(log.heldEntries <= 2 + 1024 + 1)
    #expect(log.firstSequence == 1 && log.lastSequence == 1_000_100_000)
  }
}
