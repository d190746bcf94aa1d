// What can be wrong with a subject transform, and how nats-server says it.
import Bytes

/// Why a source and a destination do not make a transform. `token` is the destination's token that is wrong.
public enum SubjectTransformError: Error, Equatable, Sendable {
  /// The source is not a valid pattern.
  case invalidSource(ByteString)
  /// The destination does not fit the source: a bare `*`, or only one of them ends in `>`.
  case invalidSubject
  /// A destination token that is empty (then `token` is), contains a blank, or follows `>`.
  case invalidTransform(token: ByteString)
  case unknownFunction(token: ByteString)
  case invalidArgument(token: ByteString)
  case notEnoughArguments(token: ByteString)
  case tooManyArguments(token: ByteString)
  /// A wildcard that the source does not have; `index` is nil when it has none at all.
  case indexOutOfRange(token: ByteString, index: Int?)
  /// Some `*` of the source is not used by `destination`, where all have to be (imports).
  case wildcardsLeft(destination: ByteString)

  /// The text that nats-server 2.15 gives (`{err}` of the JetStream errors 10145, 10146, 10151, 10154, 10155 and 10156).
  public var text: String { words.string }

  private var words: Words {
    switch self {
    case .invalidSource(let source): "invalid subject \(source.string)"
    case .invalidSubject: "invalid subject"
    case .invalidTransform(let token): Self.destination("invalid transform", token)
    case .unknownFunction(let token): Self.destination("unknown function", token)
    case .invalidArgument(let token): Self.destination("function argument is invalid or in the wrong format", token)
    case .notEnoughArguments(let token): Self.destination("not enough arguments passed to the function", token)
    case .tooManyArguments(let token): Self.destination("too many arguments passed to the function", token)
    case .indexOutOfRange(let token, let index):
      "\(Self.destination("wildcard index out of range", token))\(index.map { ": [\($0)]" as Words } ?? "")"
    case .wildcardsLeft(let destination): Self.destination("not using all of the token wildcard(s)", destination)
    }
  }

  private static func destination(_ what: StaticString, _ token: ByteString) -> Words {
    "invalid mapping destination: \(what)\(token.isEmpty ? "" : " in \(token)" as Words)"
  }
}
