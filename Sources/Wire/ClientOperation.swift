// What a client says: one operation of the client protocol, as views into the read buffer.
import Bytes

/// One operation of a client (client-protocol.md section 2). Which fields are set depends on `kind`; all views end with the call
/// that received them.
public struct ClientOperation {
  public enum Kind {
    case connect, ping, pong, publish, subscribe, unsubscribe
    /// `INFO …` and `+OK` from a client: tolerated and ignored.
    case ignored
    /// `-ERR …` from a client: it closes the connection without a word.
    case error
  }

  public var kind: Kind = .ignored
  /// publish, subscribe
  public var subject = ByteView()
  /// publish; empty when there is none
  public var reply = ByteView()
  /// subscribe; empty when there is none
  public var queue = ByteView()
  /// subscribe, unsubscribe
  public var sid = ByteView()
  /// connect: the JSON text
  public var text = ByteView()
  /// publish: length of the header block at the front of `body`; nil for PUB
  public var headerSize: Int?
  /// publish: headers and payload
  public var body = ByteView()
  /// unsubscribe: after how many deliveries in total; 0 when not given
  public var max = 0

  public init() {}

  @inline(__always) public var headers: ByteView { headerSize.map { body.prefix($0) } ?? ByteView() }
  @inline(__always) public var payload: ByteView { headerSize.map { body.dropFirst($0) } ?? body }
}

/// What is wrong with bytes that were received. What is then said to the peer is the connection's affair.
public enum ProtocolViolation: Error, Equatable, Sendable {
  /// Not an operation of this protocol, or a payload without its CRLF.
  case unknownOperation
  /// Arguments longer than the limit for a control line.
  case controlLineTooLong
  /// A payload larger than the limit.
  case payloadTooLarge
  /// Wrong number or form of arguments.
  case malformedArguments
}

/// What a parser found at the front of the bytes.
public enum ParseOutcome: Equatable {
  /// A whole operation of so many bytes.
  case operation(consumed: Int)
  /// The operation at the front is not whole; asking again makes sense when so many bytes are there.
  case incomplete(needed: Int)
  case violation(ProtocolViolation)
}
