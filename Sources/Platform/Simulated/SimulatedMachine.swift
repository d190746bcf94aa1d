// A machine of the simulation: an address, a disk, a clock, and at most one running agent process.
import Bytes

/// One run of an agent. What belongs to a process that has ended is never called again.
final class SimulatedProcess {
  let machine: SimulatedMachine
  let timers = TimerQueue()
  let turn = TurnQueue()
  var isAlive = true
  var listeners: [SimulatedListener] = []
  /// Told when the machine's network changes.
  var networkChanged: ((NetworkChange) -> Void)?

  init(machine: SimulatedMachine) { self.machine = machine }

  /// Calls `action` after `delay_ns` if the process still runs then.
  func after(_ delay_ns: Int64, _ action: @escaping () -> Void) {
    machine.simulation.after(delay_ns) { if self.isAlive { action() } }
  }
}

public final class SimulatedMachine {
  // Safe: machines belong to the simulation and are not used without it.
  unowned(unsafe) let simulation: Simulation
  let index: Int
  public let name: String
  /// 10.0.x.y
  public let address: [UInt8]
  /// What survives kills and power cuts.
  public let disk: SimulatedDisk
  private let entropy: SeededEntropy
  private(set) var process: SimulatedProcess?
  private var current: Host?
  /// Whether the machine has current; a machine that is off does not even refuse connections.
  public private(set) var isPowered = true
  /// A machine without a real-time clock starts at 1970 after a power cut, until `setWallClock`.
  public var hasRealTimeClock = true
  /// Whether the machine's network is plugged in.
  public private(set) var isConnected = true
  /// Names can be resolved. When false, name servers do not answer.
  public var canResolve = true
  /// How much time passes with each look at the monotonic clock: work that stops when it has taken long enough does so.
  public var clockReading_ns: Int64 = 0
  /// The level of the agent's log in the trace.
  public var logLevel = LogLevel.debug
  /// Simulation time at which the machine booted; its monotonic clock counts from there.
  private var boot_ns: Int64
  /// What the wall clock shows beyond the monotonic one.
  private var wallOffset_ns: Int64
  private var ports: UInt16 = 32_768

  init(simulation: Simulation, index: Int, name: String, address: [UInt8], entropy: SeededEntropy) {
    self.simulation = simulation
    self.index = index
    self.name = name
    self.address = address
    self.entropy = entropy
    // Machines booted at different times, so that nobody compares monotonic clocks of two machines.
    boot_ns = simulation.now_ns - entropy.within(0...100 * second_ns)
    wallOffset_ns = simulation.wallStart_ns + boot_ns
    disk = SimulatedDisk(entropy: entropy.fork())
    disk.machine = self
  }

  /// The outside world of the running process.
  public var host: Host {
    guard let current else { preconditionFailure("no process runs on \(name)") }
    return current
  }

  public var isRunning: Bool { process != nil }

  // MARK: Clocks

  var monotonic_ns: Int64 { simulation.now_ns - boot_ns }
  var wall_ns: Int64 { monotonic_ns + wallOffset_ns }
  func simulationTime(of monotonic_ns: Int64) -> Int64 { monotonic_ns + boot_ns }

  /// Lets the wall clock jump.
  public func setWallClock(_ wall_ns: Int64) {
    wallOffset_ns = wall_ns - monotonic_ns
    simulation.note(self, "wall clock set to \(wall_ns)")
  }

  /// Sets the wall clock right, as time synchronisation does.
  public func synchroniseWallClock() { setWallClock(simulation.wallStart_ns + simulation.now_ns) }

  // MARK: Network

  /// Unplugs the machine from everybody else, or plugs it in again. A process hears of it as from a kernel: an address went or came.
  public func setConnected(_ connected: Bool) {
    guard connected != isConnected else { return }
    isConnected = connected
    simulation.note(self, connected ? "is plugged in" : "is unplugged")
    if connected {
      for stream in simulation.streams where stream.process.machine === self || stream.remoteMachine === self { stream.resend() }
    }
    let change = connected ? NetworkChange(hasGained: true) : NetworkChange(hasLost: true, removed: [address])
    if let process { process.after(50 * millisecond_ns) { process.networkChanged?(change) } }
  }

