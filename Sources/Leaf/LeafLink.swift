// A leaf link: its life from the connection to its end, and what it reads. The handshake of a link that this server dialled is in
// LeafLink+Dialling.swift, PINGs are in LeafLink+Health.swift, interest in LeafLink+Interest.swift, messages from the other end in
// LeafLink+Input.swift and to it in LeafLink+Delivery.swift; the bytes for them are put together in LeafOutput.swift.
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

/// One leaf connection, in one of the roles of leafnode-protocol.md section 1.
public final class LeafLink: Endpoint, ByteStreamDelegate {
  public let host: Host
  public let role: LeafRole
  public let options: LeafOptions
  public let remote: SocketAddress
  public unowned(unsafe) var owner: (any LeafLinkOwner)?  // safe: the owner ends its links before it goes

  let stream: ByteStream
  var handshake: LeafHandshake
  var parser: LeafParser
  let output: LeafOutput
  /// Decompresses what the other end sends, once both directions are S2.
  var decoder: S2StreamDecoder?
  private let scratch: S2Scratch
  /// Decompressed bytes that are not whole operations yet.
  private var plainInput: [UInt8] = []

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
  /// This link's mark against loops (section 9.5), and those of all links of this server.
  let loopSubject: ByteString
  let loopMarks: LoopMarks

  /// The handshake is done: messages and interest may pass.
  var isReady = false
  public private(set) var isEnded = false
  let started_ns: Int64
  /// The next step of the handshake has to come by then.
  let deadline = Timer()
  let pingTimer = Timer()
  var pingsOutstanding = 0
  /// nil before the first PING.
  var pingSent_ns: Int64?
  var heardSincePing = false
  public internal(set) var rtt_ns: Int64?

  public internal(set) var receivedTraffic = Traffic()
  public internal(set) var sentTraffic = Traffic()
  /// Messages that were not sent because the other end takes none so large.
  public internal(set) var dropped = 0
  public let since_ns: Int64

  /// Takes over a connected stream.
  public init(
    host: Host, role: LeafRole = .dialled, id: UInt64, account: Account, stream: ByteStream, options: LeafOptions, shared: LeafShared
  ) {
    self.host = host
    self.role = role
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

  public var isEstablished: Bool { isReady && !isEnded }
  public var bytesRead: Int { stream.bytesRead }
  public var bytesWritten: Int { stream.bytesWritten }
  /// The kernel's minimum round trip in microseconds.
  public var kernelRTT_us: Int? { stream.kernelRTT_us }
  /// Entries of the other end's interest.
  public var remoteInterestCount: Int { remoteInterest.count }
  /// Bytes that wait to be written.
  public var pending: Int { output.pending }
  public var compressionName: StaticString {
    switch compression {
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

  // MARK: Endpoint

  public override func deliver(_ message: Message, to subscription: Subscription, from source: Endpoint) -> Bool {
    give(message, queues: subscription.queue.map { [$0] } ?? [], from: source)
  }

  public override func deliverOnce(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    give(message, queues: queues, from: source)
  }
}
