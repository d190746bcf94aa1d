// The grammar of the configuration language, rule by rule of specs config.md section 1.
import Bytes
import Testing

@testable import Configuration

/// Parses `text` as t.conf; `files` are what can be included.
func parse(
  _ text: String, files: [String: String] = [:], environment: [String: String] = [:]
) throws(ConfigurationProblem) -> ConfigurationMap {
  try ConfigurationParser.parse(
    bytes: [UInt8](text.utf8), file: "t.conf",
    read: { path in files[path].map { .success([UInt8]($0.utf8)) } ?? .failure(.notFound) },
    environment: { name in environment[name.string].map { [UInt8]($0.utf8) } })
}

/// The message of the syntax error in `text`, or what it parsed to.
func problem(_ text: String, files: [String: String] = [:], environment: [String: String] = [:]) -> String {
  do throws(ConfigurationProblem) {
    return describe(ConfigurationValue(.map(try parse(text, files: files, environment: environment)), at: .none))
  } catch {
    return error.message
  }
}

/// A compact form to compare with: `{a:1,b:["x",true]}`.
func describe(_ value: ConfigurationValue) -> String {
  switch value.content {
  case .string(let text): "\"\(text.string)\""
  case .integer(let number): "\(number)"
  case .float(let number): "\(number)f"
  case .boolean(let flag): "\(flag)"
  case .date(let time): "@\(time)"
  case .array(let elements): "[" + elements.map(describe).joined(separator: ",") + "]"
  case .map(let map):
    "{" + map.entries.map { "\($0.key.string)\($0.isReferenced ? "*" : ""):\(describe($0.value))" }.joined(separator: ",") + "}"
  }
}

