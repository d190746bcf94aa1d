// The store: what it is made of, opening and closing, finding segments. Appending, committing, recovery, failures, space and metadata
// are in the extensions beside.
import Bytes
import Platform

/// One append-only log for all streams of a directory. See docs/store-design.md.
///
/// Single-threaded: every call and every callback happens on the loop of `host`. The store keeps its `StreamLog`s alive; they must not
/// be used after the store is gone.
public final class LogStore {
  let host: Host
  public let directory: String
  public let options: Options
  /// Above this the store takes no messages: the rest is the reserve, at most a quarter of a small store.
  let messageBytesMax: Int64

  var lockFile: FileHandle?
  var isOpen = false
  /// Identifies the store in the checksums of its records.
  var salt: UInt32 = 0
  /// Sorted by base; the last one is written to.
  var segments: [Segment] = []
  /// The segment that is written to, or nil before the first one and after a disk failure.
  var active: Segment?
  /// Segments with an open file, least recently opened first.
  var openSegments: [Segment] = []
  /// Bytes of files that could not be read and are left alone.
  var unreadableBytes: Int64 = 0
  /// No segment may begin before this position: unreadable files have names, too.
  var baseMin: UInt64 = 0

  var streams: [UInt32: StreamLog] = [:]
  /// Streams that were dropped while records of theirs may still be in a segment: the position of the drop.
  var drops: [UInt32: UInt64] = [:]
  public internal(set) var metadata = ByteMap<[UInt8]>()
  /// Bytes of its keys and values.
  var metadataBytes = 0

  // Batches: one is being committed, some are closed and wait, one collects.
  var pool = ChunkPool()
  var inFlight: Batch?
  var waiting: [Batch] = []
  var collecting: Batch?
  var pendingBytes = 0
  var nextBatch: UInt64 = 1
  var chain: UInt32 = 0
  /// Streams whose first sequence has to be logged.
  var movedFirst: [StreamLog] = []
  /// Removals are waiting for a batch.
  var isDirty = false
  var commitQueued = false
  /// Somebody waits for what the collecting batch holds.
  var isUrgent = false
  /// What could not be written and is written again into a new segment.
  var stalled: [Batch] = []
  /// The first change that is only in memory until the next checkpoint, and removals that belong to it.
  var owedFrom: UInt64?
  /// An attempt to go on after a failure is being made.
  var isResuming = false
  /// The store went on after a failure, and nothing has become durable since: the next one is not answered at once.
  var isOnProbation = false
  var owedRemovals: [(stream: UInt32, sequence: UInt64, target: UInt64)] = []
  /// Records now being appended belong into one batch of one segment.
  var holdTogether = false
  /// The same, because somebody outside asked for it (LogStore+Group).
  var isGrouping = false
  /// Bytes ever appended.
  var appendedBytes: Int64 = 0
  /// The log position up to which everything is on the medium.
  var durableEnd: UInt64 = 0
  /// At recovery: the position of the record that is being applied. Subjects of a checkpoint count everything up to positions of their own.
  var replayPosition: UInt64 = .max
  /// Keys the hashes of new streams' subjects. From the host, so that a simulation repeats itself.
  let subjectsSeed: UInt64
  let lazyTimer = Timer()
  /// How long what `lazyTimer` was scheduled for may wait.
  var lazyTimerDelay_ns: Int64 = 0
  let aheadTimer = Timer()
  let retryTimer = Timer()
  var retryDelay_ns = Limits.retryDelay_ns

  /// Grows with everything that is appended, removed or set. What a call returned is durable when `durablePosition` has reached it.
  public internal(set) var appendedPosition: UInt64 = 0
  public internal(set) var durablePosition: UInt64 = 0
  /// Called in a loop turn after `durablePosition` grew.
  public var onDurable: (() -> Void)?
  var waiters: [(position: UInt64, action: () -> Void)] = []
  var closing: [() -> Void] = []
  var isClosing = false
  /// Records that are to be overwritten, and whether one is being.
  var erasures: [Erasure] = []
  var isErasing = false
  /// A part of the collecting batch is being written before its commit.
  var isWritingAhead = false

  /// When the store was opened, something on the medium could not be read. What is not there may only be unreadable.
  public internal(set) var foundDamage = false
  public internal(set) var state: StoreState = .healthy
  /// Called when `state` changed.
  public var onStateChange: (() -> Void)?
  /// The file system has no room beyond the reserve.
  var isSpaceLow = false
  /// Bytes written since the free space was looked at.
  var sinceSpaceCheck = 0
  public internal(set) var bytesOnDisk: Int64 = 0
  public internal(set) var syncs: Int64 = 0
  public internal(set) var bytesWritten: Int64 = 0
  public internal(set) var batches: Int64 = 0
  /// Bytes that compaction copied.
  public internal(set) var bytesCompacted: Int64 = 0

  /// Segments whose files were removed since the directory was last synced: their names may come back after a power cut.
  var unsyncedRemovals: [UInt64] = []
  /// Where the log ended in those that were sealed before their file did: a name that comes back must not bring the rest with it.
  var removedSeals: [UInt64: UInt64] = [:]
  /// How many of them, from the first, the sync of the directory covers that is under way.
  var removalsInSync = 0
  /// The directory is being synced on its own, or is to be: removed names keep something alive whose space is needed.
  var isSyncingNames = false
  var areNamesWanted = false
  /// At the start the directory could be synced: what was found in it has its name on the medium.
  var areNamesSure = false
  var releaseQueued = false
  let releaseTimer = Timer()
  var compaction: Compaction?
  /// There was no room for a copy: the next attempt comes later than this.
  var compactionPause_ns: Int64 = 0
  /// Damaged segments are being moved away.
  var isRepairing = false
  let compactionTimer = Timer()
  /// Streams whose messages are read again, for their subjects.
  var rereading: [StreamLog] = []
  let rereadTimer = Timer()
  var spareReadBuffer: ReadBuffer?

