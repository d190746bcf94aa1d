// The index of nats-server's file store (`msgs/index.db`): what its blocks do not say is which messages are gone. Magic and version, the
// stream's state, a list of subjects, the blocks with sets of removed sequences, the last block's checksum, a keyed checksum of all.
import Bytes
import LogStore

struct StreamIndexReader {
  private enum Part {
    case head
    case subjects(UInt64)
    case blockCount
    case blocks(UInt64)
    case removed(nodes: UInt32, blocks: UInt64)
    case last, checksum, end
  }

  private static let subjectBytesMax: UInt64 = 64 << 10
  private var hash: HighwayHash
  private var version: UInt8 = 0
  private var part = Part.head
  /// Up to here blocks have told what there is.
  private var covered: UInt64 = 0
  /// 64-bit words of a node in the sets of this block.
  private var nodeWords = 32

  init(stream: ByteString) { hash = HighwayHash(key: stream.withView { SHA256.hash($0) }) }

  /// Takes one thing from `view`, of which `left` bytes are the index's. Returns its length, or 0 when more has to come.
  mutating func next(_ view: ByteView, left: Int, _ sink: any BackupSink) throws(BackupError) -> Int {
    let whole = view.prefix(min(view.count, left))
    if case .checksum = part {
      guard left == 8 else { throw damaged }
      guard whole.count == 8 else { return 0 }
      guard hash.finish() == whole.little64(0) else { throw BackupError("msgs/index.db has a wrong checksum") }
      part = .end
      return 8
    }
    var rest = whole
    guard try take(&rest, sink) else {
      if whole.count == left { throw damaged }
      return 0
    }
    let used = whole.count - rest.count
    hash.add(whole.prefix(used))
    return used
  }

  private var damaged: BackupError { BackupError("msgs/index.db is damaged") }

  /// False when there is not enough for it.
  private mutating func take(_ rest: inout ByteView, _ sink: any BackupSink) throws(BackupError) -> Bool {
    switch part {
    case .head: return try takeHead(&rest, sink)
    case .subjects(let count): return try takeSubject(&rest, left: count)
    case .blockCount:
      guard let count = try Varint.read(&rest) else { return false }
      part = after(blocks: count)
    case .blocks(let count): return try takeBlock(&rest, left: count, sink)
    case .removed(let nodes, let blocks):
      // Where it begins, a bit for each sequence, and how high it stands in a tree.
      let bytes = 8 + 8 * nodeWords + 2
      guard rest.count >= bytes else { return false }
      let first = rest.little64(0)
      guard first < StreamLog.sequenceMax else { throw damaged }
      for word in 0..<nodeWords { takeRuns(rest.little64(8 + 8 * word), from: first + 64 * UInt64(word), sink) }
      rest = rest.dropFirst(bytes)
      part = nodes > 1 ? .removed(nodes: nodes - 1, blocks: blocks) : after(blocks: blocks)
    case .last:
      guard try Varint.read(&rest) != nil, rest.count >= 8 else { return false }
      rest = rest.dropFirst(8)
      part = .checksum
    case .checksum, .end: throw damaged
    }
    return true
  }

  private func after(blocks: UInt64) -> Part { blocks > 0 ? .blocks(blocks) : .last }

  private mutating func takeHead(_ rest: inout ByteView, _ sink: any BackupSink) throws(BackupError) -> Bool {
    guard rest.count >= 2 else { return false }
    guard rest[0] == 11, (1...4).contains(rest[1]) else { throw BackupError("msgs/index.db is of a version that is not known") }
    version = rest[1]
    rest = rest.dropFirst(2)
    guard try Varint.read(&rest) != nil, try Varint.read(&rest) != nil, let first = try Varint.read(&rest),
      try Varint.read(&rest) != nil, let last = try Varint.read(&rest), let time = try Varint.read(&rest),
      let subjects = try Varint.read(&rest)
    else { return false }
    guard first < StreamLog.sequenceMax, last < StreamLog.sequenceMax else { throw damaged }
    if last > 0 { sink.take(given: last, timestamp_ns: Varint.signed(time)) }
    if first > 1 { sink.take(removed: 1...first - 1) }
    part = subjects > 0 ? .subjects(subjects) : .blockCount
    return true
  }

  /// What a subject has does not matter: it follows from the messages.
  private mutating func takeSubject(_ rest: inout ByteView, left: UInt64) throws(BackupError) -> Bool {
    guard let length = try Varint.read(&rest) else { return false }
    guard length <= Self.subjectBytesMax else { throw damaged }
    if length > 0 {
      guard rest.count >= Int(length) else { return false }
      rest = rest.dropFirst(Int(length))
      guard let total = try Varint.read(&rest), try Varint.read(&rest) != nil else { return false }
      if total > 1 || version >= 4 { guard try Varint.read(&rest) != nil else { return false } }
    }
    part = left > 1 ? .subjects(left - 1) : .blockCount
    return true
  }

  private mutating func takeBlock(_ rest: inout ByteView, left: UInt64, _ sink: any BackupSink) throws(BackupError) -> Bool {
    guard try Varint.read(&rest) != nil, try Varint.read(&rest) != nil, let first = try Varint.read(&rest),
      try Varint.read(&rest) != nil, let last = try Varint.read(&rest), try Varint.read(&rest) != nil,
      let removed = try Varint.read(&rest)
    else { return false }
    // How many messages have a time to live, and how many are schedules.
    for since: UInt8 in [2, 3] where version >= since { guard try Varint.read(&rest) != nil else { return false } }
    guard first < StreamLog.sequenceMax, last < StreamLog.sequenceMax else { throw damaged }
    var next = after(blocks: left - 1)
    if removed > 0 {
      // Magic, version, and how many nodes and sequences there are.
      guard rest.count >= 10 else { return false }
      guard rest[0] == 22, rest[1] == 1 || rest[1] == 2 else { throw damaged }
      nodeWords = rest[1] == 1 ? 64 : 32
      let nodes = rest.little32(2)
      rest = rest.dropFirst(10)
      if nodes > 0 { next = .removed(nodes: nodes, blocks: left - 1) }
    }
    // What is in no block is gone.
    if first > covered + 1 { sink.take(removed: covered + 1...first - 1) }
    covered = max(covered, last)
    part = next
    return true
  }

  /// The runs of sequences whose bits are set.
  private func takeRuns(_ bits: UInt64, from first: UInt64, _ sink: any BackupSink) {
    var rest = bits
    var at = first
    while rest != 0 {
      let gap = UInt64(rest.trailingZeroBitCount)
      rest >>= gap
      at += gap
      let run = UInt64((~rest).trailingZeroBitCount)
      sink.take(removed: at...at + run - 1)
      // A shift by all bits leaves nothing.
      rest >>= run
      at += run
    }
  }
}
