// What the backup of a stream is made of, whichever format it has: BackupArchive is that of nats-server 2.15 and ours, DirectoryBackup
// that of nats-server before. StreamRestore makes a stream of it.
import Bytes
import JSON

/// One entry of an archive: the stream's state (`state.json`), a consumer (`consumers/<name>`), a message (its subject), or the empty end.
struct ArchiveEntry {
  var name = ByteView()
  var timestamp_ns: Int64 = 0
  var sequence: UInt64 = 0
  var headers = ByteView()
  var payload = ByteView()

  var isEnd: Bool { sequence == 0 && name.isEmpty && timestamp_ns == 0 && headers.isEmpty && payload.isEmpty }
}

/// A consumer in a backup.
public struct ConsumerBackup {
  public struct Pending: Equatable {
    let sequence: UInt64
    /// Its first delivery in the consumer's counting.
    let first: UInt64
  }

  public struct Redelivery: Equatable {
    let sequence: UInt64
    let count: UInt64
  }

  let name: ByteString
  /// Its configuration, not checked yet.
  let config: [JSONMember]
  var delivered = SequencePair()
  var floor = SequencePair()
  var pending: [Pending] = []
  var redelivered: [Redelivery] = []

  /// Messages that wait for an ack, and those that were delivered more than once, of one consumer in an archive. A consumer with more has
  /// no backup.
  static let entriesMax = 65_536

  init(name: ByteString, config: [JSONMember]) {
    self.name = name
    self.config = config
  }

  /// About how many bytes of memory it takes.
  var bytes: Int { 512 + config.reduce(0) { $0 + Self.bytes($1) } + 16 * (pending.count + redelivered.count) }

  private static func bytes(_ member: JSONMember) -> Int { 64 + member.name.count + bytes(member.value) }

  private static func bytes(_ value: JSONValue) -> Int {
    switch value {
    case .string(let text): 64 + text.count
    case .array(let values): values.reduce(64) { $0 + bytes($1) }
    case .object(let members): members.reduce(64) { $0 + bytes($1) }
    default: 32
    }
  }
}

/// Why a backup cannot be read.
struct BackupError: Error, Equatable {
  let text: ByteString

  init(_ text: Words) { self.text = text.text }
}

/// Takes the things of a backup as they come. The views of a message are valid during the call.
protocol BackupSink: AnyObject {
  /// Where the stream begins; without it, with its first message.
  func begin(at sequence: UInt64)
  func take(message: ArchiveEntry) throws(BackupError)
  /// A sequence was given; its message may be gone.
  func take(given sequence: UInt64, timestamp_ns: Int64)
  /// Messages that are gone, of whichever are there.
  func take(removed sequences: ClosedRange<UInt64>)
  func take(consumer: ConsumerBackup) throws(BackupError)
}
