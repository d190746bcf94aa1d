// Streams: vectors and captures of real servers, every rule of the chunk layer, flushes, hostile input.
import Bytes
import Foundation
import Testing

@testable import Compression

private let identifier = hex("ff060000 53327354774f")
private let ping = hex("010a0000 ab90cc24 50494e470d0a")

private func failure(_ stream: [UInt8], piece: Int = .max) -> S2Error? {
  do throws(S2Error) {
    _ = try decodedStream(stream, piece: piece)
    return nil
  } catch { return error }
}

private func flushed(_ encoder: inout S2StreamEncoder, _ bytes: [UInt8], _ scratch: S2Scratch) -> [UInt8] {
  var output: [UInt8] = []
  bytes.withView { encoder.encode($0, scratch: scratch, into: &output) }
  return output
}

@Suite("S2 streams")
struct S2StreamTests {
  @Test("streams that the Go writers made decode to their input, in pieces of any size", arguments: [1, 3, 7, 1000, Int.max])
  func vectors(piece: Int) throws {
    for record in try Vectors.records("s2_vectors.json") {
      guard let kind = record["kind"] as? String, kind.hasPrefix("stream") else { continue }
      let output = try decodedStream(hex(record["out_hex"] as! String), piece: piece)
      #expect(output == vectorInput(record), "\(record["name"]!) \(kind)")
    }
  }

