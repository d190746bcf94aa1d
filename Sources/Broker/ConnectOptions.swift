// What a client says of itself in CONNECT.
import Bytes
import JSON

/// The options of CONNECT that this server knows (client-protocol.md section 1.3); others are ignored.
struct ConnectOptions {
  /// CONNECT JSON larger than this many values is refused.
  private static let nodesMax = 256

  var verbose = true
  var pedantic = true
  var echo = true
  var headers = false
  var noResponders = false
  var protocolVersion = 0
  var name = ByteString()
  var lang = ByteString()
  var version = ByteString()
  /// `account` or `new_account` was asked for.
  var wantsAccount = false

  init() {}

  /// nil when `text` is not a JSON object of the right types. What the client says to be let in goes to `facts`.
  init?(_ text: ByteView, facts: inout ConnectFacts) {
    guard let value = try? JSON.parse(text, depthMax: 8, nodesMax: Self.nodesMax), let members = value.object else { return nil }
    for member in members {
      switch member.name {
      case "verbose": guard set(&verbose, member.value) else { return nil }
      case "pedantic": guard set(&pedantic, member.value) else { return nil }
      case "echo": guard set(&echo, member.value) else { return nil }
      case "headers": guard set(&headers, member.value) else { return nil }
      case "no_responders": guard set(&noResponders, member.value) else { return nil }
      case "name": guard set(&name, member.value) else { return nil }
      case "lang": guard set(&lang, member.value) else { return nil }
      case "version": guard set(&version, member.value) else { return nil }
      case "protocol":
        guard let number = member.value.int else { return nil }
        protocolVersion = number
      case "account", "new_account":
        if let bool = member.value.bool { wantsAccount = wantsAccount || bool }
        if let text = member.value.string { wantsAccount = wantsAccount || !text.isEmpty }
      default: guard facts.take(member) ?? true else { return nil }
      }
    }
  }

  private func set(_ target: inout Bool, _ value: JSONValue) -> Bool {
    if value.isNull { return true }
    guard let bool = value.bool else { return false }
    target = bool
    return true
  }

  private func set(_ target: inout ByteString, _ value: JSONValue) -> Bool {
    if value.isNull { return true }
    guard let text = value.string else { return false }
    target = text
    return true
  }
}
