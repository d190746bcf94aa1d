// Backups that nats-servers of several versions made (Tests/Interop/backups.py records them), and what is in them.
import Bytes
import Compression
import Foundation
import JSON
import Testing

@testable import JetStream

struct OldBackup: CustomTestStringConvertible {
  static let versions = ["2.10.26", "2.11.11", "2.12.8", "2.14.6"]

  let version: String
  let name: String
  /// The tar archive.
  let tar: [UInt8]
  let contents: JSONValue

  var testDescription: String { "\(name) of \(version)" }

  static let all: [OldBackup] = versions.flatMap { version in
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Vectors/backups/\(version).json")
    let text = [UInt8](try! Data(contentsOf: file))
    return (try! text.withView { view in try JSON.parse(view) }).array!.map { entry in
      OldBackup(
        version: version, name: entry["config"]!["name"]!.string!.string,
        tar: unpacked([UInt8](Data(base64Encoded: entry["data"]!.string!.string)!)), contents: entry["contents"]!)
    }
  }

  static func named(_ name: String) -> [OldBackup] { all.filter { $0.name == name } }

  private static func unpacked(_ packed: [UInt8]) -> [UInt8] {
    let decoder = S2StreamDecoder()
    let scratch = S2Scratch()
    var plain: [UInt8] = []
    packed.withView { whole in
      var rest = whole
      while let piece = try! decoder.next(&rest, scratch: scratch) { plain.append(piece) }
    }
    return plain
  }

  /// Where each file's header and content begin, by name; for changing them.
  var files: [(name: String, header: Int, start: Int, size: Int)] {
    var files: [(name: String, header: Int, start: Int, size: Int)] = []
    var at = 0
    while at + 512 <= tar.count {
      let block = [UInt8](tar[at..<at + 512])
      guard let header = block.withView({ try? TarHeader($0) }) else { break }
      files.append((header.name.string, at, at + 512, header.size))
      at += 512 + header.size + header.padding
    }
    return files
  }
}

/// What a backup brought.
final class CollectingSink: BackupSink {
  struct Message: Equatable {
    let digest: String
    let time_ns: Int64
  }

  var messages: [UInt64: Message] = [:]
  var last: UInt64 = 0
  var consumers: [ConsumerBackup] = []
  /// More than a hostile backup of a few kilobytes may bring.
  var count = 0

  func begin(at sequence: UInt64) {}

  func take(given sequence: UInt64, timestamp_ns: Int64) { last = max(last, sequence) }

  func take(removed sequences: ClosedRange<UInt64>) {
    count += 1
    if sequences.count == 1 { messages[sequences.lowerBound] = nil } else { messages = messages.filter { !sequences.contains($0.key) } }
  }

  func take(consumer: ConsumerBackup) { consumers.append(consumer) }

  func take(message: ArchiveEntry) throws(BackupError) {
    count += 1
    guard message.sequence > (messages.keys.max() ?? 0) else { throw BackupError("out of order") }
    var text = message.name.bytes
    text.append(0)
    text.append(RFC3339.format(message.timestamp_ns))
    text.append(0)
    text.append(contentsOf: Data(message.headers.bytes).base64EncodedString().utf8)
    text.append(0)
    text.append(contentsOf: Data(message.payload.bytes).base64EncodedString().utf8)
    let digest = text.withView { SHA256.hash($0) }.prefix(8).map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    messages[message.sequence] = Message(digest: digest.joined(), time_ns: message.timestamp_ns)
    last = max(last, message.sequence)
  }
}
