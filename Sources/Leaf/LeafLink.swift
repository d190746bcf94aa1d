// A leaf link that this server dialled: its life from the first INFO to its end. What is sent is put together in
// LeafOutput.swift, interest is in LeafLink+Interest.swift, messages from the hub in LeafLink+Input.swift.
import Broker
import Bytes
import Compression
import Interest
import JSON
import Platform
import Wire

/// Whoever dials links and needs to know how they fare.
public protocol LeafLinkOwner: AnyObject {
  /// The first INFO has come, `rtt_ns` after the connection was established: a whole round trip to the real server.
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

/// One leaf connection in the role of solicitor and spoke (leafnode-protocol.md section 1).
public final class LeafLink: Endpoint, ByteStreamDelegate {
  public let host: Host
  public let options: LeafOptions
  public let remote: SocketAddress
  public unowned(unsafe) var owner: (any LeafLinkOwner)?  // safe: the owner ends its links before it goes

  let stream: ByteStream
  var handshake: LeafHandshake
  var parser: LeafParser
  let output: LeafOutput
  /// Decompresses what the hub sends, once both directions are S2.
  private var decoder: S2StreamDecoder?
  private let scratch: S2Scratch
  /// Decompressed bytes that are not whole operations yet.
  private var plainInput: [UInt8] = []

  /// The hub's last INFO with permissions.
  public private(set) var info = LeafInfo()
  /// What may be received from and sent to the hub: its permissions with this side's denies.
  var importPermission = SubjectPermission()
  var exportPermission = SubjectPermission()
  /// The hub's interest, by "subject" or "subject queue".
  var remoteInterest = ByteMap<Subscription>()
  /// Our interest, as the hub knows it.
  var localInterest = LeafInterest()
  let shared: LeafShared
  /// This link's mark against loops (section 9.5), and those of all links of this server.
  let loopSubject: ByteString
  let loopMarks: LoopMarks

  public private(set) var isEnded = false
  private let started_ns: Int64
  private let deadline = Timer()
  private let pingTimer = Timer()
  private var pingsOutstanding = 0
  /// nil before the first PING.
  private var pingSent_ns: Int64?
  private var heardSincePing = false
  public private(set) var rtt_ns: Int64?

  public internal(set) var receivedTraffic = Traffic()
  public internal(set) var sentTraffic = Traffic()
  /// Messages that were not sent because the hub forbids them or takes none so large.
  public internal(set) var dropped = 0
  public let since_ns: Int64

  /// Takes over a connected stream.
  public init(host: Host, id: UInt64, account: Account, stream: ByteStream, options: LeafOptions, shared: LeafShared) {
    self.host = host
    self.options = options
    self.stream = stream
    self.shared = shared
    loopMarks = shared.loopMarks
    loopSubject = shared.loopMarks.new(host.entropy)
    scratch = shared.scratch
    remote = stream.remote
    handshake = LeafHandshake(mode: options.compression)
    parser = LeafParser(payloadMax: options.payloadMax)
    output = LeafOutput(stream: stream, scratch: shared.scratch)
    started_ns = host.clock.monotonic_ns
    since_ns = host.clock.wall_ns
    super.init(kind: .leaf, id: id, account: account)
    stream.output.limit = options.pendingMax
    stream.delegate = self
    host.after(options.infoTimeout_ns, deadline) { [unowned(unsafe) self] in  // safe: cancelled in `end`
      self.end(.noInfo)
    }
  }

  public var isEstablished: Bool { handshake.isEstablished && !isEnded }
  public var bytesRead: Int { stream.bytesRead }
  public var bytesWritten: Int { stream.bytesWritten }
  /// The kernel's minimum round trip in microseconds.
  public var kernelRTT_us: Int? { stream.kernelRTT_us }
  /// Entries of the hub's interest.
  public var remoteInterestCount: Int { remoteInterest.count }
  /// Bytes that wait to be written.
  public var pending: Int { output.pending }
  public var compressionName: StaticString {
    switch handshake.choice {
    case .s2(let mode)?: mode == .s2Auto ? (output.level == .fast ? "s2_fast" : "s2_uncompressed") : mode.name
    case .uncompressed?: "off"
    case nil: ""
    }
  }

  // MARK: Reading

  public func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard !isEnded else { return bytes.count }
    heardSincePing = true
    guard let decoder else { return receivePlain(bytes) }
    receiveCompressed(bytes, decoder)
    return bytes.count
  }

  /// Decompresses chunk by chunk; operations that are whole within a chunk are handled in place.
  private func receiveCompressed(_ bytes: ByteView, _ decoder: S2StreamDecoder) {
    var rest = bytes
    do throws(S2Error) {
      while !isEnded, let chunk = try decoder.next(&rest, scratch: scratch) {
        if plainInput.isEmpty {
          let used = receivePlain(chunk)
          if used < chunk.count, !isEnded { plainInput.append(chunk.dropFirst(used)) }
        } else {
          plainInput.append(chunk)
          let used = plainInput.withView { receivePlain($0) }
          if used == plainInput.count { plainInput = [] } else { plainInput.removeFirst(used) }
        }
      }
    } catch {
      host.log.error("leafnode \(remote) - compressed stream: \(error.text)")
      end(.compressionCorrupt)
    }
  }

