// A peer's mistakes in words.

extension ProtocolViolation: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unknownOperation: "unknown protocol operation"
    case .controlLineTooLong: "control line too long"
    case .payloadTooLarge: "payload too large"
    case .malformedArguments: "malformed arguments"
    }
  }
}
