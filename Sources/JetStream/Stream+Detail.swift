// A stream as monitoring shows it (monitoring.md section 6).
import Bytes
import JSON

extension Stream {
  /// Appends the fields of StreamInfo to an object that is open.
  public func appendDetail(to json: inout JSONWriter) { writeInfo(to: &json, InfoParts()) }
}
