// Turns a map of the configuration tree into typed options by an option table, and collects everything that is wrong.
import Bytes

struct OptionDecoder {
  private(set) var problems: [ConfigurationProblem] = []
  /// Where top-level options were given, for checks across options.
  private(set) var places: [OptionPlace] = []
  private var depth = 0

  /// Decodes `map`; an entry that no row names is an unknown field, unless a variable refers to it.
  mutating func decode<Target>(_ map: ConfigurationMap, by table: [Option<Target>], into target: inout Target) {
    depth += 1
    for entry in map.entries {
      if let option = table.first(where: { option in entry.key.withView { option.isNamed($0) } }) {
        if depth == 1 { places.append(OptionPlace(name: option.name, location: entry.value.location)) }
        set(option, entry, &target)
      } else if !entry.isReferenced {
        error(at: entry.keyLocation, "unknown field \"\(entry.key.string)\"")
      }
    }
    depth -= 1
  }

  private mutating func set<Target>(_ option: Option<Target>, _ entry: ConfigurationEntry, _ target: inout Target) {
    let name = entry.key.string
    let value = entry.value
    switch option.kind {
    case .boolean(let set):
      guard case .boolean(let flag) = value.content else { return wrongType(value, "bool", field: name) }
      set(&target, flag)
    case .integer(let range, let set):
      guard case .integer(let number) = value.content else { return wrongType(value, "int64", field: name) }
      if inRange(number, range, value, field: name) { set(&target, number) }
    case .size(let range, let set):
      if let number = size(value, field: name), inRange(number, range, value, field: name) { set(&target, number) }
    case .duration(let range, let set):
      guard let length_ns = duration(value, field: name) else { return }
      guard range.contains(length_ns) else {
        return error(
          at: value.location,
          "\(name) must be between \(GoDuration.format(range.lowerBound).string) and \(GoDuration.format(range.upperBound).string), not \(GoDuration.format(length_ns).string)"
        )
      }
      set(&target, length_ns)
    case .number(let range, let set):
      let number: Double
      switch value.content {
      case .integer(let whole): number = Double(whole)
      case .float(let float): number = float
      default: return wrongType(value, "float64", field: name)
      }
      guard range.contains(number) else {
        return error(at: value.location, "\(name) must be between \(range.lowerBound) and \(range.upperBound)")
      }
      set(&target, number)
    case .string(let set):
      if let text = string(value, field: name) { set(&target, text) }
    case .strings(let set):
      if let texts = strings(value, field: name) { set(&target, texts.map { $0.text }) }
    case .choice(let words, let set):
      guard let text = string(value, field: name) else { return }
      guard let index = words.firstIndex(where: { word in text.withView { $0.equalsIgnoringCase(word) } }) else {
        let known = words.map { ByteView($0).string }.joined(separator: ", ")
        return error(at: value.location, "\(name) must be one of \(known), not \"\(text.string)\"")
      }
      set(&target, index)
    case .custom(_, let decode):
      decode(&self, &target, entry)
    case .unsupported:
      error(at: entry.keyLocation, "not supported by this version of petiole: \(name)")
    case .absent(let reason):
      error(at: entry.keyLocation, "\(name): \(ByteView(reason).string)")
    }
  }

  // MARK: Values

  mutating func string(_ value: ConfigurationValue, field: String) -> ByteString? {
    guard case .string(let text) = value.content else {
      wrongType(value, "string", field: field)
      return nil
    }
    if text.bytes.contains(0) {
      error(at: value.location, "\(field) must not have a NUL byte")
      return nil
    }
    return text
  }

  /// A string or an array of strings, each with its place.
  mutating func strings(_ value: ConfigurationValue, field: String) -> [(text: ByteString, location: Location)]? {
    guard case .array(let elements) = value.content else { return string(value, field: field).map { [($0, value.location)] } }
    var all: [(text: ByteString, location: Location)] = []
    for element in elements {
      guard let text = string(element, field: field) else { return nil }
      all.append((text, element.location))
    }
    return all
  }

