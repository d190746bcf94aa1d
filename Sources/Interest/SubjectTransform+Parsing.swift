// Reading the destination of a subject transform: its tokens, functions and arguments.
import Bytes

extension SubjectTransform {
  private enum Function: CaseIterable {
    case wildcard, partition, split, splitFromLeft, splitFromRight, sliceFromLeft, sliceFromRight, left, right, random

    /// The name; a letter in upper case may also be written in lower case, as nats-server has it.
    var name: StaticString {
      switch self {
      case .wildcard: "Wildcard"
      case .partition: "Partition"
      case .split: "Split"
      case .splitFromLeft: "SplitFromLeft"
      case .splitFromRight: "SplitFromRight"
      case .sliceFromLeft: "SliceFromLeft"
      case .sliceFromRight: "SliceFromRight"
      case .left: "Left"
      case .right: "Right"
      case .random: "Random"
      }
    }
  }

  /// The operations of `destination` for literals of `source`, a valid pattern.
  static func parse(_ destination: ByteString, for source: ByteString) throws(SubjectTransformError) -> [Operation] {
    try destination.withView { (view) throws(SubjectTransformError) in try parse(view, for: source) }
  }

  private static func parse(_ destination: ByteView, for source: ByteString) throws(SubjectTransformError) -> [Operation] {
    // All tokens are looked at before any wildcard is: the first error of this kind wins, as in nats-server.
    var endsInRest = false
    var hasStar = false
    var tokens = Subject.Tokens(destination)
    while let token = tokens.next() {
      try validate(token, afterRest: endsInRest)
      endsInRest = endsInRest || token.isTail
      hasStar = hasStar || token.isStar
    }
    let stars = Subject.isLiteral(source) ? nil : positionsOfStars(in: source)
    guard !hasStar, endsInRest == source.withView({ $0.dropFirst(Subject.lastTokenStart($0)).isTail }) else { throw .invalidSubject }
    var operations: [Operation] = []
    tokens = Subject.Tokens(destination)
    while let token = tokens.next() { operations.append(try operation(of: token, stars)) }
    return operations
  }

  /// The numbers of the tokens of `source` that are `*`.
  static func positionsOfStars(in source: ByteString) -> [Int] {
    source.withView { view in
      var stars: [Int] = []
      var tokens = Subject.Tokens(view)
      var position = 0
      while let token = tokens.next() {
        if token.isStar { stars.append(position) }
        position += 1
      }
      return stars
    }
  }

  @inline(__always) private static func isFunction(_ token: ByteView) -> Bool {
    token.count > 4 && token.hasPrefix("{{") && token.hasSuffix(ByteView("}}"))
  }

  private static func validate(_ token: ByteView, afterRest: Bool) throws(SubjectTransformError) {
    if token.isEmpty { throw .invalidTransform(token: ByteString()) }
    if afterRest { throw .invalidTransform(token: ByteString(token)) }
    if isFunction(token) {
      if function(of: token) == nil { throw .unknownFunction(token: ByteString(token)) }
      return
    }
    for index in 0..<token.count where Subject.isForbidden(token[index]) { throw .invalidTransform(token: ByteString()) }
  }

  private static func operation(of token: ByteView, _ stars: [Int]?) throws(SubjectTransformError) -> Operation {
    if token.isTail { return .rest }
    if isFunction(token) {
      guard let (function, arguments) = function(of: token) else { throw .unknownFunction(token: ByteString(token)) }
      return try operation(function, arguments, Wildcards(positions: stars, token: token))
    }
    if token.count > 1, token[0] == UInt8(ascii: "$"), let index = integer(token.dropFirst(1)) {
      return .token(try Wildcards(positions: stars, token: token).position(index))
    }
    return .literal(ByteString(token))
  }

  /// The wildcards of a source, and the destination's token that asks for them.
  private struct Wildcards {
    /// The numbers of the source's tokens that are `*`; nil when it is a literal.
    let positions: [Int]?
    let token: ByteView

    /// The token number of the `index`-th wildcard. Below 1 it is the literal's first token, as nats-server has it.
    func position(_ index: Int) throws(SubjectTransformError) -> Int {
      guard let positions else { throw .indexOutOfRange(token: ByteString(token), index: nil) }
      if index > positions.count { throw .indexOutOfRange(token: ByteString(token), index: index) }
      return index < 1 ? 0 : positions[index - 1]
    }

    var invalid: SubjectTransformError { .invalidArgument(token: ByteString(token)) }
  }

