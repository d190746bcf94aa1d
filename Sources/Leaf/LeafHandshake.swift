// The solicitor's side of the leaf handshake, as a state machine: what to do for each INFO. No I/O, no clock.
import Bytes

/// From the first INFO to the link that works (leafnode-protocol.md sections 3 to 5).
public struct LeafHandshake: ~Copyable {
  public enum Action: Equatable {
    /// Begin TLS; go on with `secured`.
    case startTLS
    /// Send INFO with this mode as the last plain bytes; from now on both directions are compressed.
    case requestCompression(LeafCompressionMode)
    /// Send CONNECT.
    case connect
    /// Register, send interest. `answered` is false for a hub that does not answer CONNECT with INFO.
    case established
    /// A later INFO: permissions and addresses may have changed.
    case update
    case fail(LeafFailure)
  }

  private enum State {
    case awaitingInfo
    case awaitingTLS
    case awaitingCompressedInfo
    case awaitingAnswer
    case established
    case failed
  }

  private var state = State.awaitingInfo
  private let mode: LeafCompressionMode
  /// Whether this side demands TLS, and whether it is there already.
  private let wantsTLS: Bool
  private var isSecure: Bool
  /// What was agreed; nil before the first INFO.
  public private(set) var choice: LeafCompressionChoice?
  /// The first INFO, whose nonce and identity count.
  public private(set) var info = LeafInfo()

  public init(mode: LeafCompressionMode, wantsTLS: Bool = false, isSecure: Bool = false) {
    self.mode = mode
    self.wantsTLS = wantsTLS
    self.isSecure = isSecure
  }

  var awaitsTLS: Bool {
    if case .awaitingTLS = state { true } else { false }
  }

  public var isEstablished: Bool {
    if case .established = state { true } else { false }
  }

  /// INFO has arrived.
  public mutating func received(_ info: LeafInfo) -> Action {
    switch state {
    case .awaitingInfo:
      self.info = info
      return first(info)
    case .awaitingCompressedInfo:
      state = .awaitingAnswer
      return connect(info)
    case .awaitingAnswer:
      guard info.connectInfo else { return .update }
      state = .established
      return .established
    case .established: return .update
    // Whatever was sent behind the first INFO in the clear is from nobody that can be trusted.
    case .awaitingTLS, .failed: return .fail(.protocolViolation)
    }
  }

  /// The TLS that was asked for is there.
  public mutating func secured() -> Action {
    guard case .awaitingTLS = state else { return fail(.protocolViolation) }
    isSecure = true
    return first(info)
  }

  private mutating func first(_ info: LeafInfo) -> Action {
    if info.clientID == 0 || (info.leafURLs.isEmpty && !info.infoOnConnect) { return fail(.notALeafListener) }
    if !isSecure, wantsTLS || info.tlsRequired {
      guard info.tlsRequired || info.tlsAvailable else { return fail(.tlsNotOffered) }
      state = .awaitingTLS
      return .startTLS
    }
    if info.cluster == "_" || info.cluster.bytes.contains(ASCII.space) { return fail(.clusterNameInvalid(info.cluster.string)) }
    guard let choice = LeafCompressionChoice.choose(own: mode, peer: info.compression, extended: info.extendedCompression) else {
      return fail(.unknownCompression(info.compression?.string ?? ""))
    }
    self.choice = choice
    switch choice {
    case .s2(let mode):
      state = .awaitingCompressedInfo
      return .requestCompression(mode)
    case .lz4:
      state = .awaitingCompressedInfo
      return .requestCompression(.lz4)
    case .notSupported, .off:
      state = .awaitingAnswer
      return connect(info)
    }
  }

  private mutating func connect(_ info: LeafInfo) -> Action {
    // A hub that will not answer CONNECT counts as established once it was sent (section 3.2).
    if !self.info.infoOnConnect { state = .established }
    return .connect
  }

  private mutating func fail(_ failure: LeafFailure) -> Action {
    state = .failed
    return .fail(failure)
  }
}
