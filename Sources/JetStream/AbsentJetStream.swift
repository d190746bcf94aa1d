// Answers the JetStream API in accounts that have no JetStream, on a server that has (jetstream-api.md section 23).
import Broker
import Bytes
import Interest
import JSON

/// Says "not enabled" in the words of each request's own answer.
public final class AbsentJetStream {
  /// A request that has an answer: the tokens behind `$JS.API.` up to the names, the type of its answer, and what stays of that beside
  /// an error.
  private struct Answer {
    let path: StaticString
    let names: Int
    let type: StaticString
    var rest: StaticString = ""
    /// Whether more tokens may follow.
    var isOpen = false
    /// Whether the answer is another than that there is no JetStream: a cluster would have it.
    var isClustered = false
  }

  private static var answers: [Answer] {
    [
      Answer(path: "INFO", names: 0, type: "account_info"),
      Answer(path: "STREAM.CREATE", names: 1, type: "stream_create"), Answer(path: "STREAM.UPDATE", names: 1, type: "stream_update"),
      Answer(path: "STREAM.DELETE", names: 1, type: "stream_delete"),
      Answer(path: "STREAM.INFO", names: 1, type: "stream_info", rest: ",\"total\":0,\"offset\":0,\"limit\":0"),
      Answer(path: "STREAM.NAMES", names: 0, type: "stream_names", rest: ",\"total\":0,\"offset\":0,\"limit\":0,\"streams\":null"),
      Answer(path: "STREAM.LIST", names: 0, type: "stream_list", rest: ",\"total\":0,\"offset\":0,\"limit\":0,\"streams\":[]"),
      Answer(path: "STREAM.PURGE", names: 1, type: "stream_purge", rest: ",\"purged\":0"),
      Answer(path: "STREAM.SNAPSHOT", names: 1, type: "stream_snapshot"),
      Answer(path: "STREAM.RESTORE", names: 1, type: "stream_restore", rest: ",\"deliver_subject\":\"\""),
      Answer(path: "STREAM.MSG.GET", names: 1, type: "stream_msg_get"),
      Answer(path: "STREAM.MSG.DELETE", names: 1, type: "stream_msg_delete"),
      Answer(path: "STREAM.LEADER.STEPDOWN", names: 1, type: "stream_leader_stepdown", isClustered: true),
      Answer(path: "STREAM.PEER.REMOVE", names: 1, type: "stream_remove_peer", isClustered: true),
      Answer(path: "CONSUMER.CREATE", names: 1, type: "consumer_create", isOpen: true),
      Answer(path: "CONSUMER.DURABLE.CREATE", names: 2, type: "consumer_create"),
      Answer(path: "CONSUMER.INFO", names: 2, type: "consumer_info"), Answer(path: "CONSUMER.DELETE", names: 2, type: "consumer_delete"),
      Answer(
        path: "CONSUMER.PAUSE", names: 2, type: "consumer_pause", rest: ",\"paused\":false,\"pause_until\":\"0001-01-01T00:00:00Z\""),
      Answer(path: "CONSUMER.UNPIN", names: 2, type: "consumer_unpin"),
      Answer(path: "CONSUMER.LEADER.STEPDOWN", names: 2, type: "consumer_leader_stepdown", isClustered: true),
      Answer(path: "CONSUMER.NAMES", names: 1, type: "consumer_names", rest: ",\"total\":0,\"offset\":0,\"limit\":0,\"consumers\":[]"),
      Answer(path: "CONSUMER.LIST", names: 1, type: "consumer_list", rest: ",\"total\":0,\"offset\":0,\"limit\":0,\"consumers\":[]"),
    ]
  }

  public let account: Account
  private let isSystem: Bool
  private var subscription: Subscription?

  public init(account: Account, isSystem: Bool) {
    self.account = account
    self.isSystem = isSystem
    subscription = account.offer("$JS.API.>", origin: .service) { [unowned(unsafe) self] message, _ in  // safe: removed in `stop`
      answer(message)
    }
  }

  public func stop() {
    if let subscription { account.remove(subscription) }
    subscription = nil
  }

  /// Returns false for what only a stream or a consumer would answer.
  private func answer(_ message: Message) -> Bool {
    let path = message.subject.dropFirst(JetStream.apiPrefix.utf8CodeUnitCount)
    if path.hasPrefix("CONSUMER.MSG.NEXT.") || path.hasPrefix("DIRECT.GET.") { return false }
    let tokens = Subject.tokenCount(path)
    for answer in Self.answers {
      let length = answer.path.utf8CodeUnitCount
      guard path.hasPrefix(answer.path), path.count == length || path[length] == ASCII.dot,
        case let names = tokens - Subject.tokenCount(ByteView(answer.path)),
        names == answer.names || (answer.isOpen && names > answer.names)
      else { continue }
      let isNamed = !isSystem || answer.path.utf8CodeUnitCount == 4
      var response = APIResponse(isNamed ? answer.type : "system")
      response.error(answer.isClustered ? .clusteringRequired : .notEnabled)
      var body = response.finish()
      if isNamed, answer.rest.utf8CodeUnitCount > 0 {
        body.removeLast()
        body.append(literal: answer.rest)
        body.append(literal: "}")
      }
      if !message.reply.isEmpty { account.publish(to: ByteString(message.reply), body) }
      return true
    }
    return true
  }
}
