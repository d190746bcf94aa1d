// Keys and tokens of the tests' own making.
import Bytes

@testable import Identity

/// A seed of 32 equal bytes.
func seed(_ kind: KeyKind, _ byte: UInt8) -> Seed {
  let text = PublicKey.text(of: [0x90 | kind.rawValue >> 5, (kind.rawValue & 31) << 3] + [UInt8](repeating: byte, count: 32))
  return text.withView { Seed($0)! }
}

/// The text of a token with these claims, signed by `issuer` as `version` 1 or 2 does.
func token(_ claims: String, by issuer: Seed, version: Int = 2, header: String? = nil) -> ByteString {
  func coded(_ text: String) -> [UInt8] { [UInt8](text.utf8).withView { Base64.encodeURL($0) } }
  let head = coded(header ?? "{\"typ\":\"JWT\",\"alg\":\"\(version == 1 ? "ed25519" : "ed25519-nkey")\"}")
  let body = coded(claims)
  let signed = version == 1 ? body : head + [ASCII.dot] + body
  let signature = signed.withView { issuer.sign($0) }.withView { Base64.encodeURL($0) }
  return ByteString(head + [ASCII.dot] + body + [ASCII.dot] + signature)
}

/// The claims of a user of the second version; `nats` is what follows the type.
func userClaims(_ user: Seed, by issuer: Seed, nats: String = "", more: String = "") -> String {
  """
  {"iss":"\(issuer.publicKey.text.string)","sub":"\(user.publicKey.text.string)","name":"edge-1","iat":1700000000\(more),
   "nats":{"type":"user","version":2,"subs":-1,"data":-1,"payload":-1\(nats)}}
  """
}

func accountClaims(_ account: Seed, by issuer: Seed, nats: String = "") -> String {
  """
  {"iss":"\(issuer.publicKey.text.string)","sub":"\(account.publicKey.text.string)","name":"ACC","iat":1700000000,
   "nats":{"type":"account","version":2,"tags":["site:north","site:south"]\(nats)}}
  """
}

func parse(_ text: ByteString) throws(TokenProblem) -> Token {
  try text.withView { view throws(TokenProblem) in try Token(view) }
}