  /// Handles whole operations at the front of plain bytes; returns how many bytes they were.
  private func receivePlain(_ bytes: ByteView) -> Int {
    var used = 0
    var operation = LeafOperation()
    stream.readMinimum = 1
    while used < bytes.count, !isEnded {
      switch parser.parse(bytes.dropFirst(used), into: &operation) {
      case .operation(let consumed):
        used += consumed
        let wasCompressed = decoder != nil
        handle(operation)
        if decoder != nil, !wasCompressed, !isEnded { return used + switchToCompressed(bytes.dropFirst(used)) }
      case .incomplete(let needed):
        // Behind S2 the stream's bytes are not the operation's bytes: any that come may complete it.
        if decoder == nil { stream.readMinimum = needed }
        return used
      case .violation(let violation):
        host.log.error("leafnode \(remote) - \(violation) at \"\(bytes.dropFirst(used).prefix(min(32, bytes.count - used)).string)\"")
        end(.protocolViolation)
        return bytes.count
      }
    }
    return used
  }

  /// Everything behind the first INFO is compressed; a hub that already sent more of it is legal.
  private func switchToCompressed(_ rest: ByteView) -> Int {
    if !rest.isEmpty { _ = received(rest, on: stream) }
    return rest.count
  }

  private func handle(_ operation: LeafOperation) {
    switch operation.kind {
    case .message: receiveMessage(operation)
    case .subscribe, .unsubscribe: receiveInterest(operation)
    case .ping: output.append(literal: "PONG\r\n")
    case .pong: pong()
    case .info: receiveInfo(operation.text)
    case .error: receiveError(operation.text)
    case .connect: end(.protocolViolation)
    case .ignored: break
    }
  }

  // MARK: Handshake

  private func receiveInfo(_ text: ByteView) {
    guard let info = LeafInfo(text) else { return end(.badInfo) }
    let isFirst = handshake.choice == nil
    switch handshake.received(info) {
    case .requestCompression(let mode):
      said(info)
      output.append(literal: "INFO {\"compression\":\"")
      output.append(literal: mode.name)
      output.append(literal: "\"}\r\n")
      output.flushPlain()
      decoder = S2StreamDecoder()
      output.compress(level(mode))
    case .connect:
      if isFirst { said(info) }
      connect()
    case .established: establish(info)
    case .update:
      if info.importPermissions != nil || info.exportPermissions != nil || info.connectInfo {
        advertiseChanges { update(info) }
      } else {
        update(info)
      }
    case .fail(let failure): end(failure)
    }
  }

  private func said(_ info: LeafInfo) {
    self.info = info
    rtt_ns = host.clock.monotonic_ns - started_ns
    owner?.linkSaidInfo(self, rtt_ns: rtt_ns!)
  }

  private func level(_ mode: LeafCompressionMode) -> CompressionLevel {
    if mode == .s2Auto, (rtt_ns ?? 0) <= s2AutoThreshold_ns { return .uncompressed }
    return .fast
  }

  private func connect() {
    var json = JSONWriter()
    json.beginObject()
    json.field("version", ServerIdentity.protocolVersion)
    json.field("server_id", options.serverID)
    json.field("name", options.serverName)
    json.field("cluster", options.serverName)
    json.fieldUnlessEmpty("domain", options.domain)
    json.fieldUnlessFalse("jetstream", options.jetStream)
    json.fieldUnlessFalse("headers", info.headers)
    if case .uncompressed(let said)? = handshake.choice {
      json.field("compress_mode", said)
    } else {
      json.field("compress_mode", literal: compressionName)
    }
    json.field("remote_account", account.name)
    if !options.user.isEmpty {
      json.field("user", options.user)
      if options.password.isEmpty { json.field("auth_token", options.user) } else { json.field("pass", options.password) }
    }
    if !options.denyImports.isEmpty { json.field("deny_pub", options.denyImports) }
    json.endObject()
    output.append(literal: "CONNECT ")
    output.append(json.finish())
    output.append(literal: "\r\n")
    if handshake.isEstablished {
      establish(info)
    } else {
      host.after(options.answerTimeout_ns, deadline) { [unowned(unsafe) self] in  // safe: cancelled in `end`
        self.output.append(literal: "-ERR 'Stale Leaf Node Connection - Closing'\r\n")
        self.end(.noAnswerToConnect)
      }
    }
  }

  private func establish(_ info: LeafInfo) {
    host.timers.cancel(deadline)
    update(info)
    guard !isEnded else { return }  // the hub said that it goes away, and the link was given up
    advertiseAll()
    account.observe(self)
    schedulePing(after: second_ns + second_ns / 5 * Int64(host.entropy.below(100)) / 100)
    owner?.linkEstablished(self)
  }

