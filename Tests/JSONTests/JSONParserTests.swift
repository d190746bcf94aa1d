// Reading JSON: values, Go's error texts, limits, and hostile input.
import Bytes
import JSON
import Testing

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

func parse(_ text: String) throws(JSONError) -> JSONValue { try JSON.parse(ByteString(text)) }

func failure(_ bytes: [UInt8], depthMax: Int = JSON.depthMax, nodesMax: Int = JSON.nodesMax) -> JSONError? {
  do throws(JSONError) {
    _ = try JSON.parse(ByteString(bytes), depthMax: depthMax, nodesMax: nodesMax)
    return nil
  } catch { return error }
}

let samples = [
  #"{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{"name":"S","subjects":["s.\u003e"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"allow_direct":true},"created":"2026-11-22T19:45:12.049473953Z","state":{"messages":0,"bytes":0,"first_seq":0,"last_ts":"0001-01-01T00:00:00Z"},"did_create":true}"#,
  #"{"batch":10,"expires":5000000000,"no_wait":true}"#,
  #"{"stream_name":"S","config":{"durable_name":"d","deliver_policy":"by_start_sequence","opt_start_seq":18446744073709551615,"backoff":[1000000000,2.5e9],"metadata":{"k":"\u00e9\ud83d\ude00 <&>"}},"action":""}"#,
  #"{"error":{"code":400,"err_code":10025,"description":"invalid JSON: unexpected EOF"},"streams":null}"#,
  #"[[],{},"",0,-0.5e-7,true,false,null," \b\f\n\r\t\/\\\""]"#,
]

@Suite("Reading JSON")
struct JSONParserTests {
  @Test("every kind of value is read, with blanks anywhere between")
  func values() throws {
    let value = try parse(" { \"a\" : [ 1 , -2.50e+3 , true,false , null ,\"x\" ] ,\t\"b\":{}\r\n} ")
    #expect(value["a"]?.array?.count == 6)
    #expect(value["a"]?.array?[0].int == 1)
    #expect(value["a"]?.array?[1].number?.text == "-2.50e+3")
    #expect(value["a"]?.array?[1].double == -2500)
    #expect(value["a"]?.array?[1].int == nil)
    #expect(value["a"]?.array?[2].bool == true)
    #expect(value["a"]?.array?[4].isNull == true)
    #expect(value["a"]?.array?[5].string == "x")
    #expect(value["b"]?.object?.isEmpty == true)
    #expect(value["c"] == nil)
    #expect(try parse("7")["a"] == nil)
  }

  @Test("64-bit integers are exact, and what does not fit is nil")
  func integers() throws {
    #expect(try parse("18446744073709551615").uint64 == .max)
    #expect(try parse("18446744073709551616").uint64 == nil)
    #expect(try parse("99999999999999999999").uint64 == nil)
    #expect(try parse("9223372036854775807").int64 == .max)
    #expect(try parse("9223372036854775808").int64 == nil)
    #expect(try parse("-9223372036854775808").int64 == .min)
    #expect(try parse("-9223372036854775809").int64 == nil)
    #expect(try parse("-1").uint64 == nil)
    #expect(try parse("-0").int64 == 0)
    #expect(try parse("1e400").double == .infinity)
    #expect(try parse("1.0").int64 == nil)
  }

