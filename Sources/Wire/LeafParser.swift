// The leaf protocol, both roles: bytes in (after decompression), operations out. It keeps no bytes.
import Bytes

/// Finds the operation at the front of bytes from a leaf link (leafnode-protocol.md section 11).
public struct LeafParser {
  /// Longest arguments of a control line, in bytes: what real servers accept of each other, INFO included (section 11.5).
  public var controlLineMax = 64 * 1024
  /// A whole control line is no longer than this, verb and line end included.
  public var lineMax: Int { controlLineMax + Self.verbMax + 2 }
  /// Largest headers and payload together, in bytes.
  public var payloadMax: Int

  private static let verbs: [StaticString] = ["LS+ ", "LS- ", "LMSG ", "HMSG ", "PING", "PONG", "INFO ", "CONNECT ", "+OK", "-ERR "]
  private static let verbMax = 8

  public init(payloadMax: Int) { self.payloadMax = payloadMax }

  /// Parses the operation at the front of `bytes` into `operation`. Its views point into `bytes`.
  public func parse(_ bytes: ByteView, into operation: inout LeafOperation) -> ParseOutcome {
    guard let (length, consumed) = ControlLine.find(bytes) else {
      guard ControlLine.canBecome(bytes, Self.verbs) else { return .violation(.unknownOperation) }
      // The last byte may be the CR of the line's end.
      if bytes.count > controlLineMax + Self.verbMax + 1 { return .violation(.controlLineTooLong) }
      return .incomplete(needed: bytes.count + 1)
    }
    let line = bytes.prefix(length)
    guard length <= controlLineMax + Self.verbMax else {
      return .violation(ControlLine.canBecome(line, Self.verbs) ? .controlLineTooLong : .unknownOperation)
    }
    guard length > 2 else { return .violation(.unknownOperation) }
    switch ASCII.uppercased(line.base[0]) {
    case UInt8(ascii: "L"):
      if ASCII.uppercased(line.base[1]) == UInt8(ascii: "M") {
        guard let arguments = arguments(of: "LMSG", line) else { return .violation(.unknownOperation) }
        return message(bytes, arguments, consumed, headers: false, &operation)
      }
      if let arguments = arguments(of: "LS+", line) { return interest(arguments, consumed, adds: true, &operation) }
      if let arguments = arguments(of: "LS-", line) { return interest(arguments, consumed, adds: false, &operation) }
      return .violation(.unknownOperation)
    case UInt8(ascii: "H"):
      guard let arguments = arguments(of: "HMSG", line) else { return .violation(.unknownOperation) }
      return message(bytes, arguments, consumed, headers: true, &operation)
    case UInt8(ascii: "P"):
      if line.count >= 4, line.prefix(4).equalsIgnoringCase("PING") { return text(.ping, ByteView(), consumed, &operation) }
      if line.count >= 4, line.prefix(4).equalsIgnoringCase("PONG") { return text(.pong, ByteView(), consumed, &operation) }
      return .violation(.unknownOperation)
    case UInt8(ascii: "I"):
      guard let arguments = arguments(of: "INFO", line) else { return .violation(.unknownOperation) }
      return text(.info, arguments.trimmed, consumed, &operation)
    case UInt8(ascii: "C"):
      guard let arguments = arguments(of: "CONNECT", line) else { return .violation(.unknownOperation) }
      return text(.connect, arguments.trimmed, consumed, &operation)
    case ASCII.plus:
      guard line.prefix(3).equalsIgnoringCase("+OK") else { return .violation(.unknownOperation) }
      return text(.ignored, ByteView(), consumed, &operation)
    case ASCII.minus:
      guard let arguments = arguments(of: "-ERR", line) else { return .violation(.unknownOperation) }
      return text(.error, unquoted(arguments.trimmed), consumed, &operation)
    default: return .violation(.unknownOperation)
    }
  }

  @inline(__always) private func arguments(of verb: StaticString, _ line: ByteView) -> ByteView? {
    let view = ByteView(verb)
    guard line.count >= view.count, line.prefix(view.count).equalsIgnoringCase(view) else { return nil }
    return ControlLine.arguments(line, after: view.count)
  }

