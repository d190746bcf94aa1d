// How a client is let in: CONNECT, what the authenticator says to it, and how long that holds.
import Bytes
import Identity
import Platform

/// What is kept of a client's being let in, where that takes something.
final class ClientAccess {
  /// What the client said of itself last, for judging it again at a reload.
  var facts = ConnectFacts()
  /// First for CONNECT to come, then for the end of what was granted.
  let timer = Timer()
  /// A password check that is under way.
  var check: PasswordCheck?
  /// What is kept for the client while it is not sure whether it still has its rights.
  var held: HeldDeliveries?
}

extension ClientConnection {
  private var connectionType: ConnectionTypes { upgrade == nil ? .standard : .webSocket }

  /// Before INFO: whether this client has to say who it is.
  func awaitAccess() {
    let authenticator = broker.authenticator
    guard authenticator.isRequired else {
      // The global account of an open server has room for everybody that the server has.
      _ = admit(authenticator.openGrant)
      return
    }
    let access = ClientAccess()
    self.access = access
    if authenticator.needsNonce { access.facts.nonce = authenticator.makeNonce() }
    broker.host.after(authenticator.timeout_ns, access.timer) { [unowned(unsafe) self] in  // safe: cancelled in `leave`
      refuse(.authenticationTimeout)
    }
  }

  /// Whether a client that was not let in yet may begin like this: with CONNECT, or with anything where those may who say nothing. They are
  /// judged as if they had said an empty CONNECT: where a certificate says who somebody is, it does. False also when that takes a while.
  func mayBegin(with byte: UInt8) -> Bool {
    if byte | 0x20 == UInt8(ascii: "c") { return true }
    guard let access, broker.authenticator.mayBeSilent(connectionType) else {
      failAuthentication()
      return false
    }
    judge(ConnectFacts(), access, nil)
    return isAdmitted
  }

  func connect(_ text: ByteView) {
    var facts = ConnectFacts()
    guard let asked = ConnectOptions(text, facts: &facts) else { return close(.badConnect) }
    if connected { dropSubscriptions() }
    let authenticator = broker.authenticator
    if !authenticator.isRequired, facts.isAnonymous, facts.nkey.isEmpty, facts.jwt.isEmpty { return connected(asked) }
    let access = self.access ?? ClientAccess()
    self.access = access
    judge(facts, access, asked)
  }

  /// Has judged what the client says of itself, in CONNECT or by saying something else.
  private func judge(_ said: ConnectFacts, _ access: ClientAccess, _ asked: ConnectOptions?) {
    let nonce = access.facts.nonce
    access.facts = completed(said)
    access.facts.nonce = nonce
    access.check?.cancel()
    access.check = nil
    isWaiting = true
    ask(access, asked)
    guard isWaiting else { return }
    stream.setReading(false)
    // It has said who it is; that the answer takes a while is this server's affair.
    if !isAdmitted { broker.host.timers.cancel(access.timer) }
  }

  /// Rules that changed while a hash was computed say what counts now.
  private func ask(_ access: ClientAccess, _ asked: ConnectOptions?) {
    let authenticator = broker.authenticator
    let generation = authenticator.generation
    access.check = authenticator.judge(access.facts) { [self] verdict in
      authenticator.generation == generation ? judged(verdict, asked) : ask(access, asked)
    }
  }

  /// What the client said of itself, with what is known of it whatever it says.
  private func completed(_ said: ConnectFacts) -> ConnectFacts {
    var facts = said
    facts.address = stream.remote.address
    facts.connection = connectionType
    facts.certificateNames = certificateNames
    return facts
  }

  private func judged(_ verdict: Verdict, _ asked: ConnectOptions?) {
    let wasPaused = access?.check != nil
    isWaiting = false
    access?.check = nil
    guard !isClosing else { return }
    if let asked {
      // Who is refused is told of by what it calls itself as well.
      options.name = asked.name
      options.lang = asked.lang
      options.version = asked.version
    }
    switch verdict {
    case .refused: failAuthentication()
    case .noRoom: turnBack()
    case .granted(let new):
      // What it subscribed to as somebody else is not this one's.
      if new !== grant { dropSubscriptions() }
      guard admit(new) else { break }
      if let asked { connected(asked) } else { broker.observer?.clientConnected(self) }
    }
    if wasPaused { resumeReading() }
  }

  /// CONNECT is in order as far as who it is goes.
  private func connected(_ asked: ConnectOptions) {
    guard !asked.wantsAccount else { return failAuthentication() }
    guard asked.protocolVersion == 0 || asked.protocolVersion == 1 else { return refuse(.invalidProtocol) }
    options = asked
    options.headers = asked.headers && broker.limits.headers
    guard !options.noResponders || options.headers else { return refuse(.noRespondersNeedsHeaders) }
    connected = true
    estimateDistance()
    broker.observer?.clientConnected(self)
    echoes = options.echo
    acknowledge()
  }

  func failAuthentication() {
    let name = access?.facts.shownUser ?? ""
    broker.host.log.error("\(stream.remote) - \(upgrade == nil ? "cid" : "wid"):\(id) - authentication error\(name)")
    broker.observer?.clientRefused(self, .notAuthorized)
    refuse(.notAuthorized)
  }

  /// Nobody could find out who it is: it may come again.
  private func turnBack() {
    broker.host.log.warning("\(stream.remote) - \(upgrade == nil ? "cid" : "wid"):\(id) - too many passwords wait to be checked")
    broker.observer?.clientRefused(self, .loginsExceeded)
    refuse(.loginsExceeded)
  }

