// The errors of the JetStream API: HTTP-like code, err_code and description (jetstream-api.md, appendix A).
// Errors of consumers are in Consumer's files.
import Bytes
import JSON

/// An error as a client of the JetStream API sees it.
public struct APIError: Error, Equatable, Sendable {
  /// HTTP-like class of the error: 400, 404, 500, 503, …
  public let code: Int
  /// What clients tell errors apart by.
  public let errorCode: Int
  public let text: ByteString

  public init(_ code: Int, _ errorCode: Int, _ text: StaticString) {
    self.code = code
    self.errorCode = errorCode
    self.text = ByteString(ByteView(text))
  }

  public init(_ code: Int, _ errorCode: Int, text: String) {
    self.code = code
    self.errorCode = errorCode
    self.text = ByteString(text)
  }

  /// Writes `"error":{"code":…,"err_code":…,"description":…}`.
  public func write(to json: inout JSONWriter) {
    json.beginObject("error")
    json.field("code", code)
    json.fieldUnlessZero("err_code", errorCode)
    json.fieldUnlessEmpty("description", text)
    json.endObject()
  }
}

extension APIError {
  public static var badRequest: APIError { APIError(400, 10003, "bad request") }
  public static var insufficientResources: APIError { APIError(503, 10023, "insufficient resources") }
  public static var accountExceeded: APIError { APIError(400, 10002, "resource limits exceeded for account") }
  public static var emptyRequestExpected: APIError { APIError(400, 10038, "expected an empty request payload") }
  public static var noMessageFound: APIError { APIError(404, 10037, "no message found") }
  public static var notEnabled: APIError { APIError(503, 10039, "JetStream not enabled for account") }
  public static var nameMismatch: APIError { APIError(400, 10056, "stream name in subject does not match request") }
  public static var nameInUse: APIError { APIError(400, 10058, "stream name already in use with a different configuration") }
  public static var streamNotFound: APIError { APIError(404, 10059, "stream not found") }
  public static var subjectsOverlap: APIError { APIError(400, 10065, "subjects overlap with an existing stream") }
  public static var replicas: APIError { APIError(500, 10074, "replicas > 1 not supported in non-clustered mode") }
  public static var sealed: APIError { APIError(400, 10109, "invalid operation on sealed stream") }
  public static var pathSeparator: APIError { APIError(400, 10128, "Stream name can not contain path separators") }
  public static var clusteringRequired: APIError { APIError(503, 10010, "JetStream clustering support required") }
  public static var apiLevel: APIError { APIError(412, 10185, "JetStream minimum api level required") }

  public static func invalidJSON(_ text: String) -> APIError { APIError(400, 10025, text: "invalid JSON: " + text) }
  /// A configuration that nats-server refuses with err_code 10052.
  public static func invalidConfig(_ text: StaticString) -> APIError { APIError(500, 10052, text) }
  public static func invalidConfig(text: String) -> APIError { APIError(500, 10052, text: text) }
  public static func pedantic(_ text: StaticString) -> APIError { APIError(400, 10157, text: "pedantic mode: " + ByteView(text).string) }
  public static func sequenceNotFound(_ sequence: UInt64) -> APIError { APIError(400, 10043, text: "sequence \(sequence) not found") }
  /// A part of JetStream that Petiole does not have.
  public static func unsupported(_ what: StaticString) -> APIError {
    APIError(500, 10052, text: ByteView(what).string + " not supported")
  }
}

extension APIError {
  /// The member `"error":{…}` as bytes.
  var json: [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    write(to: &json)
    json.endObject()
    return Array(json.finish().dropFirst().dropLast())
  }
}
