// `petiole serve`: the agent as a process. Signals, the pid file, the ports file, systemd.
import Agent
import Broker
import Bytes
import CLinux
import Configuration
import JSON
import Leaf
import LogStore
import Monitoring
import Platform
import Web

enum Serve {
  static func run(_ arguments: Arguments) -> Int32 {
    let loaded = Agent.load(arguments)
    for problem in loaded.problems { Terminal.error("petiole: \(problem.message)\n") }
    guard loaded.isUsable else { return 1 }
    let options = loaded.options
    let log = StandardErrorLog.make(level: options.trace ? .trace : options.debug ? .debug : .info, showsTime: options.logTime)
    let (loop, host) = LinuxLoop.makeHost(log: log, syncDelay_ns: injectedSyncDelay_ns)
    _ = ProcessStatus.raiseFileLimit()
    let agent = Agent(host: host, options: options)
    let process = ServeProcess(loop: loop, host: host, agent: agent, arguments: arguments)
    guard LinuxSignals(loop: loop, arrived: { process.received($0) }) != nil else {
      log.fatal("cannot watch signals")
      return 1
    }
    do throws(AgentError) {
      try agent.start()
      try process.writeFiles()
    } catch {
      log.fatal("\(error.text)")
      return 1
    }
    process.tellSystemd()
    // Once the first links had time to come up.
    host.after(Self.settled_ns) { ProcessStatus.releaseCodePages() }
    loop.run()
    process.removeFiles()
    log.info("Server Exiting..")
    return 0
  }

  private static let settled_ns = 5 * second_ns

  /// For measuring: makes every sync of the store that much slower, as flash is (`PETIOLE_SYNC_DELAY=5ms`).
  private static var injectedSyncDelay_ns: Int64 {
    guard let text = ProcessStatus.environment("PETIOLE_SYNC_DELAY") else { return 0 }
    return [UInt8](text.utf8).withView { GoDuration.parse($0) } ?? 0
  }
}

/// A serving process: what it tells the outside, and what signals do.
final class ServeProcess {
  private let loop: LinuxLoop
  private let host: Host
  private let agent: Agent
  private let arguments: Arguments
  private let watchdog = Timer()
  private var portsFile: String?
  private var lameDuckSince_ns: Int64?
  private static let termIgnored_ns = 2 * second_ns

  init(loop: LinuxLoop, host: Host, agent: Agent, arguments: Arguments) {
    self.loop = loop
    self.host = host
    self.agent = agent
    self.arguments = arguments
  }

  // MARK: Signals

  func received(_ signal: LinuxSignals.Signal) {
    switch signal {
    case .terminate, .interrupt:
      // A service manager that stops by USR2 sends TERM right behind it. One that comes later means now.
      if let lameDuckSince_ns, signal == .terminate, host.clock.monotonic_ns - lameDuckSince_ns < Self.termIgnored_ns { return }
      host.log.info("Trapped \"\(signal == .terminate ? "terminated" : "interrupt")\" signal")
      ServiceNotify.stopping()
      agent.stop { [loop] in loop.stop() }
    case .hangUp: reload()
    case .user1: break  // reopens a log file, of which there is none: lines go to standard error
    case .user2:
      guard lameDuckSince_ns == nil else { return }
      lameDuckSince_ns = host.clock.monotonic_ns
      agent.startLameDuck { [loop] in loop.stop() }
    }
  }

  private func reload() {
    ServiceNotify.reloading()
    let loaded = Agent.load(arguments)
    for problem in loaded.problems { host.log.error("\(problem.message)") }
    if loaded.isUsable {
      for text in agent.reload(loaded.options) { host.log.error("\(text)") }
    } else {
      host.log.error("Reload failed: the configuration stays as it was")
    }
    ServiceNotify.ready()
  }

  // MARK: systemd

  func tellSystemd() {
    ServiceNotify.ready(status: "serving clients on \(agent.broker.address?.description ?? "nothing")")
    if let interval = ServiceNotify.watchdogInterval_ns { feedWatchdog(every: interval / 2) }
  }

  /// From the loop only: a loop that hangs is restarted by systemd.
  private func feedWatchdog(every interval_ns: Int64) {
    if agent.isHealthy { ServiceNotify.watchdog() }
    host.after(interval_ns, watchdog) { self.feedWatchdog(every: interval_ns) }
  }

  // MARK: Files

  func writeFiles() throws(AgentError) {
    if let path = agent.options.pidFile?.string {
      try write(path, [UInt8]("\(ProcessStatus.processID)".utf8))
    }
    if let directory = agent.options.portsFileDirectory?.string {
      let path = "\(directory)/petiole_\(ProcessStatus.processID).ports"
      try write(path, ports())
      portsFile = path
    }
  }

  /// Where this process listens, in nats-server's form.
  private func ports() -> [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    json.beginArray("nats")
    if let address = agent.broker.address { json.string("nats://\(address)") }
    json.endArray()
    json.beginArray("monitoring")
    if let address = agent.monitor.address { json.string("\(agent.options.isMonitoringSecure ? "https" : "http")://\(address)") }
    json.endArray()
    json.beginArray("websocket")
    if let address = agent.broker.webSockets?.address { json.string("\(agent.options.webSocket.scheme)://\(address)") }
    json.endArray()
    for name: StaticString in ["cluster", "profile"] {
      json.beginArray(name)
      json.endArray()
    }
    json.beginArray("leafnodes")
    if let address = agent.leafListener?.address { json.string("nats://\(address)") }
    json.endArray()
    json.endObject()
    return json.finish()
  }

  /// Written beside and renamed, so that a reader never sees half of it.
  private func write(_ path: String, _ bytes: [UInt8]) throws(AgentError) {
    let temporary = path + ".new"
    do throws(DiskError) {
      try? host.disk.remove(temporary)
      let file = try host.disk.open(temporary, create: true)
      defer { host.disk.close(file) }
      try bytes.withView { view throws(DiskError) in try host.disk.write(file, at: 0, view) }
      try host.disk.rename(temporary, to: path)
    } catch {
      throw .file(path, error)
    }
  }

  func removeFiles() {
    if let portsFile { try? host.disk.remove(portsFile) }
    if let path = agent.options.pidFile?.string { try? host.disk.remove(path) }
  }
}
