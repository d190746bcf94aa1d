// One file of the log, as the store knows it.
import Platform

final class Segment {
  /// Log position of its first byte.
  let base: UInt64
  let path: String
  /// Open while it is written or was read lately.
  var file: FileHandle?
  /// Its name is on the medium. Of a new one the first commit makes it so.
  var isNamed = true
  /// With what still waits to be written.
  var size: Int
  /// What is on the medium.
  var durableSize: Int
  /// What its metadata checkpoint takes, which does not count towards the segment's size limit when it is large.
  var checkpointEnd = SegmentHeader.recordsOffset
  /// Live messages, and their bytes as streams account them.
  var liveMessages = 0
  var liveBytes = 0
  /// Removals recorded here of messages in segments that still exist, by the base of that segment.
  var removals: [UInt64: Int] = [:]
  var liveRemovals = 0
  /// Its live records were copied; the file may go when this position is durable.
  var releasePosition: UInt64 = 0
  /// A write to it failed: nothing may be written to it any more.
  var isSealed = false
  /// Nothing of it became durable before a write failed: what belongs into it is written again, into another one.
  var isAbandoned = false
  /// Damaged places were found in it when it was read.
  var isDamaged = false
  /// Damaged messages keep it from being copied forward.
  var isStuck = false
  /// A checkpoint on the medium counts live messages in it: without the file their subjects could not be counted down again.
  var isInCheckpoint = false
  /// At recovery: a checkpoint has it, and its file is gone.
  var isMissing = false

  init(base: UInt64, path: String, size: Int) {
    self.base = base
    self.path = path
    self.size = size
    durableSize = size
  }

  /// Bases of segments whose files still hold originals of messages that were copied into this one. Were this one gone before them,
  /// and with it the removals of the copies, the originals would be back after a restart.
  var copiedFrom: Set<UInt64> = []

  /// Whether a position lies in its file.
  @inline(__always) func holds(_ position: UInt64) -> Bool { position >= base && position - base < UInt64(size) }

  var isEmpty: Bool { liveMessages == 0 && liveRemovals == 0 && copiedFrom.isEmpty }
  /// Bytes that compaction would have to copy.
  var keptBytes: Int64 { Int64(liveBytes) + Int64(liveRemovals) * Int64(Record.headerBytes) }

  func addRemoval(target: UInt64) { addRemovals(target: target, 1) }

  func addRemovals(target: UInt64, _ count: Int) {
    removals[target, default: 0] += count
    liveRemovals += count
  }

  /// As a file that nothing is known of yet.
  func reset() {
    durableSize = size
    checkpointEnd = SegmentHeader.recordsOffset
    liveMessages = 0
    liveBytes = 0
    removals = [:]
    liveRemovals = 0
    copiedFrom = []
    isSealed = false
    isInCheckpoint = false
    isDamaged = false
  }

  /// The segment at `target` is gone for good: removals of its messages are of no use any more, and its originals do not come back.
  func forget(target: UInt64) {
    copiedFrom.remove(target)
    if let count = removals.removeValue(forKey: target) { liveRemovals -= count }
  }

  /// `base` as twenty digits: names sort as positions do.
  static func name(_ base: UInt64) -> String {
    let digits = String(base)
    return String(repeating: "0", count: 20 - digits.utf8.count) + digits + ".log"
  }

  /// The base in a file name, or nil when it is not a segment's.
  static func base(_ name: String) -> UInt64? {
    let bytes = [UInt8](name.utf8)
    guard bytes.count == 24, bytes[20] == 0x2E, bytes[21] == 0x6C, bytes[22] == 0x6F, bytes[23] == 0x67 else { return nil }
    var value: UInt64 = 0
    for byte in bytes[..<20] {
      guard byte >= 0x30, byte <= 0x39 else { return nil }
      let (product, tooBig) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow) = product.addingReportingOverflow(UInt64(byte - 0x30))
      if tooBig || overflow { return nil }
      value = sum
    }
    return value
  }
}
