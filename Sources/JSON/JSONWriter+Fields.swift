// One-line helpers for members of an object: name and value in one call, and Go's `omitempty`.
import Bytes

extension JSONWriter {
  public mutating func field<Number: FixedWidthInteger>(_ name: StaticString, _ value: Number) {
    key(literal: name)
    number(value)
  }

  public mutating func field(_ name: StaticString, _ value: Double) {
    key(literal: name)
    number(value)
  }

  public mutating func field(_ name: StaticString, _ value: Bool) {
    key(literal: name)
    bool(value)
  }

  public mutating func field(_ name: StaticString, _ value: ByteString) {
    key(literal: name)
    string(value)
  }

  public mutating func field(_ name: StaticString, _ value: ByteView) {
    key(literal: name)
    string(value)
  }

  public mutating func field(_ name: StaticString, _ value: String) {
    key(literal: name)
    string(value)
  }

  public mutating func field(_ name: StaticString, literal value: StaticString) {
    key(literal: name)
    string(literal: value)
  }

  public mutating func field(_ name: StaticString, _ value: JSONValue) {
    key(literal: name)
    self.value(value)
  }

  public mutating func field(_ name: StaticString, _ values: [ByteString]) {
    key(literal: name)
    beginArray()
    for value in values { string(value) }
    endArray()
  }

  /// A value that is JSON already.
  public mutating func field(_ name: StaticString, raw json: ByteView) {
    key(literal: name)
    raw(json)
  }

  /// A time in nanoseconds since 1970, or Go's zero time for nil.
  public mutating func field(_ name: StaticString, time time_ns: Int64?) {
    key(literal: name)
    time(time_ns)
  }

  public mutating func field(_ name: StaticString, base64 view: ByteView) {
    key(literal: name)
    base64(view)
  }

  /// The name of an object or array and its opening bracket; the caller ends it.
  public mutating func beginObject(_ name: StaticString) {
    key(literal: name)
    beginObject()
  }

  public mutating func beginArray(_ name: StaticString) {
    key(literal: name)
    beginArray()
  }

  public mutating func fieldUnlessZero<Number: FixedWidthInteger>(_ name: StaticString, _ value: Number) {
    if value != 0 { field(name, value) }
  }

  public mutating func fieldUnlessZero(_ name: StaticString, _ value: Double) {
    if value != 0 { field(name, value) }
  }

  public mutating func fieldUnlessFalse(_ name: StaticString, _ value: Bool) {
    if value { field(name, value) }
  }

  public mutating func fieldUnlessEmpty(_ name: StaticString, _ value: ByteString) {
    if !value.isEmpty { field(name, value) }
  }

  public mutating func fieldUnlessEmpty(_ name: StaticString, _ value: ByteView) {
    if !value.isEmpty { field(name, value) }
  }

  public mutating func fieldUnlessEmpty(_ name: StaticString, _ value: String) {
    if !value.isEmpty { field(name, value) }
  }

  public mutating func fieldUnlessEmpty(_ name: StaticString, _ values: [ByteString]) {
    if !values.isEmpty { field(name, values) }
  }
}
