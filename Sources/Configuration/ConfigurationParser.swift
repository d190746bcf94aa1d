// The grammar of the nats-server configuration language: documents, maps, arrays, keys, comments, includes. Scalars are in
// ConfigurationParser+Scalars, variables and includes in ConfigurationParser+References. What the keys mean is not known here.
//
// Source: specs config.md section 1, tried against nats-server 2.15.1. Where nats-server's lexer refuses what is clear to read
// (`./path`, `-1s`, a number right before `]`), this one reads it; what nats-server reads, this one reads the same way.
import Bytes

/// Reads one configuration with everything it includes. Stops at the first syntax error.
public struct ConfigurationParser {
  /// A map that is being read.
  struct Scope {
    var entries: [ConfigurationEntry] = []
    var positions = ByteMap<Int>()

    mutating func set(_ entry: ConfigurationEntry) {
      if let position = positions[entry.key] {
        // The last one wins, but a reference to the first was a use of the key all the same.
        var entry = entry
        entry.isReferenced = entry.isReferenced || entries[position].isReferenced
        entries[position] = entry
      } else {
        positions[entry.key] = entries.count
        entries.append(entry)
      }
    }
  }

  /// Why no value can stand here, or what must follow one: the words differ as in nats-server.
  enum Container { case document, map, array }

  let read: ConfigurationFile.Reader
  let environment: ConfigurationFile.Environment

  // The file being read.
  var bytes: [UInt8] = []
  var file = ByteString()
  var position = 0
  var line = 1
  var lineStart = 0
  /// The first scope of this file: variables of the including file are not visible in the included one.
  var firstScope = 0

  // The whole configuration.
  var scopes: [Scope] = []
  var openFiles: [ByteString] = []
  var openVariables: [ByteString] = []
  var files = 0
  var depth = 0
  var values = 0

  public init(
    read: @escaping ConfigurationFile.Reader = ConfigurationFile.read,
    environment: @escaping ConfigurationFile.Environment = ConfigurationFile.environment
  ) {
    self.read = read
    self.environment = environment
  }

  /// Reads the file at `path` and what it includes.
  public static func parse(
    file path: String, read: @escaping ConfigurationFile.Reader = ConfigurationFile.read,
    environment: @escaping ConfigurationFile.Environment = ConfigurationFile.environment
  ) throws(ConfigurationProblem) -> ConfigurationMap {
    switch read(path) {
    case .success(let bytes):
      return try parse(bytes: bytes, file: path, read: read, environment: environment)
    case .failure(let error):
      throw ConfigurationProblem(at: .none, "open \(path): \(error.text)")
    }
  }

  /// Reads `bytes` as the text of `file`; includes are relative to that file.
  public static func parse(
    bytes: [UInt8], file: String, read: @escaping ConfigurationFile.Reader = ConfigurationFile.read,
    environment: @escaping ConfigurationFile.Environment = ConfigurationFile.environment
  ) throws(ConfigurationProblem) -> ConfigurationMap {
    var parser = ConfigurationParser(read: read, environment: environment)
    let map = try parser.parseFile(bytes, name: ByteString(file))
    if map.entries.isEmpty {
      throw ConfigurationProblem(at: Location(file: ByteString(file), line: 1, column: 1), "config has no values or is empty")
    }
    return map
  }

  // MARK: Files

  /// Reads one file from its first byte to its last, in a scope of its own.
  mutating func parseFile(_ bytes: [UInt8], name: ByteString) throws(ConfigurationProblem) -> ConfigurationMap {
    self.bytes = bytes
    file = name
    position = 0
    line = 1
    lineStart = 0
    files += 1
    firstScope = scopes.count
    if bytes.count > ConfigurationLimits.fileBytesMax {
      throw problem("the file is larger than \(ConfigurationLimits.fileBytesMax) bytes")
    }
    openFiles.append(name)
    scopes.append(Scope())
    if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { position = 3 }
    try parseDocument()
    openFiles.removeLast()
    return ConfigurationMap(entries: scopes.removeLast().entries)
  }

