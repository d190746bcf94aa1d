// The secret half of a key (`S…`), which signs.
import Bytes
import COpenSSL

/// A seed: whoever has it can sign for its public key. Its bytes are overwritten when it goes.
public final class Seed {
  /// The text of every seed has so many characters.
  public static let textLength = 58
  /// Five bits that say seed, before five that say whose.
  private static let prefix: UInt8 = 0x90

  public let publicKey: PublicKey
  private var bytes: [UInt8]

  /// nil when `text` is not a seed.
  public init?(_ text: ByteView) {
    guard text.count == Self.textLength, var raw = PublicKey.checked(text) else { return nil }
    defer { Self.erase(&raw) }
    guard raw.count == 2 + PublicKey.keyLength, raw[0] & 0xF8 == Self.prefix,
      let kind = KeyKind(rawValue: (raw[0] & 7) << 5 | raw[1] >> 3), raw[1] & 7 == 0
    else { return nil }
    bytes = Array(raw[2...])
    guard let key = Ed25519.publicKey(seed: bytes) else { return nil }
    publicKey = PublicKey(kind: kind, key: key)
  }

  deinit { Self.erase(&bytes) }

  /// The signature of `message`: 64 bytes.
  public func sign(_ message: ByteView) -> [UInt8] { Ed25519.sign(message, seed: bytes) }

  /// Overwrites what holds a secret.
  public static func erase(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { buffer in
      if let start = buffer.baseAddress { openssl_erase(start, buffer.count) }
    }
  }
}
