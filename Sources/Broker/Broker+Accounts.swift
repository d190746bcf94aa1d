// Accounts as the rules say: making them, tying what they share, and changing all that while clients are there.
import Bytes
import Identity
import Interest
import Platform

/// An import that is not in force.
public struct RefusedImport {
  public let account: ByteString
  public let rule: ImportRule
  public let problem: SharingProblem

  public var text: Words {
    "account \"\(account)\" cannot import \"\(rule.subject)\" from account \"\(rule.account)\": \(problem.text)"
  }
}

extension Broker {
  /// Puts `rules` into force: makes the accounts that are new, ties imports, and judges the clients that are there again. Accounts that
  /// are not in the rules any more lose their clients, and their imports and exports. Returns the imports that could not be tied.
  @discardableResult
  public func use(_ rules: AccessRules) -> [RefusedImport] {
    var named: [ByteString] = [AccessRules.globalAccount, rules.systemAccount]
    for rule in rules.accounts {
      named.append(rule.name)
      let account = makeAccount(rule.name)
      account.limits = rule.limits
      account.exports = rule.exports
      account.imports = rule.imports
      account.claims = nil
    }
    for text in rules.accountTokens {
      guard let token = text.withView({ try? Token($0) }), let claims = try? AccountClaims(token) else { continue }
      named.append(claims.key)
      let account = makeAccount(claims.key)
      account.limits = claims.limits
      account.exports = claims.exports
      account.imports = claims.imports
      account.claims = claims
    }
    systemAccount = makeAccount(rules.systemAccount)
    for account in accounts where !named.contains(account.name) {
      account.exports = []
      account.imports = []
      account.claims = nil
    }
    for account in accounts { account.updated_ns = host.clock.wall_ns }
    authenticator.use(rules)
    let refused = tieImports()
    for client in clients.values.filter({ !$0.isClosing }) { client.judgeAgain() }
    return refused
  }

  private func makeAccount(_ name: ByteString) -> Account {
    if let known = account(name) { return known }
    let made = Account(name: name, seed: host.entropy.next(), context: sharing)
    accounts.append(made)
    return made
  }

  // MARK: Imports

  private func tieImports() -> [RefusedImport] {
    var refused: [RefusedImport] = []
    // What is in force and stays is left alone: who wants what would be told to change, and changed back, over every link.
    for account in accounts { account.sharing.reconsider() }
    var added: [(rule: ImportRule, subject: SharedSubject, importer: Account)] = []
    let now = host.clock.wall_ns / second_ns
    let all = accounts.map { shared($0, now: now) }
    let check = SharingCheck(all, now: now)
    var expires = nextTokenChange(after: now)
    for (importer, shared) in zip(accounts, all) {
      for index in shared.imports.indices {
        let rule = shared.imports[index]
        do throws(SharingProblem) {
          let subject = try check.judge(index, of: shared)
          if let end = subject.expires { expires = min(end, expires ?? end) }
          if !importer.sharing.keeps(rule, subject) { added.append((rule, subject, importer)) }
        } catch {
          refused.append(RefusedImport(account: importer.name, rule: rule, problem: error))
        }
      }
    }
    for account in accounts { account.sharing.dropOthers() }
    for one in added { tie(one.rule, one.subject, one.importer) }
    watchTokens(until: expires, now: now)
    return refused
  }

  private func tie(_ rule: ImportRule, _ subject: SharedSubject, _ importer: Account) {
    guard let exporter = account(rule.account) else { preconditionFailure("an import was judged without its exporter") }
    if rule.kind == .stream {
      importer.sharing.add(StreamImport(rule, pairing: subject.pairing, importer: importer, exporter: exporter, sharing: sharing))
    } else {
      importer.sharing.add(
        ServiceImport(rule, pairing: subject.pairing, export: subject.export, importer: importer, exporter: exporter, sharing: sharing))
    }
  }

  /// An account as far as sharing goes. The word of one whose token is not a trusted operator's, or is over, means nothing.
  private func shared(_ account: Account, now: Int64) -> SharedAccount {
    let claims = account.claims
    return SharedAccount(
      name: account.name, exports: account.exports, imports: account.imports, signingKeys: claims?.signingKeys.map { $0.key } ?? [],
      isTrusted: claims.map { authenticator.trusts($0) && $0.token.isValid(at: now) } ?? true)
  }

  /// When an account's token begins or ends to hold next.
  private func nextTokenChange(after now: Int64) -> Int64? {
    var next: Int64?
    for account in accounts {
      guard let token = account.claims?.token else { continue }
      // In the second in which it ends it holds.
      let end = token.expires == .max ? 0 : token.expires + 1
      for time in [token.notBefore, end] where time > now { next = min(time, next ?? time) }
    }
    return next
  }

  /// A token on which an import rests begins or ends to hold: looked at again then, and not later than in an hour, as the wall clock may be
  /// set.
  private func watchTokens(until change: Int64?, now: Int64) {
    host.timers.cancel(activationTimer)
    guard let change else { return }
    host.after(min(max(change - now, 1), 3600) * second_ns, activationTimer) { [unowned(unsafe) self] in  // safe: cancelled in `shutdown`
      for refused in tieImports() { host.log.warning("\(refused.text)") }
    }
  }
}
