// The head of an HTTP/1.1 message (RFC 9112): a start line and fields. Requests and answers read theirs from here; bodies are nobody's.
import Bytes

/// A head at the front of some bytes. Its views are valid as long as those bytes are.
public struct HTTPHead {
  public enum Outcome {
    case incomplete
    case bad
    case head(HTTPHead)
  }

  public let startLine: ByteView
  private let fields: ByteView
  /// Bytes of the head with its empty line.
  public let count: Int

  /// The head at the front of `bytes`, if it is not longer than `max`. Line feeds without carriage returns are as good.
  public static func parse(_ bytes: ByteView, max: Int) -> Outcome {
    guard let end = endOfHead(bytes) else { return bytes.count > max ? .bad : .incomplete }
    guard end <= max, let lineEnd = bytes.firstIndex(of: ASCII.lineFeed) else { return .bad }
    let fields = bytes.slice(lineEnd + 1, Swift.max(lineEnd + 1, end))
    let head = HTTPHead(startLine: bytes.prefix(lineEnd).trimmed, fields: fields, count: end)
    guard head.forEach({ name, _ in isName(name) }) else { return .bad }
    return .head(head)
  }

  private static func endOfHead(_ bytes: ByteView) -> Int? {
    var start = 0
    while let end = bytes.firstIndex(of: ASCII.lineFeed, from: start) {
      let length = end - start
      if length == 0 || (length == 1 && bytes[start] == ASCII.carriageReturn) { return end + 1 }
      start = end + 1
    }
    return nil
  }

  /// A name has no blanks, also not before the colon, and is not empty: who reads such a line otherwise can be made to see another
  /// message than we do (RFC 9112 section 5.1).
  private static func isName(_ name: ByteView) -> Bool {
    for index in 0..<name.count where name[index] <= ASCII.space || name[index] >= 0x7F { return false }
    return !name.isEmpty
  }

  /// Calls `body` with each field until it returns false; whether it never did. A line without a colon has an empty name.
  @discardableResult
  private func forEach(_ body: (_ name: ByteView, _ value: ByteView) -> Bool) -> Bool {
    var start = 0
    while let end = fields.firstIndex(of: ASCII.lineFeed, from: start) {
      let line = fields.slice(start, end)
      start = end + 1
      if line.trimmed.isEmpty, start == fields.count { return true }
      let colon = line.firstIndex(of: ASCII.colon)
      if !body(line.prefix(colon ?? 0), line.dropFirst(colon.map { $0 + 1 } ?? line.count).trimmed) { return false }
    }
    return true
  }

  /// Calls `body` with the value of each field of this name until it returns true; whether it did.
  public func contains(_ name: StaticString, where body: (ByteView) -> Bool) -> Bool {
    !forEach { !($0.equalsIgnoringCase(name) && body($1)) }
  }

  /// The value of the first field of this name; nil when there is none.
  public func first(_ name: StaticString) -> ByteView? {
    var found: ByteView?
    _ = contains(name) { value in
      found = value
      return true
    }
    return found
  }

  /// Whether `token` is among the comma-separated values of the fields of this name, in any case.
  public func has(_ name: StaticString, token: StaticString) -> Bool {
    contains(name) { $0.contains(separatedBy: UInt8(ascii: ",")) { $0.equalsIgnoringCase(token) } }
  }
}

extension ByteView {
  /// Calls `body` with each part between separators, without blanks around it, until it returns true; whether it did.
  func contains(separatedBy separator: UInt8, where body: (ByteView) -> Bool) -> Bool {
    var rest = self
    while true {
      let end = rest.firstIndex(of: separator) ?? rest.count
      if body(rest.prefix(end).trimmed) { return true }
      if end == rest.count { return false }
      rest = rest.dropFirst(end + 1)
    }
  }
}
