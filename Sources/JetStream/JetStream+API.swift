// The JetStream API: where requests come in, which handler gets them, and how answers leave. The handlers are in API+….swift.
import Broker
import Bytes
import Interest
import JSON
import LogStore
import Platform
import Wire

extension JetStream {
  func subscribeAPI() {
    apiSubscription = account.subscribe("$JS.API.>", origin: .service) { [unowned(unsafe) self] message, source in
      outsideOfPublishing(message, source) { message, source in
        self.dispatch(APIRequest(message: message, source: source))  // the engine lives as long as its account
      }
    }
    if !options.domain.isEmpty { mapDomain(options.domain) }
  }

  /// Hands a message to `handle`: at once when it came from outside, at the end of the turn when this server published it itself.
  /// Whoever is in the middle of publishing (a consumer whose client chose a strange reply subject) must not be changed under its feet.
  func outsideOfPublishing(_ message: Message, _ source: Endpoint, _ handle: @escaping (Message, Endpoint) -> Void) {
    guard source.kind == .internal else { return handle(message, source) }
    let subject = ByteString(message.subject)
    let reply = ByteString(message.reply)
    let headers = ByteString(message.headers)
    let payload = ByteString(message.payload)
    host.turn.defer { [self] in
      guard apiSubscription != nil else { return }  // it was stopped meanwhile
      subject.withView { subject in
        reply.withView { reply in
          headers.withView { headers in
            payload.withView { payload in
              handle(Message(subject: subject, reply: reply, headers: headers, payload: payload), source)
            }
          }
        }
      }
    }
  }

  /// The subjects under which the API is reached by the domain's name (leafnode-protocol.md section 14.1).
  private func mapDomain(_ domain: ByteString) {
    let prefix = ByteString("$JS.") + domain + ByteString(".API.")
    account.map(SubjectPrefixMapping(source: prefix + ByteString("INFO"), destination: "$JS.API.INFO"))
    let spaces: [ByteString] = ["STREAM.>", "CONSUMER.>", "DIRECT.>", "META.>", "SERVER.>", "ACCOUNT.>"]
    for space in spaces { account.map(SubjectPrefixMapping(source: prefix + space, destination: ByteString("$JS.API.") + space)) }
    account.map(SubjectPrefixMapping(source: prefix + ByteString("$KV.>"), destination: "$KV.>"))
    account.map(SubjectPrefixMapping(source: prefix + ByteString("$OBJ.>"), destination: "$OBJ.>"))
  }

  /// Hands a request to its handler. Unknown requests get no answer at all (section 1.1).
  func dispatch(_ request: APIRequest) {
    guard let first = request.token(0) else { return }
    if first.equals("CONSUMER") {
      if let verb = request.token(1), verb.equals("LEADER") {
        guard request.tokenCount == 5, let action = request.token(2), action.equals("STEPDOWN") else { return }
        return fail(request, "consumer_leader_stepdown", .clusteringRequired)
      }
      consumerAPI?.handleConsumerRequest(request)
    } else if first.equals("STREAM") {
      dispatchStream(request)
    } else if first.equals("DIRECT") {
      if let verb = request.token(1), verb.equals("GET") { directGet(request) }
    } else if first.equals("INFO"), request.tokenCount == 1 {
      accountInfo(request)
    }
  }

