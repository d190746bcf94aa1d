// A world in one thread whose every event follows from a seed: machines with disks, clocks and a network between them. The same
// agent that runs on Linux runs here, and a failing seed replays exactly.
//
//   let simulation = Simulation(seed: seed)
//   let gateway = simulation.machine("gateway"), hub = simulation.machine("hub")
//   … run agents on gateway.host and hub.host …
//   simulation.partition(gateway, hub); simulation.run(for: 60 * second_ns); simulation.heal(gateway, hub)
//   gateway.powerCut(); gateway.start()      // a fresh Host on what the disk kept
//   #expect(condition, "\(simulation.report())")
//
// Not here: what a machine is (SimulatedMachine), how bytes travel (SimulatedNetwork, SimulatedStream), what a disk keeps
// (SimulatedDisk).
import Bytes

/// What lies between two machines, in both directions.
public struct SimulatedLink {
  /// One way.
  public var latency_ns: Int64 = 500_000
  /// Up to this much is added to each segment; segments of one stream stay in order.
  public var jitter_ns: Int64 = 200_000
  /// Bytes per second in each direction; nil has no limit.
  public var bandwidth: Int?
  /// Of a million segments, this many are lost and sent again after a retransmission timeout.
  public var loss_millionths = 0
  /// Nothing passes and nobody is told.
  public internal(set) var isPartitioned = false
  /// Connections are refused at once (a firewall that rejects).
  public var refuses = false

  public init(latency_ns: Int64 = 500_000, jitter_ns: Int64 = 200_000, bandwidth: Int? = nil, loss_millionths: Int = 0) {
    self.latency_ns = latency_ns
    self.jitter_ns = jitter_ns
    self.bandwidth = bandwidth
    self.loss_millionths = loss_millionths
  }
}

public final class Simulation {
  /// Lines that `report` shows.
  static let traceMax = 500
  /// So many steps without time passing mean that something spins.
  static let stepsWithoutTimeMax = 1_000_000

  public let seed: UInt64
  /// For the test's own choices.
  public let entropy: SeededEntropy
  let networkEntropy: SeededEntropy
  private let forks: SeededEntropy
  /// Time since the simulation began.
  public private(set) var now_ns: Int64 = 0
  /// The true wall clock when the simulation began: 2026-01-01T00:00:00Z.
  public let wallStart_ns: Int64 = 1_767_225_600 * 1_000_000_000
  public private(set) var machines: [SimulatedMachine] = []
  /// What names resolve to.
  public var names: [String: [SocketAddress]] = [:]
  /// The link of every pair of machines that has none of its own.
  public var defaultLink = SimulatedLink()
  /// Lines of the agents' logs also go to the trace. A trace line is only made for the ring and the hash, never for I/O.
  private var trace: [String] = []
  private var traceNext = 0
  /// A hash of every trace line so far: equal for equal seeds.
  public private(set) var traceHash: UInt64 = 0xCBF2_9CE4_8422_2325
  private var links: [Int: SimulatedLink] = [:]
  private let events = TimerQueue()
  private var stepsWithoutTime = 0
  private var streamIDs = 0
  /// Open streams in the order of their making.
  var streams: [SimulatedStream] = []

  public init(seed: UInt64) {
    self.seed = seed
    let root = SeededEntropy(seed: seed)
    entropy = root.fork()
    networkEntropy = root.fork()
    forks = root.fork()
  }

  /// Adds a machine with the next free address of 10.0.0.0/16; its name resolves to it. It runs from the start,
  /// with what `disk` holds (an image of another's crash, say).
  public func machine(_ name: String, disk: SimulatedDisk? = nil) -> SimulatedMachine {
    let index = machines.count
    precondition(index < 60_000, "there are too many machines")
    let number = index + 1
    let machine = SimulatedMachine(
      simulation: self, index: index, name: name, address: [10, 0, UInt8(number / 256), UInt8(number % 256)], entropy: forks.fork())
    if let disk { machine.disk.restore(disk) }
    machines.append(machine)
    names[name] = [SocketAddress(address: machine.address, port: 0)]
    machine.start()
    return machine
  }

  // MARK: Time

  /// Does something at a time of the simulation, outside of any machine.
  @discardableResult
  public func at(_ time_ns: Int64, _ action: @escaping () -> Void) -> Timer { events.schedule(at: max(time_ns, now_ns), action) }

  @discardableResult
  public func after(_ delay_ns: Int64, _ action: @escaping () -> Void) -> Timer { at(now_ns + delay_ns, action) }

  func cancel(_ timer: Timer) { events.cancel(timer) }

  /// Time passes while something is being done.
  func pass(_ duration_ns: Int64) {
    now_ns += duration_ns
    stepsWithoutTime = 0
  }

  /// The time of the next event, or nil when nothing will ever happen.
  private func nextEvent() -> Int64? {
    var next = events.nextDeadline_ns
    for machine in machines {
      guard let process = machine.process else { continue }
      if process.turn.hasWork { return now_ns }
      guard let deadline_ns = process.timers.nextDeadline_ns else { continue }
      let time_ns = machine.simulationTime(of: deadline_ns)
      if next == nil || time_ns < next! { next = time_ns }
    }
    return next.map { max($0, now_ns) }
  }

