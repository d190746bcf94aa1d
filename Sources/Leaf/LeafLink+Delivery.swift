// Messages to the other end.
import Broker
import Bytes
import Interest
import Platform

extension LeafLink {
  /// One copy for all of the other end's plain interest that `message` matches, and for its queue groups in `queues`.
  func give(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    guard maySend(message) else { return false }
    guard message.size <= peer.maxPayload else {
      dropped += 1
      return false
    }
    output.message(message, queues: queues, headers: peer.headers)
    sentTraffic.count(message.size)
    if source.kind == .client, output.pending > options.pendingMax / 4 * 3 { source.stall() }
    return true
  }

  /// Whether the other end may have `message`, as far as its subject tells.
  func maySend(_ message: Message) -> Bool {
    guard isEstablished, maySend(message.subject) else { return false }
    guard carriesForwards else { return true }
    for subject in held.outbound where Subject.matches(message.subject, subject) { return false }
    return true
  }

  /// Forwards go over links to hubs that were dialled: what they carry does not also cross there live.
  public var carriesForwards: Bool { role == .dialled }

  /// Sends a message to the hub directly, past routing and past what is held back for the forwarder: the forwarder's own. It is a
  /// client of the hub's JetStream and so may speak to its API, which nothing else on this side may.
  /// False: the link does not work, or `refusal` says why the hub does not take it.
  public func send(_ message: Message) -> Bool {
    guard isEstablished, refusal(of: message) == nil else { return false }
    output.message(message, queues: [], headers: peer.headers)
    sentTraffic.count(message.size)
    return true
  }

  /// Why the hub would not take a message; nil when it does, as far as it has said.
  func refusal(of message: Message) -> ForwardRefusal? {
    if !sendPermission.isUnrestricted, !sendPermission.permits(message: message.subject) { return .notPermitted }
    if message.size > peer.maxPayload { return .tooLarge }
    return peer.headers || message.headers.isEmpty ? nil : .other
  }

  /// The hub's JetStream API, as requests over this link name it.
  public var hubAPIPrefix: String { peer.domain.isEmpty ? "$JS.API." : "$JS.\(peer.domain.string).API." }
}
