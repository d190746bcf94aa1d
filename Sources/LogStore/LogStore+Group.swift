// Records that belong together: all of them are found again after a crash, or none.
import Bytes
import Platform

extension LogStore {
  /// Whether something may be written.
  public var isWritable: Bool { isOpen && !isClosing }

  /// Everything appended until `endGroup` goes into one batch of one segment, so that a crash leaves all of it or nothing. `bytes` is
  /// what the records may take at most. Throws as `append` does when there is no room, and `.busy` within another group; then none has
  /// begun. Within a group appends are not refused any more.
  public func beginGroup(bytes: Int) throws(StoreError) {
    guard !isGrouping, !holdTogether else { throw .busy }
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

  /// Keeps what is appended until `endTogether` in one batch, as far as the disk takes it: a change of several records that a crash must
  /// not cut in two. Unlike a group it makes no room and never refuses. Returns what `endTogether` wants back.
  public func beginTogether() -> Bool {
    let held = holdTogether
    holdTogether = true
    return held
  }

  public func endTogether(_ held: Bool) { holdTogether = held }

  public func endGroup() {
    precondition(isGrouping, "no group has begun")
    isGrouping = false
    holdTogether = false
  }
}
