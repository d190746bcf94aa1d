import Bytes
import Testing

@testable import Identity

@Suite struct ProvenPasswordTests {
  private let hash: ByteString = "$2b$04$17OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V."
  private let other: ByteString = "$2b$04$27OA79sCmgnl9iHQvDygYeUBn2wkvjAmMF9cR/eZ8aI4Ue8UNt0V."

  @Test("a password is remembered for its hash alone, and for an hour")
  func one() {
    var proven = ProvenPasswords(key: [UInt8](repeating: 7, count: 32))
    func hold(_ password: ByteString, for hash: ByteString, now_ns: Int64) -> Bool { proven.hold(password, for: hash, now_ns: now_ns) }
    #expect(!hold("secret", for: hash, now_ns: 0))
    proven.add("secret", for: hash, now_ns: 0)
    proven.add("secret", for: hash, now_ns: 1)
    #expect(proven.count == 1)
    #expect(hold("secret", for: hash, now_ns: ProvenPasswords.lifetime_ns - 1))
    for (password, hash) in [("Secret", hash), ("", hash), ("secret", other), ("secre", hash)] as [(ByteString, ByteString)] {
      #expect(!hold(password, for: hash, now_ns: 2))
    }
    #expect(!hold("secret", for: hash, now_ns: ProvenPasswords.lifetime_ns) && proven.count == 0)
  }

  @Test("so many are remembered, and the one that was proven first goes first")
  func bounded() {
    var proven = ProvenPasswords(key: [UInt8](repeating: 7, count: 32))
    func hold(_ password: ByteString, for hash: ByteString, now_ns: Int64) -> Bool { proven.hold(password, for: hash, now_ns: now_ns) }
    for index in 0...ProvenPasswords.countMax { proven.add(ByteString("p\(index)"), for: hash, now_ns: 0) }
    #expect(proven.count == ProvenPasswords.countMax)
    #expect(!hold("p0", for: hash, now_ns: 0) && hold("p1", for: hash, now_ns: 0))
    #expect(hold(ByteString("p\(ProvenPasswords.countMax)"), for: hash, now_ns: 0))
  }

  @Test("a decoy costs what the hash costs, and is no password's")
  func decoy() {
    let stored = StoredPassword(hash)
    #expect(stored.decoy.count == 60 && stored.decoy != hash && stored.decoy.bytes.prefix(29) == hash.bytes.prefix(29))
    #expect(StoredPassword(stored.decoy).hashProblem == nil)
  }
}
