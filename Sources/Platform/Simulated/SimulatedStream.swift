// A connection of the simulation: ordered segments with latency, a window, loss, stalls and resets, delivered in random pieces.
import Bytes
import CLinux

/// One end of a simulated TCP connection.
final class SimulatedStream: ByteStream {
  /// Bytes that may be under way or wait in the peer's kernel; more stays in `output`.
  static let window = 256 * 1024
  /// Ethernet's segments, on lines of limited bandwidth.
  private static let segmentMax = 1448
  /// The first retransmission timeout; it doubles with every loss.
  static let retransmission_ns = 200 * millisecond_ns
  /// How long the kernel retries when no user timeout is set (tcp_retries2 = 15 gives about 924 s).
  static let patience_ns = 924 * second_ns

  enum Segment {
    case data([UInt8])
    case finish
    case reset
  }

  let process: SimulatedProcess
  let remoteMachine: SimulatedMachine
  var peer: SimulatedStream?
  private var userTimeout_ns: Int64 = 0
  // What this end sends.
  private var inWindow = 0
  private var unsentMax = Int.max
  private let unsentTimer = Timer()
  /// When something last came from the other end.
  private var sign_ns: Int64 = 0
  private var lastArrival_ns: Int64 = 0
  private var lineBusyUntil_ns: Int64 = 0
  /// Segments that nobody has got while the way was interrupted, and acknowledgements for the peer.
  private var stalled: [Segment] = []
  private var stalledSince_ns: Int64 = 0
  private var stalledCredit = 0
  private var deadline: Timer?
  private var lastProgress_ns: Int64 = 0
  private var lastWritesSince_ns: Int64?
  private var closingAfterFlush = false
  private var wasAboveLowWater = false
  // What this end receives.
  private var wantsReading = true
  private var kernel: [UInt8] = []
  private var leftover: [UInt8] = []
  private var peerFinished = false

  private var simulation: Simulation { process.machine.simulation }
  private var link: SimulatedLink { simulation.link(process.machine, remoteMachine) }

  init(process: SimulatedProcess, remoteMachine: SimulatedMachine, remote: SocketAddress, local: SocketAddress) {
    self.process = process
    self.remoteMachine = remoteMachine
    super.init(
      id: process.machine.simulation.nextStreamID(), remote: remote, local: local, output: OutputBuffer(), turn: process.turn)
    sign_ns = process.machine.simulation.now_ns
    process.machine.simulation.streams.append(self)
  }

  func connects(_ one: SimulatedMachine, _ other: SimulatedMachine) -> Bool {
    (process.machine === one && remoteMachine === other) || (process.machine === other && remoteMachine === one)
  }

  override var kernelRTT_us: Int? { isClosed ? nil : Int(link.latency_ns * 2 / 1000) }

  override func setUserTimeout(_ timeout_ms: Int) { userTimeout_ns = Int64(timeout_ms) * millisecond_ns }

  override var way: WayState? {
    if isClosed { return nil }
    let rtt_us = Int(link.latency_ns * 2 / 1000)
    return WayState(
      rtt_us: rtt_us, rttVariance_us: rtt_us / 8, sinceSign_ms: Int((simulation.now_ns - sign_ns) / millisecond_ns),
      isWaiting: inWindow > 0, acknowledged: bytesWritten - Int64(inWindow))
  }

  override func limitUnsent(_ bytes: Int) { unsentMax = bytes }

  /// Nothing arrives at the peer earlier than this.
  func startsSending(after_ns: Int64) { lastArrival_ns = simulation.now_ns + after_ns }

  // MARK: Sending

  override func flush() {
    if isClosed { return }
    if output.count > lowWater { wasAboveLowWater = true }
    transmit()
    while wantsToGiveMore, output.isEmpty, !closingAfterFlush {
      wantsToGiveMore = false
      delegate?.mayGiveMore(self)
      if isClosed || output.isEmpty { break }
      transmit()
    }
    if isClosed { return }
    if output.overflowed {
      end(.outputOverflow)
      return
    }
    if closingAfterFlush, output.isEmpty {
      end(.closedHere)
      return
    }
    watchProgress()
    if wasAboveLowWater, output.count <= lowWater {
      wasAboveLowWater = false
      delegate?.drained(self)
    }
  }