  /// Its user as events show it: what it was let in as, or what it said.
  public var shownUser: ByteString {
    if !grant.user.isEmpty { return grant.user }
    guard let facts = access?.facts else { return ByteString() }
    if !facts.nkey.isEmpty { return facts.nkey }
    return facts.user.isEmpty && facts.jwt.isEmpty && !facts.token.isEmpty ? "[REDACTED]" : facts.user
  }

  /// Who vouches for its key: the one who signed its token, or its account.
  public var shownIssuer: ByteString {
    guard !grant.user.isEmpty, grant.token != nil || access?.facts.nkey == grant.user else { return ByteString() }
    guard let issuer = grant.token?.issuer, !issuer.isEmpty else { return grant.account.name }
    return issuer
  }

  // MARK: Accounts

  /// Puts the client into its account, with its permissions and limits. False when the account is full: then it was told so.
  func admit(_ new: Grant) -> Bool {
    if isAdmitted, grant === new { return true }
    leave()
    grant = new
    account = new.account
    guard account.hasRoomForClient else {
      refuse(.accountConnectionsExceeded)
      return false
    }
    isAdmitted = true
    account.clientCount += 1
    account.connectionsTotal += 1
    use(new.permissions)
    watchExpiry()
    return true
  }

  /// Takes over permissions and limits; subscriptions are not looked at.
  private func use(_ set: PermissionSet?) {
    permissions = set.map { ClientPermissions($0) }
    setPayloadMax(payloadMax)
    forgetMatch()
  }

  /// Takes the client out of its account.
  func leave() {
    if let access {
      broker.host.timers.cancel(access.timer)
      access.check?.cancel()
      access.check = nil
    }
    guard isAdmitted else { return }
    isAdmitted = false
    account.clientCount -= 1
  }

  /// The least of the server's, the account's and the user's limit.
  var payloadMax: Int { grant.payloadMax(within: broker.limits.payloadMax) }
  var subscriptionsMax: Int {
    grant.subscriptionsMax(within: broker.limits.subscriptionsMax > 0 ? broker.limits.subscriptionsMax : .max)
  }

  // MARK: Time

  /// Watches for the end of the user's or the account's token.
  private func watchExpiry() {
    guard let access, let end = grant.end(at: broker.host.clock.wall_ns) else { return }
    broker.host.after(end.sleep_ns, access.timer) { [unowned(unsafe) self] in  // safe: cancelled in `leave`
      end.isReached ? refuse(end.isAccounts ? .accountExpired : .authenticationExpired) : watchExpiry()
    }
  }

  // MARK: Reload

  /// Judges the client again, after the rules changed. Where that takes computing a hash, it does nothing and gets nothing meanwhile.
  func judgeAgain() {
    guard !isClosing, connected || isAdmitted || isWaiting else { return }
    if isWaiting, !isHeld {
      // Whose CONNECT is being judged is judged by the new rules when that is done (`ask`), and what it was before does not count any more.
      dropSubscriptions()
      return
    }
    // Who was let in without a word has said nothing; under the new rules that is what an anonymous client says.
    let facts = completed(access?.facts ?? ConnectFacts())
    let access = self.access ?? ClientAccess()
    self.access = access
    access.check?.cancel()
    access.check = nil
    let authenticator = broker.authenticator
    if let verdict = authenticator.judgeAgain(facts, had: grant) { return rejudged(verdict) }
    hold()
    let check = authenticator.judge(facts) { [self] verdict in
      access.check = nil
      rejudged(verdict)
    }
    if isHeld { access.check = check }
  }

  private func rejudged(_ verdict: Verdict) {
    guard !isClosing else { return }
    let new: Grant
    switch verdict {
    case .refused: return endAccess()
    case .noRoom: return turnBack()
    case .granted(let grant): new = grant
    }
    let payloadBefore = payloadMax
    if new.account !== account {
      if hasName { return close(.userChanged) }
      // The subscriptions move along; what was kept is the other account's.
      access?.held?.removeAll()
      subscriptions.forEach { account.remove($0) }
      guard admit(new) else { return }
      subscriptions.forEach { account.add($0) }
    } else {
      grant = new
      use(new.permissions)
      if let access { broker.host.timers.cancel(access.timer) }
      watchExpiry()
    }
    dropForbidden()
    if subscriptions.count > subscriptionsMax { return refuse(.subscriptionsExceeded) }
    if payloadMax != payloadBefore, options.protocolVersion >= 1 { sendInfo() }
    release()
  }

  /// The client is not let in any more: it is told why where it can do anything about it.
  private func endAccess() {
    if grant.isRevoked { return refuse(.authenticationRevoked) }
    if hasName, let access, !broker.authenticator.knows(access.facts) { return close(.userChanged) }
    failAuthentication()
  }

  /// Whether it said that it is a user of the configuration.
  private var hasName: Bool { access.map { !$0.facts.user.isEmpty || !$0.facts.nkey.isEmpty } ?? false }

  /// Takes away the subscriptions that the permissions do not allow any more, and says so.
  private func dropForbidden() {
    guard let permissions else { return }
    var forbidden: [Subscription] = []
    subscriptions.forEach { subscription in
      subscription.subject.withView { subject in
        let queue = subscription.queue ?? ByteString()
        if queue.withView({ permissions.set.allowsSubscribe(subject, queue: $0) }) {
          permissions.subscribed(subject)
        } else {
          forbidden.append(subscription)
        }
      }
    }
    for subscription in forbidden {
      drop(subscription)
      subscription.subject.withView { subject in
        (subscription.queue ?? ByteString()).withView { queue in
          subscription.sid.withView {
            sendError("Permissions Violation for Subscription to ", quoting: subject, queue: queue, removed: $0)
          }
        }
      }
    }
  }
}
