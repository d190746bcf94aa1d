// What the store does when nothing goes wrong: appending, reading, removing, restarting, giving space back.
import Bytes
import Platform
import Testing

@testable import LogStore

@Suite struct LogStoreTests {
  @Test("a message can be read before and after it is durable, and after a restart") func readsBack() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(7)
    let position = try stream.put(1, headers: "NATS/1.0\r\nA: b\r\n\r\n")
    #expect(bench.store.durablePosition < position)
    func check(_ stream: StreamLog) throws {
      let found = try stream.read(1) { message in
        #expect(message.subject.string == "s.7.1")
        #expect(message.headers.string == "NATS/1.0\r\nA: b\r\n\r\n")
        #expect(message.payload.bytes == StreamLog.payload(1, 40))
        #expect(message.timestamp_ns == 1000)
        #expect(message.bytes == stream.bytes)
        return true
      }
      #expect(found == true)
      #expect(try stream.read(2) { _ in true } == nil)
    }
    try check(stream)
    bench.settle()
    #expect(bench.store.durablePosition == position)
    try check(stream)

    let again = Bench(bench.disk, seed: 2)
    #expect(throws: StoreError.locked(path: "store")) { try again.store.open() }
    var closed = false
    bench.store.close { closed = true }
    bench.settle()
    #expect(closed)
    let report = try again.store.open()
    #expect(report.messages == 1 && report.damagedRegions == 0 && report.tornBytes == 0)
    try check(again.store.stream(7))
    #expect(again.store.stream(7).lastTimestamp_ns == 1000)
  }

  @Test("everything appended in a turn is one batch, and what comes during a commit is the next") func groupsCommits() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    for sequence in UInt64(1)...10 { try stream.put(sequence) }
    bench.turn(commit: false)
    #expect(bench.disk.hasPendingCommit)
    var order: [Int] = []
    bench.store.whenDurable(10) { order.append(10) }
    for sequence in UInt64(11)...20 { try stream.put(sequence) }
    bench.store.whenDurable(20) { order.append(20) }
    bench.store.whenDurable(5) { order.append(5) }
    bench.turn()
    #expect(order == [5, 10] && bench.store.batches == 1)
    bench.settle()
    #expect(order == [5, 10, 20] && bench.store.batches == 2 && bench.store.durablePosition == 20)
  }

  @Test("scans give live messages in order across segments, batches in memory and removals") func scans() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    let other = bench.store.stream(2)
    for sequence in UInt64(1)...300 {
      try stream.put(sequence)
      if sequence % 3 == 0 { try other.put(sequence, size: 100) }
      if sequence % 20 == 0 { bench.turn() }
    }
    #expect(bench.store.segmentCount > 5)
    for sequence in stride(from: UInt64(10), to: 200, by: 10) { #expect(stream.remove(sequence)) }
    #expect(!stream.remove(10))
    stream.removeThrough(25)
    let expected = (UInt64(26)...300).filter { $0 >= 200 || $0 % 10 != 0 }
    #expect(stream.live == expected && stream.count == expected.count && stream.firstSequence == 26)
    #expect(try stream.scanned() == expected)
    #expect(try stream.scanned(from: 250) == Array(250...300))
    #expect(try other.scanned() == (1...300).filter { $0 % 3 == 0 })
    #expect(other.deletedCount == 300 - 100 - 2)
    #expect(other.deletedSequences(limit: 3) == [4, 5, 7])
    #expect(try stream.sequence(atOrAfter: 100_500) == 101)
    #expect(try stream.sequence(atOrAfter: 0) == 26)
    #expect(try stream.sequence(atOrAfter: 300_001) == nil)
    var sum = 0
    try stream.scan(from: 0) {
      sum += $0.bytes
      return true
    }
    #expect(sum == stream.bytes)
  }

  @Test("a scan may append and remove while it runs") func scansWhileChanging() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    for sequence in UInt64(1)...50 { try stream.put(sequence) }
    bench.settle()
    var seen: [UInt64] = []
    try stream.scan(from: 1) { message in
      seen.append(message.sequence)
      if stream.lastSequence < 100 { _ = try? stream.put(stream.lastSequence + 1) }
      stream.remove(message.sequence)
      return true
    }
    #expect(seen == Array(1...100))
    #expect(stream.count == 0 && stream.firstSequence == 101 && stream.bytes == 0)
  }

  @Test("metadata survives the segments it was written in") func keepsMetadata() throws {
    let bench = Bench()
    _ = try bench.store.open()
    bench.store.setMetadata("a", [1])
    bench.store.setMetadata("b", [2])
    bench.store.setMetadata("a", [3])
    bench.store.removeMetadata("b")
    let stream = bench.store.stream(1)
    for sequence in UInt64(1)...300 {
      try stream.put(sequence)
      if sequence > 20 { stream.remove(sequence - 20) }
      if sequence % 10 == 0 { bench.turn() }
    }
    bench.rest()
    #expect(bench.store.segmentCount < 4)
    let again = try restarted(bench)
    #expect(again.store.metadata.count == 1)
    #expect(again.store.metadata["a" as ByteString] == [3])
    #expect(again.store.stream(1).live == Array(281...300))
  }

  @Test("an emptied stream keeps its last sequence after its segments are gone") func keepsLastSequence() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    for sequence in UInt64(1)...10 { try stream.put(sequence) }
    stream.removeThrough(10)
    #expect(stream.firstSequence == 11)
    let other = bench.store.stream(2)
    for sequence in UInt64(1)...200 {
      try other.put(sequence)
      bench.turn()
    }
    other.removeThrough(150)
    bench.rest()
    let again = try restarted(bench)
    #expect(again.store.stream(1).lastSequence == 10 && again.store.stream(1).firstSequence == 11)
    #expect(again.store.stream(2).live == Array(151...200))
  }

  @Test("a dropped stream is gone, and its number can be used again") func drops() throws {
    let bench = Bench()
    _ = try bench.store.open()
    for sequence in UInt64(1)...30 { try bench.store.stream(1).put(sequence) }
    bench.store.dropStream(1)
    let stream = bench.store.stream(1)
    #expect(stream.count == 0 && stream.lastSequence == 0)
    for sequence in UInt64(1)...5 { try stream.put(sequence, size: 10) }
    bench.settle()
    var again = try restarted(bench)
    #expect(again.store.stream(1).live == [1, 2, 3, 4, 5])
    #expect(try again.store.stream(1).read(2) { $0.payload.count } == 10)
    again.store.dropStream(1)
    again.settle()
    again = try restarted(again)
    #expect(again.store.streamIDs.isEmpty)
  }

  @Test("a store that is full refuses messages, still removes, and takes messages again") func fills() throws {
    let bench = Bench(options: Bench.small(storeBytesMax: 64 << 10))
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    var sequence: UInt64 = 0
    func fill() -> StoreError? {
      while sequence < 10_000 {
        do throws(StoreError) { try stream.put(sequence + 1) } catch { return error }
        sequence += 1
        bench.turn()
      }
      return nil
    }
    #expect(fill() == .full)
    bench.rest()
    #expect(bench.store.bytesOnDisk <= 64 << 10)
    bench.store.setMetadata("still", [1])
    for _ in 0..<200 {
      // As a stream with discard: old does.
      while true {
        let last = try #require(stream.oldestSegmentLastSequence)
        stream.removeThrough(last)
        do throws(StoreError) { try stream.put(sequence + 1) } catch { continue }
        break
      }
      sequence += 1
      bench.settle()
      _ = fill()
    }
    bench.rest()
    #expect(bench.store.bytesOnDisk <= 64 << 10)
    #expect(bench.store.state == .healthy)
    let again = try restarted(bench)
    #expect(again.store.stream(1).live == stream.live)
    #expect(try again.store.stream(1).scanned() == stream.live)
  }

  @Test("mostly dead segments are copied forward when space is needed, and nothing changes for readers") func compacts() throws {
    let bench = Bench(options: Bench.small(storeBytesMax: 96 << 10))
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    let keys = bench.store.stream(2)
    var kept: Set<UInt64> = []
    for sequence in UInt64(1)...4000 {
      try stream.put(sequence)
      if sequence > 50 { stream.remove(sequence - 50) }
      try keys.put(sequence)
      // Keeps every hundredth: what lives is thinly spread.
      if sequence % 100 == 0 { kept.insert(sequence) }
      if sequence > 5, !kept.contains(sequence - 5) { keys.remove(sequence - 5) }
      if sequence % 8 == 0 { bench.settle() }
    }
    bench.rest()
    #expect(bench.store.bytesCompacted > 0)
    #expect(bench.store.bytesOnDisk <= 96 << 10)
    let expected = keys.live
    #expect(expected.count == kept.count + 4)
    #expect(try keys.scanned() == expected)
    for sequence in expected { #expect(try keys.read(sequence) { $0.payload.bytes } == StreamLog.payload(sequence, 40)) }
    let again = try restarted(bench)
    #expect(again.store.stream(2).live == expected)
    #expect(try again.store.stream(2).scanned() == expected)
    #expect(again.store.stream(2).bytes == keys.bytes)
    #expect(again.store.stream(1).live == stream.live)
  }

  @Test("removals of messages in older segments outlive the segment they are logged in") func keepsRemovals() throws {
    let bench = Bench(options: Bench.small(storeBytesMax: 96 << 10))
    _ = try bench.store.open()
    let old = bench.store.stream(1)
    for sequence in UInt64(1)...60 { try old.put(sequence) }
    bench.settle()
    for sequence in stride(from: UInt64(2), through: 58, by: 4) { old.remove(sequence) }
    let expected = old.live
    let churn = bench.store.stream(2)
    for sequence in UInt64(1)...4000 {
      try churn.put(sequence)
      churn.removeThrough(sequence > 20 ? sequence - 20 : 0)
      if sequence % 8 == 0 { bench.settle() }
    }
    bench.rest()
    #expect(old.live == expected)
    let again = try restarted(bench)
    #expect(again.store.stream(1).live == expected)
    #expect(again.store.stream(1).bytes == old.bytes)
  }

  func restarted(_ bench: Bench) throws -> Bench {
    bench.store.close {}
    bench.rest()
    let again = Bench(bench.disk, options: bench.store.options, seed: 3)
    let report = try again.store.open()
    #expect(report.damagedRegions == 0 && report.tornBytes == 0 && report.lost.isEmpty)
    return again
  }
}
