// The acceptor's side of the leaf handshake, as a state machine: what to do for what the solicitor says first. No I/O, no clock.
import Bytes

/// From the first INFO that this side sent to a CONNECT that may be judged (leafnode-protocol.md sections 3 to 5). The twin of
/// `LeafHandshake`.
public struct LeafAcceptHandshake: ~Copyable {
  public enum Action: Equatable {
    /// Answer with INFO in this mode, compressed; from now on both directions are compressed.
    case compress(LeafCompressionMode)
    /// Nothing to be done.
    case wait
    /// Judge this CONNECT; `accepted` or `refuse` follows.
    case judge
    case refuse(LeafRefusal)
  }

  private enum State {
    /// INFO was sent: INFO may ask for compression, or CONNECT comes at once.
    case awaitingFirst
    case awaitingConnect
    case connected
    case refused
  }

  private var state = State.awaitingFirst
  /// INFOs that meant nothing. Real servers take any number; many are no handshake.
  private var idle = 0
  private static let idleMax = 4
  private let mode: LeafCompressionMode
  /// What was agreed; nil before CONNECT.
  public private(set) var choice: LeafCompressionChoice?

  public init(mode: LeafCompressionMode) { self.mode = mode }

  /// INFO has arrived; `compression` is the only member that counts.
  public mutating func receivedInfo(compression: ByteString?) -> Action {
    switch state {
    case .awaitingFirst where mode != .off:
      guard let choice = LeafCompressionChoice.answer(own: mode, requested: compression) else {
        return refuse(.unsupportedCompression(compression ?? ByteString()))
      }
      state = .awaitingConnect
      self.choice = choice
      switch choice {
      case .s2(let mode): return .compress(mode)
      case .lz4: return .compress(.lz4)
      case .notSupported, .off: return .wait
      }
    // Nothing more is meant by it (section 3.3).
    case .connected: return .wait
    case .awaitingConnect:
      idle += 1
      return idle <= Self.idleMax ? .wait : refuse(.authorization)
    case .awaitingFirst, .refused: return refuse(.authorization)
    }
  }

  /// CONNECT has arrived.
  public mutating func receivedConnect() -> Action {
    switch state {
    case .awaitingFirst, .awaitingConnect:
      state = .connected
      if choice == nil { choice = .off }
      return .judge
    case .connected: return refuse(.malformed)
    case .refused: return refuse(.authorization)
    }
  }

  private mutating func refuse(_ refusal: LeafRefusal) -> Action {
    state = .refused
    return .refuse(refusal)
  }
}
