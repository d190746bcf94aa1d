// A client's connection: reading its operations. What it is sent is in ClientConnection+Output.swift, how it is let in in
// ClientConnection+Access.swift.
import Bytes
import Identity
import Interest
import Platform
import Web
import Wire

/// One client (client-protocol.md).
public final class ClientConnection: Endpoint, ByteStreamDelegate {
  /// The first PING comes this soon, to measure the round trip.
  static let firstPing_ns = 2 * second_ns

  unowned(unsafe) let broker: Broker  // safe: the broker holds its clients and outlives them
  public private(set) var stream: ByteStream
  /// TLS, when the stream is that or within it.
  public private(set) var secureStream: TLSStream?
  /// TLS came before INFO, or will.
  public internal(set) var saysInfoWhenSecured = false
  /// How the connection became a WebSocket; nil for one that is none.
  public let upgrade: WebSocketUpgrade?
  var options = ConnectOptions()
  var subscriptions = SubscriptionTable()
  private var parser: ClientParser
  /// Whether CONNECT has come, and whether the INFO after the first PONG has been sent.
  var connected = false
  private var confirmed = false
  /// Closing: nothing more is read or delivered.
  public private(set) var isClosing = false
  /// Whether it was let in; nothing but CONNECT is done for it before.
  var isAdmitted = false
  /// Whether a password is being checked: what the client sent behind it waits.
  var isWaiting = false
  /// Whether what is for it is kept until it is known whether it still has its rights (ClientConnection+Hold).
  var isHeld = false
  /// What it may be and do.
  public internal(set) var grant: Grant
  /// nil: everything is allowed, as for most.
  var permissions: ClientPermissions?
  /// What is kept of being let in; nil where nobody has to say who he is.
  var access: ClientAccess?
  public private(set) var closeReason: StaticString = "Client Closed"
  /// What the last publish matched: publishers mostly repeat themselves.
  private var lastMatch: InterestMatch<Subscription>?

  private let pingTimer = Timer()
  private var pingsOutstanding = 0
  private var pingSent_ns: Int64 = 0
  /// Round trip of the last PING; nil before the first answer.
  public private(set) var rtt_ns: Int64?

  public let started_ns: Int64
  public private(set) var lastActivity_ns: Int64
  public private(set) var received = Traffic()
  public var sent = Traffic()

  public var name: ByteString { options.name }
  public var lang: ByteString { options.lang }
  public var version: ByteString { options.version }
  public var subscriptionCount: Int { subscriptions.count }
  /// The user, as monitoring shows it.
  public var user: ByteString { grant.user }
  var serverName: ByteString { broker.identity.name }

  init(broker: Broker, stream: ByteStream, id: UInt64, grant: Grant, upgrade: WebSocketUpgrade? = nil) {
    self.broker = broker
    self.stream = stream
    self.upgrade = upgrade
    secureStream = upgrade == nil ? nil : (stream as? WebSocketStream)?.secureStream
    self.grant = grant
    parser = ClientParser(controlLineMax: broker.limits.controlLineMax, payloadMax: broker.limits.payloadMax)
    started_ns = broker.host.clock.wall_ns
    lastActivity_ns = started_ns
    super.init(kind: .client, id: id, account: grant.account)
  }

  func start() {
    stream.delegate = self
    awaitAccess()
    if upgrade == nil, let tls = broker.tls {
      if tls.isOptional { armPing() }
      return begin(tls, on: stream, host: broker.host)
    }
    sendInfo()
    armPing()
  }

  /// Says that there are too many, without TLS: a handshake would cost more than what it refuses.
  func turnAway() {
    stream.delegate = self
    sendInfo()
    refuse(.connectionsExceeded)
  }

  func carry(by secure: TLSStream) {
    stream = secure
    secureStream = secure
  }

  func armPing() {
    let first = min(pingInterval_ns, Self.firstPing_ns)
    schedulePing(after: first + first / 5 * Int64(broker.host.entropy.below(100)) / 100)
  }

  public func forEachSubscription(_ body: (Subscription) -> Void) { subscriptions.forEach(body) }

  // MARK: Reading

