// `$JS.API.ACCOUNT.PURGE.<account>`, which the system account may ask: all that an account has in JetStream goes, whether the account has
// JetStream now or is there at all.
import Broker
import Bytes
import JSON
import LogStore
import Platform

/// Answers the request in the system account.
public final class AccountPurge {
  private static let prefix: StaticString = "$JS.API.ACCOUNT.PURGE."

  private let host: Host
  private let store: LogStore
  private let system: Account
  /// The JetStreams that serve now.
  private let engines: () -> [JetStream]

  public init(host: Host, store: LogStore, system: Account, engines: @escaping () -> [JetStream]) {
    self.host = host
    self.store = store
    self.system = system
    self.engines = engines
    // Safe: the agent keeps this as long as its accounts.
    system.subscribe("$JS.API.ACCOUNT.PURGE.*", origin: .service) { [unowned(unsafe) self] message, _ in
      let name = ByteString(message.subject.dropFirst(Self.prefix.utf8CodeUnitCount))
      let reply = ByteString(message.reply)
      // Not while somebody publishes what a stream that goes would store.
      host.turn.defer { self.answer(name, reply) }
    }
  }

  private func answer(_ name: ByteString, _ reply: ByteString) {
    var response = APIResponse("account_purge")
    if name.bytes.contains(where: { $0 == ASCII.slash || $0 == UInt8(ascii: "\\") }) {
      response.error(APIError(500, 10051, "account name can not contain path separators"))
    } else {
      purge(name)
      response.json.field("initiated", true)
    }
    if !reply.isEmpty { system.publish(to: reply, response.finish()) }
  }

  private func purge(_ name: ByteString) {
    let engine = engines().first { $0.account.name == name }
    for restore in engine?.restores ?? [] { restore.abandon() }
    let streams = engine?.streams ?? []
    host.log.info("Purge request for account \(name) (streams: \(streams.count), hasAccount: \(engine != nil))")
    for stream in streams { engine?.delete(stream) }
    JetStream.forget(name, in: store)
  }
}

extension JetStream {
  /// Drops what the store has of an account that nobody serves, or of which nothing could be read.
  static func forget(_ account: ByteString, in store: LogStore) {
    // One change: after a crash all of it is there, or nothing.
    let wasTogether = store.beginTogether()
    defer { store.endTogether(wasTogether) }
    for space: ByteString in ["stream/", "consumer/", "consumer-state/", "sources/", "schedule/", "rollup/"] {
      let prefix = space + account + ByteString("/")
      for key in store.metadata.keys.ordered() {
        guard key.withView({ key in prefix.withView { key.hasPrefix($0) } }), let record = store.metadata[key] else { continue }
        let stored = space == "stream/" ? StoredStream.decode(record) : nil
        store.removeMetadata(key, isVital: true)
        if let stored { store.dropStream(stored.id) }
      }
    }
  }
}
