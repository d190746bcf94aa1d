// What happens to a client while it is being found out whether it still has its rights: after a reload with another hash of its password
// that takes as long as computing one. It is not heard, and gets nothing; what is for it is kept, and given to it when it may have it.
import Bytes
import Platform

/// Messages for a client that may not get them yet.
final class HeldDeliveries {
  struct Delivery {
    let subscription: Subscription
    let subject: ByteString
    let reply: ByteString
    let headers: ByteString
    let payload: ByteString
  }

  private(set) var deliveries: [Delivery] = []
  private(set) var bytes = 0

  func add(_ message: Message, for subscription: Subscription) {
    deliveries.append(
      Delivery(
        subscription: subscription, subject: ByteString(message.shownSubject), reply: ByteString(message.reply),
        headers: ByteString(message.headers), payload: ByteString(message.payload)))
    bytes += HeldDeliveries.cost(of: message)
  }

  func removeAll() {
    deliveries = []
    bytes = 0
  }

  /// What keeping it takes: its bytes, and about what its parts take besides.
  static func cost(of message: Message) -> Int { message.shownSubject.count + message.reply.count + message.size + 256 }
}

extension ClientConnection {
  /// Keeps what comes for the client, and does not listen to it.
  func hold() {
    guard !isHeld else { return }
    access?.held = HeldDeliveries()
    isHeld = true
    isWaiting = true
    stream.setReading(false)
  }

  /// Gives the client what was kept for it, as far as it may have it now.
  func release() {
    guard isHeld else { return }
    isHeld = false
    isWaiting = false
    let deliveries = access?.held?.deliveries ?? []
    access?.held = nil
    for delivery in deliveries where mayHave(delivery.subscription) {
      delivery.subject.withView { subject in
        delivery.reply.withView { reply in
          delivery.headers.withView { headers in
            delivery.payload.withView { payload in
              _ = write(Message(subject: subject, reply: reply, headers: headers, payload: payload), to: delivery.subscription)
            }
          }
        }
      }
    }
    resumeReading()
  }

  private func mayHave(_ subscription: Subscription) -> Bool {
    guard let permissions else { return true }
    return subscription.subject.withView { subject in
      (subscription.queue ?? ByteString()).withView { permissions.set.allowsSubscribe(subject, queue: $0) }
    }
  }

  /// Keeps a message; a client for which too much is kept reads too slowly.
  @inline(never) func keep(_ message: Message, for subscription: Subscription, from source: Endpoint) -> Bool {
    guard let held = access?.held else { preconditionFailure("a client is held without a place for what is for it") }
    let limit = stream.output.limit
    guard held.bytes + HeldDeliveries.cost(of: message) <= limit else {
      broker.host.turn.defer { [self] in
        guard isHeld, !isClosing else { return }
        broker.slowConsumers += 1
        account.slowConsumers += 1
        close(.slowConsumer)
      }
      return false
    }
    held.add(message, for: subscription)
    retireIfLast(subscription)
    if held.bytes > limit / Self.stallDenominator * Self.stallNumerator, source !== self { source.stall() }
    return true
  }
}
