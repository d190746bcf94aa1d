// A TCP connection on the event loop: reading into the loop's shared buffer, writing what collected in `output`, closing once.
import Bytes
import CLinux

/// A TCP connection. An idle one owns no buffer: reads land in the loop's buffer, and only what the delegate leaves is kept.
final class LinuxStream: ByteStream, EventSource {
  private let loop: LinuxLoop
  private let fd: Int32
  private var interest: UInt32 = Epoll.input
  private var wantsReading = true
  /// Set once no more bytes are to be read: the peer ended, or this side closes after its output.
  private var readingEnded = false
  private var closingAfterFlush = false
  private var wasAboveLowWater = false
  /// Bytes that the delegate has not used yet.
  private var leftover = InputBuffer()
  /// Armed only while the kernel takes no more.
  private var deadline: Timer?
  private var lastProgress_ns: Int64 = 0
  /// Since when what is written counts no more as progress: nobody may be kept waiting for ever by a peer that takes a little at a time.
  private var lastWritesSince_ns: Int64?

  init(loop: LinuxLoop, fd: Int32, remote: SocketAddress, local: SocketAddress) {
    self.loop = loop
    self.fd = fd
    linux_set_no_delay(fd)
    super.init(id: loop.nextStreamID(), remote: remote, local: local, output: OutputBuffer(), turn: loop.turn)
  }

  deinit {
    if !isClosed { _ = CLinux.close(fd) }
  }

  override var kernelRTT_us: Int? {
    if isClosed { return nil }
    let rtt_us = linux_rtt_us(fd)
    return rtt_us < 0 ? nil : Int(rtt_us)
  }

  override func setUserTimeout(_ timeout_ms: Int) {
    if !isClosed { linux_set_user_timeout(fd, UInt32(clamping: timeout_ms)) }
  }

  override var way: WayState? {
    var state = linux_way_state()
    guard !isClosed, linux_way(fd, &state) == 0 else { return nil }
    return WayState(
      rtt_us: Int(clamping: state.rtt_us), rttVariance_us: Int(clamping: state.rtt_variance_us),
      sinceSign_ms: Int(clamping: state.since_sign_ms), isWaiting: state.is_waiting != 0, acknowledged: state.acknowledged)
  }

  override func limitUnsent(_ bytes: Int) {
    if !isClosed { linux_limit_unsent(fd, UInt32(clamping: bytes)) }
  }

  func ready(_ events: UInt32) {
    if events & Epoll.input != 0, interest & Epoll.input != 0 {
      readAvailable()
    } else if events & (Epoll.error | Epoll.hangUp) != 0 {
      // Reading is paused, so no read would tell; these two events are reported regardless.
      let error = linux_socket_error(fd)
      finish(error == 0 ? .peerClosed : .failed(NetworkError(errno: error)))
    }
    if events & Epoll.output != 0, !isClosed { flush() }
  }

  // MARK: Reading

  override func setReading(_ reading: Bool) {
    guard reading != wantsReading, !isClosed else { return }
    wantsReading = reading
    updateInterest()
    if reading, leftover.count > 0 { loop.nextTurn { self.showLeftover() } }
  }

  private func readAvailable() {
    var budget = LinuxLoop.readBudget
    while budget > 0, wantsReading, !readingEnded, !isClosed {
      // A small leftover goes in front of the shared buffer; behind a large one the bytes are read directly, so that a
      // large payload is moved once and not once for every read.
      let shared = leftover.count <= LinuxLoop.headroom && max(readMinimum, leftover.count) <= LinuxLoop.readSize
      let target: UnsafeMutablePointer<UInt8>
      let room: Int
      if shared {
        target = loop.readBuffer + leftover.count
        room = LinuxLoop.readSize
      } else {
        leftover.reserve(leftover.count < readMinimum ? readMinimum : leftover.count + LinuxLoop.readSize)
        target = leftover.end
        room = leftover.capacity - leftover.count
      }
      let got = Int(linux_receive(fd, target, room))
      guard got > 0 else {
        readFailed(got)
        return
      }
      budget -= got
      bytesRead += Int64(got)
      if shared {
        let kept = leftover.view
        if !kept.isEmpty { memcpy(loop.readBuffer, kept.base, kept.count) }
        showShared(kept.count + got)
      } else {
        leftover.added(got)
        showLeftover()
      }
      if got < room { return }
    }
  }

  private func readFailed(_ result: Int) {
    if result == 0 {
      // What was answered to the last bytes in this turn still leaves before the close.
      readingEnded = true
      updateInterest()
      loop.nextTurn { self.finish(.peerClosed) }
      return
    }
    let error = linux_errno()
    if error != EAGAIN { finish(.failed(NetworkError(errno: error))) }
  }

  /// Shows the delegate `count` bytes in the loop's buffer and keeps what it leaves.
  private func showShared(_ count: Int) {
    let used = count < readMinimum ? 0 : show(ByteView(base: loop.readBuffer, count: count))
    if isClosed { return }
    let rest = count - used
    if rest == 0 {
      leftover.release()
    } else {
      leftover.clear()
      leftover.append(ByteView(base: loop.readBuffer + used, count: rest), room: readMinimum)
    }
  }

