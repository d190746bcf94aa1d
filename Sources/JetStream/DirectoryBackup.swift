// The backup of a stream as nats-server before 2.15 makes it: a tar archive of the stream's directory. `meta.inf` and `meta.sum` are
// its configuration, `msgs/<n>.blk` its messages, `msgs/index.db` which of them are gone, `obs/<consumer>/meta.inf` and `o.dat` its
// consumers; `errors.txt` says what went wrong. Pure.
import Bytes
import JSON

final class DirectoryBackup {
  enum Limits {
    /// Configurations have at most 128 kB of metadata.
    static let configurationBytes = 1 << 20
    /// Half a million messages that wait for an ack.
    static let consumerStateBytes = 8 << 20
    static let extendedHeaderBytes = 64 << 10
    static let consumers = ArchiveReader.consumersMax
  }

  /// What the file that is read now holds.
  private enum Content {
    case block(BlockReader)
    case index(StreamIndexReader)
    /// Files that are read as a whole.
    case extendedHeader, configuration
    case consumerConfiguration(ByteString)
    case consumerState(ByteString)
    case error
    case ignored
  }

  private let stream: ByteString
  private var content: Content?
  /// Bytes of the file that did not come yet, and those behind it.
  private var left = 0
  private var padding = 0
  /// The name of the next file, when it is too long for its header.
  private var path: ByteString?
  private var lastSequence: UInt64 = 0
  /// A consumer's configuration comes before its state.
  private var consumer: ConsumerBackup?
  private var consumerCount = 0
  private(set) var hasConfiguration = false
  /// Whether the archive is complete.
  private(set) var hasEnd = false

  init(stream: ByteString) { self.stream = stream }

  /// Takes one thing from `view`. Returns how many bytes of it that took; 0 when more has to come.
  func next(_ view: ByteView, _ sink: any BackupSink) throws(BackupError) -> Int {
    if hasEnd { return view.count }
    guard content != nil else { return try begin(view, sink) }
    var used = 0
    if left > 0 {
      used = try take(view, sink)
      left -= used
      if left > 0 { return used }
    }
    guard view.count >= used + padding else { return used }
    content = nil
    return used + padding
  }

  /// Takes a header.
  private func begin(_ view: ByteView, _ sink: any BackupSink) throws(BackupError) -> Int {
    guard view.count >= TarHeader.blockBytes else { return 0 }
    let block = view.prefix(TarHeader.blockBytes)
    if TarHeader.isZero(block) {
      hasEnd = true
      return TarHeader.blockBytes
    }
    let header = try TarHeader(block)
    var content = Content.extendedHeader
    if header.kind != .extended {
      guard header.kind == .file else { throw BackupError("unexpected content") }
      content = try self.content(of: path ?? header.name)
      path = nil
    }
    try check(size: header.size, of: content)
    left = header.size
    padding = header.padding
    self.content = content
    if left == 0 {
      // What is empty says nothing.
      self.content = nil
      guard case .ignored = content else {
        if case .block = content { return TarHeader.blockBytes }
        throw BackupError("\(header.name) is empty")
      }
    }
    return TarHeader.blockBytes
  }

  private func content(of path: ByteString) throws(BackupError) -> Content {
    let parts = path.withView { view in DirectoryBackup.parts(view) }
    if parts.count == 1 {
      if parts[0].equals("meta.inf") { return .configuration }
      if parts[0].equals("errors.txt") { return .error }
    } else if parts.count == 2, parts[0].equals("msgs") {
      if parts[1].equals("index.db") { return .index(StreamIndexReader(stream: stream)) }
      let suffix = ByteView(".blk")
      let number: UInt64? = parts[1].withView { $0.hasSuffix(suffix) ? $0.prefix($0.count - suffix.count).decimal() : nil }
      if let number, let short = UInt32(exactly: number) {
        return .block(BlockReader(number: short, stream: stream, after: lastSequence))
      }
    } else if parts.count == 3, parts[0].equals("obs") {
      if parts[2].equals("meta.inf") { return .consumerConfiguration(parts[1]) }
      if parts[2].equals("o.dat") { return .consumerState(parts[1]) }
    }
    return .ignored
  }

