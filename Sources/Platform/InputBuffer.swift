// What was read and not used yet: the tail that the owner of a stream left, kept in one piece until more comes behind it.
import Bytes
import CLinux

/// Bytes in one piece, appended at the end and used from the front. An empty one need not own memory: `release` gives it back.
struct InputBuffer: ~Copyable {
  private var base: UnsafeMutablePointer<UInt8>?
  private(set) var count = 0
  private(set) var capacity = 0

  deinit { if let base { free(base) } }

  /// What is there; valid until the buffer changes.
  var view: ByteView { base.map { ByteView(base: $0, count: count) } ?? ByteView() }

  /// Where the next byte goes; there is room up to `capacity`.
  var end: UnsafeMutablePointer<UInt8> { base! + count }

  /// Makes room for `capacity` bytes in all.
  @inline(never) mutating func reserve(_ capacity: Int) {
    if capacity <= self.capacity { return }
    guard let grown = realloc(base, capacity) else { fatalError("out of memory for a read buffer") }
    base = grown.assumingMemoryBound(to: UInt8.self)
    self.capacity = capacity
  }

  /// `size` bytes were written at `end`.
  mutating func added(_ size: Int) {
    precondition(size >= 0 && count + size <= capacity, "more was written than reserved")
    count += size
  }

  /// Appends `bytes`, and makes room for `room` bytes in all, as so many are expected.
  @inline(never) mutating func append(_ bytes: ByteView, room: Int) {
    reserve(max(count + bytes.count, room))
    memcpy(end, bytes.base, bytes.count)
    count += bytes.count
  }

  /// Drops the first `size` bytes; what follows moves to the front.
  mutating func use(_ size: Int) {
    precondition(size >= 0 && size <= count, "more was used than was there")
    count -= size
    if count > 0, size > 0 { memmove(base!, base! + size, count) }
  }

  /// Forgets what is there and keeps the memory.
  mutating func clear() { count = 0 }

  /// Forgets what is there and gives the memory back.
  @inline(never) mutating func release() {
    if let base { free(base) }
    base = nil
    count = 0
    capacity = 0
  }
}
