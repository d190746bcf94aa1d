// The shape of subjects, as far as a configuration can be wrong about it. What subjects mean is the Interest module's.
import Bytes

enum SubjectSyntax {
  /// Tokens without blanks, none empty, `>` only as the last one.
  static func isValid(_ subject: ByteView) -> Bool {
    guard !subject.isEmpty else { return false }
    var start = 0
    while true {
      let end = subject.firstIndex(of: ASCII.dot, from: start) ?? subject.count
      let token = subject.slice(start, end)
      guard !token.isEmpty else { return false }
      for index in 0..<token.count where token[index] <= ASCII.space || token[index] == 0x7F { return false }
      if token.equals(">"), end != subject.count { return false }
      if end == subject.count { return true }
      start = end + 1
    }
  }

  /// One subject to publish to: valid, no token a wildcard.
  static func isLiteral(_ subject: ByteView) -> Bool {
    guard isValid(subject) else { return false }
    var start = 0
    while start < subject.count {
      let end = subject.firstIndex(of: ASCII.dot, from: start) ?? subject.count
      let token = subject.slice(start, end)
      if token.equals("*") || token.equals(">") { return false }
      start = end + 1
    }
    return true
  }

  static func hasWildcardTail(_ subject: ByteView) -> Bool { subject.equals(">") || subject.hasSuffix(ByteView(".>")) }

  /// As a stream's or consumer's name must be: no blanks, none of `. * > \ /`, at most 255 bytes.
  static func isName(_ name: ByteView) -> Bool {
    guard !name.isEmpty, name.count <= 255 else { return false }
    for index in 0..<name.count {
      switch name[index] {
      case 0...ASCII.space, 0x7F, ASCII.dot, ASCII.star, ASCII.greater, ASCII.backslash, ASCII.slash: return false
      default: break
      }
    }
    return true
  }
}
