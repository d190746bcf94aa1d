// What a user's token says: permissions, limits, from where and when.
import Bytes
import Interest
import JSON

/// A user's claims, also as the template of a scoped signing key.
public struct UserClaims: Sendable {
  public var permissions = Permissions()
  /// -1 is no limit.
  public var subscriptionsMax: Int64
  public var payloadMax: Int64
  /// Whether the token alone is enough, without a signature.
  public var isBearer: Bool
  /// Names of types as they stand there; empty: any.
  public var connectionTypes: [ByteString]
  /// Networks that the user may come from; empty: any.
  public var networks: [IPNetwork]
  /// When the user may be connected; empty: always.
  public var times: [TimeRange]
  /// Where those times are local: the name of a time zone; empty for UTC.
  public var timeZone: ByteString
  /// Whether nothing at all is said, as it must be under a scoped signing key.
  public let isUnset: Bool

  public init(_ token: Token) throws(TokenProblem) {
    guard token.kind == .user, token.subject.kind == .user else { throw .kind }
    guard token.issuerAccount.isEmpty || PublicKey(token.issuerAccount, kind: .account) != nil else { throw .claims("issuer_account") }
    // What the first version does not say is not limited.
    try self.init(token.claims, missing: token.version == 1 ? -1 : 0)
  }

  init(_ claims: Claims, missing: Int64) throws(TokenProblem) {
    permissions = try Self.permissions(claims)
    subscriptionsMax = try claims.integer("subs") ?? missing
    payloadMax = try claims.integer("payload") ?? missing
    let data = try claims.integer("data") ?? missing
    isBearer = try claims.flag("bearer_token")
    connectionTypes = try claims.strings("allowed_connection_types")
    if try claims.flag("proxy_required") { throw .claims("proxy_required") }
    networks = []
    for text in try Self.sources(claims) {
      guard let network = text.withView({ IPNetwork($0) }) else { throw .claims("src") }
      networks.append(network)
    }
    times = []
    for value in try claims.array("times") {
      guard let range = TimeRange(value) else { throw .claims("times") }
      times.append(range)
    }
    timeZone = try claims.string("times_location") ?? ByteString()
    isUnset =
      permissions.isEmpty && subscriptionsMax == 0 && payloadMax == 0 && data == 0 && !isBearer && connectionTypes.isEmpty
      && networks.isEmpty && times.isEmpty && timeZone.isEmpty
  }

  /// A list, or in the first version one text with commas.
  private static func sources(_ claims: Claims) throws(TokenProblem) -> [ByteString] {
    guard let text = claims.json.member(ignoringCase: "src")?.string else { return try claims.strings("src") }
    var all: [ByteString] = []
    text.withView { view in
      var start = 0
      while start <= view.count {
        let end = view.firstIndex(of: 0x2C, from: start) ?? view.count
        let item = view.slice(start, end).trimmed
        if !item.isEmpty { all.append(ByteString(item)) }
        start = end + 1
      }
    }
    return all
  }

  static func permissions(_ claims: Claims) throws(TokenProblem) -> Permissions {
    var permissions = Permissions()
    permissions.publish = try lists(claims.object("pub"), queues: false)
    permissions.subscribe = try lists(claims.object("sub"), queues: true)
    if claims.has("resp") {
      let responses = try claims.object("resp")
      permissions.responses = Permissions.Responses(
        max: Int(clamping: try responses.integer("max") ?? 0), expires_ns: try responses.integer("ttl") ?? 0)
    }
    return permissions
  }

  /// `queues` says whether entries may name a queue group behind a blank.
  private static func lists(_ claims: Claims, queues: Bool) throws(TokenProblem) -> Permissions.Lists {
    let allow = try claims.strings("allow")
    let deny = try claims.strings("deny")
    guard (allow + deny).allSatisfy({ $0.withView { isSubject($0, queues: queues) } }) else { throw .claims(queues ? "sub" : "pub") }
    return Permissions.Lists(allow: allow.isEmpty ? nil : allow, deny: deny)
  }

  /// What is no subject would deny nothing. Places of a template are looked at when they are filled.
  private static func isSubject(_ entry: ByteView, queues: Bool) -> Bool {
    if Subject.isValid(entry) || entry.contains("{{") { return true }
    guard queues, let blank = entry.firstIndex(of: ASCII.space) else { return false }
    return Subject.isValid(entry.prefix(blank)) && Subject.isValid(entry.dropFirst(blank + 1))
  }

  /// The types of connection that are allowed, or nil when only unknown ones are named. Empty: any.
  public var allowedConnections: ConnectionTypes? {
    var types: ConnectionTypes = []
    for name in connectionTypes {
      if let type = name.withView({ ConnectionTypes(named: $0) }) { types.insert(type) }
    }
    return types.isEmpty && !connectionTypes.isEmpty ? nil : types
  }
}

/// A network as `10.0.0.0/8` or `2001:db8::/32`.
public struct IPNetwork: Hashable, Sendable {
  /// 4 or 16 bytes.
  let address: [UInt8]
  let prefixLength: Int

  public init?(_ text: ByteView) {
    guard let slash = text.firstIndex(of: ASCII.slash), let length = text.dropFirst(slash + 1).decimalInt(), text.count - slash <= 4,
      let address = IPAddress.parse(text.prefix(slash)), length <= address.count * 8
    else { return nil }
    self.address = address
    prefixLength = length
  }

  /// `address` has 4 or 16 bytes.
  public func contains(_ address: [UInt8]) -> Bool {
    guard address.count == self.address.count else { return false }
    let whole = prefixLength / 8
    for index in 0..<whole where address[index] != self.address[index] { return false }
    let rest = prefixLength % 8
    return rest == 0 || (address[whole] ^ self.address[whole]) >> UInt8(8 - rest) == 0
  }
}

/// A part of each day, from and to `15:04:05`; one that ends before it begins goes past midnight.
public struct TimeRange: Hashable, Sendable {
  /// Seconds since midnight.
  public let start: Int
  public let end: Int

  init?(_ json: JSONValue) {
    guard let start = json["start"]?.string, let end = json["end"]?.string, let from = start.withView({ Self.seconds($0) }),
      let to = end.withView({ Self.seconds($0) })
    else { return nil }
    self.start = from
    self.end = to
  }

  private static func seconds(_ text: ByteView) -> Int? {
    guard text.count == 8, text[2] == ASCII.colon, text[5] == ASCII.colon, let hours = text.slice(0, 2).decimalInt(), hours < 24,
      let minutes = text.slice(3, 5).decimalInt(), minutes < 60, let seconds = text.slice(6, 8).decimalInt(), seconds < 60
    else { return nil }
    return hours * 3600 + minutes * 60 + seconds
  }
}
