// One walk over the fields of a configuration serves reading and writing: a configuration names each field once, in the order in which
// JSON shows it, with when it is left out. Which fields there are is the configurations' business (StreamConfig+JSON, ConsumerConfig+JSON).
import Bytes
import JSON

/// Reads one member of a request into the field of its name, or writes all fields as members of an object that is open.
struct ConfigFields {
  /// When a field is left out of what is written.
  enum Shown { case always, unlessZero }

  /// The member that looks for its field; nil when writing.
  private let member: RequestField?
  private let strict: Bool
  /// Adds the keys that some answers show to the metadata (section 4.5).
  private let serverVersion: ByteString?
  var json: JSONWriter
  private(set) var isFound = false
  private var error: APIError?

  /// For reading.
  init(_ member: RequestField, strict: Bool) {
    self.member = member
    self.strict = strict
    serverVersion = nil
    json = JSONWriter()
  }

  /// For writing.
  init(_ json: consuming JSONWriter, serverVersion: ByteString? = nil) {
    member = nil
    strict = false
    self.serverVersion = serverVersion
    self.json = json
  }

  /// The end of reading: whether the member was a field, or what was wrong with its value.
  func outcome() throws(APIError) -> Bool {
    if let error { throw error }
    return isFound
  }

  var isWriting: Bool { member == nil }

  /// The member when it is the one of this name.
  private mutating func take(_ name: StaticString) -> RequestField? {
    guard let member, !isFound, member.named(name) else { return nil }
    isFound = true
    return member
  }

  /// Says that the value is not one that can be.
  mutating func refuse(_ error: APIError) { self.error = error }

  /// A number; `type` is what Go calls it in error texts.
  mutating func number(_ name: StaticString, _ target: inout Int64, _ shown: Shown = .unlessZero, type: StaticString = "int64") {
    guard let member else {
      if shown == .always || target != 0 { json.field(name, target) }
      return
    }
    guard member.named(name), let member = take(name) else { return }
    do throws(APIError) { try member.read(&target, type: type) } catch { self.error = error }
  }

  mutating func number(_ name: StaticString, _ target: inout Int, _ shown: Shown = .unlessZero, type: StaticString = "int") {
    var wide = Int64(target)
    number(name, &wide, shown, type: type)
    guard !isWriting, wide != Int64(target) else { return }
    guard let narrow = Int(exactly: wide), !ByteView(type).equals("int32") || Int32(exactly: wide) != nil else {
      if let member { error = member.mismatch(type) }
      return
    }
    target = narrow
  }

  mutating func number(_ name: StaticString, _ target: inout UInt64) {
    guard isWriting else {
      guard let member = take(name) else { return }
      do throws(APIError) { try member.read(&target) } catch { self.error = error }
      return
    }
    if target != 0 { json.field(name, target) }
  }

  /// A length of time in nanoseconds.
  mutating func duration(_ name: StaticString, _ target: inout Int64, _ shown: Shown = .unlessZero) {
    number(name, &target, shown, type: "time.Duration")
  }

  mutating func durations(_ name: StaticString, _ target: inout [Int64]) {
    guard isWriting else {
      guard let member = take(name) else { return }
      do throws(APIError) { try member.read(durations: &target) } catch { self.error = error }
      return
    }
    guard !target.isEmpty else { return }
    json.beginArray(name)
    for length_ns in target { json.number(length_ns) }
    json.endArray()
  }

  /// A point in time, left out when there is none.
  mutating func time(_ name: StaticString, _ target: inout Int64?) {
    guard isWriting else {
      guard let member = take(name) else { return }
      do throws(APIError) { try member.read(optionalTime: &target) } catch { self.error = error }
      return
    }
    if let time_ns = target { json.field(name, time: time_ns) }
  }

  mutating func flag(_ name: StaticString, _ target: inout Bool, _ shown: Shown = .unlessZero) {
    guard isWriting else {
      guard let member = take(name) else { return }
      do throws(APIError) { try member.read(&target) } catch { self.error = error }
      return
    }
    if shown == .always || target { json.field(name, target) }
  }

  mutating func text(_ name: StaticString, _ target: inout ByteString, _ shown: Shown = .unlessZero) {
    guard isWriting else {
      guard let member = take(name) else { return }
      do throws(APIError) { try member.read(&target) } catch { self.error = error }
      return
    }
    if shown == .always || !target.isEmpty { json.field(name, target) }
  }

  mutating func texts(_ name: StaticString, _ target: inout [ByteString]) {
    guard isWriting else {
      guard let member = take(name) else { return }
      do throws(APIError) { try member.read(&target) } catch { self.error = error }
      return
    }
    json.fieldUnlessEmpty(name, target)
  }

  mutating func metadata(_ target: inout [Metadatum]) {
    guard isWriting else {
      guard let member = take("metadata") else { return }
      do throws(APIError) { try member.read(&target) } catch { self.error = error }
      return
    }
    var shown = target
    if let serverVersion {
      var level: [UInt8] = []
      level.append(decimal: JetStream.apiLevel)
      shown.set("_nats.ver", serverVersion)
      shown.set("_nats.level", ByteString(level))
    }
    guard !shown.isEmpty else { return }
    json.beginObject("metadata")
    for pair in shown {
      json.key(pair.key)
      json.string(pair.value)
    }
    json.endObject()
  }

