// Measuring every cluster a few times, for a person who asks (`petiole probe`).
import Bytes
import Leaf
import Platform

/// Probes all clusters at once, each some times one after the other.
public final class ClusterSurvey {
  public static let samples = 4
  public static let timeout_ns = 3 * second_ns

  /// What came of one cluster.
  public struct Result {
    public let name: ByteString
    public internal(set) var samples_us: [Int64] = []
    /// Why the last attempt without an answer had none.
    public internal(set) var failure: String?

    public var min_us: Int64? { samples_us.min() }
    public var average_us: Int64 { samples_us.isEmpty ? 0 : samples_us.reduce(0, +) / Int64(samples_us.count) }
    /// Mean difference between one sample and the next.
    public var jitter_us: Int64 {
      guard samples_us.count > 1 else { return 0 }
      var sum: Int64 = 0
      for index in 1..<samples_us.count { sum += abs(samples_us[index] - samples_us[index - 1]) }
      return sum / Int64(samples_us.count - 1)
    }
  }

  private let host: Host
  private let clusters: [UplinkCluster]
  private var probes: [LeafProbe?]
  private var left: Int
  public private(set) var results: [Result]

  public init(host: Host, clusters: [UplinkCluster]) {
    self.host = host
    self.clusters = clusters
    results = clusters.map { Result(name: $0.description.name) }
    probes = clusters.map { _ in nil }
    left = clusters.count
  }

  public var isDone: Bool { left == 0 }

  public func start() { for index in clusters.indices { probe(index, turn: 0) } }

  private func probe(_ index: Int, turn: Int) {
    guard turn < Self.samples else {
      probes[index] = nil
      left -= 1
      return
    }
    let endpoints = clusters[index].endpoints
    probes[index] = LeafProbe(
      host: host, endpoint: endpoints[turn % endpoints.count], tls: clusters[index].tls, turn: turn / endpoints.count,
      timeout_ns: Self.timeout_ns
    ) { result in
      switch result {
      case .success(let sample): self.results[index].samples_us.append(sample.rtt_us)
      case .failure(let reason): self.results[index].failure = reason.failure.text
      }
      self.probe(index, turn: turn + 1)
    }
  }
}
