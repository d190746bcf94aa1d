// Who this server says it is.
import Bytes
import Identity
import Platform

/// The names that a server gives in INFO and in monitoring.
public struct ServerIdentity {
  /// The nats-server release whose protocol and API this one speaks. Clients and hubs decide by it what they may use.
  public static let protocolVersion: ByteString = "2.15.1"
  /// The level of the JetStream API (jetstream-api.md section 1).
  public static let apiLevel = 5
  /// What stands where nats-server names its compiler.
  public static let compiler: ByteString = "swift6.3"

  /// 56 characters, of the form of a public server nkey (`N…`).
  public let id: ByteString
  public let name: ByteString
  /// The release of this program.
  public let release: ByteString

  /// `name` empty: the id is the name.
  public init(name: ByteString, release: ByteString, entropy: any Entropy) {
    id = Self.makeID(entropy)
    self.name = name.isEmpty ? id : name
    self.release = release
  }

  /// A random public key. Nobody signs with it; it names the process.
  private static func makeID(_ entropy: any Entropy) -> ByteString {
    var random: [UInt8] = []
    for _ in 0..<4 {
      var word = entropy.next()
      for _ in 0..<8 {
        random.append(UInt8(truncatingIfNeeded: word))
        word >>= 8
      }
    }
    return PublicKey.name(.server, random: random)
  }
}