  /// How the texts of an enumeration are compared, and what is said of one that is none of them.
  enum ChoiceRule {
    case exact
    case ignoringCase
    /// Nothing means the first.
    case orEmpty
    /// Likewise, and the error names what it is.
    case named(StaticString)
  }

  /// An enumeration by the place of its text among `words`, which are separated by blanks.
  mutating func choice(
    _ name: StaticString, _ target: inout Int, _ words: StaticString, _ shown: Shown = .always, _ rule: ChoiceRule = .exact
  ) {
    guard isWriting else {
      guard let member = take(name) else { return }
      do throws(APIError) { try ConfigFields.choose(member, &target, words, rule) } catch { self.error = error }
      return
    }
    guard shown == .always || target != 0 else { return }
    var index = 0
    let chosen = target
    ConfigFields.forEachWord(words) { word in
      if index == chosen { json.field(name, word) }
      index += 1
    }
  }

  private static func choose(
    _ member: RequestField, _ target: inout Int, _ words: StaticString, _ rule: ChoiceRule
  ) throws(APIError) {
    var ignoringCase = false
    var emptyIsFirst = false
    var what: StaticString?
    switch rule {
    case .exact: break
    case .ignoringCase: ignoringCase = true
    case .orEmpty: emptyIsFirst = true
    case .named(let text):
      emptyIsFirst = true
      what = text
    }
    var found: Int?
    let choose: (ByteView) -> Bool = { text in
      var index = 0
      forEachWord(words) { word in
        if text == word || (ignoringCase && text.equalsIgnoringCase(word)) { found = index }
        index += 1
      }
      if text.isEmpty, emptyIsFirst { found = 0 }
      return found != nil
    }
    if member.isDeclared {
      ignoringCase = true
      guard let text = member.member.value.string, text.withView(choose) else { throw member.declaredMismatch(words) }
    } else if let what {
      try member.readKnown(what, choose)
    } else {
      try member.read(enumeration: choose)
    }
    if let found { target = found }
  }

  private static func forEachWord(_ words: StaticString, _ body: (ByteView) -> Void) {
    let all = ByteView(words)
    var start = 0
    for index in 0...all.count where index == all.count || all[index] == ASCII.space {
      body(all.slice(start, index))
      start = index + 1
    }
  }

  /// An object within: `begin` makes what its members are read into, `fields` goes over them. Written when `isShown`.
  mutating func object(
    _ name: StaticString, type: StaticString, isShown: Bool, begin: () -> Void, fields: (inout ConfigFields) -> Void
  ) {
    guard isWriting else {
      guard let member = take(name) else { return }
      do throws(APIError) {
        guard let members = try member.object(type: type) else { return }
        begin()
        try ConfigFields.read(members, of: member, name, strict: strict, fields)
      } catch { self.error = error }
      return
    }
    guard isShown else { return }
    json.beginObject(name)
    fields(&self)
    json.endObject()
  }

  /// Reads the members of an object that is the value of `field`.
  private static func read(
    _ members: [JSONMember], of field: RequestField, _ name: StaticString, strict: Bool, _ fields: (inout ConfigFields) -> Void
  ) throws(APIError) {
    let path = field.path + "." + ByteView(name).string
    try ObjectDecoder.decode(members, path: path, strict: strict, isDeclared: field.isDeclared) { member throws(APIError) in
      var walk = ConfigFields(member, strict: strict)
      fields(&walk)
      return try walk.outcome()
    }
  }

  /// An array of objects: reading calls `begin` with how many there are, and then `fields` for each with its index; writing calls
  /// `fields` for each of `count`.
  mutating func objects(
    _ name: StaticString, type: StaticString, count: Int, begin: (Int) -> Void, fields: (Int, inout ConfigFields) -> Void
  ) {
    guard isWriting else {
      guard let member = take(name) else { return }
      let value = member.member.value
      guard !value.isNull else { return }
      guard let values = value.array, values.count <= ConfigFields.objectsMax else {
        error = member.mismatch(type)
        return
      }
      begin(values.count)
      do throws(APIError) {
        for (index, value) in values.enumerated() where !value.isNull {
          guard let members = value.object else { throw member.mismatch(type) }
          try ConfigFields.read(members, of: member, name, strict: strict) { fields(index, &$0) }
        }
      } catch { self.error = error }
      return
    }
    guard count > 0 else { return }
    json.beginArray(name)
    for index in 0..<count {
      json.beginObject()
      fields(index, &self)
      json.endObject()
    }
    json.endArray()
  }

  /// Most elements of such an array.
  private static let objectsMax = 4096

  /// A value that is kept as it came.
  mutating func value(_ name: StaticString, _ target: inout JSONValue?) {
    guard isWriting else {
      if let member = take(name) { target = member.member.value.isNull ? nil : member.member.value }
      return
    }
    guard let value = target else { return }
    json.key(literal: name)
    json.value(value)
  }
}

extension [Metadatum] {
  /// Sets one pair, in the order of keys.
  mutating func set(_ key: ByteString, _ value: ByteString) {
    removeAll { $0.key == key }
    append(Metadatum(key: key, value: value))
    order { $0.key < $1.key }
  }
}
