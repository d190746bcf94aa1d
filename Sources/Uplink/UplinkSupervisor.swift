// The uplink: carries out what the cluster selector decides. Dials, probes, hands links over, and tells the selector what came of it.
import Broker
import Bytes
import Leaf
import Platform

/// One cluster of the `uplink` block.
public struct UplinkCluster {
  public var description: ClusterDescription
  public var endpoints: [LeafEndpoint]
  public let tls: LeafTLS

  public init(description: ClusterDescription, endpoints: [LeafEndpoint], tls: LeafTLS = LeafTLS()) {
    self.description = description
    self.endpoints = endpoints
    self.tls = tls
  }
}

/// The one link to the nearest of several clusters.
public final class UplinkSupervisor: LeafLinkOwner {
  /// So many addresses of a cluster are dialled before the selector is told that it cannot be reached.
  private static let dialsMax = 4

  private let host: Host
  private let broker: Broker
  private let account: Account
  private let clusters: [UplinkCluster]
  private let options: LeafOptions
  private let shared: LeafShared
  private var selector: ClusterSelector

  /// Whose turn it is among a cluster's addresses.
  private var turns: [Int]
  private var probes: [Int: LeafProbe] = [:]
  private var lastProbe = 0

  /// A dial under way, or a link that is not established yet.
  private struct Attempt {
    let cluster: ClusterID
    var dials: Int
    /// A hand-over: the old link is closed when the new server has said INFO.
    let replacing: Bool
  }
  private var attempt: Attempt?
  private var dial: LeafDial?
  private var restarts = DialRestarts()
  private var candidate: LeafLink?

  public private(set) var link: LeafLink?
  private var linkedCluster: ClusterID?
  /// The cluster whose link was closed for one that is not established yet.
  private var departed: ClusterID?
  private let timer = Timer()
  private var stopped = false
  public unowned(unsafe) var observer: (any LeafLinkObserver)?  // safe: the agent stops the uplink before it goes

  public init(
    broker: Broker, account: Account, clusters: [UplinkCluster], options: LeafOptions, shared: LeafShared,
    parameters: ClusterSelector.Parameters, identity: UInt64
  ) {
    host = broker.host
    self.broker = broker
    self.account = account
    self.clusters = clusters
    self.options = options
    self.shared = shared
    turns = Array(repeating: 0, count: clusters.count)
    selector = ClusterSelector(
      clusters: clusters.map { $0.description }, parameters: parameters, identity: identity, seed: broker.host.entropy.next())
  }

  private var now_ms: Int64 { host.clock.monotonic_ns / millisecond_ns }

  /// A network that comes and goes makes the selector look around no more often than this.
  private static let looksAround_ms: Int64 = 10_000
  private var lookedAround_ms = Int64.min / 2

  /// The machine's network has changed: the link finds out whether it still works, and who waits to try again tries now.
  public func networkChanged(_ change: NetworkChange) {
    guard !stopped else { return }
    link?.networkChanged(change)
    candidate?.networkChanged(change)
    guard change.hasGained, !stopped else { return }
    if let attempt, dial != nil,
      restarts.permit(now_ns: host.clock.monotonic_ns, timeout_ns: dialTimeout_ns(attempt.cluster))
    {
      // What is being dialled goes the old way, or none.
      begin(attempt.cluster, replacing: attempt.replacing)
    }
    let now = now_ms
    guard link == nil || now - lookedAround_ms >= Self.looksAround_ms else { return }
    lookedAround_ms = now
    perform(selector.networkChanged(now_ms: now))
  }

  public func start() { perform(selector.start(now_ms: now_ms)) }

  public func stop() {
    stopped = true
    attempt = nil
    host.timers.cancel(timer)
    dial?.cancel()
    for probe in probes.values { probe.cancel() }
    probes = [:]
    candidate?.end(.closedHere)
    link?.end(.closedHere)
  }

  // MARK: What the selector wants

