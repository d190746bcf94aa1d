import Bytes
import Testing

@testable import Identity

@Suite struct KeyTests {
  @Test("a seed gives its public key, and its own text back") func seedAndKey() throws {
    let raw = [UInt8](0..<32)
    let text = PublicKey.text(of: [0x90 | 0xA0 >> 5, (0xA0 & 31) << 3] + raw)
    let seed = try #require(text.withView { Seed($0) })
    #expect(text.count == Seed.textLength)
    #expect(text.starts(with: "SU".utf8))
    #expect(seed.publicKey.kind == .user)
    #expect(seed.publicKey.text.hasPrefix("U"))
    #expect(seed.publicKey.text.count == PublicKey.textLength)
    #expect(PublicKey(seed.publicKey.text) == seed.publicKey)
  }

  @Test("what a seed signs verifies with its key, and nothing else does") func signatures() {
    let one = seed(.user, 7)
    let other = seed(.user, 8)
    let message = ByteString("ATc3ZZvaLDWvjxM")
    let signature = message.withView { one.sign($0) }
    #expect(message.withView { one.publicKey.verifies(signature, of: $0) })
    #expect(!message.withView { other.publicKey.verifies(signature, of: $0) })
    #expect(!ByteString("ATc3ZZvaLDWvjxN").withView { one.publicKey.verifies(signature, of: $0) })
    #expect(!message.withView { one.publicKey.verifies([UInt8](signature.dropLast()), of: $0) })
    for bit in 0..<512 {
      var broken = signature
      broken[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(!message.withView { one.publicKey.verifies(broken, of: $0) })
    }
  }

  @Test("each kind of key begins with its letter")
  func kinds() {
    let letters: [(KeyKind, StaticString)] = [
      (.account, "A"), (.cluster, "C"), (.server, "N"), (.operator, "O"), (.user, "U"), (.curve, "X"),
    ]
    for (kind, letter) in letters {
      let name = PublicKey.name(kind, random: [UInt8](repeating: 0x5A, count: 32))
      #expect(name.hasPrefix(letter))
      #expect(PublicKey(name)?.kind == kind)
      #expect(PublicKey(name, kind: kind == .user ? .account : .user) == nil)
    }
  }

  @Test("a key with one changed character is no key") func changedCharacter() {
    let name = PublicKey.name(.user, random: (0..<32).map { UInt8($0 * 7) })
    for index in 0..<name.count {
      for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567018=abcu.".utf8 where letter != name.bytes[index] {
        var changed = name.bytes
        changed[index] = letter
        #expect(changed.withView { PublicKey($0) } == nil)
      }
    }
  }

  @Test("random bytes are neither keys nor seeds, and never trap") func fuzz() {
    var random = SystemRandomNumberGenerator()
    let digits = [UInt8]("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)
    for _ in 0..<20_000 {
      let length = Int.random(in: 0...70, using: &random)
      let text = (0..<length).map { _ in
        Bool.random(using: &random) ? UInt8.random(in: 0...255, using: &random) : digits.randomElement(using: &random)!
      }
      #expect(text.withView { PublicKey($0) } == nil)
      #expect(text.withView { Seed($0) } == nil)
    }
  }

  @Test("base 32 and base 64 come back as they went, and each text is decoded in one way only") func codings() {
    for length in 0..<80 {
      let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 * 37 + length) }
      #expect(bytes.withView { Base32.encode($0) }.withView { Base32.decode($0) } == bytes)
      #expect(bytes.withView { Base64.encodeURL($0) }.withView { Base64.decodeURL($0) } == bytes)
    }
    #expect(ByteString("AB").withView { Base32.decode($0) } == nil)
    #expect(ByteString("A").withView { Base32.decode($0) } == nil)
    #expect(ByteString("a+b/").withView { Base64.decodeURL($0) } == nil)
    #expect(ByteString("A").withView { Base64.decodeURL($0) } == nil)
  }
}

@Suite struct PasswordTests {
  @Test("hashes are told from passwords as nats-server does") func hashes() {
    func isHash(_ text: ByteString) -> Bool { StoredPassword(text).isHash }
    #expect(isHash("$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"))
    #expect(isHash("$2b$04$x"))
    #expect(isHash("$2y$99$"))
    for text: ByteString in ["", "$2", "secret", "$2c$11$abc", "$2a$1$abc", "$2a$xx$abc", "2a$11$abc", "$1$abc$def"] {
      #expect(!isHash(text))
    }
  }

  @Test("a hash that cannot be one is named") func problems() {
    func problem(_ text: ByteString) -> Bool { StoredPassword(text).hashProblem != nil }
    #expect(!problem("$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"))
    #expect(!problem("a password"))
    #expect(problem("$2a$31$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"))
    #expect(problem("$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHy"))
    #expect(problem("$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT!xtiHyG"))
  }

  @Test("passwords are equal when all their bytes are") func plain() {
    #expect(StoredPassword("secret").equals("secret"))
    #expect(StoredPassword("").equals(""))
    #expect(!StoredPassword("secret").equals("secreT"))
    #expect(!StoredPassword("secret").equals("secret "))
    #expect(!StoredPassword("secret").equals(ByteString([115, 101, 99, 114, 101, 116, 0])))
    // A hash never equals its own text.
    #expect(!StoredPassword("$2a$04$abc").equals("$2a$04$abc"))
  }
}
