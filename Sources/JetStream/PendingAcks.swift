// Acks that wait for their message to be on the medium, in the order of publishing. One byte arena, no object per ack.
import Bytes
import CLinux

/// A first-in-first-out queue of acks.
///
/// Layout of a record in the arena, 8-byte aligned: position, sequence, stream slot (4), reply length (2), kind (2), body length (8),
/// then reply and body. The arena moves when it grows, so nobody keeps a view across an `append`.
final class PendingAcks {
  enum Kind: UInt16 {
    /// A stored message; the reply may be empty when nobody wants an ack.
    case stored = 0
    /// A message that was there already.
    case duplicate = 1
    /// `body` is the whole answer.
    case answer = 2
  }

  struct Item {
    let position: UInt64
    let sequence: UInt64
    let slot: UInt32
    let kind: Kind
    /// Views into the arena, valid until the next `append`.
    let reply: ByteView
    let body: ByteView
    fileprivate let size: Int
  }

  private static let headerBytes = 40
  private static let initialBytes = 4096
  /// An empty arena above this size is given back.
  private static let keptBytes = 256 << 10

  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private var head = 0
  private var tail = 0
  private(set) var count = 0

  deinit { base?.deallocate() }

  var isEmpty: Bool { count == 0 }

  @inline(__always) func append(
    position: UInt64, sequence: UInt64, slot: UInt32, kind: Kind, reply: ByteView, body: ByteView = ByteView()
  ) {
    // A reply subject is bounded by the control line; a longer one could not be answered.
    let replyLength = reply.count <= Int(UInt16.max) ? reply.count : 0
    let size = (Self.headerBytes + replyLength + body.count + 7) & ~7
    if capacity - tail < size { makeRoom(size) }
    let record = base.unsafelyUnwrapped + tail
    record.storeBytes(of: position, as: UInt64.self)
    record.storeBytes(of: sequence, toByteOffset: 8, as: UInt64.self)
    record.storeBytes(of: slot, toByteOffset: 16, as: UInt32.self)
    record.storeBytes(of: UInt16(truncatingIfNeeded: replyLength), toByteOffset: 20, as: UInt16.self)
    record.storeBytes(of: kind.rawValue, toByteOffset: 22, as: UInt16.self)
    record.storeBytes(of: UInt64(truncatingIfNeeded: body.count), toByteOffset: 24, as: UInt64.self)
    memcpy(record + Self.headerBytes, reply.base, replyLength)
    if body.count > 0 { memcpy(record + Self.headerBytes + replyLength, body.base, body.count) }
    tail += size
    count += 1
  }

  /// The oldest ack, if its position is at or before `position`.
  @inline(__always) func first(through position: UInt64) -> Item? {
    guard count > 0 else { return nil }
    let record = base.unsafelyUnwrapped + head
    let waitsFor = record.load(as: UInt64.self)
    guard waitsFor <= position else { return nil }
    let replyLength = Int(record.load(fromByteOffset: 20, as: UInt16.self))
    let bodyLength = Int(truncatingIfNeeded: record.load(fromByteOffset: 24, as: UInt64.self))
    let bytes = UnsafePointer((record + Self.headerBytes).assumingMemoryBound(to: UInt8.self))
    return Item(
      position: waitsFor, sequence: record.load(fromByteOffset: 8, as: UInt64.self),
      slot: record.load(fromByteOffset: 16, as: UInt32.self),
      kind: Kind(rawValue: record.load(fromByteOffset: 22, as: UInt16.self)).unsafelyUnwrapped,
      reply: ByteView(base: bytes, count: replyLength), body: ByteView(base: bytes + replyLength, count: bodyLength),
      size: (Self.headerBytes + replyLength + bodyLength + 7) & ~7)
  }

  /// Forgets the oldest ack, which must be `item`.
  @inline(__always) func removeFirst(_ item: Item) {
    head += item.size
    count -= 1
    if count == 0 {
      head = 0
      tail = 0
      if capacity > Self.keptBytes {
        base?.deallocate()
        base = nil
        capacity = 0
      }
    }
  }

  private func makeRoom(_ size: Int) {
    let used = tail - head
    var wanted = max(capacity, Self.initialBytes)
    // Moving pays only when at least half becomes free.
    while wanted - used < size || used > wanted / 2 { wanted *= 2 }
    if wanted == capacity {
      memmove(base.unsafelyUnwrapped, base.unsafelyUnwrapped + head, used)
    } else {
      let larger = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 8)
      if let base {
        memcpy(larger, base + head, used)
        base.deallocate()
      }
      base = larger
      capacity = wanted
    }
    head = 0
    tail = used
  }
}
