// The streams that a configuration file declares, as JetStream takes them.
import Bytes
import Configuration
import JSON
import JetStream

extension Agent {
  /// Reads what the command line names, and checks it as `start` would as far as that needs no store.
  public static func load(_ arguments: Arguments) -> LoadedOptions {
    var loaded = LoadedOptions.load(arguments)
    for stream in loaded.options.streams { _ = stream.config(&loaded.problems) }
    return loaded
  }
}

extension StreamDeclaration {
  /// The stream's configuration; what is wrong with it is added to `problems`.
  func config(_ problems: inout [ConfigurationProblem]) -> StreamConfig {
    var config = StreamConfig()
    let before = problems.count
    for entry in fields.entries {
      do throws(APIError) {
        let isKnown = try config.read(declared: JSONMember(name: entry.key, value: JSONValue(entry.value)))
        // A key that exists for a variable is no field, and no mistake.
        if !isKnown, !entry.isReferenced {
          problems.append(ConfigurationProblem(at: entry.keyLocation, "unknown field \"\(entry.key)\""))
        }
      } catch { problems.append(ConfigurationProblem(at: entry.value.location, Words(error.text))) }
    }
    guard problems.count == before else { return config }
    do throws(APIError) { try config.checkDeclared() } catch {
      problems.append(ConfigurationProblem(at: location, name.isEmpty ? Words(error.text) : "stream \"\(name)\": \(error.text)"))
    }
    return config
  }
}

extension JSONValue {
  /// A value of a configuration file as JSON has it.
  fileprivate init(_ value: ConfigurationValue) {
    switch value.content {
    case .string(let text): self = .string(text)
    case .boolean(let flag): self = .bool(flag)
    case .integer(let number): self = .number(DeclaredNumber.json(number, hadUnit: value.hasUnit))
    // No field is a fraction: it need only not be a whole number.
    case .float: self = .number(JSONNumber(text: "0.5"))
    case .date(let time_ns): self = .string(RFC3339.format(time_ns))
    case .array(let elements): self = .array(elements.map { JSONValue($0) })
    case .map(let map): self = .object(map.entries.map { JSONMember(name: $0.key, value: JSONValue($0.value)) })
    }
  }
}
