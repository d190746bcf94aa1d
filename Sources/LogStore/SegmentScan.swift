// Reading one segment at recovery: batch by batch, telling torn tails from damage.
import Bytes
import Platform

/// Walks over a segment that `Recovery` has in memory and applies the batches that are durable.
struct SegmentScan {
  let recovery: Recovery
  let segment: Segment
  let header: SegmentHeader?
  let end: Int
  /// No later segment shows that this one's last batch was durable.
  let isLast: Bool
  private let isProbe: Bool
  private let base: UnsafeRawPointer
  private let salt: UInt32

  struct Region {
    let start: Int
    let end: Int
  }

  /// Where the batch that is being read began.
  private var batchStart: Int
  private var count: UInt32 = 0
  private var chain: UInt32 = 0
  /// Behind the last mark of the batch that is being read, damage before it, and the frame that a commit there would have.
  private var marked: (end: Int, frame: CommitFrame, damage: [Region])?
  /// Damage in the batch that is being read.
  private var damage: [Region] = []
  /// A damaged batch with its commit frame, until something valid follows and proves that it was durable.
  private var held: (start: Int, end: Int, damage: [Region])?
  /// Checksums a search for the next record may compute, so that a hostile file cannot make it slow.
  private var searchBytes = 256 << 20

  struct Outcome {
    /// Where the log ends in this segment.
    let end: Int
    /// Where reading began, and the number and the chain of the first batch there.
    let start: Int
    let firstBatch: UInt64
    let firstChain: UInt32
    /// Where the last batch begins that counts; nil when there is none behind `start`.
    let lastBatch: Int?
    /// Damaged places before the end, ascending.
    let damage: [Region]
    /// The last batch was cut at a mark: the frame that completes it belongs there.
    let frame: CommitFrame?
  }
  /// Where the last batch with a commit frame begins, and where the one before; that last one's number, and the chain up to it.
  private var lastBatch: Int?
  private var batchBefore: Int?
  private var lastNumber: UInt64 = 0
  private var chainBefore: UInt32 = 0
  /// Damaged places that were reported.
  private var reported: [Region] = []

  /// `from`: where the first batch begins that is to be read.
  /// `isProbe`: nothing is applied or reported.
  init(
    _ recovery: Recovery, _ segment: Segment, header: SegmentHeader?, from: Int, end: Int, isLast: Bool, isProbe: Bool = false
  ) {
    self.isProbe = isProbe
    self.recovery = recovery
    self.segment = segment
    self.header = header
    self.end = end
    self.isLast = isLast
    batchStart = from
    base = UnsafeRawPointer(recovery.memory.baseAddress!)
    salt = recovery.store.salt
  }

  private func record(_ offset: Int) -> Record? {
    Record.checked(base + offset, available: end - offset, salt: salt, position: segment.base + UInt64(offset))
  }

  mutating func run() -> Outcome {
    if let header, batchStart == SegmentHeader.recordsOffset { start(batch: header.batch, chain: header.chain) }
    chain = recovery.store.chain
    let (start, firstBatch, firstChain) = (batchStart, recovery.store.nextBatch, chain)
    var offset = batchStart
    while offset < end {
      guard let record = record(offset) else {
        if damage.isEmpty, takesFlipped(offset) {
          offset += Record.commitBytes
          continue
        }
        let next = search(after: offset)
        damage.append(Region(start: offset, end: next))
        offset = next
        continue
      }
      if let batch = held { keep(batch) }
      let after = offset + record.paddedLength
      if record.kind == RecordKind.commit {
        committed(CommitFrame(record), at: offset, next: after)
      } else {
        if record.kind == RecordKind.mark { mark(CommitFrame(record), record.crc, at: offset, next: after) }
        chain = Record.chain(chain, record.crc)
        count &+= 1
      }
      offset = after
    }
    let end = finish()
    return Outcome(
      end: end, start: start, firstBatch: firstBatch, firstChain: firstChain, lastBatch: lastBatch, damage: reported,
      frame: marked?.end == end ? marked?.frame : nil)
  }

  /// What a frame at this offset would say of the batch that is being read.
  private func here(_ offset: Int) -> CommitFrame {
    let first = batchStart == SegmentHeader.recordsOffset ? 0 : batchStart
    return CommitFrame(batch: recovery.store.nextBatch, count: count, chain: chain, bytes: offset - first)
  }

  private func start(batch: UInt64, chain: UInt32) {
    recovery.store.nextBatch = batch
    recovery.store.chain = chain
  }

  /// A mark: what comes before it was written. Like a batch with its frame, it may have damage in it, though not lost pages.
  private mutating func mark(_ stated: CommitFrame, _ crc: UInt32, at offset: Int, next: Int) {
    let expected = here(offset)
    guard stated.batch == expected.batch, stated.bytes == expected.bytes else { return }
    if damage.isEmpty ? stated != expected : damage.contains(where: { hasBlankSector($0) }) { return }
    marked = (next, frame(behind: stated, crc, bytes: expected.bytes + next - offset), damage)
  }

  /// Whether a few bits are flipped here in the frame or the mark that belongs behind what was read: it counts all the same.
  private mutating func takesFlipped(_ offset: Int) -> Bool {
    let region = Region(start: offset, end: offset + Record.commitBytes)
    guard region.end <= end else { return false }
    if nearly(RecordKind.commit, offset) != nil {
      if let batch = held { keep(batch) }
      committed(here(offset), at: offset, next: region.end)
      report(region)
      return true
    }
    guard let crc = nearly(RecordKind.mark, offset) else { return false }
    if let batch = held { keep(batch) }
    damage.append(region)
    marked = (region.end, frame(behind: here(offset), crc, bytes: here(region.end).bytes), damage)
    chain = Record.chain(chain, crc)
    count &+= 1
    return true
  }

