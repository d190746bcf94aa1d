// The disk of the simulation: files in memory with a page cache above a medium, and everything that goes wrong with flash.
//
// What it models: writes land in 4096-byte pages of the cache; only `sync`, a completed `commit` and `syncDirectory` bring them
// (and names) to the medium. A power cut keeps any subset of unsynced pages, torn at 512-byte sectors, and a prefix of
// the unsynced name changes. A commit runs in three events (a part of the bytes, the rest, the sync), so that kills and power cuts
// find it at every stage. Faults: EIO on the n-th write or sync (after a failed sync the pages are clean and lost, as in
// Linux), ENOSPC by `capacity`, bit flips, unreadable sectors.
//
// Every crash point of one run:
//
//   disk.startRecording()
//   … the workload; note disk.operationCount whenever something is acknowledged …
//   for count in 0...disk.operationCount {
//     let crashed = disk.image(afterOperations: count, loss: .everything)   // or .nothing, .seeded(n), .keeping { … }
//     … recover from `crashed`, and check that what was acknowledged at or before `count` is there …
//   }
//
// and, to enumerate subsets, `disk.unsyncedPages(afterOperations: count)` lists the pages that a power cut may lose there.
import Bytes
import CLinux

/// What goes wrong on a disk. Counts begin at 1 with the first operation of the kind since the faults were set.
public struct DiskFaults {
  /// These writes (commits count as one) fail with EIO. Of a commit any part is written.
  public var failingWrites: Set<Int> = []
  /// These syncs (commits, `sync` and `syncDirectory`) fail with EIO.
  public var failingSyncs: Set<Int> = []
  /// After a failed sync the cache still shows the new content until eviction (ext4, XFS) unless this is set.
  public var failedSyncEvicts = false
  public init() {}
}

public final class SimulatedDisk: Disk {
  private struct Opened {
    let inode: Int
    let path: String
    let isLock: Bool
  }

  private let entropy: SeededEntropy
  // Safe: a machine owns its disk.
  unowned(unsafe) var machine: SimulatedMachine?
  private var state = DiskState()
  private var start = DiskState()
  private var recording: [DiskOperation]?
  private var replayed = DiskState()
  private var replayedCount = 0
  private var files: [Int32: Opened] = [:]
  private var nextFile: Int32 = 3
  private var nextInode = 1
  private var locks: Set<String> = []
  private var unreadable: [Int: Set<Int>] = [:]
  private var writes = 0
  private var syncs = 0
  /// Ends what a commit of an earlier process would still do.
  private var life = 0
  private var commitUnderWay = false

  /// Changes of the disk so far; every write, sync, name change and stage of a commit is one.
  public private(set) var operationCount = 0
  /// Bytes handed to writes and commits so far.
  public private(set) var bytesWritten = 0
  /// Commits that became durable so far.
  public private(set) var commitCount = 0
  /// What goes wrong from now on.
  public var faults = DiskFaults() {
    didSet {
      writes = 0
      syncs = 0
    }
  }
  /// Bytes that fit, in whole pages of files.
  public var capacity = Int.max
  /// How long a commit takes; up to as much again is added at random.
  public var commitLatency_ns: Int64 = 2 * millisecond_ns

  init(entropy: SeededEntropy) { self.entropy = entropy }

  /// A disk without a machine, as `image` makes it: `commit` is not available on it, everything else is.
  private init(state: DiskState, nextInode: Int, seed: UInt64) {
    entropy = SeededEntropy(seed: seed)
    self.state = state
    self.nextInode = nextInode
  }

  // MARK: Crash points

  /// From now on every change is kept for `image`.
  public func startRecording() {
    start = state
    replayed = state
    replayedCount = 0
    recording = []
    operationCount = 0
  }

  private func state(afterOperations count: Int) -> DiskState {
    guard let recording else { preconditionFailure("the disk was not recorded") }
    precondition(count >= 0 && count <= recording.count, "there were fewer operations")
    // Crash points are mostly asked for in order: going on from the last one keeps that linear.
    if count < replayedCount {
      replayed = start
      replayedCount = 0
    }
    for operation in recording[replayedCount..<count] { replayed.apply(operation) }
    replayedCount = count
    return replayed
  }

  /// What a machine finds that lost its current after the first `count` recorded operations. Use it as it is for recovery that
  /// only reads and writes, or give it to a machine with `restore`.
  public func image(afterOperations count: Int, loss: PowerLoss) -> SimulatedDisk {
    var state = state(afterOperations: count)
    state.lose(loss)
    return SimulatedDisk(state: state, nextInode: nextInode, seed: entropy.seed)
  }

