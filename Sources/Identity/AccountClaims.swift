// What an account's token says: its limits, who may sign users for it, what it shares, whom it has revoked.
import Bytes
import Interest
import JSON

/// A key that may sign users of an account.
public struct SigningKey: Sendable {
  public let key: ByteString
  /// What the users that it signs may do; nil: what their own tokens say.
  public let template: UserClaims?
}

/// An account of operator mode.
public struct AccountClaims: Sendable {
  /// Exports and imports of one account.
  private static let sharedMax = 4096
  /// Longer than this nobody waits for an answer, whatever the token says.
  private static let thresholdMax_ns: Int64 = 86_400_000_000_000
  /// Tokens of a subject, as an export may number them.
  private static let tokenPositionMax: Int64 = 255

  /// The account's public key, which is its name.
  public let key: ByteString
  public let token: Token
  public private(set) var limits = AccountLimits()
  public let refusesBearers: Bool
  /// nil: it has no JetStream.
  public private(set) var jetStream: JetStreamGrant?
  public private(set) var signingKeys: [SigningKey] = []
  public let revocations: [Revocation]
  public let defaultPermissions: Permissions
  public private(set) var exports: [ExportRule] = []
  public private(set) var imports: [ImportRule] = []

  public init(_ token: Token) throws(TokenProblem) {
    guard token.kind == .account, token.subject.kind == .account else { throw .kind }
    self.token = token
    key = token.subject.text
    let claims = token.claims
    let limits = try claims.object("limits")
    self.limits.connectionsMax = Int(clamping: try limits.integer("conn") ?? 0)
    self.limits.leafnodesMax = Int(clamping: try limits.integer("leaf") ?? 0)
    self.limits.subscriptionsMax = Int(clamping: try limits.integer("subs") ?? 0)
    self.limits.payloadMax = Int(clamping: try limits.integer("payload") ?? 0)
    refusesBearers = try limits.flag("disallow_bearer")
    revocations = try Self.revocations(claims, "revocations")
    defaultPermissions = token.version == 1 ? Permissions() : try UserClaims.permissions(claims.object("default_permissions"))
    if token.version > 1 {
      jetStream = try Self.jetStream(limits)
      // What is not here would be ignored where it restricts or reroutes: better no account than another one.
      if claims.has("mappings"), try !claims.object("mappings").members.isEmpty { throw .claims("mappings") }
      let external = try claims.object("authorization")
      if try !external.strings("auth_users").isEmpty { throw .claims("authorization") }
    }
    try readSigningKeys(claims)
    try readExports(claims)
    try readImports(claims)
  }

  private static func revocations(_ claims: Claims, _ name: StaticString) throws(TokenProblem) -> [Revocation] {
    var all: [Revocation] = []
    for member in try claims.object(name).members {
      guard let time = member.value.int64 else { throw .claims(name) }
      all.append(Revocation(key: member.name, time: time))
    }
    return all
  }

  private static func jetStream(_ limits: Claims) throws(TokenProblem) -> JetStreamGrant? {
    var grant = JetStreamGrant()
    let tiers = try limits.object("tiered_limits").members
    guard tiers.isEmpty else {
      for tier in tiers {
        guard !tier.name.isEmpty, tier.value.object != nil else { throw .claims("tiered_limits") }
        grant.tiers.append((tier.name, try jetStreamLimits(Claims(tier.value))))
      }
      grant.tiers.order { $0.name < $1.name }
      return grant
    }
    grant.limits = try jetStreamLimits(limits)
    return grant.limits.memoryMax_bytes == 0 && grant.limits.storeMax_bytes == 0 ? nil : grant
  }

  private static func jetStreamLimits(_ claims: Claims) throws(TokenProblem) -> JetStreamLimits {
    var limits = JetStreamLimits()
    func positive(_ number: Int64?) -> Int64 { number.map { $0 > 0 ? $0 : -1 } ?? -1 }
    limits.memoryMax_bytes = try claims.integer("mem_storage") ?? 0
    limits.storeMax_bytes = try claims.integer("disk_storage") ?? 0
    limits.streamsMax = Int(clamping: try claims.integer("streams") ?? 0)
    limits.consumersMax = Int(clamping: try claims.integer("consumer") ?? 0)
    limits.ackPendingMax = Int(clamping: positive(try claims.integer("max_ack_pending")))
    limits.memoryStreamMax_bytes = positive(try claims.integer("mem_max_stream_bytes"))
    limits.storeStreamMax_bytes = positive(try claims.integer("disk_max_stream_bytes"))
    limits.requiresMaxBytes = try claims.flag("max_bytes_required")
    return limits
  }

