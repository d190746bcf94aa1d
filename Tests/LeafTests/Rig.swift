// A leaf link in the simulation against a hub that follows a script: real bytes, plain or S2, with latency between.
import Broker
import Bytes
import Compression
import Foundation
import JSON
import Platform
import Wire

@testable import Leaf

enum Vectors {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Vectors/leafnode")

  static func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: folder.appendingPathComponent(path))) }

  struct Chunk: Decodable {
    /// Seconds since the connection's first.
    let t: Double
    let dir: String
    let hex: String
    var bytes: [UInt8] {
      let digits = Array(hex.utf8)
      return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)! }
    }
  }

  static func chunks(_ folderName: String) throws -> [Chunk] {
    let text = try String(contentsOf: folder.appendingPathComponent("\(folderName)/chunks.jsonl"), encoding: .utf8)
    return try text.split(separator: "\n").map { try JSONDecoder().decode(Chunk.self, from: Data($0.utf8)) }
  }
}

/// The other end of the connection, a hub's or a spoke's. Understands what the link says, in S2 once that was agreed, and calls `said` for
/// each operation.
final class HubEnd: ByteStreamDelegate {
  let stream: ByteStream
  var said: (HubEnd, LeafOperation.Kind, String) -> Void = { _, _, _ in }
  private(set) var operations: [String] = []
  private(set) var closed: CloseReason?
  /// What the link sent that is not the leaf protocol, or a broken compressed stream.
  private(set) var nonsense: String?
  /// Times that bytes have come.
  private(set) var calls = 0
  private var plain: [UInt8] = []
  private var decoder: LeafDecoder?
  private var encoder: LeafEncoder?
  private let scratch = S2Scratch()
  /// A hub is asked to compress by INFO; a spoke asks.
  private let isHub: Bool
  /// PINGs are answered and not written down.
  var answersPings = false

  init(_ stream: ByteStream, isHub: Bool = true) {
    self.stream = stream
    self.isHub = isHub
    stream.delegate = self
  }

  /// Everything from here on is compressed, in both directions.
  func compress(_ codec: LeafCodec = .s2) {
    decoder = LeafDecoder(codec)
    encoder = LeafEncoder(codec, level: .fast)
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    calls += 1
    take(bytes.bytes)
    return bytes.count
  }

  private func take(_ bytes: [UInt8]) {
    do {
      if let decoder {
        try bytes.withView { view throws(LeafDecoder.Failure) in
          var rest = view
          while let chunk = try decoder.next(&rest, scratch: scratch) { plain.append(chunk) }
        }
      } else {
        plain += bytes
      }
    } catch {
      nonsense = "\(error)"
      return
    }
    let parser = LeafParser(payloadMax: 64 << 20)
    var operation = LeafOperation()
    while !plain.isEmpty {
      var consumed = 0
      var kind = LeafOperation.Kind.ignored
      var text = ""
      plain.withView { view in
        switch parser.parse(view, into: &operation) {
        case .operation(let length):
          consumed = length
          kind = operation.kind
          text = described(operation)
        case .incomplete: break
        case .violation(let violation): nonsense = "\(violation): \(view.prefix(min(60, view.count)).string)"
        }
      }
      guard consumed > 0 else { return }
      plain.removeFirst(consumed)
      if kind == .ping, answersPings {
        send("PONG\r\n")
        continue
      }
      operations.append(text)
      if kind == .info, decoder == nil, isHub {
        compress(text.contains("\"lz4\"") ? .lz4 : .s2)
        let rest = plain
        plain = []
        said(self, kind, text)
        if !rest.isEmpty { take(rest) }
      } else {
        said(self, kind, text)
      }
    }
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    closed = reason
    stream.delegate = nil
  }

  func send(_ text: String) { send([UInt8](text.utf8)) }
  func send(_ bytes: [UInt8]) {
    guard encoder != nil else { return sendRaw(bytes) }
    var compressed: [UInt8] = []
    bytes.withView { encoder!.add($0, scratch: scratch) { compressed.append($0) } }
    encoder!.finish(scratch: scratch) { compressed.append($0) }
    sendRaw(compressed)
  }
  /// Past the compression.
  func sendRaw(_ bytes: [UInt8]) {
    guard closed == nil, !stream.isClosed else { return }
    stream.output.append(bytes)
    stream.wantsFlush()
  }

  func taken() -> [String] {
    defer { operations = [] }
    return operations
  }
}

func described(_ operation: LeafOperation) -> String {
  switch operation.kind {
  case .message:
    "\(operation.headerSize == nil ? "LMSG" : "HMSG") \(operation.subject.string) (\(operation.reply.string)) [\(operation.queues.string)] "
      + operation.body.string
  case .subscribe: "LS+ \(operation.subject.string)\(operation.queue.isEmpty ? "" : " \(operation.queue.string) \(operation.weight)")"
  case .unsubscribe: "LS- \(operation.subject.string)\(operation.queue.isEmpty ? "" : " \(operation.queue.string)")"
  case .info: "INFO \(operation.text.string)"
  case .connect: "CONNECT \(operation.text.string)"
  case .error: "-ERR \(operation.text.string)"
  case .ping: "PING"
  case .pong: "PONG"
  case .ignored: "+OK"
  }
}

