// Messages that the hub refuses for good: they go to a subject of this side, whose stream keeps them, and those behind them go on.
import Broker
import Bytes
import JetStream
import LogStore
import Platform

extension Forwarder {
  /// Publishes the message to the dead-letter subject; its stream's acknowledgement comes to `storedAside`.
  func setAside(_ sequence: UInt64, _ why: String) {
    guard let deadLetter = options.deadLetter else { preconditionFailure("only a forward with a dead-letter subject sets messages aside") }
    host.log.warning("Forward \(stream.name.string): message \(sequence) is set aside on \(deadLetter.string): \(why)")
    var headers: [UInt8] = []
    var payload: [UInt8] = []
    // Copied: what publishing does may read the log, too.
    let outcome = stream.read(sequence) { message in
      self.origin.appendHeaders(sequence, message.timestamp_ns, headers: message.headers, to: &headers)
      // Behind the other headers, ahead of the empty line that ends them.
      headers.removeLast(2)
      headers.append(literal: "Petiole-Subject: ")
      headers.append(message.subject)
      headers.append(literal: "\r\nPetiole-Refused: ")
      headers.append(contentsOf: why.utf8)
      headers.append(literal: "\r\n\r\n")
      payload = message.payload.bytes
    }
    switch outcome {
    case .found: break
    case .none, .damaged:
      // Its stream's limits or the medium took it meanwhile: there is nothing left to keep.
      return perform(machine.isSetAside(sequence, now_ms: now_ms))
    case .failed: return notSetAside(sequence, "message \(sequence) cannot be read now")
    }
    let taken = deadLetter.withView { subject in
      replySubject("d", sequence).withView { reply in
        headers.withView { headers in
          payload.withView { account.publish(Message(subject: subject, reply: reply, headers: headers, payload: $0)) }
        }
      }
    }
    if !taken { notSetAside(sequence, "no stream here takes the dead-letter subject \(deadLetter.string): declare one") }
  }

  /// The dead-letter stream has answered.
  func storedAside(_ sequence: UInt64, _ message: Message) {
    switch PublishAck(message.payload) {
    case .stored:
      perform(machine.isSetAside(sequence, now_ms: now_ms))
      saveSoon()
    case .refused(let text, _): notSetAside(sequence, "the dead-letter stream refused message \(sequence): \(text)")
    case .unreadable: break
    }
  }

  private func notSetAside(_ sequence: UInt64, _ text: String) {
    perform(machine.notSetAside(sequence, text, now_ms: now_ms))
  }
}
