// The option tables of `tls` blocks. What both ends of a connection have is the same; a listener has more.
import Bytes

extension TLSOptions {
  /// Of the side that dials.
  static var dialTable: [Option<TLSOptions>] {
    [
      Option(
        "cert_file", kind: .string { $0.certificateFile = $1 },
        doc: "A PEM file: this side's certificate, then those that lead to its authority."),
      Option("key_file", kind: .string { $0.keyFile = $1 }, doc: "A PEM file of the certificate's key, not encrypted."),
      Option(
        "ca_file", kind: .string { $0.authorityFile = $1 }, standard: "the operating system's authorities",
        doc: "A PEM file of the authorities that are trusted."),
      Option(
        "insecure", kind: .boolean { $0.isInsecure = $1 }, standard: "false",
        doc: "Takes any certificate. Whoever is on the way can then read and change everything: for trials only."),
      Option(
        "timeout", kind: .custom(type: "seconds or duration") { decoder, tls, entry in tls.timeout_ns = decoder.seconds(entry) },
        doc: "How long the handshake may take. A listener's standard is 2s; who dials allows 10s, as slow links need."),
      Option(
        "handshake_first", "first", "immediate",
        kind: .custom(type: "boolean") { decoder, tls, entry in tls.handshakeFirst = decoder.handshakeFirst(entry, isListener: false) },
        standard: "false", doc: "Begins with TLS, before the server's INFO, as the other side must do as well."),
      Option(
        "pinned_certs", kind: .custom(type: "array of strings") { decoder, tls, entry in tls.pinnedKeys = decoder.pins(entry) },
        doc:
          "SHA-256 of the public keys (of their DER SubjectPublicKeyInfo, in hexadecimal) that the other side may have: no other certificate is taken."
      ),
      Option(
        "min_version", kind: .custom(type: "`\"1.2\"` or `\"1.3\"`") { decoder, tls, entry in tls.onlyTLS13 = decoder.isOnlyTLS13(entry) },
        standard: "\"1.2\"", doc: "The oldest version of TLS."),
      Option(
        "cipher_suites", kind: .custom(type: "array of strings") { decoder, tls, entry in tls.cipherSuites = decoder.cipherSuites(entry) },
        doc: "The cipher suites of TLS 1.2, best first, such as `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`. TLS 1.3 has its own, always."),
      Option(
        "curve_preferences", kind: .custom(type: "array of strings") { decoder, tls, entry in tls.groups = decoder.curves(entry) },
        doc: "The curves of the key exchange, best first: `X25519`, `CurveP256`, `CurveP384`, `CurveP521`."),
    ]
  }

  /// Of a listener.
  static var listenTable: [Option<TLSOptions>] {
    dialTable.filter { !ByteView($0.name).equals("handshake_first") && !ByteView($0.name).equals("insecure") } + [
      Option(
        "verify", kind: .boolean { $0.verifies = $1 }, standard: "false",
        doc: "Clients must show a certificate of an authority in `ca_file`."
      ),
      Option(
        "verify_and_map",
        kind: .boolean {
          $0.maps = $1
          if $1 { $0.verifies = true }
        }, standard: "false",
        doc:
          "Likewise, and the certificate says which user the client is: by an alternative name or by its subject (`CN=edge-1,O=Example`)."
      ),
      Option(
        "handshake_first", "first", "immediate",
        kind: .custom(type: "boolean, `\"auto\"` or duration") { decoder, tls, entry in
          tls.handshakeFirst = decoder.handshakeFirst(entry, isListener: true)
        }, standard: "false",
        doc: "Begins with TLS, before INFO. With a duration (`\"auto\"` is 50ms) clients that wait for INFO get it after so long."),
    ]
  }

  static var refused: RefusedOptions {
    RefusedOptions(
      unsupported: """
        verify_cert_and_check_known_urls insecure connection_rate_limit allow_insecure_cipher_suites certs certificates \
        cert_store cert_match_by cert_match cert_match_skip_invalid ca_certs_match ocsp_peer
        """)
  }

