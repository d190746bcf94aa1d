import Bytes
import Testing

@testable import Platform

@Suite struct OutputBufferTests {
  @Test("an output buffer agrees with a plain array through random appends, reservations and partial writes")
  func model() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<10 {
      let buffer = OutputBuffer(limit: 100_000)
      var model: [UInt8] = []
      for step in 0..<300 {
        switch Int.random(in: 0..<5, using: &generator) {
        case 0, 1:
          let size = [0, 1, 7, 900, 1024, 5000, 70_000].randomElement(using: &generator)!
          let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &+ step) }
          buffer.append(bytes)
          model += bytes
        case 2:
          buffer.reserve(64) { target in
            for index in 0..<10 { target[index] = UInt8(truncatingIfNeeded: step) }
            return 10
          }
          model += [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: 10)
        default:
          let size = model.isEmpty ? 0 : Int.random(in: 0...model.count, using: &generator)
          buffer.consume(size)
          model.removeFirst(size)
        }
        #expect(buffer.count == model.count && buffer.isEmpty == model.isEmpty && buffer.overflowed == (model.count > 100_000))
        var seen: [UInt8] = []
        buffer.forEachPiece(limit: .max) { seen.append($0) }
        #expect(seen == model)
      }
    }
  }
}
