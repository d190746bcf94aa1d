// Takes a received S2 stream apart (leaf protocol specification, section 16.1), whatever pieces it arrives in: identifiers,
// chunks, limits, checksums. What is in a compressed chunk is S2BlockDecoder's business.
import Bytes
import CLinux

/// The receiving side of one connection. Holds memory only while part of a chunk has arrived.
///
/// The caller asks for one decoded chunk after the other, and may stop at any:
///
///     var rest = received
///     while let plain = try decoder.next(&rest, scratch: scratch) { … }
///
/// After an error the decoder is of no use any more: every further call throws the same.
public final class S2StreamDecoder {
  private enum State {
    /// Between chunks, or in the four bytes of a header.
    case header
    /// In the body of a chunk of this type and size.
    case body(type: UInt8, size: Int)
    /// In a chunk that is passed over; so many bytes are left.
    case skipping(Int)
    case failed(S2Error)
  }

  private var state = State.header
  /// The part of a header or body that came with earlier pieces. The memory grows with what has come: a header may announce much that
  /// never does.
  private var partial: UnsafeMutablePointer<UInt8>? = nil
  private var partialCount = 0
  private(set) var partialCapacity = 0
  /// `partial` holds a whole chunk that the caller is looking at.
  private var partialInUse = false
  private var identified = false
  private var decodedBytesMax = S2Format.decodedBytesMax
  /// What a chunk may decode to, where that is less than the format allows.
  public var chunkMax: Int?
  /// Where the current chunk begins in the stream.
  private var chunkOffset: UInt64 = 0

  /// Bytes received and bytes decoded since the start.
  public private(set) var bytesIn: UInt64 = 0
  public private(set) var bytesOut: UInt64 = 0

  public init() {}

  deinit { partial?.deallocate() }

  /// Whether the stream may end here: between two chunks.
  public var isBetweenChunks: Bool {
    if case .header = state { return partial == nil || partialInUse }
    return false
  }

  /// The bytes of the next data chunk, taken from the front of `input`, or nil when `input` is used up. The view is valid until the
  /// next call with the same scratch, and no longer than `input`. Empty chunks are passed over.
  public func next(_ input: inout ByteView, scratch: S2Scratch) throws(S2Error) -> ByteView? {
    scratch.releaseDecoded()
    if partialInUse { release() }
    while true {
      switch state {
      case .failed(let error): throw error
      case .skipping(let left):
        let size = min(left, input.count)
        take(size, &input)
        state = size == left ? .header : .skipping(left - size)
        if size < left { return nil }
      case .header:
        guard let header = gather(S2Format.chunkHeaderBytes, &input) else { return nil }
        let type = header[0]
        let size = Int(header[1]) | Int(header[2]) << 8 | Int(header[3]) << 16
        release()
        chunkOffset = bytesIn - UInt64(S2Format.chunkHeaderBytes)
        state = try checked { () throws(S2Error) in try began(type, size) }
      case .body(let type, let size):
        guard let body = gather(size, &input) else { return nil }
        let plain = try checked { () throws(S2Error) in try content(type, body, scratch) }
        state = .header
        guard let plain, !plain.isEmpty else {
          release()
          continue
        }
        partialInUse = partial != nil
        bytesOut += UInt64(plain.count)
        return plain
      }
    }
  }

  /// Decodes all of `input`, appending to `output`: for those who have no use for single chunks.
  public func decode(_ input: ByteView, scratch: S2Scratch, into output: inout [UInt8]) throws(S2Error) {
    var rest = input
    while let plain = try next(&rest, scratch: scratch) { output.append(plain) }
  }

  private func checked<Result>(_ body: () throws(S2Error) -> Result) throws(S2Error) -> Result {
    do throws(S2Error) {
      return try body()
    } catch {
      state = .failed(error)
      release()
      throw error
    }
  }

  @inline(__always) private func take(_ size: Int, _ input: inout ByteView) {
    input = input.dropFirst(size)
    bytesIn += UInt64(size)
  }

