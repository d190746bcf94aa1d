// What a monitoring answer is asked for: by the query of an HTTP request, or by the options of a request in the system account.
import Bytes
import JSON
import Web

/// The options of one question.
struct MonitorQuery {
  let path: ByteString
  /// Who asks gets no more entries at a time, whatever limit it names.
  var limitMax = Int.max
  private let lookup: (StaticString) -> ByteString?

  subscript(_ name: StaticString) -> ByteString? { lookup(name) }

  init(_ request: HTTPRequest) {
    path = request.path
    lookup = { request[$0] }
  }

  /// Options as JSON, with the names that requests in the system account use. nil when they are no JSON object.
  init?(path: ByteString, options text: ByteView, account: ByteString? = nil) {
    var members: [(name: ByteString, value: ByteString)] = []
    if let account { members.append(("acc", account)) }
    if !text.trimmed.isEmpty {
      guard let json = try? JSON.parse(text, depthMax: 8, nodesMax: 256), let object = json.object else { return nil }
      for member in object { if let text = Self.text(member) { members.append((Self.queryName(member.name), text)) } }
    }
    self.path = path
    let known = members
    // The first one counts: what the subject says of the account outranks what the body says.
    lookup = { name in known.first { $0.name.equals(name) }?.value }
  }

  private static func queryName(_ name: ByteString) -> ByteString {
    switch name {
    case "subscriptions", "subscriptions_detail": "subs"
    case "account": "acc"
    case "consumer": "consumers"
    case "include_unused": "unused"
    default: name
    }
  }

  private static func text(_ member: JSONMember) -> ByteString? {
    switch member.value {
    case .string(let text): return text
    case .bool(let flag): return flag ? "true" : "false"
    case .number(let number):
      guard member.name.equals("state") else { return number.text }
      switch number.int {
      case 1?: return "closed"
      case 2?: return "any"
      default: return "open"
      }
    default: return nil
    }
  }

  /// Go's ParseBool, as far as it says true.
  func flag(_ name: StaticString) -> Bool {
    guard let value = self[name] else { return false }
    switch value {
    case "1", "t", "T", "true", "TRUE", "True": return true
    default: return false
    }
  }
}
