// DEFLATE undone (RFC 1951), for the recorded WebSocket whose messages are compressed (RFC 7692): what this server never agrees to.
import Bytes

struct Inflate {
  enum Failure: Error { case malformed }

  /// A message as permessage-deflate carries it: without the empty block at its end.
  static func message(_ bytes: [UInt8]) throws(Failure) -> [UInt8] {
    var inflate = Inflate(input: bytes + [0, 0, 0xFF, 0xFF])
    try inflate.blocks()
    return inflate.output
  }

  private let input: [UInt8]
  private var bit = 0
  private var output: [UInt8] = []

  private init(input: [UInt8]) { self.input = input }

  /// The codes of an alphabet: how many there are of each length, and their symbols in order.
  private struct Codes {
    var counts = [Int](repeating: 0, count: 16)
    var symbols: [Int] = []

    init(_ lengths: ArraySlice<Int>) {
      for length in 1...15 {
        for (symbol, own) in lengths.enumerated() where own == length {
          counts[length] += 1
          symbols.append(symbol)
        }
      }
    }
  }

  private mutating func bits(_ count: Int) throws(Failure) -> Int {
    var value = 0
    for index in 0..<count {
      guard bit / 8 < input.count else { throw .malformed }
      value |= Int(input[bit / 8] >> UInt8(bit % 8) & 1) << index
      bit += 1
    }
    return value
  }

  private mutating func symbol(_ codes: Codes) throws(Failure) -> Int {
    var (code, first, index) = (0, 0, 0)
    for length in 1...15 {
      code |= try bits(1)
      let count = codes.counts[length]
      if code - first < count { return codes.symbols[index + code - first] }
      index += count
      first = (first + count) << 1
      code <<= 1
    }
    throw .malformed
  }

  /// Blocks to the last one, or to the end of the message.
  private mutating func blocks() throws(Failure) {
    var isLast = false
    while !isLast, bit / 8 < input.count {
      isLast = try bits(1) == 1
      switch try bits(2) {
      case 0:
        bit = (bit + 7) / 8 * 8
        let count = try bits(16)
        guard try bits(16) == ~count & 0xFFFF else { throw .malformed }
        for _ in 0..<count { output.append(UInt8(try bits(8))) }
      case 1:
        let literals = (0..<288).map { $0 < 144 ? 8 : $0 < 256 ? 9 : $0 < 280 ? 7 : 8 }
        try block(Codes(literals[...]), Codes([Int](repeating: 5, count: 30)[...]))
      case 2: try dynamic()
      default: throw .malformed
      }
    }
  }

  private mutating func dynamic() throws(Failure) {
    let (literals, distances, count) = (try bits(5) + 257, try bits(5) + 1, try bits(4) + 4)
    var lengths = [Int](repeating: 0, count: 19)
    for index in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].prefix(count) { lengths[index] = try bits(3) }
    let codes = Codes(lengths[...])
    lengths = []
    while lengths.count < literals + distances {
      switch try symbol(codes) {
      case 16:
        guard let last = lengths.last else { throw .malformed }
        lengths += [Int](repeating: last, count: try bits(2) + 3)
      case 17: lengths += [Int](repeating: 0, count: try bits(3) + 3)
      case 18: lengths += [Int](repeating: 0, count: try bits(7) + 11)
      case let length: lengths.append(length)
      }
    }
    try block(Codes(lengths[..<literals]), Codes(lengths[literals...]))
  }

  private mutating func block(_ literals: Codes, _ distances: Codes) throws(Failure) {
    while true {
      let next = try symbol(literals)
      if next < 256 {
        output.append(UInt8(next))
        continue
      }
      if next == 256 { return }
      // Lengths and distances grow by a bit every four and every two symbols.
      let step = next - 257
      let extra = step < 8 || step == 28 ? 0 : step / 4 - 1
      let length = step == 28 ? 258 : step < 8 ? step + 3 : (4 + step % 4) << extra + 3 + (try bits(extra))
      let far = try symbol(distances)
      let more = far < 4 ? 0 : far / 2 - 1
      let distance = far < 4 ? far + 1 : (2 + far % 2) << more + 1 + (try bits(more))
      guard distance <= output.count else { throw .malformed }
      for _ in 0..<length { output.append(output[output.count - distance]) }
    }
  }
}