  /// A later INFO (section 3.5).
  private func update(_ info: LeafInfo) {
    if !info.remoteAccount.isEmpty { self.info.remoteAccount = info.remoteAccount }
    if !info.leafURLs.isEmpty { self.info.leafURLs = info.leafURLs }
    if info.importPermissions != nil || info.exportPermissions != nil || !handshake.isEstablished || info.connectInfo {
      importPermission = info.importPermissions ?? SubjectPermission()
      exportPermission = info.exportPermissions ?? SubjectPermission()
      importPermission.deny += options.denyImports
      exportPermission.deny += options.denyExports
    }
    if info.lameDuck { owner?.linkLameDuck(self) }
  }

  // MARK: Errors from the hub

  /// An error alone does not end a leaf link: the hub closes when it means to (section 7). A loop does.
  private func receiveError(_ text: ByteView) {
    let text = text.prefix(min(text.count, 512))
    host.log.error("leafnode \(remote) - hub says: \(text.string)")
    if text.contains("Loop detected") { return end(.loop) }
    refusal = text.contains("remote leafnode has same cluster name") ? .sameCluster : .refusedByHub(text.string)
    refused_ns = host.clock.monotonic_ns
  }
  /// What the hub complained about last, and when.
  private var refusal: LeafFailure?
  private var refused_ns: Int64 = 0
  /// A hub that closes for what it complained about does so at once; a close later than this has another reason.
  private static let refusalCloses_ns = 2 * second_ns
  /// The complaint that a close now is due to.
  private var closingRefusal: LeafFailure? {
    host.clock.monotonic_ns - refused_ns <= Self.refusalCloses_ns ? refusal : nil
  }

  // MARK: PING

  private func schedulePing(after delay_ns: Int64) {
    host.after(delay_ns, pingTimer) { [unowned(unsafe) self] in self.ping() }  // safe: cancelled in `end`
  }

  private func ping() {
    if pingsOutstanding >= options.pingsMax { return end(.pingsUnanswered) }
    // A hub that is heard lives; a PING is sent only into silence, and now and then for the round trip.
    let now = host.clock.monotonic_ns
    let isDue = pingSent_ns.map { now - $0 >= 4 * options.pingInterval_ns } ?? true
    if !heardSincePing || pingsOutstanding > 0 || isDue {
      pingsOutstanding += 1
      pingSent_ns = now
      output.append(literal: "PING\r\n")
    }
    heardSincePing = false
    schedulePing(after: options.pingInterval_ns)
  }

  private func pong() {
    guard pingsOutstanding > 0, let pingSent_ns else { return }
    pingsOutstanding = 0
    let rtt = host.clock.monotonic_ns - pingSent_ns
    rtt_ns = rtt
    if case .s2(.s2Auto)? = handshake.choice { output.level = level(.s2Auto) }
    owner?.linkMeasured(self, rtt_ns: rtt)
  }

  // MARK: The end

  /// Ends the link. What was sent but not yet written is written if the connection allows.
  public func end(_ failure: LeafFailure) {
    guard !isEnded else { return }
    isEnded = true
    host.timers.cancel(deadline)
    host.timers.cancel(pingTimer)
    account.stopObserving(self)
    loopMarks.remove(loopSubject)
    dropRemoteInterest()
    output.flush()
    stream.closeAfterFlush()
    owner?.linkEnded(self, failure)
  }

  public func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    switch reason {
    case .peerClosed: end(closingRefusal ?? .closedByHub)
    case .failed(let error): end(closingRefusal ?? .network(error))
    case .outputOverflow, .writeDeadline: end(.outputOverflow)
    case .closedHere: end(.closedHere)
    }
  }

  public func willFlush(_ stream: ByteStream) { output.flush() }

  // MARK: To the hub

  public override func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    deliverOnce(message, queues: subscription.queue.map { [$0] } ?? [], from: source)
  }

  public override func deliverOnce(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    guard isEstablished, maySend(message.subject) else { return false }
    for subject in shared.heldSubjects where Subject.matches(message.subject, subject) { return false }
    guard message.size <= info.maxPayload else {
      dropped += 1
      return false
    }
    output.message(message, queues: queues, headers: info.headers)
    sentTraffic.count(message.size)
    if source.kind == .client, output.pending > options.pendingMax / 4 * 3 { source.stall() }
    return true
  }

  /// Sends a message to the hub directly, past routing and past what is held back for the forwarder: the forwarder's own. It is a
  /// client of the hub's JetStream and so may speak to its API, which nothing else on this side may.
  /// False: the link does not work, the hub forbids it, or takes none so large.
  public func send(_ message: Message) -> Bool {
    guard isEstablished, exportPermission.isUnrestricted || exportPermission.permits(message: message.subject),
      message.size <= info.maxPayload, info.headers || message.headers.isEmpty
    else { return false }
    output.message(message, queues: [], headers: info.headers)
    sentTraffic.count(message.size)
    return true
  }

  /// The hub's JetStream API, as requests over this link name it.
  public var hubAPIPrefix: String { info.domain.isEmpty ? "$JS.API." : "$JS.\(info.domain.string).API." }
}
