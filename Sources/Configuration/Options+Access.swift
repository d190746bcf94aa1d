// Who may connect, put together from the blocks that say so, and what must hold between them.
import Bytes
import Identity

extension Options {
  /// The access rules, as they are enforced.
  public var access: AccessRules {
    var rules = AccessRules()
    if !authorization.user.isEmpty {
      var only = UserRule(name: authorization.user)
      only.password = StoredPassword(authorization.password)
      only.permissions = authorization.defaultPermissions
      rules.users.append(only)
    }
    rules.users += Self.completed(authorization.users, account: AccessRules.globalAccount, authorization.defaultPermissions)
    for account in accounts {
      rules.users += Self.completed(account.users, account: account.rule.name, account.defaultPermissions)
      rules.accounts.append(account.rule)
    }
    rules.token = authorization.token.map { StoredPassword($0) }
    rules.timeout_ns =
      authorization.timeout_ns ?? tls.map { ($0.timeout_ns ?? TLSOptions.timeoutDefault_ns) + 1_000_000_000 }
      ?? AccessRules.timeoutDefault_ns
    rules.anonymousUser = noAuthUser
    rules.leafUsers = leafnodes.authorization.rules
    rules.leafAccount = leafnodes.authorization.account
    rules.operators = operatorMode.tokens
    rules.trustedKeys = operatorMode.trustedKeys
    rules.accountTokens = operatorMode.accountTokens
    if let systemAccount {
      rules.systemAccount = systemAccount
    } else if !operatorMode.systemAccount.isEmpty {
      rules.systemAccount = operatorMode.systemAccount
    }
    rules.isOpen =
      !operatorMode.isOn && noAuthUser.isEmpty && !authorization.isGiven && accounts.count == 1
      && accounts[0].rule.name == rules.systemAccount
    return rules
  }

  private static func completed(_ users: [UserRule], account: ByteString, _ permissions: Permissions?) -> [UserRule] {
    users.map { user in
      var user = user
      user.account = account
      if user.permissions == nil { user.permissions = permissions }
      return user
    }
  }

  /// JetStream of each account that has it. With no accounts of one's own it is the global one's.
  public var jetStreamAccounts: [(name: ByteString, grant: JetStreamGrant)] {
    guard jetStream.isEnabled else { return [] }
    let system = access.systemAccount
    var granted: [(name: ByteString, grant: JetStreamGrant)] = []
    for account in accounts where account.rule.name != system {
      if let grant = account.rule.jetStream { granted.append((account.rule.name, grant)) }
    }
    for text in operatorMode.accountTokens {
      if let claims = Self.claims(text), claims.key != system, let grant = claims.jetStream { granted.append((claims.key, grant)) }
    }
    let hasOwn = operatorMode.isOn || accounts.contains { $0.rule.name != system }
    return hasOwn ? granted : [(AccessRules.globalAccount, JetStreamGrant())]
  }

  /// The names of all accounts.
  var accountNames: [ByteString] {
    let rules = access
    return [AccessRules.globalAccount, rules.systemAccount] + accounts.map { $0.rule.name }
      + operatorMode.accountTokens.compactMap { Self.claims($0)?.key }
  }

  private static func claims(_ text: ByteString) -> AccountClaims? {
    text.withView { view in (try? Token(view)).flatMap { try? AccountClaims($0) } }
  }

