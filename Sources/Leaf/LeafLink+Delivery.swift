// Messages to the other end.
import Broker
import Bytes
import Interest
import Platform

extension LeafLink {
  /// One copy for all of the other end's plain interest that `message` matches, and for its queue groups in `queues`.
  func give(_ message: Message, queues: [ByteString], from source: Endpoint) -> Bool {
    guard maySend(message) else { return false }
    let isBacklog = source === account.deliveries
    guard message.size <= peer.maxPayload, hasRoom(isBacklog) else {
      dropped += 1
      return false
    }
    output.message(message, queues: queues, headers: peer.headers, lane: isBacklog ? .backlog : .ordinary)
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

  /// Whether another message may wait. A link that is allowed less than it is given does not end of it: what does not fit in ten seconds is not
  /// sent. Deliveries of stored messages come again, and must not fill the whole room.
  private func hasRoom(_ isBacklog: Bool) -> Bool {
    if isBacklog { return output.pending < options.pendingMax / 4 * 3 }
    guard let rate = options.rateLimit else { return true }
    return output.ordinaryPending < max(Int(clamping: min(10 * rate, Int64(options.pendingMax / 2))), Self.ordinaryMin)
  }

  private static let ordinaryMin = 64 * 1024

  /// Sends a message to the hub directly, past routing and past what is held back for the forwarder: the forwarder's own. It is a
  /// client of the hub's JetStream and so may speak to its API, which nothing else on this side may.
  /// False: the link does not work, or `refusal` says why the hub does not take it.
  public func send(_ message: Message) -> Bool {
    guard isEstablished, refusal(of: message) == nil else { return false }
    // All that forwards say is in one lane: what the hub is asked must not overtake what it was sent.
    output.message(message, queues: [], headers: peer.headers, lane: .backlog)
    sentTraffic.count(message.size)
    return true
  }

  /// Why the hub would not take a message; nil when it does, as far as it has said.
  func refusal(of message: Message) -> ForwardRefusal? {
    if !sendPermission.isUnrestricted, !sendPermission.permits(message: message.subject) { return .notPermitted }
    if message.size > peer.maxPayload { return .tooLarge }
    return peer.headers || message.headers.isEmpty ? nil : .other
  }

  /// Whether backlog waits here, or was sent and is not acknowledged by the other end's kernel.
  var isSendingBacklog: Bool { output.backlogPending > 0 || (stream.way?.acknowledged ?? .max) < output.backlogEnd }

  /// Calls `work` once when more backlog can be taken.
  func whenBacklogIsLow(_ work: @escaping () -> Void) { output.whenBacklogIsLow(work) }

  /// The hub's JetStream API, as requests over this link name it.
  public var hubAPIPrefix: String { peer.domain.isEmpty ? "$JS.API." : "$JS.\(peer.domain.string).API." }
}
