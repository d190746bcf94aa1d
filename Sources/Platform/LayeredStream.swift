// A stream within a stream: what an owner reads and writes is carried by another stream in a form of its own (WebSocket frames, TLS
// records). Here is what all such layers have in common: the input that waits for the owner, back-pressure both ways, one close. The
// form itself is the subclass's. Layers stack, and as they need a ByteStream only, they run in the simulation as on the kernel's sockets.
import Bytes
import CLinux

/// A stream whose bytes another stream carries.
///
/// The layer owns `inner`: it is its delegate, and its owner deals with the layer only. An idle layer holds no buffer.
open class LayeredStream: ByteStream, ByteStreamDelegate {
  /// The layer hands down output until so much waits below. The rest waits in `output`, where its owner sees it and `output.limit`
  /// bounds it. Above the low-water mark of `inner`, so that `drained` comes.
  public static let innerOutputMax = 128 * 1024

  public final let inner: ByteStream
  /// What the inner stream carried and the owner has not used yet.
  private final var input = InputBuffer()
  private final var wantsReading = true
  private final var isFlushing = false
  /// No more is read; the stream closes once `output` is handed down.
  private final var isClosing = false
  /// The stream closes once the owner has used what it was sent.
  private final var endsAfterInput = false
  private final var wasAboveLowWater = false
  /// What the owner is told, when it is not what the inner stream says.
  private final var ending: CloseReason?

  /// Takes `inner` over. Bytes that `inner` brings from now on go through the layer.
  public init(over inner: ByteStream) {
    self.inner = inner
    super.init(
      id: inner.id, remote: inner.remote, local: inner.local, output: OutputBuffer(limit: inner.output.limit), turn: inner.turn)
    writeDeadline_ns = inner.writeDeadline_ns
    inner.delegate = self
    inner.readMinimum = 1
  }

  // MARK: For the subclass

  /// Takes apart what `inner` brought, and passes on with `carried` what it carries. Returns how many bytes from the front were used.
  open func unwrap(_ bytes: ByteView) -> Int { preconditionFailure("a layer must say what it carries") }

  /// Moves bytes from `output` to `inner.output` in the layer's form, until `inner.output` holds `innerOutputMax`, nothing is left, or
  /// nothing may go yet. Never flushes.
  open func wrap() { preconditionFailure("a layer must say how it carries") }

  /// Appends the layer's last words to `inner.output`. Called once, behind all output; not when the inner stream is gone.
  open func farewell() {}

  /// What the owner is told when the inner stream ends for `reason` without this side's doing.
  open func meaning(of reason: CloseReason) -> CloseReason { reason }

  /// Makes room for `size` bytes for the owner; `fill` writes there and returns how many it used. They are shown when `unwrap` returns.
  /// `expecting`: so many may come in all before it does.
  public final func carried(_ size: Int, expecting: Int = 0, _ fill: (UnsafeMutablePointer<UInt8>) -> Int) {
    input.reserve(max(input.count + max(size, expecting), readMinimum))
    input.added(fill(input.end))
  }

  /// Closes once the owner has used what came before; it is told `reason`. For an end or an error found while unwrapping.
  public final func endAfterInput(_ reason: CloseReason) {
    guard !endsAfterInput, !isClosing else { return }
    endsAfterInput = true
    ending = reason
  }

  /// Closes at once, without what still waits; the owner is told `reason`. For what goes wrong outside of unwrapping.
  public final func end(_ reason: CloseReason) {
    if isClosed { return }
    ending = reason
    output.removeAll()
    close()
  }

  // MARK: Reading

  public final func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard !isClosed, !isClosing, !endsAfterInput else { return bytes.count }
    let used = unwrap(bytes)
    showInput()
    return isClosed ? bytes.count : used
  }

  private final func showInput() {
    if wantsReading, !isClosed, !isClosing, input.count > 0, input.count >= readMinimum {
      guard let delegate else { return close() }  // nobody owns the stream any more
      let used = delegate.received(input.view, on: self)
      precondition(used >= 0 && used <= input.count, "a delegate used more bytes than it was shown")
      input.use(used)
    }
    if input.count == 0 { input.release() }
    if endsAfterInput, wantsReading, !isClosed, !isClosing {
      isClosing = true
      wantsFlush()
    }
  }

  public final override func setReading(_ reading: Bool) {
    guard reading != wantsReading, !isClosed else { return }
    wantsReading = reading
    inner.setReading(reading)
    if reading { turn.defer { self.showInput() } }
  }

  // MARK: Writing

  public final override func flush() {
    if isClosed || isFlushing { return }
    if output.count > lowWater { wasAboveLowWater = true }
    inner.writeDeadline_ns = writeDeadline_ns
    handDown()
    giveMore()
    if isClosed { return }
    if output.overflowed {
      ending = .outputOverflow
      inner.close()
      gone()
    } else if isClosing, output.isEmpty {
      farewell()
      inner.closeAfterFlush()
      gone()
    } else if wasAboveLowWater, output.count <= lowWater {
      wasAboveLowWater = false
      delegate?.drained(self)
    }
  }

  /// Hands output down and has it written, as long as the inner stream takes it.
  private final func handDown() {
    if inner.isClosed { return }
    isFlushing = true
    var waiting: Int
    repeat {
      waiting = output.count
      wrap()
      inner.flush()
    } while output.count < waiting && !output.isEmpty && inner.output.count < Self.innerOutputMax && !inner.isClosed
    isFlushing = false
  }

  public final func drained(_ stream: ByteStream) { flush() }
  public final func mayGiveMore(_ stream: ByteStream) { flush() }

  /// Lets an owner that keeps output back add to it, once nothing waits below either.
  private final func giveMore() {
    while wantsToGiveMore, output.isEmpty, !isClosed, !isClosing {
      guard inner.waiting == 0 else {
        inner.wantsToGiveMore = true
        return
      }
      wantsToGiveMore = false
      delegate?.mayGiveMore(self)
      if isClosed || output.isEmpty { return }
      handDown()
    }
  }

  // MARK: Closing

  public final override func close() {
    if isClosed { return }
    if ending == nil { ending = .closedHere }
    if !isFlushing { handDown() }
    if isClosed { return }
    farewell()
    inner.close()
    gone()
  }

  public final override func beginLastWrites() { inner.beginLastWrites() }

  public final override func closeAfterFlush() {
    if isClosed { return }
    isClosing = true
    beginLastWrites()
    wantsFlush()
  }

  public final func closed(_ stream: ByteStream, reason: CloseReason) {
    gone()
    input.release()
    delegate?.closed(self, reason: ending ?? meaning(of: reason))
    delegate = nil
  }

  /// Nothing is read or written any more; the owner is told when the inner stream has closed.
  private final func gone() {
    isClosed = true
    output.removeAll()
  }

  // MARK: As below

  public final override var bytesRead: Int64 {
    get { inner.bytesRead }
    set { inner.bytesRead = newValue }
  }
  public final override var bytesWritten: Int64 {
    get { inner.bytesWritten }
    set { inner.bytesWritten = newValue }
  }
  public final override var kernelRTT_us: Int? { inner.kernelRTT_us }
  public final override func setUserTimeout(_ timeout_ms: Int) { inner.setUserTimeout(timeout_ms) }
  public final override var waiting: Int { output.count + inner.waiting }
  public final override var way: WayState? { inner.way }
  public final override func limitUnsent(_ bytes: Int) { inner.limitUnsent(bytes) }
}
