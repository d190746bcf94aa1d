// One leaf connection as a hub sees it: the acceptor's side of the protocol (leafnode-protocol.md sections 3 to 5, 11 and 12), strict
// about what a spoke may send.
import Bytes
import Compression
import Interest
import JSON
import Platform
import Wire

final class SimulatedHubConnection: ByteStreamDelegate {
  /// CONNECT must come within this (section 6).
  static let authenticationTimeout_ns = 2 * second_ns
  static let firstPing_ns = second_ns
  static let pingInterval_ns = 120 * second_ns
  static let pingsMax = 2
  static let payloadMax = 1 << 20

  private enum Phase { case awaitingConnect, established, ended }

  // Safe: a server outlives its connections' streams; `forget` and `closed` come before it goes.
  unowned(unsafe) let server: SimulatedHubServer
  let id: Int
  private let stream: ByteStream
  private var phase = Phase.awaitingConnect
  private var decoder: S2StreamDecoder?
  private var encoder: S2StreamEncoder?
  /// Decompressed bytes that are not whole operations yet.
  private var plainInput: [UInt8] = []
  /// What waits to be compressed.
  private var plainOutput: [UInt8] = []
  /// The spoke's interest: subject, or subject and queue, with its weight.
  private(set) var interest: [ByteString: Int] = [:]
  /// Name, cluster and account of the spoke.
  private(set) var identity: [ByteString] = []
  /// Interest of others that the spoke was told of.
  private var told: Set<ByteString> = []
  private var usesHeaders = false
  private var pingsOutstanding = 0

  init(server: SimulatedHubServer, id: Int, stream: ByteStream) {
    self.server = server
    self.id = id
    self.stream = stream
    stream.delegate = self
    if server.isRude, beRude() { return }
    write("INFO \(info(nonce: true, compression: server.backbone.setup.compression, connect: false)) \r\n")
    later(Self.authenticationTimeout_ns) { connection in
      if case .awaitingConnect = connection.phase { connection.refuse("Authentication Timeout") }
    }
  }

  var isEstablished: Bool {
    if case .established = phase { true } else { false }
  }

  private func later(_ delay_ns: Int64, _ action: @escaping (SimulatedHubConnection) -> Void) {
    let life = server.life
    server.backbone.simulation.after(delay_ns) { [self] in
      if server.life == life, !stream.isClosed { action(self) }
    }
  }

  private func info(nonce: Bool, compression: StaticString?, connect: Bool) -> String {
    var text =
      "{\"server_id\":\"N\(server.clusterName.uppercased())\",\"server_name\":\"\(server.clusterName)\",\"version\":\"2.15.1\",\"proto\":3"
    text +=
      ",\"host\":\"0.0.0.0\",\"port\":7422,\"headers\":true,\"auth_required\":true,\"max_payload\":\(Self.payloadMax),\"jetstream\":true"
    text += ",\"client_id\":\(id),\"cluster\":\"\(server.clusterName)\",\"api_lvl\":5"
    if let domain = server.backbone.setup.domain { text += ",\"domain\":\"\(domain.string)\"" }
    if nonce { text += ",\"nonce\":\"abcdefghijklmno\"" }
    if let compression { text += ",\"compression\":\"\(compression)\"" }
    text += ",\"info_on_connect\":true,\"leafnode_urls\":[\"\(server.machine.name):7422\"]"
    if connect { text += ",\"connect_info\":true,\"remote_account\":\"$G\"" }
    return text + "}"
  }

  // MARK: Rudeness

  private static let nonsense = [
    "INFO {}\r\n", "INFO {\"client_id\":7,\"leafnode_urls\":[\"x:1\"],\"compression\":\"zip\"}\r\n", "INFO {\"client_id\":\r\n",
    "INFO 7\r\n", "PONG\r\n",
    "LMSG \r\n", "LMSG a 99999999999999999999\r\n", "HMSG a 9 5\r\nNATS/", "LS+ a b\r\n", "CONNECT {}\r\n", "\u{0}\u{1}\u{2}\r\n\r\n",
    "-ERR 'no'\r\n",
    "-ERR '\r\n", "MSG a 1 0\r\n\r\n", "LMSG _INBOX.x.list.1 2\r\n{}\r\n", "INFO {\"lam",
  ]

