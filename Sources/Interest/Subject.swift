// The rules of subjects and subscription patterns: validity, matching, coverage, overlap. Pure functions over views.
// Not here: the tree that finds subscribers (InterestTree), and rewriting (SubjectTransform).
//
// Source: NATS client protocol, subjects: tokens separated by `.`; `*` alone is any one token, `>` alone as the last token is one
// or more tokens; both are ordinary bytes inside a longer token. A subject has no limit of its own: the control line bounds it.
import Bytes

/// What a subject may look like and what a pattern matches. A *literal* is a subject as published: its tokens are taken as they are,
/// even `*`. A *pattern* is a subject as subscribed: its tokens may be wildcards.
public enum Subject {
  /// The tokens of a subject, in order, as views of it. A subject always has at least one token, which may be empty.
  public struct Tokens {
    @usableFromInline let subject: ByteView
    @usableFromInline var start: Int

    @inline(__always) public init(_ subject: ByteView) {
      self.subject = subject
      start = 0
    }

    /// The next token, or nil after the last.
    @inline(__always) public mutating func next() -> ByteView? {
      guard start <= subject.count else { return nil }
      let from = start
      var end = from
      while end < subject.count, subject.base[end] != ASCII.dot { end += 1 }
      start = end + 1
      return ByteView(base: subject.base + from, count: end - from)
    }

    /// Whether no token is left.
    @inline(__always) public var isAtEnd: Bool { start > subject.count }

    /// Everything not yet returned, or nil at the end.
    @inline(__always) public var rest: ByteView? { isAtEnd ? nil : subject.dropFirst(start) }
  }

  /// The number of tokens, empty ones included.
  public static func tokenCount(_ subject: ByteView) -> Int {
    var count = 1
    for index in 0..<subject.count where subject.base[index] == ASCII.dot { count += 1 }
    return count
  }

  /// The bytes that no subject may contain: they separate fields and lines of the protocol.
  @inline(__always) static func isForbidden(_ byte: UInt8) -> Bool {
    byte == ASCII.space || (byte >= ASCII.tab && byte <= ASCII.carriageReturn && byte != 0x0B)
  }

  /// Whether `subject` may be subscribed to: no empty token, no blank, `>` only as the last token.
  public static func isValid(_ subject: ByteView) -> Bool {
    var tokens = Tokens(subject)
    while let token = tokens.next() {
      if token.isEmpty || (token.isTail && !tokens.isAtEnd) { return false }
      for index in 0..<token.count where isForbidden(token.base[index]) { return false }
    }
    return true
  }

  /// Whether no token of `subject` is a wildcard. Says nothing of its validity.
  public static func isLiteral(_ subject: ByteView) -> Bool {
    var tokens = Tokens(subject)
    while let token = tokens.next() {
      if token.isStar || token.isTail { return false }
    }
    return true
  }

  /// Whether a pedantic server accepts `subject` in a publish: valid, and without wildcards.
  public static func isValidToPublish(_ subject: ByteView) -> Bool { isValid(subject) && isLiteral(subject) }

  /// Whether any token of `subject` is empty. Such a literal matches no pattern.
  public static func hasEmptyToken(_ subject: ByteView) -> Bool {
    var previous = ASCII.dot
    for index in 0..<subject.count {
      let byte = subject.base[index]
      if byte == ASCII.dot, previous == ASCII.dot { return true }
      previous = byte
    }
    return previous == ASCII.dot
  }

  /// The length of what a pattern's matches all begin with: everything before its first wildcard token (its dot included), or all of
  /// a literal.
  public static func literalPrefixLength(_ pattern: ByteView) -> Int {
    var tokens = Tokens(pattern)
    var length = 0
    while let token = tokens.next() {
      if token.isStar || token.isTail { return length }
      length = min(tokens.start, pattern.count)
    }
    return length
  }

  /// Whether a message published to `literal` goes to a subscription of `pattern`.
  public static func matches(_ literal: ByteView, _ pattern: ByteView) -> Bool {
    var subject = Tokens(literal)
    var wanted = Tokens(pattern)
    while let want = wanted.next() {
      if want.isTail, wanted.isAtEnd {
        guard let rest = subject.rest else { return false }
        return !hasEmptyToken(rest)
      }
      guard let token = subject.next(), !token.isEmpty else { return false }
      if !want.isStar, token != want { return false }
    }
    return subject.isAtEnd
  }

  /// Whether every literal that `pattern` matches is matched by `other` too. Both valid patterns.
  public static func isSubset(_ pattern: ByteView, of other: ByteView) -> Bool {
    var inner = Tokens(pattern)
    var outer = Tokens(other)
    while let wide = outer.next() {
      guard let token = inner.next() else { return false }
      if wide.isTail { return true }
      if token.isTail { return false }
      if !wide.isStar, token != wide { return false }
    }
    return inner.isAtEnd
  }

  /// Whether some literal is matched by both patterns (what nats-server calls colliding subjects). Both valid patterns.
  public static func overlap(_ one: ByteView, _ other: ByteView) -> Bool {
    var left = Tokens(one)
    var right = Tokens(other)
    while let token = left.next() {
      guard let beside = right.next() else { return false }
      if token.isTail || beside.isTail { return true }
      if !token.isStar, !beside.isStar, token != beside { return false }
    }
    return right.isAtEnd
  }

  public static func isValid(_ subject: ByteString) -> Bool { subject.withView { isValid($0) } }
  public static func isLiteral(_ subject: ByteString) -> Bool { subject.withView { isLiteral($0) } }
  public static func isValidToPublish(_ subject: ByteString) -> Bool { subject.withView { isValidToPublish($0) } }
  public static func matches(_ literal: ByteString, _ pattern: ByteString) -> Bool {
    literal.withView { literal in pattern.withView { matches(literal, $0) } }
  }
  public static func matches(_ literal: ByteView, _ pattern: ByteString) -> Bool { pattern.withView { matches(literal, $0) } }
  public static func isSubset(_ pattern: ByteString, of other: ByteString) -> Bool {
    pattern.withView { pattern in other.withView { isSubset(pattern, of: $0) } }
  }
  public static func overlap(_ one: ByteString, _ other: ByteString) -> Bool {
    one.withView { one in other.withView { overlap(one, $0) } }
  }
}

extension ByteView {
  /// Whether this token is the wildcard for one token.
  @inline(__always) var isStar: Bool { count == 1 && base[0] == ASCII.star }
  /// Whether this token is the wildcard for all further tokens.
  @inline(__always) var isTail: Bool { count == 1 && base[0] == ASCII.greater }
}
