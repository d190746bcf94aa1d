// What can be wrong with a JSON document, with the texts that Go's encoding/json uses for the same: clients see them in API errors.
import Bytes

/// A document that could not be parsed.
public struct JSONError: Error, Equatable, Sendable {
  /// What was being read when a byte did not fit.
  public enum Place: Equatable, Sendable {
    case value
    case objectKey
    case afterObjectKey
    case afterMember
    case afterElement
    case afterTopLevel
    case string
    case escape
    case unicodeEscape
    case number
    case fraction
    case exponent
    /// Inside `true`, `false` or `null`; the byte that was due.
    case literal(Word, expecting: UInt8)
  }

  public enum Word: Equatable, Sendable {
    case `true`, `false`, null
  }

  public enum Kind: Equatable, Sendable {
    /// The document ends too early.
    case unexpectedEnd
    case invalidCharacter(UInt8, Place)
    /// Deeper than `depthMax`.
    case tooDeep
    /// More values than `nodesMax`.
    case tooManyNodes
  }

  public let kind: Kind
  /// Bytes read when the error was noticed, the offending one included (as Go counts them).
  public let offset: Int

  public init(_ kind: Kind, offset: Int) {
    self.kind = kind
    self.offset = offset
  }

  /// The error as Go's decoder words it, without the offset.
  public var text: String { words.string }

  private var words: Words {
    switch kind {
    case .unexpectedEnd: "unexpected EOF"
    case .tooDeep: "exceeded max depth"
    case .tooManyNodes: "too many values"
    case .invalidCharacter(let byte, let place): "invalid character \(JSONError.quoted(byte)) \(JSONError.text(place))"
    }
  }

  /// The error as the JetStream API shows it: a syntax error says where.
  public var textWithOffset: String {
    if case .unexpectedEnd = kind { return text }
    return ("\(words) at offset \(offset)" as Words).string
  }

  private static func text(_ place: Place) -> Words {
    switch place {
    case .value: "looking for beginning of value"
    case .objectKey: "looking for beginning of object key string"
    case .afterObjectKey: "after object key"
    case .afterMember: "after object key:value pair"
    case .afterElement: "after array element"
    case .afterTopLevel: "after top-level value"
    case .string: "in string literal"
    case .escape: "in string escape code"
    case .unicodeEscape: "in \\u hexadecimal character escape"
    case .number: "in numeric literal"
    case .fraction: "after decimal point in numeric literal"
    case .exponent: "in exponent of numeric literal"
    case .literal(let word, let due): "in literal \(name(word)) (expecting \(quoted(due)))"
    }
  }

  private static func name(_ word: Word) -> Words {
    switch word {
    case .true: "true"
    case .false: "false"
    case .null: "null"
    }
  }

  /// The byte as a quoted Go character; a byte above 0x7F is shown as the code point of the same number, as Go does.
  private static func quoted(_ byte: UInt8) -> Words {
    switch byte {
    case 0x27: "'\\''"
    case 0x5C: "'\\\\'"
    case 0x07: "'\\a'"
    case 0x08: "'\\b'"
    case 0x09: "'\\t'"
    case 0x0A: "'\\n'"
    case 0x0B: "'\\v'"
    case 0x0C: "'\\f'"
    case 0x0D: "'\\r'"
    case 0..<0x20, 0x7F: "'\\x\(hex(byte))'"
    case 0x80...0xA0, 0xAD: "'\\u00\(hex(byte))'"
    default: "'\(String(Character(Unicode.Scalar(byte))))'"
    }
  }

  private static func hex(_ byte: UInt8) -> Words {
    Words(ByteString([HexDigits.lower(byte >> 4), HexDigits.lower(byte & 15)]))
  }
}
