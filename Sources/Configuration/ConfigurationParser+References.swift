// What a configuration takes from elsewhere: variables, the environment, included files.
import Bytes

extension ConfigurationParser {
  // MARK: Variables

  /// The value of `$name`: from the innermost open map outwards within this file, then from the environment.
  mutating func resolve(_ name: ByteString, at location: Location) throws(ConfigurationProblem) -> ConfigurationValue {
    var index = scopes.count - 1
    while index >= firstScope {
      if let position = scopes[index].positions[name] {
        scopes[index].entries[position].isReferenced = true
        var value = scopes[index].entries[position].value
        try count(value.weight)
        value.location = location
        return value
      }
      index -= 1
    }
    guard !name.isEmpty, let text = environment(name) else {
      throw ConfigurationProblem(at: location, "variable reference for '\(name)' on line \(location.line) can not be found")
    }
    return try resolve(name, environmentText: text, at: location)
  }

  /// The text of an environment variable is read as if it stood in the file, and must be one value.
  private mutating func resolve(
    _ name: ByteString, environmentText text: [UInt8], at location: Location
  ) throws(ConfigurationProblem) -> ConfigurationValue {
    let reference: Words = "variable reference for '\(name)' on line \(location.line)"
    if openVariables.contains(name) || openVariables.count >= ConfigurationLimits.environmentDepthMax {
      throw ConfigurationProblem(at: location, "variable reference cycle for '\(name)'")
    }
    if text.count > ConfigurationLimits.fileBytesMax { throw ConfigurationProblem(at: location, "\(reference) is too long") }
    openVariables.append(name)
    let outer = enter(text, file: ByteString("$") + name)
    var value: ConfigurationValue
    do throws(ConfigurationProblem) {
      skipBlanks()
      value = peek == nil ? try counted(.string(ByteString()), at: location) : try parseValue(in: .document)
      try skipBetweenEntries()
      if let byte = peek {
        throw problem("Expected a top-level value to end with a new line, comment or EOF, but got '\(character(byte))' instead.")
      }
    } catch {
      throw ConfigurationProblem(at: location, "\(reference) could not be parsed: \(error.text)")
    }
    leave(outer)
    openVariables.removeLast()
    value.location = location
    return value
  }

  // MARK: Includes

  /// Whether the word `include` just read begins an include, rather than being a key with a separator.
  mutating func includes() throws(ConfigurationProblem) -> Bool {
    skipBlanks()
    return peek != 0x3A && peek != 0x3D && peek != 0x7B && peek != ASCII.lineFeed && peek != nil
  }

  /// Reads the file named here into the innermost scope.
  mutating func parseInclude(at location: Location) throws(ConfigurationProblem) {
    let name: ByteString
    if peek == 0x22 || peek == 0x27 {
      name = try parseQuoted()
    } else {
      let start = position
      while let byte = peek, !ASCII.isBlank(byte), byte != 0x3B, byte != 0x2C, byte != 0x7D { advance() }
      name = ByteString([UInt8](bytes[start..<position]))
    }
    let path = resolved(name)
    func failure(_ why: Words) -> ConfigurationProblem {
      ConfigurationProblem(at: location, "error parsing include file '\(name)', \(why)")
    }
    if name.isEmpty || name.bytes.contains(0) { throw failure("the name is empty or has a NUL byte") }
    if openFiles.contains(path) { throw failure("it includes itself") }
    if openFiles.count > ConfigurationLimits.includeDepthMax {
      throw failure("files are included more than \(ConfigurationLimits.includeDepthMax) deep")
    }
    if files >= ConfigurationLimits.filesMax { throw failure("more than \(ConfigurationLimits.filesMax) files") }
    let text: [UInt8]
    switch read(path.string) {
    case .success(let bytes): text = bytes
    case .failure(let error): throw failure("open \(path): \(error.text)")
    }
    let outer = enter([], file: file)
    let map = try parseFile(text, name: path)
    leave(outer)
    for entry in map.entries { scopes[scopes.count - 1].set(entry) }
  }

  /// `name` relative to the directory of the file that is being read.
  private func resolved(_ name: ByteString) -> ByteString {
    if name.bytes.first == ASCII.slash { return name }
    guard let slash = file.bytes.lastIndex(of: ASCII.slash) else { return name }
    return ByteString([UInt8](file.bytes[...slash]) + name.bytes)
  }

  // MARK: Changing the text being read

  struct Outer {
    let bytes: [UInt8]
    let file: ByteString
    let position: Int
    let line: Int
    let lineStart: Int
    let firstScope: Int
  }

  /// Begins to read other text, whose variables cannot see the open maps.
  private mutating func enter(_ text: [UInt8], file name: ByteString) -> Outer {
    let outer = Outer(bytes: bytes, file: file, position: position, line: line, lineStart: lineStart, firstScope: firstScope)
    bytes = text
    file = name
    position = 0
    line = 1
    lineStart = 0
    firstScope = scopes.count
    return outer
  }

  private mutating func leave(_ outer: Outer) {
    bytes = outer.bytes
    file = outer.file
    position = outer.position
    line = outer.line
    lineStart = outer.lineStart
    firstScope = outer.firstScope
  }
}