  /// Does something that no server should, now or in a while; true when nothing else is to come.
  private func beRude() -> Bool {
    let entropy = server.backbone.entropy
    let text = Self.nonsense[entropy.below(Self.nonsense.count)]
    switch entropy.below(5) {
    case 0: stream.close()
    case 1: break
    case 2: write(text)
    case 3:
      write(text)
      stream.closeAfterFlush()
    default:
      later(entropy.within(0...second_ns)) { connection in
        if entropy.oneIn(2) {
          connection.write(text)
        } else {
          // Past compression: no valid chunk.
          connection.stream.output.append([UInt8](text.utf8))
          connection.stream.wantsFlush()
        }
      }
      return false
    }
    return true
  }

  // MARK: Writing

  private func write(_ text: String) { write([UInt8](text.utf8)) }

  private func write(_ bytes: [UInt8]) {
    guard !stream.isClosed else { return }
    if encoder != nil { plainOutput += bytes } else { stream.output.append(bytes) }
    stream.wantsFlush()
  }

  func willFlush(_ stream: ByteStream) {
    guard encoder != nil, !plainOutput.isEmpty else { return }
    var compressed: [UInt8] = []
    plainOutput.withView { encoder!.encode($0, scratch: server.scratch, into: &compressed) }
    plainOutput = []
    stream.output.append(compressed)
  }

  func send(_ answer: HubAnswer) {
    var reply = answer.reply.string
    if !reply.isEmpty, !answer.presented.isEmpty { reply += "@\(answer.presented.string)" }
    if !reply.isEmpty { reply += " " }
    let size = answer.headers.count + answer.payload.count
    if usesHeaders, !answer.headers.isEmpty {
      write("HMSG \(answer.subject.string) \(reply)\(answer.headers.count) \(size)\r\n")
      write(answer.headers)
    } else {
      write("LMSG \(answer.subject.string) \(reply)\(answer.payload.count)\r\n")
    }
    write(answer.payload + [ASCII.carriageReturn, ASCII.lineFeed])
  }

  func isInterested(in subject: ByteString) -> Bool { isEstablished && interest.keys.contains { Subject.matches(subject, $0) } }

  /// Says whether others are interested in `subject`, if the spoke believes something else.
  func tellInterest(_ subject: ByteString, isWanted: Bool) {
    if isWanted {
      if told.insert(subject).inserted { write("LS+ \(subject.string)\r\n") }
    } else if told.remove(subject) != nil {
      write("LS- \(subject.string)\r\n")
    }
  }

