// Records that wait to be written: memory that never moves, so that views of it stay valid while more is appended.
import Bytes

/// A piece of a batch. Records never cross from one to the next.
struct Chunk {
  let base: UnsafeMutableRawPointer
  let capacity: Int
  /// File offset of its first byte.
  var offset: Int
  var used = 0
}

/// Keeps a few chunks, so that batches do not allocate.
struct ChunkPool {
  static let chunkBytes = 128 << 10
  /// Two batches of 1000 messages of 128 bytes in flight.
  static let keptMax = 4
  private var free: [UnsafeMutableRawPointer] = []

  mutating func take(_ size: Int, offset: Int) -> Chunk {
    if size <= Self.chunkBytes {
      let base = free.popLast() ?? .allocate(byteCount: Self.chunkBytes, alignment: 16)
      return Chunk(base: base, capacity: Self.chunkBytes, offset: offset)
    }
    return Chunk(base: .allocate(byteCount: size, alignment: 16), capacity: size, offset: offset)
  }

  mutating func give(_ chunks: [Chunk]) {
    for chunk in chunks {
      if chunk.capacity == Self.chunkBytes, free.count < Self.keptMax {
        free.append(chunk.base)
      } else {
        chunk.base.deallocate()
      }
    }
  }

  mutating func removeAll() {
    for base in free { base.deallocate() }
    free.removeAll()
  }
}

/// What is written and synced together: records of one segment, closed by a commit frame.
final class Batch {
  let segment: Segment
  /// File offsets.
  let start: Int
  var end: Int
  var chunks: [Chunk] = []
  /// Records so far, without the commit frame.
  var count: UInt32 = 0
  var chain: UInt32
  /// `appendedPosition` when it was closed: what its durability makes durable.
  var positionEnd: UInt64 = 0
  /// The chain before its first record.
  let firstChain: UInt32
  /// Up to this file offset it was written ahead of its commit.
  var aheadEnd: Int
  /// Has its commit frame.
  var isClosed = false

  init(segment: Segment, start: Int, chain: UInt32) {
    self.segment = segment
    self.start = start
    end = start
    aheadEnd = start
    self.chain = chain
    firstChain = chain
  }

  /// The bytes that were not written ahead.
  var unwritten: [ByteView] {
    var views: [ByteView] = []
    views.reserveCapacity(chunks.count)
    for chunk in chunks where chunk.offset + chunk.used > aheadEnd {
      let skip = max(0, aheadEnd - chunk.offset)
      views.append(ByteView(UnsafeRawBufferPointer(start: chunk.base + skip, count: chunk.used - skip)))
    }
    return views
  }

  /// The bytes at a file offset up to the end of their chunk, or nil when they are not in this batch.
  func memory(_ offset: Int) -> UnsafeRawBufferPointer? {
    guard offset >= start, offset < end else { return nil }
    for chunk in chunks.reversed() where offset >= chunk.offset {
      let skip = offset - chunk.offset
      guard skip < chunk.used else { return nil }
      return UnsafeRawBufferPointer(start: chunk.base + skip, count: chunk.used - skip)
    }
    return nil
  }
}
