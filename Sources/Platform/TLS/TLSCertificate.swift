// The certificate of the other side, as far as anybody here wants to know it.
import Bytes
import COpenSSL

/// Facts of a certificate.
public struct TLSCertificate: Equatable, Sendable {
  public struct Name: Equatable, Sendable {
    public enum Kind: Sendable { case email, host, uri, address }
    public let kind: Kind
    /// An address in its usual text form, everything else as the certificate has it.
    public let text: ByteString
  }

  /// The distinguished names in the form of RFC 2253, most specific part first.
  public let subject: ByteString
  public let issuer: ByteString
  /// The subject's alternative names, in the certificate's order.
  public let names: [Name]
  /// The first and the last second at which it is valid, since 1970.
  public let begins_s: Int64
  public let ends_s: Int64
  /// SHA-256 of the certificate, and of its SubjectPublicKeyInfo (what nats-server's `pinned_certs` names), both in DER.
  public let hash: [UInt8]
  public let keyHash: [UInt8]

  /// More alternative names are not looked at.
  private static let namesMax = 256

  init(_ certificate: OpaquePointer) {
    subject = Self.text { openssl_certificate_subject(certificate, $0) }
    issuer = Self.text { openssl_certificate_issuer(certificate, $0) }
    begins_s = openssl_certificate_begins(certificate)
    ends_s = openssl_certificate_ends(certificate)
    var hash = [UInt8](repeating: 0, count: OPENSSL_SHA256_BYTES)
    openssl_certificate_hash(certificate, &hash)
    self.hash = hash
    openssl_certificate_key_hash(certificate, &hash)
    keyHash = hash
    var names: [Name] = []
    if let list = openssl_certificate_names(certificate) {
      for index in 0..<min(openssl_names_count(list), Int32(Self.namesMax)) {
        var kind: Int32 = 0
        var size = 0
        guard let bytes = openssl_names_get(list, index, &kind, &size) else { continue }
        names.append(Self.name(kind, ByteView(base: bytes, count: size)))
      }
      openssl_names_free(list)
    }
    self.names = names
  }

  private static func name(_ kind: Int32, _ value: ByteView) -> Name {
    switch Int(kind) {
    case OPENSSL_NAME_EMAIL: Name(kind: .email, text: ByteString(value))
    case OPENSSL_NAME_DNS: Name(kind: .host, text: ByteString(value))
    case OPENSSL_NAME_ADDRESS where value.count == 4 || value.count == 16:
      Name(kind: .address, text: ByteString(SocketAddress(address: value.bytes, port: 0).hostText))
    default: Name(kind: .uri, text: ByteString(value))
    }
  }

  private static func text(_ make: (UnsafeMutablePointer<Int>) -> UnsafeMutablePointer<CChar>?) -> ByteString {
    var size = 0
    guard let text = make(&size) else { return ByteString() }
    defer { openssl_text_free(text) }
    return ByteString(ByteView(UnsafeRawBufferPointer(start: text, count: size)))
  }

  /// More names are only counted in a message.
  private static let namesShown = 8

  /// The hosts and addresses that it is for, in words.
  var shownNames: Words {
    let hosts = names.filter { $0.kind == .host || $0.kind == .address }
    var words: Words = ""
    for host in hosts.prefix(Self.namesShown) {
      let name = Self.shown(host.text)
      words = words.text.isEmpty ? "\"\(name)\"" : "\(words), \"\(name)\""
    }
    if hosts.isEmpty { return "no host at all" }
    return hosts.count > Self.namesShown ? "\(words) and \(hosts.count - Self.namesShown) more" : words
  }

  /// `text`, which a stranger wrote, in one line of bounded length.
  static func shown(_ text: ByteString) -> ByteString {
    let shownMax = 200
    var bytes = text.bytes.prefix(shownMax).map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }
    if text.count > shownMax { bytes.append(literal: "...") }
    return ByteString(bytes)
  }
}

extension Array where Element == UInt8 {
  /// Two lower-case digits for each byte.
  public var hexadecimal: ByteString {
    var digits: [UInt8] = []
    digits.reserveCapacity(count * 2)
    for byte in self {
      for nibble in [byte >> 4, byte & 15] { digits.append(nibble < 10 ? 0x30 + nibble : 0x57 + nibble) }
    }
    return ByteString(digits)
  }
}
