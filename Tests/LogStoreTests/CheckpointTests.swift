// Checkpoint files while the store changes under them, and what a start makes of them. Power cuts are in CrashTests.
import Bytes
import Testing

@testable import LogStore

@Suite struct CheckpointTests {
  /// A store on the same disk, as after the process was killed.
  private func killed(_ bench: Bench) -> Bench {
    let image = MemoryDisk()
    image.names = bench.disk.names
    image.nodes = bench.disk.nodes.map { MemoryDisk.Node($0.data) }
    return Bench(image, options: bench.store.options, seed: 2)
  }

  @Test("a stream with a gap of more sequences than 32 bits count, as a mirror may have one, starts again", arguments: [true, false])
  func hugeGap(checkpoints: Bool) throws {
    let bench = Bench(options: Bench.small(checkpoints: checkpoints))
    _ = try bench.store.open()
    let far: UInt64 = 5 << 32
    try bench.store.stream(1).put(1)
    for sequence in far...far + 400 { try bench.store.stream(1).put(sequence) }
    bench.store.stream(1).remove(far + 1)
    bench.rest()
    #expect(!checkpoints || bench.store.checkpoints > 0)
    #expect(bench.store.stream(1).deletedCount == far - 2 + 1)
    bench.store.close {}
    bench.rest()
    let again = Bench(bench.disk, options: Bench.small(checkpoints: checkpoints), seed: 2)
    #expect(try again.store.open().hasCheckpoint == checkpoints)
    let stream = again.store.stream(1)
    #expect(stream.deletedCount == far - 2 + 1 && stream.count == 401)
    #expect(try stream.scanned() == [1, far] + Array(far + 2...far + 400))
    stream.removeThrough(far + 2)
    #expect(stream.count == 398 && stream.deletedCount == 0)
  }

  @Test("the oldest segments may go while a checkpoint is written")
  func segmentsGoMeanwhile() throws {
    let bench = Bench(options: Bench.small(storeBytesMax: 64 << 20))
    _ = try bench.store.open()
    let store = bench.store
    let stream = store.stream(1)
    for sequence in UInt64(1)...100 {
      try stream.put(sequence)
      if sequence % 8 == 0 { bench.settle() }
    }
    // Several frames' worth, so that commits come between them.
    for key in 0..<60 { store.setMetadata(ByteString("key \(key)"), [UInt8](repeating: UInt8(key), count: 9000)) }
    bench.rest()
    let before = store.checkpoints
    store.isCheckpointForced = true
    store.heldBytes = 1
    store.considerCheckpoint()
    let alive = try #require(store.checkpoint?.alive)
    stream.removeThrough(100)
    store.setMetadata("now", [1])
    var gone = false
    while let checkpoint = store.checkpoint, checkpoint.alive == alive {
      // As near the limit: nothing waits for the next checkpoint.
      for segment in store.segments { segment.isInCheckpoint = false }
      store.queueRelease()
      bench.turn()
      if store.checkpoint === checkpoint, store.segments[0].base > alive[0] { gone = true }
    }
    #expect(gone && store.checkpoints > before)
    bench.rest()
    let again = killed(bench)
    _ = try again.store.open()
    #expect(try Contents(of: again.store) == Contents(of: store))
  }

