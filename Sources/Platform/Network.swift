// The seam for sockets and names. Linux's is in Linux/, the simulated one (latency, loss, partition, bandwidth) in Simulated/.
import Bytes

/// An IPv4 or IPv6 address with a port.
public struct SocketAddress: Hashable {
  /// 4 or 16 bytes, network order.
  public var address: [UInt8]
  public var port: UInt16

  public init(address: [UInt8], port: UInt16) {
    precondition(address.count == 4 || address.count == 16, "an address has 4 or 16 bytes")
    self.address = address
    self.port = port
  }
}

/// Why a connection or a listener could not be had, or why a connection ended.
public enum NetworkError: Error, Equatable {
  case addressInUse, addressNotAvailable, permission
  case refused, unreachable, timedOut, reset
  case nameNotFound(String)
  case nameServerFailed(String)
  case tooManyFiles
  /// The peer does not keep to the form that its bytes should have (a layer of the stream found it).
  case malformed
  /// Any other errno.
  case other(Int32)
}

/// Why a stream is closed, told to its delegate once.
public enum CloseReason: Equatable {
  /// The peer closed its side after all its bytes.
  case peerClosed
  case failed(NetworkError)
  /// More than `output.limit` bytes were waiting: the peer reads too slowly.
  case outputOverflow
  /// No byte could be written for `writeDeadline_ns`.
  case writeDeadline
  /// `close()` was called on this side.
  case closedHere
  /// TLS could not be had, or was broken.
  case tls(TLSError)
}

/// Whoever owns a stream.
public protocol ByteStreamDelegate: AnyObject {
  /// Bytes have arrived. Returns how many from the front were used; the rest is kept and shown again together with what follows.
  /// Set `stream.readMinimum` to be called again only when that many are there. `bytes` is valid during the call only.
  func received(_ bytes: ByteView, on stream: ByteStream) -> Int
  /// The stream is gone. Called once, always in a later turn than the cause, never from within a call of the owner.
  func closed(_ stream: ByteStream, reason: CloseReason)
  /// The loop turn ends and the stream is about to write its output (where an owner compresses what it collected).
  func willFlush(_ stream: ByteStream)
  /// The output fell below its low-water mark after `output.count` was above it.
  func drained(_ stream: ByteStream)
  /// The TLS handshake of the stream is done (`TLSStream` only).
  func secured(_ stream: ByteStream)
  /// `wantsToGiveMore` was set, and nothing waits to be written now: what is appended to `output` is written next.
  func mayGiveMore(_ stream: ByteStream)
}

extension ByteStreamDelegate {
  public func willFlush(_ stream: ByteStream) {}
  public func drained(_ stream: ByteStream) {}
  public func secured(_ stream: ByteStream) {}
  public func mayGiveMore(_ stream: ByteStream) {}
}

/// A connected, ordered, reliable stream of bytes: TCP, or what another stream carries (LayeredStream). Implementations subclass it.
///
/// Writing: append to `output`, then call `wantsFlush()`; all output of a loop turn leaves in one write (one `writev`) at its end.
open class ByteStream {
  /// What waits to be written.
  public final let output: OutputBuffer
  /// Held until the stream is closed and told so: its owner may be forgotten by everybody else by then. The owner clears it in `closed`.
  public final var delegate: (any ByteStreamDelegate)?
  /// `received` is called only when at least this many bytes are there.
  public final var readMinimum = 1
  public final let remote: SocketAddress
  public final let local: SocketAddress
  /// Bytes read and written so far, as on the wire.
  open var bytesRead: Int64 = 0
  open var bytesWritten: Int64 = 0
  /// How long the peer may take no byte at all before the stream is closed with `.writeDeadline` (nats-server's write_deadline).
  public final var writeDeadline_ns: Int64 = 10 * second_ns
  /// Set by an owner that keeps output back, to be called once when the kernel has taken all that it was given.
  public final var wantsToGiveMore = false
  public final let id: Int
  final let turn: TurnQueue
  /// Whether the stream is on the list of those to be flushed at the end of this turn.
  final var flushQueued = false
  public final internal(set) var isClosed = false

  public init(id: Int, remote: SocketAddress, local: SocketAddress, output: OutputBuffer, turn: TurnQueue) {
    self.id = id
    self.remote = remote
    self.local = local
    self.output = output
    self.turn = turn
  }

  /// Bytes that wait for the kernel to take them, here and in streams that carry this one.
  open var waiting: Int { output.count }

  /// Asks for the output to be written at the end of this loop turn.
  @inline(__always) public final func wantsFlush() {
    if !flushQueued {
      flushQueued = true
      turn.flush(self)
    }
  }

  /// Writes what the kernel takes now. Called by the loop at the end of a turn, and by implementations when writing is possible again.
  open func flush() { preconditionFailure("a stream must say how it flushes") }
  /// Closes at once; what is still in `output` is written if the kernel takes it without waiting. The delegate hears `.closedHere`.
  open func close() { preconditionFailure("a stream must say how it closes") }
  /// Closes after all of `output` was written, within the write deadline from now on; nothing more is read.
  open func closeAfterFlush() { preconditionFailure("a stream must say how it closes") }
  /// What waits now has to be written within the write deadline, however much of it the peer takes meanwhile.
  open func beginLastWrites() {}
  /// Stops or resumes reading (back-pressure).
  open func setReading(_ reading: Bool) { preconditionFailure("a stream must say how it pauses") }
  /// The kernel's measured round trip in microseconds (TCP_INFO minimum), or nil.
  open var kernelRTT_us: Int? { nil }
  /// How long sent bytes may stay unacknowledged before the kernel gives the connection up (TCP_USER_TIMEOUT); 0 is the system's default.
  open func setUserTimeout(_ timeout_ms: Int) {}
  /// What the kernel knows of the way to the peer, or nil.
  open var way: WayState? { nil }
  /// Lets the kernel take only so many bytes that it cannot send yet: what it has taken, nothing can go ahead of.
  open func limitUnsent(_ bytes: Int) {}

  /// The mark below which a peer that was slow counts as caught up, and `drained` is told.
  final var lowWater: Int { min(64 * 1024, output.limit / 4) }
}

/// A listening socket.
public protocol Listener: AnyObject {
  /// The bound address, with the port that was really taken.
  var local: SocketAddress { get }
  func close()
}

/// An attempt to connect, or a question for the addresses of a name, that can be given up.
public protocol ConnectAttempt: AnyObject {
  /// Gives up; `done` is not called any more.
  func cancel()
}

public protocol Network: AnyObject {
  /// Listens on `address` (port 0: any free one). `accepted` gets each new connection and must set its delegate at once.
  func listen(_ address: SocketAddress, accepted: @escaping (ByteStream) -> Void) throws(NetworkError) -> any Listener
  /// Connects; `done` is called once, in a later turn.
  func connect(
    _ address: SocketAddress, timeout_ns: Int64, done: @escaping (Result<ByteStream, NetworkError>) -> Void
  ) -> any ConnectAttempt
  /// The addresses of a host name (or of an address literal, without asking anybody), in a later turn. At least one on success.
  @discardableResult
  func resolve(_ host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) -> any ConnectAttempt
  /// Calls `changed` when a link, an address or a route of this machine appears or goes, shortly after the last of what comes together.
  /// False when this machine does not tell. For one watcher, which lasts as long as the network.
  func watchChanges(_ changed: @escaping (NetworkChange) -> Void) -> Bool
}

extension Network {
  public func watchChanges(_ changed: @escaping (NetworkChange) -> Void) -> Bool { false }
}
