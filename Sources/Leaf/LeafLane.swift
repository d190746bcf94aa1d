// Operations that wait to be sent, in order, cut only between operations: so that others can go ahead of them at any cut.
import Bytes
import Platform

/// Whole operations in a row. Segments of about `segmentBytes` leave one after the other.
struct LeafLane {
  let buffer = OutputBuffer(limit: .max)
  /// Operations are counted into a segment until it has this many bytes.
  private let segmentBytes: Int
  /// The sizes of the segments from `first` on; all operations of one are in it whole.
  private var segments: [Int] = []
  private var first = 0
  /// The last operation is not whole yet.
  private var isOpen = false

  init(segmentBytes: Int) { self.segmentBytes = segmentBytes }

  var count: Int { buffer.count }
  var isEmpty: Bool { buffer.isEmpty }

  /// `size` bytes of an operation were appended to `buffer`; `ends`: now it is whole.
  @inline(__always) mutating func added(_ size: Int, ends: Bool = true) {
    if segments.count > first, isOpen || segments[segments.count - 1] < segmentBytes {
      segments[segments.count - 1] += size
    } else {
      segments.append(size)
    }
    isOpen = !ends
  }

  /// The size of the segment that leaves next; 0 when there is none.
  var nextSegmentBytes: Int { first < segments.count ? segments[first] : 0 }

  /// Gives the next segment to `body`, piece after piece, and forgets it. There must be one.
  mutating func takeSegment(_ body: (ByteView) -> Void) {
    var left = segments[first]
    first += 1
    if first == segments.count {
      segments.removeAll(keepingCapacity: segments.capacity <= 64)
      first = 0
    } else if first >= 64 {
      segments.removeFirst(first)
      first = 0
    }
    let size = left
    buffer.forEachPiece(limit: .max) { piece in
      if left == 0 { return }
      let part = piece.prefix(min(left, piece.count))
      body(part)
      left -= part.count
    }
    buffer.consume(size)
  }

  mutating func removeAll() {
    buffer.removeAll()
    segments = []
    first = 0
  }
}
