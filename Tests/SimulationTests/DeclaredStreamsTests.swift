// The streams of a configuration file: every field of JetStream's StreamConfig, what is wrong with one and where, and hostile files.
import Bytes
import Configuration
import Foundation
import JSON
import Platform
import Testing

@testable import Agent
@testable import JetStream

@Suite struct DeclaredStreamsTests {
  /// The streams of `text`, and what is wrong with them.
  private func read(_ text: String) -> (streams: [StreamConfig], messages: [String]) {
    read([UInt8](text.utf8))
  }

  private func read(_ bytes: [UInt8]) -> (streams: [StreamConfig], messages: [String]) {
    var arguments = Arguments()
    arguments.configurationPath = "t.conf"
    let loaded = LoadedOptions.load(
      arguments, read: { path in path == "t.conf" ? .success(bytes) : .failure(.notFound) }, environment: { _ in nil })
    var problems = loaded.problems
    let streams = loaded.options.streams.map { $0.config(&problems) }
    return (streams, problems.map { $0.message })
  }

  private func stream(_ text: String) throws -> StreamConfig {
    let (streams, messages) = read("jetstream: on\nstreams: [{\(text)}]")
    #expect(messages == [])
    return try #require(streams.first)
  }

  private func json(_ config: StreamConfig) -> String {
    var writer = JSONWriter()
    writer.beginObject()
    config.write(to: &writer)
    writer.endObject()
    return String(decoding: writer.finish(), as: UTF8.self).replacingOccurrences(of: "\\u003e", with: ">")
  }

  static let everything = """
    name: T, description: "the \\"field\\"", subjects: ["a.*", b], retention: WorkQueue, storage: MEMORY, discard: new
    max_consumers: 4, max_msgs: 1k, max_bytes: 1GB, max_age: 24h, max_msgs_per_subject: 10, max_msg_size: "64K"
    no_ack: true, duplicate_window: "5m", placement { cluster: C, tags: [x] }, compression: s2, first_seq: 7
    subject_transform { src: ">", dest: "t.>" }, republish { src: "t.>", dest: "r.>", headers_only: yes }
    allow_direct: on, discard_new_per_subject: true, deny_delete: true, allow_rollup_hdrs: true
    consumer_limits { inactive_threshold: 30s, max_ack_pending: 5 }, allow_msg_ttl: true, subject_delete_marker_ttl: 10s
    allow_atomic: true, allow_batched: true, metadata { Team: ops }
    sources: [
      { name: O, opt_start_seq: 5, filter_subject: "o.>", external { api: "$JS.hub.API", deliver: "d" } }
      { name: P, opt_start_time: 2026-01-02T03:04:05Z, subject_transforms: [{ src: p, dest: q }] }, { name: Q, consumer { name: c, deliver_subject: d } }
    ]
    """

  @Test("every kind of field, with units and in any case")
  func everything() throws {
    let made = json(try stream(Self.everything))
    #expect(
      made
        == #"{"name":"T","description":"the \"field\"","subjects":["a.*","b"],"retention":"workqueue","max_consumers":4,"#
        + #""max_msgs":1000,"max_bytes":1073741824,"max_age":86400000000000,"max_msgs_per_subject":10,"max_msg_size":65536,"#
        + #""discard":"new","storage":"memory","num_replicas":1,"no_ack":true,"duplicate_window":300000000000,"#
        + #""placement":{"cluster":"C","tags":["x"]},"sources":[{"name":"O","opt_start_seq":5,"filter_subject":"o.>","#
        + #""external":{"api":"$JS.hub.API","deliver":"d"}},{"name":"P","opt_start_time":"2026-01-02T03:04:05Z","#
        + #""subject_transforms":[{"src":"p","dest":"q"}]},{"name":"Q","consumer":{"name":"c","deliver_subject":"d"}}],"#
        + #""compression":"s2","#
        + #""first_seq":7,"subject_transform":{"src":">","dest":"t.>"},"republish":{"src":"t.>","dest":"r.>","headers_only":true},"#
        + #""allow_direct":true,"mirror_direct":false,"discard_new_per_subject":true,"sealed":false,"deny_delete":true,"#
        + #""deny_purge":false,"allow_rollup_hdrs":true,"consumer_limits":{"inactive_threshold":30000000000,"max_ack_pending":5},"#
        + #""allow_msg_ttl":true,"subject_delete_marker_ttl":10000000000,"allow_atomic":true,"allow_batched":true,"#
        + #""metadata":{"Team":"ops"}}"#)
  }

  @Test("a configuration as JSON, as `nats stream info` shows it, is a declaration")
  func pasted() throws {
    var config = StreamConfig(name: "A")
    config.maxAge_ns = 3_600_000_000_000
    config.duplicateWindow_ns = 100_000_000
    config.mirror = StreamSource()
    config.mirror?.name = "B"
    config.mirrorDirect = true
    let (streams, messages) = read("jetstream: on\nstreams: [\(json(config))]")
    #expect(messages == [] && streams == [config])
  }

