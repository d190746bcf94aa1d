// A stream as monitoring shows it (monitoring.md section 6).
import Bytes
import JSON

extension Stream {
  /// Appends the fields of StreamInfo to an object that is open.
  public func appendDetail(to json: inout JSONWriter) { writeInfo(to: &json, InfoParts()) }
}

extension StreamConfig {
  /// A configuration from its JSON, unknown keys refused: what a declaration in the configuration file comes to.
  public init(json: ByteView) throws(APIError) { self = try StreamConfig.decode(json, strict: true).config }
}
