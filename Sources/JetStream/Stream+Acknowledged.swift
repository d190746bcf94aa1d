// What becomes of a message that a consumer is done with (section 17). Which messages a stream keeps for other reasons is in
// Stream+Removal.
import Bytes

extension Stream {
  /// Whether a consumer is not done with a message.
  func isNeeded(_ sequence: UInt64, subject: ByteView) -> Bool {
    var isNeeded = false
    consumers.forEach { _, consumer in if !isNeeded { isNeeded = consumer.needs(sequence, subject: subject) } }
    return isNeeded
  }

  /// A consumer is done with a message: it was acknowledged or terminated, or delivered where no ack is waited for. Without limits
  /// retention the message goes when nobody else needs it. Never called while a message is being read.
  func consumerIsDone(with sequence: UInt64) {
    guard config.retention != .limits, !isDeleted else { return }
    var isDone = false
    log.read(sequence) { isDone = !isNeeded(sequence, subject: $0.subject) }
    if isDone { removeOne(sequence) }
  }
}
