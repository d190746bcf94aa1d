// Rewriting subjects: a source pattern, a destination, and what becomes of a literal that the source matches.
// Not here: reading the destination's functions (SubjectTransform+Parsing); weights and clusters of account mappings.
//
// Behaviour and error texts are those of nats-server 2.15.1, observed from outside (Tests/InterestTests/SubjectTransformTests.swift
// holds the observations).
import Bytes

/// A subject transform, as in a stream's `subject_transform`, `republish`, sources, and in Petiole's `forward`.
///
/// The destination's tokens are taken over, but for `$N` and `{{wildcard(N)}}` (what the N-th `*` of the source stood for), the other
/// functions in `{{}}`, and a last `>` (what the source's `>` stood for).
public struct SubjectTransform {
  /// What yields one token of the result, or several. Positions are token numbers of the literal, from 0.
  enum Operation: Equatable {
    case literal(ByteString)
    case token(Int)
    /// The 32-bit FNV-1a hash of these tokens without the dots, or of the whole literal when there are none, modulo `count`.
    case partition(count: UInt32, of: [Int])
    case random(count: UInt32)
    case split(Int, at: ByteString)
    case splitFromLeft(Int, Int)
    case splitFromRight(Int, Int)
    case sliceFromLeft(Int, Int)
    case sliceFromRight(Int, Int)
    case left(Int, Int)
    case right(Int, Int)
    /// What the source's `>` stood for.
    case rest

    /// The tokens of the literal that it looks at.
    var positions: [Int] {
      switch self {
      case .literal, .random, .rest: []
      case .partition(_, let positions): positions
      case .token(let position), .split(let position, _), .splitFromLeft(let position, _), .splitFromRight(let position, _),
        .sliceFromLeft(let position, _), .sliceFromRight(let position, _), .left(let position, _), .right(let position, _):
        [position]
      }
    }
  }

  public let source: ByteString
  public let destination: ByteString
  let operations: [Operation]
  /// The number of source tokens before its `>`, if it has one.
  private let restPosition: Int
  private let random: (UInt32) -> UInt32

  /// Reads a transform. An empty source is `>`; an empty destination leaves the subject as it is. `random` yields a number below its
  /// argument, which is at least 1, for `{{random(n)}}`. `strict` asks that every `*` of the source is used, as imports do.
  public init(
    source: ByteString, destination: ByteString, strict: Bool = false, random: @escaping (UInt32) -> UInt32
  ) throws(SubjectTransformError) {
    let source: ByteString = source.isEmpty ? ">" : source
    guard Subject.isValid(source) else { throw .invalidSource(source) }
    self.source = source
    self.destination = destination
    self.random = random
    restPosition = source.withView { Subject.tokenCount($0) } - 1
    operations = destination.isEmpty ? [] : try Self.parse(destination, for: source)
    if strict, !usesAllWildcards { throw .wildcardsLeft(destination: destination) }
  }

  /// A transform for `forward`: as the other, and a `*` in `to` stands for the `*` of the same rank in `filter`. `random` is refused,
  /// because what is forwarded again after a restart has to get the same subject. An empty `filter` is `>`.
  public init(filter: ByteString, to: ByteString) throws(SubjectTransformError) {
    try self.init(source: filter, destination: Self.numberingStars(of: to)) { _ in 0 }
    for operation in operations {
      if case .random = operation { throw .invalidTransform(token: to) }
    }
  }

  private var usesAllWildcards: Bool {
    if operations.isEmpty { return true }
    var used: [Int] = []
    for operation in operations { used += operation.positions }
    return Self.positionsOfStars(in: source).allSatisfy { used.contains($0) }
  }

  /// `destination` with its k-th `*` token as `$k`.
  private static func numberingStars(of destination: ByteString) -> ByteString {
    destination.withView { view in
      var result: [UInt8] = []
      var rank = 0
      var tokens = Subject.Tokens(view)
      var isFirst = true
      while let token = tokens.next() {
        if !isFirst { result.append(ASCII.dot) }
        isFirst = false
        if token.isStar {
          rank += 1
          result.append(UInt8(ascii: "$"))
          result.append(decimal: rank)
        } else {
          result.append(token)
        }
      }
      return ByteString(result)
    }
  }

