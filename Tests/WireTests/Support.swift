// What the suites of this module share: operations as values that outlive their bytes, vector files, a repeatable generator.
import Bytes
import Foundation
import Wire

/// A small repeatable generator (splitmix64), so that a failing seed can be run again.
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}

enum Vectors {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Vectors")

  static func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: folder.appendingPathComponent(path))) }

  /// The captured leaf streams that are the leaf protocol from end to end, both directions.
  static func leafStreams() throws -> [String] {
    let captures = folder.appendingPathComponent("leafnode")
    let folders = try FileManager.default.contentsOfDirectory(atPath: captures.path).sorted()
    return folders.flatMap { name in
      ["spoke_to_hub.plain", "hub_to_spoke.plain"].map { "leafnode/\(name)/\($0)" }
    }.filter { FileManager.default.fileExists(atPath: folder.appendingPathComponent($0).path) }
  }
}

/// One operation as text, the same for client and leaf: `kind|field=value…`.
func described(_ operation: ClientOperation) -> String {
  switch operation.kind {
  case .publish:
    "publish|\(operation.subject.string)|\(operation.reply.string)|\(operation.headerSize.map { "\($0)" } ?? "-")|\(operation.body.string)"
  case .subscribe: "subscribe|\(operation.subject.string)|\(operation.queue.string)|\(operation.sid.string)"
  case .unsubscribe: "unsubscribe|\(operation.sid.string)|\(operation.max)"
  case .connect: "connect|\(operation.text.string)"
  case .ping: "ping"
  case .pong: "pong"
  case .ignored: "ignored"
  case .error: "error"
  }
}

func described(_ operation: LeafOperation) -> String {
  switch operation.kind {
  case .message:
    "message|\(operation.subject.string)|\(operation.reply.string)|\(operation.queues.string)|"
      + "\(operation.headerSize.map { "\($0)" } ?? "-")|\(operation.body.string)"
  case .subscribe: "subscribe|\(operation.subject.string)|\(operation.queue.string)|\(operation.weight)"
  case .unsubscribe: "unsubscribe|\(operation.subject.string)|\(operation.queue.string)"
  case .info: "info|\(operation.text.string)"
  case .connect: "connect|\(operation.text.string)"
  case .error: "error|\(operation.text.string)"
  case .ping: "ping"
  case .pong: "pong"
  case .ignored: "ignored"
  }
}

/// A parser of either protocol: what stands at the front, and the operation as text.
typealias AnyParser = (ByteView) -> (outcome: ParseOutcome, text: String)

func clientParser(controlLineMax: Int = 4096, payloadMax: Int = 1 << 20) -> AnyParser {
  let parser = ClientParser(controlLineMax: controlLineMax, payloadMax: payloadMax)
  return { bytes in
    var operation = ClientOperation()
    let outcome = parser.parse(bytes, into: &operation)
    if case .operation = outcome { return (outcome, described(operation)) }
    return (outcome, "")
  }
}

func leafParser(controlLineMax: Int = 64 * 1024, payloadMax: Int = 1 << 20) -> AnyParser {
  var parser = LeafParser(payloadMax: payloadMax)
  parser.controlLineMax = controlLineMax
  return { [parser] bytes in
    var operation = LeafOperation()
    let outcome = parser.parse(bytes, into: &operation)
    if case .operation = outcome { return (outcome, described(operation)) }
    return (outcome, "")
  }
}

/// What a connection that gets `bytes` in pieces of the given sizes makes of them.
struct Conversation: Equatable {
  var operations: [String] = []
  var violation: ProtocolViolation?
  /// Bytes that are not a whole operation.
  var left = 0
}

/// Feeds `bytes` in pieces; `sizes` is asked for the size of the next piece. Asks again only when as much is there as was needed.
func converse(_ bytes: [UInt8], _ parse: AnyParser, sizes: () -> Int) -> Conversation {
  var conversation = Conversation()
  var start = 0
  var end = 0
  var needed = 1
  while end < bytes.count {
    end = min(bytes.count, end + max(1, sizes()))
    while end - start >= needed {
      let (outcome, text) = Array(bytes[start..<end]).withView { parse($0) }
      switch outcome {
      case .operation(let consumed):
        conversation.operations.append(text)
        start += consumed
        needed = 1
      case .incomplete(let more):
        precondition(more > end - start, "a parser that needs no more would be asked for ever")
        needed = more
      case .violation(let violation):
        conversation.violation = violation
        return conversation
      }
      if start == end { break }
    }
  }
  conversation.left = end - start
  return conversation
}

func converse(_ text: String, _ parse: AnyParser, size: Int = Int.max / 2) -> Conversation {
  converse([UInt8](text.utf8), parse) { size }
}

/// What the parser says of each longer prefix of `bytes` must not contradict what it said of a shorter one.
/// Returns the first contradiction, or nil.
func contradiction(_ bytes: [UInt8], _ parse: AnyParser) -> String? {
  var settled: (outcome: ParseOutcome, text: String)?
  for length in 1...max(1, bytes.count) where length <= bytes.count {
    let now = Array(bytes[0..<length]).withView { parse($0) }
    if let settled, settled.outcome != now.outcome || settled.text != now.text {
      return "of \(length) bytes \(now), but of fewer \(settled): \(String(decoding: bytes, as: UTF8.self).debugDescription)"
    }
    switch now.outcome {
    case .operation(let consumed):
      if consumed < 1 || consumed > length { return "used \(consumed) of \(length) bytes" }
      settled = now
    case .violation: settled = now
    case .incomplete(let needed):
      if needed <= length { return "needs \(needed) bytes and has \(length)" }
    }
  }
  return nil
}

/// Bytes that are nearly the protocol: whole operations, cut, doubled and with bytes changed.
func nearlyProtocol(_ pieces: [String], _ random: inout Seeded) -> [UInt8] {
  var bytes: [UInt8] = []
  for _ in 0..<Int.random(in: 1...4, using: &random) { bytes += [UInt8](pieces.randomElement(using: &random)!.utf8) }
  for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
    let at = Int.random(in: 0..<bytes.count, using: &random)
    switch Int.random(in: 0..<5, using: &random) {
    case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
    case 1: bytes.remove(at: at)
    case 2: bytes.insert([0x20, 0x09, 0x0D, 0x0A, 0x30, 0x39].randomElement(using: &random)!, at: at)
    case 3: bytes.removeLast(bytes.count - at)
    default: bytes[at] ^= 0x20
    }
  }
  return bytes
}
