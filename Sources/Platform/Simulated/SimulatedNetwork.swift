// Listening, connecting and names in the simulation. How bytes travel once connected is in SimulatedStream.
import Bytes

/// The network as one process sees it.
final class SimulatedNetwork: Network {
  /// How long name servers that do not answer are asked.
  static let resolveTimeout_ns = 5 * second_ns
  private let process: SimulatedProcess

  init(process: SimulatedProcess) { self.process = process }

  private var machine: SimulatedMachine { process.machine }
  private var simulation: Simulation { machine.simulation }

  func listen(_ address: SocketAddress, accepted: @escaping (ByteStream) -> Void) throws(NetworkError) -> any Listener {
    var local = address
    if !local.isWildcard && simulation.machine(at: local.address, from: machine) !== machine { throw .addressNotAvailable }
    if local.port == 0 { local.port = machine.freePort() }
    for other in process.listeners where other.isOpen && other.local.port == local.port {
      if other.local.isWildcard || local.isWildcard || other.local == local { throw .addressInUse }
    }
    let listener = SimulatedListener(process: process, local: local, accepted: accepted)
    process.listeners.append(listener)
    return listener
  }

  func connect(
    _ address: SocketAddress, timeout_ns: Int64, done: @escaping (Result<ByteStream, NetworkError>) -> Void
  ) -> any ConnectAttempt {
    let attempt = SimulatedConnectAttempt(process: process, remote: address, done: done)
    process.after(timeout_ns) { attempt.fail(.timedOut) }
    attempt.synchronise(retry_ns: second_ns)
    return attempt
  }

  func resolve(_ host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) -> any ConnectAttempt {
    let question = SimulatedQuestion(done)
    if let address = SocketAddress(literal: host, port: port) {
      process.after(0) { question.answer(.success([address])) }
    } else if host == "localhost" {
      process.after(0) { question.answer(.success([SocketAddress(address: [127, 0, 0, 1], port: port)])) }
    } else if !machine.canResolve {
      process.after(Self.resolveTimeout_ns) { question.answer(.failure(.nameServerFailed(host))) }
    } else {
      process.after(simulation.networkEntropy.within(1...20) * millisecond_ns) {
        // Asked when the answer is made, so that a changed name counts.
        guard let addresses = self.simulation.names[host], !addresses.isEmpty else {
          return question.answer(.failure(.nameNotFound(host)))
        }
        question.answer(.success(addresses.map { SocketAddress(address: $0.address, port: port) }))
      }
    }
    return question
  }

  func watchChanges(_ changed: @escaping (NetworkChange) -> Void) -> Bool {
    precondition(process.networkChanged == nil, "the network has one watcher")
    process.networkChanged = changed
    return true
  }
}

/// A question for a name's addresses.
private final class SimulatedQuestion: ConnectAttempt {
  private var done: ((Result<[SocketAddress], NetworkError>) -> Void)?

  init(_ done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) { self.done = done }

  func answer(_ result: Result<[SocketAddress], NetworkError>) {
    let done = self.done
    self.done = nil
    done?(result)
  }

  func cancel() { done = nil }
}

final class SimulatedListener: Listener {
  let local: SocketAddress
  let process: SimulatedProcess
  let accepted: (ByteStream) -> Void
  var isOpen = true

  init(process: SimulatedProcess, local: SocketAddress, accepted: @escaping (ByteStream) -> Void) {
    self.process = process
    self.local = local
    self.accepted = accepted
  }

  func close() {
    isOpen = false
    process.listeners.removeAll { $0 === self }
  }
}

/// A connection that is being made: a SYN there, a SYN-ACK back, and SYNs again while nobody answers.
final class SimulatedConnectAttempt: ConnectAttempt {
  private let process: SimulatedProcess
  private let remote: SocketAddress
  private var done: ((Result<ByteStream, NetworkError>) -> Void)?
  /// A SYN has arrived; further ones of the same attempt change nothing.
  private var arrived = false

  init(process: SimulatedProcess, remote: SocketAddress, done: @escaping (Result<ByteStream, NetworkError>) -> Void) {
    self.process = process
    self.remote = remote
    self.done = done
  }

  private var simulation: Simulation { process.machine.simulation }

  func cancel() { done = nil }

  func fail(_ error: NetworkError) {
    guard let done else { return }
    self.done = nil
    done(.failure(error))
  }

  func synchronise(retry_ns: Int64) {
    guard done != nil else { return }
    process.after(retry_ns) { self.synchronise(retry_ns: min(retry_ns * 2, 64 * second_ns)) }
    // Nobody has the address: the SYN goes nowhere.
    guard let target = simulation.machine(at: remote.address, from: process.machine) else { return }
    let link = simulation.link(process.machine, target)
    let way_ns = link.latency_ns + (link.jitter_ns > 0 ? simulation.networkEntropy.within(0...link.jitter_ns) : 0)
    if link.refuses {
      process.after(way_ns) { self.fail(.refused) }
      return
    }
    if simulation.networkEntropy.chance(millionths: link.loss_millionths) { return }
    simulation.after(way_ns) { self.arrive(at: target) }
  }

  private func arrive(at target: SimulatedMachine) {
    let link = simulation.link(process.machine, target)
    guard !arrived, !link.isPartitioned, target.isPowered, process.isAlive, done != nil else { return }
    arrived = true
    guard let listener = target.listener(for: remote) else {
      process.after(link.latency_ns) { self.fail(.refused) }
      return
    }
    let here = SocketAddress(
      address: process.machine === target ? remote.address : process.machine.address, port: process.machine.freePort())
    let client = SimulatedStream(process: process, remoteMachine: target, remote: remote, local: here)
    let server = SimulatedStream(process: listener.process, remoteMachine: process.machine, remote: here, local: remote)
    let answer_ns = link.latency_ns
    client.peer = server
    server.peer = client
    server.startsSending(after_ns: answer_ns)
    simulation.note(process.machine, "connects to \(target.name):\(remote.port) as \(client.id)")
    process.after(answer_ns) {
      // Given up, by its owner or by the timeout, while the answer was on its way.
      guard let done = self.done else {
        client.reset(tellHere: false)
        return
      }
      self.done = nil
      // The other side has the connection when the last of the three segments arrives, ahead of whatever is sent behind it.
      self.simulation.after(answer_ns) {
        if !listener.isOpen { return client.reset() }
        if !server.isClosed, listener.process.isAlive { listener.accepted(server) }
      }
      done(.success(client))
    }
  }
}