  private func transmit() {
    while !output.isEmpty, inWindow < Self.window {
      let unsent = unsent
      guard unsent < unsentMax else {
        retryWhenSent(unsent)
        return
      }
      let room = min(output.count, Self.window - inWindow, unsentMax - unsent)
      var bytes: [UInt8] = []
      bytes.reserveCapacity(room)
      output.forEachPiece(limit: 1) { bytes.append($0.prefix(min(room, $0.count))) }
      output.consume(bytes.count)
      bytesWritten += Int64(bytes.count)
      inWindow += bytes.count
      lastProgress_ns = simulation.now_ns
      send(pieces: bytes)
    }
  }

  /// Bytes that the line has not taken yet.
  private var unsent: Int {
    guard let bandwidth = link.bandwidth, lineBusyUntil_ns > simulation.now_ns else { return 0 }
    return Int((lineBusyUntil_ns - simulation.now_ns) * Int64(bandwidth) / second_ns)
  }

  /// Goes on when half of what waits for the line has left.
  private func retryWhenSent(_ unsent: Int) {
    guard !unsentTimer.isScheduled else { return }
    let delay_ns = max(Int64(unsent / 2) * second_ns / Int64(max(link.bandwidth ?? 1, 1)), millisecond_ns)
    process.timers.schedule(unsentTimer, at: process.machine.monotonic_ns + delay_ns) { if !self.isClosed { self.flush() } }
  }

  /// Receivers must cope with every way to cut a stream into reads: mostly large pieces, sometimes tiny ones.
  private func send(pieces bytes: [UInt8]) {
    let entropy = simulation.networkEntropy
    var start = 0
    var cuts = entropy.below(4)
    while start < bytes.count {
      let left = bytes.count - start
      var size = left
      if cuts > 0, left > 1 {
        cuts -= 1
        size = entropy.oneIn(3) ? 1 + entropy.below(min(left, 16)) : 1 + entropy.below(left)
      }
      // What a slow line has taken arrives bit by bit, and not when the last of it has left.
      if link.bandwidth != nil { size = min(size, Self.segmentMax) }
      send(.data(start == 0 && size == bytes.count ? bytes : [UInt8](bytes[start..<(start + size)])))
      start += size
    }
  }

  private func send(_ segment: Segment) {
    let link = link
    let entropy = simulation.networkEntropy
    var departure_ns = simulation.now_ns
    if let bandwidth = link.bandwidth, case .data(let bytes) = segment {
      departure_ns = max(departure_ns, lineBusyUntil_ns) + Int64(bytes.count) * second_ns / Int64(max(1, bandwidth))
      lineBusyUntil_ns = departure_ns
    }
    var delay_ns = link.latency_ns + (link.jitter_ns > 0 ? entropy.within(0...link.jitter_ns) : 0)
    var timeout_ns = Self.retransmission_ns
    while entropy.chance(millionths: min(link.loss_millionths, 900_000)), timeout_ns < 60 * second_ns {
      delay_ns += timeout_ns
      timeout_ns *= 2
    }
    lastArrival_ns = max(lastArrival_ns, departure_ns + delay_ns)
    simulation.at(lastArrival_ns) { self.arrive(segment) }
  }

  /// `segment` reaches the other end, or finds the way interrupted.
  private func arrive(_ segment: Segment) {
    if link.isPartitioned || !remoteMachine.isPowered || !stalled.isEmpty {
      stall(segment)
      return
    }
    guard let peer, !peer.isClosed else {
      // Nobody has this connection there. A kernel answers bytes with a reset, and an end or a reset with nothing.
      if case .data = segment { process.after(link.latency_ns) { self.fail(.reset) } }
      return
    }
    switch segment {
    case .data(let bytes):
      peer.kernel += bytes
      peer.pull()
    case .finish:
      peer.peerFinished = true
      peer.pull()
    case .reset:
      peer.fail(.reset)
    }
  }

  private func stall(_ segment: Segment) {
    stalled.append(segment)
    guard stalled.count == 1 else { return }
    stalledSince_ns = simulation.now_ns
    let since_ns = stalledSince_ns
    process.after(userTimeout_ns > 0 ? userTimeout_ns : Self.patience_ns) {
      if !self.stalled.isEmpty, self.stalledSince_ns == since_ns { self.fail(.timedOut) }
    }
  }

  /// The way may be free again: sends what stalled, within a second (retransmission timers have backed off meanwhile).
  func resend() {
    guard !stalled.isEmpty || stalledCredit > 0 else { return }
    simulation.after(simulation.networkEntropy.within(0...second_ns)) {
      if self.link.isPartitioned || !self.remoteMachine.isPowered { return }
      let segments = self.stalled
      self.stalled = []
      for segment in segments { self.arrive(segment) }
      let credit = self.stalledCredit
      self.stalledCredit = 0
      self.credit(credit)
    }
  }

