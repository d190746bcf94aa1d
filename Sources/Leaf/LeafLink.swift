// A leaf link: its life from the connection on, and what it reads. The handshake of a link that this server dialled is in
// LeafLink+Dialling.swift, that of one that it accepted in LeafLink+Accepting.swift, and the end in LeafLink+End.swift. PINGs are in
// LeafLink+Health.swift, interest in LeafLink+Interest.swift, messages from the other end in LeafLink+Input.swift and to it in
// LeafLink+Delivery.swift; the bytes for them are put together in LeafOutput.swift, and taken apart in LeafLink+Compressed.swift.
import Broker
import Bytes
import Compression
import Interest
import JSON
import Platform
import Wire

/// Whoever dials or accepts links and needs to know how they fare.
public protocol LeafLinkOwner: AnyObject {
  /// The first INFO of a dialled link has come, `rtt_ns` after the connection was established: a whole round trip to the real server.
  func linkSaidInfo(_ link: LeafLink, rtt_ns: Int64)
  /// The link works: interest has been exchanged in our direction.
  func linkEstablished(_ link: LeafLink)
  /// A PING was answered.
  func linkMeasured(_ link: LeafLink, rtt_ns: Int64)
  /// The hub said that it is about to go.
  func linkLameDuck(_ link: LeafLink)
  /// The link is gone, or was never made. Called once.
  func linkEnded(_ link: LeafLink, _ failure: LeafFailure)
}

/// One leaf connection, in one of the roles of leafnode-protocol.md section 1.
public final class LeafLink: Endpoint, ByteStreamDelegate {
  public let host: Host
  public internal(set) var role: LeafRole
  public let options: LeafOptions
  public let remote: SocketAddress
  public unowned(unsafe) var owner: (any LeafLinkOwner)?  // safe: the owner ends its links before it goes

  private(set) var stream: ByteStream
  /// The same when it is inside TLS; not for a link over WebSocket, whose TLS is around that.
  private(set) var secureStream: TLSStream?
  /// One of the two is used, by who dialled.
  var handshake: LeafHandshake
  var acceptance: LeafAcceptHandshake
  /// Who judges the other end of a link that was accepted; nil for one that was dialled.
  unowned(unsafe) let listener: LeafListener?  // safe: a listener ends its links before it goes
  /// What the other end of an accepted link may sign.
  var nonce = ByteString()
  /// What is kept of its being let in.
  var access: LeafAccess?
  /// Whether that is being found out: what the other end sent meanwhile waits.
  var isWaiting = false
  /// Whether the first INFO of an accepted link is said inside TLS.
  var saysInfoWhenSecured = false
  var parser: LeafParser
  let output: LeafOutput
  /// Decompresses what the other end sends, once both directions are compressed.
  var decoder: LeafDecoder?
  let scratch: S2Scratch
  /// Decompressed bytes that are not whole operations yet.
  var plainInput: [UInt8] = []
  /// Bytes that are yet to be decompressed, in a later turn: as long as there are any, nothing is read.
  var compressedInput: [UInt8] = []
  let readTimer = Timer()

  /// Who the other end says it is.
  public internal(set) var peer = LeafPeer()
  /// What both ends agreed on; nil before that.
  var compression: LeafCompressionChoice?
  /// What may be received from and sent to the other end, by its permissions and this side's.
  var receivePermission = SubjectPermission()
  var sendPermission = SubjectPermission()
  /// The other end's interest, by "subject" or "subject queue".
  var remoteInterest = ByteMap<Subscription>()
  /// Our interest, as the other end knows it.
  var localInterest = LeafInterest()
  let shared: LeafShared
  private(set) var held: HeldSubjects
  /// This link's mark against loops (section 9.5).
  let loopSubject: ByteString
  /// Interest of other leafs is kept from the other end (section 9.6).
  public internal(set) var isIsolated = false

  /// The handshake is done: messages and interest may pass.
  var isReady = false
  /// It is among the links of its account: a hub can take its leave with the very INFO that makes the link ready.
  var isCounted = false
  public internal(set) var isEnded = false
  /// What the other end complained about last, and when.
  var complaint: (failure: LeafFailure, at_ns: Int64)?
  /// How often it did.
  var complaints = 0
  let started_ns: Int64
  /// The next step of the handshake has to come by then.
  let deadline = Timer()
  let pingTimer = Timer()
  var liveness: LeafLiveness
  /// PINGs of the other end.
  private(set) var peerPings: Int64 = 0
  /// What the kernel was told last.
  var kernelPatience_ms = 0
  public internal(set) var rtt_ns: Int64?

