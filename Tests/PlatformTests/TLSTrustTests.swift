// Who is trusted, and what is said about those who are not.
import Bytes
import Testing

@testable import Platform

@Suite("TLS and trust")
struct TLSTrustTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let certificate: String
    let name: ByteString
    let says: StaticString
    var testDescription: String { "\(certificate) as \(name.string)" }
  }

  static let refused: [Case] = [
    Case(
      certificate: "server", name: "elsewhere.example",
      says: "is for \"hub.example\", \"*.wild.example\", \"10.0.0.2\", not for \"elsewhere.example\""),
    Case(certificate: "server", name: "a.b.wild.example", says: "not for \"a.b.wild.example\""),
    Case(certificate: "server", name: "10.0.0.3", says: "not for \"10.0.0.3\""),
    Case(certificate: "nameless", name: "hub.example", says: "is for no host at all"),
    Case(certificate: "expired", name: "hub.example", says: "\"CN=old\" has expired at 2025-01-02T00:00:00Z"),
    Case(
      certificate: "future", name: "hub.example",
      says: "\"CN=young\" is valid from 2034-12-31T00:00:00Z, and the clock here says 2026-01-01T00:00:00Z"),
    Case(certificate: "far-future", name: "hub.example", says: "\"CN=younger\" is valid from"),
    Case(certificate: "stranger", name: "hub.example", says: "signed by an unknown authority, \"CN=Other CA,O=Example\""),
    Case(certificate: "alone", name: "hub.example", says: "\"CN=alone\" is signed by itself and not trusted"),
    Case(certificate: "client", name: "gw.example", says: "is not made for this"),
  ]

  @Test("A client refuses a server that it must not trust, and says why", arguments: refused)
  func refusing(_ refused: Case) {
    let pair = TLSPair(TLSCertificates.client(), TLSCertificates.server(refused.certificate), name: refused.name).begin()
    let error = pair.clientSide.error
    #expect(error?.kind == .certificate)
    #expect(error?.text.withView { $0.contains(refused.says) } == true, "\(error?.text.string ?? "no error")")
    #expect(pair.clientSide.securedCount == 0 && pair.clientSide.reasons.count == 1)
    #expect(pair.serverSide.reasons.count == 1)
    pair.send([1, 2, 3], from: pair.server)
    pair.run()
    #expect(pair.clientSide.bytes.isEmpty)
  }

  @Test(
    "Names, wildcards and addresses of a certificate are taken", arguments: ["hub.example", "HUB.example", "x.wild.example", "10.0.0.2"])
  func names(name: String) {
    let pair = TLSPair(TLSCertificates.client(), TLSCertificates.server(), name: ByteString(name)).begin()
    #expect(pair.client.isSecured, "\(pair.clientSide.error?.text.string ?? "")")
  }

  @Test("What a certificate says of itself is one line of bounded length in a message")
  func hostileNames() {
    let text = TLSCertificate.shown(ByteString("a\nb\r\u{7F}" + String(repeating: "x", count: 1000)))
    #expect(text.count == 203 && text.string.hasPrefix("a?b??xxx") && text.string.hasSuffix("x..."))
  }

  @Test("A client that checks nothing takes any certificate")
  func insecure() {
    let pair = TLSPair(TLSCertificates.client { $0.isInsecure = true }, TLSCertificates.server("expired"), name: "elsewhere.example")
      .begin()
    #expect(pair.client.isSecured)
  }

  @Test("A server that demands certificates takes those of its authority and refuses others")
  func clientCertificates() {
    let demanding = TLSCertificates.server { $0.requiresPeerCertificate = true }
    let good = TLSPair(TLSCertificates.client("client"), demanding).begin()
    #expect(good.server.isSecured)
    let shown = good.server.peerCertificates
    #expect(shown.first?.subject == "CN=gateway 7,OU=Größe,O=Ex\\\\\\,ample,C=DE")
    #expect(
      shown.first?.names == [
        TLSCertificate.Name(kind: .email, text: "gw@example.com"), TLSCertificate.Name(kind: .host, text: "gw.example"),
        TLSCertificate.Name(kind: .uri, text: "urn:gw:7"),
      ])
    let without = TLSPair(TLSCertificates.client(), demanding).begin()
    #expect(without.serverSide.error?.kind == .noCertificate)
    #expect(without.clientSide.error?.kind == .refused)
    #expect(without.clientSide.error?.text.withView { $0.contains("requires a client certificate") } == true)
    for certificate in ["stranger", "server", "expired"] {
      let bad = TLSPair(TLSCertificates.client(certificate), demanding).begin()
      #expect(bad.serverSide.error?.kind == .certificate && bad.serverSide.securedCount == 0)
    }
  }

  @Test("Only pinned keys are taken, on either side")
  func pinning() {
    let key = TLSPair().begin().client.peerCertificates[0].keyHash
    let pinned = TLSPair(TLSCertificates.client { $0.pinnedKeys = [key] }).begin()
    #expect(pinned.client.isSecured)
    let other = TLSPair(TLSCertificates.client { $0.pinnedKeys = [[UInt8](repeating: 1, count: 32)] }).begin()
    #expect(other.clientSide.error?.kind == .certificate && other.clientSide.securedCount == 0)
    #expect(other.clientSide.error?.text.withView { $0.contains("none of pinned_certs: its SHA-256 is ") } == true)
    let server = TLSPair(TLSCertificates.client(), TLSCertificates.server { $0.pinnedKeys = [key] }).begin()
    #expect(server.serverSide.error?.kind == .noCertificate && server.serverSide.securedCount == 0)
  }

  @Test("An authority of the client that is not the server's, and the other way round")
  func otherAuthority() {
    let pair = TLSPair(TLSCertificates.client(authority: "other-ca")).begin()
    #expect(pair.clientSide.error?.kind == .certificate)
    #expect(pair.serverSide.error?.kind == .refused)
    #expect(pair.serverSide.error?.text.withView { $0.contains("does not know the authority") } == true)
  }

  @Test("A certificate that is itself named as trusted is trusted")
  func trustedLeaf() {
    let pair = TLSPair(TLSCertificates.client(authority: "alone"), TLSCertificates.server("alone")).begin()
    #expect(pair.client.isSecured, "\(pair.clientSide.error?.text.string ?? "")")
  }

  @Test("Cipher suites and curves are as configured, and those without a common one are told")
  func suites() {
    let chosen = TLSPair(
      TLSCertificates.client { $0.groups = ["P-384"] },
      TLSCertificates.server {
        $0.cipherSuites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]
        $0.groups = ["P-384", "X25519"]
      }
    ).begin()
    #expect(chosen.client.isSecured)
    let none = TLSPair(TLSCertificates.client { $0.groups = ["P-384"] }, TLSCertificates.server { $0.groups = ["X25519"] }).begin()
    #expect(none.serverSide.error?.kind == .nothingInCommon)
    #expect(none.clientSide.error?.kind == .nothingInCommon)
    #expect(throws: TLSError.self) { try TLSContext(.server, TLSCertificates.settings("server") { $0.cipherSuites = ["TLS_FISH"] }) }
    #expect(throws: TLSError.self) { try TLSContext(.server, TLSCertificates.settings("server") { $0.groups = ["P-1"] }) }
  }

  struct Files: Sendable, CustomTestStringConvertible {
    let chain: String
    let key: String
    let authority: String
    let says: StaticString
    var testDescription: String { "\(chain) \(key) \(authority)" }
  }

  static let files: [Files] = [
    Files(chain: "missing.pem", key: "server.key", authority: "ca.pem", says: "cert_file \""),
    Files(chain: "missing.pem", key: "server.key", authority: "ca.pem", says: "\" cannot be read: not found"),
    Files(chain: ".", key: "server.key", authority: "ca.pem", says: "\" cannot be read: "),
    Files(chain: "nothing.pem", key: "server.key", authority: "ca.pem", says: "holds no certificate in PEM form"),
    Files(chain: "broken.pem", key: "server.key", authority: "ca.pem", says: "holds a certificate that cannot be read"),
    Files(chain: "weak.pem", key: "weak.key", authority: "ca.pem", says: "holds a certificate that is too weak"),
    Files(chain: "server.pem", key: "missing.key", authority: "ca.pem", says: "missing.key\" cannot be read: not found"),
    Files(chain: "server.pem", key: "nothing.pem", authority: "ca.pem", says: "holds no private key in PEM form"),
    Files(chain: "encrypted.pem", key: "encrypted.key", authority: "ca.pem", says: "holds an encrypted key"),
    Files(chain: "server.pem", key: "client.key", authority: "ca.pem", says: "is not that of the certificate"),
    Files(chain: "server.pem", key: "server.key", authority: "missing.pem", says: "ca_file \""),
    Files(chain: "server.pem", key: "server.key", authority: "nothing.pem", says: "holds no certificate in PEM form"),
    Files(chain: "server.pem", key: "server.key", authority: "broken.pem", says: "holds a certificate that cannot be read"),
  ]

  @Test("Files that cannot be used are named, with what is wrong", arguments: files)
  func badFiles(_ files: Files) throws {
    var settings = TLSSettings()
    settings.certificateFile = TLSCertificates.path(files.chain)
    settings.keyFile = TLSCertificates.path(files.key)
    settings.authorityFile = TLSCertificates.path(files.authority)
    settings.requiresPeerCertificate = true
    let error = #expect(throws: TLSError.self) { try TLSContext(.server, settings) }
    #expect(error?.text.withView { $0.contains(files.says) } == true, "\(error?.text.string ?? "")")
  }

  @Test("Without a file the operating system's authorities are trusted")
  func systemAuthorities() throws {
    var settings = TLSSettings()
    settings.requiresPeerCertificate = true
    let pair = TLSPair(try TLSContext(.client, settings)).begin()
    #expect(pair.clientSide.error?.kind == .certificate)
  }
}
