// What a dialled link proves itself with, besides user and password of its URL (leafnode-protocol.md section 8).
import Bytes
import Identity
import JSON
import Platform

/// How a link proves who it is.
public enum LeafCredentials: Equatable, Sendable {
  case none
  /// A credentials file. It is read for each connection, so that a new one needs no restart.
  case file(ByteString)
  /// A user's seed.
  case seed(ByteString)

  /// Why there is no proof.
  struct Failure: Error {
    let text: Words
  }

  /// The members of CONNECT that prove it to whoever gave `nonce`.
  func prove(nonce: ByteString, disk: any Disk) throws(Failure) -> [(name: StaticString, value: ByteString)] {
    switch self {
    case .none: return []
    case .file(let path):
      let file = try Self.read(path, disk)
      return [("jwt", file.token), ("sig", Self.sign(nonce, file.seed))]
    case .seed(let text):
      guard let seed = text.withView({ Seed($0) }) else { throw Failure(text: "the nkey is not a seed") }
      return [("nkey", seed.publicKey.text), ("sig", Self.sign(nonce, seed))]
    }
  }

  private static func read(_ path: ByteString, _ disk: any Disk) throws(Failure) -> CredentialsFile {
    var text: [UInt8]
    do throws(DiskError) {
      text = try disk.readFile(path.string, sizeMax: CredentialsFile.sizeMax)
    } catch { throw Failure(text: "credentials file \(path): \(error.kind)") }
    defer { Seed.erase(&text) }
    do throws(CredentialsFile.Failure) {
      return try text.withView { view throws(CredentialsFile.Failure) in try CredentialsFile(parsing: view) }
    } catch { throw Failure(text: "credentials file \(path): \(error.text)") }
  }

  private static func sign(_ nonce: ByteString, _ seed: Seed) -> ByteString {
    ByteString(nonce.withView { seed.sign($0) }.withView { Base64.encodeURL($0) })
  }
}