  /// What a frame behind a mark would say.
  private func frame(behind mark: CommitFrame, _ crc: UInt32, bytes: Int) -> CommitFrame {
    CommitFrame(batch: mark.batch, count: mark.count &+ 1, chain: Record.chain(mark.chain, crc), bytes: bytes)
  }

  /// A commit frame: the batch before it is complete, or damaged.
  private mutating func committed(_ stated: CommitFrame, at offset: Int, next: Int) {
    let matches = stated == here(offset)
    if damage.isEmpty {
      // A frame that does not fit although every record is whole follows damage in an earlier batch, or a header that is lost alone.
      let isFirst = batchStart == SegmentHeader.recordsOffset && header == nil
      if !matches, !isFirst, recovery.damage == 0 { recovery.damage += 1 }
      apply(batchStart, offset)
    } else {
      held = (batchStart, offset, damage)
      if !isLast { keep(held!) }
    }
    batchBefore = lastBatch
    lastBatch = batchStart
    (lastNumber, chainBefore) = (recovery.store.nextBatch, recovery.store.chain)
    recovery.store.nextBatch = stated.batch &+ 1
    chain = stated.chain
    recovery.store.chain = chain
    batchStart = next
    count = 0
    damage = []
    marked = nil
  }

  /// The held batch was durable: its records count, its damage is reported.
  private mutating func keep(_ batch: (start: Int, end: Int, damage: [Region])) {
    held = nil
    applyAround(batch.start, batch.end, batch.damage)
  }

  private mutating func applyAround(_ start: Int, _ end: Int, _ damage: [Region]) {
    var offset = start
    for region in damage {
      apply(offset, region.start)
      report(region)
      offset = region.end
    }
    apply(offset, end)
  }

  private mutating func report(_ region: Region) {
    reported.append(region)
    if isProbe { return }
    recovery.damage += 1
    recovery.report.damagedRegions += 1
    recovery.report.damagedBytes += Int64(region.end - region.start)
    segment.isDamaged = true
    if segment.base + UInt64(region.start) < recovery.countedThrough { recovery.isUncertain = true }
    if recovery.report.places.count < RecoveryReport.placesMax {
      recovery.report.places.append(
        DamagedPlace(file: Segment.name(segment.base), offset: region.start, bytes: region.end - region.start))
    }
  }

  /// Applies checked records.
  private func apply(_ start: Int, _ end: Int) {
    if isProbe { return }
    var offset = start
    while offset < end {
      guard let record = Record.plausible(base + offset, available: end - offset) else { return }
      recovery.apply(record, segment, segment.base + UInt64(offset))
      offset += record.paddedLength
    }
  }

  /// What follows the last commit frame.
  private mutating func finish() -> Int {
    if let batch = held {
      held = nil
      // The very last batch of the log, damaged inside: lost pages read as zeros when power went before it was durable.
      if batch.damage.contains(where: { hasBlankSector($0) }) {
        lastBatch = batchBefore
        (recovery.store.nextBatch, recovery.store.chain) = (lastNumber, chainBefore)
        return cutEnd(batch.start)
      }
      applyAround(batch.start, batch.end, batch.damage)
    }
    guard batchStart < end else { return end }
    if !isLast {
      applyAround(batchStart, end, damage)
      return end
    }
    guard let marked else { return cutEnd(batchStart) }
    // Written ahead of its commit: what is whole up to a mark counts.
    applyAround(batchStart, marked.end, marked.damage)
    recovery.store.nextBatch = marked.frame.batch &+ 1
    recovery.store.chain = marked.frame.chain
    lastBatch = batchStart
    return marked.end
  }

  /// Nothing of a file whose first batch is torn is worth keeping.
  private func cutEnd(_ start: Int) -> Int { start == SegmentHeader.recordsOffset ? 0 : start }

  /// The checksum of the frame or mark that these records call for, when it is there but for a few flipped bits.
  private func nearly(_ kind: UInt8, _ offset: Int) -> UInt32? {
    withUnsafeTemporaryAllocation(byteCount: Record.commitBytes, alignment: 8) { frame in
      here(offset).write(frame.baseAddress!, kind: kind, salt: salt, position: segment.base + UInt64(offset))
      var different = 0
      for at in 0..<Record.commitBytes { different += (frame[at] ^ base.load(fromByteOffset: offset + at, as: UInt8.self)).nonzeroBitCount }
      return different <= 8 ? UInt32(littleEndian: frame.load(as: UInt32.self)) : nil
    }
  }

  /// Whether a region holds (or ends in) a sector of zeros. A bit in 64 bytes may be flipped.
  private func hasBlankSector(_ region: Region) -> Bool {
    var sector = region.start & ~511
    while sector < region.end {
      let stop = min(sector + 512, end)
      let start = max(sector, region.start)
      var at = start
      var flipped = 0
      while at < stop, flipped <= (stop - start) / 64 {
        flipped += base.load(fromByteOffset: at, as: UInt8.self).nonzeroBitCount
        at += 1
      }
      if flipped <= (stop - start) / 64 { return true }
      sector += 512
    }
    return false
  }

  /// Whether the segment holds any record at all.
  mutating func hasRecords() -> Bool {
    let start = SegmentHeader.recordsOffset
    return start < end && (record(start) != nil || search(after: start) < end)
  }

  /// The next offset at which a record begins, or the end.
  private mutating func search(after offset: Int) -> Int {
    var next = offset + 8
    while next < end {
      if let rough = Record.plausible(base + next, available: end - next), searchBytes > 0 || rough.length <= 4096 {
        searchBytes -= rough.length
        if record(next) != nil { return next }
      }
      next += 8
    }
    return end
  }
}
