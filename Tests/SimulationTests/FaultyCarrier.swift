// Whoever carries the bytes between an edge and a hub in the simulation, and breaks the connection at any byte: a carrier's box, a proxy, a
// radio. What it is to break and when is in CutScenario, what has to hold afterwards in CutWorld.
import Bytes
import Platform

/// Listens as if it were the hub, dials the hub for each connection, and carries bytes both ways until the next cut is due.
final class FaultyCarrier {
  static let leafPort: UInt16 = 7422
  /// What was passed on is given so long to arrive when the break is to come behind it and not amid it.
  private static let arrival_ns = second_ns

  enum Direction { case toHub, toEdge }

  enum Fault {
    /// Both ends hear a reset; what is on its way arrives first, or is lost.
    case reset(isSudden: Bool)
    /// Both ends hear the end, behind the last byte.
    case end
    /// One end hears the end, the other talks to nobody for a while and then hears a reset.
    case halfClosed(Direction, Int64)
    /// Nothing is carried for a while; then everything goes on, late.
    case stall([Direction], Int64)
    /// From now on nothing arrives, and no end is told: the connection is open at both ends and dead.
    case swallow([Direction])
    /// Everything takes longer by so much for a while.
    case delay(Int64, Int64)
  }

  /// A fault after so many more bytes, in either direction.
  struct Cut {
    let bytes: Int
    let fault: Fault
  }

  private let simulation: Simulation
  let machine: SimulatedMachine
  private let edge: SimulatedMachine
  private let hub: SimulatedMachine
  private var connections: [CarriedConnection] = []
  private var plan: [Cut] = []
  /// Bytes that still pass before the next cut.
  private var left = 0
  /// Faults that are not over.
  private var underWay = 0
  private(set) var cutCount = 0
  /// Both ends know by then that the connection is gone, or it works.
  private(set) var isKnown_ns: Int64 = 0
  /// How long the ends may take to find out by themselves that nothing arrives any more in these directions, when a round trip may have
  /// been measured that was longer than usual by the other time.
  var patience_ns: ([Direction], Int64) -> Int64 = { _, _ in 0 }
  /// The longest time that bytes were held back in this plan.
  private var held_ns: Int64 = 0

  init(simulation: Simulation, machine: SimulatedMachine, edge: SimulatedMachine, hub: SimulatedMachine) {
    self.simulation = simulation
    self.machine = machine
    self.edge = edge
    self.hub = hub
    do throws(NetworkError) {
      _ = try machine.host.network.listen(SocketAddress(address: [0, 0, 0, 0], port: Self.leafPort)) { [unowned self] stream in
        connections.append(CarriedConnection(carrier: self, near: stream))
      }
    } catch {
      preconditionFailure("the carrier cannot listen: \(error)")
    }
  }

  /// Dials the hub for a connection.
  func dial(_ done: @escaping (ByteStream?) -> Void) {
    let address = SocketAddress(address: hub.address, port: Self.leafPort)
    _ = machine.host.network.connect(address, timeout_ns: 5 * second_ns) { result in
      if case .success(let stream) = result { done(stream) } else { done(nil) }
    }
  }

  func remove(_ connection: CarriedConnection) { connections.removeAll { $0 === connection } }

  // MARK: Breaking

  /// What is to be broken, one after the other.
  func begin(_ cuts: [Cut]) {
    precondition(isDone, "one plan at a time")
    isKnown_ns = simulation.now_ns
    held_ns = 0
    plan = cuts
    left = cuts.first?.bytes ?? 0
  }

  /// Everything that was planned has happened and is over.
  var isDone: Bool { plan.isEmpty && underWay == 0 }

  /// Whether the edge has a connection on which nothing arrives any more.
  var isDeaf: Bool { connections.contains { $0.isDeaf } }

  /// How many of `count` bytes pass before the next cut, and whether that is due then.
  func pass(_ count: Int) -> (count: Int, isDue: Bool) {
    guard !plan.isEmpty else { return (count, false) }
    guard count >= left else {
      left -= count
      return (count, false)
    }
    return (left, true)
  }

  /// The next cut happens now, to the newest connection, when no bytes come that it could wait for.
  func breakNow() {
    guard !plan.isEmpty, let connection = connections.last else { return }
    connection.fail(next())
  }

  /// The cut that is due.
  func next() -> Fault {
    let cut = plan.removeFirst()
    left = plan.first?.bytes ?? 0
    cutCount += 1
    var known_ns = 2 * Self.arrival_ns
    switch cut.fault {
    case .reset, .end: break
    case .halfClosed(_, let time_ns): known_ns += time_ns
    case .stall(_, let time_ns):
      known_ns += time_ns
      held_ns = max(held_ns, time_ns)
    case .delay(let delay_ns, let time_ns):
      // What is under way at its end is late as well.
      known_ns += time_ns + 2 * delay_ns
      held_ns = max(held_ns, 2 * delay_ns)
    case .swallow(let directions): known_ns = patience_ns(directions, held_ns)
    }
    // A connection that is deaf already is missed later after a longer round trip.
    if isDeaf { known_ns = max(known_ns, patience_ns([.toHub, .toEdge], held_ns)) }
    isKnown_ns = max(isKnown_ns, simulation.now_ns + known_ns)
    simulation.note("cut \(cutCount): \(cut.fault) after \(cut.bytes) bytes")
    return cut.fault
  }