  @Test("captured connections of real servers decode to what was captured as plain", arguments: [1, 61, 4096, Int.max])
  func captures(piece: Int) throws {
    let folders = try Vectors.captures(["02_", "03_", "16_", "20_"])
    #expect(folders.count == 11)
    for folder in folders {
      for direction in ["spoke_to_hub", "hub_to_spoke"] {
        let raw = try Vectors.bytes("\(folder)/\(direction).bin")
        let plain = try Vectors.bytes("\(folder)/\(direction).plain")
        // The handshake before the switch to S2 is plain.
        let start = try #require(Data(raw).range(of: Data(identifier))).lowerBound
        if folder.hasPrefix("02_") { #expect(start == (direction == "spoke_to_hub" ? 161 : 416)) }
        let output = try decodedStream([UInt8](raw[start...]), piece: piece)
        #expect([UInt8](raw[..<start]) + output == plain, "\(folder) \(direction)")
      }
    }
  }

  @Test("a small flush is what any nats-server sends")
  func smallFlush() {
    let scratch = S2Scratch()
    for level in [CompressionLevel.uncompressed, .fast, .better, .best] {
      var encoder = S2StreamEncoder(level: level, identifier: .everyFlush)
      #expect(flushed(&encoder, [UInt8]("PING\r\n".utf8), scratch) == identifier + ping)
      #expect(flushed(&encoder, [UInt8]("PONG\r\n".utf8), scratch) == identifier + hex("010a0000 f56f1be4 504f4e470d0a"))
      #expect(encoder.bytesIn == 12 && encoder.bytesOut == 48)
    }
    #expect(scratch.capacity_bytes == 0)
  }

  @Test("the identifier is sent once where that is asked for, and nothing for an empty flush")
  func identifierOnce() {
    let scratch = S2Scratch()
    var encoder = S2StreamEncoder(level: .fast)
    #expect(flushed(&encoder, [], scratch).isEmpty)
    #expect(flushed(&encoder, [UInt8]("PING\r\n".utf8), scratch) == identifier + ping)
    #expect(flushed(&encoder, [UInt8]("PING\r\n".utf8), scratch) == ping)
    #expect(flushed(&encoder, [], scratch).isEmpty)
  }

  @Test("a flush added in pieces decodes to the pieces joined, in chunks of 64 KiB at most", arguments: [UInt64(5), 6])
  func pieces(seed: UInt64) throws {
    var random = Seeded(state: seed)
    let scratch = S2Scratch()
    for level in [CompressionLevel.uncompressed, .fast, .better, .best] {
      var encoder = S2StreamEncoder(level: level)
      let decoder = S2StreamDecoder()
      for _ in 0..<20 {
        let text = sensorText(bytes: Int.random(in: 1...300_000, using: &random), seed: random.next())
        var sent: [UInt8] = []
        text.withView { view in
          var rest = view
          while !rest.isEmpty {
            let size = Int.random(in: 1...min(rest.count, [100, 5000, 200_000].randomElement(using: &random)!), using: &random)
            encoder.add(rest.prefix(size), scratch: scratch) { sent.append($0) }
            rest = rest.dropFirst(size)
          }
        }
        encoder.finish(scratch: scratch) { sent.append($0) }
        var received: [UInt8] = []
        try sent.withView { view throws(S2Error) in
          var rest = view
          while let plain = try decoder.next(&rest, scratch: scratch) {
            #expect(plain.count <= 65536)
            received.append(plain)
          }
        }
        #expect(received == text)
        #expect(decoder.isBetweenChunks)
        if level != .uncompressed, text.count > 10_000 { #expect(sent.count * 2 < text.count) }
      }
      #expect(encoder.bytesIn == decoder.bytesOut && encoder.bytesOut == decoder.bytesIn)
    }
    scratch.trim()
    #expect(scratch.capacity_bytes == 0)
  }

  @Test("the level may change between flushes")
  func levels() throws {
    let scratch = S2Scratch()
    var encoder = S2StreamEncoder(level: .uncompressed)
    let text = sensorText(bytes: 5000, seed: 1)
    var sent = flushed(&encoder, text, scratch)
    for level in [CompressionLevel.best, .fast, .better] {
      encoder.level = level
      sent += flushed(&encoder, text, scratch)
    }
    #expect(try decodedStream(sent) == text + text + text + text)
  }

  @Test("identifiers, padding, skippable and empty chunks are passed over anywhere")
  func passedOver() throws {
    let empty = hex("01040000 d8ea82a2")
    let stream =
      identifier + hex("80030000 010203") + ping + hex("fe000000") + identifier + hex("99010000 00") + empty + ping
      + hex("fdffff00") + [UInt8](repeating: 7, count: 0xFFFF) + ping
    for piece in [1, 5, 1000, Int.max] {
      #expect(try decodedStream(stream, piece: piece) == [UInt8]("PING\r\nPING\r\nPING\r\n".utf8))
    }
  }

  @Test("what breaks the chunk layer's rules is refused, at whatever piece size", arguments: [1, 4, Int.max])
  func rejections(piece: Int) {
    func kind(_ stream: [UInt8]) -> S2Error? { failure(stream, piece: piece) }
    #expect(kind(ping) == S2Error(.identifierMissing, offset: 0))
    #expect(kind(hex("fe000000") + identifier) == S2Error(.identifierMissing, offset: 0))
    #expect(kind(hex("ff060000 533273547750")) == S2Error(.identifierWrong, offset: 0))
    #expect(kind(hex("ff050000 5332735477")) == S2Error(.identifierWrong, offset: 0))
    #expect(kind(identifier + hex("ff000000")) == S2Error(.identifierWrong, offset: 10))
    #expect(kind(identifier + hex("02000000")) == S2Error(.chunkReserved(2), offset: 10))
    #expect(kind(identifier + ping + hex("7f000000")) == S2Error(.chunkReserved(0x7F), offset: 24))
    #expect(kind(identifier + hex("01030000 000000")) == S2Error(.chunkTooShort, offset: 10))
    #expect(kind(identifier + hex("00000000")) == S2Error(.chunkTooShort, offset: 10))
    #expect(kind(identifier + hex("010d0040")) == S2Error(.chunkTooLong, offset: 10))
    #expect(kind(identifier + hex("000d0040")) == S2Error(.chunkTooLong, offset: 10))
    #expect(kind(identifier + hex("010a0000 ab90cc25 50494e470d0a")) == S2Error(.checksumWrong, offset: 10))
    #expect(kind(identifier + hex("00040000 00000000")) == S2Error(.blockLengthWrong, offset: 18))
    #expect(kind(identifier + hex("00080000 00000000 81808002")) == S2Error(.chunkTooLong, offset: 10))
    #expect(kind(identifier + hex("00090000 00000000 0500610100")) == S2Error(.offsetWrong, offset: 21))
  }

  @Test("a chunk of 4 MiB is the largest that is taken, one of 64 KiB after a Snappy identifier")
  func largest() throws {
    func chunk(_ count: Int) -> [UInt8] {
      let plain = [UInt8](repeating: 0x61, count: count)
      let crc = plain.withView { CRC32C.checksum($0) }
      let masked = (crc >> 15 | crc << 17) &+ 0xA282_EAD8
      return [1] + (0..<3).map { UInt8(truncatingIfNeeded: (count + 4) >> ($0 * 8)) }
        + (0..<4).map { UInt8(truncatingIfNeeded: masked >> UInt32($0 * 8)) } + plain
    }
    #expect(try decodedStream(identifier + chunk(4 << 20), piece: 100_000).count == 4 << 20)
    #expect(failure(identifier + chunk(4 << 20 + 1))?.kind == .chunkTooLong)
    let snappy = hex("ff060000 734e61507059")
    #expect(try decodedStream(snappy + chunk(65536)).count == 65536)
    #expect(failure(snappy + chunk(65537))?.kind == .chunkTooLong)
    #expect(try decodedStream(snappy + identifier + chunk(65537)).count == 65537)
  }

  @Test("a decoder that failed stays failed, and one that is given a part holds no more than the chunk")
  func states() throws {
    let decoder = S2StreamDecoder()
    let scratch = S2Scratch()
    var output: [UInt8] = []
    #expect(decoder.isBetweenChunks)
    try identifier.withView { view throws(S2Error) in try decoder.decode(view, scratch: scratch, into: &output) }
    try [UInt8](ping[..<9]).withView { view throws(S2Error) in try decoder.decode(view, scratch: scratch, into: &output) }
    #expect(!decoder.isBetweenChunks && output.isEmpty)
    try [UInt8](ping[9...]).withView { view throws(S2Error) in try decoder.decode(view, scratch: scratch, into: &output) }
    #expect(decoder.isBetweenChunks && output == [UInt8]("PING\r\n".utf8))
    for _ in 0..<2 {
      #expect(throws: S2Error(.chunkReserved(5), offset: 24)) {
        try hex("05000000").withView { view throws(S2Error) in try decoder.decode(view, scratch: scratch, into: &output) }
      }
    }
  }

  @Test("damaged streams never trap, and what they yield is an undamaged beginning", arguments: [UInt64(1), 2])
  func fuzz(seed: UInt64) throws {
    var random = Seeded(state: seed)
    let scratch = S2Scratch()
    var encoder = S2StreamEncoder(level: .fast, identifier: .everyFlush)
    let text = sensorText(bytes: 3000, seed: seed)
    let whole = [300, 1000, 20, 1680].reduce(into: (stream: [UInt8](), start: 0)) { built, size in
      built.stream += flushed(&encoder, [UInt8](text[built.start..<built.start + size]), scratch)
      built.start += size
    }
    for _ in 0..<3000 {
      var stream = whole.stream
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        stream[Int.random(in: 0..<stream.count, using: &random)] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &random)
      }
      let decoder = S2StreamDecoder()
      var output: [UInt8] = []
      let piece = Int.random(in: 1...400, using: &random)
      do throws(S2Error) {
        try stream.withView { view throws(S2Error) in
          var rest = view
          while !rest.isEmpty {
            let size = min(piece, rest.count)
            try decoder.decode(rest.prefix(size), scratch: scratch, into: &output)
            rest = rest.dropFirst(size)
          }
        }
      } catch {
        #expect(error.offset <= stream.count && !error.text.isEmpty)
        // A flipped type bit can turn a data chunk into one that is skipped; otherwise what came before the error is intact.
        #expect(output.count <= text.count)
      }
    }
  }

  @Test("memory for a chunk grows with what has come of it, whatever its header says")
  func announcedSize() throws {
    let decoder = S2StreamDecoder()
    let scratch = S2Scratch()
    func feed(_ bytes: [UInt8]) throws {
      var output: [UInt8] = []
      try bytes.withView { view throws(S2Error) in try decoder.decode(view, scratch: scratch, into: &output) }
    }
    try feed([0xFF, 6, 0, 0] + [UInt8]("S2sTwO".utf8) + [1, 0xFF, 0xFF, 0x3F, 7])
    #expect(decoder.partialCapacity == 1)
    try feed([UInt8](repeating: 7, count: 1000))
    #expect((1001...2002).contains(decoder.partialCapacity))
    for _ in 0..<1000 { try feed([7]) }
    #expect((2001...4004).contains(decoder.partialCapacity))
  }

  @Test("a limit below the format's holds for what a chunk announces and for what it makes")
  func smallChunks() throws {
    var stream: [UInt8] = []
    var encoder = S2StreamEncoder(level: .fast)
    [UInt8](repeating: 7, count: 5000).withView { encoder.encode($0, scratch: S2Scratch(), into: &stream) }
    func decoded(_ limit: Int?, _ bytes: [UInt8]) throws -> Int {
      let decoder = S2StreamDecoder()
      decoder.chunkMax = limit
      var output: [UInt8] = []
      try bytes.withView { view throws(S2Error) in try decoder.decode(view, scratch: S2Scratch(), into: &output) }
      return output.count
    }
    #expect(try decoded(5000, stream) == 5000)
    #expect(try decoded(nil, stream) == 5000)
    #expect(throws: S2Error(.chunkTooLong, offset: 10)) { try decoded(4999, stream) }
    // Of an uncompressed chunk not even a byte is needed.
    #expect(throws: S2Error(.chunkTooLong, offset: 10)) { try decoded(4999, [UInt8](stream.prefix(10)) + [1, 0, 0x20, 0]) }
  }
}