  private mutating func parseDocument() throws(ConfigurationProblem) {
    try skipBetweenEntries()
    if peek == 0x7B {
      advance()
      try parseEntries(in: .map, openedAt: here)
      try skipBetweenEntries()
      if let byte = peek { throw problem("Expected the end of the file after the outer map, but got '\(character(byte))' instead.") }
    } else {
      try parseEntries(in: .document, openedAt: here)
    }
  }

  // MARK: Maps and arrays

  /// Reads entries into the innermost scope until the map (already opened) or the document ends, and consumes that end.
  private mutating func parseEntries(in container: Container, openedAt: Location) throws(ConfigurationProblem) {
    while true {
      try skipBetweenEntries()
      guard let byte = peek else {
        if container == .document { return }
        throw problem("Unexpected EOF processing map key. The map was opened at line \(openedAt.line), column \(openedAt.column).")
      }
      if byte == 0x7D {
        if container == .document { throw problem("Unexpected map terminator '}'") }
        advance()
        return
      }
      let keyLocation = here
      let isQuoted = byte == 0x22 || byte == 0x27
      let key = try parseKey()
      if !isQuoted, key.withView({ $0.equalsIgnoringCase("include") }), try includes() {
        try parseInclude(at: keyLocation)
      } else {
        let value = try parseKeyedValue()
        scopes[scopes.count - 1].set(ConfigurationEntry(key: key, at: keyLocation, value: value))
      }
      try parseEntryEnd(in: container)
    }
  }

  /// A bare key ends at whitespace, `=`, `:` or `{`; a quoted one holds anything.
  private mutating func parseKey() throws(ConfigurationProblem) -> ByteString {
    switch peek {
    case 0x22, 0x27:
      return try parseQuoted()
    case 0x3D, 0x3A:
      throw problem("Unexpected key separator '\(character(peek!))'")
    case 0x2C, 0x3B, 0x5B, 0x5D:
      throw problem("Expected a key, but got '\(character(peek!))' instead.")
    default:
      let start = position
      while let byte = peek, !ASCII.isBlank(byte), byte != 0x3D, byte != 0x3A, byte != 0x7B {
        guard byte != 0x7D else { throw problem("Expected a value for the key '\(text(from: start))', but got '}' instead.") }
        guard byte >= 0x20, byte != 0x7F else { throw problem("Unexpected control character in a key") }
        advance()
      }
      return ByteString([UInt8](bytes[start..<position]))
    }
  }

  /// The separator, if any, and the value after a key.
  private mutating func parseKeyedValue() throws(ConfigurationProblem) -> ConfigurationValue {
    while let byte = peek, ASCII.isBlank(byte) { advance() }
    if peek == 0x3D || peek == 0x3A {
      advance()
      skipBlanks()
      if peek == ASCII.lineFeed { throw problem("Expected value but found new line") }
      // `key:` at the very end, or before an end of its entry, is an empty string.
      guard let byte = peek, byte != 0x2C, byte != 0x3B, byte != 0x7D else { return try counted(.string(ByteString()), at: here) }
    } else if peek == nil {
      throw problem("Expected a value, but got the end of the file instead.")
    }
    return try parseValue(in: .map)
  }

  mutating func parseValue(in container: Container) throws(ConfigurationProblem) -> ConfigurationValue {
    let start = here
    switch peek {
    case 0x7B:
      advance()
      try deepen()
      scopes.append(Scope())
      try parseEntries(in: .map, openedAt: start)
      depth -= 1
      return try counted(.map(ConfigurationMap(entries: scopes.removeLast().entries)), at: start)
    case 0x5B:
      advance()
      try deepen()
      let elements = try parseElements(openedAt: start)
      depth -= 1
      return try counted(.array(elements), at: start)
    case 0x28:
      return try counted(.string(try parseBlock()), at: start)
    case 0x22, 0x27:
      return try counted(.string(try parseQuoted()), at: start)
    case nil:
      throw problem("Expected a value, but got the end of the file instead.")
    case 0x2C where container == .array:
      throw problem("Unexpected array value terminator ','.")
    default:
      return try parseBare(at: start)
    }
  }

