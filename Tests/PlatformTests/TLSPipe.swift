// Two TLS streams with a pipe between them, through which a test sees, changes and cuts every byte.
import Bytes

@testable import Platform

/// One end of a pipe.
final class PipeStream: ByteStream {
  weak var peer: PipeStream?
  /// What is done to bytes on their way out.
  var onSend: (inout [UInt8]) -> Void = { _ in }
  /// Pieces in which the other end gets them.
  var pieceMax = Int.max
  private var inbox: [UInt8] = []
  private var shown: [UInt8] = []
  private var ending: CloseReason?
  private var closesAfterFlush = false
  private(set) var isReading = true
  /// With `false` nothing leaves: the other end does not read.
  var writes = true

  init(id: Int, turn: TurnQueue) {
    let address = SocketAddress(address: [10, 0, 0, UInt8(id)], port: 1000)
    super.init(id: id, remote: address, local: address, output: OutputBuffer(), turn: turn)
  }

  override func flush() {
    if isClosed { return }
    while writes, !output.isEmpty {
      var bytes: [UInt8] = []
      output.forEachPiece(limit: 1) { bytes = $0.bytes }
      output.consume(bytes.count)
      bytesWritten += Int64(bytes.count)
      onSend(&bytes)
      peer?.inbox += bytes
    }
    if output.overflowed { return finish(.outputOverflow) }
    if closesAfterFlush, output.isEmpty { finish(.closedHere) }
  }
  override func close() {
    flush()
    finish(.closedHere)
  }
  override func closeAfterFlush() {
    closesAfterFlush = true
    wantsFlush()
  }
  override func setReading(_ reading: Bool) {
    if reading, !isReading { showsAgain = true }
    isReading = reading
  }
  /// What was left is shown again when reading goes on.
  private var showsAgain = false

  /// The connection breaks, for both.
  func cut() {
    finish(.failed(.reset))
    peer?.finish(.peerClosed)
  }

  private func finish(_ reason: CloseReason) {
    guard !isClosed else { return }
    isClosed = true
    ending = reason
    output.removeAll()
    if reason != .peerClosed { peer?.peerEnds = true }
  }
  private var peerEnds = false

  /// Shows what has arrived; false when there is nothing to do.
  func step() -> Bool {
    if let ending {
      self.ending = nil
      delegate?.closed(self, reason: ending)
      delegate = nil
      return true
    }
    if isClosed { return false }
    if isReading, !inbox.isEmpty || (showsAgain && !shown.isEmpty) {
      showsAgain = false
      let taken = min(inbox.count, pieceMax)
      shown += inbox[..<taken]
      inbox.removeFirst(taken)
      bytesRead += Int64(taken)
      let view = shown
      let used = view.withView { delegate?.received($0, on: self) ?? $0.count }
      shown.removeFirst(used)
      return true
    }
    if peerEnds, inbox.isEmpty {
      finish(.peerClosed)
      return true
    }
    return false
  }
}

/// A client and a server.
final class TLSPair {
  let simulation = Simulation(seed: 1)
  let host: Host
  let clientPipe: PipeStream
  let serverPipe: PipeStream
  let client: TLSStream
  let server: TLSStream
  let clientSide = SecureRecorder()
  let serverSide = SecureRecorder()

  init(
    _ clientContext: TLSContext = TLSCertificates.client(), _ serverContext: TLSContext = TLSCertificates.server(),
    name: ByteString? = "hub.example"
  ) {
    host = simulation.machine("one").host
    clientPipe = PipeStream(id: 1, turn: host.turn)
    serverPipe = PipeStream(id: 2, turn: host.turn)
    clientPipe.peer = serverPipe
    serverPipe.peer = clientPipe
    client = TLSStream(over: clientPipe, context: clientContext, serverName: name, host: host, timeout_ns: 2 * second_ns)
    server = TLSStream(over: serverPipe, context: serverContext, serverName: nil, host: host, timeout_ns: 2 * second_ns)
    client.delegate = clientSide
    server.delegate = serverSide
  }

  /// Begins both handshakes and runs until nothing moves any more.
  @discardableResult
  func begin() -> TLSPair {
    server.start()
    client.start()
    run()
    return self
  }

  func run() {
    var steps = 0
    while host.turn.hasWork || clientPipe.step() || serverPipe.step() {
      host.turn.end()
      steps += 1
      precondition(steps < 100_000, "the pipe never rests")
    }
  }

  func send(_ bytes: [UInt8], from stream: TLSStream) {
    stream.output.append(bytes)
    stream.wantsFlush()
  }
}

/// What the owner of a TLS stream is told.
final class SecureRecorder: ByteStreamDelegate {
  var bytes: [UInt8] = []
  var reasons: [CloseReason] = []
  var securedCount = 0
  var drainedCount = 0
  /// Uses only whole units of this size.
  var unit = 1
  var onReceive: ((ByteStream) -> Void)?

  func received(_ view: ByteView, on stream: ByteStream) -> Int {
    let used = view.count / unit * unit
    bytes.append(view.prefix(used))
    onReceive?(stream)
    return used
  }
  var onSecured: ((ByteStream) -> Void)?
  func secured(_ stream: ByteStream) {
    securedCount += 1
    onSecured?(stream)
  }
  func drained(_ stream: ByteStream) { drainedCount += 1 }
  func closed(_ stream: ByteStream, reason: CloseReason) {
    reasons.append(reason)
    stream.delegate = nil
  }

  /// The TLS error that closed the stream.
  var error: TLSError? {
    if case .tls(let error)? = reasons.first { error } else { nil }
  }
}
