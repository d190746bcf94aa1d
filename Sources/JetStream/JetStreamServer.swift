// What the JetStreams of all accounts of a server have in common: the server's limits, and sums over all of them.
import Bytes
import Platform

/// The JetStreams of one server. Each belongs to an account and knows nothing of the others' streams.
public final class JetStreamServer {
  private struct Member {
    unowned(unsafe) let engine: JetStream  // safe: it leaves before it goes
  }

  private var members: [Member] = []
  /// What memory streams of all accounts hold; limited by `JetStream.Options.maxMemory`.
  let memoryUse = MemoryUse()
  /// What the streams of all accounts remember of message ids.
  let dedupeBudget = DedupeBudget()
  private var nextSweep_ns = Int64.min

  public init() {}

  func join(_ engine: JetStream) { members.append(Member(engine: engine)) }
  func leave(_ engine: JetStream) { members.removeAll { $0.engine === engine } }

  /// No more message ids can be remembered: streams that nobody publishes to forget what is too old. Now and then only.
  func forgetOldIDs(_ now_ns: Int64) {
    guard now_ns >= nextSweep_ns else { return }
    nextSweep_ns = WaitingPull.later(now_ns, second_ns)
    for member in members {
      for stream in member.engine.streams { stream.dedupe.expire(before: now_ns - stream.config.duplicateWindow_ns) }
    }
  }

  /// Sums of the max_bytes of all streams.
  var reserved: (memory: Int64, storage: Int64) {
    var memory: Int64 = 0
    var storage: Int64 = 0
    for member in members {
      let reserved = member.engine.reserved
      memory = WaitingPull.later(memory, reserved.memory)
      storage = WaitingPull.later(storage, reserved.storage)
    }
    return (memory, storage)
  }
}
