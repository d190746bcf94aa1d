// Records that belong together: all of them are found again after a crash, or none.
import Bytes
import Platform

extension LogStore {
  /// Whether something may be written.
  public var isWritable: Bool { isOpen && !isClosing }

  /// Everything appended until `endGroup` goes into one batch of one segment, so that a crash leaves all of it or nothing. Groups do not
  /// nest. `bytes` is what the records may take at most; throws as `append` does when there is no room, and then no group has begun.
  ///
  /// Within a group appends are not refused any more.
  public func beginGroup(bytes: Int) throws(StoreError) {
    precondition(!isGrouping && !holdTogether, "groups do not nest")
    try admit(bytes)
    try makeRoom(bytes)
    if active == nil { try beginSegment() }
    isGrouping = true
    holdTogether = true
  }

  /// The most that a message of these sizes takes in a group.
  public static func groupBytes(subject: Int, headers: Int, payload: Int) -> Int {
    Record.padded(Record.headerBytes + subject + headers + 4 + payload) + 8
  }

  public func endGroup() {
    precondition(isGrouping, "no group has begun")
    isGrouping = false
    holdTogether = false
  }
}
