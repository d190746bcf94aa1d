// Backups that a test makes up, and bringing them back.
import Bytes
import Compression
import JSON
import Platform

@testable import JetStream

/// An archive as a client sends it, entry by entry.
struct MadeArchive {
  private(set) var bytes: [UInt8] = []

  init(first: UInt64 = 1, last: UInt64, consumers: Int = 0) {
    bytes.append(literal: BackupArchive.magic)
    add("state.json", payload: #"{"first_seq":\#(first),"last_seq":\#(last),"consumer_count":\#(consumers)}"#)
  }

  mutating func add(_ name: String, sequence: UInt64 = 0, headers: String = "", payload: String = "") {
    ByteString(name).withView { name in
      ByteString(headers).withView { headers in
        ByteString(payload).withView { payload in
          BackupArchive.append(
            ArchiveEntry(
              name: name, timestamp_ns: 1_800_000_000 * second_ns, sequence: sequence, headers: headers, payload: payload),
            to: &bytes)
        }
      }
    }
  }

  /// An entry whose payload does not follow.
  mutating func claim(_ name: String, sequence: UInt64, payload: UInt64) {
    for number in [UInt64(name.utf8.count), 0, sequence, 0, payload] { Varint.append(number, to: &bytes) }
    bytes += Array(name.utf8)
  }

  mutating func end() { BackupArchive.append(ArchiveEntry(), to: &bytes) }
}

extension Rig {
  /// Brings an archive back as a stream, in pieces of so many bytes; the last answer. `midway` is called when the first piece was taken.
  func restore(_ config: String, _ archive: MadeArchive, pieces: Int = 512 << 10, midway: (() -> Void)? = nil) -> Received {
    let name = (try? JSON.parse(ByteString(config)))?["name"]?.string?.string ?? ""
    let answer = call("$JS.API.STREAM.RESTORE.\(name)", #"{"config":\#(config),"state":{}}"#)
    guard let target = answer.json["deliver_subject"]?.string?.string, !target.isEmpty else { return answer }
    var packed: [UInt8] = []
    var encoder = S2StreamEncoder(level: .fast)
    let scratch = S2Scratch()
    archive.bytes.withView { plain in encoder.add(plain, scratch: scratch) { packed.append($0) } }
    encoder.finish(scratch: scratch) { packed.append($0) }
    var last: Received?
    var start = 0
    while last == nil {
      let isFirst = start == 0
      let piece = packed[start..<min(start + pieces, packed.count)]
      start += piece.count
      let inbox = send(target, bytes: Array(piece))
      for _ in 0..<2000 where last == nil {
        pass(millisecond_ns)
        guard let came = take(inbox).first else { continue }
        if came.payload.isEmpty { break }
        last = came
      }
      if isFirst { midway?() }
      if piece.isEmpty, last == nil { break }
    }
    return last ?? Received(subject: "", headers: "", payload: "no answer")
  }
}