final class LeafRig: LeafLinkOwner {
  let simulation: Simulation
  let edge: SimulatedMachine
  let hubMachine: SimulatedMachine
  let account: Account
  let shared = LeafShared()
  private(set) var link: LeafLink?
  private(set) var hub: HubEnd?
  private(set) var events: [String] = []
  private(set) var failure: LeafFailure?
  private(set) var failures = 0
  private(set) var got: [String] = []
  /// As an owner that has another hub to go to.
  var endsOnLameDuck = false

  /// `accepted` sets the script of the hub's end.
  init(seed: UInt64 = 1, account: ByteString = "$G", accepted: @escaping (HubEnd) -> Void) {
    simulation = Simulation(seed: seed)
    self.account = Account(name: account, seed: 3)
    edge = simulation.machine("edge")
    hubMachine = simulation.machine("hub")
    do {
      _ = try hubMachine.host.network.listen(SocketAddress(literal: "0.0.0.0", port: 7422)!) { [unowned self] stream in
        let end = HubEnd(stream)
        hub = end
        accepted(end)
      }
    } catch { preconditionFailure("\(error)") }
  }

  func dial(_ change: (inout LeafOptions) -> Void = { _ in }) {
    var options = LeafOptions()
    options.serverID = "NEDGE"
    options.serverName = "edge"
    change(&options)
    _ = edge.host.network.connect(SocketAddress(address: hubMachine.address, port: 7422), timeout_ns: 30 * second_ns) {
      [unowned self] result in
      guard case .success(let stream) = result else { preconditionFailure("the hub does not listen") }
      let link = LeafLink(host: edge.host, id: 5, account: account, stream: stream, options: options, shared: shared)
      link.owner = self
      self.link = link
    }
    run()
  }

  /// The same over a way on which connecting takes long.
  func dialSlowly(_ change: (inout LeafOptions) -> Void) {
    dial(change)
    run(15 * second_ns)
  }

  func run(_ duration_ns: Int64 = 100 * millisecond_ns) { simulation.run(for: duration_ns) }

  /// Subscribes locally and writes down what comes.
  @discardableResult
  func subscribe(_ subject: ByteString, _ queue: ByteString? = nil) -> Subscription {
    account.subscribe(subject, queue: queue) { [unowned self] message, _ in
      got.append(
        "\(subject.string)\(queue.map { " " + $0.string } ?? "") <- \(message.shownSubject.string) (\(message.reply.string)) \(message.headers.string)\(message.payload.string)"
      )
    }
  }

  func publish(
    _ subject: ByteString, _ payload: ByteString = "", reply: ByteString = "", headers: ByteString = "", presented: ByteString = ""
  ) -> Bool {
    subject.withView { subject in
      payload.withView { payload in
        reply.withView { reply in
          headers.withView { headers in
            presented.withView { presented in
              account.publish(Message(subject: subject, reply: reply, headers: headers, payload: payload, presentedSubject: presented))
            }
          }
        }
      }
    }
  }

  func takeGot() -> [String] {
    defer { got = [] }
    return got
  }

  // MARK: LeafLinkOwner

  func linkSaidInfo(_ link: LeafLink, rtt_ns: Int64) { events.append("info") }
  func linkEstablished(_ link: LeafLink) { events.append("established") }
  func linkMeasured(_ link: LeafLink, rtt_ns: Int64) { events.append("measured") }
  func linkLameDuck(_ link: LeafLink) {
    events.append("lame duck")
    if endsOnLameDuck { link.end(.closedByPeer) }
  }
  func linkEnded(_ link: LeafLink, _ failure: LeafFailure) {
    events.append("ended")
    failures += 1
    self.failure = failure
  }
}

/// A hub that behaves: INFO, answer to a request for compression, answer to CONNECT with a burst behind it.
struct GoodHub {
  var compression: String? = "off"
  /// What another agent says besides.
  var extended: String?
  /// More members of every INFO.
  var extra = ""
  /// More members of the INFO that answers CONNECT.
  var answer = ""
  var burst = "LS+ $LDS.hubhubhubhubhubhubhub1\r\n"
  var headers = true
  var maxPayload = 1_048_576

  func info(_ more: String = "") -> String {
    let mode = (compression.map { ",\"compression\":\"\($0)\"" } ?? "") + (extended.map { ",\"petiole_compression\":\"\($0)\"" } ?? "")
    return
      "INFO {\"server_id\":\"NHUB\",\"server_name\":\"hub\",\"version\":\"2.15.1\",\"headers\":\(headers),\"max_payload\":\(maxPayload),\"client_id\":5,\"nonce\":\"abc\"\(mode),\"info_on_connect\":true,\"leafnode_urls\":[\"10.0.0.2:7422\"]\(extra)\(more)} \r\n"
  }

  func attach(_ end: HubEnd) {
    end.said = { end, kind, _ in
      switch kind {
      case .info: end.send(info())
      case .connect: end.send(info(",\"connect_info\":true,\"remote_account\":\"$G\"\(answer)") + burst)
      case .ping: end.send("PONG\r\n")
      default: break
      }
    }
    end.send(info())
  }

  /// A rig whose link works.
  func rig(seed: UInt64 = 1, _ change: (inout LeafOptions) -> Void = { $0.compression = .off }, before: (LeafRig) -> Void = { _ in })
    -> LeafRig
  {
    let rig = LeafRig(seed: seed) { self.attach($0) }
    before(rig)
    rig.dial(change)
    return rig
  }
}
