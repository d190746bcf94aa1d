// Small named values beside the messages: configurations of streams and consumers. The last value of a key wins.
import Bytes

extension LogStore {
  /// Sets `key` with the next batch; the value is at most half of `Limits.recordBytesMax`. Uses the reserve when the store is full.
  /// `isVital`: it is written twice, so that no single damaged place loses it. `mayWait`: a store that syncs lazily need not hurry.
  @discardableResult
  public func setMetadata(_ key: ByteString, _ value: [UInt8], isVital: Bool = false, mayWait: Bool = false) -> UInt64 {
    metadataBytes += value.count - (metadata[key]?.count ?? -key.count)
    metadata.set(key, value)
    changedMetadata(isVital, hurries: !mayWait || !options.syncsLazily) { () throws(StoreError) in
      try key.withView { key throws(StoreError) in
        try value.withView { value throws(StoreError) in try appendKeyed(kind: RecordKind.metadata, key: key, value: value) }
      }
    }
    return appendedPosition
  }

  @discardableResult
  public func removeMetadata(_ key: ByteString, isVital: Bool = false) -> UInt64 {
    guard let value = metadata.remove(key) else { return appendedPosition }
    metadataBytes -= key.count + value.count
    changedMetadata(isVital, hurries: true) { () throws(StoreError) in
      try key.withView { key throws(StoreError) in
        try appendKeyed(kind: RecordKind.metadataRemoved, key: key, value: ByteView())
      }
    }
    return appendedPosition
  }

  /// Forgets a stream and all its messages. The same id may be used again at once.
  @discardableResult
  public func dropStream(_ id: UInt32) -> UInt64 {
    guard let stream = streams[id] else { return appendedPosition }
    // The record first: a batch that is closed to make room for it must still hold what was removed from the stream before, and nothing of
    // the dropped stream may follow it.
    logMovedFirst()
    let here = segments.last.map { $0.base + UInt64($0.size) } ?? 0
    do throws(StoreError) {
      // Twice, as vital metadata.
      for _ in 0..<2 {
        _ = try appendPlain(kind: RecordKind.drop, stream: id, sequence: here, timestamp_ns: 0)
        stream.firstIsDirty = false
      }
      appendedPosition += 1
    } catch {
      appendedPosition += 1
      checkpointIsOwed()
    }
    drops[id] = here
    stream.forgetEverything()
    stream.isDropped = true
    streams[id] = nil
    movedFirst.removeAll { $0 === stream }
    commitSoon()
    queueRelease()
    return appendedPosition
  }

  private func changedMetadata(_ isVital: Bool, hurries: Bool, _ log: () throws(StoreError) -> Void) {
    precondition(isOpen, "the store is not open")
    // The position comes after the record: a batch that is closed to make room must not count it in.
    do throws(StoreError) {
      try log()
      if isVital { try log() }
      appendedPosition += 1
    } catch {
      appendedPosition += 1
      checkpointIsOwed()
    }
    if hurries { commitSoon() } else { commitLazily() }
  }
}
