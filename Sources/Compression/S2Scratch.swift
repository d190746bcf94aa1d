// The working memory of compression. One per process is enough: the reactor works on one chunk at a time.
import Bytes

/// Memory that encoders and decoders borrow during a call, allocated on first use. Shared by all connections, so that a
/// connection with compression costs no more at rest than one without.
public final class S2Scratch {
  /// Larger decode buffers are given back as soon as their chunk was consumed: peers of another make send chunks of up to 4 MiB,
  /// but rarely more than a flush of 64 KiB.
  static let decodedBytesKept = 128 << 10

  private var table: UnsafeMutablePointer<UInt16>? = nil
  private var tableEntries = 0
  private var encoded: UnsafeMutablePointer<UInt8>? = nil
  private var gathered: UnsafeMutablePointer<UInt8>? = nil
  private var decoded: UnsafeMutablePointer<UInt8>? = nil
  private var decodedCapacity = 0

  public init() {}

  deinit { trim() }

  /// Gives all memory back; the next use allocates again. Not to be called while a decoded view is in use or a flush is open.
  public func trim() {
    table?.deallocate()
    encoded?.deallocate()
    gathered?.deallocate()
    decoded?.deallocate()
    table = nil
    tableEntries = 0
    encoded = nil
    gathered = nil
    decoded = nil
    decodedCapacity = 0
  }

  /// The bytes held.
  public var capacity_bytes: Int {
    tableEntries * 2 + (encoded == nil ? 0 : S2BlockEncoder.encodedBytesMax)
      + (gathered == nil ? 0 : S2BlockEncoder.blockBytesMax) + decodedCapacity
  }

  /// Room for the encoder's tables, with whatever is in it.
  func tableMemory(entries: Int) -> UnsafeMutablePointer<UInt16> {
    if let table, tableEntries >= entries { return table }
    table?.deallocate()
    let memory = UnsafeMutablePointer<UInt16>.allocate(capacity: entries)
    table = memory
    tableEntries = entries
    return memory
  }

  /// Room for one encoded block.
  func encodedMemory() -> UnsafeMutablePointer<UInt8> {
    if let encoded { return encoded }
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: S2BlockEncoder.encodedBytesMax)
    encoded = memory
    return memory
  }

  /// Room to join the pieces of one block.
  func gatheredMemory() -> UnsafeMutablePointer<UInt8> {
    if let gathered { return gathered }
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: S2BlockEncoder.blockBytesMax)
    gathered = memory
    return memory
  }

  /// Room for `size` decoded bytes.
  func decodedMemory(_ size: Int) -> UnsafeMutablePointer<UInt8> {
    if let decoded, decodedCapacity >= size { return decoded }
    decoded?.deallocate()
    let capacity = max(size, 4096)
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    decoded = memory
    decodedCapacity = capacity
    return memory
  }

  /// The decoded view is no longer in use.
  func releaseDecoded() {
    guard decodedCapacity > Self.decodedBytesKept else { return }
    decoded?.deallocate()
    decoded = nil
    decodedCapacity = 0
  }
}
