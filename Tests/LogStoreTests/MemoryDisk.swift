// A disk in memory that records every operation, so that the state after a power cut at any point can be built: unsynced pages are
// lost, kept or torn at sectors, and names that were not synced may be missing or back.
import Bytes
import Platform

/// Repeatable randomness (SplitMix64).
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

final class MemoryDisk: Disk {
  final class Node {
    var data: [UInt8]
    init(_ data: [UInt8] = []) { self.data = data }
  }

  enum Operation {
    case create(path: String, node: Int)
    case write(node: Int, offset: Int, bytes: [UInt8])
    case truncate(node: Int, size: Int)
    case sync(node: Int)
    /// The kernel could not write the pages: they are clean now, and not on the medium.
    case syncFailed(node: Int)
    case syncDirectory
    case remove(path: String)
    case rename(from: String, to: String, node: Int)
  }

  var nodes: [Node] = []
  var names: [String: Int] = [:]
  var operations: [Operation] = []
  private var handles: [Int32: Int] = [:]
  private var nextHandle: Int32 = 3
  private var locked: Set<String> = []
  private var locks: [Int32: String] = [:]

  /// The next commits that fail, counted from 0 at the next one.
  var failingCommits: [Int: DiskError.Kind] = [:]
  /// The same, but everything was written, and the sync fails.
  var failingSyncs: Set<Int> = []
  private(set) var commits = 0
  var failCreate: DiskError.Kind?
  /// Every commit fails.
  var failCommits: DiskError.Kind?
  /// Syncs of directories fail.
  var failNames: DiskError.Kind?
  /// Syncs of directories that held up the loop.
  private(set) var directorySyncs = 0
  /// Truncations and syncs fail, but for those of commits.
  var failSync: DiskError.Kind?
  /// Files created so far.
  var creations = 0
  /// How many times opening these files fails.
  var failOpen: [String: Int] = [:]
  /// Which reads fail.
  var failRead: ((_ node: Int, _ offset: Int, _ count: Int) -> Bool)?
  var isReadOnly = false
  var space = Int64.max
  /// Bytes read so far.
  var bytesRead = 0
  private var pending: (() -> Void)?
  var hasPendingCommit: Bool { pending != nil }

  init() {}

  private func node(_ file: FileHandle) -> Node { nodes[handles[file.number]!] }

  func makeDirectory(_ path: String) throws(DiskError) {}

  func list(_ path: String) throws(DiskError) -> [String] {
    // In an order that a seed replays.
    names.keys.filter { $0.hasPrefix(path + "/") }.map { String($0.dropFirst(path.count + 1)) }.sorted()
  }

  func lock(_ path: String) throws(DiskError) -> FileHandle {
    if isReadOnly { throw DiskError(.readOnly, operation: "open", path: path) }
    if locked.contains(path) { throw DiskError(.locked, operation: "lock", path: path) }
    locked.insert(path)
    nextHandle += 1
    locks[nextHandle] = path
    return FileHandle(number: nextHandle)
  }

  func open(_ path: String, create: Bool) throws(DiskError) -> FileHandle {
    if isReadOnly { throw DiskError(.readOnly, operation: "open", path: path) }
    if create {
      if names[path] != nil { throw DiskError(.exists, operation: "open", path: path) }
      if let failCreate { throw DiskError(failCreate, operation: "open", path: path) }
      creations += 1
      names[path] = nodes.count
      operations.append(.create(path: path, node: nodes.count))
      nodes.append(Node())
    }
    if let left = failOpen[path], left > 0 {
      failOpen[path] = left - 1
      throw DiskError(.inputOutput, operation: "open", path: path)
    }
    guard let node = names[path] else { throw DiskError(.notFound, operation: "open", path: path) }
    nextHandle += 1
    handles[nextHandle] = node
    return FileHandle(number: nextHandle)
  }

  func close(_ file: FileHandle) {
    if let path = locks.removeValue(forKey: file.number) { locked.remove(path) } else { handles[file.number] = nil }
  }

  func size(_ file: FileHandle) throws(DiskError) -> Int { node(file).data.count }