  private func unquoted(_ text: ByteView) -> ByteView {
    let quote = UInt8(ascii: "'")
    guard text.count >= 2, text[0] == quote, text[text.count - 1] == quote else { return text }
    return text.slice(1, text.count - 1)
  }

  private func text(
    _ kind: LeafOperation.Kind, _ text: ByteView, _ consumed: Int, _ operation: inout LeafOperation
  ) -> ParseOutcome {
    operation.kind = kind
    operation.text = text
    return .operation(consumed: consumed)
  }

  private func interest(_ line: ByteView, _ consumed: Int, adds: Bool, _ operation: inout LeafOperation) -> ParseOutcome {
    let arguments = Arguments(line)
    operation.kind = adds ? .subscribe : .unsubscribe
    operation.queue = ByteView()
    operation.weight = 0
    switch (arguments.count, adds) {
    case (1, _): break
    case (2, false): operation.queue = arguments[1]
    case (3, true):
      guard let weight = ControlLine.size(arguments[2]) else { return .violation(.malformedArguments) }
      operation.queue = arguments[1]
      operation.weight = min(weight, LeafOperation.weightMax)
    default: return .violation(.malformedArguments)
    }
    operation.subject = arguments[0]
    return .operation(consumed: consumed)
  }

  private func message(
    _ bytes: ByteView, _ line: ByteView, _ consumed: Int, headers: Bool, _ operation: inout LeafOperation
  ) -> ParseOutcome {
    // Sizes are the last fields, whatever stands between: a list of queue groups has no fixed length.
    guard let (beforeSize, sizeField) = lastField(line), let size = ControlLine.size(sizeField) else {
      return .violation(.malformedArguments)
    }
    var rest = beforeSize
    var headerSize: Int?
    if headers {
      guard let (before, field) = lastField(rest), let announced = ControlLine.size(field), announced <= size else {
        return .violation(.malformedArguments)
      }
      headerSize = announced
      rest = before
    }
    guard let (subject, behindSubject) = firstField(rest) else { return .violation(.malformedArguments) }
    var reply = ByteView()
    var queues = ByteView()
    if let (second, behindSecond) = firstField(behindSubject) {
      let following = behindSecond.trimmed
      if following.isEmpty {
        reply = second  // three fields are always subject, reply, size, even when the reply is "|"
      } else if second.equals("|") {
        queues = following
      } else if second.equals("+"), let (third, behindThird) = firstField(following) {
        reply = third
        queues = behindThird.trimmed  // may be empty, for real servers too
      } else {
        return .violation(.malformedArguments)
      }
    }
    guard size <= payloadMax else { return .violation(.payloadTooLarge) }
    let total = consumed + size + 2
    guard bytes.count >= total else { return .incomplete(needed: total) }
    guard bytes.base[total - 2] == ASCII.carriageReturn, bytes.base[total - 1] == ASCII.lineFeed else {
      return .violation(.unknownOperation)
    }
    operation.kind = .message
    operation.subject = subject
    operation.reply = reply
    operation.queues = queues
    operation.headerSize = headerSize
    operation.body = bytes.slice(consumed, consumed + size)
    return .operation(consumed: total)
  }

  private func firstField(_ line: ByteView) -> (field: ByteView, rest: ByteView)? {
    var start = 0
    while start < line.count, line.base[start] == ASCII.space || line.base[start] == ASCII.tab { start += 1 }
    var end = start
    while end < line.count, line.base[end] != ASCII.space, line.base[end] != ASCII.tab { end += 1 }
    return end > start ? (line.slice(start, end), line.dropFirst(end)) : nil
  }

  private func lastField(_ line: ByteView) -> (rest: ByteView, field: ByteView)? {
    var end = line.count
    while end > 0, line.base[end - 1] == ASCII.space || line.base[end - 1] == ASCII.tab { end -= 1 }
    var start = end
    while start > 0, line.base[start - 1] != ASCII.space, line.base[start - 1] != ASCII.tab { start -= 1 }
    return end > start ? (line.prefix(start), line.slice(start, end)) : nil
  }
}
