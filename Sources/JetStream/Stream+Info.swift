// A stream as the API shows it: StreamInfo (section 4.3).
import Bytes
import JSON
import Platform

extension Stream {
  /// Which of the varying parts of StreamInfo an answer has.
  struct InfoParts {
    var domain = false
    var cluster = false
    /// The version keys in the metadata.
    var version = true
    var deletedDetails = false
    /// What of `subjects` is shown; nil for none.
    var subjects: [(subject: ByteString, count: Int)]?
  }

  /// Most removed sequences that an answer lists: what is written in one turn.
  static let deletedDetailsMax = 100_000

  func writeInfo(to json: inout JSONWriter, _ parts: InfoParts) {
    json.beginObject("config")
    config.write(to: &json, serverVersion: parts.version ? engine.options.serverVersion : nil)
    json.endObject()
    json.field("created", time: created_ns)
    json.beginObject("state")
    writeState(to: &json, parts)
    json.endObject()
    if parts.domain { json.fieldUnlessEmpty("domain", engine.options.domain) }
    if parts.cluster {
      json.beginObject("cluster")
      json.field("leader", engine.options.serverName)
      json.endObject()
    }
    writeOrigins(to: &json)
    json.field("ts", time: engine.host.clock.wall_ns)
  }

  /// Writes the member `config`, for monitoring.
  public func appendConfig(to json: inout JSONWriter) {
    json.beginObject("config")
    config.write(to: &json)
    json.endObject()
  }

  /// Writes the member `state`, for monitoring.
  public func appendState(to json: inout JSONWriter) {
    json.beginObject("state")
    writeState(to: &json, InfoParts())
    json.endObject()
  }

  /// `consumers`: how many are shown, where that is not how many there are.
  func writeState(to json: inout JSONWriter, _ parts: InfoParts, consumers: Int? = nil) {
    var first_ns: Int64?
    if log.count > 0 { _ = log.read(log.firstSequence) { first_ns = $0.timestamp_ns } }
    let wasUsed = log.lastSequence > 0 || config.firstSequence > 0
    json.field("messages", log.count)
    json.field("bytes", log.bytes)
    json.field("first_seq", wasUsed ? log.firstSequence : 0)
    json.field("first_ts", time: first_ns)
    json.field("last_seq", log.lastSequence)
    json.field("last_ts", time: log.lastTimestamp_ns > 0 ? log.lastTimestamp_ns : nil)
    json.fieldUnlessZero("num_subjects", subjects.count)
    if let shown = parts.subjects, !shown.isEmpty {
      json.beginObject("subjects")
      for (subject, count) in shown {
        json.key(subject)
        json.number(count)
      }
      json.endObject()
    }
    json.fieldUnlessZero("num_deleted", log.deletedCount)
    if parts.deletedDetails, log.deletedCount > 0 {
      json.beginArray("deleted")
      for sequence in log.deletedSequences(limit: Stream.deletedDetailsMax) { json.number(sequence) }
      json.endArray()
    }
    json.field("consumer_count", consumers ?? consumerCount)
  }
}
