// What a stream keeps for the features beyond storing: expiry by TTL, schedules, batches. One object, so that streams that use none of them stay small.
import Bytes
import Platform

final class StreamExtras {
  // MARK: TTLs (Stream+Expiry)

  /// Messages with a TTL by when they expire, on AgeClock's scale of life.
  var due = DueIndex()
  let dueTimer = Timer()
  /// Sequences that are yet to be looked at for TTLs: all after a start, later a block of `due`.
  var unread: ClosedRange<UInt64>?
  /// Below it no message expires by age: it has `Nats-TTL: never`.
  var ageFloor: UInt64 = 0

  // MARK: The limit per subject (Stream+Removal)

  /// Subjects that may have more messages than they should: what had to be looked at was too much for one turn.
  var overdue = ByteMap<Bool>()
  let overdueTimer = Timer()

  // MARK: Last messages (Stream+LastMessages)

  /// Subjects whose last message is looked for.
  var unsettled = ByteMap<Bool>()
  let unsettledTimer = Timer()

  // MARK: Schedules (Stream+Schedules)

  /// By the subject of the message that says so.
  var schedules = ByteMap<Schedule>()
  let scheduleTimer = Timer()

  // MARK: Batches (Stream+AtomicBatch, Stream+FastBatch)

  var atomicBatches = ByteMap<PublishBatch>()
  var fastBatches = ByteMap<PublishBatch>()
}
