// An entry of `streams`: a stream in JetStream's own StreamConfig terms, and its JSON for the JetStream API.
import Bytes

/// A declared stream. What is nil was not given and is left to JetStream's defaults (specs: jetstream-api.md section 4.1).
public struct StreamDeclaration: Equatable, Sendable {
  public enum Discard: Equatable, Sendable { case old, new }
  public enum Retention: Equatable, Sendable { case limits, interest, workqueue }
  public enum Storage: Equatable, Sendable { case file, memory }
  public enum Compression: Equatable, Sendable { case none, s2 }

  public var location = Location.none
  public var name = ByteString()
  public var description: ByteString?
  public var subjects: [ByteString] = []
  public var retention: Retention?
  public var storage: Storage?
  public var discard: Discard?
  public var compression: Compression?
  public var maxConsumers: Int64?
  public var maxMsgs: Int64?
  public var maxBytes: Int64?
  public var maxMsgsPerSubject: Int64?
  /// Bytes of header and body.
  public var maxMsgSize: Int64?
  public var maxAge_ns: Int64?
  public var duplicateWindow_ns: Int64?
  public var numReplicas: Int64?
  public var firstSeq: Int64?
  public var noAck: Bool?
  public var discardNewPerSubject: Bool?
  public var allowDirect: Bool?
  public var allowRollupHdrs: Bool?
  public var denyDelete: Bool?
  public var denyPurge: Bool?

  public init() {}

  /// Appends the StreamConfig as JSON: the body of `$JS.API.STREAM.CREATE.<name>` and of an update.
  public func appendJSON(to output: inout [UInt8]) {
    var object = JSONObject()
    object.string("name", name)
    if let description { object.string("description", description) }
    if !subjects.isEmpty { object.strings("subjects", subjects) }
    switch retention {
    case .limits?: object.string("retention", "limits")
    case .interest?: object.string("retention", "interest")
    case .workqueue?: object.string("retention", "workqueue")
    case nil: break
    }
    if let maxConsumers { object.integer("max_consumers", maxConsumers) }
    if let maxMsgs { object.integer("max_msgs", maxMsgs) }
    if let maxBytes { object.integer("max_bytes", maxBytes) }
    if let maxAge_ns { object.integer("max_age", maxAge_ns) }
    if let maxMsgsPerSubject { object.integer("max_msgs_per_subject", maxMsgsPerSubject) }
    if let maxMsgSize { object.integer("max_msg_size", maxMsgSize) }
    switch discard {
    case .old?: object.string("discard", "old")
    case .new?: object.string("discard", "new")
    case nil: break
    }
    switch storage {
    case .file?: object.string("storage", "file")
    case .memory?: object.string("storage", "memory")
    case nil: break
    }
    object.integer("num_replicas", numReplicas ?? 1)
    if let noAck { object.boolean("no_ack", noAck) }
    if let duplicateWindow_ns { object.integer("duplicate_window", duplicateWindow_ns) }
    switch compression {
    case StreamDeclaration.Compression.none?: object.string("compression", "none")
    case .s2?: object.string("compression", "s2")
    case nil: break
    }
    if let firstSeq { object.integer("first_seq", firstSeq) }
    if let allowDirect { object.boolean("allow_direct", allowDirect) }
    if let discardNewPerSubject { object.boolean("discard_new_per_subject", discardNewPerSubject) }
    if let denyDelete { object.boolean("deny_delete", denyDelete) }
    if let denyPurge { object.boolean("deny_purge", denyPurge) }
    if let allowRollupHdrs { object.boolean("allow_rollup_hdrs", allowRollupHdrs) }
    output.append(contentsOf: object.finished)
  }
}

/// A flat JSON object. The JSON module is not below this one, and this much of it is all that a declaration needs.
private struct JSONObject {
  private var output: [UInt8] = [0x7B]

  var finished: [UInt8] { output + [0x7D] }

  private mutating func key(_ key: StaticString) {
    if output.count > 1 { output.append(0x2C) }
    output.append(ASCII.quote)
    output.append(literal: key)
    output.append(literal: "\":")
  }

  mutating func string(_ name: StaticString, _ value: ByteString) {
    key(name)
    quote(value)
  }

  mutating func strings(_ name: StaticString, _ values: [ByteString]) {
    key(name)
    output.append(0x5B)
    for index in values.indices {
      if index > 0 { output.append(0x2C) }
      quote(values[index])
    }
    output.append(0x5D)
  }

  mutating func integer(_ name: StaticString, _ value: Int64) {
    key(name)
    output.append(decimal: value)
  }

  mutating func boolean(_ name: StaticString, _ value: Bool) {
    key(name)
    output.append(literal: value ? "true" : "false")
  }

  private mutating func quote(_ value: ByteString) {
    output.append(ASCII.quote)
    // Through String: bytes that are no UTF-8 become U+FFFD instead of malformed JSON.
    for byte in value.string.utf8 {
      if byte == ASCII.quote || byte == ASCII.backslash {
        output.append(ASCII.backslash)
        output.append(byte)
      } else if byte < 0x20 {
        let digits: StaticString = "0123456789abcdef"
        output.append(literal: "\\u00")
        output.append(digits.utf8Start[Int(byte >> 4)])
        output.append(digits.utf8Start[Int(byte & 15)])
      } else {
        output.append(byte)
      }
    }
    output.append(ASCII.quote)
  }
}
