// Whether what accounts want to import is there, theirs to have, and no circle. The same for configurations and for tokens.
import Bytes
import Interest

/// What is wrong with an import.
public enum SharingProblem: Error, Equatable, Sendable {
  case noAccount, ownAccount, untrusted, ownUntrusted, notExported, notAuthorized, subjects, cycle, duplicate

  public var text: StaticString {
    switch self {
    case .noAccount: "that account is not defined"
    case .ownAccount: "an account cannot import from itself"
    case .untrusted: "that account's JWT is not valid now, or not signed by a trusted operator"
    case .ownUntrusted: "its own JWT is not valid now, or not signed by a trusted operator"
    case .notExported: "that account does not export it"
    case .notAuthorized: "that account does not export it to this one"
    case .subjects: "the subjects do not fit each other"
    case .cycle: "import forms a cycle"
    case .duplicate: "duplicate import"
    }
  }
}

/// An account, as far as sharing goes.
public struct SharedAccount: Sendable {
  public let name: ByteString
  public let exports: [ExportRule]
  public let imports: [ImportRule]
  /// Keys that may sign for it, besides its own.
  public let signingKeys: [ByteString]
  /// Whether its word counts: in operator mode not that of an account whose token does not hold.
  public let isTrusted: Bool

  public init(
    name: ByteString, exports: [ExportRule], imports: [ImportRule], signingKeys: [ByteString] = [], isTrusted: Bool = true
  ) {
    self.name = name
    self.exports = exports
    self.imports = imports
    self.signingKeys = signingKeys
    self.isTrusted = isTrusted
  }
}

/// An import that is right.
public struct SharedSubject {
  public let export: ExportRule
  public let pairing: SubjectPairing
  /// When the exporter's word for it ends, in seconds since 1970; nil: never.
  public let expires: Int64?
}

/// Judges imports among accounts.
public struct SharingCheck {
  /// Imports that are looked at in search of a circle; whoever chains more is told that there is one.
  private static let stepsMax = 10_000

  private let accounts: [SharedAccount]
  /// Seconds since 1970.
  private let now: Int64

  public init(_ accounts: [SharedAccount], now: Int64) {
    self.accounts = accounts
    self.now = now
  }

  private func account(_ name: ByteString) -> SharedAccount? { accounts.first { $0.name == name } }

  /// What import number `index` of `importer` stands for.
  public func judge(_ index: Int, of importer: SharedAccount) throws(SharingProblem) -> SharedSubject {
    let rule = importer.imports[index]
    guard let exporter = account(rule.account) else { throw .noAccount }
    guard exporter.name != importer.name else { throw .ownAccount }
    guard importer.isTrusted else { throw .ownUntrusted }
    guard exporter.isTrusted else { throw .untrusted }
    guard let pairing = SubjectPairing(exported: rule.subject, local: rule.localSubject, isConstant: rule.kind == .service) else {
      throw .subjects
    }
    let isDuplicate = importer.imports[..<index].contains { other in
      other.kind == rule.kind && other.account == rule.account
        && (rule.kind == .stream ? other.subject == rule.subject : other.localSubject == rule.localSubject)
    }
    if isDuplicate { throw .duplicate }
    let offered = exporter.exports.filter { $0.kind == rule.kind }
    guard
      let export = offered.first(where: { $0.subject == rule.subject })
        ?? offered.first(where: { Subject.isSubset(rule.subject, of: $0.subject) })
    else { throw .notExported }
    let expires = try authorize(rule, export, importer, exporter)
    var steps = 0
    if reaches(importer.name, from: exporter, pairing.exportedPattern, rule.kind, &steps) { throw .cycle }
    return SharedSubject(export: export, pairing: pairing, expires: expires)
  }

  /// Whether the importer may have it, and until when.
  private func authorize(
    _ rule: ImportRule, _ export: ExportRule, _ importer: SharedAccount, _ exporter: SharedAccount
  ) throws(SharingProblem) -> Int64? {
    if export.accountTokenPosition > 0 {
      // The exporter leaves a place open there: otherwise its word means nothing.
      let isOpen = Self.token(export.accountTokenPosition, of: export.subject) { $0.equals("*") }
      guard isOpen, Self.token(export.accountTokenPosition, of: rule.subject, is: { importer.name == $0 }) else { throw .notAuthorized }
      return nil
    }
    if export.needsToken { return try activation(rule, export, importer, exporter) }
    guard export.accounts?.contains(importer.name) ?? true else { throw .notAuthorized }
    return nil
  }

  /// Whether `subject` has a token number `position` (from 1) that is as wanted.
  private static func token(_ position: Int, of subject: ByteString, is wanted: (ByteView) -> Bool) -> Bool {
    subject.withView { subject in
      var tokens = Subject.Tokens(subject)
      for _ in 1..<position where tokens.next() == nil { return false }
      return tokens.next().map(wanted) ?? false
    }
  }

  /// Whether the import's token is the exporter's word that this importer may have it.
  private func activation(
    _ rule: ImportRule, _ export: ExportRule, _ importer: SharedAccount, _ exporter: SharedAccount
  ) throws(SharingProblem) -> Int64? {
    guard let token = rule.token.withView({ try? Token($0) }), let activation = try? ActivationClaims(token), token.isValid(at: now),
      token.expires == 0 || token.expires > now, token.subject.text == importer.name, activation.account == exporter.name,
      activation.kind == rule.kind, Subject.isValid(activation.subject), Subject.isSubset(rule.subject, of: activation.subject),
      token.issuer.text == exporter.name || exporter.signingKeys.contains(token.issuer.text),
      !export.revocations.revoke(importer.name, issuedAt: token.issuedAt)
    else { throw .notAuthorized }
    return token.expires > 0 ? token.expires : nil
  }

  /// Whether what `account` has on `subject` comes from `wanted` in turn. The subject becomes narrower on the way, so a circle that does
  /// not lead back to `wanted` ends too: by the number of steps.
  private func reaches(
    _ wanted: ByteString, from account: SharedAccount, _ subject: ByteString, _ kind: SharingKind, _ steps: inout Int
  ) -> Bool {
    // What an account imports whose word does not count is not in force.
    guard account.isTrusted else { return false }
    for rule in account.imports where rule.kind == kind {
      steps += 1
      guard steps < Self.stepsMax else { return true }
      guard let pairing = SubjectPairing(exported: rule.subject, local: rule.localSubject, isConstant: kind == .service),
        Subject.overlap(subject, pairing.localPattern), let next = self.account(rule.account)
      else { continue }
      if next.name == wanted || reaches(wanted, from: next, rule.subject, kind, &steps) { return true }
    }
    return false
  }
}