  /// The peer's kernel has taken `count` bytes from the window.
  private func credit(_ count: Int) {
    if isClosed || count == 0 { return }
    inWindow -= count
    lastProgress_ns = simulation.now_ns
    sign_ns = simulation.now_ns
    if !output.isEmpty { flush() }
  }

  private func watchProgress() {
    if output.isEmpty {
      if let timer = deadline { process.timers.cancel(timer) }
      deadline = nil
    } else if deadline == nil {
      lastProgress_ns = simulation.now_ns
      let timer = Timer()
      deadline = timer
      armDeadline(timer)
    }
  }

  private var due_ns: Int64 { (lastWritesSince_ns ?? lastProgress_ns) + writeDeadline_ns }

  private func armDeadline(_ timer: Timer) {
    let machine = process.machine
    let due_ns = due_ns
    process.timers.schedule(timer, at: machine.monotonic_ns + (due_ns - simulation.now_ns)) {
      if self.simulation.now_ns >= self.due_ns {
        self.end(.writeDeadline)
      } else {
        self.armDeadline(timer)
      }
    }
  }

  // MARK: Receiving

  override func setReading(_ reading: Bool) {
    guard reading != wantsReading, !isClosed else { return }
    wantsReading = reading
    if reading { process.after(0) { self.pull() } }
  }

  /// Takes what the kernel holds and shows it to the owner.
  private func pull() {
    guard wantsReading, !closingAfterFlush, !isClosed, process.isAlive else { return }
    let taken = kernel.count
    if taken > 0 {
      sign_ns = simulation.now_ns
      leftover += kernel
      kernel = []
      bytesRead += Int64(taken)
      acknowledge(taken)
    }
    if !leftover.isEmpty, leftover.count >= readMinimum {
      guard let delegate else {
        end(.closedHere)
        return
      }
      let shown = leftover
      let used = shown.withView { delegate.received($0, on: self) }
      precondition(used >= 0 && used <= shown.count, "a delegate used more bytes than it was shown")
      if isClosed { return }
      if used == shown.count { leftover = [] } else if used > 0 { leftover.removeFirst(used) }
    }
    if peerFinished, wantsReading { process.after(0) { self.end(.peerClosed) } }
  }

  private func acknowledge(_ count: Int) {
    let way_ns = link.latency_ns
    simulation.after(way_ns) {
      guard let peer = self.peer else { return }
      if self.link.isPartitioned || !peer.process.machine.isPowered {
        peer.stalledCredit += count
      } else {
        peer.credit(count)
      }
    }
  }

  // MARK: Ending

  override func close() {
    if isClosed { return }
    transmit()
    end(.closedHere)
  }

  override func beginLastWrites() {
    if lastWritesSince_ns == nil { lastWritesSince_ns = simulation.now_ns }
  }

  override func closeAfterFlush() {
    if isClosed { return }
    closingAfterFlush = true
    beginLastWrites()
    wantsFlush()
  }

  /// Ends this end and tells the peer by an orderly close.
  private func end(_ reason: CloseReason) {
    if isClosed { return }
    send(.finish)
    close(reason)
  }

  private func fail(_ error: NetworkError) {
    if !isClosed, process.isAlive { close(.failed(error)) }
  }

  private func close(_ reason: CloseReason) {
    vanish()
    simulation.note(process.machine, "connection \(id) ends")
    process.after(0) {
      self.delegate?.closed(self, reason: reason)
      self.delegate = nil
    }
  }

  private func vanish() {
    isClosed = true
    if let timer = deadline { process.timers.cancel(timer) }
    deadline = nil
    process.timers.cancel(unsentTimer)
    output.removeAll()
    kernel = []
    leftover = []
    simulation.streams.removeAll { $0 === self }
    // Two ends that are both gone need not hold each other.
    if let other = peer, other.isClosed {
      other.peer = nil
      peer = nil
    }
  }

  /// Both ends hear a reset at once; with `tellHere` false only the peer does.
  func reset(tellHere: Bool = true) {
    let peer = peer
    process.machine.simulation.after(0) { peer?.fail(.reset) }
    if tellHere {
      fail(.reset)
    } else if !isClosed {
      vanish()
    }
  }

  /// The process of this end is gone; with the power on, its kernel closes the connection.
  func processEnded(power: Bool) {
    if isClosed { return }
    if power { send(kernel.isEmpty ? .finish : .reset) }
    vanish()
    delegate = nil
  }
}
