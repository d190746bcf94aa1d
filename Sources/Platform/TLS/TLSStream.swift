// TLS over any stream, as a stream: what its owner writes leaves encrypted, what its owner is shown was decrypted. Who is at the other end
// is in TLSStream+Peer.swift.
import Bytes
import COpenSSL

/// A stream inside TLS. It takes a connected stream over, from its first byte or in the middle (an upgrade).
///
/// The owner sets `delegate`, then calls `start()`. Nothing is shown or sent before `secured` was told; what is appended to `output` before
/// waits. `closed` is told once, with `.tls` when TLS is the reason.
public final class TLSStream: LayeredStream {
  /// More than that waiting below is somebody who makes this side answer and does not read: key updates, for example.
  private static let innerOutputOverflow = 1024 * 1024
  /// The plain bytes of one record.
  private static let recordMax = 16 * 1024

  let context: TLSContext
  /// The server's name or address that its certificate must have; nil where there is none to check.
  let serverName: ByteString?
  let host: Host
  let session: OpaquePointer
  private let handshakeTimer = Timer()
  private let timeout_ns: Int64
  /// TLS is broken: nothing is read or written any more.
  private var hasFailed = false

  /// Whether the handshake is done: both sides are who they must be.
  public private(set) var isSecured = false
  /// When the last bytes of this side's handshake were sent, on the monotonic clock. From then to the next bytes is a whole round trip.
  public private(set) var lastFlight_ns: Int64 = 0

  /// Takes `inner` over. `serverName` is what a client's server must be called; a server has none.
  public init(over inner: ByteStream, context: TLSContext, serverName: ByteString?, host: Host, timeout_ns: Int64) {
    self.context = context
    self.serverName = context.side == .client ? serverName : nil
    self.host = host
    self.timeout_ns = timeout_ns
    session = Self.makeSession(context, serverName, host)
    super.init(over: inner)
    inner.output.limit = inner.output.count + Self.innerOutputOverflow
  }

  deinit {
    host.timers.cancel(handshakeTimer)
    openssl_session_free(session)
  }

  // MARK: Handshake

  /// Begins the handshake.
  public func start() {
    host.after(timeout_ns, handshakeTimer) { [unowned(unsafe) self] in  // safe: cancelled in `deinit`
      if !self.isSecured { self.end(.tls(.handshakeTimeout)) }
    }
    handshake()
    inner.wantsFlush()
  }

  private func handshake() {
    let result = openssl_session_handshake(session)
    if moveOutput() { lastFlight_ns = host.clock.monotonic_ns }
    guard result != OPENSSL_WAITS else { return }
    guard result == OPENSSL_DONE else { return fail() }
    if let stranger = unpinned {
      hasFailed = true
      return endAfterInput(.tls(stranger))
    }
    isSecured = true
    host.timers.cancel(handshakeTimer)
    if !output.isEmpty { wantsFlush() }
    delegate?.secured(self)
  }

  private func fail() {
    hasFailed = true
    endAfterInput(
      .tls(TLSError(failureOf: session, isServer: context.side == .server, name: serverName, now_s: host.clock.wall_ns / second_ns)))
  }

  // MARK: The layer

  public override func unwrap(_ bytes: ByteView) -> Int {
    openssl_session_give(session, bytes.base, bytes.count)
    if !isSecured { handshake() }
    var result = OPENSSL_DONE
    while isSecured, !hasFailed, !isClosed, result > 0 {
      carried(Self.recordMax) { target in
        result = Int(openssl_session_read(session, target, Int32(Self.recordMax)))
        return max(result, 0)
      }
    }
    openssl_session_give(session, nil, 0)
    if result == OPENSSL_CLOSED {
      endAfterInput(.peerClosed)
    } else if result == OPENSSL_FAILED {
      fail()
    }
    // The handshake's next step, or the answer to a change of keys.
    _ = moveOutput()
    if !inner.output.isEmpty { inner.wantsFlush() }
    return bytes.count
  }

  public override func wrap() {
    if hasFailed { return output.removeAll() }
    guard isSecured else { return }
    while !output.isEmpty, inner.output.count < Self.innerOutputMax {
      var size = 0
      var result: Int32 = 0
      output.forEachPiece(limit: 1) { piece in
        size = min(piece.count, Self.recordMax)
        result = openssl_session_write(session, piece.base, Int32(size))
      }
      guard result == OPENSSL_DONE else {
        fail()
        return output.removeAll()
      }
      output.consume(size)
      _ = moveOutput()
    }
  }

  public override func farewell() {
    if isSecured, !hasFailed { openssl_session_close(session) }
    _ = moveOutput()
  }

  public override func meaning(of reason: CloseReason) -> CloseReason {
    !isSecured && reason == .peerClosed ? .tls(.closedInHandshake) : reason
  }

  /// Hands what TLS wants sent to the stream below; false when there is nothing.
  private func moveOutput() -> Bool {
    var size = 0
    guard let bytes = openssl_session_output(session, &size), size > 0 else { return false }
    inner.output.append(ByteView(base: bytes, count: size))
    openssl_session_output_taken(session)
    return true
  }
}