  /// Whether the transform changes nothing but filters.
  public var isIdentity: Bool { operations.isEmpty || (source == ">" && operations == [.rest]) }

  /// What becomes of `literal`, or nil when the source does not match it. The result has an empty token where a `split` leaves
  /// nothing of a token that is only delimiters: whoever publishes it has to check (`Subject.isValidToPublish`).
  public func apply(_ literal: ByteView) -> ByteString? {
    guard Subject.matches(literal, source) else { return nil }
    if operations.isEmpty { return ByteString(literal) }
    var tokens = TokenTable(literal)
    var result: [UInt8] = []
    result.reserveCapacity(literal.count + destination.count)
    for (index, operation) in operations.enumerated() {
      if index > 0 { result.append(ASCII.dot) }
      perform(operation, literal, &tokens, into: &result)
    }
    return ByteString(result)
  }

  public func apply(_ literal: ByteString) -> ByteString? { literal.withView { apply($0) } }

  private func perform(_ operation: Operation, _ literal: ByteView, _ tokens: inout TokenTable, into result: inout [UInt8]) {
    switch operation {
    case .literal(let token): result.append(token)
    case .token(let position): result.append(tokens[position])
    case .rest: result.append(tokens.rest(from: restPosition))
    case .random(let count): result.append(decimal: count == 0 ? 0 : random(count) % count)
    case .partition(let count, let positions):
      var hash: UInt32 = 2_166_136_261
      if positions.isEmpty { Self.addToHash(&hash, literal) }
      for position in positions { Self.addToHash(&hash, tokens[position]) }
      result.append(decimal: count == 0 ? 0 : hash % count)
    case .split(let position, let delimiter):
      delimiter.withView { Self.split(tokens[position], at: $0, into: &result) }
    case .splitFromLeft(let position, let size):
      let token = tokens[position]
      Self.cut(token, at: size, into: &result)
    case .splitFromRight(let position, let size):
      let token = tokens[position]
      Self.cut(token, at: size > 0 ? token.count - size : 0, into: &result)
    case .sliceFromLeft(let position, let size):
      let token = tokens[position]
      Self.slice(token, first: size, size: size, into: &result)
    case .sliceFromRight(let position, let size):
      let token = tokens[position]
      let odd = size > 0 ? token.count % size : 0
      Self.slice(token, first: odd > 0 ? odd : size, size: size, into: &result)
    case .left(let position, let size):
      let token = tokens[position]
      result.append(size > 0 && size < token.count ? token.prefix(size) : token)
    case .right(let position, let size):
      let token = tokens[position]
      result.append(size > 0 && size < token.count ? token.dropFirst(token.count - size) : token)
    }
  }

  /// FNV-1a, 32 bits.
  @inline(__always) private static func addToHash(_ hash: inout UInt32, _ bytes: ByteView) {
    for index in 0..<bytes.count { hash = (hash ^ UInt32(bytes.base[index])) &* 16_777_619 }
  }

  /// `token` in two parts, the first of `length` bytes, if that leaves something on both sides.
  private static func cut(_ token: ByteView, at length: Int, into result: inout [UInt8]) {
    guard length > 0, length < token.count else { return result.append(token) }
    result.append(token.prefix(length))
    result.append(ASCII.dot)
    result.append(token.dropFirst(length))
  }

  /// `token` in parts of `size` bytes, but for the first, which has `first`, and the last, which may be shorter.
  private static func slice(_ token: ByteView, first: Int, size: Int, into result: inout [UInt8]) {
    guard size > 0, size < token.count else { return result.append(token) }
    var start = 0
    var end = first
    while start < token.count {
      if start > 0 { result.append(ASCII.dot) }
      result.append(token.slice(start, end))
      start = end
      end = min(start + size, token.count)
    }
  }