  public internal(set) var receivedTraffic = Traffic()
  public internal(set) var sentTraffic = Traffic()
  /// Messages that were not sent because the other end takes none so large.
  public internal(set) var dropped: Int64 = 0
  public let since_ns: Int64

  /// Takes over a connected stream: one that was dialled, or one that `listener` has accepted. `asked_ns`: a dialled one's first INFO
  /// comes a round trip after that; nil: after now.
  public init(
    host: Host, id: UInt64, account: Account, stream: ByteStream, asked_ns: Int64? = nil, options: LeafOptions, shared: LeafShared,
    listener: LeafListener? = nil
  ) {
    self.host = host
    self.options = options
    self.stream = stream
    self.shared = shared
    self.listener = listener
    role = listener == nil ? LeafRole(isSolicitor: true, isSpoke: !options.isHub) : .accepted
    held = shared.held(in: account)
    loopSubject = LeafShared.newLoopMark(host.entropy)
    scratch = shared.scratch
    remote = stream.remote
    let isFirst = listener == nil && options.tls.isFirst && !options.isWebSocket
    handshake = LeafHandshake(mode: options.compression, wantsTLS: options.tls.isRequired, isSecure: isFirst || options.isWebSocket)
    acceptance = LeafAcceptHandshake(mode: options.compression)
    // Nobody sends messages before the handshake is done.
    parser = LeafParser(payloadMax: 0)
    output = LeafOutput(host: host, stream: stream, scratch: shared.scratch, options: options)
    started_ns = asked_ns ?? host.clock.monotonic_ns
    liveness = LeafLiveness(options.liveness, rtt_ns: 0, now_ns: host.clock.monotonic_ns)
    since_ns = host.clock.wall_ns
    isIsolated = options.isolated
    super.init(kind: .leaf, id: id, account: account)
    stream.output.limit = options.pendingMax
    stream.writeDeadline_ns = options.writeDeadline_ns
    stream.limitUnsent(Self.unsentMax)
    stream.delegate = self
    if listener != nil {
      greet()
    } else if isFirst {
      host.turn.defer { self.startTLS() }  // not yet: whoever made the link has not set its owner
    } else {
      awaitInfo()
    }
  }

  /// What the kernel takes ahead of sending it: little, because nothing can go ahead of it there.
  private static let unsentMax = 32 * 1024

  /// The next step of the handshake has to come in time: four round trips, as far as they are known.
  func expectStep(rtt_ns: Int64, or failure: LeafFailure) {
    host.after(max(options.stepTimeout_ns, 4 * rtt_ns), deadline) { [unowned(unsafe) self] in  // safe: cancelled in `end`
      if failure == .noAnswerToConnect { self.refuse(.staleHandshake, as: failure) } else { self.end(failure) }
    }
  }

  private func awaitInfo() { expectStep(rtt_ns: Int64(stream.kernelRTT_us ?? 0) * 1000, or: .noInfo) }

  /// Everything from here on is inside TLS, whose handshake has a time limit of its own.
  func startTLS() {
    guard !isEnded else { return }
    do throws(TLSError) {
      let secure = try options.tls.secured(stream, name: options.hubName, host: host)
      host.timers.cancel(deadline)
      carry(by: secure)
    } catch {
      end(.tls(error))
    }
  }

  func carry(by secure: TLSStream) {
    stream = secure
    secureStream = secure
    output.stream = secure
    secure.delegate = self
    secure.start()
  }

  public func secured(_ stream: ByteStream) {
    guard listener == nil else { return saysInfoWhenSecured ? sayInfo() : () }
    if handshake.awaitsTLS { perform(handshake.secured(), handshake.info) } else { awaitInfo() }
  }

  public var isEstablished: Bool { isReady && !isEnded }
  public var bytesRead: Int64 { stream.bytesRead }
  public var bytesWritten: Int64 { stream.bytesWritten }
  /// The kernel's minimum round trip in microseconds.
  public var kernelRTT_us: Int? { stream.kernelRTT_us }
  /// Entries of the other end's interest.
  public var remoteInterestCount: Int { remoteInterest.count }
  public func forEachRemoteInterest(_ body: (Subscription) -> Void) { remoteInterest.forEach { _, subscription in body(subscription) } }
  /// Bytes that wait to be written.
  public var pending: Int { output.pending }
  /// Bytes of stored messages that wait for the link to take them.
  public var backlogPending: Int { output.backlogPending }
  /// Bytes of operations in each direction, before compression.
  public private(set) var plainBytesRead: Int64 = 0
  public var plainBytesWritten: Int64 { output.plainBytes }
  /// How this end sends now; empty before that was agreed.
  public var compressionName: StaticString {
    switch compression {
    case .s2?: LeafCompressionMode(output.level).name
    case .lz4?: LeafCompressionMode.lz4.name
    case .off?: LeafCompressionMode.off.name
    case .notSupported?: LeafCompressionMode.notSupported.name
    case nil: ""
    }
  }