  /// Calls `body` when a fault is over.
  func later(_ delay_ns: Int64, _ body: @escaping () -> Void) {
    underWay += 1
    simulation.after(delay_ns) { [self] in
      underWay -= 1
      body()
    }
  }

  /// All connections of the carrier are reset.
  func reset(isSudden: Bool) {
    later(isSudden ? 0 : Self.arrival_ns) { [self] in
      simulation.cut(edge, machine)
      simulation.cut(machine, hub)
    }
  }

  func delay(_ delay_ns: Int64, for duration_ns: Int64) {
    var slow = simulation.link(edge, machine)
    slow.latency_ns += delay_ns
    simulation.setLink(edge, machine, slow)
    later(duration_ns) { [self] in
      var link = simulation.link(edge, machine)
      link.latency_ns -= delay_ns
      simulation.setLink(edge, machine, link)
    }
  }
}

/// One connection: the edge's to the carrier, and the carrier's to the hub.
final class CarriedConnection: ByteStreamDelegate {
  // Safe: the world of a test owns the carrier for its whole life.
  private unowned(unsafe) let carrier: FaultyCarrier
  private let near: ByteStream
  private var far: ByteStream?
  /// Bytes in these directions go nowhere.
  private var swallowed: [FaultyCarrier.Direction] = []
  /// The end of one side is not told to the other.
  private var isSilent = false

  init(carrier: FaultyCarrier, near: ByteStream) {
    self.carrier = carrier
    self.near = near
    near.delegate = self
    near.setReading(false)
    carrier.dial { [self] stream in
      guard let stream else { return near.close() }
      far = stream
      stream.delegate = self
      if near.isClosed { return stream.close() }
      near.setReading(true)
    }
  }

  /// Whether the edge takes it for a connection while bytes of it get lost.
  var isDeaf: Bool { !near.isClosed && !swallowed.isEmpty }

  private func isNear(_ stream: ByteStream) -> Bool { stream === near }
  private func other(_ stream: ByteStream) -> ByteStream? { isNear(stream) ? far : near }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    if swallowed.contains(isNear(stream) ? .toHub : .toEdge) { return bytes.count }
    guard let other = other(stream), !other.isClosed else { return bytes.count }
    let (count, isDue) = carrier.pass(bytes.count)
    other.output.append(bytes.prefix(count))
    other.wantsFlush()
    guard isDue else { return bytes.count }
    let fault = carrier.next()
    fail(fault)
    // What a stall holds back comes later, and a direction that nothing is wrong with goes on; after every other fault it is gone.
    switch fault {
    case .stall, .delay: return count
    case .swallow(let directions): return directions.contains(isNear(stream) ? .toHub : .toEdge) ? bytes.count : count
    case .reset, .end, .halfClosed: return bytes.count
    }
  }

  func fail(_ fault: FaultyCarrier.Fault) {
    switch fault {
    case .reset(let isSudden):
      swallowed = [.toHub, .toEdge]
      carrier.reset(isSudden: isSudden)
    case .end:
      near.closeAfterFlush()
      far?.closeAfterFlush()
    case .halfClosed(let direction, let hold_ns):
      isSilent = true
      swallowed = [.toHub, .toEdge]
      (direction == .toHub ? far : near)?.closeAfterFlush()
      carrier.later(hold_ns) { [self] in
        near.close()
        far?.close()
      }
    case .stall(let directions, let time_ns):
      let streams = directions.compactMap { $0 == .toHub ? near : far }
      showAgain(but: streams)
      for stream in streams { stream.setReading(false) }
      carrier.later(time_ns) { for stream in streams { stream.setReading(true) } }
    case .swallow(let directions):
      isSilent = true
      swallowed = directions
      showAgain()
    case .delay(let delay_ns, let time_ns):
      carrier.delay(delay_ns, for: time_ns)
      showAgain()
    }
  }

  /// Bytes that were not passed on are shown again.
  private func showAgain(but stalled: [ByteStream] = []) {
    let streams = [near, far].compactMap { $0 }.filter { stream in !stalled.contains { $0 === stream } }
    for stream in streams { stream.setReading(false) }
    carrier.later(0) { for stream in streams { stream.setReading(true) } }
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    guard let other = other(stream), !other.isClosed else { return carrier.remove(self) }
    if !isSilent { other.closeAfterFlush() }
  }
}
