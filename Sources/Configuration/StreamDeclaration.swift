// An entry of `streams`: a stream in JetStream's own StreamConfig terms. The fields are read by JetStream, which knows them; here they
// are only kept, with their places.
import Bytes

/// A declared stream.
public struct StreamDeclaration: Equatable, Sendable {
  public let location: Location
  /// Empty when there is none, or none that is a string.
  public let name: ByteString
  public let fields: ConfigurationMap

  init(_ fields: ConfigurationMap, at location: Location) {
    self.location = location
    self.fields = fields
    let entry = fields.entries.last { entry in entry.key.withView { $0.equalsIgnoringCase("name") } }
    if case .string(let name)? = entry?.value.content { self.name = name } else { name = ByteString() }
  }
}
