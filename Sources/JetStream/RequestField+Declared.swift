// Fields of streams that people declare in a configuration file: the names and meanings are those of a request, but sizes and lengths of
// time may have units, one subject needs no array, words have any case, and errors speak of the file and not of JSON.
import Bytes
import JSON

extension RequestField {
  /// A number, or bytes or a length of time with their unit. Nil when it is none.
  func declaredNumber(_ type: StaticString) throws(APIError) -> Int64? {
    guard ByteView(type).equals("time.Duration") else {
      switch member.value {
      case .string(let text): return UnitNumber.size(text)
      case .number(let number): return DeclaredNumber.value(number)
      default: return nil
      }
    }
    switch member.value {
    case .string(let text): return text.withView { GoDuration.parse($0) }
    case .number(let number):
      guard let length_ns = number.int64 else { return nil }
      if (1..<Self.nanosecondsMin).contains(length_ns) {
        throw declared("\(declaredPath): \(length_ns) would be nanoseconds, as in JetStream's JSON; give a unit, as in \"90s\"")
      }
      return length_ns
    default: return nil
    }
  }

  /// A bare number below this is meant as seconds or the like: JetStream refuses ages and windows so short.
  private static let nanosecondsMin = StreamConfig.Limits.durationMin_ns

  /// The names that lead to the field, as people write them.
  var declaredPath: ByteString {
    var names = [UInt8](path.utf8.dropFirst())
    if !names.isEmpty { names.append(ASCII.dot) }
    names.append(member.name)
    return ByteString(names)
  }

  func declared(_ text: Words) -> APIError { APIError(400, 10025, text: text.string) }

  /// `type` is Go's, or the words that can be.
  func declaredMismatch(_ type: StaticString) -> APIError {
    let name = ByteView(type)
    let expected: Words
    if name.equals("time.Duration") {
      expected = "a length of time, as in \"90s\""
    } else if name.equals("bool") {
      expected = "true or false"
    } else if name.hasSuffix(ByteView("string")) {
      expected = name.hasPrefix("map") ? "a map of strings" : name.hasPrefix("[") ? "strings" : "a string"
    } else if name.hasSuffix(ByteView("int64")) || name.hasSuffix(ByteView("int")) || name.equals("int32") {
      expected = name.hasPrefix("u") ? "a whole number that is not negative" : "a whole number"
    } else if name.hasPrefix("server.") {
      expected = "a map"
    } else if name.hasPrefix("[") {
      expected = "an array of maps"
    } else {
      expected = "one of: \(name)"
    }
    return declared("\(declaredPath) must be \(expected)")
  }
}

/// Numbers of a configuration file as JSON has them.
public enum DeclaredNumber {
  /// A number that had a unit gets an exponent: what may have a unit takes it, a length of time does not, as a bare `2m` is two million.
  public static func json(_ value: Int64, hadUnit: Bool) -> JSONNumber {
    var text: [UInt8] = []
    text.append(decimal: value)
    if hadUnit { text.append(literal: mark) }
    return JSONNumber(text: ByteString(text))
  }

  private static let mark: StaticString = "e0"

  static func value(_ number: JSONNumber) -> Int64? {
    let text = number.text
    guard text.withView({ $0.hasSuffix(ByteView(mark)) }) else { return number.int64 }
    return JSONNumber(text: ByteString([UInt8](text.bytes.dropLast(ByteView(mark).count)))).int64
  }
}

extension StreamConfig {
  /// Reads a field that a configuration file declares; false when JetStream has none of this name.
  public mutating func read(declared field: JSONMember) throws(APIError) -> Bool {
    try read(RequestField(member: field, path: "", isDeclared: true), strict: true)
  }

  /// What JetStream would refuse, whatever other streams there are.
  public func checkDeclared() throws(APIError) {
    var copy = self
    try copy.check(pedantic: false)
    if replicas > 1 { throw .replicas }
  }
}
