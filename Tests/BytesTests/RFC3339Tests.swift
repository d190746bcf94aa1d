// Times as text, against values printed by Go's time package and the calendar itself.
import Bytes
import Testing

@Suite("Times in RFC 3339")
struct RFC3339Tests {
  private func parsed(_ text: String) throws -> Int64? {
    try ByteString(text).withView { view throws(RFC3339Error) in try RFC3339.parse(view) }
  }

  @Test(
    "times are written with the fraction they need",
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000000001Z"), (-1, "1969-12-31T23:59:59.999999999Z"),
      (1_500_000_000, "1970-01-01T00:00:01.5Z"), (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
      (1_795_376_712_049_473_953, "2026-11-22T19:45:12.049473953Z"), (.max, "2262-04-11T23:47:16.854775807Z"),
      (.min, "1677-09-21T00:12:43.145224192Z"), (4_107_542_400_000_000_000, "2100-03-01T00:00:00Z"),
    ] as [(Int64, String)])
  func format(time_ns: Int64, text: String) throws {
    #expect(RFC3339.format(time_ns).string == text)
    #expect(try parsed(text) == time_ns)
  }

  @Test("the zero time is nil both ways")
  func zero() throws {
    #expect(RFC3339.format(nil) == "0001-01-01T00:00:00Z")
    #expect(try parsed("0001-01-01T00:00:00Z") == nil)
  }

  @Test("offsets and long fractions are understood")
  func offsets() throws {
    #expect(try parsed("1970-01-01T02:00:00+02:00") == 0)
    #expect(try parsed("1969-12-31T18:30:00.25-05:30") == 250_000_000)
    #expect(try parsed("1970-01-01T00:00:00.1234567899999Z") == 123_456_789)
  }

  @Test(
    "what is no time is refused",
    arguments: [
      "", "1970", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01t00:00:00Z", "1970-01-01 00:00:00Z", "1970-13-01T00:00:00Z",
      "1970-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "1970-01-00T00:00:00Z", "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z",
      "1970-01-01T00:00:60Z", "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00Zx", "1970-01-01T00:00:00+2:00", "1970-01-01T00:00:00+24:00",
      "1970-01-01T00:00:00.5", "-970-01-01T00:00:00Z", "1970-01-01T00:00:00.123456789+01", "１970-01-01T00:00:00Z",
    ])
  func malformed(text: String) {
    #expect(throws: RFC3339Error.malformed) { try parsed(text) }
  }

  @Test("times that 64 bits of nanoseconds cannot hold are out of range")
  func range() {
    for text in ["0001-01-01T00:00:01Z", "1677-09-21T00:12:43.145224191Z", "2262-04-11T23:47:16.854775808Z", "9999-12-31T23:59:59Z"] {
      #expect(throws: RFC3339Error.outOfRange) { try parsed(text) }
    }
  }

  @Test("every day of eight centuries follows the one before")
  func everyDay() throws {
    var last = "1677-09-22"
    for day in stride(from: Int64(-106_750), to: 106_750, by: 1) {
      let text = RFC3339.format(day * 86_400_000_000_000).string
      #expect(text > last)
      last = text
      if day % 7 == 0 { #expect(try parsed(text) == day * 86_400_000_000_000) }
    }
  }
}
