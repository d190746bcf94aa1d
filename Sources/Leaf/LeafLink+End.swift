// The end of a leaf link: what the other end complains about, what it is told, and what is left behind.
import Broker
import Bytes
import Platform
import Web
import Wire

extension LeafLink {
  // MARK: Errors from the other end

  /// An error alone does not end a leaf link: who means to close closes (section 7). A loop does.
  func receiveError(_ text: ByteView) {
    let text = text.prefix(min(text.count, 512))
    complaints += 1
    if complaints <= Self.complaintsLoggedMax {
      host.log.error("leafnode \(remote) - the other end says: \(text.string)")
      if complaints == Self.complaintsLoggedMax { host.log.warning("leafnode \(remote) - further errors of this link are not shown") }
    }
    if text.contains("Loop detected") { return end(.loop) }
    let isSameCluster = text.contains("remote leafnode has same cluster name")
    complaint = (failure: isSameCluster ? .sameCluster : .refusedByPeer(text.string), at_ns: host.clock.monotonic_ns)
  }

  /// A log must not be filled from outside.
  private static let complaintsLoggedMax = 32

  /// Who closes for what it complained about does so at once; a close later than this has another reason.
  private static let refusalCloses_ns = 2 * second_ns

  /// The complaint that a close now is due to.
  private var closingRefusal: LeafFailure? {
    guard let complaint, host.clock.monotonic_ns - complaint.at_ns <= Self.refusalCloses_ns else { return nil }
    return complaint.failure
  }

  /// What may not precede the end of the handshake has come.
  func refuseEarly() {
    if role.isSolicitor { end(.protocolViolation) } else { refuse(.authorization, as: .protocolViolation) }
  }

  // MARK: The end

  /// Says why, then ends the link.
  func refuse(_ refusal: LeafRefusal, as failure: LeafFailure? = nil) {
    guard !isEnded else { return }
    say(refusal)
    end(failure ?? .refused(refusal))
  }

  func say(_ refusal: LeafRefusal) {
    guard let words = refusal.words else { return }
    output.append(literal: "-ERR '")
    output.append(words.text)
    output.append(literal: "'\r\n")
    // Few bytes in can make many out.
    if output.pending > options.pendingMax { end(.outputOverflow) }
  }

  func refuse(_ violation: ProtocolViolation) {
    guard isReady else { return refuseEarly() }
    switch violation {
    case .unknownOperation: refuse(.unknownOperation, as: .protocolViolation)
    case .controlLineTooLong: refuse(.controlLine, as: .protocolViolation)
    case .payloadTooLarge: refuse(.payload)
    case .malformedArguments: end(.protocolViolation)
    }
  }

  /// Ends the link. What was sent but not yet written is written if the connection allows.
  public func end(_ failure: LeafFailure) {
    guard !isEnded else { return }
    isEnded = true
    host.timers.cancel(deadline)
    host.timers.cancel(pingTimer)
    host.timers.cancel(readTimer)
    compressedInput = []
    if let access {
      access.check?.cancel()
      host.timers.cancel(access.timer)
    }
    account.stopObserving(self)
    shared.remove(self)
    if isCounted { account.leafnodeCount -= 1 }
    dropRemoteInterest()
    output.end()
    stream.closeAfterFlush()
    owner?.linkEnded(self, failure)
  }

  public func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    switch reason {
    case .peerClosed: end(closingRefusal ?? .closedByPeer)
    case .failed(let error):
      if let violation = (stream as? WebSocketStream)?.violation { host.log.error("\(shownName) - read error: \(violation)") }
      end(closingRefusal ?? .network(error))
    case .outputOverflow, .writeDeadline: end(.outputOverflow)
    case .closedHere: end(.closedHere)
    case .tls(let error): end(.tls(error))
    }
  }

  // MARK: The log

  /// As nats-server names a leaf link.
  var shownName: Words { "\(remote) - \(options.isWebSocket ? "lid_ws" : "lid" as StaticString):\(id)" }

  func logEstablished() {
    host.log.info("\(shownName) - Leafnode connection created for account: \(account.name.string)")
  }

  func logEnded(_ failure: LeafFailure) {
    host.log.info("\(shownName) - Leafnode connection closed: \(failure.text)")
  }
}
