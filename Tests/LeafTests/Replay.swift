// A recorded link replayed against one of its ends: the other end's bytes as they were recorded, and for each thing that the recorded end
// said, its cause. A subscription for interest, a publication for a message. Then this end must say the same.
import Broker
import Bytes
import Compression
import Interest
import Platform
import Wire

@testable import Leaf

/// One direction of a recorded link: bytes in, operations out.
final class RecordedDirection {
  private var plain: [UInt8] = []
  private var decoder: S2StreamDecoder?
  private let scratch = S2Scratch()

  func compress() { decoder = S2StreamDecoder() }

  /// The operations that are whole with these bytes. The caller may switch to compression at each.
  func operations(in bytes: [UInt8], _ body: (LeafOperation) -> Void) throws {
    if let decoder {
      try bytes.withView { view throws(S2Error) in try decoder.decode(view, scratch: scratch, into: &plain) }
    } else {
      plain += bytes
    }
    let parser = LeafParser(payloadMax: 64 << 20)
    var operation = LeafOperation()
    while !plain.isEmpty {
      let wasCompressed = decoder != nil
      let used: Int = plain.withView { view in
        guard case .operation(let consumed) = parser.parse(view, into: &operation) else { return 0 }
        body(operation)
        return consumed
      }
      guard used > 0 else { return }
      plain.removeFirst(used)
      if decoder != nil, !wasCompressed {
        let rest = plain
        plain = []
        return try operations(in: rest, body)
      }
    }
  }
}

final class Replay {
  /// What is never the same: loop marks; and what this server does not have, or does by itself.
  static func isOwn(_ line: String) -> Bool {
    line.contains("$LDS.") || line == "PING" || line.hasPrefix("LS+ $SYS.REQ.") || line == "LS+ $JS.API.>"
  }

  let account: Account
  private var subscriptions: [String: [Subscription]] = [:]
  /// What this end's subscriptions got: what was recorded, and what came.
  private(set) var expected: [String] = []
  private(set) var got: [String] = []
  /// What the recorded end said that this end has not said.
  private(set) var missing: [String] = []
  private var said: [String] = []

  init(account: Account) { self.account = account }

  /// What the recorded end and this end said of themselves, in INFO and CONNECT.
  private(set) var recordedIntroductions: [String] = []
  private(set) var introductions: [String] = []

  /// This end said this.
  func heard(_ lines: [String]) {
    for line in lines where !Self.isOwn(line) {
      if line.hasPrefix("INFO ") || line.hasPrefix("CONNECT ") { introductions.append(line) } else { said.append(line) }
    }
  }

  /// The recorded end said this: makes this end have the same cause.
  func cause(_ operation: LeafOperation) {
    let line = described(operation)
    guard !Self.isOwn(line) else { return }
    switch operation.kind {
    case .subscribe:
      expect(line)
      let key = String(line.split(separator: " ")[1]) + " " + operation.queue.string
      let members = operation.queue.isEmpty ? 1 : operation.weight
      while subscriptions[key, default: []].count < members { subscribe(operation, key) }
      while subscriptions[key, default: []].count > members { account.remove(subscriptions[key]!.removeLast()) }
    case .unsubscribe:
      expect(line)
      for subscription in subscriptions.removeValue(forKey: operation.subject.string + " " + operation.queue.string) ?? [] {
        account.remove(subscription)
      }
    case .message:
      expect(line)
      var message = Message(
        subject: operation.subject, reply: operation.reply, headers: operation.headers, payload: operation.payload)
      if let (reply, presented) = LeafLink.splitDelivery(operation.reply) {
        message.reply = reply
        message.presentedSubject = presented
      }
      account.publish(message)
    case .pong: expect("PONG")
    case .error: expect(line)
    case .info, .connect: recordedIntroductions.append(line)
    case .ping, .ignored: break
    }
  }

  private func subscribe(_ operation: LeafOperation, _ key: String) {
    let subscription = account.subscribe(
      ByteString(operation.subject), queue: operation.queue.isEmpty ? nil : ByteString(operation.queue)
    ) { [unowned self] message, source in
      // What it published itself is none of the other end's.
      if source.kind == .leaf { got.append("\(key) <- \(message.shownSubject.string) \(message.size)") }
    }
    subscriptions[key, default: []].append(subscription)
  }

  /// The other end says this: what this end's subscriptions will get of it.
  func willReceive(_ operation: LeafOperation) {
    guard operation.kind == .message else { return }
    var queues: [String] = []
    operation.forEachQueue { queues.append($0.string) }
    let shown = LeafLink.splitDelivery(operation.reply)?.subject ?? operation.subject
    for (key, members) in subscriptions where !members.isEmpty {
      let parts = key.split(separator: " ", omittingEmptySubsequences: false)
      guard Subject.matches(operation.subject, ByteString(String(parts[0]))), parts[1].isEmpty || queues.contains(String(parts[1])) else {
        continue
      }
      expected.append("\(key) <- \(shown.string) \(operation.body.count)")
    }
  }

  private var wanted: [String] = []
  private func expect(_ line: String) { wanted.append(line) }

  /// What was expected must have been said by now.
  func settle() {
    for line in wanted {
      if let index = said.firstIndex(of: line) { said.remove(at: index) } else { missing.append(line) }
    }
    wanted = []
  }

  /// What this end said beyond what was recorded.
  var surplus: [String] { said }
}
