// JetStream is taken from an account while the server runs: nothing is served any more, and what is stored stays as it is.
import Broker
import Bytes
import Platform

extension JetStream {
  /// Serves no more and leaves in the store what is there; the engine of its consumers stops first. What waits for the medium is
  /// acknowledged still. Keep the object: what is under way refers to it. Another one goes on where it stopped. Returns the memory streams
  /// that are gone with it.
  public func stop() -> [ByteString] {
    if let apiSubscription { account.remove(apiSubscription) }
    apiSubscription = nil
    for restore in restores { restore.abandon() }
    var lost: [ByteString] = []
    for stream in streams {
      stream.unsubscribe()
      stream.endFeeds(isDropped: false)
      host.timers.cancel(stream.ageTimer)
      stream.endExtras()
      host.timers.cancel(stream.extras.scheduleTimer)
      // Nothing that is under way may change it any more.
      stream.isDeleted = true
      table.remove(stream.name)
      stream.dedupe.removeAll()
      stream.consumers.removeAll()
      if !stream.isFile {
        lost.append(stream.name)
        stream.log.removeThrough(stream.log.lastSequence)
      }
    }
    return lost
  }
}