  /// What is wrong between users, accounts and tokens.
  func accessProblems(_ place: (StaticString) -> Location) -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    func error(_ location: Location, _ text: Words) { problems.append(ConfigurationProblem(at: location, text)) }
    let block = place("authorization")
    let hasAccountUsers = accounts.contains { !$0.users.isEmpty }
    if !authorization.user.isEmpty || !authorization.password.isEmpty, authorization.token != nil {
      error(block, "Cannot have a user/pass and token")
    } else if authorization.user.isEmpty, !authorization.password.isEmpty, !authorization.hasUsers {
      // It would be nobody's, and the server open.
      error(block, "a password needs a user")
    }
    if authorization.hasUsers || hasAccountUsers {
      if !authorization.user.isEmpty { error(block, "Can not have a single user/pass and a users array") }
      if authorization.token != nil { error(block, "Can not have a token and a users array") }
    }
    let rules = access
    for (index, user) in rules.users.enumerated() where rules.users[..<index].contains(where: { $0.name == user.name }) {
      error(user.account == AccessRules.globalAccount ? block : place("accounts"), "Duplicate user \"\(user.name)\" detected")
    }
    if !noAuthUser.isEmpty {
      if operatorMode.isOn {
        error(place("no_auth_user"), "no_auth_user not compatible with Trusted Operator")
      } else if rules.users.isEmpty {
        error(place("no_auth_user"), "no_auth_user: \"\(noAuthUser)\" present, but users/nkeys are not defined")
      } else if !rules.users.contains(where: { $0.name == noAuthUser }) {
        error(
          place("no_auth_user"),
          "no_auth_user: \"\(noAuthUser)\" not present as user or nkey in authorization block or account configuration")
      }
    }
    if let systemAccount, !operatorMode.isOn, systemAccount != AccessRules.systemAccountDefault,
      !accounts.contains(where: { $0.rule.name == systemAccount })
    {
      error(place("system_account"), "system_account \"\(systemAccount)\" is not defined in accounts")
    }
    for account in accounts where account.rule.name == rules.systemAccount && account.rule.jetStream != nil {
      error(account.location, "JetStream can not be enabled on the system account \"\(account.rule.name)\"")
    }
    problems += leafUserProblems() + operatorProblems(place) + importProblems()
    return problems
  }

  private func leafUserProblems() -> [ConfigurationProblem] {
    let authorization = leafnodes.authorization
    var problems: [ConfigurationProblem] = []
    func error(_ text: Words) { problems.append(ConfigurationProblem(at: authorization.location, text)) }
    let users = authorization.rules
    if !authorization.users.isEmpty, users.count > authorization.users.count {
      error("can not have a single user/pass or nkey and a users array")
    } else if authorization.users.isEmpty, users.count > 1 {
      error("can not have both a user and an nkey")
    }
    if operatorMode.isOn, !users.isEmpty { error("operator mode does not allow specifying users in leafnode config") }
    let known = accountNames
    for account in users.map({ $0.account }) + [authorization.account] where !known.contains(account) {
      error("cannot find account \"\(account)\" specified in leafnode authorization")
    }
    for (index, user) in users.enumerated() where users[..<index].contains(where: { $0.name == user.name }) {
      error("duplicate user \"\(user.name)\" found in leafnode authorization")
    }
    return problems
  }

  private func operatorProblems(_ place: (StaticString) -> Location) -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    func error(_ text: Words) { problems.append(ConfigurationProblem(at: operatorMode.location, text)) }
    guard operatorMode.isOn else {
      if operatorMode.hasResolver || !operatorMode.accountTokens.isEmpty {
        problems.append(ConfigurationProblem(at: place("resolver").orElse(place("resolver_preload")), "a resolver needs an operator"))
      }
      return problems
    }
    if !operatorMode.hasResolver { error("operators require an account resolver to be configured") }
    if !accounts.isEmpty { error("operators do not allow Accounts to be configured directly") }
    if !authorization.users.isEmpty || !authorization.user.isEmpty || authorization.token != nil {
      error("operators do not allow users to be configured directly")
    }
    if !operatorMode.tokens.isEmpty, !operatorMode.trustedKeys.isEmpty {
      error("conflicting options for 'TrustedKeys' and 'TrustedOperators'")
    }
    if let systemAccount {
      if !operatorMode.systemAccount.isEmpty, operatorMode.systemAccount != systemAccount {
        error("system_account in config and operator JWT must be identical")
      } else if PublicKey(systemAccount, kind: .account) == nil {
        error("system_account must be the public key of an account")
      }
    }
    let system = access.systemAccount
    for text in operatorMode.accountTokens {
      guard let claims = Self.claims(text), claims.key == system, claims.jetStream != nil else { continue }
      problems.append(
        ConfigurationProblem(
          .warning, at: operatorMode.location, "the system account has no JetStream, whatever its JWT says"))
    }
    return problems
  }

  /// Imports of the configuration that nobody exports, or not to this account.
  private func importProblems() -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    let shared = accounts.map { SharedAccount(name: $0.rule.name, exports: $0.rule.exports, imports: $0.rule.imports) }
    let check = SharingCheck(shared, now: 0)
    for (account, sharing) in zip(accounts, shared) {
      for export in account.rule.exports {
        for name in export.accounts ?? [] where !accounts.contains(where: { $0.rule.name == name }) {
          problems.append(
            ConfigurationProblem(
              at: account.location, "\"\(name)\" account not defined for \(Self.name(export.kind)) export \"\(export.subject)\""))
        }
      }
      for (index, rule) in account.rule.imports.enumerated() {
        do throws(SharingProblem) {
          _ = try check.judge(index, of: sharing)
        } catch {
          problems.append(
            ConfigurationProblem(
              at: account.importLocations[index],
              "Error adding \(Self.name(rule.kind)) import \"\(rule.subject)\" from account \"\(rule.account)\": \(error.text)"))
        }
      }
    }
    return problems
  }

  private static func name(_ kind: SharingKind) -> StaticString { kind == .stream ? "stream" : "service" }
}
