// Where something stands in a configuration file, and what is wrong with it.
import Bytes

/// A place in a configuration file. Lines and columns count from 1; columns count bytes.
public struct Location: Hashable, Sendable {
  /// The path as it was given or included. Empty for what does not come from a file (the command line, a default).
  public let file: ByteString
  public let line: Int
  public let column: Int

  public init(file: ByteString, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  /// Not in any file.
  public static let none = Location(file: ByteString(), line: 0, column: 0)

  public var isNone: Bool { file.isEmpty }

  func isAtOrAfter(_ other: Location) -> Bool {
    file == other.file && (line > other.line || line == other.line && column >= other.column)
  }

  /// `file:line:column`.
  public var text: String { (description as Words).text.string }

  var description: Words { "\(file):\(line):\(column)" }
}

/// One thing that is wrong with a configuration. Errors keep the agent from starting; warnings are only shown (and make
/// `-t` fail, as in nats-server).
public struct ConfigurationProblem: Error, Equatable, Sendable {
  public enum Severity: Equatable, Sendable { case error, warning }

  public let severity: Severity
  public let location: Location
  /// A sentence for a person, in nats-server's words where it has some (specs: config.md).
  public let what: ByteString

  public init(_ severity: Severity = .error, at location: Location, _ what: Words) {
    self.severity = severity
    self.location = location
    self.what = what.text
  }

  public var text: String { what.string }
  public var file: String { location.file.string }
  public var line: Int { location.line }
  public var column: Int { location.column }

  /// `file:line:column: text`, or only the text when it belongs to no file.
  public var message: String { location.isNone ? text : ("\(location.description): \(what)" as Words).text.string }
}
