// Who this server says it is.
import Bytes
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

  /// A random public key in nkey form: prefix byte, 32 bytes, CRC-16/XMODEM little endian, in base 32. Nobody signs with it; it names
  /// the process.
  private static func makeID(_ entropy: any Entropy) -> ByteString {
    let serverPrefix: UInt8 = 13 << 3
    var raw: [UInt8] = [serverPrefix]
    for _ in 0..<4 {
      var word = entropy.next()
      for _ in 0..<8 {
        raw.append(UInt8(truncatingIfNeeded: word))
        word >>= 8
      }
    }
    var crc: UInt16 = 0
    for byte in raw {
      crc ^= UInt16(byte) << 8
      for _ in 0..<8 { crc = crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
    }
    raw.append(UInt8(truncatingIfNeeded: crc))
    raw.append(UInt8(truncatingIfNeeded: crc >> 8))
    let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    var text: [UInt8] = []
    var bits: UInt32 = 0
    var bitCount = 0
    for byte in raw {
      bits = bits << 8 | UInt32(byte)
      bitCount += 8
      while bitCount >= 5 {
        bitCount -= 5
        text.append(alphabet.utf8Start[Int(bits >> UInt32(bitCount) & 31)])
      }
    }
    return ByteString(text)
  }
}
