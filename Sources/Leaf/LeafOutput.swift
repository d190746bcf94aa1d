// What a leaf link sends: operations of the leaf protocol, in three lanes, plain or compressed, as fast as the link may. What the
// operations say is in LeafOutput+Operations.swift.
import Broker
import Bytes
import Compression
import Platform

/// The sending half of a leaf link.
///
/// PING and PONG go ahead of everything; messages and interest, in their order, ahead of backlog: what forwards and consumers make of stored
/// messages. Lanes are held back while the stream has enough to write, so that what comes later can still go ahead; what collects
/// meanwhile is compressed together. On a plain link that is neither limited nor metered only backlog is held back.
final class LeafOutput {
  /// While so much waits to be written nothing is added.
  static let streamBytesMax = 16 * 1024
  /// Of what may be compressed together so much leaves at a time.
  private static let segmentBytes = 64 * 1024
  private static let backlogSegmentBytes = 16 * 1024
  /// Backlog gets at least one of so many bytes: the rest goes ahead of it, but it never stands still.
  private static let aheadShare = 8
  /// Small flushes wait for company until so much has collected.
  private static let coalescedBytes = 16 * 1024
  /// Whoever makes backlog is asked for more when less than this waits.
  static let backlogLow = 8 * 1024

  private let host: Host
  /// Where it goes; replaced once when TLS begins.
  var stream: ByteStream
  private let scratch: S2Scratch
  private var urgent = LeafLane(segmentBytes: segmentBytes)
  /// nil where operations go to the stream at once.
  private var ordinary: LeafLane?
  private var backlog: LeafLane
  private var encoder: LeafEncoder?
  private var bucket: TokenBucket?
  private let segmentBytes: Int
  /// How long a small flush waits for company after the last one; 0 for not at all.
  var coalesce_ns: Int64 = 0
  private var flushed_ns = Int64.min / 2
  /// Bytes that went ahead of backlog since some of that left.
  private var ahead = 0
  private let timer = Timer()
  private var hungry: [() -> Void] = []

  /// Bytes of operations before compression.
  private(set) var plainBytes: Int64 = 0
  /// Where the last of the backlog ends among the bytes of the stream.
  private(set) var backlogEnd: Int64 = 0
  /// The same of the last PING; nil before the stream has it.
  private(set) var pingEnd: Int64?
  private var hasPing = false
  /// A PONG waits for the next flush.
  var hasPong = false

  init(host: Host, stream: ByteStream, scratch: S2Scratch, options: LeafOptions) {
    self.host = host
    self.stream = stream
    self.scratch = scratch
    var segment = Self.segmentBytes
    if let rate = options.rateLimit {
      bucket = TokenBucket(rate: rate, now_ns: host.clock.monotonic_ns)
      // A quarter of a second is as long as live traffic should wait for what has begun to leave.
      segment = min(max(Int(clamping: rate / 4), 1024), segment)
    }
    segmentBytes = segment
    backlog = LeafLane(segmentBytes: min(segment, Self.backlogSegmentBytes))
    if options.rateLimit != nil || options.isMetered { ordinary = LeafLane(segmentBytes: segment) }
  }

  /// From now on everything is compressed.
  func compress(_ encoder: LeafEncoder) {
    precondition(self.encoder == nil, "a link switches to compression once")
    // What was said before leaves as it is.
    while ordinary?.isEmpty == false { ordinary!.takeSegment { stream.output.append($0) } }
    stream.wantsFlush()
    if ordinary == nil { ordinary = LeafLane(segmentBytes: segmentBytes) }
    self.encoder = encoder
  }

  /// How hard the encoder tries; may change at any time.
  var level: CompressionLevel {
    get { encoder?.level ?? .uncompressed }
    set { encoder?.level = newValue }
  }

  /// Bytes that wait: in lanes and for the kernel.
  var pending: Int { stream.waiting + urgent.count + (ordinary?.count ?? 0) + backlog.count }
  /// Bytes of messages and interest that wait to be given to the stream.
  var ordinaryPending: Int { ordinary?.count ?? stream.output.count }
  var backlogPending: Int { backlog.count }
  /// Bytes a second that may leave; nil for as many as can.
  var rateLimit: Int64? { bucket?.rate }

  // MARK: Adding

  enum Lane {
    /// Ahead of everything; has no order to anything else.
    case urgent
    case ordinary
    case backlog
  }

  /// The buffer where the next operation of `lane` is to be written; `added` follows.
  @inline(__always) func target(_ lane: Lane) -> OutputBuffer {
    switch lane {
    case .urgent: ordinary == nil ? stream.output : urgent.buffer
    case .ordinary: ordinary?.buffer ?? stream.output
    case .backlog: backlog.buffer
    }
  }