  /// The maps of an array.
  mutating func maps(_ value: ConfigurationValue, field: String) -> [(map: ConfigurationMap, location: Location)]? {
    guard case .array(let elements) = value.content else {
      error(at: value.location, "Expected \(field) field to be an array, got \(OptionDecoder.typeName(value))")
      return nil
    }
    var all: [(map: ConfigurationMap, location: Location)] = []
    for element in elements {
      guard case .map(let map) = element.content else {
        error(at: element.location, "Expected an entry of \(field) to be a map, got \(OptionDecoder.typeName(element))")
        continue
      }
      all.append((map, element.location))
    }
    return all
  }

  /// Nanoseconds of Go's notation, or of whole seconds with a warning. A bare `2m` is an error here: nats-server warns and takes
  /// it for two million seconds.
  mutating func duration(_ value: ConfigurationValue, field: String) -> Int64? {
    switch value.content {
    case .string(let text):
      guard let length_ns = text.withView({ GoDuration.parse($0) }) else {
        error(at: value.location, "error parsing \(field): time: invalid duration \"\(text.string)\"")
        return nil
      }
      return length_ns
    case .integer(let seconds):
      if value.hasUnit {
        error(at: value.location, "error parsing \(field): without quotes this is the number \(seconds), not a duration; write \"2m\"")
        return nil
      }
      let (length_ns, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
      if overflow {
        error(at: value.location, "error parsing \(field): \(seconds) seconds is too long")
        return nil
      }
      warning(at: value.location, "invalid use of field \"\(field)\": \(field) should be converted to a duration")
      return length_ns
    default:
      wrongType(value, "string", field: field)
      return nil
    }
  }

  /// Bytes of an integer, or of a string of an integer with a unit. In a string every unit is binary: nats-server reads
  /// `max_file_store: "1G"` as 1 GiB although a bare `1G` is 10^9.
  private mutating func size(_ value: ConfigurationValue, field: String) -> Int64? {
    switch value.content {
    case .integer(let number): return number
    case .string(let text):
      var binary = text.bytes
      if let last = binary.last, ASCII.isLetter(last), binary.count > 1, ASCII.isDigit(binary[binary.count - 2]) { binary.append(0x69) }
      if case .value(let number) = binary.withView({ BareToken.integer($0) }) { return number }
      error(at: value.location, "\(field) must be a size like 64MB, not \"\(text.string)\"")
      return nil
    default:
      wrongType(value, "int64", field: field)
      return nil
    }
  }

  private mutating func inRange(_ number: Int64, _ range: ClosedRange<Int64>, _ value: ConfigurationValue, field: String) -> Bool {
    if range.contains(number) { return true }
    if number > range.upperBound, range.upperBound == Int64(Int32.max) {
      error(at: value.location, "\(field) value is too big")
    } else if range.upperBound == Int64.max {
      error(at: value.location, "\(field) must be at least \(range.lowerBound), not \(number)")
    } else {
      error(at: value.location, "\(field) must be between \(range.lowerBound) and \(range.upperBound), not \(number)")
    }
    return false
  }

  // MARK: Problems

  /// Whether an error was found at or after `location`.
  func hasErrors(from location: Location) -> Bool {
    problems.contains { $0.severity == .error && $0.location.isAtOrAfter(location) }
  }

  mutating func error(at location: Location, _ text: String) { problems.append(ConfigurationProblem(at: location, text)) }

  mutating func warning(at location: Location, _ text: String) { problems.append(ConfigurationProblem(.warning, at: location, text)) }

  /// nats-server's words for a value of the wrong type, with the field that they lack.
  mutating func wrongType(_ value: ConfigurationValue, _ expected: StaticString, field: String) {
    error(
      at: value.location,
      "interface conversion: interface {} is \(OptionDecoder.typeName(value)), not \(ByteView(expected).string) (field \"\(field)\")")
  }

  static func typeName(_ value: ConfigurationValue) -> String {
    switch value.content {
    case .string: "string"
    case .integer: "int64"
    case .float: "float64"
    case .boolean: "bool"
    case .date: "time.Time"
    case .array: "[]interface {}"
    case .map: "map[string]interface {}"
    }
  }
}

/// Where an option was given.
public struct OptionPlace: Sendable {
  let name: StaticString
  let location: Location
}