  public func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard !isClosing else { return bytes.count }
    var used = 0
    var operation = ClientOperation()
    lastActivity_ns = broker.host.clock.wall_ns
    stream.readMinimum = 1
    while used < bytes.count, !isClosing, !isWaiting {
      if !isAdmitted, !mayBegin(with: bytes[used]) { return isClosing ? bytes.count : used }
      switch parser.parse(bytes.dropFirst(used), into: &operation) {
      case .operation(let consumed):
        used += consumed
        handle(operation)
      case .incomplete(let needed):
        stream.readMinimum = needed
        return used
      case .violation(let violation):
        refuse(violation)
        return bytes.count
      }
    }
    return isClosing ? bytes.count : used
  }

  @inline(__always) private func handle(_ operation: ClientOperation) {
    switch operation.kind {
    case .publish: publish(operation)
    case .ping:
      stream.output.append(literal: "PONG\r\n")
      if connected, !confirmed, options.protocolVersion >= 1 {
        confirmed = true
        sendInfo(afterFirstPong: true)
      }
      stream.wantsFlush()
    case .pong: pong()
    case .subscribe: subscribe(operation)
    case .unsubscribe: unsubscribe(operation)
    case .connect: connect(operation.text)
    case .ignored: break
    case .error: close(.clientError)
    }
  }

  @inline(__always) func acknowledge() {
    if options.verbose {
      stream.output.append(literal: "+OK\r\n")
      stream.wantsFlush()
    }
  }

  // MARK: Publishing

  @inline(__always) private func publish(_ operation: ClientOperation) {
    if operation.headerSize != nil, !options.headers { return close(.headersNotAllowed) }
    let size = operation.body.count
    received.count(size)
    broker.received.count(size)
    account.received.count(size)
    var isAnswer = false
    let mapped = account.mapped(operation.subject)
    if let permissions, !allowed(operation.subject, mapped, permissions, &isAnswer) { return }
    guard permitted(operation) else { return }
    if options.pedantic, !Subject.isValidToPublish(operation.subject) { sendError("Invalid Publish Subject") }
    // Ahead of what the message causes, which may come back to this very client.
    acknowledge()
    let message = Message(
      subject: operation.subject, reply: operation.reply, headers: operation.headers, payload: operation.payload)
    let taken: Bool
    if mapped == nil, let last = lastMatch, last.isCurrent(for: operation.subject) {
      taken = account.route(message, through: last, from: self)
    } else if let mapped {
      var rewritten = message
      taken = mapped.withView { subject in
        rewritten.subject = subject
        return account.route(rewritten, through: account.interest.match(subject), from: self)
      }
    } else {
      let match = account.interest.match(operation.subject)
      // What was allowed as an answer is not allowed the next time.
      if !isAnswer { lastMatch = match }
      taken = account.route(message, through: match, from: self)
    }
    if !taken, options.noResponders, !operation.reply.isEmpty {
      // The subject is told as a mapping left it.
      if let mapped {
        mapped.withView { sendNoResponders($0, operation.reply) }
      } else {
        sendNoResponders(operation.subject, operation.reply)
      }
    }
  }

  /// Whether the permissions let `subject` be published; if not, the client was told. Where a mapping takes it counts, as for nats-server;
  /// but what is denied as it was sent stays denied. `isAnswer` when only because somebody asked.
  private func allowed(_ subject: ByteView, _ mapped: ByteString?, _ permissions: ClientPermissions, _ isAnswer: inout Bool) -> Bool {
    guard let mapped else {
      if allowed(subject, permissions, &isAnswer) { return true }
      sendError("Permissions Violation for Publish to ", quoting: subject)
      return false
    }
    return mapped.withView { target in
      let isDenied = permissions.set.deniesPublish(subject)
      if !isDenied, allowed(target, permissions, &isAnswer) { return true }
      sendError("Permissions Violation for Publish to ", quoting: isDenied ? subject : target)
      return false
    }
  }

  private func allowed(_ subject: ByteView, _ permissions: ClientPermissions, _ isAnswer: inout Bool) -> Bool {
    if let last = lastMatch, last.isCurrent(for: subject) { return true }
    if permissions.set.allowsPublish(subject) { return true }
    isAnswer = permissions.takeAnswer(subject, now_ns: broker.host.clock.monotonic_ns)
    return isAnswer
  }

  /// Reserved subjects that no client may use (client-protocol.md section 2.1).
  @inline(__always) private func permitted(_ operation: ClientOperation) -> Bool {
    guard operation.subject.count > 0 else { return true }
    let first = operation.subject.base[0]
    if first == UInt8(ascii: "$") || first == UInt8(ascii: "_") {
      if operation.subject.hasPrefix("$NRG.") || operation.subject.hasPrefix("_GR_.") || operation.subject.hasPrefix("$GNR.") {
        sendError("Permissions Violation for Publish to ", quoting: operation.subject)
        return false
      }
    }
    guard operation.reply.count > 0 else { return true }
    let replyFirst = operation.reply.base[0]
    if replyFirst == UInt8(ascii: "$") || replyFirst == UInt8(ascii: "_") {
      if operation.reply.hasPrefix("_R_.") || operation.reply.hasPrefix("$JS.ACK.") || operation.reply.hasPrefix("_GR_.") {
        sendError("Permissions Violation for Publish with Reply of ", quoting: operation.reply)
        return false
      }
    }
    return true
  }

  // MARK: Being delivered to

  /// More than any control line's fixed parts: verb, blanks, sizes, line ends.
  private static let lineOverhead = 64
  /// Above this share of the pending limit producers are made to wait.
  static let stallNumerator = 3
  static let stallDenominator = 4

  public override func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    guard !isClosing else { return false }
    if isHeld { return keep(message, for: subscription, from: source) }
    guard write(message, to: subscription) else { return false }
    retireIfLast(subscription)
    if stream.output.count > stream.output.limit / Self.stallDenominator * Self.stallNumerator, source !== self { source.stall() }
    return true
  }

  /// A subscription that ends with the message that is being delivered to it.
  @inline(__always) func retireIfLast(_ subscription: Subscription) {
    if subscription.max > 0, subscription.delivered + 1 >= subscription.max {
      subscriptions.remove(subscription)
      broker.subscriptionCount -= 1
    }
  }

  /// Puts a message into the output, unless the permissions are against it.
  @inline(__always) func write(_ message: Message, to subscription: Subscription) -> Bool {
    let subject = message.shownSubject
    if let permissions {
      if permissions.filtersDeliveries, permissions.set.deniesDelivery(subject, queue: subscription.queue) { return false }
      if !message.reply.isEmpty { permissions.delivered(reply: message.reply, now_ns: broker.host.clock.monotonic_ns) }
    }
    let headers = options.headers ? message.headers : ByteView()
    let size = headers.count + message.payload.count
    let room = Self.lineOverhead + subject.count + subscription.sid.count + message.reply.count + size
    let reply = message.reply
    let payload = message.payload
    stream.output.reserve(room) { start in
      var cursor = ByteCursor(start)
      cursor.put(literal: headers.isEmpty ? "MSG " : "HMSG ")
      cursor.put(subject)
      cursor.put(ASCII.space)
      cursor.put(subscription.sid)
      cursor.put(ASCII.space)
      if !reply.isEmpty {
        cursor.put(reply)
        cursor.put(ASCII.space)
      }
      if !headers.isEmpty {
        cursor.put(decimal: headers.count)
        cursor.put(ASCII.space)
      }
      cursor.put(decimal: size)
      cursor.lineEnd()
      if !headers.isEmpty { cursor.put(headers) }
      if !payload.isEmpty { cursor.put(payload) }
      cursor.lineEnd()
      return cursor.next - start
    }
    stream.wantsFlush()
    sent.count(size)
    broker.sent.count(size)
    account.sent.count(size)
    return true
  }

  // MARK: Subscribing

  private func subscribe(_ operation: ClientOperation) {
    guard Subject.isValid(operation.subject) else { return sendError("Invalid Subject") }
    if operation.queue.equals("_sys_") {
      return sendError("Permissions Violation for Subscription to ", quoting: operation.subject, queue: operation.queue)
    }
    if let permissions {
      guard permissions.set.allowsSubscribe(operation.subject, queue: operation.queue) else {
        return sendError("Permissions Violation for Subscription to ", quoting: operation.subject, queue: operation.queue)
      }
    }
    if subscriptions[operation.sid] == nil {
      if subscriptions.count >= subscriptionsMax { return sendError("maximum subscriptions exceeded") }
      permissions?.subscribed(operation.subject)
      let subscription = Subscription(
        subject: ByteString(operation.subject), queue: operation.queue.isEmpty ? nil : ByteString(operation.queue),
        sid: ByteString(operation.sid), endpoint: self)
      subscriptions.add(subscription)
      broker.subscriptionCount += 1
      account.add(subscription)
    }
    acknowledge()
  }

  private func unsubscribe(_ operation: ClientOperation) {
    if let subscription = subscriptions[operation.sid] {
      subscription.max = operation.max
      if operation.max == 0 || subscription.delivered >= operation.max { drop(subscription) }
    }
    acknowledge()
  }

  /// Removes a subscription, also when its last delivery removed it from the account already.
  func drop(_ subscription: Subscription) {
    subscriptions.remove(subscription)
    broker.subscriptionCount -= 1
    account.remove(subscription)
  }

  func dropSubscriptions() {
    broker.subscriptionCount -= subscriptions.count
    subscriptions.forEach { account.remove($0) }
    subscriptions.removeAll()
  }

  // MARK: PING

  private func schedulePing(after delay_ns: Int64) {
    broker.host.after(delay_ns, pingTimer) { [unowned(unsafe) self] in  // safe: the timer is cancelled in `finish`
      self.ping()
    }
  }

  private func ping() {
    guard pingsOutstanding <= broker.limits.pingsMax - 1 || pingsOutstanding == 0 else {
      broker.staleConnections += 1
      return refuse(.staleConnection)
    }
    pingsOutstanding += 1
    pingSent_ns = broker.host.clock.monotonic_ns
    stream.output.append(literal: "PING\r\n")
    stream.wantsFlush()
    schedulePing(after: pingInterval_ns)
  }

  private var pingInterval_ns: Int64 {
    upgrade == nil ? broker.limits.pingInterval_ns : broker.webSocketPingInterval_ns ?? broker.limits.pingInterval_ns
  }

  private func pong() {
    if pingsOutstanding > 0 { rtt_ns = broker.host.clock.monotonic_ns - pingSent_ns }
    pingsOutstanding = 0
  }

  /// Until a PING tells better: CONNECT came so long after INFO.
  func estimateDistance() {
    if rtt_ns == nil { rtt_ns = max(broker.host.clock.wall_ns - started_ns, 1) }
  }

  // MARK: Closing

  private func refuse(_ violation: ProtocolViolation) {
    switch violation {
    case .unknownOperation: refuse(CloseCause.unknownOperation)
    case .controlLineTooLong: refuse(.controlLineExceeded)
    case .payloadTooLarge: refuse(.payloadExceeded)
    case .malformedArguments: close(.malformed)
    }
  }

  /// Says why, then closes.
  func refuse(_ cause: CloseCause) {
    guard !isClosing else { return }
    if let text = cause.text { sendError(text) }
    close(cause)
  }

  /// Closes after what is waiting was written.
  public func close(_ cause: CloseCause) {
    guard !isClosing else { return }
    isClosing = true
    closeReason = cause.reason
    finish()
    if let socket = stream as? WebSocketStream {
      socket.closeStatus = cause.webSocketStatus
      socket.closeText = cause.reason
    }
    stream.closeAfterFlush()
  }

  private func finish() {
    broker.closingClients += 1
    broker.host.timers.cancel(pingTimer)
    dropSubscriptions()
    let wasAdmitted = isAdmitted
    leave()
    lastMatch = nil
    broker.observer?.clientLeft(self, wasAdmitted: wasAdmitted)
  }

  /// What was found out under other permissions or in another account does not count any more.
  func forgetMatch() { lastMatch = nil }

  func setPayloadMax(_ payload: Int) { parser.payloadMax = payload }

  public func closed(_ stream: ByteStream, reason: CloseReason) {
    if !isClosing {
      isClosing = true
      switch reason {
      case .outputOverflow:
        closeReason = "Slow Consumer (Pending Bytes)"
        broker.slowConsumers += 1
        broker.host.log.info(
          "\(upgrade == nil ? "cid" : "wid"):\(id) - Slow Consumer Detected: MaxPending of \(stream.output.limit) Exceeded")
      case .writeDeadline:
        closeReason = "Slow Consumer (Write Deadline)"
        broker.slowConsumers += 1
        account.slowConsumers += 1
      case .failed:
        closeReason = "Read Error"
        if let violation = (stream as? WebSocketStream)?.violation {
          broker.host.log.error("\(stream.remote) - wid:\(id) - read error: \(violation)")
        }
      case .tls(let error):
        let isSecured = secureStream?.isSecured == true
        closeReason = isSecured ? "Read Error" : "TLS Handshake Failure"
        broker.host.log.error("\(stream.remote) - cid:\(id) - TLS \(isSecured ? "" : "handshake ")error: \(error.text)")
      case .peerClosed, .closedHere: closeReason = "Client Closed"
      }
      finish()
    }
    stream.delegate = nil
    broker.forget(self)
  }

  // MARK: Back-pressure

  /// How long a fast producer waits for a slow consumer.
  private static let stall_ns = 5 * millisecond_ns

  /// Stops reading for a moment, because what this client publishes fills another connection's output.
  public override func stall() {
    guard !isClosing, !isStalled else { return }
    isStalled = true
    broker.stalledClients += 1
    stream.setReading(false)
    broker.host.after(Self.stall_ns) {
      self.isStalled = false
      self.resumeReading()
    }
  }
  private var isStalled = false

  /// Reads on, unless there is another reason to wait.
  func resumeReading() {
    if !isClosing, !isStalled, !isWaiting { stream.setReading(true) }
  }
}