  /// Shows the delegate what it left before, and what was read behind it.
  private func showLeftover() {
    guard !isClosed, wantsReading, leftover.count > 0, leftover.count >= readMinimum else { return }
    let used = show(leftover.view)
    if isClosed { return }
    leftover.use(used)
    if leftover.count == 0 { leftover.release() }
  }

  private func show(_ bytes: ByteView) -> Int {
    guard let delegate else {
      // Nobody owns the stream any more.
      finish(.closedHere)
      return 0
    }
    let used = delegate.received(bytes, on: self)
    precondition(used >= 0 && used <= bytes.count, "a delegate used more bytes than it was shown")
    return used
  }

  // MARK: Writing

  override func flush() {
    if isClosed { return }
    if output.count > lowWater { wasAboveLowWater = true }
    guard write() else { return }
    while wantsToGiveMore, output.isEmpty, !closingAfterFlush {
      wantsToGiveMore = false
      delegate?.mayGiveMore(self)
      if isClosed || output.isEmpty { break }
      guard write() else { return }
    }
    if isClosed { return }
    if output.overflowed {
      finish(.outputOverflow)
      return
    }
    if closingAfterFlush, output.isEmpty {
      finish(.closedHere)
      return
    }
    updateInterest()
    if wasAboveLowWater, output.count <= lowWater {
      wasAboveLowWater = false
      delegate?.drained(self)
    }
  }

  /// Writes until the kernel takes no more; false when the connection broke.
  private func write() -> Bool {
    while !output.isEmpty {
      var count = 0
      var offered = 0
      output.forEachPiece(limit: LinuxLoop.piecesMax) { piece in
        loop.pieces[count] = iovec(iov_base: UnsafeMutableRawPointer(mutating: piece.base), iov_len: piece.count)
        count += 1
        offered += piece.count
      }
      let sent = Int(linux_send(fd, loop.pieces, Int32(count)))
      if sent < 0 {
        let error = linux_errno()
        if error == EAGAIN { break }
        finish(.failed(NetworkError(errno: error)))
        return false
      }
      output.consume(sent)
      bytesWritten += Int64(sent)
      if deadline != nil { lastProgress_ns = loop.clock.monotonic_ns }
      if sent < offered { break }
    }
    return true
  }

  private func startDeadline() {
    guard deadline == nil else { return }
    let timer = Timer()
    deadline = timer
    lastProgress_ns = loop.clock.monotonic_ns
    loop.timers.schedule(timer, at: due_ns) { [unowned(unsafe) self] in self.deadlineReached() }
    // Safe: the timer is cancelled before the stream goes (`finish`).
  }

  private var due_ns: Int64 { (lastWritesSince_ns ?? lastProgress_ns) + writeDeadline_ns }

  private func deadlineReached() {
    guard let timer = deadline else { return }
    let due_ns = due_ns
    if loop.clock.monotonic_ns >= due_ns {
      finish(.writeDeadline)
    } else {
      loop.timers.schedule(timer, at: due_ns) { [unowned(unsafe) self] in self.deadlineReached() }
    }
  }

  /// Asks epoll for what matters now, and runs the write deadline while output waits for the kernel.
  private func updateInterest() {
    if isClosed { return }
    var wanted: UInt32 = wantsReading && !readingEnded ? Epoll.input : 0
    if !output.isEmpty, !flushQueued {
      wanted |= Epoll.output
      startDeadline()
    } else if interest & Epoll.output != 0, !output.isEmpty {
      wanted |= Epoll.output
    } else if output.isEmpty, let timer = deadline {
      loop.timers.cancel(timer)
      deadline = nil
    }
    if wanted != interest {
      interest = wanted
      loop.change(fd, wanted)
    }
  }

  // MARK: Closing

  override func close() {
    if isClosed { return }
    if write() { finish(.closedHere) }
  }

  override func beginLastWrites() {
    if lastWritesSince_ns == nil { lastWritesSince_ns = loop.clock.monotonic_ns }
  }

  override func closeAfterFlush() {
    if isClosed { return }
    closingAfterFlush = true
    beginLastWrites()
    readingEnded = true
    updateInterest()
    wantsFlush()
  }

  private func finish(_ reason: CloseReason) {
    if isClosed { return }
    isClosed = true
    if reason == .peerClosed { _ = write() }
    if let timer = deadline { loop.timers.cancel(timer) }
    deadline = nil
    if reason == .closedHere {
      // Unread input would make the kernel answer with a reset, which can destroy what was just sent (RFC 1122, 4.2.2.13).
      linux_discard_input(fd)
    }
    output.removeAll()
    // Before the loop lets go of the stream, so that it lives until its owner has heard.
    loop.nextTurn {
      self.leftover.release()
      self.delegate?.closed(self, reason: reason)
      self.delegate = nil
    }
    loop.unwatch(fd)
    _ = CLinux.close(fd)
  }
}
