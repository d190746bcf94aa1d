// What a simulated disk holds: what reads see, what is on the medium, and what a power cut may leave. A value, so that a test
// can rebuild it after any number of operations. Who calls it, handles, locks and faults are in SimulatedDisk.
import Bytes

/// One change of a disk, as recorded.
public enum DiskOperation {
  case makeDirectory(String)
  case create(String, inode: Int)
  case write(inode: Int, offset: Int, [UInt8])
  case truncate(inode: Int, size: Int)
  case sync(inode: Int)
  /// The kernel could not write the pages back: they are clean now, and never reach the medium. `reverted`: and evicted.
  case syncFailed(inode: Int, reverted: Bool)
  case syncDirectory(String)
  case remove(String)
  case rename(String, to: String)
  case flipBit(inode: Int, offset: Int, bit: Int)
}

/// What becomes of data that was not synced.
public enum PowerLoss {
  /// Everything was just written back: only the process is gone.
  case nothing
  /// Only what was synced is there.
  case everything
  /// Any subset of pages and sectors, and a prefix of the changes of names, by a seed.
  case seeded(UInt64)
  /// Of the unsynced pages (`DiskState.unsyncedPages`) those for which the closure says true are kept, whole. Names are
  /// kept when `names` says so.
  case keeping(names: Bool, pages: (UnsyncedPage) -> Bool)
}

/// A page whose content has not reached the medium.
public struct UnsyncedPage: Hashable {
  public let path: String
  public let page: Int
}

struct DiskInode {
  /// What reads see.
  var content: [UInt8] = []
  /// What is on the medium.
  var durable: [UInt8] = []
  /// Pages of `content` that are not on the medium yet.
  var dirty: Set<Int> = []
  /// The least size since the last sync: a truncation that may or may not have reached the medium.
  var truncatedTo: Int?
  /// The size as of the last sync differs.
  var sizeChanged = false
}

public struct DiskState {
  /// What the kernel caches and writes back.
  public static let pageSize = 4096
  /// What the medium writes whole or not at all.
  public static let sectorSize = 512

  enum NameChange {
    case set(String, Int)
    case clear(String)
  }

  var inodes: [Int: DiskInode] = [:]
  var names: [String: Int] = [:]
  var durableNames: [String: Int] = [:]
  /// Changes of names that are not on the medium yet, in order.
  var pendingNames: [NameChange] = []
  /// Directories are on the medium as soon as they are made.
  var directories: Set<String> = ["", "/"]

