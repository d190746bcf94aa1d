// One row of an option table: the name, how its value is read, and the sentence that documents it. The decoder and the
// reference (docs/configuration.md) both read these rows, so that neither can know an option that the other does not.
import Bytes

/// An option of the map that becomes a `Target`.
struct Option<Target> {
  let name: StaticString
  let aliases: [StaticString]
  let kind: OptionKind<Target>
  /// The value when the option is not there, as one would write it, or in several words; empty when there is none.
  let standard: StaticString
  let doc: StaticString

  init(_ name: StaticString, _ aliases: StaticString..., kind: OptionKind<Target>, standard: StaticString = "", doc: StaticString) {
    self.name = name
    self.aliases = aliases
    self.kind = kind
    self.standard = standard
    self.doc = doc
  }

  /// Options of nats-server that this version refuses by name.
  static func unsupported(_ names: StaticString...) -> [Option<Target>] {
    names.map { Option($0, kind: .unsupported, doc: "") }
  }

  func isNamed(_ key: ByteView) -> Bool {
    if key.equalsIgnoringCase(name) { return true }
    return aliases.contains { key.equalsIgnoringCase($0) }
  }
}

/// How the value of an option is read, and where it goes.
enum OptionKind<Target> {
  case boolean((inout Target, Bool) -> Void)
  case integer(ClosedRange<Int64>, (inout Target, Int64) -> Void)
  /// Bytes: an integer with a unit, or a quoted string of one.
  case size(ClosedRange<Int64>, (inout Target, Int64) -> Void)
  /// Nanoseconds, from Go's notation (`1m30s`); an integer is seconds, with a warning.
  case duration(ClosedRange<Int64>, (inout Target, Int64) -> Void)
  /// A number, whole or not.
  case number(ClosedRange<Double>, (inout Target, Double) -> Void)
  case string((inout Target, ByteString) -> Void)
  /// A string or an array of strings.
  case strings((inout Target, [ByteString]) -> Void)
  /// One of these words, in any case; gives its index.
  case choice([StaticString], (inout Target, Int) -> Void)
  /// Anything else; `type` describes it in the reference.
  case custom(type: StaticString, (inout OptionDecoder, inout Target, ConfigurationEntry) -> Void)
  /// A nats-server option that this version of the agent does not have.
  case unsupported
  /// A nats-server option that the agent will never have, and the reason.
  case absent(StaticString)

  var typeName: String {
    switch self {
    case .boolean: return "true or false"
    case .integer: return "integer"
    case .size: return "size"
    case .duration: return "duration"
    case .number: return "number"
    case .string: return "string"
    case .strings: return "string or array of strings"
    case .choice(let words, _): return words.map { "`\(ByteView($0).string)`" }.joined(separator: ", ")
    case .custom(let type, _): return ByteView(type).string
    case .unsupported, .absent: return ""
    }
  }
}

extension ClosedRange where Bound == Int64 {
  /// Any number from 0 on.
  static var notNegative: ClosedRange<Int64> { 0...Int64.max }
}
