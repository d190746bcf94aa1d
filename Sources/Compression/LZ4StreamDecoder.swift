// The receiving side of an LZ4 stream between two agents, from untrusted bytes in whatever pieces they arrive.
import Bytes
import CLZ4
import CLinux

/// Decodes what one connection receives. Holds its history for as long as it lives: 32 KB.
///
///     var rest = received
///     while let plain = try decoder.next(&rest) { … }
///
/// After an error the decoder is of no use any more: every further call throws the same.
public final class LZ4StreamDecoder {
  private let history = UnsafeMutablePointer<UInt8>.allocate(capacity: LZ4Format.historyBytes)
  /// Bytes of the history.
  private var place = 0
  /// The beginning of a chunk that came with earlier pieces; memory only while there is any.
  private var partial: [UInt8] = []
  private var failure: LZ4Error?

  /// Bytes received in whole chunks, and bytes decoded, since the start.
  public private(set) var bytesIn: UInt64 = 0
  public private(set) var bytesOut: UInt64 = 0

  public init() {}

  deinit { history.deallocate() }

  /// Whether the stream may end here: between two chunks.
  public var isBetweenChunks: Bool { partial.isEmpty }

  /// The bytes of the next chunk, taken from the front of `input`, or nil when `input` is used up. The view is valid until the next
  /// call.
  public func next(_ input: inout ByteView) throws(LZ4Error) -> ByteView? {
    if let failure { throw failure }
    do throws(LZ4Error) {
      return try take(&input)
    } catch {
      failure = error
      partial = []
      throw error
    }
  }

  private func take(_ input: inout ByteView) throws(LZ4Error) -> ByteView? {
    if partial.isEmpty {
      guard let (head, size) = try header(input), input.count >= head + size else {
        partial = input.bytes
        input = ByteView()
        return nil
      }
      defer { input = input.dropFirst(head + size) }
      return try decode(input.slice(head, head + size), head: head)
    }
    // The size may itself have come in two pieces.
    while !input.isEmpty {
      let byte = input[0]
      if let (head, size) = try partial.withView({ view throws(LZ4Error) in try header(view) }) {
        let missing = head + size - partial.count
        let part = input.prefix(min(missing, input.count))
        partial.append(part)
        input = input.dropFirst(part.count)
        guard part.count == missing else { return nil }
        let chunk = partial
        partial = []
        return try chunk.withView { view throws(LZ4Error) in try decode(view.dropFirst(head), head: head) }
      }
      partial.append(byte)
      input = input.dropFirst(1)
    }
    return nil
  }

  /// The bytes of a chunk's size and the size; nil when they are not all there.
  private func header(_ bytes: ByteView) throws(LZ4Error) -> (head: Int, size: Int)? {
    guard bytes.count > 0 else { return nil }
    var size = Int(bytes[0])
    var head = 1
    if size >= 0x80 {
      guard bytes.count > 1 else { return nil }
      size = size & 0x7F | Int(bytes[1]) << 7
      head = 2
    }
    guard size > LZ4Format.checksumBytes, size <= LZ4Format.bodyBytesMax else { throw LZ4Error(.sizeWrong, offset: bytesIn) }
    return (head, size)
  }

  private func decode(_ body: ByteView, head: Int) throws(LZ4Error) -> ByteView {
    // As the encoder does it, so that both ends remember the same.
    if place > LZ4Format.historyBytes - LZ4Format.chunkBytesMax {
      memmove(history, history + place - LZ4Format.historyKept, LZ4Format.historyKept)
      place = LZ4Format.historyKept
    }
    let checksum = UInt32(body[0]) | UInt32(body[1]) << 8 | UInt32(body[2]) << 16 | UInt32(body[3]) << 24
    let block = body.dropFirst(LZ4Format.checksumBytes)
    let count = Int(clz4_decode(block.base, Int32(block.count), history + place, Int32(LZ4Format.chunkBytesMax), Int32(place)))
    guard count > 0 else { throw LZ4Error(.blockWrong, offset: bytesIn) }
    let plain = ByteView(base: UnsafePointer(history + place), count: count)
    guard CRC32C.checksum(plain) == checksum else { throw LZ4Error(.checksumWrong, offset: bytesIn) }
    place += count
    bytesIn += UInt64(head + body.count)
    bytesOut += UInt64(count)
    return plain
  }
}
