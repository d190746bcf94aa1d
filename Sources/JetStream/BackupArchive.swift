// The archive in a stream's backup, as nats-server 2.15 reads and writes it (section 20): `NATSARC1`, then entries of
// name length, time (zigzag), sequence, header length, payload length, name, header, payload; numbers have 7 bits per byte. Pure.
import Bytes
import JSON
import LogStore

enum BackupArchive {
  static let magic: StaticString = "NATSARC1"

  static func append(_ entry: ArchiveEntry, to output: inout [UInt8]) {
    Varint.append(UInt64(truncatingIfNeeded: entry.name.count), to: &output)
    Varint.append(Varint.zigzag(entry.timestamp_ns), to: &output)
    Varint.append(entry.sequence, to: &output)
    Varint.append(UInt64(truncatingIfNeeded: entry.headers.count), to: &output)
    Varint.append(UInt64(truncatingIfNeeded: entry.payload.count), to: &output)
    output.append(entry.name)
    output.append(entry.headers)
    output.append(entry.payload)
  }
}

/// Takes an archive apart that comes in pieces.
final class ArchiveReader {
  /// Names are subjects or consumers' names.
  static let nameBytesMax = 64 << 10
  static let stateBytesMax = 1 << 20
  /// What a consumer's configuration and `ConsumerBackup.entriesMax` entries of both kinds take.
  static let consumerBytesMax = 8 << 20
  /// Three values for each message that waits, one for each that was delivered again.
  private static let consumerNodesMax = 4 * ConsumerBackup.entriesMax + JSON.nodesMax
  static let consumersMax = 100_000

  /// Headers and payload of a message.
  private let messageBytesMax: Int

  private var hasMagic = false
  private var hasState = false
  private var consumersLeft: UInt64 = 0
  /// Whether the archive is complete.
  private(set) var hasEnd = false

  init(messageBytesMax: Int = LogStore.Limits.recordBytesMax) { self.messageBytesMax = messageBytesMax }

  /// Takes the next entry if `view` has it as a whole. Returns how many bytes of the view that took; 0 when more has to come.
  func next(_ view: ByteView, _ sink: any BackupSink) throws(BackupError) -> Int {
    if hasEnd { return view.count }
    var rest = view
    if !hasMagic {
      let magic = ByteView(BackupArchive.magic)
      guard rest.count >= magic.count else { return 0 }
      guard rest.hasPrefix(magic) else { throw Self.malformed }
      rest = rest.dropFirst(magic.count)
    }
    guard let nameLength = try Varint.read(&rest), let time = try Varint.read(&rest), let sequence = try Varint.read(&rest),
      let headersLength = try Varint.read(&rest), let payloadLength = try Varint.read(&rest)
    else { return 0 }
    let most = UInt64(!hasState ? Self.stateBytesMax : consumersLeft > 0 ? Self.consumerBytesMax : messageBytesMax)
    guard nameLength <= UInt64(Self.nameBytesMax) else { throw Self.malformed }
    // Before it is collected.
    guard headersLength <= most, payloadLength <= most - headersLength else {
      throw BackupError(hasState && consumersLeft == 0 ? "message exceeds maximum message size" : "an entry is too large")
    }
    let size = Int(nameLength + headersLength + payloadLength)
    guard rest.count >= size else { return 0 }
    let headersEnd = Int(nameLength + headersLength)
    hasMagic = true
    try take(
      ArchiveEntry(
        name: rest.prefix(Int(nameLength)), timestamp_ns: Varint.signed(time), sequence: sequence,
        headers: rest.slice(Int(nameLength), headersEnd), payload: rest.slice(headersEnd, size)), sink)
    return view.count - rest.count + size
  }

  private static var malformed: BackupError { BackupError("archive: invalid archive stream") }

  private func take(_ entry: ArchiveEntry, _ sink: any BackupSink) throws(BackupError) {
    if !hasState {
      try takeState(entry, sink)
    } else if consumersLeft > 0 {
      let prefix = ByteView("consumers/")
      guard entry.name.hasPrefix(prefix), let record = try? JSON.parse(entry.payload, nodesMax: Self.consumerNodesMax) else {
        throw BackupError("expected consumer")
      }
      guard let consumer = ConsumerBackup(name: ByteString(entry.name.dropFirst(prefix.count)), record: record) else {
        throw BackupError("consumer is missing config or state")
      }
      consumersLeft -= 1
      try sink.take(consumer: consumer)
    } else if entry.sequence > 0 {
      try sink.take(message: entry)
    } else if entry.isEnd {
      hasEnd = true
    } else {
      throw BackupError("expected message sequence")
    }
  }

  private func takeState(_ entry: ArchiveEntry, _ sink: any BackupSink) throws(BackupError) {
    guard entry.name.equals("state.json"), let state = try? JSON.parse(entry.payload) else {
      throw BackupError("expected state.json first")
    }
    hasState = true
    let first = state["first_seq"]?.uint64 ?? 0
    let last = state["last_seq"]?.uint64 ?? 0
    consumersLeft = UInt64(clamping: state["consumer_count"]?.int64 ?? 0)
    guard first < StreamLog.sequenceMax, last < StreamLog.sequenceMax, consumersLeft <= UInt64(Self.consumersMax) else {
      throw BackupError("error in state.json")
    }
    var time_ns: Int64 = 0
    if let time = state["last_ts"]?.string { time_ns = time.withView { try? RFC3339.parse($0) } ?? 0 }
    sink.begin(at: max(first, 1))
    sink.take(given: last, timestamp_ns: time_ns)
  }
}
