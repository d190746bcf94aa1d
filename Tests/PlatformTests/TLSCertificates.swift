// The certificates of the TLS tests, made once in a run. The simulation's clocks begin with 2026.
import Bytes
import CCertificates
import Foundation

@testable import Platform

enum TLSCertificates {
  static let day_s: Int64 = 86_400
  static let begins_s: Int64 = 1_735_689_600  // 2025-01-01
  static let ends_s: Int64 = 2_051_222_400  // 2035-01-01

  /// The directory, with everything in it.
  static let folder: URL = {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("petiole-tls-\(UUID().uuidString)")
    try! FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    func make(
      _ path: String, by issuer: String? = nil, subject: String, names: String? = nil, usage: String? = nil, begins_s: Int64 = begins_s,
      ends_s: Int64 = ends_s, authority: Bool = false, key: Int = KEY_P256
    ) {
      let made = subject.withCString { subject in
        (names ?? "").withCString { alternative in
          (usage ?? "").withCString { purpose in
            var request = certificate_request(
              subject: subject, names: names == nil ? nil : alternative, usage: usage == nil ? nil : purpose, begins_s: begins_s,
              ends_s: ends_s, is_authority: authority ? 1 : 0, key: Int32(key))
            let target = folder.appendingPathComponent(path).path
            return issuer.map { certificate_make(&request, folder.appendingPathComponent($0).path, target) }
              ?? certificate_make(&request, nil, target)
          }
        }
      }
      precondition(made == 1, "no certificate \(path)")
    }
    make("ca", subject: "O=Example/CN=Test CA", authority: true)
    make("other-ca", subject: "O=Example/CN=Other CA", authority: true)
    let names = "DNS:hub.example,DNS:*.wild.example,IP:10.0.0.2"
    make("server", by: "ca", subject: "O=Example/CN=hub", names: names, usage: "serverAuth")
    make("server-rsa", by: "ca", subject: "O=Example/CN=hub", names: names, key: KEY_RSA_2048)
    make("server-ed25519", by: "ca", subject: "O=Example/CN=hub", names: names, key: KEY_ED25519)
    make("expired", by: "ca", subject: "CN=old", names: names, ends_s: begins_s + day_s)
    make("future", by: "ca", subject: "CN=young", names: names, begins_s: ends_s - day_s)
    make("far-future", by: "ca", subject: "CN=younger", names: names, begins_s: 253_402_214_400, ends_s: 253_402_300_799)
    make("stranger", by: "other-ca", subject: "CN=stranger", names: names)
    make("alone", subject: "CN=alone", names: names)
    make("nameless", by: "ca", subject: "CN=hub.example")
    make("weak", by: "ca", subject: "CN=weak", names: names, key: KEY_RSA_1024)
    make(
      "client", by: "ca", subject: "C=DE/O=Ex\\,ample/OU=Größe/CN=gateway 7", names: "email:gw@example.com,DNS:gw.example,URI:urn:gw:7",
      usage: "clientAuth")
    make("encrypted", by: "ca", subject: "CN=encrypted", names: names)
    precondition(certificate_encrypt_key(folder.appendingPathComponent("encrypted.key").path, "secret") == 1)
    try! Data("not a certificate\n".utf8).write(to: folder.appendingPathComponent("nothing.pem"))
    try! Data("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8).write(to: folder.appendingPathComponent("broken.pem"))
    return folder
  }()

  static func path(_ name: String) -> ByteString { ByteString(folder.appendingPathComponent(name).path) }

  static func settings(_ name: String?, authority: String? = "ca", _ change: (inout TLSSettings) -> Void = { _ in }) -> TLSSettings {
    var settings = TLSSettings()
    if let name {
      settings.certificateFile = path(name + ".pem")
      settings.keyFile = path(name + ".key")
    }
    if let authority { settings.authorityFile = path(authority + ".pem") }
    change(&settings)
    return settings
  }

  static func server(_ name: String = "server", _ change: (inout TLSSettings) -> Void = { _ in }) -> TLSContext {
    try! TLSContext(.server, settings(name, change))
  }

  static func client(_ name: String? = nil, authority: String = "ca", _ change: (inout TLSSettings) -> Void = { _ in }) -> TLSContext {
    try! TLSContext(.client, settings(name, authority: authority, change))
  }
}
