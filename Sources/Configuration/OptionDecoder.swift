// Turns a map of the configuration tree into typed options by an option table, and collects everything that is wrong.
import Bytes

struct OptionDecoder {
  private(set) var problems: [ConfigurationProblem] = []
  /// Where top-level options were given, for checks across options.
  private(set) var places: [OptionPlace] = []
  private var depth = 0

  /// Decodes `map`; an entry that no row names is an unknown field, unless a variable refers to it.
  mutating func decode<Target>(
    _ map: ConfigurationMap, by table: [Option<Target>], refused: RefusedOptions = RefusedOptions(), into target: inout Target
  ) {
    depth += 1
    for entry in map.entries {
      guard let option = table.first(where: { option in entry.key.withView { option.isNamed($0) } }) else {
        refuse(entry, refused)
        continue
      }
      if depth == 1 { places.append(OptionPlace(name: option.name, location: entry.value.location)) }
      switch option.kind {
      case .plain(let shape, let set):
        if let value = read(shape, entry.value, field: entry.key) { set(&target, value) }
      case .custom(_, let decode):
        decode(&self, &target, entry)
      }
    }
    depth -= 1
  }

  private mutating func refuse(_ entry: ConfigurationEntry, _ refused: RefusedOptions) {
    let name = entry.key
    if entry.key.withView({ RefusedOptions.contains(refused.unsupported, $0) }) {
      error(at: entry.keyLocation, "not supported by this version of petiole: \(name)")
    } else if entry.key.withView({ RefusedOptions.contains(refused.absent, $0) }) {
      error(at: entry.keyLocation, "\(name): \(refused.reason)")
    } else if !entry.isReferenced {
      error(at: entry.keyLocation, "unknown field \"\(name)\"")
    }
  }

  /// The value if it has the shape; else says what is wrong.
  private mutating func read(_ shape: OptionShape, _ value: ConfigurationValue, field: ByteString) -> OptionValue? {
    switch shape {
    case .boolean:
      if case .boolean(let flag) = value.content { return .boolean(flag) }
      wrongType(value, "bool", field: field)
    case .integer(let range):
      guard case .integer(let number) = value.content else {
        wrongType(value, "int64", field: field)
        return nil
      }
      if inRange(number, range, value, field: field) { return .integer(number) }
    case .size(let range):
      if let number = size(value, field: field), inRange(number, range, value, field: field) { return .integer(number) }
    case .duration(let range):
      if let length_ns = duration(value, field: field), inRange(duration_ns: length_ns, range, value, field: field) {
        return .integer(length_ns)
      }
    case .number(let range, let words):
      let number: Double
      switch value.content {
      case .integer(let whole): number = Double(whole)
      case .float(let float): number = float
      default:
        wrongType(value, "float64", field: field)
        return nil
      }
      if range.contains(number) { return .number(number) }
      error(at: value.location, "\(field) must be between \(words)")
    case .string:
      return string(value, field: field).map { .string($0) }
    case .subjects: return subjects(value, field: field).map { .strings($0) }
    case .compression: return compression(value, field: field).map { .compression($0) }
    }
    return nil
  }

  // MARK: Values

  mutating func string(_ value: ConfigurationValue, field: ByteString) -> ByteString? {
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
  mutating func strings(_ value: ConfigurationValue, field: ByteString) -> [(text: ByteString, location: Location)]? {
    guard case .array(let elements) = value.content else { return string(value, field: field).map { [($0, value.location)] } }
    var all: [(text: ByteString, location: Location)] = []
    for element in elements {
      guard let text = string(element, field: field) else { return nil }
      all.append((text, element.location))
    }
    return all
  }

  /// The maps of an array.
  mutating func maps(_ value: ConfigurationValue, field: ByteString) -> [(map: ConfigurationMap, location: Location)]? {
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
  mutating func duration(_ value: ConfigurationValue, field: ByteString) -> Int64? {
    switch value.content {
    case .string(let text):
      guard let length_ns = text.withView({ GoDuration.parse($0) }) else {
        error(at: value.location, "error parsing \(field): time: invalid duration \"\(text)\"")
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

  /// Bytes of an integer, or of a string of an integer with a unit.
  private mutating func size(_ value: ConfigurationValue, field: ByteString) -> Int64? {
    switch value.content {
    case .integer(let number): return number
    case .string(let text):
      if let number = UnitNumber.size(text) { return number }
      error(at: value.location, "\(field) must be a size like 64MB, not \"\(text)\"")
      return nil
    default:
      wrongType(value, "int64", field: field)
      return nil
    }
  }

  private mutating func inRange(_ number: Int64, _ range: ClosedRange<Int64>, _ value: ConfigurationValue, field: ByteString) -> Bool {
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

  private mutating func inRange(
    duration_ns: Int64, _ range: ClosedRange<Int64>, _ value: ConfigurationValue, field: ByteString
  ) -> Bool {
    if range.contains(duration_ns) { return true }
    let (low, high) = (GoDuration.format(range.lowerBound), GoDuration.format(range.upperBound))
    error(at: value.location, "\(field) must be between \(low) and \(high), not \(GoDuration.format(duration_ns))")
    return false
  }

  // MARK: Problems

  /// Whether an error was found at or after `location`.
  func hasErrors(from location: Location) -> Bool {
    problems.contains { $0.severity == .error && $0.location.isAtOrAfter(location) }
  }

  mutating func error(at location: Location, _ text: Words) { problems.append(ConfigurationProblem(at: location, text)) }

  mutating func warning(at location: Location, _ text: Words) { problems.append(ConfigurationProblem(.warning, at: location, text)) }

  /// nats-server's words for a value of the wrong type, with the field that they lack.
  mutating func wrongType(_ value: ConfigurationValue, _ expected: StaticString, field: ByteString) {
    error(
      at: value.location,
      "interface conversion: interface {} is \(OptionDecoder.typeName(value)), not \(expected) (field \"\(field)\")")
  }

  static func typeName(_ value: ConfigurationValue) -> StaticString {
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