  // MARK: Reading

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    guard let decoder else { return receivePlain(bytes) }
    do throws(S2Error) {
      try decoder.decode(bytes, scratch: server.scratch, into: &plainInput)
    } catch {
      server.backbone.violation("\(error.text) from the spoke")
      stream.close()
      return bytes.count
    }
    let used = plainInput.withView { receivePlain($0) }
    plainInput.removeFirst(used)
    return bytes.count
  }

  private func receivePlain(_ bytes: ByteView) -> Int {
    var used = 0
    var operation = LeafOperation()
    while used < bytes.count {
      if case .ended = phase { return bytes.count }
      switch LeafParser(payloadMax: Self.payloadMax).parse(bytes.dropFirst(used), into: &operation) {
      case .operation(let consumed):
        used += consumed
        let wasPlain = decoder == nil
        handle(operation)
        if wasPlain, decoder != nil {
          // A real acceptor switches its reader only behind the buffer in which the request came (section 5.2).
          if used < bytes.count { server.backbone.violation("bytes behind the request for compression") }
          return bytes.count
        }
      case .incomplete: return used
      case .violation(let violation):
        server.backbone.violation("\(violation) in what the spoke sent")
        stream.close()
        return bytes.count
      }
    }
    return used
  }

  private func handle(_ operation: LeafOperation) {
    switch (phase, operation.kind) {
    case (.awaitingConnect, .info): compress(operation.text)
    case (.awaitingConnect, .connect): connect(operation.text)
    case (.established, .message): message(operation)
    case (.established, .subscribe): subscribe(operation)
    case (.established, .unsubscribe): unsubscribe(operation)
    case (.established, .ping): write("PONG\r\n")
    case (.established, .pong): pingsOutstanding = 0
    case (_, .error): server.backbone.simulation.note("the spoke says \(operation.text.string)")
    case (_, .ignored), (.ended, _): break
    default:
      server.backbone.violation("\(operation.kind) at the wrong time")
      refuse("Authorization Violation")
    }
  }

  private func compress(_ text: ByteView) {
    guard let mode = (try? JSON.parse(text))?["compression"]?.string, decoder == nil else {
      return server.backbone.violation("INFO without a compression mode")
    }
    if mode == "off" { return }
    let own = server.backbone.setup.compression
    guard !ByteView(own).equals("off") else {
      server.backbone.violation("INFO to a hub without compression")
      return refuse("Authorization Violation")
    }
    decoder = S2StreamDecoder()
    encoder = S2StreamEncoder(level: .fast, identifier: .everyFlush)
    write("INFO \(info(nonce: true, compression: own, connect: false)) \r\n")
  }

  private func connect(_ text: ByteView) {
    guard let json = try? JSON.parse(text), json["lang"] == nil else {
      server.backbone.violation("a CONNECT that is not a leaf's")
      return refuse("Authorization Violation")
    }
    identity = [
      json["name"]?.string ?? ByteString(), json["cluster"]?.string ?? ByteString(), json["remote_account"]?.string ?? ByteString(),
    ]
    if identity[0].isEmpty || identity[1].isEmpty { server.backbone.violation("a spoke without name or cluster") }
    usesHeaders = json["headers"]?.bool ?? false
    server.evictDuplicates(of: self)
    phase = .established
    server.backbone.simulation.note("\(server.clusterName) accepts the leaf \(identity[0].string)")
    write("INFO \(info(nonce: false, compression: nil, connect: true)) \r\n")
    var burst = ["$JS.API.>", "$LDS.\(server.clusterName)0000000000000000000", "_GR_.>", "$SYS.REQ.USER.INFO"]
    burst += server.backbone.stream.subjects.map(\.string)
    if let domain = server.backbone.setup.domain {
      for part in ["INFO", "STREAM.>", "CONSUMER.>", "DIRECT.>", "META.>", "SERVER.>", "ACCOUNT.>", "$KV.>", "$OBJ.>"] {
        burst.append("$JS.\(domain.string).API.\(part)")
      }
    }
    for subject in burst { write("LS+ \(subject)\r\n") }
    for subject in server.interestOfOthers(than: self) where !subject.bytes.contains(ASCII.space) { tellInterest(subject, isWanted: true) }
    later(Self.firstPing_ns) { $0.ping() }
  }

  private func ping() {
    guard isEstablished else { return }
    if pingsOutstanding >= Self.pingsMax { return refuse("Stale Connection") }
    pingsOutstanding += 1
    write("PING\r\n")
    later(Self.pingInterval_ns) { $0.ping() }
  }

  private func message(_ operation: LeafOperation) {
    server.backbone.receive(
      ByteString(operation.subject), reply: ByteString(operation.reply), headers: operation.headers.bytes,
      payload: operation.payload.bytes, at: server)
  }

  private func key(_ operation: LeafOperation) -> ByteString {
    operation.queue.isEmpty ? ByteString(operation.subject) : ByteString("\(operation.subject.string) \(operation.queue.string)")
  }

  private func subscribe(_ operation: LeafOperation) {
    let key = key(operation)
    for prefix in ["$JS.API.", "$KV.", "$OBJ."] where key.string.hasPrefix(prefix) && Subject.isLiteral(ByteString(operation.subject)) {
      server.backbone.violation("LS+ \(key.string)")
      return refuse("Permissions Violation for Subscription")
    }
    if operation.queue.isEmpty, interest[key] != nil { server.backbone.violation("LS+ \(key.string) twice") }
    if interest.updateValue(operation.weight, forKey: key) == nil, operation.queue.isEmpty {
      server.backbone.spread(key, from: self)
    }
  }

  private func unsubscribe(_ operation: LeafOperation) {
    let key = key(operation)
    if interest.removeValue(forKey: key) != nil, operation.queue.isEmpty { server.backbone.spread(key, from: self) }
  }

  // MARK: The end

  func refuse(_ text: String) {
    write("-ERR '\(text)'\r\n")
    end()
    stream.closeAfterFlush()
  }

  private func end() {
    if isEstablished {
      for subject in interest.keys.sorted() where !subject.bytes.contains(ASCII.space) {
        server.backbone.spread(subject, from: self)
      }
    }
    phase = .ended
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    end()
    server.remove(self)
  }

  /// The server's process is gone.
  func forget() {
    stream.delegate = nil
    end()
  }
}