  /// Does the next thing that is due, and lets time pass up to it. False when nothing will ever happen.
  @discardableResult
  public func step() -> Bool {
    guard let next_ns = nextEvent() else { return false }
    if next_ns > now_ns {
      now_ns = next_ns
      stepsWithoutTime = 0
    } else {
      stepsWithoutTime += 1
      if stepsWithoutTime > Self.stepsWithoutTimeMax { preconditionFailure("the simulation spins: \(report())") }
    }
    if let due_ns = events.nextDeadline_ns, due_ns <= now_ns {
      events.fire(now_ns: now_ns, limit: 1)
    } else {
      for machine in machines {
        guard let process = machine.process else { continue }
        process.timers.fire(now_ns: machine.monotonic_ns, limit: 1000)
      }
    }
    for machine in machines {
      if let process = machine.process, process.turn.hasWork { process.turn.end() }
    }
    return true
  }

  /// Runs until the simulation's clock shows `time_ns`.
  public func run(until time_ns: Int64) {
    while let next = nextEvent(), next <= time_ns { step() }
    now_ns = max(now_ns, time_ns)
  }

  public func run(for duration_ns: Int64) { run(until: now_ns + duration_ns) }

  /// Runs until `condition` holds or `timeout_ns` have passed or nothing will ever happen; returns whether it holds.
  public func run(timeout_ns: Int64, until condition: () -> Bool) -> Bool {
    let end_ns = now_ns + timeout_ns
    while !condition() {
      guard let next = nextEvent(), next <= end_ns else {
        now_ns = max(now_ns, end_ns)
        return false
      }
      step()
    }
    return true
  }

  /// Ends every process, so that nothing keeps the world alive.
  public func end() {
    for machine in machines where machine.isRunning { machine.kill() }
    events.removeAll()
  }

  // MARK: The network between the machines

  private func key(_ one: SimulatedMachine, _ other: SimulatedMachine) -> Int {
    min(one.index, other.index) << 20 | max(one.index, other.index)
  }

  public func link(_ one: SimulatedMachine, _ other: SimulatedMachine) -> SimulatedLink {
    if one === other { return SimulatedLink(latency_ns: 20_000, jitter_ns: 10_000) }
    var link = links[key(one, other)] ?? defaultLink
    if !one.isConnected || !other.isConnected { link.isPartitioned = true }
    return link
  }

  /// Changes the link of two machines for what is sent from now on.
  public func setLink(_ one: SimulatedMachine, _ other: SimulatedMachine, _ link: SimulatedLink) {
    var link = link
    link.isPartitioned = links[key(one, other)]?.isPartitioned ?? false
    links[key(one, other)] = link
  }

  private func setPartitioned(_ one: SimulatedMachine, _ other: SimulatedMachine, _ isPartitioned: Bool) {
    var link = links[key(one, other)] ?? defaultLink
    link.isPartitioned = isPartitioned
    links[key(one, other)] = link
  }

  /// From now on nothing passes between two machines. Their connections stall; they end when an owner gives up, when
  /// the user timeout passes, or at `heal(reset: true)`.
  public func partition(_ one: SimulatedMachine, _ other: SimulatedMachine) {
    note(one, "partitioned from \(other.name)")
    setPartitioned(one, other, true)
  }

  /// Ends a partition. What waited is sent again within a second, or (`reset`) every connection between the two is reset, as
  /// when a carrier's box has forgotten them.
  public func heal(_ one: SimulatedMachine, _ other: SimulatedMachine, reset: Bool = false) {
    note(one, "healed with \(other.name)")
    setPartitioned(one, other, false)
    if reset { cut(one, other) }
    for stream in streams where stream.connects(one, other) { stream.resend() }
  }

  /// Resets every connection between two machines. New ones can be made at once.
  public func cut(_ one: SimulatedMachine, _ other: SimulatedMachine) {
    note(one, "connections to \(other.name) are reset")
    for stream in streams where stream.connects(one, other) { stream.reset() }
  }

  func machine(at address: [UInt8], from machine: SimulatedMachine) -> SimulatedMachine? {
    if address[0] == 127 && address.count == 4 { return machine }
    if address.count == 16, address[15] == 1, address[0..<15].allSatisfy({ $0 == 0 }) { return machine }
    return machines.first { $0.address == address }
  }

  func nextStreamID() -> Int {
    streamIDs += 1
    return streamIDs
  }

  // MARK: The trace

  func note(_ machine: SimulatedMachine?, _ text: @autoclosure () -> String) {
    let line = "\(now_ns / 1000) us \(machine?.name ?? "world"): \(text())"
    for byte in line.utf8 { traceHash = (traceHash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    if trace.count < Self.traceMax {
      trace.append(line)
    } else {
      trace[traceNext] = line
      traceNext = (traceNext + 1) % Self.traceMax
    }
  }

  /// Adds a line of the test's own.
  public func note(_ text: String) { note(nil, text) }

  /// The seed and the last lines of the trace, for a failure's message.
  public func report() -> String {
    var text = "seed \(seed) at \(now_ns) ns\n"
    for index in 0..<trace.count {
      text += trace[(traceNext + index) % trace.count]
      text += "\n"
    }
    return text
  }
}
