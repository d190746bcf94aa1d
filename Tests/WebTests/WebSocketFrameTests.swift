// Frames: RFC 6455's own examples, what is refused, and that no way to cut them makes a difference.
import Bytes
import Platform
import Testing

@testable import Web

@Suite struct WebSocketFrameTests {
  /// What a reader makes of `bytes`, which come in pieces of `cut` bytes.
  private func read(_ bytes: [UInt8], _ masking: WebSocketReader.Masking = .optional, cut: (Int) -> Int = { $0 }) -> String {
    var reader = WebSocketReader(masking: masking)
    var payload: [UInt8] = []
    var said: [String] = []
    var start = 0
    while start < bytes.count {
      let end = min(bytes.count, start + max(1, cut(bytes.count - start)))
      let violation: StaticString? = Array(bytes[start..<end]).withView { view in
        var index = 0
        while true {
          switch reader.next(view, at: &index) {
          case .incomplete: return nil
          case .violation(let text): return text
          case .control(let opcode, let text): said.append("\(opcode) \(String(decoding: text, as: UTF8.self)) at \(payload.count)")
          case .payload(let count):
            var plain = [UInt8](repeating: 0, count: count)
            let masked = view.slice(index, index + count)
            plain.withUnsafeMutableBufferPointer { reader.unmask(masked, into: $0.baseAddress!) }
            payload += plain
            index += count
          }
        }
      }
      if let violation {
        said.append("\(violation)")
        break
      }
      start = end
    }
    return "\(String(decoding: payload, as: UTF8.self))|\(said.joined(separator: ","))"
  }

  private func frame(_ opcode: WebSocketOpcode, _ payload: [UInt8], key: UInt32? = nil, final: Bool = true) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: WebSocketFrame.headerMax)
    let size = bytes.withUnsafeMutableBufferPointer { buffer in
      var cursor = ByteCursor(buffer.baseAddress!)
      WebSocketFrame.putHeader(opcode, length: payload.count, key: key, &cursor)
      return cursor.next - buffer.baseAddress!
    }
    var body = payload
    if let key, !body.isEmpty {
      body.withUnsafeMutableBufferPointer {
        WebSocketFrame.mask(UnsafePointer($0.baseAddress!), $0.baseAddress!, count: $0.count, key: key, phase: 0)
      }
    }
    bytes = Array(bytes[..<size]) + body
    if !final { bytes[0] &= 0x7F }
    return bytes
  }

  @Test("the examples of RFC 6455 section 5.7")
  func examples() {
    #expect(read([0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]) == "Hello|")
    #expect(read([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], .required) == "Hello|")
    #expect(read([0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f]) == "Hello|")
    #expect(read([0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]) == "|ping Hello at 0")
    #expect(read([0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]) == "|pong Hello at 0")
    #expect(frame(.text, [UInt8]("Hello".utf8), key: 0x3d21_fa37) == [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58])
    #expect(frame(.binary, pattern(256)).prefix(4) == [0x82, 0x7E, 0x01, 0x00])
    #expect(frame(.binary, pattern(65536)).prefix(10) == [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0])
    #expect(frame(.binary, pattern(125)).prefix(2) == [0x82, 125] && frame(.binary, pattern(126)).prefix(4) == [0x82, 126, 0, 126])
    #expect(frame(.binary, pattern(65535)).prefix(4) == [0x82, 126, 0xFF, 0xFF])
    #expect(frame(.close, [], key: 0).count == 6)
  }

  @Test("control frames may stand between the pieces of a message, empty ones anywhere")
  func interleaved() {
    let bytes =
      frame(.text, [UInt8]("ab".utf8), final: false) + frame(.ping, [UInt8]("p".utf8), key: 7) + frame(.continuation, [], final: false)
      + frame(.pong, []) + frame(.continuation, [UInt8]("cd".utf8), key: 9) + frame(.binary, []) + frame(.binary, [UInt8]("e".utf8))
      + frame(.close, [])
    #expect(read(bytes) == "abcde|ping p at 2,pong  at 2,close  at 5")
  }

  @Test(
    "what RFC 6455 does not allow is refused at the frame's first bytes",
    arguments: [
      ([0x83, 0x00], "unknown opcode"), ([0x8B, 0x00], "unknown opcode"), ([0xA2, 0x00], "a reserved bit is set"),
      ([0x92, 0x00], "a reserved bit is set"), ([0xC2, 0x00], "a compressed frame, which was not agreed on"),
      ([0x80, 0x00], "a continuation of nothing"), ([0x02, 0x01, 0x61, 0x82, 0x00], "a message within another"),
      ([0x09, 0x00], "a control frame in pieces"), ([0x89, 126, 0, 126], "a control frame longer than 125 bytes"),
      ([0x88, 127], "a control frame longer than 125 bytes"),
      ([0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], "a frame's length has more than 63 bits"),
    ] as [([UInt8], String)])
  func violations(_ bytes: [UInt8], _ text: String) {
    #expect(read(bytes).hasSuffix("|" + text))
    #expect(read(bytes, cut: { _ in 1 }).hasSuffix("|" + text))
  }

  @Test("a client must mask and a server must not, unless that was agreed on")
  func masking() {
    let plain = frame(.binary, [0x61])
    let masked = frame(.binary, [0x61], key: 0x1234_5678)
    #expect(read(plain, .required) == "|a frame without a mask" && read(masked, .required) == "a|")
    #expect(read(masked, .forbidden) == "|a masked frame from a server" && read(plain, .forbidden) == "a|")
    #expect(read(plain + masked, .optional) == "aa|")
  }

  @Test("masking by words is masking by bytes, wherever it begins")
  func masks() {
    let key: UInt32 = 0xA1B2_C3D4
    for count in 0..<40 {
      for phase in 0..<9 {
        let source = pattern(count + 1)
        var target = source
        target.withUnsafeMutableBufferPointer {
          WebSocketFrame.mask(UnsafePointer($0.baseAddress!), $0.baseAddress!, count: count, key: key, phase: phase)
        }
        let expected = (0..<count).map { source[$0] ^ UInt8(truncatingIfNeeded: key >> (UInt32(($0 + phase) & 3) * 8)) }
        #expect(Array(target[..<count]) == expected && target[count] == source[count])
      }
    }
  }

  @Test("streams of frames, legal or not, read the same however they are cut, and never crash", arguments: 0..<4)
  func fuzz(_ seed: Int) {
    let random = SeededEntropy(seed: UInt64(seed))
    let opcodes: [WebSocketOpcode] = [.continuation, .text, .binary, .close, .ping, .pong]
    for _ in 0..<1500 {
      var bytes: [UInt8] = []
      for _ in 0..<random.below(8) {
        let payload = (0..<random.below(random.oneIn(4) ? 300 : 12)).map { _ in UInt8(0x61 + random.below(26)) }
        let key = random.oneIn(2) ? UInt32(truncatingIfNeeded: random.next()) : nil
        bytes += frame(opcodes[random.below(opcodes.count)], payload, key: key, final: !random.oneIn(3))
      }
      if random.oneIn(2), !bytes.isEmpty { bytes[random.below(bytes.count)] ^= UInt8(1 << random.below(8)) }
      let masking: WebSocketReader.Masking = [.optional, .required, .forbidden][random.below(3)]
      let whole = read(bytes, masking)
      #expect(read(bytes, masking, cut: { _ in 1 }) == whole)
      #expect(read(bytes, masking, cut: { 1 + random.below($0) }) == whole)
    }
  }
}