  /// The pages that are not on the medium after the first `count` recorded operations.
  public func unsyncedPages(afterOperations count: Int) -> [UnsyncedPage] { state(afterOperations: count).unsyncedPages }

  /// Bytes that the files take, in whole pages.
  public var usedBytes: Int { state.used }

  /// The pages that are not on the medium now.
  public var unsyncedPages: [UnsyncedPage] { state.unsyncedPages }

  /// Takes the content of another disk. No process may run on the machine.
  public func restore(_ other: SimulatedDisk) {
    precondition(files.isEmpty, "a disk cannot be exchanged under open files")
    state = other.state
    nextInode = max(nextInode, other.nextInode)
    if recording != nil { startRecording() }
  }

  func processEnded() {
    files = [:]
    locks = []
    life += 1
    commitUnderWay = false
  }

  /// The current fails. Handles are void afterwards.
  public func powerCut(_ loss: PowerLoss) {
    processEnded()
    state.lose(loss)
    // What is recorded from here on begins with what was left.
    if recording != nil { startRecording() }
  }

  // MARK: Damage

  /// Flips one bit of a file, in the cache and on the medium.
  public func flipBit(_ path: String, offset: Int, bit: Int) {
    guard let inode = state.names[path] else { preconditionFailure("there is no such file to damage") }
    apply(.flipBit(inode: inode, offset: offset, bit: bit))
  }

  /// Makes the sector that holds `offset` unreadable: reads that touch it fail with EIO.
  public func damageSector(_ path: String, offset: Int) {
    guard let inode = state.names[path] else { preconditionFailure("there is no such file to damage") }
    unreadable[inode, default: []].insert(offset / DiskState.sectorSize)
  }

  /// The content of a file as reads see it, or nil: for tests.
  public func content(_ path: String) -> [UInt8]? { state.names[path].flatMap { state.inodes[$0]?.content } }

  /// What a file would have after a power cut that loses everything unsynced, or nil: for tests.
  public func durableContent(_ path: String) -> [UInt8]? { state.durableNames[path].flatMap { state.inodes[$0]?.durable } }

  /// Every file's path, sorted: for tests.
  public var paths: [String] { state.names.keys.sorted() }

  // MARK: Disk

  private func apply(_ operation: DiskOperation) {
    operationCount += 1
    recording?.append(operation)
    state.apply(operation)
  }

  private func opened(_ file: FileHandle, _ operation: StaticString) throws(DiskError) -> Opened {
    guard let opened = files[file.number] else { throw DiskError(.other(EBADF), operation: operation, path: "") }
    return opened
  }

  public func makeDirectory(_ path: String) throws(DiskError) {
    let path = DiskState.normal(path)
    if state.directories.contains(path) { return }
    if state.names[path] != nil { throw DiskError(.exists, operation: "mkdir", path: path) }
    let parent = DiskState.parent(of: path)
    if parent != path { try makeDirectory(parent) }
    apply(.makeDirectory(path))
  }

  public func list(_ path: String) throws(DiskError) -> [String] {
    let path = DiskState.normal(path)
    guard state.directories.contains(path) else { throw DiskError(.notFound, operation: "list", path: path) }
    var names: [String] = []
    let prefix = path.utf8.count + (path == "/" || path.isEmpty ? 0 : 1)
    for name in state.names.keys.sorted() + state.directories.sorted()
    where name != path && DiskState.parent(of: name) == path && !name.isEmpty {
      names.append(String(decoding: [UInt8](name.utf8)[prefix...], as: UTF8.self))
    }
    // The order of a real directory is nobody's to rely on.
    for index in names.indices.dropFirst() { names.swapAt(index, entropy.below(index + 1)) }
    return names
  }

  public func lock(_ path: String) throws(DiskError) -> FileHandle {
    let path = DiskState.normal(path)
    if locks.contains(path) { throw DiskError(.locked, operation: "lock", path: path) }
    let file = try state.names[path] == nil ? create(path, operation: "lock", isLock: true) : open(path, operation: "lock", isLock: true)
    locks.insert(path)
    return file
  }

  public func open(_ path: String, create: Bool) throws(DiskError) -> FileHandle {
    let path = DiskState.normal(path)
    return create ? try self.create(path, operation: "create", isLock: false) : try open(path, operation: "open", isLock: false)
  }

