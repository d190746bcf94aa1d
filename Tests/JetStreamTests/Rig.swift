// The outside world of a JetStream under test: a clock that the test moves, a disk in memory, and a client that asks and listens.
import Broker
import Bytes
import Identity
import JSON
import LogStore
import Platform

@testable import JetStream

final class TestClock: Clock {
  var now_ns: Int64 = 1_800_000_000 * second_ns
  /// By how much the wall clock was set off.
  var jump_ns: Int64 = 0
  /// How long it takes until somebody looks at the clock again: for work that goes on until its time is over.
  var look_ns: Int64 = 0
  var monotonic_ns: Int64 {
    now_ns += look_ns
    return now_ns
  }
  var wall_ns: Int64 { now_ns + jump_ns }
  var isWallTrusted = true
}

final class TestEntropy: Entropy {
  private var state: UInt64 = 42
  func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state
  }
}

final class NoNetwork: Network {
  func listen(_ address: SocketAddress, accepted: @escaping (ByteStream) -> Void) throws(NetworkError) -> any Listener {
    throw .permission
  }
  func connect(
    _ address: SocketAddress, timeout_ns: Int64, done: @escaping (Result<ByteStream, NetworkError>) -> Void
  ) -> any ConnectAttempt { preconditionFailure("nothing connects in these tests") }
  func resolve(_ host: String, port: UInt16, done: @escaping (Result<[SocketAddress], NetworkError>) -> Void) -> any ConnectAttempt {
    preconditionFailure("nothing asks for names in these tests")
  }
}

/// Files in memory. A commit waits until `completeCommit`; what was not committed is lost by `crashed`.
final class TestDisk: Disk {
  final class File {
    var data: [UInt8] = []
    var durable: [UInt8] = []
  }
  var files: [String: File] = [:]
  private var handles: [Int32: File] = [:]
  private var next: Int32 = 0
  private var pending: (() -> Void)?
  var space = Int.max
  /// Every read fails, as with a bad medium or no file descriptors left.
  var readsFail = false
  /// Spoils one byte of everything that was written and contains `text`.
  func damage(_ text: String) {
    let wanted = [UInt8](text.utf8)
    for file in files.values {
      guard file.data.count >= wanted.count else { continue }
      for at in 0...(file.data.count - wanted.count)
      where file.data[at] == wanted[0] && file.data[at..<at + wanted.count].elementsEqual(wanted) {
        file.data[at] ^= 0xFF
        file.durable = file.data
      }
    }
  }
  var isBusy: Bool { pending != nil }

  /// What a power cut leaves: nothing that was not made durable.
  func crashed() -> TestDisk {
    let disk = TestDisk()
    for (path, file) in files {
      let copy = File()
      copy.data = file.durable
      copy.durable = file.durable
      disk.files[path] = copy
    }
    return disk
  }

  func makeDirectory(_ path: String) throws(DiskError) {}
  func list(_ path: String) throws(DiskError) -> [String] {
    files.keys.filter { $0.hasPrefix(path + "/") }.map { String($0.dropFirst(path.count + 1)) }
  }
  func lock(_ path: String) throws(DiskError) -> FileHandle {
    next += 1
    return FileHandle(number: next)
  }
  func open(_ path: String, create: Bool) throws(DiskError) -> FileHandle {
    if create { files[path] = File() }
    guard let file = files[path] else { throw DiskError(.notFound, operation: "open", path: path) }
    next += 1
    handles[next] = file
    return FileHandle(number: next)
  }
  func close(_ file: FileHandle) { handles[file.number] = nil }
  func size(_ file: FileHandle) throws(DiskError) -> Int { handles[file.number]!.data.count }
  func read(_ file: FileHandle, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    if readsFail { throw DiskError(.inputOutput, operation: "read", path: "segment") }
    let data = handles[file.number]!.data
    guard offset < data.count else { return 0 }
    let count = min(buffer.count, data.count - offset)
    data.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + count])) }
    return count
  }
  private func put(_ file: File, _ offset: Int, _ bytes: ByteView) {
    if file.data.count < offset + bytes.count {
      file.data.append(contentsOf: repeatElement(0, count: offset + bytes.count - file.data.count))
    }
    file.data.withUnsafeMutableBytes { target in
      if bytes.count > 0 { (target.baseAddress! + offset).copyMemory(from: bytes.base, byteCount: bytes.count) }
    }
  }
  func write(_ file: FileHandle, at offset: Int, _ bytes: ByteView) throws(DiskError) { put(handles[file.number]!, offset, bytes) }
  func truncate(_ file: FileHandle, to size: Int) throws(DiskError) {
    let file = handles[file.number]!
    if size < file.data.count { file.data.removeLast(file.data.count - size) }
    file.durable = file.data
  }
  func sync(_ file: FileHandle) throws(DiskError) { handles[file.number]!.durable = handles[file.number]!.data }
  func syncDirectory(_ path: String) throws(DiskError) {}
  func remove(_ path: String) throws(DiskError) { files[path] = nil }
  func rename(_ from: String, to: String) throws(DiskError) { files[to] = files.removeValue(forKey: from) }
  func freeSpace(_ path: String) throws(DiskError) -> Int64 { Int64(space) }
  func syncDirectory(_ path: String, done: @escaping (CommitResult) -> Void) {
    precondition(pending == nil, "two commits at once")
    pending = { done(.durable) }
  }
  func commit(
    _ file: FileHandle, at offset: Int, _ chunks: [ByteView], naming directory: String?, done: @escaping (CommitResult) -> Void
  ) {
    precondition(pending == nil, "two commits at once")
    let target = handles[file.number]!
    var at = offset
    for chunk in chunks {
      put(target, at, chunk)
      at += chunk.count
    }
    pending = {
      target.durable = target.data
      done(.durable)
    }
  }
  func completeCommit() {
    let action = pending
    pending = nil
    action?()
  }
}

