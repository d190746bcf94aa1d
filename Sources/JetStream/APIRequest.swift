// One request to the JetStream API and the envelope of its answer. What each request does is in the API+… files.
import Broker
import Bytes
import Interest
import JSON
import Wire

/// A request to `$JS.API.…`. Its views end with the call that hands it over; whoever answers later keeps a `KeptRequest`
/// or a `replySubject`.
public struct APIRequest {
  public let message: Message
  public let source: Endpoint
  /// The subject behind `$JS.API.`: `STREAM.CREATE.orders`.
  public let path: ByteView

  init(message: Message, source: Endpoint) {
    self.message = message
    self.source = source
    path = message.subject.dropFirst(JetStream.apiPrefix.utf8CodeUnitCount)
  }

  public var body: ByteView { message.payload }
  public var headers: Headers { Headers(message.headers) }
  /// Where the answer goes; empty when none is wanted.
  public var reply: ByteView { message.reply }
  /// A copy of `reply`, for an answer that is given later.
  public var replySubject: ByteString { ByteString(message.reply) }

  /// Token `index` (from 0) of the path, or nil when it is shorter.
  public func token(_ index: Int) -> ByteView? {
    var tokens = Subject.Tokens(path)
    for _ in 0..<index { _ = tokens.next() }
    return tokens.next()
  }

  /// Everything from token `index` on, or nil when the path is shorter.
  public func rest(from index: Int) -> ByteView? {
    var tokens = Subject.Tokens(path)
    for _ in 0..<index where tokens.next() == nil { return nil }
    return tokens.rest
  }

  public var tokenCount: Int { Subject.tokenCount(path) }

  /// Whether the body is an empty request: nothing, or an object without keys (section 1.4).
  public var isEmptyRequest: Bool {
    if body.isEmpty { return true }
    guard body[0] == UInt8(ascii: "{"), let value = try? JSON.parse(body), let members = value.object else { return false }
    return members.isEmpty
  }

  /// Whether an optional body is there at all: its first non-blank byte is `{` or `[` (section 1.4).
  public var hasJSONBody: Bool {
    let text = body.trimmed
    return !text.isEmpty && (text[0] == UInt8(ascii: "{") || text[0] == UInt8(ascii: "["))
  }
}

/// A request that is answered in a later turn: what its answer and the audit need of it.
struct KeptRequest {
  let subject: ByteString
  let reply: ByteString
  let body: ByteString
  let source: Endpoint

  init(_ request: APIRequest) {
    subject = ByteString(request.message.subject)
    reply = request.replySubject
    body = ByteString(request.body)
    source = request.source
  }
}

/// An answer in the making: the envelope of section 1.6.
public struct APIResponse {
  public var json = JSONWriter()

  /// Begins `{"type":"io.nats.jetstream.api.v1.<type>_response"`.
  public init(_ type: StaticString) {
    json.beginObject()
    var name: [UInt8] = []
    name.append(literal: "io.nats.jetstream.api.v1.")
    name.append(literal: type)
    name.append(literal: "_response")
    name.withView { json.field("type", $0) }
  }

  public mutating func error(_ error: APIError) { error.write(to: &json) }

  /// The finished text.
  public consuming func finish() -> [UInt8] {
    json.endObject()
    return json.finish()
  }
}