  // MARK: Reading

  public func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard !isEnded else { return bytes.count }
    liveness.heard(now_ns: host.clock.monotonic_ns)
    guard let decoder else { return receivePlain(bytes) }
    receiveCompressed(bytes, decoder)
    return bytes.count
  }

  /// Handles whole operations at the front of plain bytes; returns how many bytes they were.
  func receivePlain(_ bytes: ByteView) -> Int {
    var used = 0
    var operation = LeafOperation()
    let carrier = stream
    carrier.readMinimum = 1
    while used < bytes.count, !isEnded, !isWaiting, stream === carrier {
      switch parser.parse(bytes.dropFirst(used), into: &operation) {
      case .operation(let consumed):
        used += consumed
        plainBytesRead += Int64(consumed)
        let wasCompressed = decoder != nil
        handle(operation)
        if decoder != nil, !wasCompressed, !isEnded { return used + switchToCompressed(bytes.dropFirst(used)) }
      case .incomplete(let needed):
        // Behind S2 the stream's bytes are not the operation's bytes: any that come may complete it.
        if decoder == nil { stream.readMinimum = needed }
        return used
      case .violation(let violation):
        // Before it is ready the line may be CONNECT, of which nothing but the word is for the log.
        let shown = bytes.dropFirst(used).prefix(min(isReady ? 32 : 7, bytes.count - used))
        host.log.error("leafnode \(remote) - \(violation) at \"\(shown)\"")
        refuse(violation)
        return bytes.count
      }
    }
    // What follows the line behind which TLS begins is for TLS.
    if let secureStream, stream !== carrier, used < bytes.count { used += secureStream.received(bytes.dropFirst(used), on: carrier) }
    return used
  }

  /// Everything behind the INFO that agrees on compression is compressed; who already sent more of it is in his right.
  private func switchToCompressed(_ rest: ByteView) -> Int {
    if !rest.isEmpty { _ = received(rest, on: stream) }
    return rest.count
  }

  private func handle(_ operation: LeafOperation) {
    if !isReady, !mayPrecede(operation.kind) { return refuseEarly() }
    switch operation.kind {
    case .message: receiveMessage(operation)
    case .subscribe, .unsubscribe: receiveInterest(operation)
    case .ping:
      peerPings += 1
      output.pong()
    case .pong: pong()
    case .info: role.isSolicitor ? receiveInfo(operation.text) : receiveCompressionRequest(operation.text)
    case .error: receiveError(operation.text)
    case .connect: role.isSolicitor ? end(.protocolViolation) : receiveConnect(operation.text)
    case .ignored: break
    }
  }

  /// What may come before the handshake is done. A solicitor keeps quiet until it is answered (section 5.3).
  private func mayPrecede(_ kind: LeafOperation.Kind) -> Bool {
    switch kind {
    case .info, .connect: true
    // An acceptor answers CONNECT before it tells its interest (section 3.4).
    case .message, .subscribe, .unsubscribe: false
    case .ping, .pong, .error, .ignored: role.isSolicitor
    }
  }

  /// The largest message that may come in.
  var payloadMax: Int { access?.grant?.payloadMax(within: options.payloadMax) ?? options.payloadMax }

  /// Puts the link into the account whose it is, before it is ready.
  func enter(_ account: Account) {
    self.account = account
    held = shared.held(in: account)
  }

  // MARK: Writing

  public func willFlush(_ stream: ByteStream) {
    guard !isEnded else { return }
    output.flush()
    if output.pending > options.pendingMax { end(.outputOverflow) }
  }

  public func mayGiveMore(_ stream: ByteStream) { if !isEnded { output.flush() } }

  // MARK: Endpoint

  public override func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    give(message, queues: subscription.queue.map { [$0] } ?? [], from: source)
  }

  public override func isReachable(from source: Endpoint) -> Bool {
    let other = unsafeDowncast(source, to: LeafLink.self)
    return other !== self && !isSameCluster(other)
  }

  public override func takes(_ message: Message) -> Bool { maySend(message) && message.size <= peer.maxPayload }

  public override func deliverOnce(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    give(message, queues: queues, from: source)
  }
}
