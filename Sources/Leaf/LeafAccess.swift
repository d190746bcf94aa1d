// How an accepted link is let in: what the authenticator says to its CONNECT, what that gives it, and how long it holds
// (leafnode-protocol.md section 8).
import Broker
import Bytes
import Identity
import Platform
import Wire

/// What is kept of an accepted link's being let in.
final class LeafAccess {
  /// What the other end said of itself, for judging it again at a reload.
  let facts: ConnectFacts
  /// A password check that is under way.
  var check: PasswordCheck?
  /// nil before it was let in.
  var grant: Grant?
  /// For the end of what was granted.
  let timer = Timer()

  init(_ facts: ConnectFacts) { self.facts = facts }
}

extension LeafLink {
  /// Whether the other end may stay, by what it said to be let in. A password that is stored as a hash takes a while: nothing more is read
  /// before that is known.
  func ask(_ connect: LeafConnect) {
    let access = LeafAccess(facts(connect))
    self.access = access
    isWaiting = true
    ask(access, connect)
    guard isWaiting else { return }
    pauseReading()
    // It has said who it is; that the answer takes a while is this server's affair.
    host.timers.cancel(deadline)
  }

  /// Rules that changed while a hash was computed say what counts now.
  private func ask(_ access: LeafAccess, _ connect: LeafConnect) {
    guard let authenticator = listener?.authenticator else { preconditionFailure("only a link that was accepted hears CONNECT") }
    let generation = authenticator.generation
    access.check = authenticator.judge(access.facts) { [self] verdict in
      authenticator.generation == generation ? judged(verdict, access, connect) : ask(access, connect)
    }
  }

  private func facts(_ connect: LeafConnect) -> ConnectFacts {
    var facts = connect.facts
    facts.nonce = nonce
    facts.connection = options.isWebSocket ? .leafnodeWebSocket : .leafnode
    facts.address = remote.address
    facts.certificateNames = certificateNames
    return facts
  }

  private func judged(_ verdict: Verdict, _ access: LeafAccess, _ connect: LeafConnect) {
    let wasPaused = access.check != nil
    isWaiting = false
    access.check = nil
    guard !isEnded, let listener else { return }
    let grant: Grant
    switch verdict {
    case .granted(let given): grant = given
    case .refused:
      host.log.error("\(shownName) - authentication error\(access.facts.shownUser)")
      return refuse(.authorization)
    case .noRoom:
      host.log.warning("\(shownName) - too many passwords wait to be checked")
      return refuse(.loginsExceeded)
    }
    enter(grant.account)
    // First those that are dead and not known to be: a server that comes back has a place.
    listener.evictDuplicates(of: self)
    guard account.hasRoomForLeafnode else { return refuse(.accountFull) }
    access.grant = grant
    if let permissions = grant.permissions?.permissions {
      // What the user may publish is what comes from the other end.
      receivePermission = SubjectPermission(permissions.publish)
      sendPermission = SubjectPermission(permissions.subscribe)
    }
    sendInfo(.answer)
    sendPermission.deny += connect.denyPublish
    begin()
    watchExpiry(access)
    if wasPaused { resumeReading() }
  }

  // MARK: Time

  /// Watches for the end of the user's or the account's token.
  private func watchExpiry(_ access: LeafAccess) {
    guard let end = access.grant?.end(at: host.clock.wall_ns) else { return }
    host.after(end.sleep_ns, access.timer) { [unowned(unsafe) self, unowned(unsafe) access] in  // safe: cancelled in `end`
      end.isReached ? refuse(end.isAccounts ? .accountExpired : .userExpired) : watchExpiry(access)
    }
  }

  // MARK: Reload

  /// Judges the link again, after the rules changed. Who is not let in any more is told so; who has another account or other rights now,
  /// or a password with another hash, loses the link, and is judged anew when it comes back.
  func judgeAgain() {
    guard !isEnded, let access, let old = access.grant, let listener else { return }
    host.timers.cancel(access.timer)
    switch listener.authenticator.judgeAgain(access.facts, had: old) {
    case .granted(let new)?:
      guard new.isLike(old) else { return end(.accessChanged) }
      access.grant = new
      parser.payloadMax = payloadMax
      watchExpiry(access)
    case .refused?: refuse(old.isRevoked ? .revoked : .authorization)
    case .noRoom?, nil: end(.accessChanged)
    }
  }
}
