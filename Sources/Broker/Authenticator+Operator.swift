// Operator mode: users bring tokens that accounts have signed, which trusted operators have signed.
import Bytes
import Identity
import Platform

extension Authenticator {
  /// Whether a user's token is good: its chain of signatures, its times, its account's word on it, and the proof that it is its owner who
  /// shows it. In nats-server's order.
  func judgeToken(_ facts: ConnectFacts) -> Verdict {
    let now = broker.host.clock.wall_ns / second_ns
    guard let token = facts.jwt.withView({ try? Token($0) }), var claims = try? UserClaims(token), token.isValid(at: now) else {
      return .refused
    }
    let accountKey = token.issuerAccount.isEmpty ? token.issuer.text : token.issuerAccount
    guard let account = broker.account(accountKey), let authority = account.claims, trusts(authority), authority.token.isValid(at: now)
    else { return .refused }
    if token.issuer.text == accountKey {
      guard !isStrict(authority) else { return .refused }
    } else {
      guard let signer = authority.signingKeys.first(where: { $0.key == token.issuer.text }) else { return .refused }
      if let template = signer.template {
        guard claims.isUnset, let permissions = UserTemplate(user: token, account: authority.token).fill(template.permissions) else {
          return .refused
        }
        claims = template
        claims.permissions = permissions
      }
    }
    if claims.isBearer, authority.refusesBearers { return .refused }
    guard let connections = claims.allowedConnections, connections.isEmpty || connections.contains(facts.connection) else {
      return .refused
    }
    if !claims.isBearer, !Self.hasSigned(facts, token.subject) { return .refused }
    if authority.revocations.revoke(token.subject.text, issuedAt: token.issuedAt) { return .refused }
    if !claims.networks.isEmpty, !claims.networks.contains(where: { $0.contains(facts.address) }) { return .refused }
    var expires = token.expires > 0 ? token.expires : nil
    if !claims.times.isEmpty {
      guard let end = endOfHours(claims, now) else { return .refused }
      expires = min(expires ?? end, end)
    }
    let permissions = claims.permissions.isEmpty ? authority.defaultPermissions : claims.permissions
    return .granted(
      Grant(
        account: account, user: token.subject.text, permissions: permissions.isEmpty ? nil : PermissionSet(permissions),
        subscriptionsMax: Int(clamping: claims.subscriptionsMax), payloadMax: Int(clamping: claims.payloadMax), expires: expires,
        token: GrantToken(
          text: facts.jwt, issuer: token.issuer.text == accountKey ? ByteString() : token.issuer.text, name: token.name, tags: token.tags,
          isBearer: claims.isBearer, issuedAt: token.issuedAt)))
  }

  /// Whether a trusted operator, or a key that one has named, signed the account.
  func trusts(_ account: AccountClaims) -> Bool {
    let issuer = account.token.issuer.text
    return rules.trustedKeys.contains(issuer) || operators.contains { $0.accountIssuers.contains(issuer) }
  }

  /// Whether the account's own key may not sign users.
  private func isStrict(_ account: AccountClaims) -> Bool {
    let issuer = account.token.issuer.text
    return operators.contains { $0.isStrict && $0.accountIssuers.contains(issuer) }
  }

  /// When the hours in which the user may be connected end, in seconds since 1970; nil outside of them.
  private func endOfHours(_ claims: UserClaims, _ now: Int64) -> Int64? {
    let disk = broker.host.disk
    let zone: TimeZoneRules
    if claims.timeZone.isEmpty {
      zone = TimeZoneRules(localOf: disk)
    } else {
      guard let named = claims.timeZone.withView({ TimeZoneRules($0, disk: disk) }) else { return nil }
      zone = named
    }
    let day: Int64 = 86_400
    let local = now + zone.offset_s(at: now)
    let second = local.floorModulo(day)
    var end: Int64?
    for range in claims.times {
      let from = Int64(range.start)
      var to = Int64(range.end)
      var at = second
      if from > to {
        // Past midnight: the evening's part lasts into the next day.
        if second < to { at += day }
        to += day
      }
      if from < at, at < to { end = max(end ?? 0, now + to - at) }
    }
    return end
  }
}
