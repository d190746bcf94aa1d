// LZ4 streams: flushes in any pieces, what small messages become, every rule of the chunk layer, hostile input.
import Bytes
import CLZ4
import Testing

@testable import Compression

private func flushed(_ encoder: LZ4StreamEncoder, _ bytes: [UInt8], _ scratch: S2Scratch) -> [UInt8] {
  var output: [UInt8] = []
  bytes.withView { encoder.add($0, scratch: scratch) { output.append($0) } }
  encoder.finish(scratch: scratch) { output.append($0) }
  return output
}

/// What a decoder makes of a stream in pieces of `piece` bytes.
private func decoded(_ stream: [UInt8], piece: Int = .max, by decoder: LZ4StreamDecoder = LZ4StreamDecoder()) throws(LZ4Error) -> [UInt8] {
  var output: [UInt8] = []
  try stream.withView { view throws(LZ4Error) in
    var rest = view
    while !rest.isEmpty {
      var part = rest.prefix(min(piece, rest.count))
      rest = rest.dropFirst(part.count)
      while let plain = try decoder.next(&part) { output.append(plain) }
    }
  }
  return output
}

private func failure(_ stream: [UInt8]) -> LZ4Error? {
  do throws(LZ4Error) {
    _ = try decoded(stream)
    return nil
  } catch { return error }
}

@Suite("LZ4 streams")
struct LZ4StreamTests {
  @Test("flushes of every size come out as they went in, in pieces of any size", arguments: [1, 2, 3, 100, 5000, Int.max])
  func roundTrips(piece: Int) throws {
    var random = Seeded(state: 7)
    let scratch = S2Scratch()
    let encoder = LZ4StreamEncoder()
    let decoder = LZ4StreamDecoder()
    let text = sensorText(bytes: 200_000, seed: 4)
    for round in 0..<120 {
      let count = Int.random(in: 1...(round % 12 == 0 ? 60_000 : 700), using: &random)
      let start = Int.random(in: 0...text.count - count, using: &random)
      var flush = [UInt8](text[start..<start + count])
      // Some of it does not compress.
      if round % 3 == 1 { for index in 0..<count { flush[index] = UInt8.random(in: 0...255, using: &random) } }
      let sent = flushed(encoder, flush, scratch)
      #expect(try decoded(sent, piece: piece, by: decoder) == flush, "\(round)")
      #expect(decoder.isBetweenChunks)
      // What does not shrink costs an unnoticeable more.
      #expect(sent.count <= count + count / 200 + 24)
    }
    #expect(encoder.bytesIn == decoder.bytesOut && encoder.bytesOut == decoder.bytesIn)
    #expect(flushed(encoder, [], scratch).isEmpty)
  }

  @Test("a flush in pieces is the same as one in one piece")
  func pieces() throws {
    let scratch = S2Scratch()
    let text = sensorText(bytes: 30_000, seed: 5)
    let whole = flushed(LZ4StreamEncoder(), text, scratch)
    let encoder = LZ4StreamEncoder()
    var sent: [UInt8] = []
    for start in stride(from: 0, to: text.count, by: 777) {
      [UInt8](text[start..<min(start + 777, text.count)]).withView { encoder.add($0, scratch: scratch) { sent.append($0) } }
    }
    encoder.finish(scratch: scratch) { sent.append($0) }
    #expect(sent == whole)
  }

  @Test("messages of sensors that are flushed one by one shrink to less than a third, which S2 cannot make smaller at all")
  func smallFlushes() {
    let scratch = S2Scratch()
    let lines = sensorText(bytes: 60_000, seed: 6).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map {
      [UInt8]($0) + [10]
    }
    let lz4 = LZ4StreamEncoder()
    var s2 = S2StreamEncoder(level: .best)
    var sizes = (plain: 0, lz4: 0, s2: 0)
    for start in stride(from: 0, to: lines.count - 1, by: 2) {
      let message = lines[start] + lines[start + 1]
      sizes.plain += message.count
      sizes.lz4 += flushed(lz4, message, scratch).count
      var output: [UInt8] = []
      message.withView { s2.encode($0, scratch: scratch, into: &output) }
      sizes.s2 += output.count
    }
    #expect(sizes.lz4 * 3 < sizes.plain, "\(sizes)")
    #expect(sizes.s2 * 10 > sizes.plain * 9, "\(sizes)")
  }