/// A message that the client got.
struct Received {
  let subject: String
  var reply = ""
  let headers: String
  let payload: String

  var json: JSONValue { (try? JSON.parse(ByteString(payload))) ?? .null }
  var errorCode: Int? { json["error"]?["err_code"]?.int }
  var errorText: String? { json["error"]?["description"]?.string?.string }
  var sequence: Int? { json["seq"]?.int }
}

/// One agent's JetStream with a client beside it.
final class Rig {
  let clock: TestClock
  let disk: TestDisk
  let host: Host
  let account: Account
  let store: LogStore
  let jetStream: JetStream
  private var inbox: [Received] = []
  private var asked = 0

  init(
    disk: TestDisk = TestDisk(), clock: TestClock = TestClock(), storeOptions: LogStore.Options = LogStore.Options(),
    grant: JetStreamGrant = JetStreamGrant(), _ change: (inout JetStream.Options) -> Void = { _ in }
  ) throws {
    self.clock = clock
    self.disk = disk
    host = Host(
      clock: clock, entropy: TestEntropy(), disk: disk, network: NoNetwork(), timers: TimerQueue(), turn: TurnQueue(),
      log: Log(level: .error) { _, line in print(line) })
    account = Account(name: "$G", seed: 7)
    store = LogStore(host: host, directory: "store", options: storeOptions)
    _ = try store.open()
    var options = JetStream.Options()
    options.serverName = "edge"
    change(&options)
    jetStream = JetStream(host: host, account: account, store: store, options: options, grant: grant)
    jetStream.start()
    account.subscribe("_INBOX.>") { [unowned self] message, _ in
      inbox.append(
        Received(subject: message.shownSubject.string, headers: message.headers.string, payload: message.payload.string))
    }
    settle()
  }

  /// The same machine after a power cut: only what was durable is there.
  func restarted() throws -> Rig { try Rig(disk: disk.crashed(), clock: clock) }

  /// Ends the turn without letting the disk finish anything.
  func endTurn() { host.turn.end() }

  /// Lets everything that is due happen.
  func settle() {
    for _ in 0..<1000 {
      host.turn.end()
      _ = host.timers.fire(now_ns: clock.now_ns)
      if disk.isBusy { disk.completeCommit() } else if !host.turn.hasWork { return }
    }
    preconditionFailure("the agent does not come to rest")
  }

  /// Moves the clock, stopping at every timer.
  func pass(_ duration_ns: Int64) {
    let end_ns = clock.now_ns + duration_ns
    while let next = host.timers.nextDeadline_ns, next <= end_ns {
      clock.now_ns = max(clock.now_ns, next)
      settle()
    }
    clock.now_ns = end_ns
    settle()
  }

  /// Publishes without letting anything settle; returns the inbox for the answer.
  /// Where requests come from: no service of the server's own.
  private lazy var outside = Outside(account: account)

  @discardableResult
  func send(_ subject: String, _ payload: String = "", headers: [(String, String)] = [], reply: Bool = true, replyTo: String? = nil)
    -> String
  {
    asked += 1
    let inboxSubject = replyTo ?? "_INBOX.test.\(asked)"
    account.route(subject, payload, headers: headers, reply: reply ? inboxSubject : "", from: outside)
    return inboxSubject
  }

  /// Sends bytes and returns the inbox for the answer.
  func send(_ subject: String, bytes: [UInt8]) -> String {
    asked += 1
    let inboxSubject = "_INBOX.test.\(asked)"
    ByteString(subject).withView { subject in
      ByteString(inboxSubject).withView { reply in
        bytes.withView { _ = account.route(Message(subject: subject, reply: reply, payload: $0), from: outside) }
      }
    }
    return inboxSubject
  }

  /// Everything that came to an inbox since it was last asked.
  func take(_ inboxSubject: String) -> [Received] {
    let found = inbox.filter { $0.subject == inboxSubject }
    inbox.removeAll { $0.subject == inboxSubject }
    return found
  }

  /// Asks and returns all answers.
  func ask(_ subject: String, _ payload: String = "", headers: [(String, String)] = [], replyTo: String? = nil) -> [Received] {
    let inboxSubject = send(subject, payload, headers: headers, replyTo: replyTo)
    settle()
    return take(inboxSubject)
  }

  /// Asks for one answer.
  func call(_ subject: String, _ payload: String = "", headers: [(String, String)] = []) -> Received {
    ask(subject, payload, headers: headers).first ?? Received(subject: "", headers: "", payload: "no answer")
  }

  @discardableResult
  func create(_ config: String) -> Received {
    let name = (try? JSON.parse(ByteString(config)))?["name"]?.string?.string ?? ""
    return call("$JS.API.STREAM.CREATE.\(name)", config)
  }

  func state(_ stream: String) -> JSONValue { call("$JS.API.STREAM.INFO.\(stream)").json["state"] ?? .null }
}

/// Somebody who publishes and listens to nothing.
final class Outside: Endpoint {
  init(account: Account) { super.init(kind: .client, id: 1, account: account) }
}

extension Account {
  /// Takes a message as a client sends it.
  func route(_ subject: String, _ payload: String, headers: [(String, String)], reply: String, from source: Endpoint) {
    var block = ""
    if !headers.isEmpty { block = "NATS/1.0\r\n" + headers.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n" }
    ByteString(subject).withView { subject in
      ByteString(reply).withView { reply in
        ByteString(block).withView { headers in
          ByteString(payload).withView { payload in
            _ = route(Message(subject: subject, reply: reply, headers: headers, payload: payload), from: source)
          }
        }
      }
    }
  }
}
