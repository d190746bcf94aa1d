// The archive in a stream's backup, as nats-server 2.15 reads and writes it (section 20): `NATSARC1`, then entries of
// name length, time (zigzag), sequence, header length, payload length, name, header, payload; numbers have 7 bits per byte. Pure.
import Bytes

/// One entry: the stream's state (`state.json`), a consumer (`consumers/<name>`), a message (its subject), or the empty end.
struct ArchiveEntry {
  var name = ByteView()
  var timestamp_ns: Int64 = 0
  var sequence: UInt64 = 0
  var headers = ByteView()
  var payload = ByteView()

  var isEnd: Bool { sequence == 0 && name.isEmpty && timestamp_ns == 0 && headers.isEmpty && payload.isEmpty }
}

enum BackupArchive {
  static let magic: StaticString = "NATSARC1"

  static func append(_ entry: ArchiveEntry, to output: inout [UInt8]) {
    append(UInt64(truncatingIfNeeded: entry.name.count), to: &output)
    append(UInt64(bitPattern: entry.timestamp_ns << 1 ^ entry.timestamp_ns >> 63), to: &output)
    append(entry.sequence, to: &output)
    append(UInt64(truncatingIfNeeded: entry.headers.count), to: &output)
    append(UInt64(truncatingIfNeeded: entry.payload.count), to: &output)
    output.append(entry.name)
    output.append(entry.headers)
    output.append(entry.payload)
  }

  private static func append(_ number: UInt64, to output: inout [UInt8]) {
    var rest = number
    while rest >= 0x80 {
      output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    output.append(UInt8(truncatingIfNeeded: rest))
  }
}

/// Takes an archive apart that comes in pieces.
struct ArchiveReader {
  enum Failure: Error { case malformed }

  /// Names are subjects or consumers' names; a message is not larger than what the server takes.
  static let nameBytesMax = 64 << 10
  static let entryBytesMax = 72 << 20

  private var buffer: [UInt8] = []
  private var start = 0
  private var hasMagic = false

  /// Whether the archive may end here.
  var isEmpty: Bool { start == buffer.count }

  mutating func add(_ bytes: ByteView) {
    if start > 0 {
      buffer.removeFirst(start)
      start = 0
    }
    buffer.append(bytes)
  }

  /// Calls `body` with the next entry if it is there as a whole; false when more has to come.
  mutating func next(_ body: (ArchiveEntry) -> Void) throws(Failure) -> Bool {
    let (length, isThere) = try buffer.withView { whole throws(Failure) in
      try ArchiveReader.entry(whole.dropFirst(start), skipsMagic: !hasMagic, body)
    }
    if isThere {
      start += length
      hasMagic = true
    }
    return isThere
  }

  private static func entry(
    _ view: ByteView, skipsMagic: Bool, _ body: (ArchiveEntry) -> Void
  ) throws(Failure) -> (length: Int, isThere: Bool) {
    var rest = view
    if skipsMagic {
      let magic = ByteView(BackupArchive.magic)
      guard rest.count >= magic.count else { return (0, false) }
      guard rest.hasPrefix(magic) else { throw .malformed }
      rest = rest.dropFirst(magic.count)
    }
    guard let nameLength = try number(&rest), let time = try number(&rest), let sequence = try number(&rest),
      let headersLength = try number(&rest), let payloadLength = try number(&rest)
    else { return (0, false) }
    guard nameLength <= UInt64(nameBytesMax), headersLength <= UInt64(entryBytesMax), payloadLength <= UInt64(entryBytesMax) else {
      throw .malformed
    }
    let size = Int(nameLength + headersLength + payloadLength)
    guard rest.count >= size else { return (0, false) }
    let headersEnd = Int(nameLength + headersLength)
    body(
      ArchiveEntry(
        name: rest.prefix(Int(nameLength)), timestamp_ns: Int64(bitPattern: time >> 1) ^ -Int64(bitPattern: time & 1), sequence: sequence,
        headers: rest.slice(Int(nameLength), headersEnd), payload: rest.slice(headersEnd, size)))
    return (view.count - rest.count + size, true)
  }

  /// Nil when it is not there as a whole.
  private static func number(_ rest: inout ByteView) throws(Failure) -> UInt64? {
    var value: UInt64 = 0
    for index in 0..<10 {
      guard index < rest.count else { return nil }
      let part = UInt64(rest[index] & 0x7F)
      // The tenth byte holds one bit.
      guard index < 9 || part <= 1 else { throw .malformed }
      value |= part << UInt64(7 * index)
      if rest[index] & 0x80 == 0 {
        rest = rest.dropFirst(index + 1)
        return value
      }
    }
    throw .malformed
  }
}
