// The state of a batch of messages that is being published: of an atomic one what waits for the commit, of a fast one how far it is.
// What happens to them is in Stream+AtomicBatch and Stream+FastBatch.
import Bytes
import Platform

/// Limits of batches, as nats-server's defaults are unless said otherwise.
enum BatchLimits {
  static let idBytesMax = 64
  static let atomicMessagesMax = 1000
  static let atomicPerStreamMax = 50
  static let atomicTotalMax = 1000
  /// Bytes of all atomic batches that wait for their commit: they are kept in memory, nats-server keeps them in files.
  static let atomicBytesMax = 16 << 20
  static let fastPerStreamMax = 1000
  static let fastTotalMax = 50_000
  static let idle_ns = 10 * second_ns
  /// Messages between two flow control messages of a fast batch, over all of a stream's batches.
  static let fastFlowMax = 500
}

/// A message that waits: subject, headers and payload one behind the other.
struct StagedMessage {
  private let bytes: [UInt8]
  private let subjectLength: Int
  private let headersLength: Int

  init(subject: ByteView, headers: [UInt8], payload: ByteView) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(subject.count + headers.count + payload.count)
    bytes.append(subject)
    bytes.append(contentsOf: headers)
    bytes.append(payload)
    self.bytes = bytes
    subjectLength = subject.count
    headersLength = headers.count
  }

  var size: Int { bytes.count }

  func withViews(_ body: (_ subject: ByteView, _ headers: ByteView, _ payload: ByteView) -> Void) {
    let end = subjectLength + headersLength
    bytes.withView { body($0.prefix(subjectLength), $0.slice(subjectLength, end), $0.dropFirst(end)) }
  }
}

final class PublishBatch {
  let id: ByteString
  /// Ends it when nothing comes any more.
  let timer = Timer()
  /// The last batch sequence.
  var sequence: UInt64 = 0

  // Of an atomic batch.
  var messages: [StagedMessage] = []
  var bytes = 0

  // Of a fast batch.
  /// The last stream sequence that it stored.
  var stored: UInt64 = 0
  /// The batch sequence that was told last.
  var told: UInt64 = 0
  /// It is told every so many messages, and at most every so many.
  var every = 0
  var everyMax = 0
  var allowsGaps = false

  init(id: ByteString) { self.id = id }
}

/// What the messages of an atomic batch that were checked will have done, for the check of the next one.
final class BatchStage {
  final class Subject {
    var count = 0
    var isSchedule = false
    /// The counter's value.
    var value: [UInt8]?
  }

  var count = 0
  /// As the stream accounts them.
  var bytes = 0
  var ids = ByteMap<Bool>()
  var subjects = ByteMap<Subject>()

  /// A message of `size` bytes passed.
  func add(_ subject: ByteView, size: Int, isSchedule: Bool, value: [UInt8]?) {
    count += 1
    bytes += size
    let state = subjects[subject] ?? Subject()
    state.count += 1
    state.isSchedule = isSchedule
    state.value = value
    subjects.set(ByteString(subject), state)
  }
}
