// The forwards as a group: which goes first, and what an operator may tell them.
import Broker
import Bytes
import JSON
import Leaf

extension Agent {
  /// Forwards of a higher number wait for those of a lower one.
  func rankForwards() {
    for forwarder in forwarders {
      let ahead = forwarders.filter { $0.options.priority < forwarder.options.priority }
      let behind = forwarders.filter { $0.options.priority > forwarder.options.priority }
      if !ahead.isEmpty { forwarder.mustWait = { ahead.contains { $0.isBusy } } }
      if !behind.isEmpty { forwarder.onIdle = { for other in behind { other.goOn() } } }
    }
  }

  /// `$PETIOLE.FORWARD.<stream>.PAUSE` and `….RESUME`, requests of local clients of the stream's account; the answer comes when it
  /// outlives a restart.
  func listenForPauses() {
    for forwarder in forwarders where forwarders(like: forwarder).first === forwarder {
      for isPause in [true, false] {
        let subject = ByteString("$PETIOLE.FORWARD.\(forwarder.streamName.string).\(isPause ? "PAUSE" : "RESUME")")
        forwarder.account.subscribe(subject, origin: .service) { [unowned(unsafe) self] message, source in  // safe: the account goes with the agent
          // Every gateway of a backbone has this subject; it is for those beside this one.
          guard source.kind == .client else { return }
          self.pause(isPause, forwarder, reply: ByteString(message.reply))
        }
      }
    }
  }

  /// The forwards of one stream.
  private func forwarders(like one: Forwarder) -> [Forwarder] {
    forwarders.filter { $0.streamName == one.streamName && $0.account === one.account }
  }

  private func pause(_ isPause: Bool, _ forwarder: Forwarder, reply: ByteString) {
    let concerned = forwarders(like: forwarder)
    var waiting = concerned.count
    for forwarder in concerned {
      forwarder.pause(isPause) {
        waiting -= 1
        guard waiting == 0, !reply.isEmpty else { return }
        var json = JSONWriter()
        json.beginObject()
        json.field("stream", forwarder.streamName)
        json.field("paused", isPause)
        json.endObject()
        forwarder.account.publish(to: reply, json.finish())
      }
    }
  }
}