  /// The checkpoint that is being written, and whether a piece of it is on its way to the disk.
  var checkpoint: Checkpoint?
  var isCheckpointBeingWritten = false
  /// The slot of the newest one that counts, the number of the last one begun, and its size.
  var newestCheckpoint: Int?
  var checkpointGeneration: UInt64 = 0
  var checkpointSize = 0
  var checkpointFileBytes = [0, 0]
  /// Whether their names are on the medium.
  var areCheckpointsNamed = [false, false]
  /// `appendedBytes` when the last one was begun.
  var checkpointedAt: Int64 = 0
  /// Bytes of dead segments that wait for the next one, and for how long they do.
  var heldBytes: Int64 = 0
  let checkpointTimer = Timer()
  var isCheckpointForced = false
  /// At recovery: something had to be read of a segment whose file is gone.
  var wasMissing = false
  /// Checkpoints written since the store was opened.
  public internal(set) var checkpoints = 0

  public init(host: Host, directory: String, options: Options = Options()) {
    precondition(options.segmentBytes >= 4096 && options.indexSpacingBytes >= 64, "segments are too small")
    self.host = host
    self.directory = directory
    self.options = options
    subjectsSeed = host.entropy.next()
    messageBytesMax = options.storeBytesMax - min(Int64(options.reserveBytes), options.storeBytesMax / 4)
  }

  deinit {
    for batch in waiting + stalled { pool.give(batch.chunks) }
    if let inFlight { pool.give(inFlight.chunks) }
    if let collecting { pool.give(collecting.chunks) }
    pool.removeAll()
  }

  public var segmentCount: Int { segments.count }

  public var streamIDs: [UInt32] { streams.keys.ordered() }

  /// The stream `id`: as recovered, or a new and empty one.
  public func stream(_ id: UInt32) -> StreamLog {
    if let stream = streams[id] { return stream }
    let stream = StreamLog(id: id, store: self)
    streams[id] = stream
    return stream
  }

  func path(_ name: String) -> String { directory + "/" + name }

  /// The segment that holds a log position.
  func segment(at position: UInt64) -> Segment {
    if let active, position >= active.base { return active }
    var low = 0
    var high = segments.count
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].base <= position { low = middle + 1 } else { high = middle }
    }
    precondition(low > 0, "a position lies before the log")
    return segments[low - 1]
  }

  /// The open file of a segment. Files that were not used for long are closed.
  func file(of segment: Segment) throws(StoreError) -> FileHandle {
    if let file = segment.file { return file }
    if segment.isMissing { wasMissing = true }
    let file: FileHandle
    do { file = try host.disk.open(segment.path, create: false) } catch { throw .disk(error) }
    opened(segment, file)
    return file
  }

  func opened(_ segment: Segment, _ file: FileHandle) {
    segment.file = file
    openSegments.append(segment)
    guard openSegments.count > Limits.openFilesMax else { return }
    guard let index = openSegments.firstIndex(where: { $0 !== active && $0 !== segment && !isBeingWritten($0) }) else { return }
    closeFile(openSegments[index])
  }

  private func isBeingWritten(_ segment: Segment) -> Bool {
    inFlight?.segment === segment || waiting.contains { $0.segment === segment } || collecting?.segment === segment
  }

  func closeFile(_ segment: Segment) {
    guard let file = segment.file else { return }
    host.disk.close(file)
    segment.file = nil
    openSegments.removeAll { $0 === segment }
  }

  func setState(_ new: StoreState) {
    guard state != new else { return }
    state = new
    onStateChange?()
  }

  /// Commits everything that waits, then releases the directory. `done` is called in a later turn; the store is of no use afterwards.
  public func close(_ done: @escaping () -> Void) {
    closing.append(done)
    isClosing = true
    host.turn.defer { [self] in closeIfDone() }
  }

  /// Closes when nothing waits any more or nothing can be written.
  func closeIfDone() {
    guard isClosing, !isDiskBusy else { return }
    if isOpen, !isFailed {
      startCommit()
      guard !isDiskBusy else { return }
    }
    if isOpen, isFailed, pendingBytes > 0 {
      host.log.error("Store \(directory): closed without writing \(pendingBytes) bytes that the disk refused")
    }
    host.timers.cancel(lazyTimer)
    host.timers.cancel(releaseTimer)
    host.timers.cancel(aheadTimer)
    host.timers.cancel(retryTimer)
    host.timers.cancel(compactionTimer)
    host.timers.cancel(rereadTimer)
    host.timers.cancel(checkpointTimer)
    for segment in openSegments {
      if let file = segment.file { host.disk.close(file) }
      segment.file = nil
    }
    openSegments = []
    if let checkpoint { host.disk.close(checkpoint.file) }
    checkpoint = nil
    if let lockFile { host.disk.close(lockFile) }
    lockFile = nil
    isOpen = false
    let actions = closing
    closing = []
    for action in actions { action() }
  }

  var isFailed: Bool {
    if case .failed = state { return true }
    return false
  }
}
