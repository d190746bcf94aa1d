// The permissions of users that a scoped signing key signs: subjects with places for what the user's and the account's tokens say.
import Bytes
import Interest

/// Fills templates such as `devices.{{name()}}.>` (nats-server's scoped signing keys).
public struct UserTemplate {
  /// A tag that is there several times makes as many subjects; more than this is refused, as by nats-server.
  static let subjectsMax = 4096
  private static let placesMax = 16

  let user: Token
  let accountName: ByteString
  let accountTags: [ByteString]

  public init(user: Token, account: Token) {
    self.user = user
    accountName = account.name
    accountTags = account.tags
  }

  /// The permissions of the user; nil when they cannot be made: then the user is refused.
  public func fill(_ template: Permissions) -> Permissions? {
    var filled = template
    guard let publish = fill(template.publish), let subscribe = fill(template.subscribe) else { return nil }
    filled.publish = publish
    filled.subscribe = subscribe
    return filled
  }

  private func fill(_ lists: Permissions.Lists) -> Permissions.Lists? {
    var filled = lists
    if let allow = lists.allow {
      // An allow entry that comes out wrong allows nothing.
      guard let subjects = fill(allow, refusesInvalid: false) else { return nil }
      filled.allow = subjects
    }
    // A deny entry that comes out wrong would deny nothing: the user is refused.
    guard let deny = fill(lists.deny, refusesInvalid: true) else { return nil }
    filled.deny = deny
    return filled
  }

  private func fill(_ list: [ByteString], refusesInvalid: Bool) -> [ByteString]? {
    var result: [ByteString] = []
    for entry in list {
      guard let made = entry.withView({ fill($0, refusesInvalid: refusesInvalid) }), result.count + made.count <= Self.subjectsMax else {
        return nil
      }
      result += made
    }
    return result
  }

  /// The subjects that one entry stands for.
  private func fill(_ entry: ByteView, refusesInvalid: Bool) -> [ByteString]? {
    guard entry.contains("{{") else { return [ByteString(entry)] }
    var texts: [[UInt8]] = [[]]
    var rest = entry
    var places = 0
    while let open = Self.find("{{", in: rest), let close = Self.find("}}", in: rest.dropFirst(open + 2)), close > 0 {
      places += 1
      guard places <= Self.placesMax, let values = values(rest.slice(open + 2, open + 2 + close).trimmed) else { return nil }
      if values.isEmpty {
        if refusesInvalid { return nil }
        return []
      }
      guard texts.count * values.count <= Self.subjectsMax, !values.contains(where: Self.hasWildcard) else { return nil }
      var grown: [[UInt8]] = []
      for text in texts {
        for value in values { grown.append(text + rest.prefix(open).bytes + value.bytes) }
      }
      texts = grown
      rest = rest.dropFirst(open + 2 + close + 2)
    }
    var subjects: [ByteString] = []
    for text in texts {
      let subject = ByteString(text + rest.bytes)
      if Subject.isValid(subject) {
        subjects.append(subject)
      } else if refusesInvalid {
        return nil
      }
    }
    return subjects
  }

  /// A name or a tag with a wildcard would mean more than one user's subjects.
  private static func hasWildcard(_ value: ByteString) -> Bool { value.bytes.contains { $0 == ASCII.star || $0 == ASCII.greater } }

  /// What stands for the function in a place; nil when there is no such function.
  private func values(_ function: ByteView) -> [ByteString]? {
    if function.equalsIgnoringCase("name()") { return [user.name] }
    if function.equalsIgnoringCase("subject()") { return [user.subject.text] }
    if function.equalsIgnoringCase("account-name()") { return [accountName] }
    if function.equalsIgnoringCase("account-subject()") { return [user.issuerAccount] }
    if let tag = Self.argument(of: function, "tag(") { return Self.values(of: tag, in: user.tags) }
    if let tag = Self.argument(of: function, "account-tag(") { return Self.values(of: tag, in: accountTags) }
    return nil
  }

  private static func argument(of function: ByteView, _ name: StaticString) -> ByteView? {
    let length = name.utf8CodeUnitCount
    guard function.count > length, function.prefix(length).equalsIgnoringCase(name), function[function.count - 1] == 0x29 else {
      return nil
    }
    return function.slice(length, function.count - 1)
  }

  /// The values of the tags `name:value`.
  private static func values(of name: ByteView, in tags: [ByteString]) -> [ByteString] {
    tags.compactMap { tag in
      tag.withView { view in
        guard view.count > name.count, view[name.count] == ASCII.colon, view.prefix(name.count).equalsIgnoringCase(name) else { return nil }
        return ByteString(view.dropFirst(name.count + 1))
      }
    }
  }

  private static func find(_ literal: StaticString, in text: ByteView) -> Int? {
    let wanted = ByteView(literal)
    guard text.count >= wanted.count else { return nil }
    for start in 0...(text.count - wanted.count) where text.slice(start, start + wanted.count) == wanted { return start }
    return nil
  }
}
