// What a JetStream answers to a publish.
import Bytes
import JSON

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
      self = .refused("\(error["description"]?.string?.string ?? "error") (\(code))", ForwardRefusal(errorCode: code))
    } else if let sequence = json["seq"]?.uint64, sequence > 0, sequence < Self.sequenceMax {
      self = .stored(
        sequence: sequence, duplicate: json["duplicate"]?.bool ?? false, stream: json["stream"]?.string ?? ByteString(),
        domain: json["domain"]?.string ?? ByteString())
    } else {
      self = .unreadable
    }
  }
}
