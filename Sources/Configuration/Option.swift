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

  func isNamed(_ key: ByteView) -> Bool {
    if key.equalsIgnoringCase(name) { return true }
    return aliases.contains { key.equalsIgnoringCase($0) }
  }
}

/// How the value of an option is read, and where it goes.
enum OptionKind<Target> {
  /// A value of one of the usual shapes, and what stores it.
  case plain(OptionShape, (inout Target, OptionValue) -> Void)
  /// Anything else; `type` describes it in the reference.
  case custom(type: StaticString, (inout OptionDecoder, inout Target, ConfigurationEntry) -> Void)

  static func boolean(_ set: @escaping (inout Target, Bool) -> Void) -> OptionKind {
    .plain(.boolean) { target, value in if case .boolean(let flag) = value { set(&target, flag) } }
  }
  static func integer(_ range: ClosedRange<Int64>, _ set: @escaping (inout Target, Int64) -> Void) -> OptionKind {
    .plain(.integer(range)) { target, value in if case .integer(let number) = value { set(&target, number) } }
  }
  static func size(_ range: ClosedRange<Int64>, _ set: @escaping (inout Target, Int64) -> Void) -> OptionKind {
    .plain(.size(range)) { target, value in if case .integer(let number) = value { set(&target, number) } }
  }
  static func duration(_ range: ClosedRange<Int64>, _ set: @escaping (inout Target, Int64) -> Void) -> OptionKind {
    .plain(.duration(range)) { target, value in if case .integer(let number) = value { set(&target, number) } }
  }
  static func number(_ range: ClosedRange<Double>, _ name: StaticString, _ set: @escaping (inout Target, Double) -> Void) -> OptionKind {
    .plain(.number(range, name)) { target, value in if case .number(let number) = value { set(&target, number) } }
  }
  static func string(_ set: @escaping (inout Target, ByteString) -> Void) -> OptionKind {
    .plain(.string) { target, value in if case .string(let text) = value { set(&target, text) } }
  }
  static func subjects(_ set: @escaping (inout Target, [ByteString]) -> Void) -> OptionKind {
    .plain(.subjects) { target, value in if case .strings(let texts) = value { set(&target, texts) } }
  }
  static func compression(_ set: @escaping (inout Target, LeafCompression) -> Void) -> OptionKind {
    .plain(.compression) { target, value in if case .compression(let mode) = value { set(&target, mode) } }
  }

  var typeName: String {
    switch self {
    case .custom(let type, _): return ByteView(type).string
    case .plain(.boolean, _): return "true or false"
    case .plain(.integer, _): return "integer"
    case .plain(.size, _): return "size"
    case .plain(.duration, _): return "duration"
    case .plain(.number, _): return "number"
    case .plain(.string, _): return "string"
    case .plain(.subjects, _): return "string or array of strings"
    case .plain(.compression, _): return "mode, true or false, or map"
    }
  }
}

/// The usual shapes of values, apart from where they go: one decoder reads them for all tables.
enum OptionShape {
  case boolean
  case integer(ClosedRange<Int64>)
  /// Bytes: an integer with a unit, or a quoted string of one.
  case size(ClosedRange<Int64>)
  /// Nanoseconds, from Go's notation (`1m30s`); an integer is seconds, with a warning.
  case duration(ClosedRange<Int64>)
  /// A number, whole or not, and the range in words.
  case number(ClosedRange<Double>, StaticString)
  case string
  /// A subject or an array of subjects.
  case subjects
  /// How a leaf link is compressed.
  case compression
}

/// What a shape gives: bytes and nanoseconds are integers.
enum OptionValue {
  case boolean(Bool)
  case integer(Int64)
  case number(Double)
  case string(ByteString)
  case strings([ByteString])
  case compression(LeafCompression)
}

/// Options of nats-server that are refused by name: separated by spaces in one literal, as there are many.
struct RefusedOptions {
  /// Not in this version.
  var unsupported: StaticString = ""
  /// Never, for this reason.
  var absent: StaticString = ""
  var reason: StaticString = ""

  static func names(_ list: StaticString) -> [ByteView] {
    let view = ByteView(list)
    var all: [ByteView] = []
    var start = 0
    while start < view.count {
      let end = view.firstIndex(of: ASCII.space, from: start) ?? view.count
      all.append(view.slice(start, end))
      start = end + 1
    }
    return all
  }

  static func contains(_ list: StaticString, _ key: ByteView) -> Bool { names(list).contains { $0.equalsIgnoringCase(key) } }
}
