import Bytes
import Testing

@Suite struct ByteMapTests {
  @Test("a map agrees with a dictionary through random sets, updates and removals")
  func againstDictionary() {
    var generator = SystemRandomNumberGenerator()
    var map = ByteMap<Int>(seed: 7)
    var model: [ByteString: Int] = [:]
    for step in 0..<20_000 {
      let key = ByteString("k.\(Int.random(in: 0..<300, using: &generator))")
      switch Int.random(in: 0..<3, using: &generator) {
      case 0:
        map.set(key, step)
        model[key] = step
      case 1:
        #expect(map.remove(key) == model.removeValue(forKey: key))
      default:
        key.withView { view in _ = map.update(view) { $0 += 1 } }
        if let old = model[key] { model[key] = old + 1 }
      }
      #expect(map.count == model.count)
    }
    for (key, value) in model { #expect(map[key] == value) }
    #expect(Set(map.keys) == Set(model.keys))
  }
}

@Suite struct EncodingTests {
  @Test("base64 round trips every length and rejects what is not base64")
  func base64() {
    for length in 0..<70 {
      let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
      var text: [UInt8] = []
      bytes.withView { Base64.encode($0, into: &text) }
      #expect(text.withView { Base64.decode($0) } == bytes)
    }
    #expect(ByteView("aGk=").string == "aGk=")
    #expect(Base64.decode(ByteView("aGk=")) == [0x68, 0x69])
    for bad: StaticString in ["a", "ab=c", "====", "a-b_", "aGk\n"] { #expect(Base64.decode(ByteView(bad)) == nil) }
  }

  @Test("decimals print and parse back, and nothing else parses")
  func decimals() {
    for value in [0, 1, 9, 10, 12_345, Int.max] {
      var text: [UInt8] = []
      text.append(decimal: value)
      #expect(text.withView { $0.decimalInt() } == value)
    }
    var least: [UInt8] = []
    least.append(decimal: Int64.min)
    #expect(ByteString(least).string == "-9223372036854775808")
    for bad: StaticString in ["", "-1", "1 ", "12345678901234567890", "0x1"] { #expect(ByteView(bad).decimal() == nil) }
  }

  @Test("CRC-32C has the check values of RFC 3720 and of the S2 specification")
  func crc() {
    #expect(CRC32C.checksum(ByteView("123456789")) == 0xE306_9283)
    #expect(CRC32C.checksum(ByteView("a")) == 0xC1D0_4330)
    let part = CRC32C.checksum(ByteView("12345"))
    #expect(CRC32C.checksum(ByteView("6789"), continuing: part) == 0xE306_9283)
  }
}
