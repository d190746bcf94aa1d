// A fixed remote (`leafnodes { remotes: [...] }`): one link, dialled again whenever it is gone, one address after the other.
import Broker
import Bytes
import Platform

/// Told when a leaf link works and when it is gone: forwarders, monitoring.
public protocol LeafLinkObserver: AnyObject {
  func leafLinkUp(_ link: LeafLink)
  func leafLinkDown(_ link: LeafLink)
}

/// One entry of `leafnodes.remotes`.
public final class LeafRemote: LeafLinkOwner {
  private let host: Host
  private let broker: Broker
  public let account: Account
  private let endpoints: [LeafEndpoint]
  private let options: LeafOptions
  private let shared: LeafShared
  /// From a lost link to the next attempt (`leafnodes.reconnect`).
  private let reconnect_ns: Int64
  private let dialTimeout_ns: Int64
  private var turn = 0
  /// Dials that failed in a row.
  private var failures = 0
  /// The first of those is logged and every 3600th, as by nats-server's `connect_error_reports`.
  private static let failuresPerReport = 3600
  private var dial: LeafDial?
  private var restarts = DialRestarts()
  private let timer = Timer()
  private var stopped = false
  public private(set) var link: LeafLink?
  public unowned(unsafe) var observer: (any LeafLinkObserver)?  // safe: the agent stops its remotes before it goes

  public init(
    broker: Broker, account: Account, endpoints: [LeafEndpoint], options: LeafOptions, shared: LeafShared, reconnect_ns: Int64,
    dialTimeout_ns: Int64 = LeafDial.timeoutMin_ns
  ) {
    precondition(!endpoints.isEmpty, "a remote has an address")
    host = broker.host
    self.broker = broker
    self.account = account
    self.endpoints = endpoints
    self.options = options
    self.shared = shared
    self.reconnect_ns = reconnect_ns
    self.dialTimeout_ns = dialTimeout_ns
  }

  /// Whether the other end is upstream, as a rule.
  public var leadsToHub: Bool { !options.isHub }

  public func start() { connect() }

  public func stop() {
    stopped = true
    host.timers.cancel(timer)
    dial?.cancel()
    link?.end(.closedHere)
  }

  /// Up to as long as the wait itself, in whole milliseconds: in nanoseconds it is no Int everywhere.
  private var jitter_ns: Int64 { Int64(host.entropy.below(Int(min(reconnect_ns / millisecond_ns, 1 << 30)) + 1)) * millisecond_ns }

  private func connect() {
    let endpoint = endpoints[turn % endpoints.count]
    let addressTurn = turn / endpoints.count
    turn += 1
    dial = LeafDial(host: host, endpoint: endpoint, tls: options.tls, turn: addressTurn, timeout_ns: dialTimeout_ns) { result in
      self.dial = nil
      switch result {
      case .failure(let error):
        self.failures += 1
        if self.failures == 1 || self.failures % Self.failuresPerReport == 0 {
          self.host.log.error(
            "Error trying to connect as leafnode to remote server \"\(endpoint.text)\" (attempt \(self.failures)): \(error.text)")
        }
        // After a failed dial some jitter, so that a fleet does not return at once (leafnode-protocol.md section 2).
        self.retry(self.reconnect_ns + self.jitter_ns)
      case .success(let connection):
        self.failures = 0
        let link = LeafLink(
          host: self.host, id: self.broker.nextID(), account: self.account, stream: connection.stream, asked_ns: connection.asked_ns,
          options: self.options.dialling(endpoint), shared: self.shared)
        link.owner = self
        self.link = link
      }
    }
  }

  /// A link finds out whether it still works; who waits to try again tries now, where there is something new to try.
  public func networkChanged(_ change: NetworkChange) {
    guard !stopped else { return }
    if let link { return link.networkChanged(change) }
    guard change.hasGained else { return }
    if let dial {
      // An attempt that is under way goes the old way, or none.
      guard restarts.permit(now_ns: host.clock.monotonic_ns, timeout_ns: dialTimeout_ns) else { return }
      dial.cancel()
    }
    host.timers.cancel(timer)
    connect()
  }

  private func retry(_ delay_ns: Int64) {
    guard !stopped else { return }
    host.after(delay_ns, timer) { [unowned(unsafe) self] in self.connect() }  // safe: cancelled in `stop`
  }

  // MARK: LeafLinkOwner

  public func linkSaidInfo(_ link: LeafLink, rtt_ns: Int64) {}

  public func linkEstablished(_ link: LeafLink) {
    link.logEstablished()
    observer?.leafLinkUp(link)
  }

  public func linkMeasured(_ link: LeafLink, rtt_ns: Int64) {}
  public func linkLameDuck(_ link: LeafLink) { link.end(.closedByPeer) }

  public func linkEnded(_ link: LeafLink, _ failure: LeafFailure) {
    link.logEnded(failure)
    self.link = nil
    observer?.leafLinkDown(link)
    retry(reconnect_ns + failure.penalty_ns)
  }
}