  /// `size` bytes of an operation were written to the target; `ends`: it is whole.
  @inline(__always) func added(_ size: Int, _ lane: Lane, ends: Bool = true) {
    plainBytes += Int64(size)
    switch lane {
    case .urgent: if ordinary != nil { urgent.added(size, ends: ends) }
    case .ordinary: ordinary?.added(size, ends: ends)
    case .backlog: backlog.added(size, ends: ends)
    }
    stream.wantsFlush()
  }

  /// The last operation was a PING.
  func pingWaits() {
    hasPing = true
    pingEnd = nil
    if ordinary == nil { notePing() }
  }

  private func notePing() {
    hasPing = false
    pingEnd = stream.bytesWritten + Int64(stream.waiting)
  }

  /// Calls `work` when little backlog is left, once; at once if so little is there.
  func whenBacklogIsLow(_ work: @escaping () -> Void) {
    hungry.append(work)
    if backlog.count < Self.backlogLow { feed() }
  }

  // MARK: Giving

  private var hasWaiting: Bool { !urgent.isEmpty || ordinary?.isEmpty == false || !backlog.isEmpty }

  /// Gives the stream what may leave now. Called at the end of a turn and when the stream has written all that it had.
  func flush() {
    hasPong = false
    guard hasWaiting else { return }
    var hasTakenBacklog = false
    let now_ns = bucket == nil && coalesce_ns == 0 ? 0 : host.clock.monotonic_ns
    let isHeld = urgent.isEmpty && heldForCompany(now_ns)
    while !urgent.isEmpty { take(&urgent) }
    while !isHeld, let lane = nextLane {
      if stream.waiting >= Self.streamBytesMax {
        stream.wantsToGiveMore = true
        break
      }
      if bucket?.isOpen(now_ns: now_ns) == false {
        wake(at: bucket!.opens_ns)
        break
      }
      if lane == .ordinary {
        if !backlog.isEmpty { ahead += ordinary!.nextSegmentBytes }
        take(&ordinary!)
      } else {
        ahead = 0
        hasTakenBacklog = true
        take(&backlog)
      }
      flushed_ns = now_ns
    }
    encoder?.finish(scratch: scratch) { stream.output.append($0) }
    if hasPing { notePing() }
    if hasTakenBacklog { backlogEnd = stream.bytesWritten + Int64(stream.waiting) }
    if backlog.count < Self.backlogLow, !hungry.isEmpty { feed() }
  }

  /// Backlog's turn comes when nothing else waits, or when enough went ahead of it.
  private var nextLane: Lane? {
    if backlog.isEmpty { return ordinary?.isEmpty == false ? .ordinary : nil }
    return ordinary?.isEmpty == false && ahead < Self.aheadShare * backlog.nextSegmentBytes ? .ordinary : .backlog
  }

  private func take(_ lane: inout LeafLane) {
    let before = stream.output.count
    if let encoder {
      lane.takeSegment { piece in encoder.add(piece, scratch: scratch) { stream.output.append($0) } }
      // With a limit each segment is a flush of its own, so that it is known what it costs.
      if bucket != nil { encoder.finish(scratch: scratch) { stream.output.append($0) } }
    } else {
      lane.takeSegment { stream.output.append($0) }
    }
    bucket?.spend(stream.output.count - before)
  }

  /// Whether little waits, and so little time has passed since the last flush that more may come to go with it.
  private func heldForCompany(_ now_ns: Int64) -> Bool {
    guard coalesce_ns > 0, now_ns - flushed_ns < coalesce_ns, (ordinary?.count ?? 0) + backlog.count < Self.coalescedBytes else {
      return false
    }
    wake(at: flushed_ns + coalesce_ns)
    return true
  }

  private func wake(at time_ns: Int64) {
    if timer.isScheduled, timer.deadline_ns <= time_ns { return }
    host.timers.schedule(timer, at: time_ns) { [unowned(unsafe) self] in self.stream.wantsFlush() }  // safe: cancelled in `end`
  }

  private func feed() {
    let work = hungry
    hungry = []
    // In the next turn: what is asked for more writes to the lane that is being emptied.
    host.turn.defer { for ask in work { ask() } }
  }

  /// The link ends: what was said leaves, backlog does not; it is stored, and comes again.
  func end() {
    host.timers.cancel(timer)
    hungry = []
    backlog.removeAll()
    bucket = nil
    while !urgent.isEmpty { take(&urgent) }
    while ordinary?.isEmpty == false { take(&ordinary!) }
    encoder?.finish(scratch: scratch) { stream.output.append($0) }
  }
}
