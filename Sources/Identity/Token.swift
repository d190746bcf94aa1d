// Tokens (JWT) as NATS makes them: three parts of base64, of which the second says something and the third is its issuer's signature.
// What the kinds of tokens say is in UserClaims, AccountClaims and OperatorClaims.
import Bytes
import JSON

/// Why a token is not accepted.
public enum TokenProblem: Error, Equatable, Sendable {
  case tooLarge, malformed, algorithm, version, kind, issuer, signature
  /// A member of the claims is missing or of the wrong type.
  case claims(StaticString)

  public var text: Words {
    switch self {
    case .tooLarge: "the JWT is larger than 1 MB"
    case .malformed: "it is not a JWT"
    case .algorithm: "the JWT is not signed with an nkey"
    case .version: "the JWT is of a newer version than 2"
    case .kind: "the JWT is of another kind"
    case .issuer: "the JWT's issuer cannot issue such a one"
    case .signature: "the JWT's signature is wrong"
    case .claims(let name): "the JWT's \"\(name)\" cannot be read"
    }
  }

  public static func == (left: TokenProblem, right: TokenProblem) -> Bool { left.text.text == right.text.text }
}

/// A token whose signature was verified. Whether its issuer is trusted, and whether it is still valid, is for whoever uses it.
public struct Token: Sendable {
  public enum Kind: Sendable { case `operator`, account, user, activation }

  /// As the reference implementation's limit.
  public static let sizeMax = 1 << 20
  /// Values in one token's claims.
  private static let nodesMax = 65_536
  /// Claims nest less deeply.
  private static let depthMax = 16
  private static let headerMax = 1024

  public let kind: Kind
  public let version: Int
  public let issuer: PublicKey
  /// Whom it is about.
  public let subject: PublicKey
  public let name: ByteString
  public let tags: [ByteString]
  /// Seconds since 1970; 0 when not said.
  public let issuedAt: Int64
  public let expires: Int64
  public let notBefore: Int64
  /// In whose name a signing key issued it; empty: in its own.
  public let issuerAccount: ByteString
  /// What is particular to the kind.
  let claims: Claims

  /// Decodes a token and verifies its signature.
  public init(_ text: ByteView) throws(TokenProblem) {
    guard text.count <= Self.sizeMax else { throw .tooLarge }
    guard let first = text.firstIndex(of: ASCII.dot), let second = text.firstIndex(of: ASCII.dot, from: first + 1),
      text.firstIndex(of: ASCII.dot, from: second + 1) == nil, first <= Self.headerMax,
      let header = Base64.decodeURL(text.prefix(first)), let payload = Base64.decodeURL(text.slice(first + 1, second)),
      let signature = Base64.decodeURL(text.dropFirst(second + 1))
    else { throw .malformed }
    try Self.check(header: header)
    guard let json = try? JSON.parse(ByteString(payload), depthMax: Self.depthMax, nodesMax: Self.nodesMax), json.object != nil else {
      throw .malformed
    }
    let all = Claims(json)
    let nats = try all.object("nats")
    // The first version says its type beside the claims of its kind, the second within.
    if let type = try all.string("type"), !type.isEmpty {
      version = 1
      kind = try Self.kind(type)
      tags = try all.strings("tags")
      issuerAccount = try all.string("issuer_account") ?? ByteString()
    } else {
      version = Int(clamping: try nats.integer("version") ?? 0)
      kind = try Self.kind(try nats.string("type") ?? ByteString())
      tags = try nats.strings("tags")
      issuerAccount = try nats.string("issuer_account") ?? ByteString()
    }
    guard version == 1 || version == 2 else { throw .version }
    guard let issuer = PublicKey(try all.string("iss") ?? ByteString()), Self.issuers(of: kind).contains(issuer.kind) else { throw .issuer }
    guard let subject = PublicKey(try all.string("sub") ?? ByteString()) else { throw .claims("sub") }
    self.issuer = issuer
    self.subject = subject
    name = try all.string("name") ?? ByteString()
    issuedAt = try all.integer("iat") ?? 0
    expires = try all.integer("exp") ?? 0
    notBefore = try all.integer("nbf") ?? 0
    claims = nats
    // The first version signs what it says, the second also how.
    let signed = version == 1 ? text.slice(first + 1, second) : text.prefix(second)
    guard issuer.verifies(signature, of: signed) else { throw .signature }
  }

  private static func check(header: [UInt8]) throws(TokenProblem) {
    guard let json = try? JSON.parse(ByteString(header), depthMax: 4, nodesMax: 16), let type = json["typ"]?.string,
      let algorithm = json["alg"]?.string, type.withView({ $0.equalsIgnoringCase("JWT") })
    else { throw .malformed }
    guard algorithm.withView({ $0.equalsIgnoringCase("ed25519-nkey") || $0.equalsIgnoringCase("ed25519") }) else { throw .algorithm }
  }

  private static func kind(_ name: ByteString) throws(TokenProblem) -> Kind {
    switch name {
    case "operator": return .operator
    case "account": return .account
    case "user": return .user
    case "activation": return .activation
    default: throw .kind
    }
  }

  private static func issuers(of kind: Kind) -> [KeyKind] {
    switch kind {
    case .operator: [.operator]
    case .account: [.account, .operator]
    case .user: [.account]
    case .activation: [.account, .operator]
    }
  }

  /// Whether the token is valid at `time` (seconds since 1970).
  public func isValid(at time: Int64) -> Bool { (expires <= 0 || time <= expires) && (notBefore <= 0 || notBefore <= time) }
}

/// A JSON object of claims, whose members have a type or are not there.
struct Claims: Sendable {
  let json: JSONValue

  init(_ json: JSONValue) { self.json = json }

  private func member(_ name: StaticString) -> JSONValue? {
    guard let value = json.member(ignoringCase: name), !value.isNull else { return nil }
    return value
  }

  func string(_ name: StaticString) throws(TokenProblem) -> ByteString? {
    guard let value = member(name) else { return nil }
    guard let text = value.string else { throw .claims(name) }
    return text
  }

  func integer(_ name: StaticString) throws(TokenProblem) -> Int64? {
    guard let value = member(name) else { return nil }
    guard let number = value.int64 else { throw .claims(name) }
    return number
  }

  func flag(_ name: StaticString) throws(TokenProblem) -> Bool {
    guard let value = member(name) else { return false }
    guard let flag = value.bool else { throw .claims(name) }
    return flag
  }

  func array(_ name: StaticString) throws(TokenProblem) -> [JSONValue] {
    guard let value = member(name) else { return [] }
    guard let array = value.array else { throw .claims(name) }
    return array
  }

  func strings(_ name: StaticString) throws(TokenProblem) -> [ByteString] {
    var all: [ByteString] = []
    for value in try array(name) {
      guard let text = value.string else { throw .claims(name) }
      all.append(text)
    }
    return all
  }

  /// An object that is not there has no members.
  func object(_ name: StaticString) throws(TokenProblem) -> Claims {
    guard let value = member(name) else { return Claims(.object([])) }
    guard value.object != nil else { throw .claims(name) }
    return Claims(value)
  }

  func has(_ name: StaticString) -> Bool { member(name) != nil }
  var members: [JSONMember] { json.object ?? [] }
}
