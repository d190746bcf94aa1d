// A `tls` block: of the client listener, of a leaf remote, of the uplink.
import Bytes

/// What one side of TLS shows and demands, as configured. Files are read when the agent starts, and again at a reload.
public struct TLSOptions: Equatable, Sendable {
  /// When the handshake of TLS begins.
  public enum HandshakeFirst: Equatable, Sendable {
    /// After INFO.
    case no
    /// Before INFO.
    case yes
    /// A listener: before INFO when the client begins with it in this time, else after INFO.
    case within_ns(Int64)
  }

  /// nats-server's `tls.timeout`.
  public static let timeoutDefault_ns: Int64 = 2_000_000_000
  /// nats-server's `handshake_first: auto`.
  public static let handshakeFirstAuto_ns: Int64 = 50_000_000
  public static let pinnedCertificatesMax = 64

  public var location = Location.none
  public var certificateFile: ByteString?
  public var keyFile: ByteString?
  public var authorityFile: ByteString?
  /// A listener: whether clients must show a certificate of a trusted authority.
  public var verifies = false
  /// A listener: whether that certificate also says which user the client is.
  public var maps = false
  /// A side that dials: takes any certificate.
  public var isInsecure = false
  /// For the whole handshake; nil: the standard of whoever uses it.
  public var timeout_ns: Int64?
  public var handshakeFirst = HandshakeFirst.no
  /// SHA-256 of the public keys that the other side may have.
  public var pinnedKeys: [[UInt8]] = []
  /// Names of the IANA registry, best first; empty: all.
  public var cipherSuites: [ByteString] = []
  /// As OpenSSL names them; empty: all.
  public var groups: [ByteString] = []
  public var onlyTLS13 = false

  public init() {}
}

extension Options {
  /// Changes the `tls` block of the client listener, which is there from then on.
  mutating func changeTLS(_ change: (inout TLSOptions) -> Void) {
    var changed = tls ?? TLSOptions()
    change(&changed)
    tls = changed
  }
}