  // MARK: Life

  /// What a password check of the usual cost takes.
  private static let passwordCheck_ns = 100 * millisecond_ns

  /// Starts a process, with current if the machine was off. Run the agent on the host that is returned.
  @discardableResult
  public func start() -> Host {
    precondition(process == nil, "a process runs already on this machine")
    let wasOff = !isPowered
    isPowered = true
    if wasOff {
      let wall_ns = wall_ns
      boot_ns = simulation.now_ns - entropy.within(1...10) * second_ns
      wallOffset_ns = hasRealTimeClock ? wall_ns - monotonic_ns : 0
    }
    let process = SimulatedProcess(machine: self)
    self.process = process
    // Safe for the closure: the simulation outlives its machines' hosts.
    let log = Log(level: logLevel) { [unowned(unsafe) self] level, line in simulation.note(self, "[\(level.rawValue)] \(line)") }
    let host = Host(
      clock: SimulatedClock(machine: self), entropy: entropy.fork(), disk: disk, network: SimulatedNetwork(process: process),
      timers: process.timers, turn: process.turn, log: log,
      passwords: InlinePasswords { [timers = process.timers] finish in
        timers.schedule(at: self.monotonic_ns + Self.passwordCheck_ns, finish)
      })
    current = host
    simulation.note(self, "starts")
    // Peers of connections from before the power cut now hear that nobody knows them.
    if wasOff { for stream in simulation.streams where stream.remoteMachine === self { stream.resend() } }
    return host
  }

  /// The process dies (kill -9): what it wrote to files stays in the cache, what it did not flush is gone, the kernel closes its
  /// connections. Call it between steps, not from within the agent.
  public func kill() { end(power: true) }

  /// The current fails: the process is gone, connections fall silent, and of what was not synced the disk keeps what `loss` says.
  public func powerCut(_ loss: PowerLoss? = nil) {
    end(power: false)
    isPowered = false
    disk.powerCut(loss ?? .seeded(entropy.next()))
  }

  private func end(power: Bool) {
    guard let process else { return }
    simulation.note(self, power ? "is killed" : "loses power")
    process.isAlive = false
    for listener in process.listeners { listener.isOpen = false }
    process.listeners = []
    for stream in simulation.streams where stream.process === process { stream.processEnded(power: power) }
    disk.processEnded()
    // What waits holds the objects of the process, and they hold the queues.
    process.timers.removeAll()
    process.turn.removeAll()
    self.process = nil
    current = nil
  }

  func listener(for address: SocketAddress) -> SimulatedListener? {
    process?.listeners.first { $0.isOpen && $0.local.port == address.port && ($0.local.isWildcard || $0.local.address == address.address) }
  }

  func freePort() -> UInt16 {
    repeat {
      ports = ports == 60_999 ? 32_768 : ports + 1
    } while process?.listeners.contains { $0.isOpen && $0.local.port == ports } ?? false
    return ports
  }
}

/// A machine's clocks.
final class SimulatedClock: Clock {
  // Safe: a host is not used after its simulation.
  private unowned(unsafe) let machine: SimulatedMachine
  init(machine: SimulatedMachine) { self.machine = machine }
  var monotonic_ns: Int64 {
    if machine.clockReading_ns > 0 { machine.simulation.pass(machine.clockReading_ns) }
    return machine.monotonic_ns
  }
  var wall_ns: Int64 { machine.wall_ns }
  /// A machine without a real-time clock counts from 1970 until it is synchronised.
  var isWallTrusted: Bool { machine.hasRealTimeClock || machine.wall_ns >= second_ns * 86_400 * 365 }
}
