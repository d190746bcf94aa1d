// For operators: reading a store without changing it, and moving what can be read out of damaged files. The command is in petiole/Store.
import Bytes
import Platform

/// A damaged place in a segment.
public struct DamagedPlace: Equatable {
  /// The file's name in the store's directory.
  public let file: String
  public let offset: Int
  public let bytes: Int
}

/// A segment as a report shows it.
public struct SegmentSummary {
  public let file: String
  public let bytes: Int
  public let messages: Int
  public let messageBytes: Int
  public let isDamaged: Bool
}

extension LogStore {
  public var segmentSummaries: [SegmentSummary] {
    segments.map { segment in
      SegmentSummary(
        file: Segment.name(segment.base), bytes: segment.size, messages: segment.liveMessages, messageBytes: segment.liveBytes,
        isDamaged: segment.isDamaged)
    }
  }

  /// Copies what lives in damaged segments to the head of the log, a piece per loop turn, and gives their files the ending `.damaged`.
  /// It is through when `damagedCount` is 0. The store must have been opened without checkpoints, which find no damage.
  public func moveDamaged() {
    precondition(isOpen && !options.hasCheckpoints, "damage is only known after all of the log was read")
    for slot in 0..<2 where checkpointFileBytes[slot] > 0 {
      try? host.disk.remove(path(Self.checkpointName(slot)))
      noteCheckpointSize(slot, 0)
    }
    if active == nil || active!.isDamaged { try? beginSegment() }
    commitSoon()
    isRepairing = true
    wantSpace()
    queueRelease()
  }

  public var damagedCount: Int { segments.count { $0.isDamaged } }
}

/// Shows a disk and changes nothing on it: what would be written is forgotten.
public final class ReadOnlyDisk: Disk {
  private let disk: any Disk

  public init(_ disk: any Disk) { self.disk = disk }

  public func makeDirectory(_ path: String) throws(DiskError) {}
  public func list(_ path: String) throws(DiskError) -> [String] { try disk.list(path) }
  public func lock(_ path: String) throws(DiskError) -> FileHandle { try disk.lock(path) }
  public func open(_ path: String, create: Bool) throws(DiskError) -> FileHandle {
    if create { throw DiskError(.readOnly, operation: "create", path: path) }
    return try disk.open(path, create: false)
  }
  public func close(_ file: FileHandle) { disk.close(file) }
  public func size(_ file: FileHandle) throws(DiskError) -> Int { try disk.size(file) }
  public func read(_ file: FileHandle, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    try disk.read(file, at: offset, into: buffer)
  }
  public func write(_ file: FileHandle, at offset: Int, _ bytes: ByteView) throws(DiskError) {}
  public func truncate(_ file: FileHandle, to size: Int) throws(DiskError) {}
  public func sync(_ file: FileHandle) throws(DiskError) {}
  public func syncDirectory(_ path: String) throws(DiskError) {}
  public func remove(_ path: String) throws(DiskError) {}
  public func rename(_ from: String, to: String) throws(DiskError) {}
  public func freeSpace(_ path: String) throws(DiskError) -> Int64 { try disk.freeSpace(path) }
  public func syncDirectory(_ path: String, done: @escaping (CommitResult) -> Void) {
    preconditionFailure("a store that is only looked at removes nothing")
  }
  public func commit(
    _ file: FileHandle, at offset: Int, _ chunks: [ByteView], naming directory: String?, done: @escaping (CommitResult) -> Void
  ) {
    preconditionFailure("a store that is only looked at commits nothing")
  }
}