  private static func parts(_ path: ByteView) -> [ByteString] {
    var parts: [ByteString] = []
    var start = 0
    while let end = path.firstIndex(of: ASCII.slash, from: start) {
      parts.append(ByteString(path.slice(start, end)))
      start = end + 1
    }
    parts.append(ByteString(path.dropFirst(start)))
    return parts
  }

  private func check(size: Int, of content: Content) throws(BackupError) {
    let limit: Int
    switch content {
    case .block, .index, .ignored: return
    case .extendedHeader, .error: limit = Limits.extendedHeaderBytes
    case .configuration, .consumerConfiguration: limit = Limits.configurationBytes
    case .consumerState: limit = Limits.consumerStateBytes
    }
    guard size <= limit else { throw BackupError("a file of \(size) bytes is too large") }
  }

  /// Takes bytes of a file.
  private func take(_ view: ByteView, _ sink: any BackupSink) throws(BackupError) -> Int {
    switch content {
    case .block(var block):
      let used = try block.next(view, left: left, sink)
      lastSequence = block.last
      content = .block(block)
      return used
    case .index(var index):
      let used = try index.next(view, left: left, sink)
      content = .index(index)
      return used
    case .ignored, nil: return min(view.count, left)
    default:
      guard view.count >= left else { return 0 }
      try takeWhole(view.prefix(left), sink)
      return left
    }
  }

  private func takeWhole(_ file: ByteView, _ sink: any BackupSink) throws(BackupError) {
    switch content {
    case .extendedHeader: path = try TarHeader.path(ofRecords: file)
    case .error: throw BackupError("the backup failed when it was made: \(file)")
    case .configuration:
      let name = try DirectoryBackup.object(file, "meta.inf").last { $0.name.equals("name") }?.value.string
      guard name == stream else { throw BackupError("stream names do not match") }
      hasConfiguration = true
    case .consumerConfiguration(let name):
      consumer = ConsumerBackup(name: name, config: try DirectoryBackup.object(file, "a consumer's meta.inf"))
    case .consumerState(let name):
      guard var consumer, consumer.name == name else { throw BackupError("error restoring consumer \"\(name)\": no configuration") }
      consumerCount += 1
      guard consumerCount <= Limits.consumers else { throw BackupError("too many consumers") }
      try consumer.read(stateFile: file)
      try sink.take(consumer: consumer)
      self.consumer = nil
    case .block, .index, .ignored, nil: break
    }
  }

  private static func object(_ file: ByteView, _ what: StaticString) throws(BackupError) -> [JSONMember] {
    guard let members = (try? JSON.parse(file))?.object else { throw BackupError("\(what) is no JSON object") }
    return members
  }
}

extension ConsumerBackup {
  /// Reads what nats-server keeps of a consumer: magic and version, the ack floor and the last delivery as pairs of consumer and stream
  /// sequence, messages that wait for an ack and counts of redeliveries, both relative to the ack floor.
  mutating func read(stateFile file: ByteView) throws(BackupError) {
    let failure = BackupError("error restoring consumer \"\(name)\": corrupt state")
    guard file.count >= 2, file[0] == 22, file[1] == 2 else { throw failure }
    var rest = file.dropFirst(2)
    func number() throws(BackupError) -> UInt64 {
      guard let number = try Varint.read(&rest) else { throw failure }
      return number
    }
    floor = SequencePair(consumer: try number(), stream: try number())
    delivered = SequencePair(consumer: try number(), stream: try number())
    guard floor.stream < 1 << 62, floor.consumer < 1 << 62 else { throw failure }
    func sequence(_ offset: UInt64, from floor: UInt64) throws(BackupError) -> UInt64 {
      guard offset < 1 << 62 else { throw failure }
      return floor + offset
    }
    var count = try number()
    // Each takes three bytes at least.
    guard count <= UInt64(rest.count) else { throw failure }
    if count > 0 { _ = try number() }  // the time that theirs are relative to
    for _ in 0..<count {
      let place = try sequence(try number(), from: floor.stream)
      pending.append(Pending(sequence: place, first: try sequence(try number(), from: floor.consumer)))
      _ = try number()
    }
    count = try number()
    guard count <= UInt64(rest.count) else { throw failure }
    for _ in 0..<count {
      let place = try sequence(try number(), from: floor.stream)
      redelivered.append(Redelivery(sequence: place, count: try number()))
    }
  }
}
