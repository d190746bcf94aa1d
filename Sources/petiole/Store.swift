// `petiole store verify|inspect|repair DIR`: what is in a store's directory, whether all of it can be read, and getting what can be read
// out of damaged files. What the files look like is in docs/store-format.md.
import Bytes
import Configuration
import Interest
import JSON
import JetStream
import LogStore
import Platform

enum Store {
  private static let usage = "usage: petiole store verify|inspect|repair DIRECTORY [--json]\n"
  /// Copying out of damaged files is given up after this long: the disk hangs.
  private static let repairMax_ns = 3600 * second_ns

  static func run(_ arguments: Arguments) -> Int32 {
    guard arguments.operands.count == 2 else { return fail(usage) }
    let verb = arguments.operands[0]
    let isRepair = verb.equals("repair")
    guard isRepair || verb.equals("verify") || verb.equals("inspect") else { return fail(usage) }
    let directory = arguments.operands[1].string
    let (loop, outside) = LinuxLoop.makeHost(log: Log(level: .fatal) { _, _ in })
    do throws(DiskError) { _ = try outside.disk.list(directory) } catch {
      return fail("petiole: \(directory) cannot be read (\(error.kind))\n")
    }
    let disk: any Disk = isRepair ? outside.disk : ReadOnlyDisk(outside.disk)
    let host = Host(
      clock: outside.clock, entropy: outside.entropy, disk: disk, network: outside.network, timers: outside.timers, turn: outside.turn,
      log: outside.log)
    var options = LogStore.Options()
    options.storeBytesMax = Int.max / 4
    options.reserveBytes = 0
    // Only a full reading finds all damage.
    options.hasCheckpoints = verb.equals("inspect")
    let store = LogStore(host: host, directory: directory, options: options)
    let report: RecoveryReport
    do throws(StoreError) { report = try store.open() } catch {
      if case .locked = error { return fail("petiole: \(directory) is in use by a running agent\n") }
      return fail("petiole: \(error)\n")
    }
    var moved = 0
    if isRepair {
      moved = store.damagedCount
      if moved > 0 { store.moveDamaged() }
      guard moved == 0 || loop.run(timeout_ns: repairMax_ns, until: { store.damagedCount == 0 }) else {
        return fail("petiole: what is in the damaged files could not be copied; nothing was removed\n")
      }
    }
    Terminal.print(arguments.wantsJSON ? json(store, report, moved) : text(store, report, moved, segments: verb.equals("inspect")))
    if isRepair {
      var isClosed = false
      store.close { isClosed = true }
      _ = loop.run(timeout_ns: 60 * second_ns) { isClosed }
    }
    return isClean(report) || isRepair ? 0 : 1
  }

  private static func fail(_ text: String) -> Int32 {
    Terminal.error(text)
    return 2
  }

  private static func isClean(_ report: RecoveryReport) -> Bool { report.damagedRegions == 0 && report.unreadableFiles.isEmpty }

  private static func name(_ id: UInt32, _ names: [(id: UInt32, name: ByteString)]) -> ByteString {
    names.first { $0.id == id }?.name ?? ByteString()
  }

  private static func text(_ store: LogStore, _ report: RecoveryReport, _ moved: Int, segments: Bool) -> String {
    let names = JetStream.streamNames(in: store)
    var text = ""
    var table = Table(["stream", "messages", "bytes", "first", "last", "removed", "subjects"])
    for id in store.streamIDs {
      let stream = store.stream(id)
      let name = name(id, names)
      table.add([
        name.isEmpty ? "(number \(id))" : name.string, "\(stream.count)", "\(stream.bytes)", "\(stream.firstSequence)",
        "\(stream.lastSequence)", "\(stream.deletedCount)", "\(stream.subjects.subjectCount)",
      ])
    }
    text += table.text
    if segments {
      var table = Table(["file", "bytes", "messages", "live bytes"])
      for segment in store.segmentSummaries {
        table.add([segment.file, "\(segment.bytes)", "\(segment.messages)", "\(segment.messageBytes)"])
      }
      text += "\n" + table.text
    }
    text += "\n\(report.segments) files, \(store.bytesOnDisk) bytes\n"
    if report.tornBytes > 0 { text += "\(report.tornBytes) bytes at the end were never acknowledged\n" }
    for place in report.places { text += "damaged: \(place.file), offset \(place.offset), \(place.bytes) bytes\n" }
    for lost in report.lost {
      text += "perhaps lost: \(name(lost.stream, names).string), sequences \(lost.first) to \(lost.last)\n"
    }
    for file in report.unreadableFiles { text += "unreadable: \(file)\n" }
    if moved > 0 { text += "\(moved) damaged files were copied and renamed to .damaged\n" }
    return text + (isClean(report) ? "no damage was found\n" : "")
  }

  private static func json(_ store: LogStore, _ report: RecoveryReport, _ moved: Int) -> String {
    let names = JetStream.streamNames(in: store)
    var json = JSONWriter(indent: true)
    json.beginObject()
    json.beginArray("streams")
    for id in store.streamIDs {
      let stream = store.stream(id)
      json.beginObject()
      json.field("id", id)
      json.field("name", name(id, names))
      json.field("messages", stream.count)
      json.field("bytes", stream.bytes)
      json.field("first_seq", stream.firstSequence)
      json.field("last_seq", stream.lastSequence)
      json.field("num_deleted", stream.deletedCount)
      json.field("num_subjects", stream.subjects.subjectCount)
      json.endObject()
    }
    json.endArray()
    json.beginArray("segments")
    for segment in store.segmentSummaries {
      json.beginObject()
      json.field("file", segment.file)
      json.field("bytes", segment.bytes)
      json.field("messages", segment.messages)
      json.field("live_bytes", segment.messageBytes)
      json.endObject()
    }
    json.endArray()
    json.beginArray("damaged")
    for place in report.places {
      json.beginObject()
      json.field("file", place.file)
      json.field("offset", place.offset)
      json.field("bytes", place.bytes)
      json.endObject()
    }
    json.endArray()
    json.beginArray("lost")
    for lost in report.lost {
      json.beginObject()
      json.field("stream", name(lost.stream, names))
      json.field("first_seq", lost.first)
      json.field("last_seq", lost.last)
      json.endObject()
    }
    json.endArray()
    json.field("unreadable", report.unreadableFiles.map { ByteString($0) })
    json.field("unacknowledged_bytes", report.tornBytes)
    json.field("repaired_files", moved)
    json.field("clean", isClean(report))
    json.endObject()
    return ByteString(json.finish()).string + "\n"
  }
}