  func read(_ file: FileHandle, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    if failRead?(handles[file.number]!, offset, buffer.count) == true {
      throw DiskError(.inputOutput, operation: "read", path: "segment")
    }
    let data = node(file).data
    guard offset < data.count else { return 0 }
    let count = min(buffer.count, data.count - offset)
    data.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + count])) }
    bytesRead += count
    return count
  }

  func write(_ file: FileHandle, at offset: Int, _ bytes: ByteView) throws(DiskError) {
    MemoryDisk.write(&node(file).data, offset, bytes.bytes)
    operations.append(.write(node: handles[file.number]!, offset: offset, bytes: bytes.bytes))
  }

  static func write(_ data: inout [UInt8], _ offset: Int, _ bytes: [UInt8]) {
    if data.count < offset + bytes.count { data.append(contentsOf: [UInt8](repeating: 0, count: offset + bytes.count - data.count)) }
    data.replaceSubrange(offset..<offset + bytes.count, with: bytes)
  }

  func truncate(_ file: FileHandle, to size: Int) throws(DiskError) {
    if let failSync { throw DiskError(failSync, operation: "truncate", path: "segment") }
    MemoryDisk.truncate(&node(file).data, size)
    operations.append(.truncate(node: handles[file.number]!, size: size))
  }

  static func truncate(_ data: inout [UInt8], _ size: Int) {
    if size < data.count {
      data.removeLast(data.count - size)
    } else {
      data.append(contentsOf: [UInt8](repeating: 0, count: size - data.count))
    }
  }

  func sync(_ file: FileHandle) throws(DiskError) {
    if let failSync { throw DiskError(failSync, operation: "sync", path: "segment") }
    operations.append(.sync(node: handles[file.number]!))
  }
  func syncDirectory(_ path: String) throws(DiskError) {
    if let failNames { throw DiskError(failNames, operation: "sync", path: path) }
    operations.append(.syncDirectory)
    directorySyncs += 1
  }

  func syncDirectory(_ path: String, done: @escaping (CommitResult) -> Void) {
    precondition(pending == nil, "two commits at once")
    pending = { [self] in done(syncNames(path)) }
  }

  private func syncNames(_ path: String) -> CommitResult {
    do throws(DiskError) { try syncDirectory(path) } catch { return .failed(error) }
    // Of what waits for the loop nothing did.
    directorySyncs -= 1
    return .durable
  }

  func remove(_ path: String) throws(DiskError) {
    guard names.removeValue(forKey: path) != nil else { throw DiskError(.notFound, operation: "remove", path: path) }
    operations.append(.remove(path: path))
  }

  func rename(_ from: String, to: String) throws(DiskError) {
    guard let node = names.removeValue(forKey: from) else { throw DiskError(.notFound, operation: "rename", path: from) }
    names[to] = node
    operations.append(.rename(from: from, to: to, node: node))
  }
  func freeSpace(_ path: String) throws(DiskError) -> Int64 { space }

  func commit(
    _ file: FileHandle, at offset: Int, _ chunks: [ByteView], naming directory: String?, done: @escaping (CommitResult) -> Void
  ) {
    write(file, offset, chunks, syncs: true, directory, done)
  }

  func writeBehind(_ file: FileHandle, at offset: Int, _ chunks: [ByteView], done: @escaping (CommitResult) -> Void) {
    write(file, offset, chunks, syncs: false, nil, done)
  }

  private func write(
    _ file: FileHandle, _ offset: Int, _ chunks: [ByteView], syncs: Bool, _ directory: String?,
    _ done: @escaping (CommitResult) -> Void
  ) {
    precondition(pending == nil, "two commits at once")
    let number = handles[file.number]!
    let syncFails = failingSyncs.contains(commits)
    let failure = syncFails ? .inputOutput : failingCommits[commits] ?? failCommits
    commits += 1
    var at = offset
    for (index, chunk) in chunks.enumerated() {
      // A failed write leaves anything behind: here its first half, where it overwrites something in whole sectors.
      var count = failure == nil || syncFails ? chunk.count : index == 0 ? chunk.count / 2 : 0
      if count < chunk.count, at + count < nodes[number].data.count { count = max(0, (at + count) / 512 * 512 - at) }
      let bytes = Array(chunk.bytes.prefix(count))
      if !bytes.isEmpty {
        MemoryDisk.write(&nodes[number].data, at, bytes)
        operations.append(.write(node: number, offset: at, bytes: bytes))
      }
      at += chunk.count
    }
    pending = { [self] in
      if let failure {
        if syncFails { operations.append(.syncFailed(node: number)) }
        done(.failed(DiskError(failure, operation: "sync", path: "segment")))
      } else if syncs {
        operations.append(.sync(node: number))
        done(directory.map { syncNames($0) } ?? .durable)
      } else {
        done(.written)
      }
    }
  }

  /// Ends the commit that is under way.
  func completeCommit() {
    let action = pending
    pending = nil
    action?()
  }

  /// The process ends before the commit that is under way does.
  func abandonCommit() { pending = nil }
}

