// The tree that a configuration file becomes: values, each with its place. What the keys mean is not known here.
import Bytes

/// A value of the configuration language.
public struct ConfigurationValue: Equatable, Sendable {
  public enum Content: Equatable, Sendable {
    case string(ByteString)
    case integer(Int64)
    case float(Double)
    case boolean(Bool)
    /// Nanoseconds since 1970, from a Zulu date-time.
    case date(Int64)
    case array([ConfigurationValue])
    case map(ConfigurationMap)
  }

  public var content: Content
  /// Where the value begins; for a variable, where it is referenced.
  public var location: Location

  /// Whether an integer was written with a unit: `2m` is two million, which as a duration nobody means.
  public var hasUnit = false

  public init(_ content: Content, at location: Location) {
    self.content = content
    self.location = location
  }

  /// How many values the tree below and with this one has.
  var weight: Int {
    switch content {
    case .array(let elements): elements.reduce(1) { $0 + $1.weight }
    case .map(let map): map.entries.reduce(1) { $0 + $1.value.weight }
    default: 1
    }
  }
}

/// A key with its value.
public struct ConfigurationEntry: Equatable, Sendable {
  public let key: ByteString
  public let keyLocation: Location
  public var value: ConfigurationValue
  /// Whether a `$key` refers to this entry: it may then exist only to be a variable.
  public var isReferenced: Bool

  public init(key: ByteString, at keyLocation: Location, value: ConfigurationValue, isReferenced: Bool = false) {
    self.key = key
    self.keyLocation = keyLocation
    self.value = value
    self.isReferenced = isReferenced
  }
}

/// The entries of a map in file order; every key (case-sensitive) at most once, the last one written wins.
public struct ConfigurationMap: Equatable, Sendable {
  public var entries: [ConfigurationEntry]

  public init(entries: [ConfigurationEntry] = []) { self.entries = entries }

  public subscript(key: StaticString) -> ConfigurationValue? {
    entries.last { $0.key.equals(key) }?.value
  }

  /// The map without one entry, named in any case.
  func without(_ key: StaticString) -> ConfigurationMap {
    ConfigurationMap(entries: entries.filter { entry in !entry.key.withView { $0.equalsIgnoringCase(key) } })
  }
}