  /// A key alone, or with a template.
  private mutating func readSigningKeys(_ claims: Claims) throws(TokenProblem) {
    for value in try claims.array("signing_keys") {
      if let key = value.string {
        guard PublicKey(key, kind: .account) != nil else { throw .claims("signing_keys") }
        signingKeys.append(SigningKey(key: key, template: nil))
        continue
      }
      let scope = Claims(value)
      guard let key = try scope.string("key"), PublicKey(key, kind: .account) != nil, try scope.string("kind")?.equals("user_scope") == true
      else { throw .claims("signing_keys") }
      signingKeys.append(SigningKey(key: key, template: try UserClaims(scope.object("template"), missing: -1)))
    }
  }

  private mutating func readExports(_ claims: Claims) throws(TokenProblem) {
    let values = try claims.array("exports")
    guard values.count <= Self.sharedMax else { throw .claims("exports") }
    for value in values {
      let export = Claims(value)
      var rule = ExportRule(try Self.sharing(export), try export.string("subject") ?? ByteString())
      rule.needsToken = try export.flag("token_req")
      rule.revocations = try Self.revocations(export, "revocations")
      guard Subject.isValid(rule.subject) else { throw .claims("exports") }
      let position = try export.integer("account_token_position") ?? 0
      guard (0...Self.tokenPositionMax).contains(position) else { throw .claims("account_token_position") }
      rule.accountTokenPosition = Int(position)
      switch try export.string("response_type") ?? ByteString() {
      case "", "Singleton": break
      case "Stream": rule.response = .stream
      case "Chunked": rule.response = .chunked
      default: throw .claims("response_type")
      }
      if let threshold_ns = try export.integer("response_threshold"), threshold_ns > 0 {
        rule.threshold_ns = min(threshold_ns, Self.thresholdMax_ns)
      }
      exports.append(rule)
    }
  }

  private mutating func readImports(_ claims: Claims) throws(TokenProblem) {
    let values = try claims.array("imports")
    guard values.count <= Self.sharedMax else { throw .claims("imports") }
    for value in values {
      let item = Claims(value)
      let kind = try Self.sharing(item)
      let subject = try item.string("subject") ?? ByteString()
      let local = try item.string("local_subject") ?? ByteString()
      let to = try item.string("to") ?? ByteString()
      var rule = ImportRule(
        kind, account: try item.string("account") ?? ByteString(), subject: subject, localSubject: local.isEmpty ? subject : local)
      if local.isEmpty, !to.isEmpty {
        // The older way: `to` is a prefix for messages, and for requests what the exporter sees.
        if kind == .stream {
          rule.localSubject = (to.bytes.last == ASCII.dot ? to : to + ".") + subject
        } else {
          rule.subject = to
        }
      }
      guard Subject.isValid(rule.subject), Subject.isValid(rule.localSubject) else { throw .claims("imports") }
      rule.sharesRequester = try item.flag("share")
      rule.token = try item.string("token") ?? ByteString()
      imports.append(rule)
    }
  }

  private static func sharing(_ claims: Claims) throws(TokenProblem) -> SharingKind {
    switch try claims.string("type") ?? ByteString() {
    case "stream": return .stream
    case "service": return .service
    default: throw .claims("type")
    }
  }
}

/// The token by which an account lets another import what it exports to chosen accounts only.
public struct ActivationClaims: Sendable {
  public let token: Token
  public let kind: SharingKind
  public let subject: ByteString
  /// The exporting account.
  public var account: ByteString { token.issuerAccount.isEmpty ? token.issuer.text : token.issuerAccount }

  public init(_ token: Token) throws(TokenProblem) {
    guard token.kind == .activation, token.subject.kind == .account else { throw .kind }
    self.token = token
    subject = try token.claims.string("subject") ?? ByteString()
    // The first version says here what the second says under another name, because it says its own type elsewhere.
    switch try token.claims.string(token.version == 1 ? "type" : "kind") ?? ByteString() {
    case "stream": kind = .stream
    case "service": kind = .service
    default: throw .claims("kind")
    }
  }
}