  private static func operation(
    _ function: Function, _ arguments: [ByteView], _ wildcards: Wildcards
  ) throws(SubjectTransformError) -> Operation {
    switch function {
    case .wildcard:
      if arguments.count == 1, arguments[0].isEmpty { throw .notEnoughArguments(token: ByteString(wildcards.token)) }
      if arguments.count > 1 { throw .tooManyArguments(token: ByteString(wildcards.token)) }
      guard let index = integer(arguments[0].trimmed) else { throw wildcards.invalid }
      return .token(try wildcards.position(index))
    case .random:
      if arguments.count > 1 { throw .notEnoughArguments(token: ByteString(wildcards.token)) }
      guard let count = integer32(arguments[0]) else { throw wildcards.invalid }
      return .random(count: UInt32(max(0, count)))
    case .partition:
      return try partition(arguments, wildcards)
    default:
      if arguments.count < 2 { throw .notEnoughArguments(token: ByteString(wildcards.token)) }
      if arguments.count > 2 { throw .tooManyArguments(token: ByteString(wildcards.token)) }
      guard let index = integer(arguments[0].trimmed) else { throw wildcards.invalid }
      if function == .split {
        if arguments[1].firstIndex(of: ASCII.space) != nil { throw wildcards.invalid }
        return .split(try wildcards.position(index), at: ByteString(arguments[1]))
      }
      guard let size = integer32(arguments[1]) else { throw wildcards.invalid }
      return sized(function, try wildcards.position(index), size)
    }
  }

  private static func partition(_ arguments: [ByteView], _ wildcards: Wildcards) throws(SubjectTransformError) -> Operation {
    guard let count = integer32(arguments[0]) else { throw wildcards.invalid }
    var indices: [Int] = []
    for argument in arguments.dropFirst() {
      guard let index = integer(argument.trimmed) else { throw wildcards.invalid }
      indices.append(index)
    }
    // A source without wildcards is hashed as a whole, whatever is asked for. A negative count wraps, as in nats-server.
    let bound = UInt32(bitPattern: Int32(count))
    if wildcards.positions == nil { return .partition(count: bound, of: []) }
    var positions: [Int] = []
    for index in indices { positions.append(try wildcards.position(index)) }
    return .partition(count: bound, of: positions)
  }

  private static func sized(_ function: Function, _ position: Int, _ size: Int) -> Operation {
    switch function {
    case .splitFromLeft: .splitFromLeft(position, size)
    case .splitFromRight: .splitFromRight(position, size)
    case .sliceFromLeft: .sliceFromLeft(position, size)
    case .sliceFromRight: .sliceFromRight(position, size)
    case .left: .left(position, size)
    case .right: .right(position, size)
    case .wildcard, .partition, .split, .random: preconditionFailure("only functions of a token and a size come here")
    }
  }

  // MARK: Text

  /// The function of a token and its arguments: `{{ Name ( arguments ) }}` wherever it begins in the token, up to the last
  /// parenthesis that closes it.
  private static func function(of token: ByteView) -> (Function, [ByteView])? {
    for start in 0..<token.count - 1 where token[start] == UInt8(ascii: "{") && token[start + 1] == UInt8(ascii: "{") {
      let body = skipBlanks(token.dropFirst(start + 2))
      for function in Function.allCases {
        guard let named = drop(function.name, from: body) else { continue }
        let opened = skipBlanks(named)
        guard !opened.isEmpty, opened[0] == UInt8(ascii: "("), let end = closing(opened) else { continue }
        return (function, arguments(opened.slice(1, end)))
      }
    }
    return nil
  }

  /// `text` behind `name`, whose letters in upper case stand for both cases; nil when it does not begin so.
  private static func drop(_ name: StaticString, from text: ByteView) -> ByteView? {
    let name = ByteView(name)
    guard text.count >= name.count else { return nil }
    for index in 0..<name.count where text[index] != name[index] && text[index] != ASCII.lowercased(name[index]) { return nil }
    return text.dropFirst(name.count)
  }

  /// Where the last `)` is that is followed by blanks and `}}`.
  private static func closing(_ text: ByteView) -> Int? {
    var index = text.count - 1
    while index > 0 {
      if text[index] == UInt8(ascii: ")"), skipBlanks(text.dropFirst(index + 1)).hasPrefix("}}") { return index }
      index -= 1
    }
    return nil
  }

  /// The arguments between commas, without the blanks that follow a comma.
  private static func arguments(_ text: ByteView) -> [ByteView] {
    var all: [ByteView] = []
    var rest = text
    while let comma = rest.firstIndex(of: UInt8(ascii: ",")) {
      all.append(rest.prefix(comma))
      rest = skipBlanks(rest.dropFirst(comma + 1))
    }
    all.append(rest)
    return all
  }

  private static func skipBlanks(_ text: ByteView) -> ByteView {
    var start = 0
    while start < text.count, Subject.isForbidden(text[start]) { start += 1 }
    return text.dropFirst(start)
  }

  /// The value of decimal digits with an optional sign, or nil.
  private static func integer(_ text: ByteView) -> Int? {
    guard !text.isEmpty else { return nil }
    if text[0] == ASCII.minus { return text.dropFirst(1).decimalInt().map { -$0 } }
    return text[0] == ASCII.plus ? text.dropFirst(1).decimalInt() : text.decimalInt()
  }

  /// The same with blanks around, no more than 32 bits; what is less counts as the least.
  private static func integer32(_ text: ByteView) -> Int? {
    guard let value = integer(text.trimmed), value <= Int(Int32.max) else { return nil }
    return max(value, Int(Int32.min))
  }
}

extension Subject {
  /// Where the last token begins.
  static func lastTokenStart(_ subject: ByteView) -> Int {
    var start = subject.count
    while start > 0, subject.base[start - 1] != ASCII.dot { start -= 1 }
    return start
  }
}
