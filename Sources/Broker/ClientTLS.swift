// How clients are served TLS, and how a connection finds out whether and when it begins.
import Bytes
import Platform

/// The TLS of the client listener.
public struct ClientTLS {
  public enum First {
    /// TLS follows INFO.
    case no
    /// TLS comes before INFO.
    case yes
    /// A client that begins with TLS in this time has it before INFO, others after it.
    case within_ns(Int64)
  }

  public var context: TLSContext
  public var first: First
  /// Whether clients may go on without TLS.
  public var isOptional: Bool
  public var timeout_ns: Int64
  /// Whether a client's certificate says which user it is.
  public var mapsUsers: Bool

  public init(context: TLSContext, first: First, isOptional: Bool, timeout_ns: Int64, mapsUsers: Bool = false) {
    self.context = context
    self.first = first
    self.isOptional = isOptional
    self.timeout_ns = timeout_ns
    self.mapsUsers = mapsUsers
  }

  /// Whether clients must show a certificate.
  public var verifies: Bool { context.settings.requiresPeerCertificate }
}

/// Stands in for a client until its first bytes tell whether it begins with TLS.
final class TLSDoor: ByteStreamDelegate {
  /// What a record of a TLS handshake begins with, and no line of the protocol does.
  private static let handshakeRecord: UInt8 = 22

  private let client: ClientConnection
  private let tls: ClientTLS
  private let timer = Timer()
  private var saidInfo: Bool

  /// `wait_ns`: how long INFO is held back; nil when it has been said.
  init(client: ClientConnection, tls: ClientTLS, wait_ns: Int64?) {
    self.client = client
    self.tls = tls
    saidInfo = wait_ns == nil
    client.stream.delegate = self
    if let wait_ns {
      client.broker.host.after(wait_ns, timer) { [unowned(unsafe) self] in self.waited() }  // safe: cancelled when the door is left
    }
  }

  private func waited() {
    guard !client.isClosing else { return }
    saidInfo = true
    client.sendInfo()
    client.startTLS(tls)
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard !client.isClosing else { return bytes.count }
    client.broker.host.timers.cancel(timer)
    if bytes[0] == Self.handshakeRecord || !tls.isOptional {
      if !saidInfo { client.saysInfoWhenSecured = true }
      return client.startTLS(tls).received(bytes, on: stream)
    }
    stream.delegate = client
    return client.received(bytes, on: stream)
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    client.broker.host.timers.cancel(timer)
    client.closed(stream, reason: reason)
  }
}

extension ClientConnection {
  /// Says INFO and begins TLS, in the order that the listener's TLS asks for.
  func begin(_ tls: ClientTLS) {
    if tls.isOptional {
      // As in nats-server: who may do without TLS gets INFO first, whatever `handshake_first` says.
      sendInfo()
      armPing()
      _ = TLSDoor(client: self, tls: tls, wait_ns: nil)
      return
    }
    switch tls.first {
    case .yes:
      saysInfoWhenSecured = true
      startTLS(tls)
    case .within_ns(let wait_ns): _ = TLSDoor(client: self, tls: tls, wait_ns: wait_ns)
    case .no:
      sendInfo()
      startTLS(tls)
    }
  }

  /// Everything from here on is inside TLS.
  @discardableResult
  func startTLS(_ tls: ClientTLS) -> TLSStream {
    let secure = TLSStream(over: stream, context: tls.context, serverName: nil, host: broker.host, timeout_ns: tls.timeout_ns)
    carry(by: secure)
    secure.delegate = self
    secure.start()
    return secure
  }

  /// What the client may be called by its certificate, in nats-server's order; nil where certificates do not say who clients are.
  var certificateNames: [ByteString]? {
    let maps = upgrade == nil ? broker.tls?.mapsUsers ?? false : broker.webSocketMapsUsers
    guard maps, let secureStream else { return nil }
    guard let certificate = secureStream.peerCertificates.first else { return [] }
    var names: [ByteString] = []
    for kind: TLSCertificate.Name.Kind in [.email, .host, .uri] {
      for name in certificate.names where name.kind == kind { names.append(name.text) }
    }
    return names + [certificate.subject]
  }

  public func secured(_ stream: ByteStream) {
    if saysInfoWhenSecured { sendInfo() }
    armPing()
  }
}