  @Test("a start forgets what a checkpoint says of files that are gone")
  func forgetsGoneFiles() throws {
    let bench = Bench()
    _ = try bench.store.open()
    let store = bench.store
    let stream = store.stream(1)
    for sequence in UInt64(1)...400 {
      try stream.put(sequence)
      if sequence % 8 == 0 { bench.settle() }
    }
    bench.rest()
    // A removal in the newest segment of a message in the oldest, whose file goes then.
    let oldest = store.segments[0].base
    stream.remove(2)
    bench.rest()
    stream.removeThrough(try #require(stream.oldestSegmentLastSequence))
    for segment in store.segments { segment.isInCheckpoint = false }
    bench.rest()
    #expect(store.unsyncedRemovals == [oldest])
    // Before the directory is synced a checkpoint is written, and the process killed.
    let before = store.checkpoints
    store.isCheckpointForced = true
    store.heldBytes = 1
    store.considerCheckpoint()
    bench.settle()
    #expect(store.checkpoints == before + 1 && store.unsyncedRemovals == [oldest])
    let kept = store.segments.reduce(0) { $0 + $1.liveRemovals }
    #expect(kept > 0)
    let again = killed(bench)
    let report = try again.store.open()
    #expect(report.hasCheckpoint)
    #expect(try Contents(of: again.store) == Contents(of: store))
    for segment in again.store.segments { #expect(segment.removals[oldest] == nil && segment.liveRemovals == 0) }
  }

  @Test("metadata counts towards what a checkpoint costs, and is written in pieces while it changes")
  func largeMetadata() throws {
    let bench = Bench(options: Bench.small(storeBytesMax: 64 << 20))
    _ = try bench.store.open()
    let store = bench.store
    for key in 0..<200 { store.setMetadata(ByteString("key \(key)"), [UInt8](repeating: UInt8(key), count: 5000)) }
    bench.settle()
    #expect(store.metadataBytes > 1_000_000)
    let stream = store.stream(1)
    let (checkpoints, appended) = (store.checkpoints, store.appendedBytes)
    var sequence: UInt64 = 0
    // It is about a segment's messages that would ask for one, were it not so dear.
    while store.appendedBytes - appended < store.metadataBytes {
      sequence += 1
      try stream.put(sequence, size: 200)
      bench.settle()
    }
    #expect(store.checkpoints <= checkpoints + 2)
    while store.checkpoint == nil {
      sequence += 1
      try stream.put(sequence, size: 200)
      bench.turn()
    }
    var frames = 0
    var place = 0
    while let checkpoint = store.checkpoint {
      if checkpoint.offset > place { frames += 1 }
      #expect(checkpoint.offset - place < 200 << 10)
      place = checkpoint.offset
      store.setMetadata(ByteString("key \(frames)"), [1, 2, 3])
      store.removeMetadata(ByteString("key \(100 + frames)"))
      bench.turn()
    }
    #expect(frames > 5)
    bench.settle()
    let again = killed(bench)
    let report = try again.store.open()
    #expect(report.hasCheckpoint)
    #expect(try Contents(of: again.store) == Contents(of: store))
    #expect(again.store.metadataBytes == store.metadataBytes)
  }

  @Test("a checkpoint that claims endless lists is passed over at once", .timeLimit(.minutes(1)), arguments: [false, true])
  func endlessLists(copies: Bool) throws {
    let bench = Bench()
    _ = try bench.store.open()
    for sequence in UInt64(1)...1000 {
      try bench.store.stream(1).put(sequence)
      if sequence % 8 == 0 { bench.settle() }
    }
    bench.rest()
    let expected = try Contents(of: bench.store)
    let again = killed(bench)
    var crafted = 0
    for slot in 0..<2 {
      guard let node = again.disk.names["store/" + LogStore.checkpointName(slot)].map({ again.disk.nodes[$0] }),
        var header = node.data.withUnsafeBytes({ CheckpointHeader($0) })
      else { continue }
      var frame = CheckpointFrame(bytesMin: CheckpointFrame.bytesMin)
      frame.begin()
      frame.put(CheckpointEntry.segment)
      for number in [bench.store.segments[0].base, 512, 512, 1] { frame.put(number) }
      if copies { frame.put(0 as UInt64) }
      frame.put(UInt64.max >> 1)
      frame.seal(header, frame: 0)
      header.frameCount = 1
      header.size = UInt64(frame.bytes.count)
      var data = [UInt8](repeating: 0, count: CheckpointHeader.framesOffset)
      data.withUnsafeMutableBytes { header.write($0.baseAddress!) }
      node.data = data + frame.bytes
      crafted += 1
    }
    #expect(crafted > 0)
    let report = try again.store.open()
    #expect(!report.hasCheckpoint)
    #expect(try Contents(of: again.store) == expected)
  }
}
