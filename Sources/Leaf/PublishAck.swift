// What a JetStream answers to a publish.
import Bytes
import JSON

/// What a hub says about an error, as it may stand in headers, logs and monitoring: one line, not long.
enum HubWords {
  static let bytesMax = 200

  static func of(_ error: JSONValue) -> String { error["description"]?.string.map { short($0) } ?? "error" }

  static func short(_ text: ByteString) -> String {
    let start = text.withView { ByteString($0.prefix(min(bytesMax, $0.count))) }
    let line = GoQuoted.oneLine(start)
    return line.withView { $0.prefix(min(bytesMax, $0.count)).string }
  }
}

/// A PubAck (jetstream-api.md section 6).
enum PublishAck {
  /// By whom: another JetStream that takes the same subject may answer too.
  case stored(sequence: UInt64, duplicate: Bool, stream: ByteString, domain: ByteString)
  case refused(String, ForwardRefusal)
  case unreadable

  /// No stream comes near this; what is above would overflow sums.
  static let sequenceMax: UInt64 = 1 << 62

  init(_ payload: ByteView) {
    guard let json = try? JSON.parse(payload, depthMax: 8, nodesMax: 64) else {
      self = .unreadable
      return
    }
    if let error = json["error"] {
      let code = error["err_code"]?.int ?? error["code"]?.int ?? 0
      self = .refused("\(HubWords.of(error)) (\(code))", ForwardRefusal(errorCode: code))
    } else if let sequence = json["seq"]?.uint64, sequence > 0, sequence < Self.sequenceMax {
      self = .stored(
        sequence: sequence, duplicate: json["duplicate"]?.bool ?? false, stream: json["stream"]?.string ?? ByteString(),
        domain: json["domain"]?.string ?? ByteString())
    } else {
      self = .unreadable
    }
  }
}

/// What a hub says about a fast-ingest batch (jetstream-api.md section 8).
enum BatchAnswer {
  /// It has come so far, or misses something, and will say in the end what it has.
  case goesOn
  /// The batch has ended; the stream has `count` of its messages, the last as `sequence`.
  case stored(count: UInt64, sequence: UInt64, stream: ByteString, domain: ByteString)
  /// `isForGood`: the stream takes no batches, or not as they are sent here.
  case refused(String, isForGood: Bool)
  case unreadable

  init(_ payload: ByteView) {
    guard let json = try? JSON.parse(payload, depthMax: 8, nodesMax: 64) else {
      self = .unreadable
      return
    }
    if json["type"] != nil {
      self = .goesOn
      return
    }
    switch PublishAck(payload) {
    case .stored(let sequence, _, let stream, let domain):
      self = json["count"]?.uint64.map { .stored(count: $0, sequence: sequence, stream: stream, domain: domain) } ?? .unreadable
    case .refused(let text, _):
      let code = json["error"]?["err_code"]?.int ?? 0
      self = .refused(text, isForGood: code == 10205 || code == 10206 || code == 10207)
    case .unreadable: self = .unreadable
    }
  }
}
