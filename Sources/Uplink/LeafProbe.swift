// One probe of one server: connect, wait for INFO, close. The time to INFO is a whole round trip to the real server, whatever accepts
// connections on its behalf (DESIGN.md section 5); from which moment it counts, the dial knows. With TLS before INFO it is this
// side's last step of the handshake, which INFO follows by a whole round trip in every version of TLS.
import Bytes
import Leaf
import Platform
import Web
import Wire

/// One sample of a cluster's distance.
final class LeafProbe: ByteStreamDelegate {
  struct Sample {
    var rtt_us: Int64
    var connect_us: Int64
    var bytes: Int
  }

  private let host: Host
  private let timeout_ns: Int64
  private var dial: LeafDial?
  private var stream: ByteStream?
  /// The same when TLS comes before INFO.
  private var secureStream: TLSStream?
  private let tls: LeafTLS
  private let certificateName: ByteString
  /// TLS, if any, is around the WebSocket, and not within it.
  private let isWebSocket: Bool
  private let timer = Timer()
  private var done: ((Result<Sample, ProbeFailureReason>) -> Void)?
  private var connection: LeafConnection?

  struct ProbeFailureReason: Error { let failure: ProbeFailure }

  /// `done` is called once, unless cancelled.
  init(
    host: Host, endpoint: LeafEndpoint, tls: LeafTLS, turn: Int, timeout_ns: Int64,
    done: @escaping (Result<Sample, ProbeFailureReason>) -> Void
  ) {
    self.host = host
    self.tls = tls
    certificateName = endpoint.secureName
    isWebSocket = endpoint.webSocket != nil
    self.timeout_ns = timeout_ns
    self.done = done
    dial = LeafDial(host: host, endpoint: endpoint, tls: tls, turn: turn, timeout_ns: timeout_ns) { result in
      self.dial = nil
      switch result {
      case .failure(let error): self.finish(.failure(ProbeFailureReason(failure: ProbeFailure(error))))
      case .success(let connection): self.connected(connection)
      }
    }
    host.after(timeout_ns, timer) { self.finish(.failure(ProbeFailureReason(failure: self.stream == nil ? .timedOut : .noInfo))) }
  }

  private func connected(_ connection: LeafConnection) {
    self.connection = connection
    stream = connection.stream
    guard tls.isFirst, !isWebSocket else {
      connection.stream.delegate = self
      return
    }
    do throws(TLSError) {
      let secure = try tls.secured(connection.stream, name: certificateName, host: host)
      stream = secure
      secureStream = secure
      secure.delegate = self
      secure.start()
    } catch {
      finish(.failure(ProbeFailureReason(failure: .tls)))
    }
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    var operation = LeafOperation()
    switch LeafParser(payloadMax: 0).parse(bytes, into: &operation) {
    case .incomplete: return 0
    case .violation: finish(.failure(ProbeFailureReason(failure: .badInfo)))
    case .operation:
      guard operation.kind == .info, let info = LeafInfo(operation.text), info.clientID > 0, let connection else {
        finish(.failure(ProbeFailureReason(failure: .badInfo)))
        break
      }
      let rtt_us = max((host.clock.monotonic_ns - (secureStream?.lastFlight_ns ?? connection.asked_ns)) / 1000, 1)
      let bytes = Int(clamping: stream.bytesRead + stream.bytesWritten + Self.overhead)
      finish(.success(Sample(rtt_us: rtt_us, connect_us: connection.connect_us, bytes: bytes)))
    }
    return bytes.count
  }

  /// TCP and IP headers of a connection that is opened, answered once and closed: seven segments of 52 bytes and options.
  private static let overhead: Int64 = 400

  func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    self.stream = nil
    var failure = ProbeFailure.closed
    if case .tls = reason { failure = .tls }
    finish(.failure(ProbeFailureReason(failure: failure)))
  }

  private func finish(_ result: Result<Sample, ProbeFailureReason>) {
    let done = self.done
    cancel()
    done?(result)
  }

  func cancel() {
    done = nil
    host.timers.cancel(timer)
    dial?.cancel()
    dial = nil
    stream?.delegate = nil
    stream?.close()
    stream = nil
  }
}

extension ProbeFailure {
  init(_ error: NetworkError) {
    switch error {
    case .nameNotFound, .nameServerFailed: self = .noAddress
    case .refused: self = .refused
    case .timedOut: self = .timedOut
    case .reset: self = .closed
    case .malformed: self = .badInfo
    case .unreachable, .addressNotAvailable, .addressInUse, .permission, .tooManyFiles, .other: self = .unreachable
    }
  }
}

extension ProbeFailure {
  init(_ failure: LeafFailure) {
    switch failure {
    case .network(let error): self.init(error)
    case .proxyAuthentication: self = .proxy
    case .proxy(let failure): self = ProbeFailure(failure) ?? .proxy
    case .webSocket(let failure): self = ProbeFailure(failure) ?? .badInfo
    case .tls: self = .tls
    default: self = .closed
    }
  }

  /// nil for what is not the network's doing.
  private init?(_ failure: WebFailure) {
    switch failure {
    case .network(let error): self.init(error)
    case .closed: self = .closed
    case .timedOut: self = .timedOut
    case .notHTTP, .refused, .notWebSocket: return nil
    }
  }
}

extension LinkFailure {
  init(_ error: NetworkError) {
    switch ProbeFailure(error) {
    case .noAddress: self = .noAddress
    case .refused: self = .refused
    case .timedOut: self = .timedOut
    case .closed: self = .closed
    default: self = .unreachable
    }
  }

  init(_ failure: LeafFailure) {
    switch failure {
    case .network(let error): self.init(error)
    case .proxyAuthentication: self = .proxy
    case .proxy(let failure): self = LinkFailure(failure) ?? .proxy
    case .webSocket(.refused(401, _)), .webSocket(.refused(403, _)): self = .authorization
    case .webSocket(let failure): self = LinkFailure(failure) ?? .protocolError
    case .closedByPeer, .outputOverflow: self = .closed
    case .noInfo, .noAnswerToConnect: self = .timedOut
    case .notALeafListener, .badInfo, .unknownCompression, .clusterNameInvalid, .protocolViolation, .compressionCorrupt:
      self = .protocolError
    case .tlsNotOffered, .tls: self = .tls
    case .pingsUnanswered: self = .silent
    case .loop, .sameCluster: self = .loop
    case .refusedByPeer(let text):
      let isAuthorization = ByteString(text).withView { $0.contains("Authorization") || $0.contains("Authentication") }
      self = isAuthorization ? .authorization : .closed
    case .refused, .accessChanged: self = .protocolError
    case .credentials: self = .authorization
    case .closedHere: self = .closedHere
    }
  }

  /// nil for what is not the network's doing.
  private init?(_ failure: WebFailure) {
    switch failure {
    case .network(let error): self.init(error)
    case .closed: self = .closed
    case .timedOut: self = .timedOut
    case .notHTTP, .refused, .notWebSocket: return nil
    }
  }
}
