// Durations as Go writes and reads them.
import Bytes
import Testing

@Suite("Durations in Go's notation")
struct GoDurationTests {
  private func parsed(_ text: String) -> Int64? { ByteString(text).withView { GoDuration.parse($0) } }

  @Test(
    "durations are written as Go writes them, and read back",
    arguments: [
      (0, "0s"), (1, "1ns"), (1_100, "1.1µs"), (2_200_000, "2.2ms"), (100_000_000, "100ms"), (1_500_000_000, "1.5s"),
      (90_000_000_000, "1m30s"), (3_600_000_000_000, "1h0m0s"), (245_000_000_000, "4m5s"), (245_001_000_000, "4m5.001s"),
      (18_367_001_000_000, "5h6m7.001s"), (480_000_000_001, "8m0.000000001s"), (-1, "-1ns"), (-5_400_000_000_000, "-1h30m0s"),
      (.max, "2562047h47m16.854775807s"), (.min, "-2562047h47m16.854775808s"),
    ] as [(Int64, String)])
  func format(duration_ns: Int64, text: String) {
    #expect(GoDuration.format(duration_ns).string == text)
    #expect(parsed(text) == duration_ns)
  }

  @Test("fractions, signs, both letters mu and any order of units are understood")
  func forms() {
    #expect(parsed("0") == 0)
    #expect(parsed("-0") == 0)
    #expect(parsed("+5s") == 5_000_000_000)
    #expect(parsed("5.s") == 5_000_000_000)
    #expect(parsed(".5s") == 500_000_000)
    #expect(parsed("1.5h") == 5_400_000_000_000)
    #expect(parsed("1us") == 1_000)
    #expect(parsed("1µs") == 1_000)
    #expect(parsed("1μs") == 1_000)
    #expect(parsed("3s1m") == 63_000_000_000)
    #expect(parsed("0.3333333333333333333h") == 1_200_000_000_000)
    #expect(parsed("9223372036854775807ns") == .max)
    #expect(parsed("-9223372036854775808ns") == .min)
    #expect(parsed("0.100000000000000000000h") == 360_000_000_000)
  }

  @Test(
    "what is no duration, or too long, is nil",
    arguments: [
      "", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "1.2.3s", " 1s", "1s ", "1 s", "1e3s", "--1s", "9223372036854775808ns",
      "-9223372036854775809ns", "9223372036854775808s", "99999999999999999999999s", "2562048h", "3000000h", "1h-1m",
    ])
  func refused(text: String) {
    #expect(parsed(text) == nil)
  }

  @Test("random texts never trap")
  func fuzz() {
    let alphabet = [UInt8]("0123456789.-+hmsun ".utf8) + [0xC2, 0xB5]
    var state: UInt64 = 7
    for _ in 0..<20_000 {
      var text: [UInt8] = []
      for _ in 0..<12 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        text.append(alphabet[Int(state >> 33) % alphabet.count])
      }
      _ = text.withView { GoDuration.parse($0) }
    }
  }
}
