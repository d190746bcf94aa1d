import COpenSSL
import Testing

@Suite("Hashes and signatures")
struct CryptoTests {
  /// The bytes that a text of hexadecimal digits spells.
  private func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.utf8.map { UInt8($0 < 58 ? $0 - 48 : $0 - 87) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  private func sha256(_ message: [UInt8]) -> [UInt8] {
    var hash = [UInt8](repeating: 0, count: OPENSSL_SHA256_BYTES)
    openssl_sha256(message, message.count, &hash)
    return hash
  }

  private func sha512(_ message: [UInt8]) -> [UInt8] {
    var hash = [UInt8](repeating: 0, count: OPENSSL_SHA512_BYTES)
    openssl_sha512(message, message.count, &hash)
    return hash
  }

  @Test("SHA-256 and SHA-512 give the hashes of FIPS 180-4's examples")
  func hashes() {
    #expect(sha256([]) == bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    #expect(sha256(Array("abc".utf8)) == bytes("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
    #expect(
      sha512(Array("abc".utf8))
        == bytes(
          "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ))
  }

  /// RFC 8032, section 7.1: the first three examples.
  static let examples: [(seed: String, key: String, message: String, signature: String)] = [
    (
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    ),
    (
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    ),
    (
      "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
      "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    ),
  ]

  @Test("Ed25519 makes the keys and signatures of RFC 8032's examples", arguments: examples)
  func signing(_ example: (seed: String, key: String, message: String, signature: String)) {
    let message = bytes(example.message)
    var key = [UInt8](repeating: 0, count: OPENSSL_ED25519_KEY_BYTES)
    var signature = [UInt8](repeating: 0, count: OPENSSL_ED25519_SIGNATURE_BYTES)
    #expect(openssl_ed25519_public_key(bytes(example.seed), &key) == 1)
    #expect(key == bytes(example.key))
    #expect(openssl_ed25519_sign(bytes(example.seed), message, message.count, &signature) == 1)
    #expect(signature == bytes(example.signature))
    #expect(openssl_ed25519_verify(key, message, message.count, signature) == 1)
  }

  @Test("A signature over other bytes, by another key or with one bit turned is refused")
  func wrongSignatures() {
    let example = Self.examples[2]
    let message = bytes(example.message)
    for bit in 0..<512 {
      var turned = bytes(example.signature)
      turned[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(openssl_ed25519_verify(bytes(example.key), message, message.count, turned) == 0)
    }
    #expect(openssl_ed25519_verify(bytes(example.key), bytes("af83"), 2, bytes(example.signature)) == 0)
    #expect(openssl_ed25519_verify(bytes(Self.examples[1].key), message, message.count, bytes(example.signature)) == 0)
    // 2 is no point of the curve, so no key either.
    let noKey = [2] + [UInt8](repeating: 0, count: 31)
    #expect(openssl_ed25519_verify(noKey, message, message.count, bytes(example.signature)) == 0)
  }

  @Test("Secrets are compared and erased")
  func secrets() {
    var secret: [UInt8] = [1, 2, 3, 4]
    #expect(openssl_equal(secret, bytes("01020304"), 4) == 1)
    #expect(openssl_equal(secret, bytes("01020305"), 4) == 0)
    openssl_erase(&secret, secret.count)
    #expect(secret == [0, 0, 0, 0])
  }
}
