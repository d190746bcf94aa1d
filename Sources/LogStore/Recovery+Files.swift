// Which files of a directory are segments when a store is opened. docs/store-format.md, "Reading", has the rules.
import Bytes
import Platform

extension Recovery {
  /// A file with a segment's name.
  private struct Found {
    let base: UInt64
    let size: Int
    let header: SegmentHeader?
    /// The part before the records reads as zeros.
    let isBlank: Bool
    /// The disk did not give all of that part.
    let isCut: Bool
  }

  /// How often a file is asked for before the disk is believed not to give it.
  private static let tries = 3
  /// Behind the name of a segment that the disk did not give at the last start.
  private static let refusedEnding = ".refused"
  /// Behind the name of a segment that the disk did not give at two starts in a row.
  private static let unreadableEnding = ".unreadable"

  func findFiles() throws(StoreError) {
    let disk = store.host.disk
    let names: [String]
    do { names = try disk.list(store.directory) } catch { throw .disk(error) }
    var found: [Found] = []
    var refused: [(base: UInt64, error: DiskError)] = []
    for base in names.compactMap({ Segment.base($0) }).ordered() {
      do throws(DiskError) { found.append(try look(base)) } catch {
        if error.kind == .readOnly || error.kind == .permission { throw .readOnly(path: store.path(Segment.name(base))) }
        refused.append((base, error))
      }
    }
    for entry in found {
      if let header = entry.header, header.version != SegmentHeader.version {
        throw .incompatible(path: store.path(Segment.name(entry.base)), version: header.version)
      }
      if store.salt == 0, let header = entry.header, header.base == entry.base { store.salt = header.salt }
    }
    // One file after the other may have been begun and given up since the last one whose name and content are on the medium.
    let lastBegun = found.lastIndex { !$0.isBlank } ?? -1
    let tornBefore = report.tornBytes
    for (at, entry) in found.enumerated() {
      // Whatever was in a file that the header of a later one gives up was written again.
      let isGivenUp = found[(at + 1)...].contains { $0.header.map { $0.previousEnd <= entry.base } ?? false }
      if let error = try take(entry, mayBeVain: at > lastBegun || isGivenUp) { refused.append((entry.base, error)) }
    }
    // Were one there again beside the next segment, which may begin behind more than the one before has now, nothing would give it up.
    if report.tornBytes > tornBefore { try? disk.syncDirectory(store.directory) }
    try goWithout(refused)
    for name in names {
      if let base = base(name, Self.unreadableEnding) { unreadable(base, 0, name) }
      if base(name, Self.refusedEnding) != nil { try? disk.remove(store.path(name)) }
    }
  }

  private func look(_ base: UInt64) throws(DiskError) -> Found {
    var left = Self.tries
    while true {
      do throws(DiskError) { return try lookOnce(base) } catch {
        left -= 1
        if left == 0 { throw error }
      }
    }
  }

