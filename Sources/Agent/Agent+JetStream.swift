// JetStream of an agent: the store, and an engine for each account that has JetStream.
import Broker
import Bytes
import Configuration
import Identity
import JetStream
import LogStore
import Platform

extension Agent {
  /// What memory streams may hold when nothing is configured: a gateway's memory is for other things.
  private static let memoryDefault_bytes: Int64 = 32 << 20

  func startJetStream() throws(AgentError) {
    let directory = options.jetStream.storeDirectory(temporary: Self.temporaryDirectory).string
    let storeOptions: LogStore.Options
    do throws(DiskError) {
      try host.disk.makeDirectory(directory)
      storeOptions = options.storeOptions(free_bytes: try host.disk.freeSpace(directory), ownFiles_bytes: ownFiles_bytes(directory))
    } catch {
      throw .storeDirectory(error)
    }
    let store = LogStore(host: host, directory: directory, options: storeOptions)
    do throws(StoreError) {
      report(try store.open())
    } catch {
      throw .store(directory, error)
    }
    self.store = store
    var jetStreamOptions = JetStream.Options()
    jetStreamOptions.domain = options.jetStream.domain ?? ByteString()
    jetStreamOptions.serverName = broker.identity.name
    jetStreamOptions.maxStore = storeOptions.storeBytesMax
    jetStreamOptions.maxMemory = options.jetStream.memoryMax_bytes ?? Self.memoryDefault_bytes
    jetStreamOptions.maxPayload = options.payload_bytes
    jetStreamOptions.strict = options.jetStream.isStrict
    jetStreamOptions.usesLongAckSubjects = options.jetStream.usesLongAckSubjects
    if case .interval_ns(let interval_ns) = options.jetStream.sync { jetStreamOptions.syncInterval_ns = interval_ns }
    self.jetStreamOptions = jetStreamOptions
    broker.jetStream = true
    broker.domain = jetStreamOptions.domain
    host.log.info("Starting JetStream")
    host.log.info("  Max Memory:      \(jetStreamOptions.maxMemory) bytes")
    host.log.info("  Max Storage:     \(storeOptions.storeBytesMax) bytes")
    host.log.info("  Store Directory: \"\(directory)\"")
    if !jetStreamOptions.domain.isEmpty { host.log.info("  Domain:          \(jetStreamOptions.domain)") }
    enableJetStream(options, isAtBoot: true)
    accountPurge = AccountPurge(host: host, store: store, system: broker.systemAccount) { [unowned(unsafe) self] in jetStreams }  // safe: it owns it
    if let failure = declare(options.streams).first { throw .stream(failure) }
  }

  /// Creates and updates the declared streams; returns what could not be done.
  func declare(_ streams: [StreamDeclaration]) -> [String] {
    var failures: [String] = []
    for stream in streams {
      var problems: [ConfigurationProblem] = []
      let config = stream.config(&problems)
      for problem in problems { failures.append("\(stream.name.string): \(problem.text)") }
      guard problems.isEmpty, let jetStream = jetStream(of: stream.account) else { continue }
      for failure in jetStream.declare(streams: [config]) { failures.append("\(failure.name.string): \(failure.error.text.string)") }
    }
    return failures
  }

  /// Gives each account the JetStream that `options` grant it, takes it from those to which they do not, and says in all others that there
  /// is none.
  func enableJetStream(_ options: Options, isAtBoot: Bool = false) {
    guard let store, let jetStreamOptions else { return }
    retireJetStreams(options)
    for (name, grant) in options.jetStreamAccounts {
      guard let account = broker.account(name) else { preconditionFailure("an account with JetStream was not made") }
      if let known = jetStream(of: name) {
        known.limit(to: grant)
        continue
      }
      absent.removeAll { absence in
        guard absence.account === account else { return false }
        absence.stop()
        return true
      }
      let made = JetStream(
        host: host, account: account, store: store, options: jetStreamOptions, grant: grant, server: jetStreamServer)
      let consumers = ConsumerEngine(jetStream: made)
      made.consumerAPI = consumers
      engines.append(JetStreamEngine(jetStream: made, consumers: consumers))
      made.start(isAtBoot: isAtBoot)
    }
    for account in broker.accounts where jetStream(of: account.name) == nil && !absent.contains(where: { $0.account === account }) {
      absent.append(AbsentJetStream(account: account, isSystem: account === broker.systemAccount))
    }
  }

  /// Stops the JetStreams of accounts that have it no more. Their streams stay in the store until they have it again.
  private func retireJetStreams(_ options: Options) {
    let granted = options.jetStreamAccounts
    engines.removeAll { engine in
      let name = engine.jetStream.account.name
      guard !granted.contains(where: { $0.name == name }) else { return false }
      engine.consumers.stop()
      let lost = engine.jetStream.stop()
      retired.append(engine)
      host.log.info("JetStream is disabled for account \"\(name.string)\": its streams stay in the store until it is enabled again")
      for stream in lost { host.log.warning("The memory stream '\(name.string) > \(stream.string)' is gone with it") }
      return true
    }
  }

  public func jetStream(of account: ByteString) -> JetStream? { jetStreams.first { $0.account.name == account } }

  private static var temporaryDirectory: ByteString? { ProcessStatus.environment("TMPDIR").map { ByteString($0) } }

  private func ownFiles_bytes(_ directory: String) -> Int64 {
    var total: Int64 = 0
    for name in (try? host.disk.list(directory)) ?? [] {
      guard let file = try? host.disk.open(directory + "/" + name, create: false) else { continue }
      total += Int64((try? host.disk.size(file)) ?? 0)
      host.disk.close(file)
    }
    return total
  }

  private func report(_ recovery: RecoveryReport) {
    host.log.info(
      "Recovered \(recovery.messages) messages of \(recovery.streams) streams from \(recovery.segments) segments in \(recovery.duration_ns / millisecond_ns) ms"
    )
    if recovery.tornBytes > 0 { host.log.info("The last write was cut short: \(recovery.tornBytes) unacknowledged bytes dropped") }
    if recovery.damagedRegions > 0 {
      host.log.error("The medium is damaged: \(recovery.damagedBytes) bytes in \(recovery.damagedRegions) places cannot be read")
    }
    for file in recovery.unreadableFiles { host.log.error("The segment \(file) cannot be read; it is left as it is") }
    for lost in recovery.lost { host.log.error("Stream \(lost.stream): sequences \(lost.first) to \(lost.last) are lost") }
  }
}

/// JetStream of one account with its consumers.
struct JetStreamEngine {
  let jetStream: JetStream
  let consumers: ConsumerEngine
}