  private func create(_ path: String, operation: StaticString, isLock: Bool) throws(DiskError) -> FileHandle {
    if state.names[path] != nil || state.directories.contains(path) { throw DiskError(.exists, operation: operation, path: path) }
    guard state.directories.contains(DiskState.parent(of: path)) else { throw DiskError(.notFound, operation: operation, path: path) }
    if capacity < Int.max, capacity - state.used < DiskState.pageSize { throw DiskError(.noSpace, operation: operation, path: path) }
    let inode = nextInode
    nextInode += 1
    apply(.create(path, inode: inode))
    return handle(inode, path, isLock: isLock)
  }

  private func open(_ path: String, operation: StaticString, isLock: Bool) throws(DiskError) -> FileHandle {
    guard let inode = state.names[path] else { throw DiskError(.notFound, operation: operation, path: path) }
    return handle(inode, path, isLock: isLock)
  }

  private func handle(_ inode: Int, _ path: String, isLock: Bool) -> FileHandle {
    let file = FileHandle(number: nextFile)
    nextFile += 1
    files[file.number] = Opened(inode: inode, path: path, isLock: isLock)
    return file
  }

  public func close(_ file: FileHandle) {
    if let opened = files.removeValue(forKey: file.number), opened.isLock { locks.remove(opened.path) }
  }

  public func size(_ file: FileHandle) throws(DiskError) -> Int {
    let opened = try opened(file, "size")
    return state.inodes[opened.inode]?.content.count ?? 0
  }

  public func read(_ file: FileHandle, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    let opened = try opened(file, "read")
    guard let content = state.inodes[opened.inode]?.content, offset < content.count, buffer.count > 0 else { return 0 }
    let count = min(buffer.count, content.count - offset)
    if let bad = unreadable[opened.inode] {
      for sector in (offset / DiskState.sectorSize)...((offset + count - 1) / DiskState.sectorSize) where bad.contains(sector) {
        throw DiskError(.inputOutput, operation: "read", path: opened.path)
      }
    }
    content.withUnsafeBytes { source in _ = memcpy(buffer.baseAddress!, source.baseAddress! + offset, count) }
    return count
  }

  public func write(_ file: FileHandle, at offset: Int, _ bytes: ByteView) throws(DiskError) {
    let opened = try opened(file, "write")
    if let error = writeError(opened, end: offset + bytes.count) { throw error }
    bytesWritten += bytes.count
    apply(.write(inode: opened.inode, offset: offset, bytes.bytes))
  }

  private func writeError(_ opened: Opened, end: Int) -> DiskError? {
    writes += 1
    if faults.failingWrites.contains(writes) { return DiskError(.inputOutput, operation: "write", path: opened.path) }
    let size = state.inodes[opened.inode]?.content.count ?? 0
    func paged(_ bytes: Int) -> Int { (bytes + DiskState.pageSize - 1) / DiskState.pageSize * DiskState.pageSize }
    if end > size, capacity < Int.max, paged(end) - paged(size) > capacity - state.used {
      return DiskError(.noSpace, operation: "write", path: opened.path)
    }
    return nil
  }

  public func truncate(_ file: FileHandle, to size: Int) throws(DiskError) {
    let opened = try opened(file, "truncate")
    let old = state.inodes[opened.inode]?.content.count ?? 0
    if size > old, capacity < Int.max, size - old > capacity - state.used {
      throw DiskError(.noSpace, operation: "truncate", path: opened.path)
    }
    apply(.truncate(inode: opened.inode, size: size))
  }

  public func sync(_ file: FileHandle) throws(DiskError) {
    let opened = try opened(file, "sync")
    if let error = syncNow(opened) { throw error }
  }

  private func syncNow(_ opened: Opened) -> DiskError? {
    syncs += 1
    if faults.failingSyncs.contains(syncs) {
      apply(.syncFailed(inode: opened.inode, reverted: faults.failedSyncEvicts))
      return DiskError(.inputOutput, operation: "sync", path: opened.path)
    }
    apply(.sync(inode: opened.inode))
    return nil
  }

  public func syncDirectory(_ path: String) throws(DiskError) {
    let path = DiskState.normal(path)
    guard state.directories.contains(path) else { throw DiskError(.notFound, operation: "sync", path: path) }
    syncs += 1
    if faults.failingSyncs.contains(syncs) { throw DiskError(.inputOutput, operation: "sync", path: path) }
    apply(.syncDirectory(path))
  }

