// Reading messages of a stream: one, many in a row, by time.
import Bytes
import Platform

extension StreamLog {
  /// Calls `body` with the message `sequence`; nil when it is not there. Throws `.damaged` when its record is, and `.disk`.
  public func read<Result>(_ sequence: UInt64, _ body: (StoredMessage) -> Result) throws(StoreError) -> Result? {
    guard contains(sequence) else { return nil }
    let buffer = store.takeReadBuffer()
    defer { store.giveReadBuffer(buffer) }
    var next: UInt64 = 0
    guard let record = try find(sequence, buffer, next: &next) else { throw .damaged(sequence: sequence) }
    return body(StoredMessage(record))
  }

  /// The record of a live message, or nil when it is damaged. `next` becomes the log position behind it.
  func find(_ sequence: UInt64, _ buffer: ReadBuffer, next: inout UInt64) throws(StoreError) -> Record? {
    guard let at = index.floor(sequence) else { return nil }
    var cursor = Cursor(index[at], store)
    while let record = try cursor.next(id, store, buffer, window: ReadBuffer.pointBytes) {
      if record.sequence == sequence {
        next = cursor.position
        return record
      }
    }
    return nil
  }

  /// Walks over the records behind one anchor.
  struct Cursor {
    let segment: Segment
    private var offset: Int
    private let end: Int

    init(_ anchor: Anchor, _ store: LogStore) {
      segment = store.segment(at: anchor.position)
      offset = Int(anchor.position - segment.base)
      end = min(offset + store.options.indexSpacingBytes, segment.size)
    }

    /// The next message of `stream`, or nil at the end of the anchor's reach.
    mutating func next(_ stream: UInt32, _ store: LogStore, _ buffer: ReadBuffer, window: Int) throws(StoreError) -> Record? {
      while offset < end {
        guard let record = try store.record(segment, offset, buffer, window: window) else {
          offset = try store.resync(segment, after: offset, end: end, buffer, window: window)
          continue
        }
        offset += record.paddedLength
        if record.kind == RecordKind.message, record.stream == stream { return record }
      }
      return nil
    }

    /// Log position after the record that was returned last.
    var position: UInt64 { segment.base + UInt64(offset) }
  }

  /// Calls `body` with every live message from `first` on, ascending, until it returns false. Damaged messages are left out.
  /// `body` may append to and remove from the stream. `withHeaders`: stretches in which no message has headers may be left out.
  public func scan(from first: UInt64, withHeaders: Bool = false, _ body: (StoredMessage) -> Bool) throws(StoreError) {
    let buffer = store.takeReadBuffer()
    defer { store.giveReadBuffer(buffer) }
    var wanted = first
    while let next = nextSequence(atOrAfter: wanted) {
      guard let at = index.floor(next) else { return }
      let end = index.end(of: at)
      if withHeaders, !index[at].mayHaveHeaders {
        if end == .max { return }
        wanted = end
        continue
      }
      var cursor = Cursor(index[at], store)
      wanted = next
      while wanted < end, let record = try cursor.next(id, store, buffer, window: ReadBuffer.scanBytes) {
        let sequence = record.sequence
        guard sequence >= wanted, sequence < end, contains(sequence) else { continue }
        wanted = sequence + 1
        if !body(StoredMessage(record)) { return }
      }
      // Live messages that the walk did not find are damaged.
      if end == .max { wanted = max(wanted, next + 1) } else { wanted = max(end, next + 1) }
      if end == .max, wanted <= lastSequence {
        // Behind the last anchor: either messages that `body` appended meanwhile, or damaged ones.
        guard let later = nextSequence(atOrAfter: wanted) else { return }
        if let newer = index.floor(later), index[newer].sequence > next || later > next { continue }
        return
      }
    }
  }

  /// The first live message whose timestamp is at or after `timestamp_ns`.
  public func sequence(atOrAfter timestamp_ns: Int64) throws(StoreError) -> UInt64? {
    guard count > 0 else { return nil }
    // The last anchor whose first message is older: the wanted one is behind it or the next one.
    let older = try index.lastPlace { place throws(StoreError) in
      if let stamp = try firstTimestamp(place) { return stamp < timestamp_ns }
      return false
    }
    let start = older.map { index[$0].sequence } ?? firstSequence
    var found: UInt64?
    try scan(from: start) { message in
      if message.timestamp_ns >= timestamp_ns { found = message.sequence }
      return found == nil
    }
    return found
  }

  /// The timestamp of the first live message behind an anchor that is not damaged; nil when all in the anchor's reach are. Throws
  /// only what the disk reports: one damaged record must not make a whole stream unsearchable.
  private func firstTimestamp(_ at: AnchorIndex.Place) throws(StoreError) -> Int64? {
    guard let first = nextSequence(atOrAfter: index[at].sequence), let anchor = index.floor(first) else { return nil }
    let buffer = store.takeReadBuffer()
    defer { store.giveReadBuffer(buffer) }
    var cursor = Cursor(index[anchor], store)
    while let record = try cursor.next(id, store, buffer, window: ReadBuffer.pointBytes) {
      if record.sequence >= first, contains(record.sequence) { return StoredMessage(record).timestamp_ns }
    }
    return nil
  }
}
