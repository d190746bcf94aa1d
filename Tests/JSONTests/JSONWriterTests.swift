// Writing JSON: Go's escaping and number notation, field helpers, indentation, and that what is written reads back the same.
import Bytes
import JSON
import Testing

private func written(indent: Bool = false, _ body: (inout JSONWriter) -> Void) -> String {
  var writer = JSONWriter(indent: indent)
  body(&writer)
  return String(decoding: writer.finish(), as: UTF8.self)
}

@Suite("Writing JSON")
struct JSONWriterTests {
  @Test("commas and colons are where they belong")
  func structure() {
    let text = written { json in
      json.beginObject()
      json.field("type", "t")
      json.field("n", 5)
      json.field("u", UInt64.max)
      json.field("i", Int64.min)
      json.field("d", 0.5)
      json.field("b", true)
      json.field("bytes", ByteString("x"))
      json.field("literal", literal: "y")
      json.beginArray("list")
      json.number(1)
      json.beginObject()
      json.endObject()
      json.beginArray()
      json.endArray()
      json.null()
      json.endArray()
      json.key(literal: "raw")
      json.raw(ByteString("[1]"))
      json.field("names", ["a", "b"] as [ByteString])
      json.field("time", time: nil)
      json.key(literal: "data")
      ByteString("hi").withView { json.base64($0) }
      json.endObject()
    }
    #expect(
      text
        == #"{"type":"t","n":5,"u":18446744073709551615,"i":-9223372036854775808,"d":0.5,"b":true,"bytes":"x","literal":"y","list":[1,{},[],null],"raw":[1],"names":["a","b"],"time":"0001-01-01T00:00:00Z","data":"aGk="}"#
    )
  }

  @Test("fields that may be omitted are, when they are zero or empty")
  func omitted() {
    let text = written { json in
      json.beginObject()
      json.fieldUnlessZero("zero", 0)
      json.fieldUnlessZero("none", 0.0)
      json.fieldUnlessEmpty("empty", "")
      json.fieldUnlessEmpty("bytes", ByteString())
      json.fieldUnlessEmpty("view", ByteView())
      json.fieldUnlessEmpty("list", [])
      json.fieldUnlessFalse("no", false)
      json.fieldUnlessZero("one", 1)
      json.fieldUnlessEmpty("some", "s")
      json.fieldUnlessFalse("yes", true)
      json.endObject()
    }
    #expect(text == #"{"one":1,"some":"s","yes":true}"#)
  }

  @Test("an indented text breaks lines as Go's MarshalIndent does")
  func indented() {
    let text = written(indent: true) { json in
      json.beginObject()
      json.field("a", 1)
      json.beginArray("empty")
      json.endArray()
      json.beginObject("none")
      json.endObject()
      json.beginArray("list")
      json.number(1)
      json.beginObject()
      json.field("b", "c")
      json.endObject()
      json.endArray()
      json.endObject()
    }
    #expect(
      text == """
        {
          "a": 1,
          "empty": [],
          "none": {},
          "list": [
            1,
            {
              "b": "c"
            }
          ]
        }
        """)
  }

  @Test("strings are escaped as Go escapes them, HTML characters too")
  func escaping() {
    func quoted(_ bytes: [UInt8]) -> String { written { $0.string(ByteString(bytes)) } }
    func quoted(_ text: String) -> String { quoted([UInt8](text.utf8)) }
    #expect(quoted("a\"b\\c/") == #""a\"b\\c/""#)
    #expect(quoted("<a>&") == #""\u003ca\u003e\u0026""#)
    #expect(quoted("\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}") == "\"\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\"")
    #expect(quoted("é€😀") == "\"é€😀\"")
    #expect(quoted("\u{2028}\u{2029}\u{202A}") == "\"\\u2028\\u2029\u{202A}\"")
    #expect(quoted([0xFF, 0x61, 0xC3]) == #""\ufffda\ufffd""#)
    #expect(quoted([0xED, 0xA0, 0x80]) == #""\ufffd\ufffd\ufffd""#)
    #expect(written { $0.string("tab\t") } == #""tab\t""#)
    let key = written { json in
      json.beginObject()
      json.key(ByteString("<k>"))
      json.null()
      json.endObject()
    }
    #expect(key == #"{"\u003ck\u003e":null}"#)
  }

  @Test(
    "doubles are written as Go writes them",
    arguments: [
      (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (-1.5, "-1.5"), (0.1, "0.1"), (100.0, "100"), (123456.789, "123456.789"),
      (1e6, "1000000"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1.5e300, "1.5e+300"), (0.000001, "0.000001"),
      (1.25e-6, "0.00000125"), (9.9e-7, "9.9e-7"), (1e-7, "1e-7"), (Double.leastNonzeroMagnitude, "5e-324"),
      (1.7976931348623157e308, "1.7976931348623157e+308"),
      (9007199254740993.0, "9007199254740992"), (0.30000000000000004, "0.30000000000000004"),
      (123456789012345680000.0, "123456789012345680000"),
      (.nan, "null"), (.infinity, "null"),
    ])
  func doubles(value: Double, text: String) {
    #expect(written { $0.number(value) } == text)
  }

  @Test("recorded samples are written back byte for byte")
  func samplesRoundTrip() throws {
    for sample in samples.dropLast(3) {
      let value = try parse(sample)
      #expect(written { $0.value(value) } == sample)
    }
  }

  @Test("random trees survive writing and reading, indented or not", arguments: [UInt64(11), 12])
  func roundTrip(seed: UInt64) throws {
    var random = Seeded(state: seed)
    for _ in 0..<500 {
      let tree = randomTree(depth: 4, &random)
      for indent in [false, true] {
        var writer = JSONWriter(indent: indent)
        writer.value(tree)
        #expect(try JSON.parse(ByteString(writer.finish())) == tree)
      }
    }
  }

  @Test("random doubles survive writing and reading")
  func doublesRoundTrip() throws {
    var random = Seeded(state: 21)
    for _ in 0..<5000 {
      let value = Double(bitPattern: random.next())
      guard value.isFinite else { continue }
      #expect(try parse(written { $0.number(value) }).double == value)
    }
  }

  private func randomTree(depth: Int, _ random: inout Seeded) -> JSONValue {
    func text() -> ByteString {
      ByteString(
        String(
          String.UnicodeScalarView(
            (0..<Int.random(in: 0...8, using: &random)).map { _ in
              Unicode.Scalar(UInt32.random(in: 0...0x11_0000, using: &random) >> UInt32.random(in: 0...14, using: &random)) ?? "x"
            })))
    }
    switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2: return .number(JSONNumber(text: ByteString("\(Int64.random(in: .min ... .max, using: &random))")))
    case 3: return .number(JSONNumber(text: "-1.50E+7"))
    case 4: return .string(text())
    case 5: return .array((0..<Int.random(in: 0...4, using: &random)).map { _ in randomTree(depth: depth - 1, &random) })
    default:
      return .object(
        (0..<Int.random(in: 0...4, using: &random)).map { _ in JSONMember(name: text(), value: randomTree(depth: depth - 1, &random)) })
    }
  }
}
