// Secure deletion: nothing of the message is left on the disk, and everything else is.
import Bytes
import Platform
import Testing

@testable import LogStore

@Suite struct EraseTests {
  private func holds(_ disk: MemoryDisk, _ bytes: [UInt8]) -> Bool {
    disk.nodes.contains { node in
      guard node.data.count >= bytes.count else { return false }
      for at in 0...(node.data.count - bytes.count) where node.data[at] == bytes[0] {
        if node.data[at..<at + bytes.count].elementsEqual(bytes) { return true }
      }
      return false
    }
  }

  @Test("an erased message is overwritten, and its neighbours are not", arguments: [false, true])
  func overwrites(isDurable: Bool) throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(7)
    for sequence in UInt64(1)...5 { try stream.put(sequence, headers: "NATS/1.0\r\nSecret: \(sequence)\r\n\r\n") }
    if isDurable { bench.settle() }
    var outcomes: [Bool] = []
    #expect(stream.erase(3) { outcomes.append($0) })
    #expect(!stream.erase(3) { outcomes.append($0) })
    #expect(!stream.erase(9) { outcomes.append($0) })
    bench.settle()
    #expect(outcomes == [true])
    #expect(!holds(bench.disk, StreamLog.payload(3, 40)))
    #expect(!holds(bench.disk, [UInt8]("Secret: 3".utf8)))
    #expect(holds(bench.disk, StreamLog.payload(2, 40)))
    #expect(try stream.scanned() == [1, 2, 4, 5])
    // Later commits go on as before.
    try stream.put(6)
    bench.settle()
    bench.store.close {}
    bench.settle()
    let again = Bench(bench.disk, seed: 2)
    let report = try again.store.open()
    #expect(report.damagedRegions == 0 && report.lost.isEmpty && report.tornBytes == 0)
    #expect(try again.store.stream(7).scanned() == [1, 2, 4, 5, 6])
  }

  @Test("what is erased keeps its checksum, whichever sectors reach the disk")
  func everySize() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(7)
    for sequence in UInt64(1)...150 { try stream.put(sequence, size: Int(sequence) % 13 == 0 ? 900 : Int(sequence) % 7 + 1) }
    bench.settle()
    for sequence in UInt64(1)...150 where sequence % 2 == 0 { _ = stream.erase(sequence) { #expect($0) } }
    bench.settle()
    bench.store.close {}
    bench.settle()
    let again = Bench(bench.disk, seed: 2)
    let report = try again.store.open()
    #expect(report.damagedRegions == 0 && report.lost.isEmpty)
    #expect(again.store.stream(7).count == 75)
  }

  @Test("a disk that cannot overwrite is said, and the message is removed all the same")
  func failure() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let stream = bench.store.stream(7)
    for sequence in UInt64(1)...3 { try stream.put(sequence) }
    bench.settle()
    var outcomes: [Bool] = []
    _ = stream.erase(2) { outcomes.append($0) }
    // After the messages and the removal.
    bench.disk.failingCommits = [2: .inputOutput]
    bench.settle()
    #expect(outcomes == [false])
    #expect(try stream.scanned() == [1, 3])
    try stream.put(4)
    bench.settle()
    #expect(bench.store.durablePosition == bench.store.appendedPosition)
  }
}
