// Whether the other end of a leaf link still lives: when to ask, and when to give up. Pure.
//
// There are two kinds of evidence. Bytes of the peer show that the peer lives. Acknowledgements of its kernel show that the way to it, or to
// a proxy in between, lives: on a slow link behind a full queue they go on coming while an answer to PING waits its turn. Nothing of either
// kind for some time, while an answer is due, is a dead link; how long depends on the round trip, because on a long way it has to.
import Platform

public struct LeafLiveness {
  public struct Parameters: Equatable, Sendable {
    /// After so long without a sign of life the peer is asked.
    public var idle_ns: Int64
    /// Bytes that nobody acknowledges for so long, or longer on a long way, are a dead way.
    public var patience_ns: Int64

    /// Quick where bytes cost nothing.
    public static let usual = Parameters(idle_ns: 10 * second_ns, patience_ns: 10 * second_ns)
    /// A PING and its answer cost some 200 bytes: at one a minute 9 MB in 30 days. Paid links are the ones with long queues, too.
    public static let metered = Parameters(idle_ns: 60 * second_ns, patience_ns: 20 * second_ns)
  }

  enum Verdict: Equatable {
    /// Look again then.
    case wait(until_ns: Int64)
    /// Send PING, and look again then.
    case ping(until_ns: Int64)
    /// Nobody is there.
    case dead(LeafFailure)
  }

  /// On a way of this round trip no more patience is needed.
  static let patienceMax_ns = 60 * second_ns
  /// So many round trips without a sign are no accident.
  private static let roundTrips: Int64 = 6
  /// A peer whose kernel has the PING and which says nothing gets so many times the patience: it may be busy, a proxy's queue may be long.
  private static let answerShare: Int64 = 3
  /// An answer to PING that does not come for so long never will, whatever the kernels say.
  static let answerMax_ns = 180 * second_ns
  /// The same for a peer that is heard: it may have much to say first. But the way there may be lost, of which it knows nothing. About what
  /// nats-server takes.
  static let answerHeardMax_ns = 360 * second_ns
  /// The round trip is measured at least once in so many idle times, also while the peer is heard.
  private static let measureShare: Int64 = 4

  private let parameters: Parameters
  private var heard_ns: Int64
  /// When the PING went that is not answered yet.
  private var asked_ns: Int64?
  /// Where it ends among the bytes of the stream; nil until the stream has it.
  var askedEnd: Int64?
  /// The last time that it was not known to have been acknowledged.
  private var onTheWay_ns: Int64 = 0
  private var lastAsked_ns: Int64
  /// Round trip of the last answered PING; before that of the handshake.
  private(set) var rtt_ns: Int64

  /// PINGs that were sent, and answers that came.
  private(set) var pings: Int64 = 0
  private(set) var pongs = 0

  init(_ parameters: Parameters, rtt_ns: Int64, now_ns: Int64) {
    self.parameters = parameters
    self.rtt_ns = rtt_ns
    heard_ns = now_ns
    lastAsked_ns = now_ns
  }

  /// Bytes of the peer have arrived.
  @inline(__always) mutating func heard(now_ns: Int64) { heard_ns = now_ns }

  /// PONG. Returns the round trip when it answers a PING.
  mutating func answered(now_ns: Int64) -> Int64? {
    guard let asked_ns else { return nil }
    self.asked_ns = nil
    pongs += 1
    rtt_ns = max(now_ns - asked_ns, 1)
    return rtt_ns
  }

  /// How long sent bytes may stay unacknowledged.
  func patience_ns(_ way: WayState?) -> Int64 {
    // What the kernel would itself wait for an acknowledgement (RFC 6298), which grows with a queue on the way.
    let kernel_ns = way.map { Int64($0.rtt_us + 4 * $0.rttVariance_us) * 1000 } ?? 0
    return min(max(parameters.patience_ns, Self.roundTrips * max(rtt_ns, kernel_ns)), Self.patienceMax_ns)
  }

  /// What to do now. `way` is what the kernel knows, nil where nothing does.
  mutating func check(_ way: WayState?, now_ns: Int64) -> Verdict {
    let acknowledged_ns = way.map { now_ns - Int64($0.sinceSign_ms) * millisecond_ns } ?? 0
    let sign_ns = max(heard_ns, acknowledged_ns)
    guard let asked_ns else {
      let quiet_ns = max(sign_ns, lastAsked_ns) + parameters.idle_ns
      // A kernel may acknowledge for a peer that is gone; and what is known of the round trip gets old.
      let due_ns = min(quiet_ns, lastAsked_ns + Self.measureShare * parameters.idle_ns)
      return now_ns < due_ns ? .wait(until_ns: due_ns) : ask(way, now_ns)
    }
    let patience_ns = patience_ns(way)
    let waitsForKernel = way?.isWaiting ?? false
    let limit_ns = waitsForKernel ? patience_ns : Self.answerShare * patience_ns
    var gone_ns = min(
      max(sign_ns, asked_ns) + limit_ns, max(heard_ns, asked_ns) + Self.answerMax_ns, asked_ns + Self.answerHeardMax_ns)
    if let way, let askedEnd, way.acknowledged >= askedEnd {
      // The PING is there: that the kernel there acknowledges more says nothing any more.
      gone_ns = min(gone_ns, max(heard_ns, onTheWay_ns) + Self.answerShare * patience_ns)
    } else {
      onTheWay_ns = now_ns
    }
    if now_ns >= gone_ns { return .dead(.pingsUnanswered) }
    return .wait(until_ns: gone_ns)
  }

  /// Something has happened to the network: the peer is asked now, unless an answer is due already.
  mutating func suspect(_ way: WayState?, now_ns: Int64) -> Verdict {
    asked_ns == nil ? ask(way, now_ns) : check(way, now_ns: now_ns)
  }

  private mutating func ask(_ way: WayState?, _ now_ns: Int64) -> Verdict {
    asked_ns = now_ns
    askedEnd = nil
    onTheWay_ns = now_ns
    lastAsked_ns = now_ns
    pings += 1
    return .ping(until_ns: now_ns + patience_ns(way))
  }
}
