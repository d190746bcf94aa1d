// The recorded conversation with nats-server 2.15.1, replayed: every answer must have the same type, the same members in the same
// order, and the same values where they do not depend on the clock.
import Bytes
import Foundation
import JSON
import Testing

@testable import JetStream

@Suite("The recorded JetStream API")
struct RecordedAPITests {
  /// Subjects and stream names of the recording that need what Petiole does not have yet (async persistence), or whose
  /// sequences depend on the time that the recording took (ALL has a schedule that came up every second).
  static let absent: Set<String> = ["AP", "ALL", "all"]
  /// Requests whose answers show how many such streams there are, clean up after them, or that only a router without JetStream's part
  /// can answer (no responders).
  static let skipped: Set<Int> = [62, 120, 121, 151]
  /// What the recording left out, by the number of the request before which it happened.
  static let unrecorded: [Int: [(subject: String, body: String, headers: [(String, String)])]] = [
    95: [("$JS.API.STREAM.CREATE.PL", #"{"name":"PL"}"#, [])],
    104: [("$JS.API.STREAM.UPDATE.MIN", #"{"name":"MIN","deny_delete":true,"deny_purge":true}"#, [])],
    128: [("mem.a", "hello", [("Nats-Msg-Id", "id1")])],
    214: [
      ("fs.0", "m0", []), ("fs.1", "m1", []), ("fs.2", "m2", []), ("fs.0", "m3", []), ("fs.1", "m4", []),
    ],
  ]

  static func lines() throws -> [JSONValue] {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Vectors/recorded/jetstream-api.jsonl")
    let text = try Data(contentsOf: path)
    return try text.split(separator: 0x0A).map { try JSON.parse(ByteString([UInt8]($0))) }
  }

  static func text(_ value: JSONValue) -> String {
    if let string = value.string { return string.string }
    if value.isNull { return "" }
    var json = JSONWriter()
    json.value(value)
    return String(decoding: json.finish(), as: UTF8.self)
  }

  /// Members whose values differ from run to run.
  static let varying: Set<String> = [
    "created", "ts", "first_ts", "last_ts", "leader", "time", "memory", "storage", "reserved_memory", "reserved_storage",
  ]

  /// Where two answers differ, or nil.
  static func difference(_ expected: JSONValue, _ actual: JSONValue, path: String = "") -> String? {
    switch (expected, actual) {
    case (.object(let left), .object(let right)):
      guard left.map(\.name) == right.map(\.name) else {
        return "\(path): members \(left.map(\.name.string)) became \(right.map(\.name.string))"
      }
      for (one, other) in zip(left, right) where !varying.contains(one.name.string) {
        if let difference = difference(one.value, other.value, path: path + "." + one.name.string) { return difference }
      }
      return nil
    case (.array(let left), .array(let right)):
      guard left.count == right.count else { return "\(path): \(left.count) elements became \(right.count)" }
      for (one, other) in zip(left, right) {
        if let difference = difference(one, other, path: path + "[]") { return difference }
      }
      return nil
    default:
      // Calls that the recording left out are missing in the counters.
      if path == ".api.total" || path == ".api.errors" { return nil }
      return expected == actual ? nil : "\(path): \(text(expected)) became \(text(actual))"
    }
  }

  /// What a request with a feature that is not there is answered with.
  static func isRefusal(_ answer: Received) -> Bool { answer.errorText?.hasSuffix("not supported") ?? false }

  @Test("answers have the recorded shape, or say that a feature is not supported")
  func replay() throws {
    let rig = try Rig { $0.domain = "" }
    var compared = 0
    var refused = 0
    for line in try Self.lines() {
      guard let request = line["request"], let subject = request["subject"]?.string?.string,
        let area = line["area"]?.string?.string, !area.hasPrefix("consumer")
      else { continue }
      let number = line["n"]?.int ?? 0
      for step in Self.unrecorded[number] ?? [] { _ = rig.ask(step.subject, step.body, headers: step.headers) }
      let title = "\(number) \(area): \(line["title"]?.string?.string ?? "")"
      var headers: [(String, String)] = []
      for member in request["headers"]?.object ?? [] { headers.append((member.name.string, member.value.string?.string ?? "")) }
      let answers = rig.ask(
        subject, Self.text(request["body"] ?? .null), headers: headers, replyTo: request["reply"]?.string?.string)
      let expected = line["responses"]?.array ?? []
      if let first = answers.first, Self.isRefusal(first) {
        refused += 1
        continue
      }
      if Self.skipped.contains(number) || Self.needsAbsent(subject) { continue }
      guard expected.count == answers.count else {
        Issue.record("\(title): \(expected.count) answers became \(answers.count)")
        continue
      }
      for (want, got) in zip(expected, answers) {
        compared += 1
        if let json = want["json"] {
          if let difference = Self.difference(json, got.json) { Issue.record("\(title)\(difference)") }
        } else if let data = want["data"]?.string?.string {
          #expect(got.payload == data, "\(title)")
        }
        if let block = want["hdr"]?.string?.string { #expect(Self.steady(got.headers) == Self.steady(block), "\(title)") }
      }
    }
    #expect(compared >= 130, "\(compared) answers were compared, \(refused) refused")
  }

  static func needsAbsent(_ subject: String) -> Bool {
    subject.split(separator: ".").contains { absent.contains(String($0)) }
  }

  /// A header block without its times.
  static func steady(_ block: String) -> String {
    block.split(separator: "\r\n").filter { !$0.hasPrefix("Nats-Time-Stamp") }.joined(separator: "\n")
  }
}
