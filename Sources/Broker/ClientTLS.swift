// How those who connect are served TLS, and how a connection finds out whether and when it begins: clients and leaf links.
import Bytes
import Platform

/// The TLS of a listener.
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

/// A connection that may begin TLS.
public protocol TLSEntrant: ByteStreamDelegate {
  /// Nothing is wanted any more.
  var isGone: Bool { get }
  func sayInfo()
  /// Everything from here on is inside TLS. `saysInfo`: INFO is said in there.
  func enter(_ tls: ClientTLS, saysInfo: Bool) -> TLSStream
}

/// Stands in for a connection until its first bytes tell whether it begins with TLS.
public final class TLSDoor: ByteStreamDelegate {
  /// What a record of a TLS handshake begins with, and no line of the protocol does.
  private static let handshakeRecord: UInt8 = 22

  private let entrant: any TLSEntrant
  private let host: Host
  private let tls: ClientTLS
  private let timer = Timer()
  private var saidInfo: Bool

  /// `wait_ns`: how long INFO is held back; nil when it has been said.
  public init(_ entrant: any TLSEntrant, of stream: ByteStream, host: Host, tls: ClientTLS, wait_ns: Int64?) {
    self.entrant = entrant
    self.host = host
    self.tls = tls
    saidInfo = wait_ns == nil
    stream.delegate = self
    if let wait_ns {
      host.after(wait_ns, timer) { [unowned(unsafe) self] in self.waited() }  // safe: cancelled when the door is left
    }
  }

  private func waited() {
    guard !entrant.isGone else { return }
    saidInfo = true
    entrant.sayInfo()
    _ = entrant.enter(tls, saysInfo: false)
  }

  public func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard !entrant.isGone else { return bytes.count }
    host.timers.cancel(timer)
    if bytes[0] == Self.handshakeRecord || !tls.isOptional {
      return entrant.enter(tls, saysInfo: !saidInfo).received(bytes, on: stream)
    }
    stream.delegate = entrant
    return entrant.received(bytes, on: stream)
  }

  public func closed(_ stream: ByteStream, reason: CloseReason) {
    host.timers.cancel(timer)
    entrant.closed(stream, reason: reason)
  }
}

extension TLSEntrant {
  /// Says INFO and begins TLS, in the order that the listener's TLS asks for.
  public func begin(_ tls: ClientTLS, on stream: ByteStream, host: Host) {
    if tls.isOptional {
      // As in nats-server: who may do without TLS gets INFO first, whatever `handshake_first` says.
      sayInfo()
      _ = TLSDoor(self, of: stream, host: host, tls: tls, wait_ns: nil)
      return
    }
    switch tls.first {
    case .yes: _ = enter(tls, saysInfo: true)
    case .within_ns(let wait_ns): _ = TLSDoor(self, of: stream, host: host, tls: tls, wait_ns: wait_ns)
    case .no:
      sayInfo()
      _ = enter(tls, saysInfo: false)
    }
  }
}

extension TLSStream {
  /// `inner` inside the listener's TLS. The caller sets the delegate and starts it.
  public convenience init(over inner: ByteStream, _ tls: ClientTLS, host: Host) {
    self.init(over: inner, context: tls.context, serverName: nil, host: host, timeout_ns: tls.timeout_ns)
  }

  /// What the other side may be called by its certificate, in nats-server's order.
  public var userNames: [ByteString] {
    guard let certificate = peerCertificates.first else { return [] }
    var names: [ByteString] = []
    for kind: TLSCertificate.Name.Kind in [.email, .host, .uri] {
      for name in certificate.names where name.kind == kind { names.append(name.text) }
    }
    return names + [certificate.subject]
  }
}

extension ClientConnection: TLSEntrant {
  public var isGone: Bool { isClosing }

  public func sayInfo() { sendInfo() }

  public func enter(_ tls: ClientTLS, saysInfo: Bool) -> TLSStream {
    saysInfoWhenSecured = saysInfo
    let secure = TLSStream(over: stream, tls, host: broker.host)
    carry(by: secure)
    secure.delegate = self
    secure.start()
    return secure
  }

  /// nil where certificates do not say who clients are.
  var certificateNames: [ByteString]? {
    let maps = upgrade == nil ? broker.tls?.mapsUsers ?? false : broker.webSocketMapsUsers
    guard maps, let secureStream else { return nil }
    return secureStream.userNames
  }

  public func secured(_ stream: ByteStream) {
    if saysInfoWhenSecured { sendInfo() }
    armPing()
  }
}