  @Test("the last of duplicate names wins, and an exact name before one in another case")
  func lookup() throws {
    let value = try parse(#"{"Name":1,"name":2,"NAME":3,"name":4,"Other":5,"OTHER":6}"#)
    #expect(value["name"]?.int == 4)
    #expect(value.member(ignoringCase: "name")?.int == 4)
    #expect(value.member(ignoringCase: "other")?.int == 6)
    #expect(value.member(ignoringCase: "none") == nil)
  }

  @Test("escapes are undone, surrogate pairs joined, lone surrogates replaced")
  func escapes() throws {
    #expect(try parse(#""\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac""#).string == ByteString("\"\\/\u{8}\u{c}\n\r\tAé€"))
    #expect(try parse(#""\ud83d\ude00""#).string == ByteString("😀"))
    #expect(try parse(#""\ud83d""#).string == ByteString("\u{FFFD}"))
    #expect(try parse(#""\ud83dx\ude00""#).string == ByteString("\u{FFFD}x\u{FFFD}"))
    #expect(try parse(#""\ud83d\u0041""#).string == ByteString("\u{FFFD}A"))
    #expect(try parse(#""\ud83d\ud83d\ude00""#).string == ByteString("\u{FFFD}😀"))
    #expect(try parse(#""\u0000""#).string == ByteString([0]))
  }

  @Test("invalid UTF-8 is replaced byte by byte")
  func invalidUTF8() throws {
    func text(_ bytes: [UInt8]) throws -> ByteString? { try JSON.parse(ByteString([0x22] + bytes + [0x22])).string }
    let replacement = "\u{FFFD}"
    #expect(try text([0xFF, 0x41]) == ByteString(replacement + "A"))
    #expect(try text([0xC0, 0x80]) == ByteString(replacement + replacement))
    #expect(try text([0xED, 0xA0, 0x80]) == ByteString(replacement + replacement + replacement))
    #expect(try text([0xF0, 0x9F, 0x98]) == ByteString(replacement + replacement + replacement))
    #expect(try text([0xF0, 0x9F, 0x98, 0x80]) == ByteString("😀"))
    #expect(try text([0xE2, 0x82]) == ByteString(replacement + replacement))
  }

  @Test(
    "errors are worded as Go words them",
    arguments: [
      ("{bad", "invalid character 'b' looking for beginning of object key string at offset 2"),
      (#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string at offset 8"),
      ("", "unexpected EOF"),
      (#"{"a":"#, "unexpected EOF"),
      (#"{"a"#, "unexpected EOF"),
      ("tru", "unexpected EOF"),
      ("-", "unexpected EOF"),
      ("1.", "unexpected EOF"),
      ("x", "invalid character 'x' looking for beginning of value at offset 1"),
      ("[1,]", "invalid character ']' looking for beginning of value at offset 4"),
      ("[1 2]", "invalid character '2' after array element at offset 4"),
      ("[01]", "invalid character '1' after array element at offset 3"),
      (#"{"a" 1}"#, "invalid character '1' after object key at offset 6"),
      (#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair at offset 8"),
      ("{} {", "invalid character '{' after top-level value at offset 4"),
      ("truE", "invalid character 'E' in literal true (expecting 'e') at offset 4"),
      ("nil", "invalid character 'i' in literal null (expecting 'u') at offset 2"),
      ("fallse", "invalid character 'l' in literal false (expecting 's') at offset 4"),
      ("-x", "invalid character 'x' in numeric literal at offset 2"),
      ("1.x", "invalid character 'x' after decimal point in numeric literal at offset 3"),
      ("1e+x", "invalid character 'x' in exponent of numeric literal at offset 4"),
      (#""\x""#, "invalid character 'x' in string escape code at offset 3"),
      (#""\u12g4""#, "invalid character 'g' in \\u hexadecimal character escape at offset 6"),
      ("\"a\nb\"", "invalid character '\\n' in string literal at offset 3"),
      ("\u{1}", "invalid character '\\x01' looking for beginning of value at offset 1"),
      ("'", "invalid character '\\'' looking for beginning of value at offset 1"),
      ("\\", "invalid character '\\\\' looking for beginning of value at offset 1"),
      ("é", "invalid character 'Ã' looking for beginning of value at offset 1"),
    ])
  func texts(input: String, text: String) {
    #expect(failure([UInt8](input.utf8))?.textWithOffset == text)
  }

  @Test("documents deeper or larger than allowed are refused, not recursed into")
  func limits() {
    func nested(_ depth: Int) -> [UInt8] {
      [UInt8](repeating: 0x5B, count: depth) + [UInt8](repeating: 0x5D, count: depth)
    }
    #expect(failure(nested(JSON.depthMax)) == nil)
    #expect(failure(nested(JSON.depthMax + 1))?.kind == .tooDeep)
    #expect(failure([UInt8](repeating: 0x5B, count: 1_000_000))?.kind == .tooDeep)
    let objects = (0..<100_000).flatMap { _ in [UInt8](#"{"a":"#.utf8) }
    #expect(failure(objects)?.kind == .tooDeep)
    #expect(failure([UInt8]("[1,2,3]".utf8), nodesMax: 4) == nil)
    #expect(failure([UInt8]("[1,2,3]".utf8), nodesMax: 3)?.kind == .tooManyNodes)
  }

  @Test("every proper prefix of a document ends unexpectedly")
  func prefixes() {
    for sample in samples {
      let bytes = [UInt8](sample.utf8)
      #expect(failure(bytes) == nil)
      for length in 0..<bytes.count { #expect(failure([UInt8](bytes[..<length]))?.kind == .unexpectedEnd) }
    }
  }

  @Test("random bytes and damaged documents never trap", arguments: [UInt64(1), 2, 3])
  func fuzz(seed: UInt64) {
    var random = Seeded(state: seed)
    let alphabet = [UInt8](#"{}[]":,\u0d8e1-.+truefalsn "#.utf8) + [0x00, 0x1F, 0xC3, 0xA9, 0xED, 0xFF]
    for _ in 0..<3000 {
      let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in alphabet.randomElement(using: &random)! }
      if let error = failure(bytes) { #expect(error.offset <= bytes.count && !error.textWithOffset.isEmpty) }
      var damaged = [UInt8](samples.randomElement(using: &random)!.utf8)
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place = Int.random(in: 0..<damaged.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: damaged[place] = UInt8.random(in: 0...255, using: &random)
        case 1: damaged.remove(at: place)
        default: damaged.insert(alphabet.randomElement(using: &random)!, at: place)
        }
      }
      if let error = failure(damaged) { #expect(error.offset <= damaged.count && !error.textWithOffset.isEmpty) }
    }
  }
}