  private func dispatchStream(_ request: APIRequest) {
    guard let verb = request.token(1) else { return }
    let count = request.tokenCount
    if count == 2 {
      if verb.equals("NAMES") {
        streamNames(request)
      } else if verb.equals("LIST") {
        streamList(request)
      }
    } else if count == 3, let name = request.token(2) {
      if verb.equals("INFO") {
        streamInfo(request, name)
      } else if verb.equals("CREATE") {
        createStream(request, name)
      } else if verb.equals("UPDATE") {
        updateStream(request, name)
      } else if verb.equals("DELETE") {
        deleteStream(request, name)
      } else if verb.equals("PURGE") {
        purgeStream(request, name)
      } else if verb.equals("SNAPSHOT") {
        snapshotStream(request, name)
      } else if verb.equals("RESTORE") {
        restoreStream(request, name)
      } else if verb.equals("CANCEL_MOVE") {
        fail(request, "stream_cancel_move", .clusteringRequired)
      }
    } else if count == 4, let inner = request.token(2), let name = request.token(3) {
      if verb.equals("MSG"), inner.equals("GET") {
        getMessage(request, name)
      } else if verb.equals("MSG"), inner.equals("DELETE") {
        deleteMessage(request, name)
      } else if verb.equals("LEADER"), inner.equals("STEPDOWN") {
        fail(request, "stream_leader_stepdown", .clusteringRequired)
      } else if verb.equals("PEER"), inner.equals("REMOVE") {
        fail(request, "stream_remove_peer", .clusteringRequired)
      } else if verb.equals("PEER"), inner.equals("EVACUATE") {
        fail(request, "stream_evacuate_peer", .clusteringRequired)
      }
    }
  }

  // MARK: Answers

  /// Refuses a request that requires a level that is not there (section 1.5).
  func checkLevel(_ request: APIRequest) throws(APIError) {
    guard !request.message.headers.isEmpty, let level = request.headers.value("Nats-Required-Api-Level") else { return }
    guard JetStream.isLevelSupported(level) else { throw .apiLevel }
  }

  /// Answers with an error. `fields` writes what stays of the response beside it (section 1.6).
  public func fail(
    _ request: APIRequest, _ type: StaticString, _ error: APIError, fields: ((inout JSONWriter) -> Void)? = nil
  ) {
    var response = APIResponse(type)
    response.error(error)
    fields?(&response.json)
    answer(request, response.finish(), failed: true)
  }

  /// Answers now and counts the call.
  public func answer(_ request: APIRequest, _ response: [UInt8], headers: [UInt8] = [], failed: Bool = false) {
    count(failed: failed)
    audit(request, response)
    guard !request.reply.isEmpty else { return }
    account.publish(to: request.replySubject, response, headers: headers)
  }

  /// Likewise a request that came in an earlier turn.
  func answer(_ request: KeptRequest, _ response: [UInt8], headers: [UInt8] = [], failed: Bool = false) {
    count(failed: failed)
    audit(request, response)
    if !request.reply.isEmpty { account.publish(to: request.reply, response, headers: headers) }
  }

  /// Answers when all that was appended so far is on the medium, and counts the call now.
  public func answerWhenDurable(_ request: APIRequest, _ response: [UInt8], headers: [UInt8] = []) {
    audit(request, response)
    answerWhenDurable(to: request.replySubject, response, headers: headers)
  }

  /// Likewise for a request that came in an earlier turn.
  func answerWhenDurable(_ request: KeptRequest, _ response: [UInt8], headers: [UInt8] = []) {
    audit(request, response)
    answerWhenDurable(to: request.reply, response, headers: headers)
  }

  private func answerWhenDurable(to reply: ByteString, _ response: [UInt8], headers: [UInt8] = []) {
    // Said at once rather than nothing for as long as the disk takes.
    if case .failed = store.state {
      count(failed: true)
      if !reply.isEmpty { account.publish(to: reply, JetStream.refusal(instead: response), headers: headers) }
      return
    }
    count(failed: false)
    guard !reply.isEmpty else { return }
    guard store.durablePosition < store.appendedPosition else {
      account.publish(to: reply, response, headers: headers)
      return
    }
    let account = account
    store.whenDurable(store.appendedPosition) { account.publish(to: reply, response, headers: headers) }
  }

  /// An answer of the same type that says that the store cannot make anything durable now.
  private static func refusal(instead response: [UInt8]) -> [UInt8] {
    // `{"type":"…"` ends with the fourth quote.
    var quotes = 0
    var end = 0
    while end < response.count, quotes < 4 {
      if response[end] == ASCII.quote { quotes += 1 }
      end += 1
    }
    var refusal = Array(response[..<end])
    refusal.append(literal: ",")
    refusal.append(contentsOf: APIError(503, 10077, "the store cannot write").json)
    refusal.append(literal: "}")
    return refusal
  }

  private func count(failed: Bool) {
    apiTotal += 1
    if failed { apiErrors += 1 }
  }
}
