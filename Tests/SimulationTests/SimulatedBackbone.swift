// A super-cluster of simulated hubs: several clusters with a leaf listener each, one stream that all of them reach, and the way between
// a cluster and the stream, which takes time and keeps the order. What the stream does is in SimulatedHubStream, what one server
// says to a leaf in SimulatedHubServer and SimulatedHubConnection.
import Bytes
import Interest
import Platform

final class SimulatedBackbone {
  /// How the backbone is set up, drawn from the seed.
  struct Setup {
    /// `$JS.<domain>.API.` instead of `$JS.API.`, or nil.
    var domain: ByteString?
    /// Answers go to every cluster with interest; otherwise only to the one from which the request came, as over gateways.
    var answersFollowInterest = false
    var compression: StaticString = "off"
  }

  let simulation: Simulation
  let entropy: SeededEntropy
  let setup: Setup
  let stream: SimulatedHubStream
  private(set) var servers: [SimulatedHubServer] = []
  /// While the stream has no leader nothing is stored and nobody answers.
  var isLeaderless = false
  /// What an agent did that a real hub would not tolerate, or that a spoke must not do.
  private(set) var violations: [String] = []

  init(simulation: Simulation, setup: Setup, stream: SimulatedHubStream) {
    self.simulation = simulation
    entropy = simulation.entropy.fork()
    self.setup = setup
    self.stream = stream
  }

  var apiPrefix: ByteString { setup.domain.map { ByteString("$JS.\($0.string).API.") } ?? "$JS.API." }

  func add(_ server: SimulatedHubServer) { servers.append(server) }

  func violation(_ text: String) {
    violations.append(text)
    simulation.note("violation: \(text)")
  }

  /// A message that a leaf has sent to `server`.
  func receive(_ subject: ByteString, reply: ByteString, headers: [UInt8], payload: [UInt8], at server: SimulatedHubServer) {
    if stream.takes(subject) {
      simulation.at(server.nextArrivalThere_ns()) { [unowned self] in
        guard !isLeaderless else { return simulation.note("no leader: \(subject.string) is lost") }
        let ack = stream.publish(subject, headers: headers, payload: payload, now_ns: simulation.now_ns)
        if !reply.isEmpty { answer([HubAnswer(subject: reply, payload: ack)], to: server) }
      }
    } else if subject.withView({ $0.hasPrefix(ByteView("$JS.API.")) })
      || subject.withView({ view in apiPrefix.withView { view.hasPrefix($0) } })
    {
      guard subject.withView({ view in apiPrefix.withView { view.hasPrefix($0) } }) else {
        return violation("a request to \(subject.string), but the API is \(apiPrefix.string)")
      }
      let path = subject.withView { ByteString($0.dropFirst(apiPrefix.count)) }
      simulation.at(server.nextArrivalThere_ns()) { [unowned self] in
        guard !isLeaderless else { return simulation.note("no leader: \(path.string) gets no answer") }
        let answers = stream.request(path, payload, reply: reply, now_ns: simulation.now_ns)
        simulation.note("request \(path.string) gets \(answers.count) answers")
        if !reply.isEmpty { answer(answers, to: server) }
      }
    }
  }

  private func answer(_ answers: [HubAnswer], to origin: SimulatedHubServer) {
    for server in servers where setup.answersFollowInterest || server === origin {
      let life = server.life
      simulation.at(server.nextArrivalBack_ns()) {
        guard server.life == life else { return }
        for answer in answers { server.deliver(answer) }
      }
    }
  }

  /// Interest of a leaf reaches the leafs of all servers, as it does in a super-cluster.
  func spread(_ subject: ByteString, from connection: SimulatedHubConnection) {
    for server in servers where server.isUp {
      let life = server.life
      simulation.after(server.distance_ns + connection.server.distance_ns) {
        guard server.life == life else { return }
        server.tellInterest(subject)
      }
    }
  }

  /// Leaf links that work, on all servers.
  var establishedCount: Int { servers.reduce(0) { $0 + $1.establishedCount } }
}
