// Messages from the other end.
import Broker
import Bytes
import Interest
import Wire

extension LeafLink {
  func receiveMessage(_ operation: LeafOperation) {
    receivedTraffic.count(operation.body.count)
    account.received.count(operation.body.count)
    guard receivePermission.isUnrestricted || mayReceive(operation.subject) else {
      // A hub polices its spokes; a spoke drops what it may not import without a word (section 10.1).
      return role.isSpoke ? () : refuse(.publish(ByteString(operation.subject)))
    }
    // A hub administers its own JetStream and not this one's, which it reaches as `$JS.<domain>.API` (section 14.2).
    if role.isSpoke, Self.isJetStreamPrivate(operation.subject) { return }
    if carriesForwards {
      for subject in held.inbound where Subject.matches(operation.subject, subject) { return }
    }
    var message = Message(
      subject: operation.subject, reply: operation.reply, headers: operation.headers, payload: operation.payload)
    if let (reply, presented) = Self.splitDelivery(operation.reply) {
      message.reply = reply
      // Who may only publish some subjects shows no others.
      if role.isSolicitor || receivePermission.permits(message: presented) { message.presentedSubject = presented }
    }
    if operation.queues.isEmpty {
      account.routeFromLeaf(message, queues: [], from: self)
    } else {
      var queues: [ByteString] = []
      operation.forEachQueue { queues.append(ByteString($0)) }
      account.routeFromLeaf(message, queues: queues, from: self)
    }
  }

  private func mayReceive(_ subject: ByteView) -> Bool {
    guard receivePermission.permits(message: subject) || isAnswer(subject) else { return false }
    // Permissions are about subjects as they are sent: another server reaches this one's JetStream by its domain alone. What this server
    // denies whom it has let in stays denied on that way, too.
    guard !role.isSolicitor, let mapped = account.mapped(subject) else { return true }
    return !mapped.withView { receivePermission.denies(message: $0) }
  }

  /// Answers to what a service import asked, and acknowledgements, come in whatever else may (section 10.3).
  private func isAnswer(_ subject: ByteView) -> Bool {
    !role.isSpoke && (subject.hasPrefix("_R_.") || subject.hasPrefix("$JS.ACK."))
  }

  /// A JetStream delivery carries its original subject behind an `@` in the ack reply (section 13.4).
  static func splitDelivery(_ reply: ByteView) -> (reply: ByteView, subject: ByteView)? {
    guard reply.hasPrefix("$JS.ACK.") else { return nil }
    var dots = 0
    for index in 0..<reply.count {
      if reply[index] == ASCII.dot {
        dots += 1
      } else if reply[index] == ASCII.at, dots >= 8, index < reply.count - 1 {
        return (reply.prefix(index), reply.dropFirst(index + 1))
      }
    }
    return nil
  }
}
