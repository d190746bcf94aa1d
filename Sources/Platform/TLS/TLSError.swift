// Why there is no TLS: files that cannot be used, a handshake that failed. A kind for decisions, and a text for people.
import Bytes
import CLinux
import COpenSSL

/// Why a TLS context could not be made, or why a TLS connection was not or is no longer there.
public struct TLSError: Error, Equatable {
  public enum Kind: Equatable, Sendable {
    /// A file cannot be read, holds nothing of use, or does not belong with another.
    case file
    /// An option names what there is not.
    case option
    case memory
    /// The other side's certificate is not accepted.
    case certificate
    /// The other side showed no certificate although it must.
    case noCertificate
    /// The other side refuses this one.
    case refused
    /// No protocol version or cipher suite that both sides have.
    case nothingInCommon
    /// What came is no TLS.
    case notTLS
    /// The handshake was not done in time.
    case timeout
    /// The connection ended during the handshake.
    case closed
    /// The other side broke the protocol, or somebody in between changed bytes.
    case protocolViolation
  }

  public let kind: Kind
  /// What is wrong and what to do about it, without the name of whom it concerns.
  public let text: ByteString

  init(_ kind: Kind, _ words: Words) {
    self.kind = kind
    text = words.text
  }
}

extension TLSError {
  /// Why the handshake or the connection failed, from OpenSSL's numbers. `name` is the server's as it was to be checked.
  init(failureOf session: OpaquePointer, isServer: Bool, name: ByteString?, now_s: Int64) {
    var detail: Int32 = 0
    let failure = openssl_session_failure(session, &detail)
    if failure == OPENSSL_FAILURE_CERTIFICATE {
      self.init(rejected: openssl_session_rejected(session).map { TLSCertificate($0) }, code: detail, name: name, now_s: now_s)
    } else if failure == OPENSSL_FAILURE_NOT_TLS {
      self.init(
        .notTLS,
        isServer ? "the client does not speak TLS, which is required here" : "the server does not speak TLS here: is TLS on at this port?")
    } else if failure == OPENSSL_FAILURE_VERSION {
      self.init(.nothingInCommon, "the other side speaks no TLS version that is allowed here (1.2 and 1.3; see min_version)")
    } else if failure == OPENSSL_FAILURE_CIPHERS {
      self.init(.nothingInCommon, "no cipher suite, curve or signature that both sides take (see cipher_suites, curve_preferences)")
    } else if failure == OPENSSL_FAILURE_NO_CERTIFICATE {
      self.init(.noCertificate, "the other side showed no certificate, which is required here")
    } else if failure == OPENSSL_FAILURE_ALERT {
      self.init(alert: detail)
    } else {
      self.init(.protocolViolation, "TLS protocol error \(detail)")
    }
  }

  /// A certificate that does not pass, by OpenSSL's X509_V_ERR_ number.
  private init(rejected certificate: TLSCertificate?, code: Int32, name: ByteString?, now_s: Int64) {
    let subject = TLSCertificate.shown(certificate?.subject ?? "")
    switch code {
    case 9, 11:  // NOT_YET_VALID, CRL_NOT_YET_VALID
      self.init(
        .certificate,
        "the certificate of \"\(subject)\" is valid from \(Self.date(certificate?.begins_s ?? 0)), and the clock here says \(Self.date(now_s)): is it set?"
      )
    case 10, 12:  // HAS_EXPIRED
      self.init(
        .certificate,
        "the certificate of \"\(subject)\" has expired at \(Self.date(certificate?.ends_s ?? 0)): it must be renewed")
    case 62, 63, 64:  // HOSTNAME_MISMATCH, EMAIL_MISMATCH, IP_ADDRESS_MISMATCH
      self.init(
        .certificate,
        "the certificate is for \(certificate?.shownNames ?? "nobody"), not for \"\(name ?? "")\": connect by a name that it has, or issue one for this name"
      )
    case 18:  // DEPTH_ZERO_SELF_SIGNED_CERT
      self.init(
        .certificate, "the certificate of \"\(subject)\" is signed by itself and not trusted: name it in ca_file if it is the right one")
    case 19, 2, 20, 21:  // SELF_SIGNED_CERT_IN_CHAIN, UNABLE_TO_GET_ISSUER…, UNABLE_TO_VERIFY_LEAF_SIGNATURE
      self.init(
        .certificate,
        "the certificate of \"\(subject)\" is signed by an unknown authority, \"\(TLSCertificate.shown(certificate?.issuer ?? ""))\": name its certificate in ca_file"
      )
    case 26:  // INVALID_PURPOSE
      self.init(
        .certificate,
        "the certificate of \"\(subject)\" is not made for this: check its extended key usage (server or client authentication)")
    case 66, 67, 68:  // EE_KEY_TOO_SMALL, CA_KEY_TOO_SMALL, CA_MD_TOO_WEAK
      self.init(.certificate, "the certificate of \"\(subject)\" has a key or signature that is too weak (RSA below 2048 bits, SHA-1)")
    default: self.init(.certificate, "the certificate of \"\(subject)\" is not valid (OpenSSL's verify error \(code))")
    }
  }

  /// A certificate's dates reach farther than nanoseconds do.
  private static func date(_ time_s: Int64) -> ByteString {
    let latest_s = Int64.max / second_ns
    return RFC3339.format(min(max(time_s, -latest_s), latest_s) * second_ns)
  }

  /// What the other side's alert means (RFC 8446, section 6).
  private init(alert: Int32) {
    let text: Words
    switch alert {
    case 40: text = "no common cipher suite, version or certificate"
    case 42, 43: text = "it does not take our certificate"
    case 44: text = "it says that our certificate is revoked"
    case 45: text = "it says that our certificate has expired"
    case 46: text = "it does not take our certificate"
    case 48: text = "it does not know the authority of our certificate"
    case 49: text = "access denied"
    case 70: text = "it does not speak our TLS version"
    case 112: text = "it does not know the server name that was asked for"
    case 116: text = "it requires a client certificate: set cert_file and key_file"
    default: text = "alert \(alert)"
    }
    self.init(alert == 40 || alert == 70 ? .nothingInCommon : .refused, "the other side refused the TLS connection: \(text)")
  }

  static var handshakeTimeout: TLSError { TLSError(.timeout, "the TLS handshake was not done in time") }
  static var closedInHandshake: TLSError { TLSError(.closed, "the other side closed the connection during the TLS handshake") }
  static func notPinned(_ certificate: TLSCertificate) -> TLSError {
    TLSError(
      .certificate,
      "the key of the certificate of \"\(TLSCertificate.shown(certificate.subject))\" is none of pinned_certs: its SHA-256 is \(certificate.keyHash.hexadecimal)"
    )
  }
}