  /// `path` without doubled slashes and without one at its end.
  static func normal(_ path: String) -> String {
    var bytes: [UInt8] = []
    for byte in path.utf8 where byte != ASCII.slash || bytes.last != ASCII.slash { bytes.append(byte) }
    if bytes.count > 1, bytes.last == ASCII.slash { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  static func parent(of path: String) -> String {
    let bytes = [UInt8](path.utf8)
    guard let slash = bytes.lastIndex(of: ASCII.slash) else { return "" }
    return slash == 0 ? "/" : String(decoding: bytes[0..<slash], as: UTF8.self)
  }

  static func pages(_ offset: Int, _ count: Int) -> Range<Int> {
    count == 0 ? 0..<0 : (offset / pageSize)..<((offset + count - 1) / pageSize + 1)
  }

  /// Bytes that the files take, in whole pages.
  var used: Int {
    var total = 0
    for (_, inode) in inodes { total += (inode.content.count + Self.pageSize - 1) / Self.pageSize * Self.pageSize }
    return total
  }

  mutating func apply(_ operation: DiskOperation) {
    switch operation {
    case .makeDirectory(let path):
      directories.insert(path)
    case .create(let path, let inode):
      inodes[inode] = DiskInode()
      names[path] = inode
      pendingNames.append(.set(path, inode))
    case .write(let inode, let offset, let bytes):
      write(inode, offset, bytes)
    case .truncate(let inode, let size):
      truncate(inode, size)
    case .sync(let inode):
      sync(inode)
    case .syncFailed(let inode, let reverted):
      syncFailed(inode, reverted)
    case .syncDirectory(let path):
      syncDirectory(path)
    case .remove(let path):
      names[path] = nil
      pendingNames.append(.clear(path))
      collect()
    case .rename(let from, let to):
      guard let inode = names[from] else { return }
      names[from] = nil
      names[to] = inode
      // The new name first: a prefix never loses the file altogether, as journaling file systems see to.
      pendingNames.append(.set(to, inode))
      pendingNames.append(.clear(from))
      collect()
    case .flipBit(let inode, let offset, let bit):
      flip(inode, offset, bit)
    }
  }

  private mutating func write(_ number: Int, _ offset: Int, _ bytes: [UInt8]) {
    guard !bytes.isEmpty, var inode = inodes.removeValue(forKey: number) else { return }
    let end = offset + bytes.count
    if inode.content.count < end {
      // The page that held the old end changes too when a hole is made behind it.
      inode.content.append(contentsOf: repeatElement(0, count: end - inode.content.count))
      inode.sizeChanged = true
    }
    inode.content.withUnsafeMutableBufferPointer { target in
      for index in 0..<bytes.count { target[offset + index] = bytes[index] }
    }
    for page in Self.pages(offset, bytes.count) { inode.dirty.insert(page) }
    inodes[number] = inode
  }

  private mutating func truncate(_ number: Int, _ size: Int) {
    guard var inode = inodes.removeValue(forKey: number) else { return }
    if size < inode.content.count {
      inode.content.removeLast(inode.content.count - size)
      inode.truncatedTo = min(inode.truncatedTo ?? size, size)
      let last = Self.pages(0, size).upperBound
      inode.dirty = inode.dirty.filter { $0 < last }
    } else {
      inode.content.append(contentsOf: repeatElement(0, count: size - inode.content.count))
    }
    inode.sizeChanged = true
    inodes[number] = inode
  }

  private mutating func sync(_ number: Int) {
    guard var inode = inodes.removeValue(forKey: number) else { return }
    Self.settle(&inode, size: inode.content.count, truncated: true)
    for page in inode.dirty { Self.keep(&inode, page) }
    inode.dirty = []
    inode.truncatedTo = nil
    inode.sizeChanged = false
    inodes[number] = inode
  }

  private mutating func syncFailed(_ number: Int, _ reverted: Bool) {
    guard var inode = inodes.removeValue(forKey: number) else { return }
    if reverted {
      for page in inode.dirty {
        let start = page * Self.pageSize
        for index in start..<min(start + Self.pageSize, inode.content.count) {
          inode.content[index] = index < inode.durable.count ? inode.durable[index] : 0
        }
      }
    }
    inode.dirty = []
    inodes[number] = inode
  }

  /// Gives the medium's file its size: first cut to where it was cut, then grown with zeros.
  private static func settle(_ inode: inout DiskInode, size: Int, truncated: Bool) {
    if truncated, let cut = inode.truncatedTo, cut < inode.durable.count { inode.durable.removeLast(inode.durable.count - cut) }
    if size < inode.durable.count { inode.durable.removeLast(inode.durable.count - size) }
    if size > inode.durable.count { inode.durable.append(contentsOf: repeatElement(0, count: size - inode.durable.count)) }
  }

  /// Writes one page back, or those of its sectors that `sectors` keeps.
  private static func keep(_ inode: inout DiskInode, _ page: Int, sectors: (Int) -> Bool = { _ in true }) {
    let start = page * pageSize
    let end = min(start + pageSize, inode.content.count)
    guard start < end else { return }
    if inode.durable.count < end { inode.durable.append(contentsOf: repeatElement(0, count: end - inode.durable.count)) }
    for index in start..<end where sectors((index - start) / sectorSize) { inode.durable[index] = inode.content[index] }
  }

  private mutating func syncDirectory(_ path: String) {
    var rest: [NameChange] = []
    for change in pendingNames {
      if Self.parent(of: Self.path(of: change)) == path { commit(change) } else { rest.append(change) }
    }
    pendingNames = rest
    collect()
  }

  private static func path(of change: NameChange) -> String {
    switch change {
    case .set(let path, _), .clear(let path): path
    }
  }

  private mutating func commit(_ change: NameChange) {
    switch change {
    case .set(let path, let inode): durableNames[path] = inode
    case .clear(let path): durableNames[path] = nil
    }
  }

  /// Forgets files that no name, now or after a power cut, can lead to.
  private mutating func collect() {
    var reachable = Set<Int>()
    for (_, inode) in names { reachable.insert(inode) }
    for (_, inode) in durableNames { reachable.insert(inode) }
    for case .set(_, let inode) in pendingNames { reachable.insert(inode) }
    for number in inodes.keys.sorted() where !reachable.contains(number) { inodes[number] = nil }
  }

  private mutating func flip(_ number: Int, _ offset: Int, _ bit: Int) {
    guard var inode = inodes.removeValue(forKey: number) else { return }
    if offset < inode.content.count { inode.content[offset] ^= 1 << UInt8(bit & 7) }
    if offset < inode.durable.count { inode.durable[offset] ^= 1 << UInt8(bit & 7) }
    inodes[number] = inode
  }

  /// The pages that are not on the medium, by path and page.
  public var unsyncedPages: [UnsyncedPage] {
    var pages: [UnsyncedPage] = []
    for path in names.keys.sorted() {
      guard let number = names[path], let inode = inodes[number] else { continue }
      for page in inode.dirty.sorted() { pages.append(UnsyncedPage(path: path, page: page)) }
    }
    return pages
  }

  /// The current fails: what is on the medium becomes all there is.
  mutating func lose(_ loss: PowerLoss) {
    let entropy: SeededEntropy?
    if case .seeded(let seed) = loss { entropy = SeededEntropy(seed: seed) } else { entropy = nil }
    var paths: [Int: String] = [:]
    for path in names.keys.sorted(by: >) { paths[names[path]!] = path }
    for number in inodes.keys.sorted() {
      guard var inode = inodes.removeValue(forKey: number) else { continue }
      lose(&inode, path: paths[number] ?? "", loss, entropy)
      inode.content = inode.durable
      inode.dirty = []
      inode.truncatedTo = nil
      inode.sizeChanged = false
      inodes[number] = inode
    }
    let kept: Int
    switch loss {
    case .nothing: kept = pendingNames.count
    case .everything: kept = 0
    case .seeded: kept = entropy!.below(pendingNames.count + 1)
    case .keeping(let names, _): kept = names ? pendingNames.count : 0
    }
    for change in pendingNames[0..<kept] { commit(change) }
    pendingNames = []
    names = durableNames
    collect()
  }

  private func lose(_ inode: inout DiskInode, path: String, _ loss: PowerLoss, _ entropy: SeededEntropy?) {
    switch loss {
    case .everything: return
    case .nothing:
      Self.settle(&inode, size: inode.content.count, truncated: true)
      for page in inode.dirty { Self.keep(&inode, page) }
    case .keeping(_, let pages):
      let kept = inode.dirty.sorted().filter { pages(UnsyncedPage(path: path, page: $0)) }
      if !kept.isEmpty { Self.settle(&inode, size: min(inode.durable.count, inode.content.count), truncated: true) }
      for page in kept { Self.keep(&inode, page) }
    case .seeded:
      guard let entropy, inode.sizeChanged || !inode.dirty.isEmpty else { return }
      // Either extreme is as likely as a mixture.
      let mode = entropy.below(4)
      if mode == 0 { return }
      if inode.truncatedTo != nil, entropy.oneIn(2) {
        // The cut has not reached the medium; no page that was written after it has either.
        return
      }
      Self.settle(&inode, size: min(inode.durable.count, inode.content.count), truncated: true)
      for page in inode.dirty.sorted() where mode == 1 || entropy.oneIn(2) {
        let torn = entropy.oneIn(4)
        let mask = torn ? entropy.below(256) : 255
        Self.keep(&inode, page) { mask >> $0 & 1 == 1 }
      }
      // The new size may be there without the data: the rest reads as zeros.
      if inode.sizeChanged, inode.durable.count < inode.content.count, entropy.oneIn(3) {
        Self.settle(&inode, size: inode.content.count, truncated: false)
      }
    }
  }
}