  private func perform(_ actions: [ClusterSelector.Action]) {
    guard !stopped else { return }
    for action in actions {
      switch action {
      case .probe(let cluster, let samples, let round, let deadline_ms): probe(cluster, samples, round, deadline_ms)
      case .connect(let cluster, let reason):
        host.log.info("Uplink: \(selector.text(reason))")
        begin(cluster, replacing: false)
      case .move(_, let cluster, let reason):
        host.log.info("Uplink: \(selector.text(reason))")
        begin(cluster, replacing: true)
      case .wakeUp(let at_ms):
        host.timers.schedule(timer, at: at_ms * millisecond_ns) { [unowned(unsafe) self] in  // safe: cancelled in `stop`
          self.perform(self.selector.timer(now_ms: self.now_ms))
        }
      }
    }
  }

  // MARK: Probing

  private func nextTurn(_ cluster: ClusterID) -> (endpoint: LeafEndpoint, turn: Int) {
    let endpoints = clusters[cluster.index].endpoints
    let turn = turns[cluster.index]
    turns[cluster.index] += 1
    return (endpoints[turn % endpoints.count], turn / endpoints.count)
  }

  private func probe(_ cluster: ClusterID, _ samples: Int, _ round: UInt32, _ deadline_ms: Int64) {
    probe(cluster, samples, round, deadline_ms, best: nil, bytes: 0, failure: .overdue)
  }

  private func probe(
    _ cluster: ClusterID, _ samples: Int, _ round: UInt32, _ deadline_ms: Int64, best: LeafProbe.Sample?, bytes: Int,
    failure: ProbeFailure
  ) {
    let left_ms = deadline_ms - now_ms
    guard samples > 0, left_ms > 0 else {
      let result: ProbeResult =
        best.map { .answered(rtt_us_min: $0.rtt_us, connect_us: $0.connect_us) } ?? .failed(failure)
      perform(selector.probeFinished(cluster, round: round, result: result, bytes: Int64(bytes), now_ms: now_ms))
      return
    }
    let (endpoint, turn) = nextTurn(cluster)
    lastProbe += 1
    let number = lastProbe
    probes[number] = LeafProbe(
      host: host, endpoint: endpoint, tls: clusters[cluster.index].tls, turn: turn, timeout_ns: left_ms * millisecond_ns
    ) { result in
      self.probes[number] = nil
      switch result {
      case .success(let sample):
        let least = best.map { $0.rtt_us <= sample.rtt_us ? $0 : sample } ?? sample
        self.probe(cluster, samples - 1, round, deadline_ms, best: least, bytes: bytes + sample.bytes, failure: failure)
      case .failure(let reason):
        self.probe(cluster, samples - 1, round, deadline_ms, best: best, bytes: bytes + 200, failure: reason.failure)
      }
    }
  }

  // MARK: Dialling

  private func begin(_ cluster: ClusterID, replacing: Bool) {
    dial?.cancel()
    if let candidate {
      self.candidate = nil
      candidate.owner = nil
      candidate.end(.closedHere)
    }
    attempt = Attempt(cluster: cluster, dials: 0, replacing: replacing)
    dialNext()
  }

  private func dialNext() {
    guard !stopped, var attempt else { return }
    attempt.dials += 1
    self.attempt = attempt
    let cluster = attempt.cluster
    let (endpoint, turn) = nextTurn(cluster)
    let tls = clusters[cluster.index].tls
    dial = LeafDial(host: host, endpoint: endpoint, tls: tls, turn: turn, timeout_ns: dialTimeout_ns(cluster)) { result in
      self.dial = nil
      switch result {
      case .failure(let error):
        // What the network does is in the selector's words; what a proxy or a server says is only here.
        if case .network = error {
          self.host.log.debug("Uplink: \(endpoint.text): \(error.text)")
        } else {
          self.host.log.info("Uplink: \(endpoint.text): \(error.text)")
        }
        self.failed(LinkFailure(error))
      case .success(let connection):
        var options = self.options.dialling(endpoint)
        options.tls = tls
        let link = LeafLink(
          host: self.host, id: self.broker.nextID(), account: self.account, stream: connection.stream, asked_ns: connection.asked_ns,
          options: options, shared: self.shared)
        link.owner = self
        self.candidate = link
      }
    }
  }