  private func lookOnce(_ base: UInt64) throws(DiskError) -> Found {
    let disk = store.host.disk
    let file = try disk.open(store.path(Segment.name(base)), create: false)
    defer { disk.close(file) }
    let size = try disk.size(file)
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentHeader.recordsOffset, alignment: 8)
    defer { block.deallocate() }
    let count = min(size, block.count)
    let read = UnsafeMutableRawBufferPointer(rebasing: block[..<count])
    unreadBlocks = 0
    // A bad block takes at most the header with it, not the file.
    if (try? disk.read(file, at: 0, into: read)) != count { readInBlocks(file, 0, read, blockBytes: SegmentHeader.copyOffset) }
    let bytes = UnsafeRawBufferPointer(read)
    return Found(base: base, size: size, header: SegmentHeader(bytes), isBlank: bytes.allSatisfy { $0 == 0 }, isCut: unreadBlocks > 0)
  }

  /// Takes a file as a segment, leaves it alone, or removes it when nothing of it was ever durable. Returns an error when the disk gives
  /// nothing of it.
  private func take(_ entry: Found, mayBeVain: Bool) throws(StoreError) -> DiskError? {
    let path = store.path(Segment.name(entry.base))
    // Created, but its first batch never became durable. Where it stays, it is passed over again.
    func removeVain() {
      try? store.host.disk.remove(path)
      report.tornBytes += Int64(entry.size)
    }
    if entry.size == 0 {
      removeVain()
      return nil
    }
    let isForeign = entry.header.map { $0.base != entry.base || $0.salt != store.salt } ?? false
    if isForeign || entry.size > LogStore.Limits.segmentFileBytesMax || entry.base > UInt64(1) << 62 {
      unreadable(entry.base, entry.size)
      return nil
    }
    let segment = Segment(base: entry.base, path: path, size: entry.size)
    if entry.header == nil {
      // Both copies of the header are damaged: the rest counts if it is ours.
      if try !isOurs(segment) {
        if entry.isCut || unreadBlocks > 0 { return DiskError(.inputOutput, operation: "read", path: path) }
        if entry.isBlank, mayBeVain, try !looksCommitted(segment) { removeVain() } else { unreadable(entry.base, entry.size) }
        return nil
      }
    }
    files.append(File(segment: segment, header: entry.header, bytes: entry.size))
    store.segments.append(segment)
    return nil
  }

  /// Whether a file without a header has records of this store.
  private func isOurs(_ segment: Segment) throws(StoreError) -> Bool {
    unreadBlocks = 0
    guard store.salt != 0 else { return false }
    try load(File(segment: segment, header: nil, bytes: segment.size))
    store.closeFile(segment)
    var scan = SegmentScan(self, segment, header: nil, from: SegmentHeader.recordsOffset, end: segment.size, isLast: false)
    return scan.hasRecords()
  }

  /// Whether a file of a store whose salt nobody knows has what looks like the frame of a second batch: then the first one was durable.
  private func looksCommitted(_ segment: Segment) throws(StoreError) -> Bool {
    guard store.salt == 0 else { return false }
    try load(File(segment: segment, header: nil, bytes: segment.size))
    store.closeFile(segment)
    let base = UnsafeRawPointer(memory.baseAddress!)
    for offset in stride(from: SegmentHeader.recordsOffset, to: segment.size, by: 8) {
      if let record = Record.plausible(base + offset, available: segment.size - offset), record.kind == RecordKind.commit,
        record.length == Record.commitBytes, record.sequence > 1
      {
        return true
      }
    }
    return false
  }

  private func unreadable(_ base: UInt64, _ size: Int, _ name: String? = nil) {
    report.unreadableFiles.append(name ?? Segment.name(base))
    store.unreadableBytes += Int64(size)
    let end = base.addingReportingOverflow(UInt64(size))
    if !end.overflow, end.partialValue <= UInt64(1) << 62 { store.baseMin = max(store.baseMin, (end.partialValue + 8) & ~7) }
  }

  // MARK: Files that the disk does not give

  /// Acknowledged messages may be in these files, and whatever is written without them could not be joined with them again. Most
  /// failures of this kind pass, so the store does not open; but a medium that is broken for good must not keep a gateway down, so the
  /// next time it opens without them, and they keep their bytes under other names.
  private func goWithout(_ refused: [(base: UInt64, error: DiskError)]) throws(StoreError) {
    let disk = store.host.disk
    var first: DiskError?
    for (base, failure) in refused {
      let name = Segment.name(base)
      let mark = store.path(name + Self.refusedEnding)
      do throws(DiskError) {
        disk.close(try disk.open(mark, create: true))
        if first == nil { first = failure }
        store.host.log.error(
          "Store \(store.directory): \(name) cannot be read (\(LogStore.describe(failure.kind))); the next start goes on without it if that lasts"
        )
        continue
      } catch {
        switch error.kind {
        case .exists: break
        // The store is only looked at.
        case .readOnly:
          unreadable(base, 0)
          continue
        default: throw .disk(failure)
        }
      }
      do throws(DiskError) { try disk.rename(store.path(name), to: store.path(name + Self.unreadableEnding)) } catch {
        throw .disk(failure)
      }
      try? disk.remove(mark)
      unreadable(base, 0, name + Self.unreadableEnding)
      store.host.log.error("Store \(store.directory): goes on without \(name), which is now \(name)\(Self.unreadableEnding)")
    }
    if let first { throw .disk(first) }
  }

  /// The base in a name that is a segment's with `ending` behind it, or nil.
  private func base(_ name: String, _ ending: String) -> UInt64? {
    let bytes = [UInt8](name.utf8)
    let end = [UInt8](ending.utf8)
    guard bytes.count > end.count, bytes[(bytes.count - end.count)...].elementsEqual(end) else { return nil }
    return Segment.base(String(decoding: bytes[..<(bytes.count - end.count)], as: UTF8.self))
  }
}
