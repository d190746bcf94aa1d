// What a connection has yet to write: a chain of chunks, so that a large output never moves and an idle connection holds none.
import Bytes
import CLinux

/// Bytes waiting to be written, first in first out. Appending copies once; flushing hands the chunks to `writev` as they are.
public final class OutputBuffer {
  /// Chunks grow from small to large, so that a connection that says little costs little.
  static let chunkSmall = 1024
  static let chunkLarge = 64 * 1024

  @usableFromInline struct Chunk {
    var base: UnsafeMutablePointer<UInt8>
    var capacity: Int
    var start = 0
    var end = 0
  }

  /// More than this is an overflow (`max_pending`); the owner's stream is then closed.
  public var limit: Int
  /// Bytes waiting.
  public private(set) var count = 0
  private var chunks: [Chunk] = []
  /// Index of the first chunk that is not fully written.
  private var first = 0

  public init(limit: Int = 64 * 1024 * 1024) { self.limit = limit }

  deinit { for chunk in chunks[first...] { chunk.base.deallocate() } }

  public var isEmpty: Bool { count == 0 }
  @inline(__always) public var overflowed: Bool { count > limit }

  /// Room for `size` contiguous bytes at the end; `fill` writes there and returns how many it used.
  @inline(__always) public func reserve(_ size: Int, _ fill: (UnsafeMutablePointer<UInt8>) -> Int) {
    if chunks.isEmpty || chunks[chunks.count - 1].capacity - chunks[chunks.count - 1].end < size { grow(size) }
    let last = chunks.count - 1
    let used = fill(chunks[last].base + chunks[last].end)
    precondition(used >= 0 && used <= size, "more was written than reserved")
    chunks[last].end += used
    count += used
  }

  // Not inlined: what is appended many times a second goes through `reserve`.
  @inline(never) public func append(_ view: ByteView) {
    guard view.count > 0 else { return }
    reserve(view.count) { target in
      memcpy(target, view.base, view.count)
      return view.count
    }
  }

  @inline(never) public func append(literal: StaticString) { append(ByteView(literal)) }
  @inline(never) public func append(_ bytes: [UInt8]) { bytes.withView { append($0) } }
  @inline(never) public func append(_ string: ByteString) { string.withView { append($0) } }

  private func grow(_ size: Int) {
    let wanted = chunks.isEmpty ? Self.chunkSmall : Self.chunkLarge
    let capacity = max(wanted, size)
    chunks.append(Chunk(base: .allocate(capacity: capacity), capacity: capacity))
  }

  /// The waiting bytes as up to `limit` pieces, for `writev` or a compressor.
  public func forEachPiece(limit: Int, _ body: (ByteView) -> Void) {
    var seen = 0
    for chunk in chunks[first...] where chunk.end > chunk.start {
      if seen == limit { return }
      body(ByteView(base: UnsafePointer(chunk.base + chunk.start), count: chunk.end - chunk.start))
      seen += 1
    }
  }

  /// Forgets the first `size` bytes. An empty buffer keeps no memory.
  public func consume(_ size: Int) {
    precondition(size <= count, "more was consumed than was waiting")
    var left = size
    count -= size
    while left > 0 {
      let here = min(left, chunks[first].end - chunks[first].start)
      chunks[first].start += here
      left -= here
      if chunks[first].start == chunks[first].end {
        chunks[first].base.deallocate()
        chunks[first].base = UnsafeMutablePointer(bitPattern: 1)!
        first += 1
      }
    }
    if count == 0 {
      for chunk in chunks[first...] { chunk.base.deallocate() }
      chunks.removeAll(keepingCapacity: false)
      first = 0
    } else if first > 32 {
      chunks.removeFirst(first)
      first = 0
    }
  }

  /// Copies the first `size` bytes to `target` and forgets them.
  public func take(_ size: Int, into target: UnsafeMutablePointer<UInt8>) {
    precondition(size <= count, "more was taken than was waiting")
    var copied = 0
    for chunk in chunks[first...] where copied < size {
      let here = min(size - copied, chunk.end - chunk.start)
      memcpy(target + copied, chunk.base + chunk.start, here)
      copied += here
    }
    consume(size)
  }

  public func removeAll() { consume(count) }
}
