// Removing messages of a stream. Bytes stay on disk until their segment holds nothing that lives.
import Bytes
import Platform

extension StreamLog {
  /// Removes one message; false when it was not there. Inside the stream this is logged when `logged` says so (unlogged removals come
  /// back after a restart); at its front the new first sequence is logged with the next batch.
  @discardableResult
  public func remove(_ sequence: UInt64, logged: Bool = true) -> Bool {
    guard contains(sequence) else { return false }
    if sequence == firstSequence {
      takeOut(sequence, position: nil)
      if count == 0 { firstSequence = lastSequence + 1 } else { firstSequence = removed.nextAbsent(sequence + 1)! }
      removed.removeBelow(firstSequence)
      dropEmptyFront()
      if logged { firstMoved() }
    } else {
      var position: UInt64 = 0
      takeOut(sequence, position: &position)
      removed.insert(sequence, sequence)
      if logged { store.logRemoval(self, sequence, target: position) }
    }
    store.queueRelease()
    return true
  }

  /// Removes everything up to and including `sequence`. Afterwards `firstSequence` is the next live message, or `lastSequence + 1`.
  public func removeThrough(_ sequence: UInt64) {
    guard count > 0, sequence >= firstSequence else { return }
    if sequence >= lastSequence {
      removeAll()
      return
    }
    // Whole anchors first: their sums are known.
    while let place = index.first, case let end = index.end(of: place), end != .max, end - 1 <= sequence {
      let anchor = index[place]
      _ = countDown(anchor, from: firstSequence, through: end - 1, messages: Int(anchor.count))
      settle(anchor, messages: Int(anchor.count), bytes: anchor.bytes)
      index.removeFirst()
      firstSequence = end
    }
    removed.removeBelow(firstSequence)
    removePart(sequence)
    firstSequence = removed.nextAbsent(max(firstSequence, sequence + 1)) ?? lastSequence + 1
    removed.removeBelow(firstSequence)
    dropEmptyFront()
    firstMoved()
    store.queueRelease()
  }

  /// Removes the messages through `sequence` behind the first anchor, which reaches beyond it.
  private func removePart(_ sequence: UInt64) {
    guard let place = index.first else { return }
    let anchor = index[place]
    let first = max(anchor.sequence, firstSequence)
    guard first <= sequence else { return }
    let gone = liveCount(first, sequence)
    guard gone > 0 else { return }
    var size = countDown(anchor, from: first, through: sequence, messages: gone)
    size = gone == Int(anchor.count) ? anchor.bytes : min(size, anchor.bytes)
    settle(anchor, messages: gone, bytes: size)
    index[place].count -= UInt32(gone)
    index[place].bytes -= size
    if index[place].count > 0 { index[place].sequence = sequence + 1 }
  }

  /// Takes the messages behind `anchor` between two sequences out of the subjects, of which there are `gone`. Returns their bytes.
  private func countDown(_ anchor: Anchor, from first: UInt64, through last: UInt64, messages gone: Int) -> Int {
    var size = 0
    var seen = 0
    let buffer = store.takeReadBuffer()
    defer { store.giveReadBuffer(buffer) }
    var cursor = Cursor(anchor, store)
    while seen < gone, let record = try? cursor.next(id, store, buffer, window: ReadBuffer.pointBytes) {
      guard record.sequence >= first, record.sequence <= last, !removed.contains(record.sequence) else { continue }
      size += record.messageBytes
      seen += 1
      uncount(record.subject, record.sequence)
    }
    guard seen < gone else { return size }
    subjectsAreUncertain()
    // Of messages that cannot be read only the average size is known.
    return size + Int(clamping: Int64(anchor.bytes) * Int64(gone - seen) / Int64(max(1, anchor.count)))
  }

  /// Removes all messages: `firstSequence` becomes `lastSequence + 1`.
  public func removeAll() {
    guard count > 0 else { return }
    forgetMessages()
    firstSequence = lastSequence + 1
    firstMoved()
    store.queueRelease()
  }

  /// Removes everything and lets the stream go on at `sequence`, which must be above `lastSequence`.
  public func reset(next sequence: UInt64) {
    precondition(sequence > lastSequence && sequence <= Self.sequenceMax, "a stream cannot go on below what it had")
    removeAll()
    lastSequence = sequence - 1
    firstSequence = sequence
    firstMoved()
  }

  /// The first sequence changed: logged with the next batch.
  func firstMoved() {
    store.appendedPosition += 1
    if !firstIsDirty {
      firstIsDirty = true
      store.movedFirst.append(self)
    }
    store.commitLazily()
  }

  /// Everything goes, without a trace in the log.
  func forgetEverything() {
    forgetMessages()
    lastSequence = 0
    firstSequence = 1
    lastTimestamp_ns = 0
    firstIsDirty = false
  }

  private func forgetMessages() {
    // Anchors that follow each other are mostly in one segment.
    var segment: Segment?
    index.forEach { anchor in
      if segment?.holds(anchor.position) != true { segment = store.segment(at: anchor.position) }
      settle(anchor, messages: Int(anchor.count), bytes: anchor.bytes, segment)
    }
    index.removeAll()
    forgetSubjects()
    removed.removeAll()
    count = 0
    bytes = 0
  }

  /// A removal found in the log: the first sequence stays where it is until recovery ends.
  func takeOutRecovered(_ sequence: UInt64) {
    takeOut(sequence, position: nil)
    removed.insert(sequence, sequence)
  }

  /// Takes messages behind an anchor out of the sums.
  private func settle(_ anchor: Anchor, messages: Int, bytes size: Int, _ known: Segment? = nil) {
    let segment = known ?? store.segment(at: anchor.position)
    segment.liveMessages -= messages
    segment.liveBytes -= size
    // The file must not go before the removal is durable: half of a purge would be seen after a power cut.
    segment.releasePosition = store.appendedPosition + 1
    count -= messages
    bytes -= Int64(size)
  }

  /// Takes one live message out of the sums; tells where its record is.
  private func takeOut(_ sequence: UInt64, position: UnsafeMutablePointer<UInt64>?) {
    let at = index.floor(sequence)!
    let anchor = index[at]
    var size = anchor.count == 1 ? anchor.bytes : anchor.bytes / Int(anchor.count)
    let buffer = store.takeReadBuffer()
    defer { store.giveReadBuffer(buffer) }
    position?.pointee = anchor.position
    // The last message behind an anchor takes what is left, so that a damaged one does not spoil the sums for ever.
    var next: UInt64 = 0
    if let record = try? find(sequence, buffer, next: &next) {
      if anchor.count > 1 { size = min(record.messageBytes, anchor.bytes) }
      uncount(record.subject, sequence)
    } else {
      subjectsAreUncertain()
    }
    settle(anchor, messages: 1, bytes: size)
    index[at].count -= 1
    index[at].bytes -= size
    if index[at].count == 0 {
      index.remove(at: at)
    } else if sequence == firstSequence, next > anchor.position {
      // The stream's front moves on: so does its anchor, and whoever removes one after the other never walks far.
      index[at].sequence = sequence + 1
      index[at].position = next
    }
  }

  /// Anchors at the front that stand for nothing any more.
  private func dropEmptyFront() {
    while let first = index.first, index[first].count == 0 { index.removeFirst() }
  }
}