  public func remove(_ path: String) throws(DiskError) {
    let path = DiskState.normal(path)
    guard state.names[path] != nil else { throw DiskError(.notFound, operation: "remove", path: path) }
    apply(.remove(path))
  }

  public func rename(_ from: String, to: String) throws(DiskError) {
    let from = DiskState.normal(from)
    let to = DiskState.normal(to)
    guard state.names[from] != nil else { throw DiskError(.notFound, operation: "rename", path: from) }
    guard state.directories.contains(DiskState.parent(of: to)) else { throw DiskError(.notFound, operation: "rename", path: from) }
    apply(.rename(from, to: to))
  }

  public func freeSpace(_ path: String) throws(DiskError) -> Int64 {
    capacity == Int.max ? Int64.max / 2 : Int64(max(0, capacity - state.used))
  }

  // MARK: Commits

  public func commit(
    _ file: FileHandle, at offset: Int, _ chunks: [ByteView], naming directory: String?, done: @escaping (CommitResult) -> Void
  ) {
    write(file, offset, chunks, syncs: true, directory, done)
  }

  public func syncDirectory(_ path: String, done: @escaping (CommitResult) -> Void) {
    precondition(!commitUnderWay, "a commit is under way on this disk")
    guard let process = machine?.process else { preconditionFailure("a commit needs a machine whose time passes") }
    commitUnderWay = true
    let life = self.life
    process.after(commitLatency_ns) {
      guard life == self.life else { return }
      self.commitUnderWay = false
      done(self.syncNames(path))
    }
  }

  private func syncNames(_ directory: String) -> CommitResult {
    do throws(DiskError) { try syncDirectory(directory) } catch { return .failed(error) }
    return .durable
  }

  public func writeBehind(_ file: FileHandle, at offset: Int, _ chunks: [ByteView], done: @escaping (CommitResult) -> Void) {
    write(file, offset, chunks, syncs: false, nil, done)
  }

  private func write(
    _ file: FileHandle, _ offset: Int, _ chunks: [ByteView], syncs: Bool, _ directory: String?,
    _ done: @escaping (CommitResult) -> Void
  ) {
    precondition(!commitUnderWay, "a commit is under way on this disk")
    guard let machine, let process = machine.process else { preconditionFailure("a commit needs a machine whose time passes") }
    commitUnderWay = true
    let life = self.life
    func finish(_ result: CommitResult) {
      commitUnderWay = false
      if result == .durable { commitCount += 1 }
      done(result)
    }
    guard let opened = files[file.number] else {
      process.after(0) { finish(.failed(DiskError(.other(EBADF), operation: "write", path: ""))) }
      return
    }
    var bytes: [UInt8] = []
    for chunk in chunks { bytes.append(chunk) }
    bytesWritten += bytes.count
    // The committer thread writes a part, then the rest, then syncs; a crash may come before, between and after.
    var part = bytes.isEmpty ? 0 : entropy.below(bytes.count + 1)
    // What is overwritten is overwritten in whole sectors.
    let size = state.inodes[opened.inode]?.content.count ?? 0
    if part < bytes.count, offset + part < size { part = max(0, (offset + part) / DiskState.sectorSize * DiskState.sectorSize - offset) }
    let took_ns = commitLatency_ns + entropy.within(0...max(0, commitLatency_ns))
    let error = writeError(opened, end: offset + bytes.count)
    process.after(took_ns / 4) {
      guard life == self.life else { return }
      if part > 0, error?.kind != .noSpace { self.apply(.write(inode: opened.inode, offset: offset, [UInt8](bytes[0..<part]))) }
    }
    process.after(took_ns / 2) {
      guard life == self.life else { return }
      var at = 0
      for chunk in chunks {
        let same = bytes.withView { $0.slice(at, at + chunk.count) == chunk }
        precondition(same, "a chunk changed during its commit")
        at += chunk.count
      }
      if let error {
        finish(.failed(error))
      } else if part < bytes.count {
        self.apply(.write(inode: opened.inode, offset: offset + part, [UInt8](bytes[part...])))
      }
    }
    process.after(took_ns) {
      guard life == self.life, error == nil else { return }
      if !syncs {
        finish(.written)
      } else if let failure = self.syncNow(opened) {
        finish(.failed(failure))
      } else if let directory {
        // The names come last.
        process.after(took_ns / 4) {
          guard life == self.life else { return }
          finish(self.syncNames(directory))
        }
      } else {
        finish(.durable)
      }
    }
  }
}
