// What a JetStream answers to a publish.
import Bytes
import JSON

/// A PubAck (jetstream-api.md section 6).
enum PublishAck {
  case stored(sequence: UInt64, duplicate: Bool)
  case refused(String)
  case unreadable

  init(_ payload: ByteView) {
    guard let json = try? JSON.parse(payload, depthMax: 8, nodesMax: 64) else {
      self = .unreadable
      return
    }
    if let error = json["error"] {
      let code = error["err_code"]?.int ?? error["code"]?.int ?? 0
      self = .refused("\(error["description"]?.string?.string ?? "error") (\(code))")
    } else if let sequence = json["seq"]?.uint64, sequence > 0 {
      self = .stored(sequence: sequence, duplicate: json["duplicate"]?.bool ?? false)
    } else {
      self = .unreadable
    }
  }
}
