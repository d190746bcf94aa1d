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
    options.storeBytesMax = .max / 4
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
    let text = arguments.wantsJSON ? json(store, report, moved) : text(store, report, moved, segments: verb.equals("inspect"))
    Terminal.print(String(decoding: text, as: UTF8.self))
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

  private static func text(_ store: LogStore, _ report: RecoveryReport, _ moved: Int, segments: Bool) -> [UInt8] {
    let names = JetStream.streamNames(in: store)
    var text: [UInt8] = []
    var table = Table(["stream", "messages", "bytes", "first", "last", "removed", "subjects"])
    for id in store.streamIDs {
      let stream = store.stream(id)
      var name = name(id, names).bytes
      if name.isEmpty { put(&name, "(number ", Int64(id), ")") }
      table.add([
        String(decoding: name, as: UTF8.self), cell(stream.count), cell(stream.bytes), cell(Int64(clamping: stream.firstSequence)),
        cell(Int64(clamping: stream.lastSequence)), cell(Int64(clamping: stream.deletedCount)), cell(stream.subjects.subjectCount),
      ])
    }
    text.append(contentsOf: table.text.utf8)
    if segments {
      var table = Table(["file", "bytes", "messages", "live bytes"])
      for segment in store.segmentSummaries {
        table.add([segment.file, cell(segment.bytes), cell(segment.messages), cell(segment.messageBytes)])
      }
      text.append(literal: "\n")
      text.append(contentsOf: table.text.utf8)
    }
    put(&text, "\n", Int64(report.segments), " files, ")
    put(&text, "", Int64(store.bytesOnDisk), " bytes\n")
    if report.tornBytes > 0 { put(&text, "", Int64(report.tornBytes), " bytes at the end were never acknowledged\n") }
    for place in report.places {
      text.append(literal: "damaged: ")
      text.append(contentsOf: place.file.utf8)
      put(&text, ", offset ", Int64(place.offset), ", ")
      put(&text, "", Int64(place.bytes), " bytes\n")
    }
    for lost in report.lost {
      text.append(literal: "perhaps lost: ")
      text.append(contentsOf: name(lost.stream, names).bytes)
      put(&text, ", sequences ", Int64(clamping: lost.first), " to ")
      put(&text, "", Int64(clamping: lost.last), "\n")
    }
    for file in report.unreadableFiles {
      text.append(literal: "unreadable: ")
      text.append(contentsOf: file.utf8)
      text.append(literal: "\n")
    }
    if moved > 0 { put(&text, "", Int64(moved), " damaged files were copied and renamed to .damaged\n") }
    if isClean(report) { text.append(literal: "no damage was found\n") }
    return text
  }

  /// A number between two words. Not inlined, and with one type of number: interpolation takes several times the machine code.
  @inline(never) private static func put(_ text: inout [UInt8], _ before: StaticString, _ number: Int64, _ after: StaticString) {
    text.append(literal: before)
    text.append(decimal: number)
    text.append(literal: after)
  }

  private static func cell(_ number: Int) -> String { cell(Int64(number)) }

  @inline(never) private static func cell(_ number: Int64) -> String {
    var text: [UInt8] = []
    text.append(decimal: number)
    return String(decoding: text, as: UTF8.self)
  }

  /// The same for a member of an object.
  @inline(never) private static func put(_ json: inout JSONWriter, _ name: StaticString, _ number: Int64) {
    json.key(literal: name)
    json.number(number)
  }

  private static func json(_ store: LogStore, _ report: RecoveryReport, _ moved: Int) -> [UInt8] {
    let names = JetStream.streamNames(in: store)
    var json = JSONWriter(indent: true)
    json.beginObject()
    json.beginArray("streams")
    for id in store.streamIDs {
      let stream = store.stream(id)
      json.beginObject()
      put(&json, "id", Int64(id))
      json.field("name", name(id, names))
      put(&json, "messages", Int64(stream.count))
      put(&json, "bytes", Int64(stream.bytes))
      put(&json, "first_seq", Int64(clamping: stream.firstSequence))
      put(&json, "last_seq", Int64(clamping: stream.lastSequence))
      put(&json, "num_deleted", Int64(stream.deletedCount))
      put(&json, "num_subjects", Int64(stream.subjects.subjectCount))
      json.endObject()
    }
    json.endArray()
    json.beginArray("segments")
    for segment in store.segmentSummaries {
      json.beginObject()
      json.field("file", segment.file)
      put(&json, "bytes", Int64(segment.bytes))
      put(&json, "messages", Int64(segment.messages))
      put(&json, "live_bytes", Int64(segment.messageBytes))
      json.endObject()
    }
    json.endArray()
    json.beginArray("damaged")
    for place in report.places {
      json.beginObject()
      json.field("file", place.file)
      put(&json, "offset", Int64(place.offset))
      put(&json, "bytes", Int64(place.bytes))
      json.endObject()
    }
    json.endArray()
    json.beginArray("lost")
    for lost in report.lost {
      json.beginObject()
      json.field("stream", name(lost.stream, names))
      put(&json, "first_seq", Int64(clamping: lost.first))
      put(&json, "last_seq", Int64(clamping: lost.last))
      json.endObject()
    }
    json.endArray()
    json.beginArray("unreadable")
    for file in report.unreadableFiles { json.string(file) }
    json.endArray()
    put(&json, "unacknowledged_bytes", Int64(report.tornBytes))
    put(&json, "repaired_files", Int64(moved))
    json.field("clean", isClean(report))
    json.endObject()
    var bytes = json.finish()
    bytes.append(literal: "\n")
    return bytes
  }
}
