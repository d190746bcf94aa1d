// A store on a memory disk with hand-driven time: what the tests stand on.
import Bytes

@testable import LogStore
@testable import Platform

final class HandClock: Clock {
  var monotonic_ns: Int64 = 1_000_000_000
  var wall_ns: Int64 = 1_700_000_000_000_000_000
}

final class SeededEntropy: Entropy {
  var random: Seeded
  init(_ seed: UInt64) { random = Seeded(seed) }
  func next() -> UInt64 { random.next() }
}

final class NoNetwork: Network {
  func listen(_ address: SocketAddress, accepted: @escaping (ByteStream) -> Void) throws(NetworkError) -> any Listener {
    throw .unreachable
  }
  func connect(
    _ address: SocketAddress, timeout_ns: Int64, done: @escaping (Result<ByteStream, NetworkError>) -> Void
  ) -> any ConnectAttempt {
    preconditionFailure("the store does not use the network")
  }
  func resolve(_ host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) -> any ConnectAttempt {
    preconditionFailure("nothing asks for names here")
  }
}

/// A store with everything around it.
final class Bench {
  let disk: MemoryDisk
  let clock = HandClock()
  let host: Host
  let store: LogStore
  var lines: [String] = []

  static func small(storeBytesMax: Int64 = 1 << 20, checkpoints: Bool = true) -> LogStore.Options {
    var options = LogStore.Options()
    options.hasCheckpoints = checkpoints
    options.segmentBytes = 4096
    options.storeBytesMax = storeBytesMax
    options.reserveBytes = 16 << 10
    options.batchBytesMax = 8192
    options.indexSpacingBytes = 512
    options.checkpointRatio = 2
    return options
  }

  init(_ disk: MemoryDisk = MemoryDisk(), options: LogStore.Options = Bench.small(), seed: UInt64 = 1) {
    self.disk = disk
    let lines = Lines()
    host = Host(
      clock: clock, entropy: SeededEntropy(seed), disk: disk, network: NoNetwork(), timers: TimerQueue(), turn: TurnQueue(),
      log: Log(level: .trace) { _, line in lines.all.append(line) })
    store = LogStore(host: host, directory: "store", options: options)
    collected = lines
  }

  /// What is scheduled or under way holds the store, which holds what it is scheduled with.
  deinit {
    host.timers.removeAll()
    host.turn.removeAll()
    disk.abandonCommit()
  }

  private final class Lines { var all: [String] = [] }
  private let collected: Lines
  var logged: [String] { collected.all }

  /// One loop turn: timers, events (the end of a commit), deferred work.
  func turn(commit: Bool = true) {
    clock.monotonic_ns += 100_000
    host.timers.fire(now_ns: clock.monotonic_ns)
    if commit { disk.completeCommit() }
    host.turn.end()
  }

  /// Turns until nothing is under way.
  func settle() {
    for _ in 0..<10_000 {
      turn()
      if !disk.hasPendingCommit, !host.turn.hasWork, (host.timers.nextDeadline_ns ?? .max) > clock.monotonic_ns + 2_000_000 { return }
    }
    preconditionFailure("the store does not come to rest")
  }

  /// Lets time pass, so that lazy things happen.
  func rest(_ time_ns: Int64 = 2_000_000_000) {
    clock.monotonic_ns += time_ns
    settle()
  }
}

extension StreamLog {
  /// Appends a message whose contents follow from its sequence.
  @discardableResult
  func put(_ sequence: UInt64, size: Int = 40, headers: String = "") throws(StoreError) -> UInt64 {
    let subject = [UInt8]("s.\(id).\(sequence % 7)".utf8)
    let payload = StreamLog.payload(sequence, size)
    return try subject.withView { subject throws(StoreError) in
      try [UInt8](headers.utf8).withView { headers throws(StoreError) in
        try payload.withView { payload throws(StoreError) in
          try append(sequence: sequence, timestamp_ns: Int64(sequence) * 1000, subject: subject, headers: headers, payload: payload)
        }
      }
    }
  }

  static func payload(_ sequence: UInt64, _ size: Int) -> [UInt8] {
    (0..<size).map { UInt8(truncatingIfNeeded: Int(sequence) &* 31 &+ $0) }
  }

  /// Live sequences as scans see them.
  func scanned(from: UInt64 = 0) throws(StoreError) -> [UInt64] {
    var sequences: [UInt64] = []
    try scan(from: from) { message in
      sequences.append(message.sequence)
      return true
    }
    return sequences
  }

  /// Live sequences as the index knows them.
  var live: [UInt64] {
    var sequences: [UInt64] = []
    var next = nextSequence(atOrAfter: 0)
    while let sequence = next {
      sequences.append(sequence)
      next = nextSequence(atOrAfter: sequence + 1)
    }
    return sequences
  }
}