  @Test("a PING is a chunk of twelve bytes")
  func ping() {
    let scratch = S2Scratch()
    let sent = flushed(LZ4StreamEncoder(), [UInt8]("PING\r\n".utf8), scratch)
    // Size, CRC-32C, one token with six literals.
    #expect(sent == hex("0b 24c1e9d2 60 50494e470d0a"))
  }

  @Test("wrong sizes, blocks and checksums are refused where they are, and again at every further call")
  func refusals() throws {
    #expect(failure(hex("00")) == LZ4Error(.sizeWrong, offset: 0))
    #expect(failure(hex("04")) == LZ4Error(.sizeWrong, offset: 0))
    #expect(failure(hex("ffff")) == LZ4Error(.sizeWrong, offset: 0))
    #expect(failure(hex("a520")) == LZ4Error(.sizeWrong, offset: 0))  // 4133
    #expect(failure(hex("8500 00000000 00")) == LZ4Error(.blockWrong, offset: 0))
    let ping = hex("0b 24c1e9d2 60 50494e470d0a")
    #expect(try decoded(ping + ping) == [UInt8]("PING\r\nPING\r\n".utf8))
    #expect(failure(ping + hex("0b 25c1e9d2 60 50494e470d0a")) == LZ4Error(.checksumWrong, offset: 12))
    // A match from before the history, and a literal longer than the block.
    #expect(failure(hex("0b 00000000 10 61 1000 10 61 50")) == LZ4Error(.blockWrong, offset: 0))
    #expect(failure(ping + hex("0b 24c1e9d2 70 50494e470d0a")) == LZ4Error(.blockWrong, offset: 12))
    let decoder = LZ4StreamDecoder()
    for _ in 0..<2 {
      #expect(throws: LZ4Error(.sizeWrong, offset: 0)) { try decoded(hex("01"), by: decoder) }
    }
    #expect(!LZ4Error(.blockWrong, offset: 3).text.isEmpty)
  }

  @Test("a block of more than a chunk's bytes is refused, whatever it expands to")
  func bomb() {
    // One literal and a match of offset 1 of 19 + 255 * 40 bytes, then five literals.
    let block = hex("1f 61 0100") + [UInt8](repeating: 255, count: 40) + hex("00 50") + [UInt8]("aaaaa".utf8)
    #expect(failure([UInt8(block.count + 4)] + hex("00000000") + block) == LZ4Error(.blockWrong, offset: 0))
  }

  @Test("damaged streams never trap and never yield what was not sent", arguments: [UInt64(1), 2, 3])
  func fuzz(seed: UInt64) throws {
    var random = Seeded(state: seed)
    let scratch = S2Scratch()
    let encoder = LZ4StreamEncoder()
    let text = sensorText(bytes: 40_000, seed: seed)
    var stream: [UInt8] = []
    var start = 0
    while start < text.count {
      let size = min(Int.random(in: 1...3000, using: &random), text.count - start)
      stream += flushed(encoder, [UInt8](text[start..<start + size]), scratch)
      start += size
    }
    #expect(try decoded(stream) == text)
    for round in 0..<600 {
      var damaged = stream
      switch round % 3 {
      case 0: damaged[Int.random(in: 0..<damaged.count, using: &random)] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &random)
      case 1: damaged.remove(at: Int.random(in: 0..<damaged.count, using: &random))
      default: damaged = (0..<500).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
      let decoder = LZ4StreamDecoder()
      var output: [UInt8] = []
      do throws(LZ4Error) {
        try damaged.withView { view throws(LZ4Error) in
          var rest = view
          while let plain = try decoder.next(&rest) { output.append(plain) }
        }
      } catch { #expect(error.offset <= UInt64(damaged.count)) }
      // Checksums let no wrong byte through.
      #expect(output.count <= text.count && output[...] == text.prefix(output.count), "\(round)")
    }
  }
}
