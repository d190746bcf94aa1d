// A peer's mistakes in words.
import Bytes

extension ProtocolViolation: CustomStringConvertible {
  public var description: String { words.string }

  private var words: Words {
    switch self {
    case .unknownOperation: "unknown protocol operation"
    case .controlLineTooLong: "control line too long"
    case .payloadTooLarge: "payload too large"
    case .malformedArguments: "malformed arguments"
    }
  }
}
