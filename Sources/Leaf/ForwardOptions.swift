// What is forwarded, and to where.
import Bytes
import Interest

/// One entry of the `forward` block.
public struct ForwardOptions {
  /// The edge stream.
  public var stream: ByteString
  /// Only subjects that match; nil for all of the stream.
  public var filter: ByteString?
  /// Subjects at the hub; nil for the same as here.
  public var to: ByteString?
  /// Whether the subjects also cross the uplink live.
  public var live: Bool
  /// Most messages in flight.
  public var window: Int
  /// Whether a message waits for the hub's acknowledgement of the one before it on its subject.
  public var ordered: Bool
  /// Where messages go that the hub refuses for good: a subject that a local stream takes. nil: such a message holds the forward.
  public var deadLetter: ByteString?
  /// Forwards with a lower number go first.
  public var priority: Int

  public init(
    stream: ByteString, filter: ByteString? = nil, to: ByteString? = nil, live: Bool = false, window: Int = ForwardMachine.windowDefault,
    ordered: Bool = true, deadLetter: ByteString? = nil, priority: Int = 0
  ) {
    self.stream = stream
    self.filter = filter
    self.to = to
    self.live = live
    self.window = window
    self.ordered = ordered
    self.deadLetter = deadLetter
    self.priority = priority
  }
}