  /// Who dials has nobody to verify but the server, which it always does.
  static var dialRefused: RefusedOptions {
    RefusedOptions(
      unsupported: """
        verify_cert_and_check_known_urls connection_rate_limit allow_insecure_cipher_suites certs certificates cert_store cert_match_by \
        cert_match cert_match_skip_invalid ca_certs_match ocsp_peer
        """)
  }

  /// Reads a block; nil when it is not one.
  static func decode(_ decoder: inout OptionDecoder, _ entry: ConfigurationEntry, isListener: Bool) -> TLSOptions? {
    guard let map = decoder.map(entry.value, field: entry.key) else { return nil }
    var tls = TLSOptions()
    tls.location = entry.value.location
    if isListener {
      decoder.decode(map, by: listenTable, refused: refused, into: &tls)
    } else {
      // nats-server reads `verify` there, too, and does nothing with it.
      let map = map.without("verify").without("verify_and_map")
      decoder.decode(map, by: dialTable, refused: dialRefused, into: &tls)
      if tls.isInsecure {
        decoder.warning(
          at: tls.location, "tls.insecure: the server's certificate is not checked, so whoever is on the way can read and change everything"
        )
      }
    }
    if (tls.certificateFile == nil) != (tls.keyFile == nil) {
      decoder.error(
        at: tls.location, tls.keyFile == nil ? "missing 'key_file' in TLS configuration" : "missing 'cert_file' in TLS configuration")
    } else if isListener, tls.certificateFile == nil, !decoder.hasErrors(from: tls.location) {
      decoder.error(at: tls.location, "tls needs cert_file and key_file: the certificate that this server shows")
    }
    return tls
  }
}

extension OptionDecoder {
  /// Seconds, whole or not, or Go's notation of a duration.
  mutating func seconds(_ entry: ConfigurationEntry) -> Int64? {
    let length_ns: Int64?
    switch entry.value.content {
    case .integer(let seconds) where !entry.value.hasUnit && (0...86_400).contains(seconds): length_ns = seconds * 1_000_000_000
    case .float(let seconds) where (0...86_400).contains(seconds): length_ns = Int64(seconds * 1e9)
    case .string: length_ns = duration(entry.value, field: entry.key)
    case .integer, .float: length_ns = 0
    default:
      wrongType(entry.value, "float64", field: entry.key)
      return nil
    }
    guard let length_ns else { return nil }
    if (1_000_000...3_600_000_000_000).contains(length_ns) { return length_ns }
    error(at: entry.value.location, "\(entry.key) must be between 1ms and 1h")
    return nil
  }

  mutating func handshakeFirst(_ entry: ConfigurationEntry, isListener: Bool) -> TLSOptions.HandshakeFirst {
    switch entry.value.content {
    case .boolean(let flag): return flag ? .yes : .no
    case .string(let word):
      if !isListener {
        error(at: entry.value.location, "\(entry.key): who dials begins with TLS or not: write true or false")
      } else if word.withView({ $0.equalsIgnoringCase("auto") }) {
        return .within_ns(TLSOptions.handshakeFirstAuto_ns)
      } else if word.withView({ $0.equalsIgnoringCase("on") || $0.equalsIgnoringCase("true") }) {
        return .yes
      } else if word.withView({ $0.equalsIgnoringCase("off") || $0.equalsIgnoringCase("false") }) {
        return .no
      } else if let wait_ns = duration(entry.value, field: entry.key) {
        if (1...60_000_000_000).contains(wait_ns) { return .within_ns(wait_ns) }
        error(at: entry.value.location, "\(entry.key) must be between 1ns and 1m")
      }
    default:
      error(at: entry.value.location, "field \"\(entry.key)\" should be a boolean or a string, got \(OptionDecoder.typeName(entry.value))")
    }
    return .no
  }