  /// The next `size` bytes in one piece: in `input` where they all are there, else collected in `partial`; nil when more must come.
  private func gather(_ size: Int, _ input: inout ByteView) -> ByteView? {
    if partial == nil, input.count >= size {
      let view = input.prefix(size)
      take(size, &input)
      return view
    }
    if input.isEmpty { return nil }
    let part = min(size - partialCount, input.count)
    let memory = reserved(partialCount + part, of: size)
    memcpy(memory + partialCount, input.base, part)
    partialCount += part
    take(part, &input)
    return partialCount == size ? ByteView(base: UnsafePointer(memory), count: size) : nil
  }

  /// `partial` with room for `count` bytes of `size`.
  private func reserved(_ count: Int, of size: Int) -> UnsafeMutablePointer<UInt8> {
    if let partial, partialCapacity >= count { return partial }
    let capacity = min(size, max(count, 2 * partialCapacity))
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    if let partial {
      memcpy(memory, partial, partialCount)
      partial.deallocate()
    }
    partial = memory
    partialCapacity = capacity
    return memory
  }

  private func release() {
    partial?.deallocate()
    partial = nil
    partialCount = 0
    partialCapacity = 0
    partialInUse = false
  }

  private var chunkLimit: Int { min(decodedBytesMax, chunkMax ?? decodedBytesMax) }

  /// What to do with a chunk whose header was read.
  private func began(_ type: UInt8, _ size: Int) throws(S2Error) -> State {
    guard identified || type == S2Format.chunkIdentifier else { throw S2Error(.identifierMissing, offset: chunkOffset) }
    switch type {
    case S2Format.chunkIdentifier:
      guard size == S2Format.identifierBodyBytes else { throw S2Error(.identifierWrong, offset: chunkOffset) }
    case S2Format.chunkCompressed, S2Format.chunkUncompressed:
      guard size >= S2Format.checksumBytes else { throw S2Error(.chunkTooShort, offset: chunkOffset) }
      guard size <= min(S2Format.chunkBodyBytesMax, S2Format.chunkBodyBytes(decodedBytesMax: chunkLimit)) else {
        throw S2Error(.chunkTooLong, offset: chunkOffset)
      }
    case ...S2Format.chunkReservedLast: throw S2Error(.chunkReserved(type), offset: chunkOffset)
    default: return .skipping(size)
    }
    return .body(type: type, size: size)
  }

  /// The decoded bytes of a whole chunk, or nil of an identifier.
  private func content(_ type: UInt8, _ body: ByteView, _ scratch: S2Scratch) throws(S2Error) -> ByteView? {
    if type == S2Format.chunkIdentifier {
      if body.equals(S2Format.identifierBody) {
        decodedBytesMax = S2Format.decodedBytesMax
      } else if body.equals(S2Format.snappyIdentifierBody) {
        decodedBytesMax = S2Format.snappyDecodedBytesMax
      } else {
        throw S2Error(.identifierWrong, offset: chunkOffset)
      }
      identified = true
      return nil
    }
    let checksum =
      UInt32(body[0]) | UInt32(body[1]) << 8 | UInt32(body[2]) << 16 | UInt32(body[3]) << 24
    var plain = body.dropFirst(S2Format.checksumBytes)
    if type == S2Format.chunkCompressed {
      plain = try decoded(plain, scratch)
    } else if plain.count > chunkLimit {
      throw S2Error(.chunkTooLong, offset: chunkOffset)
    }
    guard S2Format.maskedChecksum(plain) == checksum else { throw S2Error(.checksumWrong, offset: chunkOffset) }
    return plain
  }

  private func decoded(_ block: ByteView, _ scratch: S2Scratch) throws(S2Error) -> ByteView {
    do throws(S2Error) {
      let (length, size) = try S2BlockDecoder.header(block)
      guard length <= chunkLimit else { throw S2Error(.chunkTooLong, offset: 0) }
      let memory = scratch.decodedMemory(length)
      try S2BlockDecoder.decode(block, from: size, to: memory, length: length)
      return ByteView(base: UnsafePointer(memory), count: length)
    } catch {
      // Errors of a block count from the chunk's body; the connection's log wants the place in the stream.
      let place = UInt64(S2Format.chunkHeaderBytes + S2Format.checksumBytes) + error.offset
      throw S2Error(error.kind, offset: error.kind == .chunkTooLong ? chunkOffset : chunkOffset + place)
    }
  }
}