/// What a killed process leaves: all that was written, whether it was synced or not.
func copy(_ disk: MemoryDisk) -> MemoryDisk {
  let copy = MemoryDisk()
  copy.names = disk.names
  copy.nodes = disk.nodes.map { MemoryDisk.Node($0.data) }
  return copy
}

/// Follows the operations of a disk and builds what a power cut would leave.
struct PowerCut {
  private struct Content {
    var now: [UInt8] = []
    var synced: [UInt8] = []
    var dirtyPages: Set<Int> = []
  }
  static let pageBytes = 4096
  static let sectorBytes = 512

  private var contents: [Content] = []
  private var durableNames: [String: Int] = [:]
  private var unsyncedNames: [(path: String, node: Int?)] = []

  /// What happens to a new disk.
  init() {}

  /// What happens to a disk on which everything is on the medium.
  init(continuing disk: MemoryDisk) {
    contents = disk.nodes.map { Content(now: $0.data, synced: $0.data) }
    durableNames = disk.names
  }

  mutating func apply(_ operation: MemoryDisk.Operation) {
    switch operation {
    case .create(let path, let node):
      precondition(node == contents.count, "nodes are created in order")
      contents.append(Content())
      unsyncedNames.append((path, node))
    case .write(let node, let offset, let bytes):
      MemoryDisk.write(&contents[node].now, offset, bytes)
      for page in offset / Self.pageBytes...(offset + bytes.count - 1) / Self.pageBytes { contents[node].dirtyPages.insert(page) }
    case .truncate(let node, let size):
      MemoryDisk.truncate(&contents[node].now, size)
      contents[node].dirtyPages.insert(size / Self.pageBytes)
    case .sync(let node):
      MemoryDisk.truncate(&contents[node].synced, contents[node].now.count)
      for page in contents[node].dirtyPages {
        let range = page * Self.pageBytes..<min((page + 1) * Self.pageBytes, contents[node].now.count)
        if !range.isEmpty { contents[node].synced.replaceSubrange(range, with: contents[node].now[range]) }
      }
      contents[node].dirtyPages = []
    case .syncFailed(let node): contents[node].dirtyPages = []
    case .syncDirectory:
      for change in unsyncedNames { durableNames[change.path] = change.node }
      unsyncedNames = []
    case .remove(let path): unsyncedNames.append((path, nil))
    case .rename(let from, let to, let node): unsyncedNames += [(from, nil), (to, node)]
    }
  }

  /// How many independent things may or may not have reached the medium.
  var uncertainties: Int { unsyncedNames.count + contents.reduce(0) { $0 + $1.dirtyPages.count } }

  /// A disk as it may be found afterwards. `choose` decides for each thing: 0 lost, 1 kept, 2 torn (pages only).
  func image(_ choose: (Int) -> Int, random: inout Seeded) -> MemoryDisk {
    let disk = MemoryDisk()
    var index = 0
    var names = durableNames
    for change in unsyncedNames {
      if choose(index) != 0 { names[change.path] = change.node }
      index += 1
    }
    for content in contents {
      guard !content.dirtyPages.isEmpty else {
        disk.nodes.append(MemoryDisk.Node(content.synced))
        continue
      }
      var data = content.synced
      // A truncation of a synced file: either size may be found.
      if content.now.count < data.count, choose(index) != 0 { data.removeLast(data.count - content.now.count) }
      for page in content.dirtyPages.sorted() {
        let choice = choose(index)
        index += 1
        var sector = page * Self.pageBytes
        while sector < min((page + 1) * Self.pageBytes, content.now.count) {
          let end = min(sector + Self.sectorBytes, content.now.count)
          if choice == 1 || (choice == 2 && Bool.random(using: &random)) {
            MemoryDisk.write(&data, sector, Array(content.now[sector..<end]))
          }
          sector = end
        }
      }
      if data.count < content.now.count, Bool.random(using: &random) { MemoryDisk.truncate(&data, content.now.count) }
      disk.nodes.append(MemoryDisk.Node(data))
    }
    disk.names = names
    return disk
  }
}
