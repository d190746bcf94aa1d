// `tls` blocks: what they become, and what is wrong with them.
import Bytes
import Testing

@testable import Configuration

@Suite struct TLSOptionsTests {
  private let pin = String(repeating: "0aF9", count: 16)

  @Test("a listener's block is read whole")
  func listener() throws {
    let tls = try #require(
      options(
        """
        tls {
          cert_file: "a.pem", key_file: "a.key", ca_file: "ca.pem", verify: true, timeout: 2.5
          handshake_first: "300ms", pinned_certs: ["\(pin)"], min_version: "1.3"
          cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
          curve_preferences: [CurveP384, X25519]
        }
        """
      ).tls)
    #expect(tls.certificateFile == "a.pem" && tls.keyFile == "a.key" && tls.authorityFile == "ca.pem" && tls.verifies && tls.onlyTLS13)
    #expect(tls.timeout_ns == 2_500_000_000 && tls.handshakeFirst == .within_ns(300_000_000))
    #expect(tls.pinnedKeys == [(0..<32).map { $0 % 2 == 0 ? 0x0A : 0xF9 }])
    #expect(tls.cipherSuites == ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
    #expect(tls.groups == ["P-384", "X25519"])
  }

  @Test(
    "the times of handshakes are seconds or durations",
    arguments: [("2", 2_000_000_000), ("0.5", 500_000_000), ("\"3s\"", 3_000_000_000)] as [(String, Int64)])
  func timeouts(text: String, length_ns: Int64) {
    #expect(options("tls { cert_file: a, key_file: b, timeout: \(text) }").tls?.timeout_ns == length_ns)
  }

  @Test("remotes and the uplink have blocks of their own, a cluster's before the uplink's")
  func dialling() throws {
    let read = options(
      """
      leafnodes { remotes: [ { url: "tls://hub", tls { ca_file: ca.pem, verify: true, handshake_first: true } } ] }
      """)
    #expect(read.leafnodes.remotes.first?.tls?.authorityFile == "ca.pem" && read.leafnodes.remotes.first?.tls?.handshakeFirst == .yes)
    let uplink = try #require(
      options("uplink { tls { ca_file: a.pem }, clusters: [ { name: a, url: \"tls://a\" }, { name: b, url: b, tls { ca_file: b.pem } } ] }")
        .uplink)
    #expect(uplink.tls?.authorityFile == "a.pem")
    #expect(uplink.clusters.map { $0.tls?.authorityFile } == [nil, "b.pem"])
    #expect(
      load("leafnodes { remotes: [ { url: \"tls://hub\", tls { insecure: true } } ] }").messages == [
        "warning: t.conf:1:48: tls.insecure: the server's certificate is not checked, so whoever is on the way can read and change everything"
      ])
  }

  @Test("the flags of nats-server make a block, and change the file's")
  func flags() throws {
    let arguments = try Arguments(parsing: ["--tls", "--tlscert", "c.pem", "--tlskey=c.key", "--tlsverify", "--tlscacert", "ca.pem"])
    let tls = try #require(LoadedOptions.decode(ConfigurationMap(), arguments).options.tls)
    #expect(tls.certificateFile == "c.pem" && tls.keyFile == "c.key" && tls.authorityFile == "ca.pem" && tls.verifies)
    let incomplete = LoadedOptions.decode(ConfigurationMap(), try Arguments(parsing: ["--tls"]))
    #expect(incomplete.problems.map { $0.message } == ["TLS for clients needs a certificate and its key: --tlscert and --tlskey"])
  }

  @Test("monitoring by HTTPS needs the certificate, and is not both")
  func https() {
    let read = options("https: 8443\ntls { cert_file: a, key_file: b }")
    #expect(read.isMonitoringSecure && read.monitoring?.port == 8443)
    #expect(load("https: 8443").messages == ["t.conf:1:8: https needs a tls block: the certificate in it is what monitoring shows"])
    #expect(
      load("http: 8222\nhttps: 8443\ntls { cert_file: a, key_file: b }").messages == [
        "t.conf:2:8: can't specify both HTTP and HTTPs ports: monitoring listens on one"
      ])
    #expect(load("allow_non_tls: true").messages == ["warning: t.conf:1:16: allow_non_tls does nothing without a tls block"])
  }

  @Test(
    "wrong blocks",
    arguments: [
      ("{}", "5: tls needs cert_file and key_file: the certificate that this server shows"),
      ("{ cert_file: a }", "5: missing 'key_file' in TLS configuration"),
      ("{ key_file: a }", "5: missing 'cert_file' in TLS configuration"),
      ("{ cert_file: a, key_file: b, min_version: \"1.1\" }", "47: unsupported TLS version: 1.1 is not safe any more; use \"1.2\""),
      ("{ cert_file: a, key_file: b, min_version: \"x\" }", "47: unknown tls version \"x\": write \"1.2\" or \"1.3\""),
      ("{ cert_file: a, key_file: b, cipher_suites: [] }", "49: error parsing tls config, 'cipher_suites' cannot be empty"),
      ("{ cert_file: a, key_file: b, cipher_suites: [FISH] }", "50: unrecognized cipher suite FISH"),
      (
        "{ cert_file: a, key_file: b, cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA] }",
        "50: unrecognized cipher suite TLS_RSA_WITH_AES_128_CBC_SHA, or one that is not safe any more: use ECDHE with AES-GCM or ChaCha20-Poly1305"
      ),
      (
        "{ cert_file: a, key_file: b, cipher_suites: [TLS_AES_128_GCM_SHA256] }",
        "49: cipher_suites names none of TLS 1.2: leave it out and write min_version: \"1.3\""
      ), ("{ cert_file: a, key_file: b, curve_preferences: [P1] }", "54: unrecognized curve preference P1"),
      (
        "{ cert_file: a, key_file: b, pinned_certs: [zz] }",
        "49: error parsing 'pinned_certs' key \"zz\": it is not 64 hexadecimal digits, the SHA-256 of a public key"
      ), ("{ cert_file: a, key_file: b, timeout: 0 }", "43: timeout must be between 1ms and 1h"),
      ("{ cert_file: a, key_file: b, timeout: 99999999.5 }", "43: timeout must be between 1ms and 1h"),
      ("{ cert_file: a, key_file: b, handshake_first: 5 }", "51: field \"handshake_first\" should be a boolean or a string, got int64"),
      ("{ cert_file: a, key_file: b, handshake_first: \"2h\" }", "51: handshake_first must be between 1ns and 1m"),
      ("{ cert_file: a, key_file: b, fish: 1 }", "34: unknown field \"fish\""),
    ])
  func wrong(text: String, message: String) { #expect(load("tls \(text)").messages.first == "t.conf:1:" + message) }

  @Test("who dials begins with TLS or not")
  func dialledFirst() {
    #expect(
      load("leafnodes { remotes: [ { url: hub, tls { handshake_first: auto } } ] }").messages == [
        "t.conf:1:59: handshake_first: who dials begins with TLS or not: write true or false"
      ])
  }

  @Test("a curve of tomorrow is passed over with a warning, as long as another is there")
  func newCurves() {
    let (read, messages) = load("tls { cert_file: a, key_file: b, curve_preferences: [X25519MLKEM768, X25519] }")
    #expect(read.tls?.groups == ["X25519"])
    #expect(
      messages == ["warning: t.conf:1:54: not supported by this version of petiole: curve preference X25519MLKEM768, which is passed over"])
  }
}
