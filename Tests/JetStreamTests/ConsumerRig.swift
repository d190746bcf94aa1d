// A JetStream with consumers and one client that pulls: beside Rig, which knows no consumers.
import Broker
import Bytes
import JSON
import Platform

@testable import JetStream

/// A delivered message or a status.
struct Delivered {
  let subject: String
  let reply: String
  let headers: String
  let payload: String

  /// The first line without `NATS/1.0 `; empty for messages.
  var status: String {
    let line = headers.split(separator: "\r\n").first.map(String.init) ?? ""
    return line.hasPrefix("NATS/1.0 ") ? String(line.dropFirst(9)) : ""
  }
  /// The numbers of the ack subject: deliveries, stream sequence, consumer sequence, left.
  var numbers: [Int] {
    let tokens = reply.split(separator: ".")
    guard tokens.count == 9 else { return [] }
    return [4, 5, 6, 8].map { Int(tokens[$0])! }
  }
}

final class ConsumerRig {
  let rig: Rig
  let consumers: ConsumerEngine
  private var inbox: [(to: String, message: Delivered)] = []
  private var asked = 0
  private var subscriptions: [String: Subscription] = [:]

  init(_ rig: Rig) {
    self.rig = rig
    consumers = ConsumerEngine(jetStream: rig.jetStream)
    rig.jetStream.consumerAPI = consumers
    for stream in rig.jetStream.streams { consumers.streamRecovered(stream) }
    rig.settle()
  }

  convenience init() throws { self.init(try Rig()) }

  func restarted() throws -> ConsumerRig { ConsumerRig(try rig.restarted()) }

  /// Listens, and keeps what comes.
  func listen(_ subject: String) {
    subscriptions[subject] = rig.account.subscribe(ByteString(subject)) { [unowned self] message, _ in
      inbox.append(
        (
          message.subject.string,
          Delivered(
            subject: message.shownSubject.string, reply: message.reply.string, headers: message.headers.string,
            payload: message.payload.string)
        ))
    }
  }

  func stopListening(_ subject: String) {
    if let subscription = subscriptions.removeValue(forKey: subject) { rig.account.remove(subscription) }
  }

  func take(_ subject: String) -> [Delivered] {
    let found = inbox.filter { $0.to == subject }.map(\.message)
    inbox.removeAll { $0.to == subject }
    return found
  }

  /// Sends a pull request and returns where its answers come.
  @discardableResult
  func pull(_ consumer: String, _ body: String = "") -> String {
    asked += 1
    let reply = "_PULL.\(asked)"
    listen(reply)
    rig.send("$JS.API.CONSUMER.MSG.NEXT.\(consumer)", body, replyTo: reply)
    return reply
  }

  /// Pulls, lets everything happen that needs no time, and returns the answers.
  func fetch(_ consumer: String, _ body: String = "") -> [Delivered] {
    let reply = pull(consumer, body)
    rig.settle()
    return take(reply)
  }

  func publish(_ subject: String, _ payload: String = "") {
    rig.send(subject, payload)
    rig.settle()
  }

  func ack(_ message: Delivered, _ payload: String = "") {
    rig.send(message.reply, payload, reply: false)
    rig.settle()
  }

  /// Acks and returns the confirmations.
  func confirmedAck(_ message: Delivered, _ payload: String = "") -> [Delivered] {
    asked += 1
    let reply = "_PULL.\(asked)"
    listen(reply)
    rig.send(message.reply, payload, replyTo: reply)
    rig.settle()
    return take(reply)
  }

  @discardableResult
  func create(_ stream: String, _ name: String, _ config: String) -> Received {
    rig.call("$JS.API.CONSUMER.CREATE.\(stream).\(name)", #"{"stream_name":"\#(stream)","config":\#(config)}"#)
  }

  func info(_ path: String) -> JSONValue { rig.call("$JS.API.CONSUMER.INFO.\(path)").json }
}
