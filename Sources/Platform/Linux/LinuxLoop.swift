// The reactor: one thread, one epoll, one turn after the other. Streams, listeners, the disk and the resolver register here.
// Not here: what they do with their events.
import Bytes
import CLinux

/// Something with a file descriptor that the loop watches.
protocol EventSource: AnyObject {
  /// `events` is a set of EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP.
  func ready(_ events: UInt32)
}

enum Epoll {
  static let input: UInt32 = 0x001
  static let output: UInt32 = 0x004
  static let error: UInt32 = 0x008
  static let hangUp: UInt32 = 0x010
  static let add: Int32 = 1
  static let remove: Int32 = 2
  static let modify: Int32 = 3
}

/// The event loop of one agent. Everything that it calls runs on the thread that called `run`.
public final class LinuxLoop {
  /// Events taken from the kernel at once.
  static let batch = 256
  /// Bytes that one read asks for; one buffer of this size serves every connection.
  static let readSize = 64 * 1024
  /// Leftovers up to this size are put in front of the shared read buffer, so that the next read stays one large read.
  static let headroom = 16 * 1024
  /// Bytes that one stream may read in one turn, so that a busy one cannot starve the others.
  static let readBudget = 256 * 1024
  /// Pieces handed to one sendmsg.
  static let piecesMax = 64

  public let clock: LinuxClock
  public let timers = TimerQueue()
  public let turn = TurnQueue()

  private struct Watched {
    var source: (any EventSource)?
    var generation: UInt32
  }

  private let epoll: Int32
  /// Indexed by file descriptor. The generation tells an event for a closed descriptor from one for its successor.
  private var watched: [Watched] = []
  private let events: UnsafeMutablePointer<linux_event>
  private var later: [() -> Void] = []
  private var running = false
  private var streams = 0
  let readBuffer: UnsafeMutablePointer<UInt8>
  let pieces: UnsafeMutablePointer<iovec>

  public init(clock: LinuxClock = LinuxClock()) {
    self.clock = clock
    epoll = linux_epoll_create()
    precondition(epoll >= 0, "the kernel gives no epoll descriptor")
    events = .allocate(capacity: Self.batch)
    readBuffer = .allocate(capacity: Self.headroom + Self.readSize)
    pieces = .allocate(capacity: Self.piecesMax)
  }

  deinit {
    _ = CLinux.close(epoll)
    events.deallocate()
    readBuffer.deallocate()
    pieces.deallocate()
  }

  /// The outside world of an agent on this loop.
  /// `syncDelay_ns` lengthens every commit, for measurements against slow flash.
  public static func makeHost(log: Log, syncDelay_ns: Int64 = 0) -> (loop: LinuxLoop, host: Host) {
    let loop = LinuxLoop()
    let host = Host(
      clock: loop.clock, entropy: LinuxEntropy(), disk: LinuxDisk(loop: loop, syncDelay_ns: syncDelay_ns),
      network: LinuxNetwork(loop: loop),
      timers: loop.timers, turn: loop.turn, log: log, passwords: LinuxPasswords(loop: loop))
    return (loop, host)
  }

  /// Runs turns until `stop`.
  public func run() {
    running = true
    while running { runTurn(wait: true) }
  }

  /// Lets go of everything that it watches and of all timers, for a process that goes on without it (embedding, tests): a loop and
  /// what it watches hold each other. Open connections are closed without a word to their owners. Not from within a turn.
  public func close() {
    precondition(!running, "a loop is closed while it runs")
    let sources = watched
    watched = []
    later = []
    timers.removeAll()
    for (fd, slot) in sources.enumerated() where slot.source != nil { _ = linux_epoll_control(epoll, Epoll.remove, Int32(fd), 0, 0) }
  }

  /// Ends `run` after the current turn.
  public func stop() { running = false }

  /// Runs turns until `condition` holds or `timeout_ns` have passed; returns whether it holds. For tests and for commands that end.
  public func run(timeout_ns: Int64, until condition: () -> Bool) -> Bool {
    let end_ns = clock.monotonic_ns + timeout_ns
    let alarm = Timer()
    timers.schedule(alarm, at: end_ns) {}
    defer { timers.cancel(alarm) }
    while !condition() {
      if clock.monotonic_ns >= end_ns { return condition() }
      runTurn(wait: true)
    }
    return true
  }

  /// One turn: wait for events (when `wait` and nothing is due), handle them, fire timers, end the turn.
  public func runTurn(wait: Bool) {
    let count = linux_epoll_wait(epoll, events, Int32(Self.batch), wait ? timeout_ms : 0)
    precondition(count >= 0, "epoll_wait failed")
    let began_ns = clock.monotonic_ns
    if !later.isEmpty {
      let due = later
      later.removeAll(keepingCapacity: true)
      for action in due { action() }
    }
    for index in 0..<Int(count) {
      let event = events[index]
      let slot = watched[Int(event.fd)]
      if slot.generation == event.generation, let source = slot.source { source.ready(event.events) }
    }
    if let next = timers.nextDeadline_ns {
      let now_ns = clock.monotonic_ns
      if next <= now_ns { timers.fire(now_ns: now_ns) }
    }
    turn.end()
    turn.times.note(clock.monotonic_ns - began_ns)
  }

  /// How long the kernel may sleep: for ever when nothing is due, so that an idle agent never wakes up.
  private var timeout_ms: Int32 {
    if !later.isEmpty || turn.hasWork { return 0 }
    guard let next = timers.nextDeadline_ns else { return -1 }
    let wait_ns = next - clock.monotonic_ns
    // Rounded up: waking too early would only mean to wait again.
    return wait_ns <= 0 ? 0 : Int32(clamping: (wait_ns + millisecond_ns - 1) / millisecond_ns)
  }

  /// Calls `action` at the beginning of the next turn.
  func nextTurn(_ action: @escaping () -> Void) { later.append(action) }

  func nextStreamID() -> Int {
    streams += 1
    return streams
  }

  /// Watches `fd`; false when the kernel refuses (no memory, too many watches).
  func watch(_ fd: Int32, _ events: UInt32, _ source: any EventSource) -> Bool {
    let index = Int(fd)
    while watched.count <= index { watched.append(Watched(source: nil, generation: 0)) }
    precondition(watched[index].source == nil, "a descriptor is watched twice")
    let generation = watched[index].generation &+ 1
    guard linux_epoll_control(epoll, Epoll.add, fd, events, generation) == 0 else { return false }
    watched[index] = Watched(source: source, generation: generation)
    return true
  }

  func change(_ fd: Int32, _ events: UInt32) {
    guard Int(fd) < watched.count else { return }  // the loop was closed
    let result = linux_epoll_control(epoll, Epoll.modify, fd, events, watched[Int(fd)].generation)
    precondition(result == 0, "a watched descriptor cannot be changed")
  }

  /// Gives the events of `fd` to another source (a connection that was being made becomes a stream).
  func replace(_ fd: Int32, _ source: any EventSource) { watched[Int(fd)].source = source }

  /// Stops watching. Called before the descriptor is closed.
  func unwatch(_ fd: Int32) {
    let index = Int(fd)
    guard index < watched.count, watched[index].source != nil else { return }
    watched[index].source = nil
    _ = linux_epoll_control(epoll, Epoll.remove, fd, 0, 0)
  }
}
