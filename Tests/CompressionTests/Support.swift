// What the suites of this module share: vector files, a repeatable generator, sensor text, SHA-256.
import Bytes
import Compression
import Foundation

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
    .appendingPathComponent("Vectors/leafnode")

  static func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: folder.appendingPathComponent(path))) }

  static func records(_ path: String) throws -> [[String: Any]] {
    try JSONSerialization.jsonObject(with: Data(bytes(path))) as? [[String: Any]] ?? []
  }

  /// The folders of captures whose name begins with one of `prefixes`.
  static func captures(_ prefixes: [String]) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { name in prefixes.contains { name.hasPrefix($0) } }.sorted()
  }
}

func hex(_ text: String) -> [UInt8] {
  let digits = Array(text.utf8.filter { $0 != 0x20 })
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)! }
}

/// Lines of a leaf connection that carries JSON from sensors.
func sensorText(bytes: Int, seed: UInt64) -> [UInt8] {
  var random = Seeded(state: seed)
  var text: [UInt8] = []
  var sequence = 100_000
  while text.count < bytes {
    let device = Int.random(in: 0..<40, using: &random)
    let body =
      #"{"device":"gw-0042-\#(device)","seq":\#(sequence),"ts":"2026-11-22T19:45:\#(10 + sequence % 50).\#(Int.random(in: 100...999, using: &random))Z","temperature":\#(Double(Int.random(in: 180...260, using: &random)) / 10),"humidity":\#(Int.random(in: 30...70, using: &random)),"ok":true}"#
    sequence += 1
    text += [UInt8]("LMSG sensors.site-1.\(device).climate \(body.utf8.count)\r\n\(body)\r\n".utf8)
  }
  return [UInt8](text[..<bytes])
}

func decodedBlock(_ block: [UInt8]) throws(S2Error) -> [UInt8] {
  var output: [UInt8] = []
  try block.withView { view throws(S2Error) in try S2BlockDecoder.decode(view, into: &output) }
  return output
}

/// The decoded stream, fed in pieces of `piece` bytes.
func decodedStream(_ stream: [UInt8], piece: Int = .max) throws(S2Error) -> [UInt8] {
  let decoder = S2StreamDecoder()
  let scratch = S2Scratch()
  var output: [UInt8] = []
  try stream.withView { view throws(S2Error) in
    var rest = view
    while !rest.isEmpty {
      let size = min(piece, rest.count)
      try decoder.decode(rest.prefix(size), scratch: scratch, into: &output)
      rest = rest.dropFirst(size)
    }
  }
  return output
}

func sha256(_ message: [UInt8]) -> String {
  // FIPS 180-4; the constants are the fractions of the square and cube roots of the first primes.
  var primes: [UInt64] = []
  var candidate: UInt64 = 2
  while primes.count < 64 {
    if primes.allSatisfy({ candidate % $0 != 0 }) { primes.append(candidate) }
    candidate += 1
  }
  func fraction(_ root: Double) -> UInt32 { UInt32((root - root.rounded(.down)) * 4_294_967_296) }
  let constants = primes.map { fraction(cbrt(Double($0))) }
  var state = primes[..<8].map { fraction(Double($0).squareRoot()) }
  var padded = message + [0x80]
  while padded.count % 64 != 56 { padded.append(0) }
  padded += (0..<8).map { UInt8(truncatingIfNeeded: (message.count * 8) >> (56 - $0 * 8)) }
  func rotated(_ word: UInt32, _ bits: UInt32) -> UInt32 { word >> bits | word << (32 - bits) }
  for start in stride(from: 0, to: padded.count, by: 64) {
    var words = (0..<16).map { index in (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(padded[start + index * 4 + $1]) } }
    for index in 16..<64 {
      let low = words[index - 15]
      let high = words[index - 2]
      words.append(
        words[index - 16] &+ (rotated(low, 7) ^ rotated(low, 18) ^ low >> 3) &+ words[index - 7]
          &+ (rotated(high, 17) ^ rotated(high, 19) ^ high >> 10))
    }
    var round = state
    for index in 0..<64 {
      let mix = rotated(round[4], 6) ^ rotated(round[4], 11) ^ rotated(round[4], 25)
      let choice = round[4] & round[5] ^ ~round[4] & round[6]
      let first = round[7] &+ mix &+ choice &+ constants[index] &+ words[index]
      let spread = rotated(round[0], 2) ^ rotated(round[0], 13) ^ rotated(round[0], 22)
      let majority = round[0] & round[1] ^ round[0] & round[2] ^ round[1] & round[2]
      round = [first &+ spread &+ majority, round[0], round[1], round[2], round[3] &+ first, round[4], round[5], round[6]]
    }
    state = zip(state, round).map { $0 &+ $1 }
  }
  return state.map {
    String(String($0, radix: 16).reversed() + String(repeating: "0", count: 8)).prefix(8).reversed().map(String.init).joined()
  }
  .joined()
}
