// Allow and deny lists of subjects, as INFO conveys them.
import Bytes
import Identity
import Interest
import JSON

/// What may pass: an empty allow list means everything, deny outranks allow (leafnode-protocol.md section 10).
public struct SubjectPermission: Equatable {
  public var allow: [ByteString]
  public var deny: [ByteString]

  public init(allow: [ByteString] = [], deny: [ByteString] = []) {
    self.allow = allow
    self.deny = deny
  }

  /// An empty allow list of a user lets nothing through, one of a link everything.
  init(_ lists: Permissions.Lists) {
    allow = lists.allow ?? []
    deny = lists.allow?.isEmpty == true ? [">"] : lists.deny
  }

  init(_ json: JSONValue) {
    allow = Self.list(json["allow"])
    deny = Self.list(json["deny"])
  }

  /// Entries may carry a queue group behind a blank (section 3.4). They stay as they are and match no subject: such an entry lets neither
  /// messages nor interest of that group through on a leaf link (section 10.2), but it does make the list one that is not empty.
  private static func list(_ json: JSONValue?) -> [ByteString] { (json?.array ?? []).compactMap { $0.string } }

  public var isUnrestricted: Bool { allow.isEmpty && deny.isEmpty }

  /// Whether a message on `subject` (a literal) may pass.
  public func permits(message subject: ByteView) -> Bool {
    if !allow.isEmpty, !allow.contains(where: { Subject.matches(subject, $0) }) { return false }
    return !denies(message: subject)
  }

  /// Whether a deny entry is about `subject`, whatever is allowed.
  public func denies(message subject: ByteView) -> Bool { deny.contains { Subject.matches(subject, $0) } }

  /// Whether interest in `subject` may be advertised (section 10.2): some allow entry covers it or lies inside it, and no deny entry
  /// covers it.
  public func permits(interest subject: ByteString) -> Bool {
    if !allow.isEmpty {
      let covered = allow.contains { Subject.isSubset(subject, of: $0) || Subject.isSubset($0, of: subject) }
      guard covered else { return false }
    }
    return !deny.contains { Subject.isSubset(subject, of: $0) }
  }
}
