// docs/configuration.md and the option tables say the same.
import Bytes
import Foundation
import Identity
import Testing

@testable import Configuration

@Suite struct ReferenceTests {
  static let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("docs/configuration.md")
  static let marker = "<!-- The rest is made from the option tables; a test compares it. -->\n\n"

  @Test("the reference in the docs is what the tables say (PETIOLE_WRITE_DOCS=1 writes it)")
  func reference() throws {
    let text = try String(contentsOf: Self.page, encoding: .utf8)
    let split = try #require(text.range(of: Self.marker))
    let made = String(text[..<split.upperBound]) + OptionReference.markdown.trimmingCharacters(in: .newlines) + "\n"
    if ProcessInfo.processInfo.environment["PETIOLE_WRITE_DOCS"] == "1" {
      try made.write(to: Self.page, atomically: true, encoding: .utf8)
    }
    #expect(try String(contentsOf: Self.page, encoding: .utf8) == made)
  }

  @Test("the example in the docs is right")
  func example() throws {
    let text = try String(contentsOf: Self.page, encoding: .utf8)
    let example = try #require(text.components(separatedBy: "```\n").first { $0.contains("forward: [") })
    let read = options(example)
    #expect(read.uplink?.clusters.count == 2 && read.streams.count == 1 && read.forwards.count == 1)
  }

  @Test("every option that can be given has a sentence in the docs")
  func sentences() {
    func check<Target>(_ table: [Option<Target>]) {
      for option in table {
        #expect(option.doc.utf8CodeUnitCount > 10 && option.doc.description.hasSuffix("."), "\(option.name)")
      }
    }
    check(Options.table)
    check(WebSocketOptions.table)
    check(AuthorizationOptions.table)
    check(UserDeclaration.table)
    check(Permissions.table)
    check(Permissions.Lists.table(queues: true))
    check(Permissions.Responses.table)
    check(AccountDeclaration.table)
    check(AccountLimits.table)
    check(JetStreamLimits.table)
    check(ExportDeclaration.table)
    check(ImportDeclaration.table)
    check(JetStreamOptions.table)
    check(LeafnodeOptions.table)
    check(LeafAuthorizationOptions.table)
    check(LeafUserDeclaration.table)
    check(LeafRemote.table)
    check(ProxyOptions.table)
    check(UplinkOptions.table)
    check(UplinkCluster.table)
    check(ForwardDeclaration.table)
    check(TLSOptions.listenTable)
    check(TLSOptions.dialTable)
  }
}