  /// Four round trips, as far as they are known: a satellite's is above a second.
  private func dialTimeout_ns(_ cluster: ClusterID) -> Int64 {
    let rtt_us = selector.shown(cluster, now_ms: now_ms).rtt_us ?? 0
    return max(LeafDial.timeoutMin_ns, 4 * rtt_us * 1000)
  }

  private func failed(_ failure: LinkFailure) {
    guard !stopped, let attempt else { return }
    if attempt.dials < min(clusters[attempt.cluster.index].endpoints.count, Self.dialsMax) { return dialNext() }
    self.attempt = nil
    if let departed {
      // The old link went for this one: without either, the selector begins anew.
      self.departed = nil
      perform(selector.linkDown(departed, failure: .closedHere, now_ms: now_ms))
    }
    perform(selector.linkFailedToConnect(attempt.cluster, failure: failure, now_ms: now_ms))
  }

  // MARK: LeafLinkOwner

  public func linkSaidInfo(_ link: LeafLink, rtt_ns: Int64) {
    // The new server is there and CONNECT has not been sent: now the old link goes, so that the hub never sees two.
    guard link === candidate, attempt?.replacing == true, let old = self.link else { return }
    old.owner = nil
    self.link = nil
    departed = linkedCluster
    linkedCluster = nil
    old.end(.closedHere)
    observer?.leafLinkDown(old)
  }

  public func linkEstablished(_ link: LeafLink) {
    guard link === candidate, let attempt else { return }
    candidate = nil
    self.attempt = nil
    self.link = link
    departed = nil
    linkedCluster = attempt.cluster
    host.log.info(
      "Uplink: linked to \(clusters[attempt.cluster.index].description.name.string) (\(link.remote), server \(link.peer.serverName.string), compression \(link.compressionName))"
    )
    perform(selector.linkUp(attempt.cluster, now_ms: now_ms))
    observer?.leafLinkUp(link)
  }

  public func linkMeasured(_ link: LeafLink, rtt_ns: Int64) {
    guard link === self.link else { return }
    perform(selector.linkRTT(rtt_ns / 1000, now_ms: now_ms))
  }

  public func linkLameDuck(_ link: LeafLink) {
    guard link === self.link, let linkedCluster else { return }
    perform(selector.lameDuck(linkedCluster, now_ms: now_ms))
  }

  public func linkEnded(_ link: LeafLink, _ failure: LeafFailure) {
    if link === candidate {
      candidate = nil
      host.log.info("Uplink: \(link.remote): \(failure.text)")
      failed(LinkFailure(failure))
    } else if link === self.link, let cluster = linkedCluster {
      self.link = nil
      linkedCluster = nil
      if !stopped { host.log.warning("Uplink: link to \(clusters[cluster.index].description.name.string) lost: \(failure.text)") }
      observer?.leafLinkDown(link)
      perform(selector.linkDown(cluster, failure: LinkFailure(failure), now_ms: now_ms))
    }
  }

  // MARK: For people

  /// Everything that is shown of the uplink.
  public struct Status {
    public var stateName: String
    public var clusters: [RankedCluster]
    public var lastDecision: String
    public var lastDecisionAge_ms: Int64
    public var lastChange: String
    public var switches: Int
    public var probeBytes: Int64
  }

  public var status: Status {
    let now = now_ms
    return Status(
      stateName: selector.stateName, clusters: selector.ranked(now_ms: now), lastDecision: selector.text(selector.lastDecision.reason),
      lastDecisionAge_ms: now - selector.lastDecision.at_ms, lastChange: selector.text(selector.lastChange.reason),
      switches: selector.switches, probeBytes: selector.spent_bytes)
  }
}
