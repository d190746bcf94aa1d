// An entry of `streams`: a stream in JetStream's own StreamConfig terms. The fields are read by JetStream, which knows them; here they
// are only kept, with their places.
import Bytes
import Identity

/// A declared stream.
public struct StreamDeclaration: Equatable, Sendable {
  public let location: Location
  /// Empty when there is none, or none that is a string.
  public let name: ByteString
  /// Whose stream it is: the one field that is ours.
  public let account: ByteString
  /// The others.
  public let fields: ConfigurationMap

  init(_ fields: ConfigurationMap, at location: Location) {
    self.location = location
    name = Self.text("name", of: fields) ?? ByteString()
    account = Self.text("account", of: fields) ?? AccessRules.globalAccount
    self.fields = ConfigurationMap(entries: fields.entries.filter { entry in !entry.key.withView { $0.equalsIgnoringCase("account") } })
  }

  private static func text(_ key: StaticString, of fields: ConfigurationMap) -> ByteString? {
    let entry = fields.entries.last { entry in entry.key.withView { $0.equalsIgnoringCase(key) } }
    if case .string(let text)? = entry?.value.content { return text }
    return nil
  }
}
