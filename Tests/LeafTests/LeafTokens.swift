// Keys and tokens that recorded links do not come with.
import Bytes

@testable import Identity

enum LeafTokens {
  /// A seed of 32 equal bytes.
  static func seed(_ kind: KeyKind, _ byte: UInt8) -> Seed {
    let text = PublicKey.text(of: [0x90 | kind.rawValue >> 5, (kind.rawValue & 31) << 3] + [UInt8](repeating: byte, count: 32))
    return text.withView { Seed($0)! }
  }

  /// The token of the account with this public key, without limits.
  static func account(_ key: ByteString, by issuer: Seed) -> ByteString {
    let claims = """
      {"iss":"\(issuer.publicKey.text.string)","sub":"\(key.string)","name":"ACC","iat":1700000000,
       "nats":{"type":"account","version":2,"limits":{"subs":-1,"conn":-1,"leaf":-1,"data":-1,"payload":-1}}}
      """
    func coded(_ text: String) -> [UInt8] { [UInt8](text.utf8).withView { Base64.encodeURL($0) } }
    let signed = coded("{\"typ\":\"JWT\",\"alg\":\"ed25519-nkey\"}") + [ASCII.dot] + coded(claims)
    return ByteString(signed + [ASCII.dot] + signed.withView { issuer.sign($0) }.withView { Base64.encodeURL($0) })
  }
}
