// What many TLS connections have in common, made from files: certificate, authorities, what is allowed.
import Bytes
import CLinux
import COpenSSL

/// What one side of TLS shows and demands: nats-server's `tls` block.
public struct TLSSettings: Equatable, Sendable {
  /// PEM files of this side's certificate chain and its key; both or neither.
  public var certificateFile: ByteString?
  public var keyFile: ByteString?
  /// A PEM file of the authorities to trust; nil: those of the operating system.
  public var authorityFile: ByteString?
  /// A server: whether clients must show a certificate. A client always checks its server's, unless `isInsecure`.
  public var requiresPeerCertificate = false
  /// A client: takes any certificate of any server.
  public var isInsecure = false
  public var onlyTLS13 = false
  /// Names of the IANA registry, best first; empty: all that are allowed. TLS 1.3 always has all of its own.
  public var cipherSuites: [ByteString] = []
  /// X25519, P-256, P-384, P-521, best first; empty: the library's order.
  public var groups: [ByteString] = []
  /// SHA-256 of the public keys that the other side may have; empty: any.
  public var pinnedKeys: [[UInt8]] = []

  public init() {}
}

/// A TLS context: made at start and at a reload, used by connections. Those that have it keep it.
public final class TLSContext {
  public enum Side: Sendable { case server, client }

  public let side: Side
  public let settings: TLSSettings
  let pointer: OpaquePointer

  /// Reads the files of `settings`. Blocks for as long as that takes.
  public init(_ side: Side, _ settings: TLSSettings) throws(TLSError) {
    self.side = side
    self.settings = settings
    guard let pointer = openssl_context_new(side == .server ? 1 : 0, settings.onlyTLS13 ? 1 : 0) else {
      throw TLSError(.memory, "out of memory for TLS")
    }
    self.pointer = pointer
    if let chain = settings.certificateFile, let key = settings.keyFile { try useCertificate(chain, key) }
    if side == .server ? settings.requiresPeerCertificate : !settings.isInsecure {
      try trust()
      openssl_context_check_peer(pointer)
    }
    if !settings.cipherSuites.isEmpty {
      let result = Self.joined(settings.cipherSuites) { openssl_context_set_ciphers(pointer, $0) }
      guard result == OPENSSL_OK else { throw TLSError(.option, "cipher_suites: none of them is there") }
    }
    if !settings.groups.isEmpty {
      let result = Self.joined(settings.groups) { openssl_context_set_groups(pointer, $0) }
      guard result == OPENSSL_OK else { throw TLSError(.option, "curve_preferences: none of them is there") }
    }
  }

  deinit { openssl_context_free(pointer) }

  private func useCertificate(_ chain: ByteString, _ key: ByteString) throws(TLSError) {
    var ofKey: Int32 = 0
    var code: Int32 = 0
    let result = Self.terminated(chain) { chain in
      Self.terminated(key) { key in openssl_context_use_certificate(pointer, chain, key, &ofKey, &code) }
    }
    if result == OPENSSL_OTHER_KEY {
      throw TLSError(.file, "the key in key_file \"\(key)\" is not that of the certificate in cert_file \"\(chain)\"")
    }
    try Self.check(result, ofKey == 1 ? "key_file" : "cert_file", ofKey == 1 ? key : chain, code)
  }

  private func trust() throws(TLSError) {
    guard let file = settings.authorityFile else {
      guard openssl_context_trust_system(pointer) == OPENSSL_OK else {
        throw TLSError(.file, "no certificate authorities on this machine: install ca-certificates, or name those to trust in ca_file")
      }
      return
    }
    var code: Int32 = 0
    let result = Self.terminated(file) { openssl_context_trust_file(pointer, side == .server ? 1 : 0, $0, &code) }
    try Self.check(result, "ca_file", file, code)
  }

  /// Throws what a result other than OPENSSL_OK means.
  private static func check(_ result: Int32, _ option: StaticString, _ path: ByteString, _ code: Int32) throws(TLSError) {
    let what: Words
    switch Int(result) {
    case OPENSSL_OK: return
    case OPENSSL_UNREADABLE: what = "cannot be read: \(DiskError(errno: code, operation: "read", path: "").kind)"
    case OPENSSL_FILE_TOO_LARGE: what = "is too large for a file of certificates"
    case OPENSSL_NO_CERTIFICATE, OPENSSL_NO_AUTHORITIES: what = "holds no certificate in PEM form"
    case OPENSSL_BAD_CERTIFICATE: what = "holds a certificate that cannot be read"
    case OPENSSL_WEAK_CERTIFICATE: what = "holds a certificate that is too weak (RSA below 2048 bits, SHA-1)"
    case OPENSSL_NO_KEY: what = "holds no private key in PEM form"
    case OPENSSL_ENCRYPTED_KEY:
      what = "holds an encrypted key, and there is nobody to ask for its password: decrypt it (openssl pkey -in … -out …)"
    default: throw TLSError(.memory, "out of memory for TLS")
    }
    throw TLSError(.file, "\(option) \"\(path)\" \(what)")
  }

  /// `names`, separated by colons, as C reads it.
  private static func joined(_ names: [ByteString], _ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
    var list: [UInt8] = []
    for name in names {
      if !list.isEmpty { list.append(ASCII.colon) }
      list.append(name)
    }
    return terminated(ByteString(list), body)
  }

  /// `text` as C reads it. What comes from a configuration has no NUL.
  static func terminated<Result>(_ text: ByteString, _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    (text.bytes + [0]).withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
  }
}
