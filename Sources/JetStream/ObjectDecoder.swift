// Reads the fields of a request's JSON object by the rules of Go's decoder (section 1.4): names in any case, null changes nothing,
// unknown names are an error in strict mode, and the texts of the errors.
import Bytes
import JSON

/// One member of a request's object.
struct RequestField {
  let member: JSONMember
  /// The path of the object for error texts: `StreamConfigRequest`, `StreamConfigRequest.placement`.
  let path: String
  /// Whether people wrote it into a configuration file (RequestField+Declared).
  var isDeclared = false

  @inline(__always) func named(_ name: StaticString) -> Bool {
    member.name.count == name.utf8CodeUnitCount && member.name.withView { $0.equalsIgnoringCase(name) }
  }

  func mismatch(_ type: StaticString) -> APIError {
    if isDeclared { return declaredMismatch(type) }
    let kind: String
    switch member.value {
    case .null: kind = "null"
    case .bool: kind = "bool"
    case .number(let number): kind = number.int64 == nil && number.uint64 == nil ? "number " + number.text.string : "number"
    case .string: kind = "string"
    case .array: kind = "array"
    case .object: kind = "object"
    }
    return .invalidJSON(
      "json: cannot unmarshal " + kind + " into Go struct field " + path + "." + member.name.string + " of type "
        + ByteView(type).string)
  }

  var unknown: APIError {
    if isDeclared { return declared("unknown field \"\(declaredPath)\"") }
    return .invalidJSON("json: unknown field \"" + member.name.string + "\"")
  }

  /// Sets `target` when the value is not null; likewise below.
  func read(_ target: inout Int64, type: StaticString = "int64") throws(APIError) {
    if member.value.isNull { return }
    guard let value = isDeclared ? try declaredNumber(type) : member.value.int64 else { throw mismatch(type) }
    target = value
  }

  func read(_ target: inout Int, type: StaticString = "int") throws(APIError) {
    if member.value.isNull { return }
    guard let value = member.value.int else { throw mismatch(type) }
    target = value
  }

  func read(_ target: inout UInt64) throws(APIError) {
    if member.value.isNull { return }
    guard let value = isDeclared ? try declaredNumber("uint64").flatMap({ UInt64(exactly: $0) }) : member.value.uint64 else {
      throw mismatch("uint64")
    }
    target = value
  }

  func read(_ target: inout Bool) throws(APIError) {
    if member.value.isNull { return }
    guard let value = member.value.bool else { throw mismatch("bool") }
    target = value
  }

  func read(_ target: inout ByteString) throws(APIError) {
    if member.value.isNull { return }
    guard let value = member.value.string else { throw mismatch("string") }
    target = value
  }

  /// A length of time in nanoseconds.
  func read(duration target: inout Int64) throws(APIError) { try read(&target, type: "time.Duration") }

  /// A point in time, RFC 3339.
  func read(time target: inout Int64?) throws(APIError) {
    if member.value.isNull { return }
    guard let text = member.value.string else { throw .invalidJSON("Time.UnmarshalJSON: input is not a JSON string") }
    do throws(RFC3339Error) {
      target = try text.withView { view throws(RFC3339Error) in try RFC3339.parse(view) } ?? Int64.min
    } catch {
      throw .invalidJSON("parsing time \"\\\"" + text.string + "\\\"\" as \"\\\"2006-01-02T15:04:05Z07:00\\\"\": cannot parse")
    }
  }

  func read(_ target: inout [ByteString]) throws(APIError) {
    if member.value.isNull { return }
    if isDeclared, let one = member.value.string {
      target = [one]
      return
    }
    guard let values = member.value.array else { throw mismatch("[]string") }
    var strings: [ByteString] = []
    for value in values {
      if value.isNull {
        strings.append(ByteString())
        continue
      }
      guard let string = value.string else { throw mismatch("string") }
      strings.append(string)
    }
    target = strings
  }

  /// String pairs, sorted by key as Go writes maps.
  func read(_ target: inout [Metadatum]) throws(APIError) {
    if member.value.isNull { return }
    guard let members = member.value.object else { throw mismatch("map[string]string") }
    var pairs: [Metadatum] = []
    for pair in members {
      guard let string = pair.value.string else { throw mismatch("string") }
      pairs.append(Metadatum(key: pair.name, value: string))
    }
    // Of those with the same key the last counts.
    var places = Array(0..<UInt64(pairs.count))
    places.order { left, right in
      let (one, other) = (pairs[Int(left)].key, pairs[Int(right)].key)
      return one == other ? left < right : one < other
    }
    target = []
    for place in places {
      let pair = pairs[Int(place)]
      if let last = target.last, last.key == pair.key { target.removeLast() }
      target.append(pair)
    }
  }

  /// The members of an object, or nil for null.
  func object(type: StaticString) throws(APIError) -> [JSONMember]? {
    if member.value.isNull { return nil }
    guard let members = member.value.object else { throw mismatch(type) }
    return members
  }

  /// An enumerated string; `choose` returns whether it knew the value.
  func read(enumeration choose: (ByteView) -> Bool) throws(APIError) {
    if member.value.isNull { return }
    guard let text = member.value.string else {
      var json = JSONWriter()
      json.value(member.value)
      throw .invalidJSON("can not unmarshal \"" + String(decoding: json.finish(), as: UTF8.self) + "\"")
    }
    guard text.withView({ choose($0) }) else { throw .invalidJSON("can not unmarshal \"\\\"" + text.string + "\\\"\"") }
  }
}

enum ObjectDecoder {
  /// Calls `body` for each member of an object; `body` returns false for a name that it does not know.
  @_optimize(none)
  static func decode(
    _ text: ByteView, path: String, strict: Bool, _ body: (RequestField) throws(APIError) -> Bool
  ) throws(APIError) {
    let value: JSONValue
    do throws(JSONError) { value = try JSON.parse(text) } catch { throw .invalidJSON(error.textWithOffset) }
    switch value {
    case .object(let members): try decode(members, path: path, strict: strict, body)
    case .null: return
    case .array: throw .invalidJSON("json: cannot unmarshal array into Go value of type server." + path)
    case .string: throw .invalidJSON("json: cannot unmarshal string into Go value of type server." + path)
    case .number: throw .invalidJSON("json: cannot unmarshal number into Go value of type server." + path)
    case .bool: throw .invalidJSON("json: cannot unmarshal bool into Go value of type server." + path)
    }
  }

  /// Likewise for members. Not optimised: a copy of it for each closure, all together 20 kB, would be no faster.
  @_optimize(none)
  static func decode(
    _ members: [JSONMember], path: String, strict: Bool, isDeclared: Bool = false, _ body: (RequestField) throws(APIError) -> Bool
  ) throws(APIError) {
    for member in members {
      let field = RequestField(member: member, path: path, isDeclared: isDeclared)
      if try !body(field), strict { throw field.unknown }
    }
  }
}

/// One pair of a `metadata` map.
public struct Metadatum: Equatable, Sendable {
  public let key: ByteString
  public let value: ByteString

  public init(key: ByteString, value: ByteString) {
    self.key = key
    self.value = value
  }
}
