// A message block of nats-server's file store (`msgs/<n>.blk`): records of length, sequence, time, subject length, subject, header length
// when the length's highest bit says so, header, body, and a keyed checksum. Numbers are little-endian.
import Bytes
import LogStore

struct BlockReader {
  private static let headBytes = 22
  private static let checksumBytes = 8
  /// nats-server takes no longer record for one.
  private static let recordBytesMax = 32 << 20

  let number: UInt32
  private let hash: HighwayHash
  /// The last sequence of all blocks so far: a record that is not behind it is an old copy.
  private(set) var last: UInt64
  private var offset = 0

  init(number: UInt32, stream: ByteString, after last: UInt64) {
    self.number = number
    self.last = last
    let name = ("\(stream)-\(UInt64(number))" as Words).text
    hash = HighwayHash(key: name.withView { SHA256.hash($0) })
  }

  /// Takes one record from `view`, of which `left` bytes are the block's. Returns its length, or 0 when more has to come.
  mutating func next(_ view: ByteView, left: Int, _ sink: any BackupSink) throws(BackupError) -> Int {
    guard left >= Self.headBytes + Self.checksumBytes else { throw damaged("ends within a message") }
    guard view.count >= Self.headBytes else { return 0 }
    let length = Int(view.little32(0) & 0x7FFF_FFFF)
    let subjectEnd = Self.headBytes + Int(view[20]) + Int(view[21]) << 8
    let hasHeaders = view[3] & 0x80 != 0
    let headersStart = hasHeaders ? subjectEnd + 4 : subjectEnd
    let end = length - Self.checksumBytes
    guard length <= left, length <= Self.recordBytesMax, headersStart <= end else { throw damaged("has a message of a wrong length") }
    guard view.count >= length else { return 0 }
    var headersEnd = headersStart
    if hasHeaders {
      // As it came over the network: not every number of 32 bits is an Int everywhere.
      let count = view.little32(subjectEnd)
      guard count <= UInt32(end - headersStart) else { throw damaged("has a message with a header of a wrong length") }
      headersEnd += Int(count)
    }
    var hash = hash
    hash.add(view.slice(4, 20))
    hash.add(view.slice(Self.headBytes, subjectEnd))
    hash.add(view.slice(headersStart, end))
    guard hash.finish() == view.little64(end) else { throw damaged("has a message with a wrong checksum") }
    try take(
      view.little64(4),
      ArchiveEntry(
        name: view.slice(Self.headBytes, subjectEnd), timestamp_ns: Int64(bitPattern: view.little64(12)),
        headers: view.slice(headersStart, headersEnd), payload: view.slice(headersEnd, end)), sink)
    offset += length
    return length
  }

  private mutating func take(_ marked: UInt64, _ record: ArchiveEntry, _ sink: any BackupSink) throws(BackupError) {
    // The two highest bits tell of messages that were erased in place, and of such that were removed from an earlier place.
    let (isErased, isRemoval) = (marked >> 63 == 1, marked >> 62 & 1 == 1)
    let sequence = marked & (1 << 62 - 1)
    guard sequence < StreamLog.sequenceMax else { throw damaged("has a message with a sequence out of range") }
    if isRemoval, sequence > 0 { sink.take(removed: sequence...sequence) }
    if isRemoval || isErased || sequence == 0 {
      sink.take(given: sequence, timestamp_ns: record.timestamp_ns)
      if !isRemoval { last = max(last, sequence) }
      return
    }
    guard sequence > last else { return }
    last = sequence
    var message = record
    message.sequence = sequence
    try sink.take(message: message)
  }

  private func damaged(_ what: StaticString) -> BackupError {
    BackupError("msgs/\(number).blk \(what) at byte \(offset)")
  }
}
