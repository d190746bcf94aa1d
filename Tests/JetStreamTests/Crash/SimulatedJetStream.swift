// One life of a JetStream on a simulated machine, from a start to a kill or a power cut, with a client beside it. It starts as the agent's
// does: the store is opened, streams and consumers are recovered.
import Broker
import Bytes
import LogStore
import Platform

@testable import JetStream

final class SimulatedJetStream {
  static let directory = "/data"

  let account: Account
  let store: LogStore
  let jetStream: JetStream
  let consumers: ConsumerEngine
  let report: RecoveryReport
  /// Whether everything that the start found is on the medium.
  var isSure: Bool { store.durablePosition == store.appendedPosition }
  private let outside: Endpoint
  private var listeners: [String: (Received) -> Void] = [:]
  private var asked = 0

  init(_ host: Host, _ options: LogStore.Options) throws(StoreError) {
    account = Account(name: "$G", seed: 7)
    store = LogStore(host: host, directory: SimulatedJetStream.directory, options: options)
    report = try store.open()
    jetStream = JetStream(host: host, account: account, store: store)
    consumers = ConsumerEngine(jetStream: jetStream)
    jetStream.consumerAPI = consumers
    outside = Outside(account: account)
    jetStream.start()
    account.subscribe("_INBOX.>") { [unowned self] message, _ in
      listeners[message.subject.string]?(
        Received(
          subject: message.shownSubject.string, reply: message.reply.string, headers: message.headers.string,
          payload: message.payload.string))
    }
  }

  /// The process is gone. Its objects refer to each other and would stay for ever.
  func end() {
    listeners = [:]
    for stream in jetStream.streams {
      stream.consumers.removeAll()
      stream.feeds.removeAll()
    }
  }

  /// A new inbox, with something behind its name, whose messages `take` gets.
  func inbox(_ end: String = "", _ take: @escaping (Received) -> Void) -> String {
    asked += 1
    let subject = "_INBOX.\(asked)\(end)"
    listeners[subject] = take
    return subject
  }

  func send(_ subject: String, _ payload: String, headers: [(String, String)] = [], reply: String = "") {
    account.route(subject, payload, headers: headers, reply: reply, from: outside)
  }

  /// Sends a request whose first answer `answered` gets.
  func request(_ subject: String, _ payload: String, headers: [(String, String)] = [], answered: @escaping (Received) -> Void) {
    var reply = ""
    reply = inbox { [unowned self] answer in
      listeners[reply] = nil
      answered(answer)
    }
    send(subject, payload, headers: headers, reply: reply)
  }

  func stream(_ name: String) -> Stream? { jetStream.stream(ByteString(name)) }

  func consumer(_ stream: String, _ name: String) -> Consumer? {
    ByteString("\(stream).\(name)").withView { consumers.consumer($0) }
  }
}

extension Stream {
  /// The sequences of its messages.
  var sequences: [UInt64] {
    var all: [UInt64] = []
    var next = log.nextSequence(atOrAfter: 0)
    while let sequence = next {
      all.append(sequence)
      next = log.nextSequence(atOrAfter: sequence + 1)
    }
    return all
  }
}
