// How a forwarded message says where it comes from.
import Bytes
import Wire

/// The origin of forwarded messages: this server, its stream, and which life of that stream. It makes `Nats-Msg-Id`, by which the hub
/// recognises what it has, and is recognised in it again.
public struct ForwardOrigin: Equatable {
  /// `<domain or server>:<stream>:<incarnation>:`, ahead of the sequence.
  private let prefix: ByteString
  let domain: ByteString
  private let stream: ByteString
  /// A random name of this life of the stream: a gateway that was set up anew counts from 1 again and must not be taken for the old
  /// one.
  public let incarnation: ByteString

  public init(domain: ByteString, stream: ByteString, incarnation: ByteString) {
    self.domain = domain
    self.stream = stream
    self.incarnation = incarnation
    var bytes = domain.bytes
    bytes.append(ASCII.colon)
    bytes.append(stream)
    bytes.append(ASCII.colon)
    bytes.append(incarnation)
    bytes.append(ASCII.colon)
    prefix = ByteString(bytes)
  }

  /// Appends the headers of message `sequence`, stored at `timestamp_ns`. `headers` are the message's own; JetStream's (`Nats-…`) were
  /// meant for the edge stream and stay behind.
  func appendHeaders(_ sequence: UInt64, _ timestamp_ns: Int64, headers: ByteView, to bytes: inout [UInt8]) {
    bytes.append(literal: "NATS/1.0\r\nNats-Msg-Id: ")
    bytes.append(prefix)
    bytes.append(decimal: sequence)
    bytes.append(literal: "\r\nPetiole-Origin: ")
    bytes.append(domain)
    bytes.append(ASCII.space)
    bytes.append(stream)
    bytes.append(ASCII.space)
    bytes.append(decimal: sequence)
    bytes.append(ASCII.space)
    bytes.append(decimal: timestamp_ns)
    bytes.append(literal: "\r\n")
    Headers(headers).forEach { name, value in
      if !name.hasPrefix("Nats-"), !name.equals("Petiole-Origin") {
        bytes.append(name)
        bytes.append(literal: ": ")
        bytes.append(value)
        bytes.append(literal: "\r\n")
      }
      return true
    }
    bytes.append(literal: "\r\n")
  }

  /// The sequence in a `Nats-Msg-Id` of this origin, or nil.
  func sequence(of messageID: ByteView) -> UInt64? {
    prefix.withView { messageID.hasPrefix($0) ? messageID.dropFirst($0.count).decimal() : nil }
  }
}
