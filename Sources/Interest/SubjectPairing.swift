// Two patterns whose wildcards belong together: the subject of an export, and the subject that an importer gives it. Both ways, for
// literals and for narrower patterns.
// Not here: transforms with functions (SubjectTransform), which go one way.
import Bytes

/// How subjects of two spaces belong together: `svc.*.>` and `mine.$1.>`.
public struct SubjectPairing {
  private enum Token: Equatable {
    case literal(ByteString)
    /// The wildcard of this number, from 0.
    case wildcard(Int)
  }

  /// As they match: every place of a wildcard is `*`.
  public let exportedPattern: ByteString
  public let localPattern: ByteString
  private let exported: [Token]
  private let local: [Token]
  private let hasTail: Bool
  private let isSame: Bool

  /// Pairs `exported`, a pattern, with `local`, whose `*` (in their order) or `$n` stand for its wildcards. nil when they do not fit: each
  /// wildcard of `exported` is there once, and `>` ends both or neither. With `isConstant` an `exported` without wildcards fits every `local`.
  public init?(exported: ByteString, local: ByteString, isConstant: Bool = false) {
    guard Subject.isValid(exported), Subject.isValid(local) else { return nil }
    var count = 0
    var tail = false
    self.exported = exported.withView { Self.tokens($0, &count, &tail, references: false) }
    var used = 0
    var localTail = false
    self.local = local.withView { Self.tokens($0, &used, &localTail, references: true) }
    let numbers = self.local.compactMap { if case .wildcard(let number) = $0 { number } else { nil } }
    let fits = localTail == tail && numbers.count == count && (0..<count).allSatisfy { numbers.contains($0) }
    guard fits || (isConstant && count == 0 && !tail) else { return nil }
    hasTail = tail
    exportedPattern = exported
    localPattern = Self.pattern(self.local, tail: localTail)
    isSame = exported == local && local == localPattern
  }

  private static func tokens(_ subject: ByteView, _ count: inout Int, _ hasTail: inout Bool, references: Bool) -> [Token] {
    var all: [Token] = []
    var tokens = Subject.Tokens(subject)
    while let token = tokens.next() {
      if token.isTail, tokens.isAtEnd {
        hasTail = true
      } else if token.isStar {
        all.append(.wildcard(count))
        count += 1
      } else if references, token.count > 1, token[0] == UInt8(ascii: "$"), let number = token.dropFirst(1).decimalInt(), number > 0 {
        all.append(.wildcard(number - 1))
      } else {
        all.append(.literal(ByteString(token)))
      }
    }
    return all
  }

  private static func pattern(_ tokens: [Token], tail: Bool) -> ByteString {
    var text: [UInt8] = []
    for token in tokens {
      if !text.isEmpty { text.append(ASCII.dot) }
      if case .literal(let literal) = token { text.append(literal) } else { text.append(ASCII.star) }
    }
    if tail {
      if !text.isEmpty { text.append(ASCII.dot) }
      text.append(ASCII.greater)
    }
    return ByteString(text)
  }

  /// The exporter's subject for a local one, a literal or a pattern within `localPattern`; nil when it is not within.
  public func exported(of subject: ByteView) -> ByteString? {
    isSame ? same(subject) : translate(subject, from: local, to: exported)
  }

  /// The local subject for an exported one, likewise.
  public func local(of subject: ByteView) -> ByteString? {
    isSame ? same(subject) : translate(subject, from: exported, to: local)
  }

  private func same(_ subject: ByteView) -> ByteString? {
    localPattern.withView { Subject.isSubset(subject, of: $0) } ? ByteString(subject) : nil
  }

  private func translate(_ subject: ByteView, from: [Token], to: [Token]) -> ByteString? {
    var tokens = Subject.Tokens(subject)
    var values = [ByteView](repeating: ByteView(), count: from.count)
    for token in from {
      guard let value = tokens.next(), !value.isEmpty else { return nil }
      switch token {
      case .literal(let literal): guard literal == value else { return nil }
      case .wildcard(let number): if number < values.count { values[number] = value }
      }
    }
    var text: [UInt8] = []
    text.reserveCapacity(subject.count + 16)
    for token in to {
      if !text.isEmpty { text.append(ASCII.dot) }
      switch token {
      case .literal(let literal): text.append(literal)
      case .wildcard(let number):
        guard number < values.count else { return nil }
        text.append(values[number])
      }
    }
    guard hasTail else { return tokens.isAtEnd || isConstant(to) ? ByteString(text) : nil }
    guard let rest = tokens.rest else { return nil }
    if !text.isEmpty { text.append(ASCII.dot) }
    text.append(rest)
    return ByteString(text)
  }

  private func isConstant(_ tokens: [Token]) -> Bool {
    tokens.allSatisfy { if case .literal = $0 { true } else { false } }
  }
}

extension Subject {
  /// The pattern of what both patterns match, or nil when no literal is matched by both.
  public static func intersection(_ one: ByteView, _ other: ByteView) -> ByteString? {
    var left = Tokens(one)
    var right = Tokens(other)
    var text: [UInt8] = []
    func put(_ token: ByteView) {
      if !text.isEmpty { text.append(ASCII.dot) }
      text.append(token)
    }
    while true {
      let leftRest = left.rest
      let rightRest = right.rest
      guard let token = left.next() else { return right.isAtEnd ? ByteString(text) : nil }
      guard let beside = right.next() else { return nil }
      if token.isTail, left.isAtEnd {
        put(rightRest!)
        return ByteString(text)
      }
      if beside.isTail, right.isAtEnd {
        put(leftRest!)
        return ByteString(text)
      }
      if token.isStar {
        put(beside)
      } else if beside.isStar || token == beside {
        put(token)
      } else {
        return nil
      }
    }
  }
}
