// From a command line to options: reads the file, decodes it, lets the command line win, checks the whole.
import Bytes

/// Options with everything that was found wrong on the way to them.
public struct LoadedOptions: Sendable {
  public var options: Options
  public var problems: [ConfigurationProblem]

  /// Whether there is nothing worse than warnings: the agent may start.
  public var isUsable: Bool { !problems.contains { $0.severity == .error } }

  /// Reads what `arguments` name. Without a configuration file the options are the defaults with the command line's changes.
  public static func load(
    _ arguments: Arguments, read: @escaping ConfigurationFile.Reader = ConfigurationFile.read,
    environment: @escaping ConfigurationFile.Environment = ConfigurationFile.environment
  ) -> LoadedOptions {
    guard let path = arguments.configurationPath else { return decode(ConfigurationMap(), arguments) }
    do throws(ConfigurationProblem) {
      return decode(try ConfigurationParser.parse(file: path, read: read, environment: environment), arguments)
    } catch {
      return LoadedOptions(options: Options(), problems: [error])
    }
  }

  /// Decodes a configuration that has been read.
  public static func decode(_ map: ConfigurationMap, _ arguments: Arguments = Arguments()) -> LoadedOptions {
    var options = Options()
    var decoder = OptionDecoder()
    decoder.decode(map, by: Options.table, refused: Options.refused, into: &options)
    var places = decoder.places
    for change in arguments.overrides {
      change.apply(&options)
      places.removeAll { ByteView($0.name) == ByteView(change.option) }
    }
    return LoadedOptions(options: options, problems: decoder.problems + options.validate(places: places))
  }
}