@Suite struct LanguageTests {
  @Test(
    "keys and values are separated by '=', ':' or whitespace, a '{' may follow the key directly",
    arguments: [
      ("port: 4222", "{port:4222}"), ("port = 4222", "{port:4222}"), ("port 4222", "{port:4222}"), ("port:4222", "{port:4222}"),
      ("port : 4222", "{port:4222}"), ("port\t=\t4222\r\n", "{port:4222}"), ("\"port\": 1", "{port:1}"), ("'po rt' 1", "{po rt:1}"),
      ("a {b: 1}", "{a:{b:1}}"), ("a{b: 1}", "{a:{b:1}}"), ("a\n{\nb 1\n}", "{a:{b:1}}"), ("a\n foo", "{a:\"foo\"}"), ("a.b: 1", "{a.b:1}"),
      ("a:", "{a:\"\"}"), ("a: ; b: 1", "{a:\"\",b:1}"), ("x {a:}", "{x:{a:\"\"}}"), ("\u{FEFF}a: 1", "{a:1}"),
    ])
  func separators(text: String, tree: String) { #expect(problem(text) == tree) }

  @Test(
    "entries end at a line end, ';', ',', a comment or the end of the file",
    arguments: [
      ("a: 1\nb: 2", "{a:1,b:2}"), ("a: 1; b: 2;", "{a:1,b:2}"), ("a: 1,b: 2,", "{a:1,b:2}"), ("a: 1 # x\nb: 2 // y", "{a:1,b:2}"),
      ("x {a: 1, b: 2}", "{x:{a:1,b:2}}"), ("x {a: 1; b: 2;}", "{x:{a:1,b:2}}"), ("x {\n a: 1\n b: 2\n}\n", "{x:{a:1,b:2}}"),
      ("x {a: 1}; b: 2", "{x:{a:1},b:2}"), ("# only\n// comments\na: 1", "{a:1}"), ("x {a: 1 # c\n} # d\nb: 2", "{x:{a:1},b:2}"),
      ("a: [1 # one\n2 // two\n]", "{a:[1,2]}"),
    ])
  func terminators(text: String, tree: String) { #expect(problem(text) == tree) }

  @Test(
    "a JSON document is a configuration",
    arguments: [
      ("{\"port\": 1, \"debug\": true}", "{port:1,debug:true}"), ("{port: 1}", "{port:1}"),
      ("{\n \"a\": {\"b\": [1, {\"c\": \"d\"}]},\n}\n# end", "{a:{b:[1,{c:\"d\"}]}}"),
      ("{\"a\":[],\"b\":{}}", "{a:[],b:{}}"),
    ])
  func json(text: String, tree: String) { #expect(problem(text) == tree) }

  @Test(
    "arrays take commas or line ends, a trailing comma, and maps and arrays as elements",
    arguments: [
      ("a: [1, 2]", "{a:[1,2]}"), ("a: [1\n2\n]", "{a:[1,2]}"), ("a: [1,2,]", "{a:[1,2]}"), ("a [[1],[2,3]]", "{a:[[1],[2,3]]}"),
      ("a = [{b: 1}, {b: 2}]", "{a:[{b:1},{b:2}]}"), ("a: [\n{b: 1}\n{b: 2}\n]", "{a:[{b:1},{b:2}]}"), ("a: []", "{a:[]}"),
      ("a: [x y]", "t.conf:1:7: Parse error: Expected an array value terminator \",\" or an array terminator \"]\", but got 'y' instead."),
      ("a: [1,,2]", "t.conf:1:7: Parse error: Unexpected array value terminator ','."),
      ("a: [1", "t.conf:1:6: Parse error: Unexpected EOF processing array. The array was opened at line 1, column 4."),
    ])
  func arrays(text: String, tree: String) { #expect(problem(text) == tree) }

  @Test(
    "strings: quoted with escapes, raw, bare and block",
    arguments: [
      ("a: \"x y\"", "{a:\"x y\"}"), ("a: 'x \"y\\q'", "{a:\"x \"y\\q\"}"), ("a: \"\\x41\\t\\n\\r\\\"\\\\\"", "{a:\"A\t\n\r\"\\\"}"),
      ("a: \"x\ny\"", "{a:\"x\ny\"}"), ("a: nats://h:4222/x?y", "{a:\"nats://h:4222/x?y\"}"),
      ("a: 127.0.0.1:4222", "{a:\"127.0.0.1:4222\"}"),
      ("a: a#b//c", "{a:\"a#b//c\"}"), ("a: $2a$10$abc", "{a:\"$2a$10$abc\"}"), ("a: foo.>", "{a:\"foo.>\"}"), ("a: a$X", "{a:\"a$X\"}"),
      ("a: (\n  b\n c\n)\nd: 1", "{a:\"\n  b\n c\n\",d:1}"), ("a: (x\n) ", "{a:\"x\n\"}"), ("a: (\n(b)\n)\n", "{a:\"\n(b)\n\"}"),
      ("a: \"\"", "{a:\"\"}"), ("a: é", "{a:\"é\"}"), ("a: \"$X\"", "{a:\"$X\"}"), ("a: x\\\"y", "{a:\"x\"y\"}"),
      (
        "a: \"\\q\"",
        "t.conf:1:5: Parse error: Invalid escape character 'q'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\."
      ),
      ("a: \"\\x4g\"", "t.conf:1:5: Parse error: Expected two hexadecimal digits after '\\x', but got '4g'"),
      ("b: 1\na: \"x", "t.conf:2:4: Parse error: Unexpected EOF. The string that begins here has no end."),
      ("a: (\nx )\n", "t.conf:1:4: Parse error: Unexpected EOF processing block. It ends with a ')' alone on its line."),
      ("a: (x)", "t.conf:1:4: Parse error: Unexpected EOF processing block. It ends with a ')' alone on its line."),
      ("a: x\u{1}", "t.conf:1:5: Parse error: Unexpected control character '\\x01' in a value"),
    ])
  func strings(text: String, tree: String) { #expect(problem(text) == tree) }

  @Test(
    "booleans are whole bare words of any case; quoted ones are strings",
    arguments: [
      ("true", "true"), ("YES", "true"), ("On", "true"), ("false", "false"), ("no", "false"), ("oFF", "false"), ("\"true\"", "\"true\""),
      ("'no'", "\"no\""), ("tru", "\"tru\""), ("true1", "\"true1\""), ("onn", "\"onn\""),
    ])
  func booleans(text: String, tree: String) { #expect(problem("a: \(text)") == "{a:\(tree)}") }

  @Test(
    "integers take a minus sign and a unit",
    arguments: [
      ("0", "0"), ("-1", "-1"), ("007", "7"), ("1k", "1000"), ("1K", "1000"), ("1kb", "1024"), ("1Ki", "1024"), ("1KiB", "1024"),
      ("2m", "2000000"), ("2MB", "2097152"), ("1g", "1000000000"), ("1GB", "1073741824"), ("1t", "1000000000000"),
      ("1tib", "1099511627776"),
      ("1p", "1000000000000000"), ("1pb", "1125899906842624"), ("1e", "1000000000000000000"), ("1eb", "1152921504606846976"),
      ("-5k", "-5000"),
      ("9223372036854775807", "9223372036854775807"), ("-9223372036854775808", "-9223372036854775808"), ("1B", "\"1B\""),
      ("1kbx", "\"1kbx\""),
      ("12ab", "\"12ab\""), ("30s", "\"30s\""), ("1m30s", "\"1m30s\""), ("1_000", "\"1_000\""), ("1e5", "\"1e5\""),
      ("127.0.0.1", "\"127.0.0.1\""),
      ("\"1\"", "\"1\""), ("--1", "\"--1\""),
    ])
  func integers(text: String, tree: String) { #expect(problem("a: \(text)") == "{a:\(tree)}") }

  @Test(
    "an integer that does not fit is an error",
    arguments: ["9223372036854775808", "-9223372036854775809", "99999999999999999999", "9223372036854775807k", "10e", "9eib9"])
  func integerRange(text: String) {
    let expected = text == "9eib9" ? "{a:\"9eib9\"}" : "t.conf:1:4: Parse error: integer '\(text)' is out of the range"
    #expect(problem("a: \(text)") == expected)
  }

  @Test(
    "floats and dates",
    arguments: [
      ("1.5", "1.5f"), ("-0.25", "-0.25f"), ("1.", "\"1.\""), (".5", "\".5\""), ("1.5.2", "\"1.5.2\""),
      ("2006-01-02T15:04:05Z", "@1136214245000000000"),
      ("1970-01-01T00:00:00Z", "@0"), ("1969-12-31T23:59:59Z", "@-1000000000"), ("2000-02-29T00:00:00Z", "@951782400000000000"),
      ("2006-13-02T15:04:05Z", "\"2006-13-02T15:04:05Z\""), ("2001-02-29T00:00:00Z", "\"2001-02-29T00:00:00Z\""),
      ("2006-01-02", "\"2006-01-02\""),
      ("0000-01-01T00:00:00Z", "\"0000-01-01T00:00:00Z\""),
    ])
  func floatsAndDates(text: String, tree: String) { #expect(problem("a: \(text)") == "{a:\(tree)}") }

  @Test("the last of equal keys wins, and stays where the first was")
  func duplicates() { #expect(problem("a: 1\nb: 2\na: 3\nA: 4") == "{a:3,b:2,A:4}") }

  @Test(
    "a file without a key is an error",
    arguments: ["", "# c\n", "{}", "{\n}", "  \n\t"])
  func empty(text: String) { #expect(problem(text) == "t.conf:1:1: config has no values or is empty") }

  @Test(
    "syntax errors say what was expected and where",
    arguments: [
      (
        "port: 1 debug:true",
        "t.conf:1:9: Parse error: Expected a top-level value to end with a new line, comment or EOF, but got 'd' instead."
      ),
      (
        "j {d: a} x: 1", "t.conf:1:10: Parse error: Expected a top-level value to end with a new line, comment or EOF, but got 'x' instead."
      ),
      (
        "j {\n  d: a m: 1}",
        "t.conf:2:8: Parse error: Expected a map value terminator \",\" or a map terminator \"}\", but got 'm' instead."
      ),
      ("a: \"x\"é", "t.conf:1:7: Parse error: Expected a top-level value to end with a new line, comment or EOF, but got 'é' instead."),
      ("port: \n 4222", "t.conf:1:7: Parse error: Expected value but found new line"),
      ("= 1", "t.conf:1:1: Parse error: Unexpected key separator '='"),
      ("port", "t.conf:1:5: Parse error: Expected a value, but got the end of the file instead."),
      ("}", "t.conf:1:1: Parse error: Unexpected map terminator '}'"),
      ("]", "t.conf:1:1: Parse error: Expected a key, but got ']' instead."),
      ("[1]", "t.conf:1:1: Parse error: Expected a key, but got '[' instead."),
      ("a: 1;;", "t.conf:1:6: Parse error: Expected a key, but got ';' instead."),
      ("a {,}", "t.conf:1:4: Parse error: Expected a key, but got ',' instead."),
      ("j: {", "t.conf:1:5: Parse error: Unexpected EOF processing map key. The map was opened at line 1, column 4."),
      ("j {a}", "t.conf:1:5: Parse error: Expected a value for the key 'a', but got '}' instead."),
      ("{a: 1} b: 2", "t.conf:1:8: Parse error: Expected the end of the file after the outer map, but got 'b' instead."),
      ("a\u{0}: 1", "t.conf:1:2: Parse error: Unexpected control character in a key"),
    ])
  func syntaxErrors(text: String, message: String) { #expect(problem(text) == message) }

  @Test("every key and value knows its line and column")
  func locations() throws {
    let map = try parse("a: 1\n  jetstream {\n    domain: \"x\"\n  }\n")
    #expect(map.entries[0].keyLocation.text == "t.conf:1:1")
    #expect(map.entries[0].value.location.text == "t.conf:1:4")
    #expect(map.entries[1].keyLocation.text == "t.conf:2:3")
    #expect(map.entries[1].value.location.text == "t.conf:2:13")
    guard case .map(let inner) = map.entries[1].value.content else { return #expect(Bool(false)) }
    #expect(inner.entries[0].keyLocation.text == "t.conf:3:5")
    #expect(inner.entries[0].value.location.text == "t.conf:3:13")
    #expect(map["a"] == map.entries[0].value)
  }
}

@Suite struct VariableTests {
  @Test(
    "a variable is the value of an earlier key, from the innermost map outwards",
    arguments: [
      ("X: 1\na: $X", "{X*:1,a:1}"), ("X: 1\nm {X: 2, a: $X}\nb: $X", "{X*:1,m:{X*:2,a:2},b:1}"),
      ("X: 1\nm {n {a: $X}}", "{X*:1,m:{n:{a:1}}}"),
      ("X: foo\nY: $X\na: $Y", "{X*:\"foo\",Y*:\"foo\",a:\"foo\"}"), ("X: {b: 1}\na: $X", "{X*:{b:1},a:{b:1}}"),
      ("X: [1]\na: [$X, $X]", "{X*:[1],a:[[1],[1]]}"),
      ("X: 1\nX: 2\na: $X", "{X*:2,a:2}"), ("X: 1; a: $X; X: 3", "{X*:3,a:1}"),
    ])
  func scopes(text: String, tree: String) { #expect(problem(text) == tree) }

  @Test(
    "a variable that is not there is an error with its line",
    arguments: [
      ("port: $X", "t.conf:1:7: variable reference for 'X' on line 1 can not be found"),
      ("\nport: $X\nX: 1", "t.conf:2:7: variable reference for 'X' on line 2 can not be found"),
      ("x: 1\na: $X", "t.conf:2:4: variable reference for 'X' on line 2 can not be found"),
      ("X {Y: 1}\na: $Y", "t.conf:2:4: variable reference for 'Y' on line 2 can not be found"),
      ("p: $2b$10$x", "t.conf:1:4: variable reference for '2b$10$x' on line 1 can not be found"),
      ("p: $2y$10$x", "t.conf:1:4: variable reference for '2y$10$x' on line 1 can not be found"),
      ("a: $", "t.conf:1:4: variable reference for '' on line 1 can not be found"),
    ])
  func missing(text: String, message: String) { #expect(problem(text) == message) }

  @Test("the environment comes last, and its text is read as a value")
  func environment() {
    let environment = [
      "PORT": "4222", "TEXT": "\"a b\"", "WORD": "x", "BAD": "a b", "ALIAS": "$WORD", "LOOP": "$LOOP", "ONE": "$TWO", "TWO": "$ONE",
      "EMPTY": "",
      "MAP": "{a: 1}",
    ]
    #expect(problem("a: $PORT", environment: environment) == "{a:4222}")
    #expect(problem("PORT: 1\na: $PORT", environment: environment) == "{PORT*:1,a:1}")
    #expect(
      problem("a: $TEXT; b: $WORD; c: $ALIAS; d: $EMPTY; e: $MAP", environment: environment) == "{a:\"a b\",b:\"x\",c:\"x\",d:\"\",e:{a:1}}"
    )
    #expect(
      problem("a: $BAD", environment: environment)
        == "t.conf:1:4: variable reference for 'BAD' on line 1 could not be parsed: Parse error: Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead."
    )
    #expect(problem("a: $LOOP", environment: environment).hasSuffix("variable reference cycle for 'LOOP'"))
    #expect(problem("a: $ONE", environment: environment).hasSuffix("variable reference cycle for 'ONE'"))
  }

  @Test("a variable has the place of its reference")
  func location() throws { #expect(try parse("X: 1\na: $X").entries[1].value.location.text == "t.conf:2:4") }
}

@Suite struct IncludeTests {
  let files = [
    "d.conf": "domain: foo\n", "sub/x.conf": "include y.conf\nx: 1", "sub/y.conf": "y: 2", "empty.conf": "", "v.conf": "V: 7",
    "uses.conf": "a: $V",
    "loop.conf": "include loop.conf", "bad.conf": "a: 1\nb: \"", "/abs.conf": "z: 3",
  ]

  @Test(
    "an include merges its keys into the open map, relative to the including file",
    arguments: [
      ("include d.conf", "{domain:\"foo\"}"), ("include 'd.conf'; a: 1", "{domain:\"foo\",a:1}"),
      ("jetstream { include \"d.conf\" }", "{jetstream:{domain:\"foo\"}}"),
      ("jetstream { include d.conf; a: 1 }", "{jetstream:{domain:\"foo\",a:1}}"), ("include sub/x.conf", "{y:2,x:1}"),
      ("include empty.conf\na: 1", "{a:1}"),
      ("include v.conf\na: $V", "{V*:7,a:7}"), ("domain: bar\ninclude d.conf", "{domain:\"foo\"}"), ("include /abs.conf", "{z:3}"),
      ("include: 1", "{include:1}"), ("includes: 1", "{includes:1}"), ("\"include\" 1", "{include:1}"),
      ("include d.conf # c\na: 1", "{domain:\"foo\",a:1}"),
    ])
  func merge(text: String, tree: String) { #expect(problem(text, files: files) == tree) }

  @Test(
    "what is wrong with an include is an error",
    arguments: [
      ("a: 1\ninclude nope.conf", "t.conf:2:1: error parsing include file 'nope.conf', open nope.conf: no such file or directory"),
      ("V: 1\ninclude uses.conf", "uses.conf:1:4: variable reference for 'V' on line 1 can not be found"),
      ("include loop.conf", "loop.conf:1:1: error parsing include file 'loop.conf', it includes itself"),
      ("include t.conf", "t.conf:1:1: error parsing include file 't.conf', it includes itself"),
      ("include bad.conf", "bad.conf:2:4: Parse error: Unexpected EOF. The string that begins here has no end."),
      ("include empty.conf", "t.conf:1:1: config has no values or is empty"),
      ("include ''", "t.conf:1:1: error parsing include file '', the name is empty or has a NUL byte"),
    ])
  func errors(text: String, message: String) { #expect(problem(text, files: files) == message) }

  @Test("an included file's values carry its own name and lines")
  func location() throws {
    let map = try parse("a: 1\ninclude sub/x.conf", files: files)
    #expect(map.entries[1].keyLocation.text == "sub/y.conf:1:1")
  }
}

@Suite struct LimitTests {
  @Test("nesting, values, file size and include depth are limited")
  func limits() {
    let deep = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
    #expect(problem("a: \(deep)") == "t.conf:1:69: Parse error: maps and arrays are nested more than 64 deep")
    #expect(problem("a: " + String(repeating: "[", count: 64) + String(repeating: "]", count: 64)).hasPrefix("{a:[["))
    let many = "a: [" + String(repeating: "1,", count: 100_001) + "]"
    #expect(problem(many).hasSuffix("more than 100000 values"))
    #expect(problem(String(repeating: "#", count: (1 << 20) + 1)) == "t.conf:1:1: Parse error: the file is larger than 1048576 bytes")
    var chain: [String: String] = [:]
    for index in 0..<20 { chain["\(index).conf"] = "include \(index + 1).conf" }
    #expect(
      problem("include 0.conf", files: chain) == "15.conf:1:1: error parsing include file '16.conf', files are included more than 16 deep")
    var wide: [String: String] = [:]
    for level in 0..<10 { wide["\(level).conf"] = String(repeating: "include \(level + 1).conf\n", count: 10) }
    wide["10.conf"] = "a: 1"
    #expect(problem("include 0.conf", files: wide).hasSuffix("more than 256 files"))
  }

  @Test("variables that multiply are stopped by the number of values")
  func billionLaughs() {
    var text = "A0: [1,1,1,1,1,1,1,1,1,1]\n"
    for level in 1..<12 { text += "A\(level): [" + String(repeating: "$A\(level - 1),", count: 10) + "]\n" }
    #expect(problem(text).hasSuffix("more than 100000 values"))
  }

  @Test("a file is read whole, and errors are told apart")
  func reading() {
    #expect(ConfigurationFile.read("/nonexistent/x") == .failure(.notFound))
    #expect(ConfigurationFile.read("/") == .failure(.isDirectory))
    #expect(ConfigurationFile.read("/dev/zero") == .failure(.tooLarge))
    #expect((try? ConfigurationFile.read("/proc/self/comm").get())?.isEmpty == false)
    #expect(ConfigurationFile.environment("PATH") != nil)
    #expect(ConfigurationFile.environment("PETIOLE_NOT_SET") == nil)
    #expect(problem("a: 1") == "{a:1}")
    #expect(throws: ConfigurationProblem(at: .none, "open /nonexistent/x: no such file or directory")) {
      try ConfigurationParser.parse(file: "/nonexistent/x")
    }
  }
}