  @Test("what is not given is JetStream's default, and one subject needs no array")
  func sparse() throws {
    var expected = StreamConfig(name: "A")
    expected.subjects = ["s"]
    #expect(try stream("name: A, subjects: s") == expected)
  }

  @Test("a key that is there for a variable is no mistake")
  func variable() throws {
    #expect(try stream("name: A, LIMIT: 5, max_msgs: $LIMIT").maxMessages == 5)
  }

  @Test(
    "wrong streams",
    arguments: [
      ("", "11: stream name is required and can not contain '.', '*', '>', '\\', '/'"),
      ("name: a.b", "11: stream \"a.b\": stream name is required and can not contain '.', '*', '>', '\\', '/'"),
      ("name: 5", "18: name must be a string"), ("name: A, subjects: [a, 5]", "31: subjects must be a string"),
      ("name: A, subjects: \"a..b\"", "11: stream \"A\": invalid subject"),
      ("name: A, discard: newest", "30: discard must be one of: old new"),
      ("name: A, max_age: 1ms", "11: stream \"A\": max age needs to be >= 100ms"),
      ("name: A, max_age: 3600", "30: max_age: 3600 would be nanoseconds, as in JetStream's JSON; give a unit, as in \"90s\""),
      ("name: A, max_age: 2m", "30: max_age must be a length of time, as in \"90s\""),
      ("name: A, max_age: 200m", "30: max_age must be a length of time, as in \"90s\""),
      ("name: A, num_replicas: 3", "11: stream \"A\": replicas > 1 not supported in non-clustered mode"),
      ("name: A, colour: red", "21: unknown field \"colour\""), ("name: A, max_msgs: many", "31: max_msgs must be a whole number"),
      ("name: A, max_msg_size: 3GB", "35: max_msg_size must be a whole number"),
      ("name: A, first_seq: -1", "32: first_seq must be a whole number that is not negative"),
      ("name: A, no_ack: 1", "29: no_ack must be true or false"), ("name: A, mirror: B", "29: mirror must be a map"),
      ("name: A, mirror { name: 5 }", "28: mirror.name must be a string"),
      ("name: A, mirror { name: B, colour: red }", "28: unknown field \"mirror.colour\""),
      ("name: A, sources: [B]", "30: sources must be an array of maps"),
      ("name: A, sources: [{name: B, external {api: 5}}]", "30: sources.external.api must be a string"),
      ("name: A, metadata { a: 5 }", "30: metadata must be a string"),
      ("name: A, subject_transform { src: \"a.*\", dest: \"{{wildcard(2)}}\" }", "11: stream \"A\": "),
    ])
  func wrong(text: String, message: String) {
    let messages = read("streams: [{\(text)}]\njetstream: on").messages
    #expect(messages.count == 1 && messages[0].hasPrefix("t.conf:1:\(message)"), "\(messages)")
  }

  @Test("bytes changed, cut and doubled never crash the reader, and every problem has its place")
  func mutations() {
    let text = [UInt8]("jetstream: on; streams: [{\(Self.everything)}, {name: M, mirror {name: O}}]".utf8)
    for seed in 0..<500 {
      let entropy = SeededEntropy(seed: UInt64(seed))
      var bytes = text
      for _ in 0...entropy.below(3) {
        let at = entropy.below(bytes.count)
        switch entropy.below(4) {
        case 0: bytes[at] = UInt8(entropy.below(128))
        case 1: bytes.removeSubrange(at..<min(bytes.count, at + 1 + entropy.below(20)))
        case 2: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 20)], at: entropy.below(bytes.count))
        default: bytes.insert(contentsOf: [[UInt8]("9223372036854775807".utf8), [0x7B], [0x2D], [0x22]][entropy.below(4)], at: at)
        }
      }
      for message in read(bytes).messages { #expect(message.hasPrefix("t.conf:"), "seed \(seed): \(message)") }
    }
  }

  @Test("the docs name every field")
  func docs() throws {
    let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("docs/configuration.md")
    let text = try String(contentsOf: page, encoding: .utf8)
    let section = try #require(text.components(separatedBy: "\n## ").first { $0.hasPrefix("Streams") })
    var config = try stream(Self.everything)
    config.mirror = StreamSource()
    config.allowMessageCounter = true
    config.allowSchedules = true
    config.asyncPersist = true
    var missing: [String] = []
    for name in names(try [UInt8](json(config).utf8).withView { view in try JSON.parse(view) })
    where !section.contains("`\(name)`") && name != "Team" {
      missing.append(name)
    }
    #expect(missing == [])
  }

  private func names(_ value: JSONValue) -> [String] {
    switch value {
    case .object(let members): members.flatMap { [$0.name.string] + names($0.value) }
    case .array(let values): values.flatMap { names($0) }
    default: []
    }
  }
}
