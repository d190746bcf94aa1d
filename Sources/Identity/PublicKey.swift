// Public keys as NATS writes them (nkeys): a letter for what they name, 32 bytes of Ed25519 key, a checksum, in base 32.
import Bytes

/// What a key names. The letter is the first of its text.
public enum KeyKind: UInt8, Sendable {
  case account = 0  // A
  case cluster = 0x10  // C
  case server = 0x68  // N
  case `operator` = 0x70  // O
  case user = 0xA0  // U
  case curve = 0xB8  // X
}

/// A public key with its kind.
public struct PublicKey: Hashable, Sendable {
  /// The text of every public key has so many characters.
  public static let textLength = 56
  static let keyLength = 32

  public let kind: KeyKind
  /// 56 characters.
  public let text: ByteString
  /// 32 bytes.
  let key: [UInt8]

  /// nil when `text` is not a public key.
  public init?(_ text: ByteView) {
    guard text.count == Self.textLength, let raw = Self.checked(text), raw.count == 1 + Self.keyLength,
      let kind = KeyKind(rawValue: raw[0])
    else { return nil }
    self.kind = kind
    self.text = ByteString(text)
    key = Array(raw[1...])
  }

  public init?(_ text: ByteString) {
    guard let key = text.withView({ PublicKey($0) }) else { return nil }
    self = key
  }

  /// nil too when it is of another kind.
  public init?(_ text: ByteString, kind: KeyKind) {
    guard let key = PublicKey(text), key.kind == kind else { return nil }
    self = key
  }

  init(kind: KeyKind, key: [UInt8]) {
    precondition(key.count == Self.keyLength, "an Ed25519 key has 32 bytes")
    self.kind = kind
    self.key = key
    text = ByteString(Self.text(of: [kind.rawValue] + key))
  }

  /// A key of random bytes to which nobody has the seed: a name.
  public static func name(_ kind: KeyKind, random: [UInt8]) -> ByteString { PublicKey(kind: kind, key: random).text }

  /// Whether the owner of this key signed `message`.
  public func verifies(_ signature: [UInt8], of message: ByteView) -> Bool {
    Ed25519.verify(signature, of: message, key: key)
  }

  // MARK: The text of keys

  /// Bytes and checksum in base 32.
  static func text(of bytes: [UInt8]) -> [UInt8] {
    let crc = bytes.withView { CRC16.checksum($0) }
    return (bytes + [UInt8(truncatingIfNeeded: crc), UInt8(truncatingIfNeeded: crc >> 8)]).withView { Base32.encode($0) }
  }

  /// The bytes of a key's text without the checksum, which was right.
  static func checked(_ text: ByteView) -> [UInt8]? {
    guard let bytes = Base32.decode(text), bytes.count > 2 else { return nil }
    let crc = UInt16(bytes[bytes.count - 2]) | UInt16(bytes[bytes.count - 1]) << 8
    let body = Array(bytes.dropLast(2))
    return body.withView { CRC16.checksum($0) } == crc ? body : nil
  }
}