  mutating func pins(_ entry: ConfigurationEntry) -> [[UInt8]] {
    var pins: [[UInt8]] = []
    for (text, location) in strings(entry.value, field: entry.key) ?? [] {
      guard let hash = text.hexadecimalBytes, hash.count == 32 else {
        error(at: location, "error parsing 'pinned_certs' key \"\(text)\": it is not 64 hexadecimal digits, the SHA-256 of a public key")
        continue
      }
      pins.append(hash)
    }
    if pins.count > TLSOptions.pinnedCertificatesMax {
      error(at: entry.value.location, "pinned_certs can have at most \(TLSOptions.pinnedCertificatesMax) keys, not \(pins.count)")
    }
    return pins
  }

  mutating func isOnlyTLS13(_ entry: ConfigurationEntry) -> Bool {
    guard let text = string(entry.value, field: entry.key) else { return false }
    if text.equals("1.3") { return true }
    if text.equals("1.2") { return false }
    if text.equals("1.0") || text.equals("1.1") {
      error(at: entry.value.location, "unsupported TLS version: \(text) is not safe any more; use \"1.2\"")
    } else {
      error(at: entry.value.location, "unknown tls version \"\(text)\": write \"1.2\" or \"1.3\"")
    }
    return false
  }

  /// The suites of TLS 1.2 that the list names, under the names of the IANA registry.
  mutating func cipherSuites(_ entry: ConfigurationEntry) -> [ByteString] {
    guard let names = strings(entry.value, field: entry.key) else { return [] }
    var suites: [ByteString] = []
    var isMixed = false
    for (name, location) in names {
      if name.withView({ RefusedOptions.contains(TLSOptions.suites13, $0) }) {
        isMixed = true
      } else if name.withView({ RefusedOptions.contains(TLSOptions.suites12, $0) }) {
        // Go knows two of them by shorter names.
        suites.append(name.withView { $0.hasSuffix(ByteView("CHACHA20_POLY1305")) } ? name + "_SHA256" : name)
      } else if name.hasPrefix("TLS_") {
        error(
          at: location, "unrecognized cipher suite \(name), or one that is not safe any more: use ECDHE with AES-GCM or ChaCha20-Poly1305")
      } else {
        error(at: location, "unrecognized cipher suite \(name)")
      }
    }
    if suites.isEmpty, !hasErrors(from: entry.value.location) {
      if isMixed {
        error(at: entry.value.location, "cipher_suites names none of TLS 1.2: leave it out and write min_version: \"1.3\"")
      } else {
        error(at: entry.value.location, "error parsing tls config, 'cipher_suites' cannot be empty")
      }
    }
    return suites
  }

  mutating func curves(_ entry: ConfigurationEntry) -> [ByteString] {
    guard let names = strings(entry.value, field: entry.key) else { return [] }
    var groups: [ByteString] = []
    for (name, location) in names {
      switch name {
      case "X25519": groups.append("X25519")
      case "CurveP256": groups.append("P-256")
      case "CurveP384": groups.append("P-384")
      case "CurveP521": groups.append("P-521")
      case "X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024":
        warning(at: location, "not supported by this version of petiole: curve preference \(name), which is passed over")
      default: error(at: location, "unrecognized curve preference \(name)")
      }
    }
    if groups.isEmpty, !hasErrors(from: entry.value.location) {
      error(at: entry.value.location, "error parsing tls config, 'curve_preferences' has none that petiole knows")
    }
    return groups
  }
}

extension TLSOptions {
  static let suites13: StaticString = "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256"
  static let suites12: StaticString = """
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 \
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 \
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305
    """
}

extension ByteString {
  /// The bytes that pairs of hexadecimal digits spell; nil when it is something else.
  var hexadecimalBytes: [UInt8]? {
    guard count % 2 == 0 else { return nil }
    var values: [UInt8] = []
    for byte in bytes {
      guard let value = ASCII.hexadecimalValue(byte) else { return nil }
      values.append(value)
    }
    return stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
  }
}