  /// The parts of `token` between delimiters that are not empty; its characters when the delimiter is empty.
  private static func split(_ token: ByteView, at delimiter: ByteView, into result: inout [UInt8]) {
    var isFirst = true
    func add(_ part: ByteView) {
      if part.isEmpty { return }
      if !isFirst { result.append(ASCII.dot) }
      isFirst = false
      result.append(part)
    }
    var start = 0
    var index = 0
    while index < token.count {
      if delimiter.isEmpty {
        index += 1
        while index < token.count, token[index] & 0xC0 == 0x80 { index += 1 }  // The rest of a UTF-8 sequence.
        add(token.slice(start, index))
        start = index
      } else if token.dropFirst(index).hasPrefix(delimiter) {
        add(token.slice(start, index))
        index += delimiter.count
        start = index
      } else {
        index += 1
      }
    }
    add(token.dropFirst(start))
  }

  /// A subscription pattern that matches everything the transform can yield (apart from invalid results, see `apply`).
  public var destinationPattern: ByteString {
    guard !operations.isEmpty else { return source }
    var result: [UInt8] = []
    for (index, operation) in operations.enumerated() {
      if index > 0 { result.append(ASCII.dot) }
      switch operation {
      case .literal(let token): result.append(token)
      case .token, .partition, .random, .left, .right: result.append(ASCII.star)
      case .split, .splitFromLeft, .splitFromRight, .sliceFromLeft, .sliceFromRight, .rest:
        // Any number of tokens: whatever follows cannot be said more exactly.
        result.append(ASCII.greater)
        return ByteString(result)
      }
    }
    return ByteString(result)
  }

  /// The transform that leads back, or nil when there is none: when the result does not hold what each wildcard stood for.
  public var inverse: SubjectTransform? {
    if operations.isEmpty { return self }
    var rankOfPosition: [(position: Int, rank: Int)] = []
    for operation in operations {
      switch operation {
      case .literal, .rest: break
      case .token(let position): rankOfPosition.append((position, rankOfPosition.count + 1))
      default: return nil
      }
    }
    var back: [UInt8] = []
    let isComplete = source.withView { view in
      var tokens = Subject.Tokens(view)
      var position = 0
      while let token = tokens.next() {
        if position > 0 { back.append(ASCII.dot) }
        if token.isStar {
          guard let rank = rankOfPosition.first(where: { $0.position == position })?.rank else { return false }
          back.append(UInt8(ascii: "$"))
          back.append(decimal: rank)
        } else {
          back.append(token)
        }
        position += 1
      }
      return true
    }
    guard isComplete else { return nil }
    return try? SubjectTransform(source: destinationPattern, destination: ByteString(back)) { _ in 0 }
  }

  /// Whether the transform yields `subject` from some literal. Exact where there is an `inverse`, otherwise whether it can.
  public func yields(_ subject: ByteView) -> Bool {
    guard Subject.matches(subject, destinationPattern) else { return false }
    guard let inverse else { return true }
    guard let origin = inverse.apply(subject), let again = apply(origin) else { return false }
    return again == subject
  }
}

/// The tokens of a literal by number. Walks from the last one asked for, so that asking in order costs one pass.
private struct TokenTable {
  private let subject: ByteView
  private var tokens: Subject.Tokens
  private var next = 0

  init(_ subject: ByteView) {
    self.subject = subject
    tokens = Subject.Tokens(subject)
  }

  private mutating func skip(to position: Int) {
    if position < next {
      tokens = Subject.Tokens(subject)
      next = 0
    }
    while next < position {
      _ = tokens.next()
      next += 1
    }
  }

  subscript(position: Int) -> ByteView {
    mutating get {
      skip(to: position)
      next += 1
      return tokens.next() ?? ByteView()
    }
  }

  /// Everything from the token number `position` on.
  mutating func rest(from position: Int) -> ByteView {
    skip(to: position)
    return tokens.rest ?? ByteView()
  }
}
