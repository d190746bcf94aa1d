// Who is at the other end of a TLS stream.
import Bytes
import COpenSSL

extension TLSStream {
  /// More certificates of a chain are not shown.
  private static let chainMax = 8

  /// The certificates that the other side showed, its own first. Empty when it showed none.
  public var peerCertificates: [TLSCertificate] {
    var chain: [TLSCertificate] = []
    while chain.count < Self.chainMax, let next = openssl_session_certificate(session, Int32(chain.count)) {
      chain.append(TLSCertificate(next))
    }
    return chain
  }

  /// "1.3", as nats-server shows it.
  public var versionName: ByteString {
    let text = Self.text(openssl_session_version(session))
    return text.hasPrefix("TLSv") ? ByteString([UInt8](text.bytes[4...])) : text
  }

  /// The cipher suite's name in the IANA registry.
  public var cipherName: ByteString { Self.text(openssl_session_cipher(session)) }

  private static func text(_ text: UnsafePointer<CChar>) -> ByteString {
    var length = 0
    while text[length] != 0 { length += 1 }
    return ByteString(ByteView(UnsafeRawBufferPointer(start: text, count: length)))
  }

  /// What is wrong when the other side's key must be one of a few and is not.
  var unpinned: TLSError? {
    let pins = context.settings.pinnedKeys
    guard !pins.isEmpty else { return nil }
    guard let own = openssl_session_certificate(session, 0) else {
      return TLSError(.noCertificate, "the other side showed no certificate, and pinned_certs asks for one")
    }
    let certificate = TLSCertificate(own)
    return pins.contains(certificate.keyHash) ? nil : .notPinned(certificate)
  }

  static func makeSession(_ context: TLSContext, _ serverName: ByteString?, _ host: Host) -> OpaquePointer {
    let now_s = host.clock.wall_ns / second_ns
    let session: OpaquePointer?
    // Without the check of its certificate the name is still told to the server, which may have several.
    if context.side == .client, let serverName, !serverName.isEmpty {
      let isAddress = SocketAddress(literal: serverName.string, port: 0) != nil
      session = TLSContext.terminated(serverName) { openssl_session_new(context.pointer, 0, $0, isAddress ? 1 : 0, now_s) }
    } else {
      session = openssl_session_new(context.pointer, context.side == .server ? 1 : 0, nil, 0, now_s)
    }
    // As everywhere: without memory there is no going on.
    guard let session else { fatalError("out of memory for a TLS session") }
    return session
  }
}
