// The client protocol, seen from the server: bytes in, operations out. It keeps no bytes: whoever reads shows the unused ones again.
import Bytes

/// Finds the operation at the front of bytes from a client (client-protocol.md sections 1 and 2).
public struct ClientParser {
  /// Longest arguments of a control line (`max_control_line`), in bytes.
  public var controlLineMax: Int
  /// Largest headers and payload together (`max_payload`), in bytes.
  public var payloadMax: Int

  private static let verbs: [StaticString] = [
    "CONNECT", "PING", "PONG", "PUB ", "HPUB ", "SUB ", "UNSUB ", "INFO", "+OK", "-ERR ",
  ]
  /// The longest verb with its blank; a control line may be that much longer than its arguments.
  private static let verbMax = 8

  public init(controlLineMax: Int, payloadMax: Int) {
    self.controlLineMax = controlLineMax
    self.payloadMax = payloadMax
  }

  /// Parses the operation at the front of `bytes` into `operation`. Its views point into `bytes`.
  public func parse(_ bytes: ByteView, into operation: inout ClientOperation) -> ParseOutcome {
    guard let (length, consumed) = ControlLine.find(bytes) else {
      guard ControlLine.canBecome(bytes, Self.verbs) else { return .violation(.unknownOperation) }
      // The last byte may be the CR of the line's end.
      if bytes.count > controlLineMax + Self.verbMax + 1 { return .violation(.controlLineTooLong) }
      return .incomplete(needed: bytes.count + 1)
    }
    let line = bytes.prefix(length)
    guard length > 1 else { return .violation(.unknownOperation) }
    switch ASCII.uppercased(line.base[0]) {
    case UInt8(ascii: "P"):
      switch ASCII.uppercased(line.base[1]) {
      case UInt8(ascii: "U"):
        guard length > 3, ASCII.uppercased(line.base[2]) == UInt8(ascii: "B"), let arguments = ControlLine.arguments(line, after: 3) else {
          return .violation(.unknownOperation)
        }
        return publish(bytes, arguments, consumed, headers: false, &operation)
      case UInt8(ascii: "I"): return word("PING", .ping, line, consumed, &operation)
      case UInt8(ascii: "O"): return word("PONG", .pong, line, consumed, &operation)
      default: return .violation(.unknownOperation)
      }
    case UInt8(ascii: "H"):
      guard length > 4, line.prefix(4).equalsIgnoringCase("HPUB"), let arguments = ControlLine.arguments(line, after: 4) else {
        return .violation(.unknownOperation)
      }
      return publish(bytes, arguments, consumed, headers: true, &operation)
    case UInt8(ascii: "S"):
      guard length > 3, line.prefix(3).equalsIgnoringCase("SUB"), let arguments = ControlLine.arguments(line, after: 3) else {
        return .violation(.unknownOperation)
      }
      return subscribe(arguments, consumed, &operation)
    case UInt8(ascii: "U"):
      guard length > 5, line.prefix(5).equalsIgnoringCase("UNSUB"), let arguments = ControlLine.arguments(line, after: 5) else {
        return .violation(.unknownOperation)
      }
      return unsubscribe(arguments, consumed, &operation)
    case UInt8(ascii: "C"):
      guard length >= 7, line.prefix(7).equalsIgnoringCase("CONNECT") else { return .violation(.unknownOperation) }
      // nats-server needs no blank here; whether what follows is JSON is the connection's affair.
      let arguments = line.dropFirst(7)
      guard arguments.count <= controlLineMax + 1 else { return .violation(.controlLineTooLong) }
      operation.kind = .connect
      operation.text = arguments.trimmed
      return .operation(consumed: consumed)
    case UInt8(ascii: "I"):
      guard length >= 4, line.prefix(4).equalsIgnoringCase("INFO") else { return .violation(.unknownOperation) }
      guard length > 4, ControlLine.arguments(line, after: 4) != nil else { return .violation(.malformedArguments) }
      return word("INFO", .ignored, line, consumed, &operation)
    case ASCII.plus: return word("+OK", .ignored, line, consumed, &operation)
    case ASCII.minus:
      guard length > 4, ControlLine.arguments(line, after: 4) != nil else { return .violation(.unknownOperation) }
      return word("-ERR", .error, line, consumed, &operation)
    default: return .violation(.unknownOperation)
    }
  }

  /// An operation whose arguments do not matter.
  private func word(
    _ verb: StaticString, _ kind: ClientOperation.Kind, _ line: ByteView, _ consumed: Int, _ operation: inout ClientOperation
  ) -> ParseOutcome {
    let view = ByteView(verb)
    guard line.count >= view.count, line.prefix(view.count).equalsIgnoringCase(view) else { return .violation(.unknownOperation) }
    guard line.count <= controlLineMax + Self.verbMax else { return .violation(.controlLineTooLong) }
    operation.kind = kind
    return .operation(consumed: consumed)
  }

  @inline(__always)
  private func publish(
    _ bytes: ByteView, _ line: ByteView, _ consumed: Int, headers: Bool, _ operation: inout ClientOperation
  ) -> ParseOutcome {
    guard line.count <= controlLineMax else { return .violation(.controlLineTooLong) }
    let arguments = Arguments(line)
    let sizes = headers ? 2 : 1
    guard arguments.count == sizes + 1 || arguments.count == sizes + 2 else { return .violation(.malformedArguments) }
    guard let size = ControlLine.size(arguments[arguments.count - 1]) else { return .violation(.malformedArguments) }
    var headerSize: Int?
    if headers {
      guard let announced = ControlLine.size(arguments[arguments.count - 2]), announced <= size else {
        return .violation(.malformedArguments)
      }
      headerSize = announced
    }
    guard size <= payloadMax else { return .violation(.payloadTooLarge) }
    let total = consumed + size + 2
    guard bytes.count >= total else { return .incomplete(needed: total) }
    guard bytes.base[total - 2] == ASCII.carriageReturn, bytes.base[total - 1] == ASCII.lineFeed else {
      return .violation(.unknownOperation)
    }
    operation.kind = .publish
    operation.subject = arguments[0]
    operation.reply = arguments.count == sizes + 2 ? arguments[1] : ByteView()
    operation.headerSize = headerSize
    operation.body = bytes.slice(consumed, consumed + size)
    return .operation(consumed: total)
  }

  private func subscribe(_ line: ByteView, _ consumed: Int, _ operation: inout ClientOperation) -> ParseOutcome {
    guard line.count <= controlLineMax else { return .violation(.controlLineTooLong) }
    let arguments = Arguments(line)
    guard arguments.count == 2 || arguments.count == 3 else { return .violation(.malformedArguments) }
    operation.kind = .subscribe
    operation.subject = arguments[0]
    operation.queue = arguments.count == 3 ? arguments[1] : ByteView()
    operation.sid = arguments[arguments.count - 1]
    return .operation(consumed: consumed)
  }

  private func unsubscribe(_ line: ByteView, _ consumed: Int, _ operation: inout ClientOperation) -> ParseOutcome {
    guard line.count <= controlLineMax else { return .violation(.controlLineTooLong) }
    let arguments = Arguments(line)
    guard arguments.count == 1 || arguments.count == 2 else { return .violation(.malformedArguments) }
    // What is no number means at once, as in nats-server.
    operation.max = arguments.count == 2 ? ControlLine.size(arguments[1]) ?? 0 : 0
    operation.kind = .unsubscribe
    operation.sid = arguments[0]
    return .operation(consumed: consumed)
  }
}
