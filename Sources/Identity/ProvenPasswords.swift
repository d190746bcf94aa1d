// Passwords that were found to match their bcrypt hashes a while ago, so that a device that comes back does not cost that again.
import Bytes
import COpenSSL

/// Remembers which passwords matched which hashes, without the passwords: by HMAC-SHA-256 under a key that only this process has had.
/// Whoever reads the process's memory can try passwords against it faster than against bcrypt, therefore it forgets soon.
public struct ProvenPasswords {
  /// As many devices as come back at once after a switch was turned off and on.
  public static let countMax = 256
  public static let lifetime_ns: Int64 = 3_600_000_000_000

  private struct Proof {
    let digest: ByteString
    let end_ns: Int64
  }

  private let key: [UInt8]
  /// The oldest first.
  private var proofs: [Proof] = []

  /// `key`: 32 bytes that nobody can guess.
  public init(key: [UInt8]) { self.key = key }

  /// Whether `password` was found to match `hash`, not too long ago. `now_ns` is monotonic.
  public mutating func hold(_ password: ByteString, for hash: ByteString, now_ns: Int64) -> Bool {
    forget(before: now_ns)
    return !proofs.isEmpty && contains(digest(password, hash))
  }

  private func contains(_ digest: ByteString) -> Bool {
    var isThere = false
    for proof in proofs where Secret.equal(proof.digest, digest) { isThere = true }
    return isThere
  }

  /// `password` has been found to match `hash`.
  public mutating func add(_ password: ByteString, for hash: ByteString, now_ns: Int64) {
    forget(before: now_ns)
    let digest = digest(password, hash)
    guard !contains(digest) else { return }
    if proofs.count == Self.countMax { proofs.removeFirst() }
    proofs.append(Proof(digest: digest, end_ns: now_ns + Self.lifetime_ns))
  }

  public var count: Int { proofs.count }

  private mutating func forget(before now_ns: Int64) {
    guard let first = proofs.first, first.end_ns <= now_ns else { return }
    proofs.removeAll { $0.end_ns <= now_ns }
  }

  private func digest(_ password: ByteString, _ hash: ByteString) -> ByteString {
    precondition(hash.count == StoredPassword.hashLength, "a hash of another length could swallow a part of the password")
    var text = hash.bytes + password.bytes
    var digest = [UInt8](repeating: 0, count: OPENSSL_SHA256_BYTES)
    openssl_keyed_hash(key, key.count, text, text.count, &digest)
    Seed.erase(&text)
    return ByteString(digest)
  }
}
