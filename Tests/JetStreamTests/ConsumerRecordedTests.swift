// The consumer part of the recorded conversation with nats-server 2.15.1. A few lines of it were not recorded, so answers that count
// or list all consumers are left out, and so are requests for what is refused in words.
import Bytes
import Foundation
import JSON
import Testing

@testable import JetStream

@Suite("The recorded consumer API")
struct ConsumerRecordedTests {
  static let varying: Set<String> = ["created", "ts", "pause_remaining", "last_active"]

  static func lines() throws -> [JSONValue] {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Vectors/recorded/consumers.jsonl")
    return try Data(contentsOf: path).split(separator: 0x0A).map { try JSON.parse(ByteString([UInt8]($0))) }
  }

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
      for (one, other) in zip(left, right) { if let found = difference(one, other, path: path + "[]") { return found } }
      return nil
    default: return expected == actual ? nil : "\(path): \(expected) became \(actual)"
    }
  }

  @Test("answers to creating, asking, pausing and deleting have the recorded members, values and errors")
  func replay() throws {
    let rig = try ConsumerRig()
    rig.rig.create(#"{"name":"S","subjects":["s.>"]}"#)
    rig.rig.create(
      #"{"name":"LIM","subjects":["lim.>"],"max_consumers":2,"consumer_limits":{"inactive_threshold":10000000000,"max_ack_pending":5}}"#)
    for index in 0..<10 { rig.publish("s.\(index % 3)", "m\(index)") }
    rig.publish("s.h", "hdr")
    var compared = 0
    var refused = 0
    for line in try Self.lines() {
      guard let number = line["n"]?.int, number < 118, let request = line["request"],
        let subject = request["subject"]?.string?.string, let area = line["area"]?.string?.string, area.hasPrefix("consumer."),
        let expected = line["responses"]?.array?.first?["json"], !subject.contains("WQ")
      else { continue }
      let isList = subject.contains(".NAMES.") || subject.contains(".LIST.")
      if isList, expected["error"] == nil { continue }
      let headers = (request["headers"]?.object ?? []).map { ($0.name.string, $0.value.string?.string ?? "") }
      let answer = rig.rig.call(subject, RecordedAPITests.text(request["body"] ?? .null), headers: headers)
      if RecordedAPITests.isRefusal(answer) {
        refused += 1
        continue
      }
      // Its name is random.
      if line["title"]?.string?.string == "legacy ephemeral" {
        #expect(answer.json["name"]?.string?.count == 8 && answer.json["config"]?["name"] == nil)
        continue
      }
      compared += 1
      if let difference = Self.difference(expected, answer.json) {
        Issue.record("\(number) \(line["title"]?.string?.string ?? "")\(difference)")
      }
    }
    #expect(compared >= 70, "\(compared) compared, \(refused) refused")
  }
}
