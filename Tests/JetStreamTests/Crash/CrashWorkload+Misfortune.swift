// What goes wrong with the disk while the client works, and how everything comes to rest in the end.
import Bytes
import Platform

@testable import JetStream

extension CrashWorkload {
  /// Now and then a write or a sync fails, or the disk fills up, or has room again.
  func misfortune() {
    let disk = machine.disk
    guard entropy.oneIn(12) else { return }
    defer { note("disk: \(disk.faults), \(disk.capacity - disk.usedBytes) bytes free") }
    switch entropy.below(4) {
    case 0:
      var faults = DiskFaults()
      faults.failingWrites = Set((0..<(1 + entropy.below(3))).map { _ in 1 + entropy.below(6) })
      disk.faults = faults
    case 1:
      var faults = DiskFaults()
      faults.failingSyncs = Set((0..<(1 + entropy.below(3))).map { _ in 1 + entropy.below(6) })
      faults.failedSyncEvicts = entropy.oneIn(2)
      disk.faults = faults
    case 2: disk.capacity = disk.usedBytes + entropy.below(40_000)
    default: heal()
    }
  }

  func heal() {
    machine.disk.faults = DiskFaults()
    machine.disk.capacity = Int.max
  }

  /// One bit of one file turns over.
  func flipBit() {
    let disk = machine.disk
    let files = disk.paths.filter { !(disk.content($0) ?? []).isEmpty }
    guard !files.isEmpty else { return }
    let path = files[entropy.below(files.count)]
    let offset = entropy.below(disk.content(path)!.count)
    note("a bit of \(path) flips at \(offset)")
    disk.flipBit(path, offset: offset, bit: entropy.below(8))
  }

  /// Every consumer gets and acknowledges everything.
  func drain() {
    for version in streams {
      for consumer in version.facts.liveConsumers {
        for _ in 0..<40 {
          fetch(version.facts, consumer, count: 100)
          pass(10 * millisecond_ns)
          if delivered.isEmpty { break }
          while !delivered.isEmpty { acknowledgeFirst() }
        }
      }
    }
  }
}
