// How links to a hub use TLS.
import Bytes
import Platform

/// The TLS of one remote or cluster: what its links and probes show and demand. Those that are made after a reload use the files as they
/// are then.
public final class LeafTLS {
  /// A satellite's round trip is above a second, and a handshake takes two or three.
  public static let timeoutDefault_ns = 10 * second_ns

  private let settings: TLSSettings
  /// Links use TLS, whatever the hub's INFO says.
  public let isRequired: Bool
  /// TLS begins before INFO, as the hub must do as well.
  public let isFirst: Bool
  let timeout_ns: Int64
  private var context: TLSContext?

  public init(
    settings: TLSSettings = TLSSettings(), isRequired: Bool = false, isFirst: Bool = false, timeout_ns: Int64 = LeafTLS.timeoutDefault_ns
  ) {
    self.settings = settings
    self.isRequired = isRequired
    self.isFirst = isFirst
    self.timeout_ns = timeout_ns
  }

  /// Reads the files anew, for `use`. nil: without a demand for TLS they are read when a hub makes one.
  public func load() throws(TLSError) -> TLSContext? {
    isRequired || isFirst || context != nil ? try TLSContext(.client, settings) : nil
  }

  /// Connections made from now on use `loaded`.
  public func use(_ loaded: TLSContext?) {
    if let loaded { context = loaded }
  }

  /// `stream` inside TLS with a server that is called `name`, or by its address when that is empty. The caller sets the delegate and starts it.
  public func secured(_ stream: ByteStream, name: ByteString, host: Host) throws(TLSError) -> TLSStream {
    let context: TLSContext
    if let made = self.context { context = made } else { context = try TLSContext(.client, settings) }
    self.context = context
    let server = name.isEmpty ? ByteString(stream.remote.hostText) : name
    return TLSStream(over: stream, context: context, serverName: server, host: host, timeout_ns: timeout_ns)
  }
}
