// Signatures (RFC 8032) and comparison of secrets, by OpenSSL.
import Bytes
import COpenSSL

enum Ed25519 {
  static let signatureLength = 64

  /// The public key of a seed of 32 bytes; nil when the library fails.
  static func publicKey(seed: [UInt8]) -> [UInt8]? {
    precondition(seed.count == PublicKey.keyLength, "an Ed25519 seed has 32 bytes")
    var key = [UInt8](repeating: 0, count: PublicKey.keyLength)
    return openssl_ed25519_public_key(seed, &key) == 1 ? key : nil
  }

  static func sign(_ message: ByteView, seed: [UInt8]) -> [UInt8] {
    var signature = [UInt8](repeating: 0, count: signatureLength)
    let signed = openssl_ed25519_sign(seed, message.base, message.count, &signature)
    precondition(signed == 1, "signing fails only without memory")
    return signature
  }

  static func verify(_ signature: [UInt8], of message: ByteView, key: [UInt8]) -> Bool {
    guard signature.count == signatureLength else { return false }
    return openssl_ed25519_verify(key, message.base, message.count, signature) == 1
  }
}

/// Comparison of secrets in a time that does not tell where they differ. Their lengths may show.
public enum Secret {
  public static func equal(_ one: ByteString, _ other: ByteString) -> Bool {
    one.count == other.count && openssl_equal(one.bytes, other.bytes, one.count) == 1
  }
}
