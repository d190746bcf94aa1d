// One simulated server of a hub cluster, listening for leafs on a machine of the simulation.
import Bytes
import Compression
import Interest
import Platform

final class SimulatedHubServer {
  static let leafPort: UInt16 = 7422

  // Safe: the world of a test owns both for its whole life.
  unowned(unsafe) let backbone: SimulatedBackbone
  let machine: SimulatedMachine
  let clusterName: String
  /// One way from this cluster to the stream.
  let distance_ns: Int64
  /// Counts the runs of the server; what belongs to an earlier one is gone.
  private(set) var life = 0
  private var connections: [SimulatedHubConnection] = []
  private var listener: (any Listener)?
  private var connectionIDs = 0
  private var lastThere_ns: Int64 = 0
  private var lastBack_ns: Int64 = 0
  let scratch = S2Scratch()
  /// Whether it treats leafs as no server should.
  var isRude = false

  init(backbone: SimulatedBackbone, machine: SimulatedMachine, clusterName: String, distance_ns: Int64) {
    self.backbone = backbone
    self.machine = machine
    self.clusterName = clusterName
    self.distance_ns = distance_ns
    backbone.add(self)
    listen()
  }

  var isUp: Bool { machine.isRunning }
  var establishedCount: Int { connections.count { $0.isEstablished } }

  /// What the leafs want.
  var interest: Set<ByteString> { Set(connections.filter { $0.isEstablished }.flatMap { $0.interest.keys }) }

  // MARK: Life

  private func listen() {
    life += 1
    let life = life
    do throws(NetworkError) {
      listener = try machine.host.network.listen(SocketAddress(address: [0, 0, 0, 0], port: Self.leafPort)) { [unowned self] stream in
        guard life == self.life else { return }
        connectionIDs += 1
        connections.append(SimulatedHubConnection(server: self, id: connectionIDs, stream: stream))
      }
    } catch {
      preconditionFailure("a simulated hub cannot listen: \(error)")
    }
  }

  /// The server process dies.
  func kill() {
    guard isUp else { return }
    life += 1
    let gone = connections
    connections = []
    machine.kill()
    for connection in gone { connection.forget() }
  }

  func start() {
    guard !isUp else { return }
    machine.start()
    listen()
  }

  func remove(_ connection: SimulatedHubConnection) { connections.removeAll { $0 === connection } }

  /// A solicitor of the same identity is back: the old connection goes (leafnode-protocol.md section 9.3).
  func evictDuplicates(of connection: SimulatedHubConnection) {
    for old in connections where old !== connection && old.isEstablished && old.identity == connection.identity {
      old.refuse("Duplicate Remote LeafNode Connection")
    }
  }

  // MARK: The way to the stream and back

  private func arrival_ns(after last_ns: inout Int64) -> Int64 {
    let jitter_ns = backbone.entropy.within(0...distance_ns / 4)
    last_ns = max(last_ns, backbone.simulation.now_ns + distance_ns + jitter_ns)
    return last_ns
  }

  func nextArrivalThere_ns() -> Int64 { arrival_ns(after: &lastThere_ns) }
  func nextArrivalBack_ns() -> Int64 { arrival_ns(after: &lastBack_ns) }

  func deliver(_ answer: HubAnswer) {
    for connection in connections where connection.isInterested(in: answer.subject) { connection.send(answer) }
  }

  /// Tells this server's leafs whether others are interested in `subject` now.
  func tellInterest(_ subject: ByteString) {
    for connection in connections where connection.isEstablished {
      connection.tellInterest(subject, isWanted: others(than: connection).contains { $0.interest[subject] != nil })
    }
  }

  private func others(than connection: SimulatedHubConnection) -> [SimulatedHubConnection] {
    backbone.servers.flatMap(\.connections).filter { $0 !== connection && $0.isEstablished }
  }

  /// The interest of the other leafs, for a new one.
  func interestOfOthers(than connection: SimulatedHubConnection) -> [ByteString] {
    others(than: connection).flatMap { $0.interest.keys.sorted() }
  }
}
