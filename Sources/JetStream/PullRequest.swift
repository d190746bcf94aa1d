// What a request for messages says (section 14): its body, and the checks that need nothing but the request and the configuration.
import Bytes
import JSON
import Platform

/// What a request says of its priority group.
struct PriorityGroup: Equatable {
  var name = ByteString()
  var minPending: Int64 = 0
  var minAckPending: Int64 = 0
  /// The pin that the client has.
  var id = ByteString()
  /// 0 is served first, 9 last.
  var priority: Int64 = 0
}

/// A request for messages, decoded.
struct PullRequest: Equatable {
  /// Messages wanted; at least one is delivered.
  var batch = 1
  /// How long it waits; 0 is for ever.
  var expires_ns: Int64 = 0
  /// Bytes wanted at most; 0 is no limit.
  var maxBytes = 0
  var noWait = false
  var heartbeat_ns: Int64 = 0
  /// What it says of its priority group; nil when the request is no object, which says nothing.
  var group: PriorityGroup?

  /// Reads the body of MSG.NEXT, or what follows `+NXT `. Throws the text behind `400 Bad Request - `.
  static func decode(_ body: ByteView) throws(RefusedPull) -> PullRequest {
    var request = PullRequest()
    let text = body.trimmed
    if text.isEmpty { return request }
    guard text[0] == UInt8(ascii: "{") else {
      // A number of messages; anything else is a request for one.
      if let batch = text.decimalInt() { request.batch = batch }
      return request
    }
    let value: JSONValue
    do throws(JSONError) { value = try JSON.parse(text) } catch { throw .text("400 Bad Request - " + error.text) }
    guard let members = value.object else { return request }
    request.group = PriorityGroup()
    for member in members { try request.read(member) }
    return request
  }

  private mutating func read(_ member: JSONMember) throws(RefusedPull) {
    let name = member.name
    let value = member.value
    if value.isNull { return }
    func number() throws(RefusedPull) -> Int64 {
      guard let number = value.int64 else { throw PullRequest.mismatch(name) }
      return number
    }
    func text() throws(RefusedPull) -> ByteString {
      guard let text = value.string, text.count <= PullRequest.textBytesMax else { throw PullRequest.mismatch(name) }
      return text
    }
    if name.is("batch") {
      batch = Int(clamping: try number())
    } else if name.is("expires") {
      expires_ns = try number()
    } else if name.is("max_bytes") {
      maxBytes = Int(clamping: try number())
    } else if name.is("idle_heartbeat") {
      heartbeat_ns = try number()
    } else if name.is("min_pending") {
      group?.minPending = try number()
    } else if name.is("min_ack_pending") {
      group?.minAckPending = try number()
    } else if name.is("priority") {
      group?.priority = try number()
    } else if name.is("no_wait") {
      guard let flag = value.bool else { throw PullRequest.mismatch(name) }
      noWait = flag
    } else if name.is("id") {
      group?.id = try text()
    } else if name.is("group") {
      group?.name = try text()
    }
  }

  private static func mismatch(_ name: ByteString) -> RefusedPull {
    .text(
      "400 Bad Request - json: cannot unmarshal value into Go struct field JSApiConsumerGetNextRequest." + name.string
        + " of another type")
  }

  /// More messages than this no client waits for; it keeps sums of requests far from overflowing.
  private static let batchMax = 1 << 30
  /// A group's name and a pin's id are shorter.
  private static let textBytesMax = 256
  /// Heartbeats more often than this are a flood.
  private static let heartbeatMin_ns = 50 * millisecond_ns

  /// Checks the request against the consumer's limits; throws the status line.
  mutating func check(_ config: ConsumerConfig) throws(RefusedPull) {
    expires_ns = max(expires_ns, 0)
    // None or less is one message, but a status shows what was asked for.
    batch = min(max(batch, -Self.batchMax), Self.batchMax)
    heartbeat_ns = max(heartbeat_ns, 0)
    maxBytes = max(maxBytes, 0)
    if heartbeat_ns > 0, heartbeat_ns > expires_ns / 2 { throw .text("400 Bad Request - heartbeat value too large") }
    if heartbeat_ns > 0 { heartbeat_ns = max(heartbeat_ns, Self.heartbeatMin_ns) }
    if config.maxBatch > 0, batch > config.maxBatch { throw .text("409 Exceeded MaxRequestBatch of \(config.maxBatch)") }
    if config.maxExpires_ns > 0, expires_ns > config.maxExpires_ns {
      throw .text("409 Exceeded MaxRequestExpires of " + GoDuration.format(config.maxExpires_ns).string)
    }
    if config.maxBytes > 0, maxBytes > config.maxBytes { throw .text("409 Exceeded MaxRequestMaxBytes of \(config.maxBytes)") }
  }
}

/// A request for messages that is answered with a status.
enum RefusedPull: Error, Equatable {
  case text(String)
}

extension ByteString {
  /// Whether it is this name in any case.
  fileprivate func `is`(_ name: StaticString) -> Bool { withView { $0.equalsIgnoringCase(name) } }
}
