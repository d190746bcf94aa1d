// When the names of a store's files become durable, and what is made of files that have one and nothing else.
import Testing

@testable import LogStore
@testable import Platform

@Suite struct NameTests {
  @Test("nothing waits for the names of files while the store runs, and what is acknowledged has its name") func namesWithCommits() throws {
    let bench = Bench(options: Bench.small(storeBytesMax: 96 << 10))
    _ = try bench.store.open()
    let atStart = bench.disk.directorySyncs
    let stream = bench.store.stream(1)
    for sequence in UInt64(1)...600 {
      do throws(StoreError) { try stream.put(sequence, size: 200) } catch {
        #expect(error == .full)
        stream.removeThrough(stream.firstSequence + 50)
      }
      if sequence % 3 == 0 { bench.settle() }
    }
    bench.rest()
    #expect(bench.store.checkpoints > 1 && bench.disk.creations > 10 && bench.disk.directorySyncs == atStart)
    var cut = PowerCut()
    for operation in bench.disk.operations { cut.apply(operation) }
    var random = Seeded(1)
    let again = Bench(cut.image({ _ in 0 }, random: &random), options: Bench.small(storeBytesMax: 96 << 10), seed: 4)
    _ = try again.store.open()
    #expect(try Contents(of: again.store) == Contents(of: bench.store))
  }

  @Test("a segment whose name cannot be made durable acknowledges nothing, and is written again") func nameFails() throws {
    let bench = Bench(options: Bench.small(checkpoints: false))
    _ = try bench.store.open()
    bench.disk.failNames = .inputOutput
    let position = try bench.store.stream(1).put(1)
    bench.settle()
    bench.rest(60 * second_ns)
    #expect(bench.store.durablePosition < position && bench.store.isFailed)
    bench.disk.failNames = nil
    bench.rest(60 * second_ns)
    #expect(bench.store.durablePosition >= position && !bench.store.isFailed)
    var cut = PowerCut()
    for operation in bench.disk.operations { cut.apply(operation) }
    var random = Seeded(1)
    let again = Bench(cut.image({ _ in 0 }, random: &random), seed: 4)
    _ = try again.store.open()
    #expect(try again.store.stream(1).scanned() == [1])
  }

  @Test("a start that cannot be sure of names takes nothing for durable") func namesAreUnsure() throws {
    let (disk, _, before) = try killed(blanks: 0)
    disk.failNames = .inputOutput
    let bench = Bench(disk, options: Bench.small(checkpoints: false), seed: 4)
    _ = try bench.store.open()
    #expect(bench.store.durablePosition < bench.store.appendedPosition)
    disk.failNames = nil
    bench.rest(60 * second_ns)
    #expect(bench.store.durablePosition == bench.store.appendedPosition)
    #expect(try Contents(of: bench.store) == before)
  }

  /// A killed store behind whose segments are `count` more files of zeros, and what is in it.
  private func killed(blanks count: Int) throws -> (disk: MemoryDisk, blanks: [String], contents: Contents) {
    let bench = Bench(options: Bench.small(checkpoints: false))
    _ = try bench.store.open()
    for sequence in UInt64(1)...9 { try bench.store.stream(1).put(sequence) }
    bench.rest()
    let disk = copy(bench.disk)
    let end = try #require(bench.store.segments.last.map { $0.base + UInt64($0.size) })
    var blanks: [String] = []
    for at in 0..<count {
      blanks.append("store/" + Segment.name(end + UInt64(at) * 2048))
      disk.names[blanks[at]] = disk.nodes.count
      disk.nodes.append(MemoryDisk.Node([UInt8](repeating: 0, count: 2048)))
    }
    return (disk, blanks, try Contents(of: bench.store))
  }

  @Test("of segments that were begun in vain one after the other none is left", arguments: [1, 2, 3]) func blankSegments(count: Int) throws
  {
    let (disk, blanks, contents) = try killed(blanks: count)
    let bench = Bench(disk, options: Bench.small(checkpoints: false), seed: 4)
    let report = try bench.store.open()
    #expect(report.unreadableFiles.isEmpty && report.tornBytes == Int64(count * 2048))
    #expect(blanks.allSatisfy { disk.names[$0] == nil })
    #expect(try Contents(of: bench.store) == contents)
  }

  @Test("a segment of zeros before one in which something was stays, as that one does") func blankBefore() throws {
    let (disk, blanks, _) = try killed(blanks: 2)
    disk.nodes[disk.names[blanks[1]]!].data[700] = 1
    let bench = Bench(disk, options: Bench.small(checkpoints: false), seed: 4)
    #expect(try bench.store.open().unreadableFiles.count == 2)
    #expect(blanks.allSatisfy { disk.names[$0] != nil })
  }

  @Test("a segment that was begun in vain does not come back when the next one is begun") func blankComesBack() throws {
    let (disk, _, _) = try killed(blanks: 1)
    var cut = PowerCut(continuing: disk)
    let bench = Bench(disk, options: Bench.small(checkpoints: false), seed: 4)
    _ = try bench.store.open()
    let stream = bench.store.stream(1)
    while bench.store.segmentCount < 3 {
      try stream.put(stream.lastSequence + 1)
      bench.settle()
    }
    var random = Seeded(1)
    for operation in disk.operations {
      cut.apply(operation)
      for lost in 0..<cut.uncertainties {
        let again = Bench(cut.image({ $0 == lost ? 0 : 1 }, random: &random), options: Bench.small(checkpoints: false), seed: 5)
        #expect(try again.store.open().unreadableFiles.isEmpty)
      }
    }
  }
}
