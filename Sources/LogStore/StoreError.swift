// What the store tells its owner: errors, its state, its options and what recovery found.
import Bytes
import Platform

/// Why the store refused or could not do something.
public enum StoreError: Error, Equatable, Sendable {
  /// Another process has the directory.
  case locked(path: String)
  /// The directory cannot be written.
  case readOnly(path: String)
  /// A segment was written by a newer version of the format.
  case incompatible(path: String, version: UInt32)
  case disk(DiskError)
  /// No room for messages: `storeBytesMax` is reached or the file system is full. Removing, metadata and reading still work.
  case full
  /// The disk failed and no new segment could be started yet; the store tries again by itself.
  case failed
  /// More than `pendingBytesMax` wait to be written: the disk is slower than the publishers.
  case busy
  /// The message is larger than `Limits.recordBytesMax`, or its subject than 65,535 bytes.
  case tooLarge
  /// The sequence is not above the stream's last one.
  case outOfOrder(sequence: UInt64, last: UInt64)
  /// The record of a live message is damaged on the medium.
  case damaged(sequence: UInt64)
}

/// How well the store is.
public enum StoreState: Equatable {
  case healthy
  /// It works, but an operator should look (a disk error happened, damage was found).
  case degraded(String)
  /// Nothing can be made durable at the moment.
  case failed(String)

  public static func == (left: StoreState, right: StoreState) -> Bool {
    switch (left, right) {
    case (.healthy, .healthy): true
    // As bytes: String's own comparison would bring Unicode's tables into the program.
    case (.degraded(let one), .degraded(let other)), (.failed(let one), .failed(let other)): one.utf8.elementsEqual(other.utf8)
    default: false
    }
  }
}

/// Sequences of one stream that recovery could not find again.
public struct LostSequences: Equatable {
  public let stream: UInt32
  public let first: UInt64
  public let last: UInt64
}

/// What `open` found.
public struct RecoveryReport {
  public internal(set) var segments = 0
  public internal(set) var streams = 0
  public internal(set) var messages = 0
  /// Bytes of the last, never acknowledged batch that were cut off.
  public internal(set) var tornBytes: Int64 = 0
  /// Damaged regions that were skipped, and their bytes. The files are left as they are.
  public internal(set) var damagedRegions = 0
  public internal(set) var damagedBytes: Int64 = 0
  /// The first of these places.
  public internal(set) var places: [DamagedPlace] = []
  static let placesMax = 1000
  /// Files that look like segments and could not be read at all; they are left alone.
  public internal(set) var unreadableFiles: [String] = []
  /// Sequences that damage may have taken, an upper bound: some may have been removed before.
  public internal(set) var lost: [LostSequences] = []
  /// Whether a checkpoint file was used, and the bytes of log that were read beside it.
  public internal(set) var hasCheckpoint = false
  public internal(set) var bytesRead: Int64 = 0
  public internal(set) var duration_ns: Int64 = 0

  /// Forgets what was found inside segments.
  mutating func forgetContents() {
    damagedRegions = 0
    damagedBytes = 0
    lost = []
    places = []
    hasCheckpoint = false
  }
}

extension LogStore {
  public struct Options {
    /// A new segment begins when this size would be passed.
    public var segmentBytes = 4 << 20
    /// Limit over all files of the store.
    public var storeBytesMax: Int64 = 1 << 30
    /// Kept free below `storeBytesMax` and on the file system, so that removals and metadata work when messages do not fit any more.
    public var reserveBytes = 8 << 20
    /// A batch is closed at this size even while the one before it is still being written.
    public var batchBytesMax = 1 << 20
    /// Appending is refused while this much waits for the disk.
    public var pendingBytesMax = 64 << 20
    /// One entry of the index per stream and this many bytes of log: 24 bytes of memory for it.
    public var indexSpacingBytes = 8192
    /// Whether checkpoint files are written and used. Without them every start reads the whole log.
    public var hasCheckpoints = true
    /// A checkpoint is due when the log has grown by so many times its size: it adds an eighth to what is written at most.
    public var checkpointRatio = 8
    /// Messages of streams that do not wait for the disk (`StreamLog.isPrompt`) are on it after this long at the latest.
    public var promptDelay_ns: Int64 = second_ns
    /// Removals wait for company at most this long.
    public var lazyDelay_ns: Int64 = second_ns
    /// Messages of streams that do not wait for the disk are written, though not synced, after this long: a killed process leaves them.
    public var aheadDelay_ns: Int64 = 5 * millisecond_ns
    /// Only what somebody waits for hurries a sync: removals and metadata that can be lost are written ahead, as messages are.
    public var syncsLazily = false
    // For tests: a frame of a checkpoint is closed when it has so much, and a page of subjects divided.
    var checkpointFrameBytes = CheckpointFrame.bytesMin
    var subjectsPerPage: Int?
    public init() {}
  }

  public enum Limits {
    /// nats-server's largest max_payload (64 MB) with room for headers and subject.
    public static let recordBytesMax = 72 << 20
    /// A file above this is not one of our segments: at most one largest record and a metadata checkpoint more than a segment.
    static let segmentFileBytesMax = 512 << 20
    /// Files kept open for reading, so that a store of many segments does not use up the process's descriptors.
    static let openFilesMax = 48
    /// Bytes copied by compaction in one loop turn, and how long it may go on reading for them: the loop is held for well under 5 ms.
    static let compactionBytesPerTurn = 256 << 10
    static let turn_ns = millisecond_ns
    /// After a disk failure a new segment is tried after this long, then after twice as long each time, up to the maximum.
    static let retryDelay_ns = second_ns
    static let retryDelayMax_ns = 30 * second_ns
  }
}