  /// Elements separated by commas or line ends, up to and with `]`.
  private mutating func parseElements(openedAt: Location) throws(ConfigurationProblem) -> [ConfigurationValue] {
    var elements: [ConfigurationValue] = []
    while true {
      try skipBetweenEntries()
      guard let byte = peek else {
        throw problem("Unexpected EOF processing array. The array was opened at line \(openedAt.line), column \(openedAt.column).")
      }
      if byte == 0x5D {
        advance()
        return elements
      }
      elements.append(try parseValue(in: .array))
      try parseEntryEnd(in: .array)
    }
  }

  /// What ends an entry: a line end, `,`, `;`, a comment, or (left for the caller) the end of the container.
  private mutating func parseEntryEnd(in container: Container) throws(ConfigurationProblem) {
    skipBlanks()
    guard let byte = peek else { return }
    switch byte {
    case ASCII.lineFeed: advance()
    case 0x2C: advance()
    case 0x3B where container != .array: advance()
    case 0x23: return
    case 0x2F where peek(1) == 0x2F: return
    case 0x7D where container == .map: return
    case 0x5D where container == .array: return
    default:
      let got: Words = "but got '\(character(byte))' instead."
      switch container {
      case .document: throw problem("Expected a top-level value to end with a new line, comment or EOF, \(got)")
      case .map: throw problem("Expected a map value terminator \",\" or a map terminator \"}\", \(got)")
      case .array: throw problem("Expected an array value terminator \",\" or an array terminator \"]\", \(got)")
      }
    }
  }

  // MARK: Bytes

  var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  func peek(_ ahead: Int) -> UInt8? { position + ahead < bytes.count ? bytes[position + ahead] : nil }

  mutating func advance() {
    precondition(position < bytes.count, "the parser went past the end of the file")
    if bytes[position] == ASCII.lineFeed {
      line += 1
      lineStart = position + 1
    }
    position += 1
  }

  var here: Location { Location(file: file, line: line, column: position - lineStart + 1) }

  func text(from start: Int) -> ByteString { ByteString([UInt8](bytes[start..<position])) }

  /// The character that begins with `byte` at the position, for a message; control characters show as their code.
  func character(_ byte: UInt8) -> ByteString {
    if byte == ASCII.lineFeed { return "\\n" }
    if byte < 0x20 || byte == 0x7F {
      let digits = ByteView("0123456789abcdef")
      return ByteString([ASCII.backslash, 0x78, digits[Int(byte >> 4)], digits[Int(byte & 15)]])
    }
    var end = position + 1
    while byte >= 0xC0, end < min(bytes.count, position + 4), bytes[end] & 0xC0 == 0x80 { end += 1 }
    return position < bytes.count ? ByteString([UInt8](bytes[position..<end])) : ByteString()
  }

  /// Spaces, tabs and CR within a line.
  mutating func skipBlanks() {
    while let byte = peek, byte == ASCII.space || byte == ASCII.tab || byte == ASCII.carriageReturn { advance() }
  }

  /// Blanks, line ends and comments.
  mutating func skipBetweenEntries() throws(ConfigurationProblem) {
    while let byte = peek {
      if ASCII.isBlank(byte) {
        advance()
      } else if byte == 0x23 || byte == 0x2F && peek(1) == 0x2F {
        while let next = peek, next != ASCII.lineFeed {
          _ = next
          advance()
        }
      } else {
        return
      }
    }
  }

  // MARK: Limits

  private mutating func deepen() throws(ConfigurationProblem) {
    depth += 1
    if depth > ConfigurationLimits.nestingDepthMax {
      throw problem("maps and arrays are nested more than \(ConfigurationLimits.nestingDepthMax) deep")
    }
  }

  mutating func counted(_ content: ConfigurationValue.Content, at location: Location) throws(ConfigurationProblem) -> ConfigurationValue {
    try count(1)
    return ConfigurationValue(content, at: location)
  }

  mutating func count(_ more: Int) throws(ConfigurationProblem) {
    values += more
    if values > ConfigurationLimits.valuesMax { throw problem("more than \(ConfigurationLimits.valuesMax) values") }
  }

  func problem(_ what: Words) -> ConfigurationProblem { problem(at: here, what) }

  /// nats-server begins what its parser finds like this, and clients' test suites look for it.
  func problem(at location: Location, _ what: Words) -> ConfigurationProblem { ConfigurationProblem(at: location, "Parse error: \(what)") }
}
