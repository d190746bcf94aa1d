// What accounts give to each other, as configurations and tokens say it.
import Bytes

/// Whether messages (stream) or requests (service) pass between two accounts.
public enum SharingKind: UInt8, Sendable { case stream, service }

/// What an account lets others import (client-protocol.md section 7).
public struct ExportRule: Equatable, Sendable {
  public enum Response: UInt8, Sendable {
    /// One answer to a request.
    case single
    /// Any number of answers.
    case stream
    /// Answers until an empty one.
    case chunked
  }
  /// How long answers are waited for, unless the export says otherwise.
  public static let thresholdDefault_ns: Int64 = 120_000_000_000

  public var kind: SharingKind
  public var subject: ByteString
  /// Who may import; nil for everybody.
  public var accounts: [ByteString]?
  public var response = Response.single
  public var threshold_ns = ExportRule.thresholdDefault_ns
  /// Which token of the subject (from 1) must be the importing account's name; 0 for none.
  public var accountTokenPosition = 0
  /// Whether an import needs an activation token of this account.
  public var needsToken = false
  /// Activation tokens of these accounts ("*" for all) issued up to then (seconds since 1970) do not count.
  public var revocations: [Revocation] = []

  public init(_ kind: SharingKind, _ subject: ByteString) {
    self.kind = kind
    self.subject = subject
  }
}

/// What an account takes from another.
public struct ImportRule: Equatable, Sendable {
  public var kind: SharingKind
  /// Who exports.
  public var account: ByteString
  /// The subject there.
  public var subject: ByteString
  /// The subject here; `$n` stands for the n-th wildcard of `subject`.
  public var localSubject: ByteString
  /// Whether the exporter learns who asks.
  public var sharesRequester = false
  /// The activation token; empty for none.
  public var token = ByteString()

  public init(_ kind: SharingKind, account: ByteString, subject: ByteString, localSubject: ByteString) {
    self.kind = kind
    self.account = account
    self.subject = subject
    self.localSubject = localSubject
  }
}

/// Tokens of `key` ("*" for every key) that were issued at or before `time` (seconds since 1970) are not valid any more.
public struct Revocation: Equatable, Sendable {
  public let key: ByteString
  public let time: Int64
  public init(key: ByteString, time: Int64) {
    self.key = key
    self.time = time
  }
}

extension [Revocation] {
  /// Whether a token for `key` that was issued at `issuedAt` is revoked.
  public func revoke(_ key: ByteString, issuedAt: Int64) -> Bool {
    contains { ($0.key == key || $0.key.equals("*")) && issuedAt <= $0.time }
  }
}
